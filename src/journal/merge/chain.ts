// One seqnum id: its entries in order of seqnum, the place that was reached in it, and the ways to seek a place.
// Invariant: everything before `head` in the direction of reading was taken, and `last` is the last entry taken.

import { type EntryMark, isSameBoot } from '../cursor.ts'
import type { KnownFile } from '../directory.ts'
import type { JournalFile } from '../file/file.ts'
import type { CompiledMatch } from '../match.ts'
import { type Floor, IdPosition } from '../position.ts'
import type { OpenFiles } from './chainFile.ts'
import { compareContent, firstAtMonotonic, firstAtRealtime, isReused, tailSeqnum } from './chainSearch.ts'
import type { Copies } from './copies.ts'
import { FileMerge } from './fileMerge.ts'
import type { Gaps } from './gaps.ts'
import { Numbering, RunFinder } from './runs.ts'

export interface ChainOptions {
  readonly source: string
  readonly seqnumId: string
  readonly open: OpenFiles
  readonly reverse: boolean
  readonly match: CompiledMatch | undefined
  readonly gaps: Gaps
  readonly copies: Copies
  /** Entries with larger seqnums are left out for ever. */
  readonly end: number
}

export class Chain {
  readonly source: string
  readonly seqnumId: string
  readonly gaps: Gaps
  readonly copies: Copies
  /** The last entry taken; seqnum 0: none. */
  last = new IdPosition()
  /** The position that was sought knows this id, perhaps with nothing taken. */
  isKnown = false
  /** Seqnums from here to `last` were taken one after another and are not reported to `gaps` yet. */
  unreported = 0

  readonly #open: OpenFiles
  readonly #reverse: boolean
  readonly #hasMatch: boolean
  readonly #merge: FileMerge
  readonly #finder: RunFinder
  readonly #numbering: Numbering
  #isTaken = false
  /** `copies.epoch` when `last` got its boot from an entry that passed there; -1: it did not. */
  #epoch = -1
  /** The first seqnum wanted. */
  #from = 0
  /** Seqnums were given out again after `last`; see seekPosition. */
  #isReused = false
  /** Nothing was taken since the last seek, so what precedes the next entry was not seen. */
  #isFresh = true

  constructor({ source, seqnumId, gaps, copies, open, reverse, match, end }: ChainOptions) {
    this.source = source
    this.seqnumId = seqnumId
    this.gaps = gaps
    this.copies = copies
    this.#open = open
    this.#reverse = reverse
    this.#hasMatch = match !== undefined
    this.#merge = new FileMerge({ open, reverse, match, end, taken: this })
    this.#finder = new RunFinder(open)
    this.#numbering = new Numbering(this.#merge.files, open)
    gaps.join()
    copies.chains.push(this)
  }

  // Files

  has(known: KnownFile): boolean {
    return this.#merge.has(known)
  }

  add(known: KnownFile): void {
    this.#merge.add(known)
    this.#finder.reset()
  }

  /** No directory has any of its files any more. */
  get isGone(): boolean {
    return this.#merge.isGone
  }

  /** Some entry is announced by its file and not complete yet. */
  get isIncomplete(): boolean {
    return this.#merge.isIncomplete
  }

