// The global list of a file's entries: index → offset of the ENTRY. Normally the chain of entry arrays; where that is broken, the entries
// behind the break are found by one linear scan and kept as offsets, so that every way of reading works the same on both.
// Invariant: offsets ascend with the index; 0 stands for an item that leads nowhere.

import type { Header } from './header.ts'
import { ARRAY_HEAD, align8, arrayItem, ENTRY_ARRAY, ENTRY_HEAD, entrySize, u64 } from './objects.ts'
import { scanEntries } from './scan.ts'
import type { Windows } from './window.ts'

const CHUNK = 512
/** Word of the seqnum within an ENTRY. */
const SEQNUM = 4

/** Counters of what could not be read; each loss is counted once for an open file. */
export interface Damage {
  /** Items of entry arrays that lead nowhere. The entries themselves may be found all the same. */
  badItems: number
  lostEntries: number
  /** DATA objects that cannot be read. A lost one is missing from all entries that refer to it. */
  lostFields: number
  /** Bytes that belong to no object, and those missing at the end of the file. */
  lostBytes: number
}

/** A set of small whole numbers, one bit each. */
export class IndexSet {
  #bits = new Uint8Array(0)

  has(index: number): boolean {
    return (((this.#bits[index >>> 3] ?? 0) >>> (index & 7)) & 1) === 1
  }

  add(index: number): void {
    const at = index >>> 3
    if (at >= this.#bits.length) {
      const more = new Uint8Array(Math.max(64, at + 1, 2 * this.#bits.length))
      more.set(this.#bits)
      this.#bits = more
    }
    this.#bits[at] = (this.#bits[at] as number) | (1 << (index & 7))
  }
}

export class EntryList {
  /** Entries that have an index now. */
  count = 0

  readonly #windows: Windows
  readonly #damage: Damage
  #header: Header
  #final = true
  // The chain: array k holds the entries from #first[k] on, its items begin at #items[k]. Arrays double, so there are few.
  readonly #first: number[] = []
  readonly #items: number[] = []
  #covered = 0
  #last = 0
  // The window on the list that is kept decoded.
  readonly #chunk = new Float64Array(CHUNK)
  #chunkFirst = 0
  #chunkCount = 0
  // Entries behind a broken chain.
  #broken = false
  #scanned: number[] = []
  #scanOffset = 0
  #scanSeqnum = 0
  #missing = 0
  #lostBehind = 0
  // Entries whose items were bad, found between their neighbours.
  readonly #repaired = new Map<number, number>()
  readonly #searched = new IndexSet()

  constructor(windows: Windows, header: Header, damage: Damage) {
    this.#windows = windows
    this.#header = header
    this.#damage = damage
  }

  /**
   * Takes up what the header says now. Items beyond the old count were read as zeroes and are read again.
   * `final`: no writer goes on with the file. `mayScan` is asked when the chain of arrays is broken. May move the large window.
   */
  update(header: Header, final: boolean, mayScan: () => boolean): void {
    this.#header = header
    this.#final = final
    this.forget()
    this.#extend()
    if (this.#broken && mayScan()) this.#scan()
    else this.count = header.entries
  }

  /** Drops decoded items, so that they are read again. */
  forget(): void {
    this.#chunkCount = 0
  }

  /** Where entry `index` is, 0 when its item is bad. `index` is within [0, count). */
  offset(index: number): number {
    const k = index - this.#chunkFirst
    if (k >= 0 && k < this.#chunkCount) return this.#chunk[k] as number
    return this.#fill(index)
  }

  /** As `offset`, but with what can be found for a bad item where no writer may still fill it in. May move the large window. */
  find(index: number): number {
    return this.offset(index) || (this.#final ? this.repair(index) : 0)
  }

  /** The number at word `word` of the entry at `offset`; NaN when there is no valid entry. */
  number(offset: number, word: number): number {
    return this.end(offset) === 0 ? Number.NaN : u64(this.#windows.words, (this.#windows.at >>> 2) + word)
  }

  /** Where the entry at `offset` ends, or 0 when there is no valid one. */
  end(offset: number): number {
    const windows = this.#windows
    if (offset === 0 || !windows.locate(offset, ENTRY_HEAD)) return 0
    const size = entrySize(windows.words, windows.at >>> 2, this.#header.compact)
    return size === 0 || offset + size > windows.end ? 0 : offset + align8(size)
  }

  /** Whether there is a valid entry at `offset` with this boot id of 16 bytes. */
  isOfBoot(offset: number, id: Buffer): boolean {
    if (this.end(offset) === 0) return false
    const { bytes, at } = this.#windows
    return id.compare(bytes, at + 40, at + 56) === 0
  }

  /** The index of the last valid entry, or -1. */
  lastReadable(): number {
    let index = this.count - 1
    while (index >= 0 && this.end(this.offset(index)) === 0) index--
    return index
  }

  /**
   * Looks for the entries of a run of bad items around `index` in the bytes between its neighbours, which nothing else links to.
   * Returns the offset found for `index`, or 0. May move the large window.
   */
  repair(index: number): number {
    if (this.#searched.has(index)) return this.#repaired.get(index) ?? 0
    let first = index
    while (first > 0 && this.offset(first - 1) === 0) first--
    let end = index + 1
    while (end < this.count && this.offset(end) === 0) end++
    for (let k = first; k < end; k++) this.#searched.add(k)
    const windows = this.#windows
    const { compact, headerSize, tailSeqnum } = this.#header
    const before = first > 0 ? this.offset(first - 1) : 0
    const start = this.end(before)
    const after = start === 0 ? 0 : this.number(before, SEQNUM)
    const to = end < this.count ? this.offset(end) : windows.end
    let seqnumMax = tailSeqnum > after ? tailSeqnum : Number.POSITIVE_INFINITY
    if (end < this.count && this.end(to) !== 0) seqnumMax = this.number(to, SEQNUM) - 1
    let at = first
    scanEntries(windows, { from: start || headerSize, to, after, seqnumMax, tail: this.#tail, compact }, (offset) => {
      this.#repaired.set(at++, offset)
      return at < end
    })
    return this.#repaired.get(index) ?? 0
  }

  #fill(index: number): number {
    if (index >= this.#covered) return this.#scanned[index - this.#covered] ?? 0
    let array = this.#first.length - 1
    while (array > 0 && (this.#first[array] as number) > index) array--
    const first = this.#first[array] as number
    const stop = Math.min(
      array + 1 < this.#first.length ? (this.#first[array + 1] as number) : this.#covered,
      this.count,
    )
    // Blocks of a fixed grid serve both directions.
    const begin = index - ((index - first) % CHUNK)
    const count = Math.min(CHUNK, stop - begin)
    const { compact, headerSize, arenaEnd } = this.#header
    const item = arrayItem(compact)
    // An offset that only the missing end of a torn file has is right all the same.
    const end = Math.max(arenaEnd, this.#windows.end)
    if (!this.#windows.fresh((this.#items[array] as number) + (begin - first) * item, count * item)) return 0
    const { words } = this.#windows
    let i = this.#windows.at >>> 2
    for (let k = 0; k < count; k++) {
      const low = words[i] as number
      const offset = compact ? low : low + (words[i + 1] as number) * 4294967296
      this.#chunk[k] = (low & 7) !== 0 || offset < headerSize || offset >= end ? 0 : offset
      i += compact ? 1 : 2
    }
    this.#chunkFirst = begin
    this.#chunkCount = count
    return this.#chunk[index - begin] as number
  }

  /** Follows the chain of arrays until it covers all entries, or breaks. */
  #extend(): void {
    const { entries, compact, headerSize, entryArrayOffset } = this.#header
    const item = arrayItem(compact)
    const windows = this.#windows
    while (this.#covered < entries && !this.#broken) {
      let offset = entryArrayOffset
      if (this.#last !== 0)
        offset = windows.fresh(this.#last, ARRAY_HEAD) ? u64(windows.words, (windows.at >>> 2) + 4) : 0
      // Each array lies behind the one before it; that also rules out loops.
      if (offset < headerSize || offset <= this.#last || !windows.fresh(offset, ARRAY_HEAD)) {
        this.#broken = true
        return
      }
      const i = windows.at >>> 2
      const size = u64(windows.words, i + 2)
      const items = (size - ARRAY_HEAD) / item
      const type = (windows.words[i] as number) & 0xffff
      if (type !== ENTRY_ARRAY || items < 1 || !Number.isInteger(items) || offset + size > windows.end) {
        this.#broken = true
        return
      }
      this.#first.push(this.#covered)
      this.#items.push(offset + ARRAY_HEAD)
      this.#covered += items
      this.#last = offset
    }
  }

  #scan(): void {
    const final = this.#final
    const { compact, headerSize, entries, tailSeqnum } = this.#header
    const windows = this.#windows
    this.count = this.#covered + this.#scanned.length
    if (this.#scanOffset === 0) {
      this.#scanOffset = headerSize
      for (let index = this.#covered - 1; index >= 0; index--) {
        const offset = this.offset(index)
        const end = this.end(offset)
        if (end === 0) continue
        this.#scanOffset = end
        this.#scanSeqnum = this.number(offset, SEQNUM)
        break
      }
    }
    // What a living writer has not committed yet must not be given out; a finished file has nothing of the kind.
    let room = final ? Number.POSITIVE_INFINITY : entries - this.count
    if (room > 0) {
      const result = scanEntries(
        windows,
        {
          from: this.#scanOffset,
          to: windows.end,
          after: this.#scanSeqnum,
          seqnumMax: tailSeqnum > this.#scanSeqnum ? tailSeqnum : Number.POSITIVE_INFINITY,
          tail: this.#tail,
          compact,
        },
        (offset) => {
          if (room-- <= 0) return false
          this.#scanned.push(offset)
          return true
        },
      )
      this.#scanOffset = result.offset
      this.#scanSeqnum = result.seqnum
      this.#damage.lostBytes += result.lostBytes + (final ? result.lostBehind : 0) - this.#lostBehind
      this.#lostBehind = final ? result.lostBehind : 0
    }
    this.count = this.#covered + this.#scanned.length
    const missing = final ? Math.max(0, entries - this.count) : 0
    this.#damage.lostEntries += missing - this.#missing
    this.#missing = missing
  }

  /** Where the last object begins, or the end when the header cannot be believed. */
  get #tail(): number {
    const { headerSize, tailObjectOffset } = this.#header
    return tailObjectOffset >= headerSize && tailObjectOffset < this.#windows.end ? tailObjectOffset : this.#windows.end
  }
}
