// Runs: entries of one seqnum id with the same boot and monotonic time, as journald stamps all lines of one read alike. An entry's
// number among those of its run with equal realtime and content belongs to its identity (docs/decisions/0002).
// Invariant: within a run, seqnums of equal entries ascend, each once.

import { bootIdOf, type EntryMark, isSameBoot } from '../cursor.ts'
import type { JournalFile } from '../file/file.ts'
import type { ChainFile, OpenFiles } from './chainFile.ts'

type Stamp = Pick<EntryMark, 'boot0' | 'boot1' | 'boot2' | 'boot3' | 'monotonic'>
type Content = Pick<EntryMark, 'realtime' | 'xorHigh' | 'xorLow' | 'seqnum'>

export function isSameStamp(a: Stamp, b: Stamp): boolean {
  return a.monotonic === b.monotonic && isSameBoot(a, b)
}

export class Run {
  readonly #stamp: Stamp
  readonly #seqnums = new Map<string, number[]>()
  #size = 0

  constructor({ boot0, boot1, boot2, boot3, monotonic }: Stamp) {
    this.#stamp = { boot0, boot1, boot2, boot3, monotonic }
  }

  get size(): number {
    return this.#size
  }

  isOf(stamp: Stamp): boolean {
    return isSameStamp(this.#stamp, stamp)
  }

  /** Adds an entry of this stamp; one that is there already stays single. */
  add(entry: Content): void {
    const content = contentOf(entry)
    const list = this.#seqnums.get(content)
    if (list === undefined) this.#seqnums.set(content, [entry.seqnum])
    else {
      const at = place(list, entry.seqnum)
      if (list[at] === entry.seqnum) return
      list.splice(at, 0, entry.seqnum)
    }
    this.#size++
  }

  /** The number of an entry among its equals, from 0. */
  ordinal(entry: Content): number {
    const list = this.#seqnums.get(contentOf(entry))
    return list === undefined ? 0 : place(list, entry.seqnum)
  }

  /** The seqnum of the entry equal to this one in all four and in its number. */
  seqnumOf(entry: Content, ordinal: number): number | undefined {
    return this.#seqnums.get(contentOf(entry))?.[ordinal]
  }

  /** How many entries of the run are there up to this seqnum. */
  countTo(seqnum: number): number {
    let count = 0
    for (const list of this.#seqnums.values()) count += place(list, seqnum + 1)
    return count
  }
}

function contentOf(entry: Content): string {
  return `${entry.realtime} ${entry.xorHigh} ${entry.xorLow}`
}

/** The first index whose value is not below `seqnum`. Mostly the end. */
function place(list: readonly number[], seqnum: number): number {
  let high = list.length
  if (high === 0 || (list[high - 1] as number) < seqnum) return high
  let low = 0
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((list[middle] as number) < seqnum) low = middle + 1
    else high = middle
  }
  return low
}

/** The part of an entry's run that ends with it, found by looking back, also into the files before. */
function runBefore(files: readonly ChainFile[], entry: EntryMark, open: OpenFiles): Run {
  const run = new Run(entry)
  // The entry may be the loaded one of a file that is moved about in here.
  const { seqnum } = entry
  const before: ChainFile[] = []
  // An entry with another stamp ends the run in all files: within an id, time goes on with the seqnums.
  let ended = false
  for (const one of files) {
    if (one.beginsBehind(seqnum)) continue
    if (one.endsBefore(seqnum)) {
      before.push(one)
      continue
    }
    // Of the file that it is loaded in, its index is known.
    const own = one.file === entry ? one.file.index + 1 : undefined
    const file = open.forLookup(one)
    if (file !== undefined && collectBack(file, own ?? file.findSeqnum(seqnum + 1), run)) ended = true
  }
  before.sort((a, b) => b.known.header.tailSeqnum - a.known.header.tailSeqnum)
  for (const one of before) {
    if (ended) break
    const file = open.forLookup(one)
    if (file !== undefined) ended = collectBack(file, file.entryCount, run)
  }
  open.giveBack()
  return run
}

/** Adds the entries of the run that stand before index `end`. True when another entry stands before them. */
function collectBack(file: JournalFile, end: number, run: Run): boolean {
  for (let index = end - 1; index >= 0; index--) {
    if (!file.load(index)) continue
    if (!run.isOf(file)) return true
    run.add(file)
  }
  return false
}

/** Numbers the entries of a chain as they are read. */
export class Numbering {
  readonly #files: readonly ChainFile[]
  readonly #open: OpenFiles
  /** Of the last entries, as far as any were alike. */
  #run: Run | undefined

  constructor(files: readonly ChainFile[], open: OpenFiles) {
    this.#files = files
    this.#open = open
  }

  /** The next entry asked for is not the one that follows. */
  reset(): void {
    this.#run = undefined
  }