  /** Forgets files that are gone for good, so that months of rotation leave nothing behind. */
  prune(keep: number): void {
    for (const one of this.#merge.prune(keep)) this.#finder.forget(one)
  }

  close(): void {
    this.#merge.close()
  }

  // Reading

  /** The next entry, loaded in its file; undefined when there is none now. */
  get head(): JournalFile | undefined {
    return this.#merge.head
  }

  /** Takes the head: it counts as given, or as the copy of what was. It stays loaded until `advance` or `refresh`. */
  take(): void {
    const { head, last } = this
    if (head === undefined) return
    if (this.#reverse) last.place(head, 1)
    else {
      this.#count(head, last)
      last.take(head)
    }
    this.#epoch = -1
    this.#isTaken = true
    this.#isFresh = false
  }

  /** The same for a head that `copies` let pass: later, or earlier backwards, than all that was taken of its boot. */
  follow(head: JournalFile): void {
    const { last, copies } = this
    if (this.#epoch !== copies.epoch) {
      this.take()
      this.#epoch = copies.epoch
      return
    }
    if (!this.#reverse) this.#count(head, last)
    last.follow(head)
    this.#isTaken = true
  }

  /** Moves over the taken head. Returns the new one. */
  advance(): JournalFile | undefined {
    if (!this.#isTaken) return this.#merge.head
    this.#isTaken = false
    return this.#merge.advance()
  }

  /** The number of the head, not taken yet when reading forwards, among the entries equal to it in all but the seqnum. */
  ordinal(): number {
    const { head, last } = this
    if (head === undefined) return 0
    if (this.#reverse) return this.#numbering.ofAny(head)
    // What stands before is known: it was taken, now or before the position.
    if (last.seqnum > 0 && (head.monotonic !== last.monotonic || !isSameBoot(head, last))) return 0
    if (!this.#isFresh) return this.#numbering.ofNext(head, last)
    return this.#from === 0 ? 0 : this.#numbering.ofAny(head)
  }

  /** Everything read so far is known to `gaps`. */
  report(): void {
    if (this.unreported > 0) this.gaps.see(this.unreported, this.last.seqnum)
    this.unreported = 0
  }

  // Following

  /** Entries above `limit` wait: one before them may not be visible yet. */
  set limit(limit: number) {
    this.#merge.limit = limit
  }

  /** The seqnum of an entry that waits behind the limit, or 0. */
  get heldSeqnum(): number {
    return this.#merge.heldSeqnum
  }

  /** Takes up what was written to the files that are open. */
  refresh(): void {
    this.advance()
    this.#merge.refresh()
    this.#finder.reset()
  }

  // Seeking: all of these leave the first wanted entry as head.

  seekHead(): void {
    this.seekSeqnum(0)
  }

  seekTail(): void {
    this.seekSeqnum(this.#reverse ? Number.POSITIVE_INFINITY : this.tailSeqnum() + 1)
  }

  /** To the entry with this seqnum or the next one in the direction of reading. */
  seekSeqnum(seqnum: number): void {
    this.#forget()
    this.#restart(seqnum)
  }

  /** To the first entry at or after this time, backwards to the last one at or before it. */
  seekRealtime(us: number): void {
    const seqnum = this.#lookUp((files) => firstAtRealtime(files, this.#open, this.#reverse ? us + 1 : us))
    if (!this.#reverse) this.seekSeqnum(seqnum ?? this.tailSeqnum() + 1)
    else this.seekSeqnum((seqnum ?? Number.POSITIVE_INFINITY) - 1)
  }

  /** The same by the clock of a boot; false, and nothing is done, when this chain has no entry of it. */
  seekMonotonic(bootId: string, us: number): boolean {
    const seqnum = this.#lookUp((files) => firstAtMonotonic(files, this.#open, bootId, this.#reverse ? us + 1 : us))
    if (seqnum === undefined) return false
    this.seekSeqnum(this.#reverse ? seqnum - 1 : seqnum)
    return true
  }

  /** To the first entry that is not below the floor: for an id without a position. */
  seekFloor({ realtime, bootId, monotonic }: Floor): void {
    if (bootId !== undefined && this.seekMonotonic(bootId, monotonic ?? 0)) return
    if (realtime > 0) this.seekRealtime(realtime)
    else this.seekHead()
  }

  /** To the entry behind the position. */
  seekPosition(position: IdPosition): void {
    this.#forget()
    this.last = position.clone()
    this.isKnown = true
    if (position.seqnum === 0 || !this.#lookUp((files) => isReused(files, this.#open, position))) {
      this.#restart(position.seqnum)
      return
    }
    // The journal lost its end, as a power cut does it, and the numbers were given out again: go by time.
    this.#isReused = true
    const { bootId, monotonic, realtime } = position
    const next = this.#lookUp(
      (files) =>
        firstAtMonotonic(files, this.#open, bootId, monotonic + 1) ?? firstAtRealtime(files, this.#open, realtime + 1),
    )
    this.#restart(next ?? this.tailSeqnum() + 1)
  }

  /** The largest seqnum that can be read now, or 0. */
  tailSeqnum(): number {
    return this.#lookUp((files) => tailSeqnum(files, this.#open))
  }

  // Looking up

  /**
   * The seqnum of the entry in this chain that is equal to `entry` of another one in all four and in its number; 0 when there
   * is none; undefined when a file that may have had it is missing.
   */
  find(entry: EntryMark, ordinal: number): number | undefined {
    const run = this.#lookUp((files) => this.#finder.find(files, entry))
    return run === undefined ? undefined : (run.seqnumOf(entry, ordinal) ?? 0)
  }

  /** How many entries share the head's stamp, up to the head. */
  countInRun(head: JournalFile): number {
    return this.#numbering.countTo(head)
  }

  // What the merge asks

  reached(): number {
    return this.#isFresh ? this.#from : Math.max(this.#from, this.last.seqnum)
  }

  wasTaken(file: JournalFile): boolean {
    const { last } = this
    if (this.#isFresh && file.seqnum < this.#from) return true
    if (this.#isFresh && this.#isReused) {
      return file.seqnum <= last.seqnum && isSameBoot(file, last) && file.monotonic <= last.monotonic
    }
    return file.seqnum < last.seqnum || (file.seqnum === last.seqnum && compareContent(file, last) <= 0)
  }

  // Inside

  #lookUp<T>(question: (files: FileMerge['files']) => T): T {
    const answer = question(this.#merge.files)
    this.#open.giveBack()
    return answer
  }

  #forget(): void {
    this.report()
    this.last = new IdPosition()
    this.isKnown = false
    this.#isReused = false
  }

  #restart(seqnum: number): void {
    this.#from = seqnum
    this.#epoch = -1
    this.#isFresh = true
    this.#isTaken = false
    this.#numbering.reset()
    this.#merge.restart(seqnum)
  }

  #count(head: JournalFile, last: IdPosition): void {
    const { seqnum } = head
    if (seqnum !== last.seqnum + 1 || (this.unreported === 0 && this.gaps.isShared)) this.#account(seqnum)
  }

  /** A new stretch of numbers begins with `next`. */
  #account(next: number): void {
    this.report()
    const { seqnum } = this.last
    const isReused = this.#isFresh && this.#isReused
    if (seqnum > 0 && next > seqnum + 1 && !this.#hasMatch && !isReused) this.gaps.jump(seqnum, next)
    if (this.gaps.isShared) this.unreported = next
  }
}
