// Which entries are wanted, with journalctl's semantics: values of one field ORed, fields ANDed, groups ORed; whole values, exactly.
// A term `NAME=value` is one DATA object of a file, so an entry is judged by comparing offsets; where matches are rare, the entry
// arrays of the DATA lead straight to them.

import { problem } from '../errors.ts'
import type { JournalFile } from './file/file.ts'
import type { Header } from './file/header.ts'
import { FileMatches } from './matchIndex.ts'

/** OR of groups, a group is an AND of fields, a field an OR of values. No groups: every entry. */
export type Match = readonly (readonly { readonly field: string; readonly values: readonly string[] }[])[]

/** Entries that pass both. */
export function andMatches(a: Match, b: Match): Match {
  if (a.length === 0) return b
  if (b.length === 0) return a
  return a.flatMap((left) => b.map((right) => [...left, ...right]))
}

/**
 * Reads `FIELD=value` arguments as journalctl does: one field repeated means either value, different fields mean both, "+" means
 * either side of it. Throws Problem LF_USAGE.
 */
export function parseMatchArgs(args: readonly string[]): Match {
  const groups: Map<string, string[]>[] = []
  let group: Map<string, string[]> | undefined
  for (const arg of args) {
    if (arg === '+') {
      if (group === undefined) throw badPlus()
      group = undefined
      continue
    }
    const equals = arg.indexOf('=')
    const field = arg.slice(0, Math.max(0, equals))
    if (!isFieldName(field)) {
      const hint =
        'a match is FIELD=value with a field name of capital letters, digits and underscores, for example PRIORITY=3'
      throw problem('LF_USAGE', { text: `"${arg}" is not a match`, hint })
    }
    if (group === undefined) {
      group = new Map()
      groups.push(group)
    }
    const values = group.get(field)
    if (values === undefined) group.set(field, [arg.slice(equals + 1)])
    else values.push(arg.slice(equals + 1))
  }
  if (group === undefined && args.length > 0) throw badPlus()
  return groups.map((one) => Array.from(one, ([field, values]) => ({ field, values })))
}

function badPlus() {
  return problem('LF_USAGE', { text: '"+" must stand between two matches' })
}

/** As sd_journal_add_match: at least one character, none of them lower case, and no name of our own making (`__`). */
function isFieldName(name: string): boolean {
  return /^[A-Z0-9_]+$/.test(name) && !name.startsWith('__')
}

/** The terms of a match as they are in one file. */
interface Resolved {
  /** The file's header when the terms were looked up: absent ones may come with growth. */
  header: Header
  /** By clause; 0 for a term that the file does not have. */
  readonly offsets: number[][]
  absent: boolean
  /** All offsets that are there, and the clause each belongs to. */
  terms: Float64Array
  clauses: Uint16Array
  /** Groups of which every clause has a term in this file. */
  possible: (readonly number[])[]
  index: FileMatches | undefined
  /** The header at the time when `index` was made. */
  indexed: Header | undefined
}

/** With fewer entries left than this, looking at each costs less than asking the indexes. */
const INDEX_FROM = 64

/** With more terms than this a hash table beats comparing one after another. */
const LINEAR_TERMS = 12

export class CompiledMatch {
  /** The different sets of payloads of which one must occur. */
  readonly #clauses: Buffer[][] = []
  /** Each group as numbers of clauses. */
  readonly #groups: number[][] = []
  readonly #resolved = new WeakMap<JournalFile, Resolved>()
  readonly #hit: Uint8Array
  #file: JournalFile | undefined
  #current: Resolved | undefined
  #byOffset: Map<number, number[]> | undefined

  constructor(match: Match) {
    const known = new Map<string, number>()
    for (const group of match) {
      const numbers = new Set<number>()
      for (const { field, values } of group) {
        const terms = [...new Set(values)].sort().map((value) => `${field}=${value}`)
        const name = terms.join('\0')
        let number = known.get(name)
        if (number === undefined) {
          number = this.#clauses.push(terms.map((term) => Buffer.from(term))) - 1
          known.set(name, number)
        }
        numbers.add(number)
      }
      this.#groups.push([...numbers])
    }
    this.#hit = new Uint8Array(this.#clauses.length)
  }

  /** True when every entry matches. */
  get isEverything(): boolean {
    return this.#groups.length === 0 || this.#groups.some((group) => group.length === 0)
  }

  /** Whether the loaded entry of the file matches. May drop the file's payload. */
  matches(file: JournalFile): boolean {
    if (this.isEverything) return true
    return this.#matches(file, this.#resolve(file))
  }