  /** The number of an entry whose predecessors are not known, found by looking back. */
  ofAny(entry: EntryMark): number {
    if (this.#run?.isOf(entry) !== true) this.#run = runBefore(this.#files, entry, this.#open)
    this.#run.add(entry)
    return this.#run.ordinal(entry)
  }

  /** The number of an entry that comes right after `last` and has its stamp. */
  ofNext(entry: EntryMark, last: Stamp & Content): number {
    if (this.#run?.isOf(entry) !== true) {
      this.#run = new Run(last)
      this.#run.add(last)
    }
    this.#run.add(entry)
    return this.#run.ordinal(entry)
  }

  /** How many entries of its stamp there are up to this one. */
  countTo(entry: EntryMark): number {
    const { seqnum } = entry
    return runBefore(this.#files, entry, this.#open).countTo(seqnum)
  }
}

interface Span {
  readonly head: Stamp
  /** undefined while the file may grow */
  readonly tail: Stamp | undefined
}

/** Looks for the entries of one stamp in a chain: the question whether another id's entry is a copy of one in here. */
export class RunFinder {
  readonly #open: OpenFiles
  readonly #spans = new Map<ChainFile, Span>()
  #run: Run | undefined
  // Copies come in the order of the originals: the next run begins where the last one ended.
  #nextFile: ChainFile | undefined
  #nextIndex = 0

  constructor(open: OpenFiles) {
    this.#open = open
  }

  /** Files came, went or grew: nothing remembered holds. */
  reset(): void {
    this.#run = undefined
    this.#nextFile = undefined
  }

  forget(one: ChainFile): void {
    this.#spans.delete(one)
  }

  /** The run of this entry's stamp, empty when there is none; undefined when files are missing that may have held some of it. */
  find(files: readonly ChainFile[], entry: EntryMark): Run | undefined {
    if (this.#run?.isOf(entry)) return this.#run
    const run = new Run(entry)
    const holders: ChainFile[] = []
    let first: ChainFile | undefined
    for (const one of files) {
      const span = this.#span(one)
      if (one.known.gone && this.#open.forLookup(one) === undefined) {
        if (span === undefined ? isWithin(one, entry) : mayHold(span, entry)) return undefined
        continue
      }
      if (span === undefined) continue
      // What stood before the first file that is left is unknown, unless the numbers begin there.
      if (first === undefined && isSameBoot(span.head, entry) && span.head.monotonic >= entry.monotonic) {
        if (one.known.header.headSeqnum > 1) return undefined
      }
      first ??= one
      if (mayHold(span, entry)) holders.push(one)
    }
    if (first === undefined) return undefined
    for (const one of holders) this.#collect(one, entry, run, holders.length === 1)
    this.#run = run
    return run
  }

  /** Adds the entries of this stamp in one file. */
  #collect(one: ChainFile, entry: EntryMark, run: Run, isOnly: boolean): void {
    const file = this.#open.forLookup(one)
    if (file === undefined) return
    let at: number | undefined = this.#nextIndex
    if (!isOnly || this.#nextFile !== one || !file.load(at) || !run.isOf(file)) {
      at = file.findMonotonic(bootIdOf(entry), entry.monotonic)
    }
    this.#nextFile = undefined
    if (at === undefined) return
    for (; at < file.entryCount; at++) {
      if (!file.load(at)) continue
      if (!run.isOf(file)) break
      run.add(file)
    }
    this.#nextFile = one
    this.#nextIndex = at
  }

  /** First and last stamp of a file; undefined when it has no entries, or is gone and was not looked at before. */
  #span(one: ChainFile): Span | undefined {
    const known = this.#spans.get(one)
    if (known !== undefined && (known.tail !== undefined || one.known.live)) return known
    const file = this.#open.forLookup(one)
    if (file === undefined) return known
    file.index = -1
    if (!file.next()) return undefined
    const head = stampOf(file)
    let tail: Stamp | undefined
    if (!one.known.live) {
      file.index = file.entryCount
      if (file.previous()) tail = stampOf(file)
    }
    const span = { head, tail }
    this.#spans.set(one, span)
    return span
  }
}

/** By the header: all that is known of a file that was never opened and is gone. */
function isWithin(one: ChainFile, entry: Content): boolean {
  const { headRealtime, tailRealtime, entries } = one.known.header
  return entries > 0 && entry.realtime >= headRealtime && entry.realtime <= tailRealtime
}

function stampOf({ boot0, boot1, boot2, boot3, monotonic }: Stamp): Stamp {
  return { boot0, boot1, boot2, boot3, monotonic }
}

function mayHold({ head, tail }: Span, entry: Stamp): boolean {
  if (isSameBoot(head, entry) && head.monotonic > entry.monotonic) return false
  if (tail === undefined) return true
  if (isSameBoot(tail, entry)) return tail.monotonic >= entry.monotonic
  // The boot may stand in the middle, between two others.
  return isSameBoot(head, entry) || !isSameBoot(head, tail)
}
