// Finds matching entries of one file through its per-DATA entry arrays: an OR of terms merges their arrays, an AND leaps from
// array to array until all agree on an entry. Nothing between two matches is read.

import type { EntryOffsets, JournalFile } from './file/file.ts'

/** Below one match in so many entries, finding the next by index (20 µs) costs less than looking at every entry (0.35 µs each). */
const RARE = 64

/** Told when an index turns out to be damaged. */
interface Health {
  isSound: boolean
}

/** The entries of one term, with the place where the last search ended. */
class TermEntries {
  readonly #entries: EntryOffsets
  readonly #health: Health
  #place = 0

  constructor(entries: EntryOffsets, health: Health) {
    this.#entries = entries
    this.#health = health
  }

  get count(): number {
    return this.#entries.count
  }

  /** The smallest entry offset >= target, or Infinity. */
  ceiling(target: number): number {
    const index = this.#lowerBound(target)
    return index < this.#entries.count ? this.#at(index) : Number.POSITIVE_INFINITY
  }

  /** The largest entry offset <= target, or 0. */
  floor(target: number): number {
    const index = this.#lowerBound(target + 1) - 1
    return index >= 0 ? this.#at(index) : 0
  }

  #at(index: number): number {
    const offset = this.#entries.at(index)
    if (offset === 0) this.#health.isSound = false
    return offset
  }

  /** The smallest index whose offset is >= target. Gallops from the last place, since targets mostly move on little by little. */
  #lowerBound(target: number): number {
    const { count } = this.#entries
    let low = 0
    let high = count
    const start = Math.min(this.#place, count - 1)
    if (this.#at(start) < target) {
      low = start + 1
      for (let step = 1; low + step < count; step *= 2) {
        if (this.#at(low + step) >= target) {
          high = low + step + 1
          break
        }
        low += step
      }
    } else {
      high = start + 1
      for (let step = 1; high - step > 0; step *= 2) {
        if (this.#at(high - step - 1) < target) {
          low = high - step
          break
        }
        high -= step
      }
    }
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#at(middle) < target) low = middle + 1
      else high = middle
    }
    this.#place = low
    return low
  }
}

export class FileMatches {
  readonly #isRare: boolean
  readonly #health: Health = { isSound: true }
  /** By group, by clause, by term. */
  readonly #groups: TermEntries[][][]

  /**
   * @param offsets the DATA of every clause's terms, 0 where the file has none
   * @param groups numbers of the clauses that must all hold, for every group that can
   */
  constructor(file: JournalFile, offsets: readonly (readonly number[])[], groups: readonly (readonly number[])[]) {
    let complete = true
    const terms = (clause: number): TermEntries[] =>
      (offsets[clause] ?? []).flatMap((offset) => {
        if (offset === 0) return []
        const entries = file.dataEntries(offset)
        complete &&= entries.complete
        return entries.count === 0 ? [] : [new TermEntries(entries, this.#health)]
      })
    this.#groups = groups.map((group) => group.map(terms))
    let expected = 0
    for (const group of this.#groups) {
      expected += Math.min(...group.map((clause) => clause.reduce((sum, term) => sum + term.count, 0)))
    }
    this.#isRare = complete && expected * RARE <= file.entryCount
  }

  /** Jumping is worth it, and the index is sound as far as is known. */
  get isRare(): boolean {
    return this.#isRare && this.#health.isSound
  }

  /** Loads the first match behind the file's place. */
  next(file: JournalFile): boolean {
    let after = file.index < 0 ? 0 : offsetAt(file, file.index)
    for (;;) {
      let best = Number.POSITIVE_INFINITY
      for (const group of this.#groups) best = Math.min(best, ceiling(group, after + 1))
      if (best === Number.POSITIVE_INFINITY || !this.#health.isSound) return false
      if (loadAt(file, best)) return true
      after = best
    }
  }

  /** Loads the last match before the file's place. */
  previous(file: JournalFile): boolean {
    let before = file.index >= file.entryCount ? Number.MAX_SAFE_INTEGER : offsetAt(file, file.index)
    for (;;) {
      let best = 0
      for (const group of this.#groups) best = Math.max(best, floor(group, before - 1))
      if (best === 0 || !this.#health.isSound) return false
      if (loadAt(file, best)) return true
      before = best
    }
  }
}

/** The offset of the entry at an index, found by loading it or, when it is damaged, the one before. */
function offsetAt(file: JournalFile, index: number): number {
  if (file.load(index)) return file.offset
  file.index = index
  return file.previous() ? file.offset : 0
}

/** False for an entry that the file's list does not have or that is damaged. */
function loadAt(file: JournalFile, offset: number): boolean {
  const index = file.indexOfOffset(offset)
  return index >= 0 && file.load(index)
}

/** The smallest offset >= target at which every clause has an entry, or Infinity. */
function ceiling(group: readonly (readonly TermEntries[])[], target: number): number {
  let candidate = target
  for (let agreed = 0, k = 0; agreed < group.length; k = (k + 1) % group.length) {
    let next = Number.POSITIVE_INFINITY
    for (const term of group[k] as readonly TermEntries[]) next = Math.min(next, term.ceiling(candidate))
    if (next === Number.POSITIVE_INFINITY) return next
    agreed = next === candidate ? agreed + 1 : 1
    candidate = next
  }
  return candidate
}

/** The largest offset <= target at which every clause has an entry, or 0. */
function floor(group: readonly (readonly TermEntries[])[], target: number): number {
  let candidate = target
  for (let agreed = 0, k = 0; agreed < group.length; k = (k + 1) % group.length) {
    let next = 0
    for (const term of group[k] as readonly TermEntries[]) next = Math.max(next, term.floor(candidate))
    if (next === 0) return 0
    agreed = next === candidate ? agreed + 1 : 1
    candidate = next
  }
  return candidate
}