  /**
   * Loads the next entry that matches, or the one before; false when there is none. `settled`: the file does not grow any more.
   * Else it stands at its last entry afterwards, and goes on from there when it grew.
   */
  step(file: JournalFile, backwards: boolean, settled: boolean): boolean {
    if (this.isEverything) return backwards ? file.previous() : file.next()
    const resolved = this.#resolve(file)
    if (settled && resolved.possible.length === 0) return false
    const ahead = backwards ? Math.min(file.index, file.entryCount) : file.entryCount - file.index
    if (ahead > INDEX_FROM) {
      const found = this.#jump(file, resolved, backwards)
      if (found !== undefined) return found
    }
    while (backwards ? file.previous() : file.next()) if (this.#matches(file, resolved)) return true
    return false
  }

  /** Goes by the indexes where that is worth it; undefined when it remains to look at every entry from where the file stands. */
  #jump(file: JournalFile, resolved: Resolved, backwards: boolean): boolean | undefined {
    if (resolved.index === undefined || resolved.indexed !== file.header) {
      resolved.index = new FileMatches(file, resolved.offsets, resolved.possible)
      resolved.indexed = file.header
    }
    const { index } = resolved
    if (!index.isRare) return undefined
    // The newest entry is linked into the indexes last, after it can be seen already.
    if (backwards && file.index >= file.entryCount) {
      if (!file.previous()) return false
      if (this.#matches(file, resolved)) return true
    }
    while (backwards ? index.previous(file) : index.next(file)) if (this.#matches(file, resolved)) return true
    if (!index.isRare) return undefined
    if (backwards) return false
    file.index = Math.max(file.index, file.entryCount - 2)
    return undefined
  }

  #matches(file: JournalFile, resolved: Resolved): boolean {
    const { possible } = resolved
    if (possible.length === 0) return false
    const hit = this.#hit
    hit.fill(0)
    if (resolved.terms.length <= LINEAR_TERMS) compareItems(file, resolved.terms, resolved.clauses, hit)
    else this.#lookUpItems(file, resolved, hit)
    for (const group of possible) {
      let all = true
      for (const clause of group) if (hit[clause] === 0) all = false
      if (all) return true
    }
    return false
  }

  #lookUpItems(file: JournalFile, { terms, clauses }: Resolved, hit: Uint8Array): void {
    let table = this.#byOffset
    if (table === undefined) {
      table = new Map()
      for (const [i, offset] of terms.entries()) {
        const list = table.get(offset)
        if (list === undefined) table.set(offset, [clauses[i] as number])
        else list.push(clauses[i] as number)
      }
      this.#byOffset = table
    }
    const { itemWords, itemStride } = file
    for (let k = 0, at = file.itemBase; k < file.itemCount; k++, at += itemStride) {
      const low = itemWords[at] as number
      const found = table.get(itemStride === 1 ? low : low + (itemWords[at + 1] as number) * 4294967296)
      if (found !== undefined) for (const clause of found) hit[clause] = 1
    }
  }

  #resolve(file: JournalFile): Resolved {
    let resolved = this.#current
    if (this.#file !== file || resolved === undefined) {
      resolved = this.#resolved.get(file)
      if (resolved === undefined) {
        resolved = this.#look(file)
        this.#resolved.set(file, resolved)
      }
      this.#file = file
      this.#current = resolved
      this.#byOffset = undefined
    }
    if (resolved.absent && resolved.header !== file.header) this.#lookAgain(file, resolved)
    return resolved
  }

  #look(file: JournalFile): Resolved {
    const offsets = this.#clauses.map((clause) => clause.map((term) => file.findData(term)))
    const empty = {
      terms: new Float64Array(0),
      clauses: new Uint16Array(0),
      possible: [],
      index: undefined,
      indexed: undefined,
    }
    const resolved: Resolved = { header: file.header, offsets, absent: false, ...empty }
    this.#sum(resolved)
    return resolved
  }

  #lookAgain(file: JournalFile, resolved: Resolved): void {
    for (const [number, clause] of this.#clauses.entries()) {
      const offsets = resolved.offsets[number] ?? []
      for (const [i, term] of clause.entries()) if (offsets[i] === 0) offsets[i] = file.findData(term)
    }
    resolved.header = file.header
    this.#byOffset = undefined
    this.#sum(resolved)
  }

  #sum(resolved: Resolved): void {
    const { offsets } = resolved
    const present = offsets.flatMap((list, clause) =>
      list.filter((offset) => offset !== 0).map((offset) => ({ offset, clause })),
    )
    resolved.absent = offsets.some((list) => list.includes(0))
    resolved.terms = Float64Array.from(present, (one) => one.offset)
    resolved.clauses = Uint16Array.from(present, (one) => one.clause)
    resolved.possible = this.#groups.filter((group) =>
      group.every((clause) => offsets[clause]?.some((offset) => offset !== 0)),
    )
    resolved.index = undefined
  }
}

function compareItems(file: JournalFile, terms: Float64Array, clauses: Uint16Array, hit: Uint8Array): void {
  const { itemWords, itemCount, itemStride } = file
  const count = terms.length
  for (let k = 0, at = file.itemBase; k < itemCount; k++, at += itemStride) {
    const low = itemWords[at] as number
    const offset = itemStride === 1 ? low : low + (itemWords[at + 1] as number) * 4294967296
    for (let t = 0; t < count; t++) if (terms[t] === offset) hit[clauses[t] as number] = 1
  }
}
