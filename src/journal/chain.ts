// All files of one seqnum id as one sequence: ordered by seqnum, the same entry in two files once. Files take part when the
// sequence reaches them; before that only their headers are known, and what was passed is closed again.
// Invariant: `head` is the next entry in the direction of reading, and everything before it in this chain was taken.

import { ChainFile, type OpenFiles } from './chainFile.ts'
import { compareContent, firstAtMonotonic, firstAtRealtime, isReused, tailSeqnum } from './chainSearch.ts'
import type { Copies } from './copies.ts'
import { type EntryMark, isSameBoot } from './cursor.ts'
import type { KnownFile } from './directory.ts'
import type { JournalFile } from './file.ts'
import type { Gaps } from './gaps.ts'
import type { CompiledMatch } from './match.ts'
import { Order } from './order.ts'
import { type Floor, IdPosition } from './position.ts'
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
  /** The next entry, loaded in its file; undefined when there is none now. */
  head: JournalFile | undefined
  /** The last entry taken; seqnum 0: none. */
  last = new IdPosition()
  /** The position that was sought knows this id, perhaps with nothing taken. */
  isKnown = false
  /** Seqnums from here to `last` were taken one after another and are not reported to `gaps` yet. */
  unreported = 0

  readonly #open: OpenFiles
  readonly #reverse: boolean
  readonly #match: CompiledMatch | undefined
  readonly #end: number
  /** Forwards, without filter. */
  readonly #isPlain: boolean
  readonly #finder: RunFinder
  readonly #numbering: Numbering
  /** By head seqnum. */
  readonly #files: ChainFile[] = []
  readonly #known = new Set<KnownFile>()
  #active: ChainFile[] = []
  /** In the order in which the sequence reaches them. */
  #waiting: ChainFile[] = []
  /** Active files that have an entry to give. */
  readonly #ready = new Order<ChainFile>((a, b) => this.#compare(a, b))
  #lead: ChainFile | undefined
  #isTaken = false
  /** `copies.epoch` when `last` got its boot from an entry that passed there; -1: it did not. */
  #epoch = -1
  /** As long as the seqnum of a plain lead is below this, there is nothing else to look at. */
  #plainBound = 0
  /** The first seqnum wanted, or the last one when reading backwards. */
  #from = 0
  #limit = Number.POSITIVE_INFINITY
  /** Seqnums were given out again after `last`; see seekPosition. */
  #reused = false
  /** Nothing was taken since the last seek, so what precedes the next entry was not seen. */
  #fresh = true

  constructor(options: ChainOptions) {
    this.source = options.source
    this.seqnumId = options.seqnumId
    this.gaps = options.gaps
    this.copies = options.copies
    this.#isPlain = !options.reverse && options.match === undefined
    this.gaps.join()
    this.copies.chains.push(this)
    this.#open = options.open
    this.#reverse = options.reverse
    this.#match = options.match
    this.#end = options.end
    this.#finder = new RunFinder(options.open)
    this.#numbering = new Numbering(this.#files, options.open)
  }

  // Files

  has(known: KnownFile): boolean {
    return this.#known.has(known)
  }

  add(known: KnownFile): void {
    const one = new ChainFile(known)
    this.#known.add(known)
    insert(this.#files, one, (file) => file.known.header.headSeqnum)
    if (this.#isBeyond(one)) one.state = 'passed'
    else insert(this.#waiting, one, (file) => this.#edge(file))
    this.#finder.reset()
  }

  /** No directory has any of its files any more. */
  get isGone(): boolean {
    return this.#files.every((one) => one.known.gone)
  }

  /** Some entry is announced by its file and not complete yet. */
  get isIncomplete(): boolean {
    return this.#active.some((one) => !one.ready && one.file !== undefined && one.file.index < one.file.entryCount - 1)
  }

  /** Forgets files that are gone for good, so that months of rotation leave nothing behind. */
  prune(keep: number): void {
    const gone = this.#files.filter((one) => one.known.gone && one.state === 'passed')
    for (const one of gone.slice(0, Math.max(0, gone.length - keep))) {
      one.close()
      this.#known.delete(one.known)
      this.#files.splice(this.#files.indexOf(one), 1)
      this.#finder.forget(one)
    }
  }

  close(): void {
    for (const one of this.#files) one.close()
    this.#ready.clear()
    this.head = undefined
  }

  // Reading

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
    this.#fresh = false
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
    const { head } = this
    const lead = this.#lead
    if (head === undefined || lead === undefined || !this.#isTaken) return head
    this.#isTaken = false
    if (this.#isPlain ? head.next() : this.#step(lead, head)) {
      if (head.seqnum < this.#plainBound) return head
      this.#ready.moveFirst()
    } else {
      this.#ready.shift()
      this.#exhaust(lead)
    }
    return this.#select()
  }

  /** The number of the head, not taken yet when reading forwards, among the entries equal to it in all but the seqnum. */
  ordinal(): number {
    const { head, last } = this
    if (head === undefined) return 0
    // What stands before is known: it was taken, now or before the position.
    if (head.monotonic !== last.monotonic && last.seqnum > 0 && !this.#reverse) return 0
    return this.#ordinalInRun(head, last)
  }

  #ordinalInRun(head: JournalFile, last: IdPosition): number {
    if (this.#reverse) return this.#numbering.ofAny(head)
    if (last.seqnum > 0 && !isSameBoot(head, last)) return 0
    if (!this.#fresh) return this.#numbering.ofNext(head, last)
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
    this.#limit = Math.min(limit, this.#end)
    this.#plainBound = 0
  }

  /** The seqnum of an entry that waits behind the limit, or 0. */
  get heldSeqnum(): number {
    const lead = this.#lead
    return lead?.ready === true && lead.file !== undefined && this.head === undefined ? lead.file.seqnum : 0
  }

  /** Takes up what was written to the files that are open. */
  refresh(): void {
    if (this.#isTaken) this.advance()
    for (const one of [...this.#active]) this.#refreshFile(one)
    this.#finder.reset()
    this.#select()
  }

  // Seeking: all of these leave the first wanted entry as head.

  seekHead(): void {
    this.#restart(0)
  }

  seekTail(): void {
    this.#restart(this.#reverse ? Number.POSITIVE_INFINITY : this.tailSeqnum() + 1)
  }

  /** To the entry with this seqnum or the next one in the direction of reading. */
  seekSeqnum(seqnum: number): void {
    this.#restart(seqnum)
  }

  /** To the first entry at or after this time, backwards to the last one at or before it. */
  seekRealtime(us: number): void {
    const seqnum = this.#lookUp(() => firstAtRealtime(this.#files, this.#open, this.#reverse ? us + 1 : us))
    if (!this.#reverse) this.#restart(seqnum ?? this.tailSeqnum() + 1)
    else this.#restart((seqnum ?? Number.POSITIVE_INFINITY) - 1)
  }

  /** The same by the clock of a boot; false, and nothing is done, when this chain has no entry of it. */
  seekMonotonic(bootId: string, us: number): boolean {
    const seqnum = this.#lookUp(() => firstAtMonotonic(this.#files, this.#open, bootId, this.#reverse ? us + 1 : us))
    if (seqnum === undefined) return false
    this.#restart(this.#reverse ? seqnum - 1 : seqnum)
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
    this.#reset()
    this.last = position.clone()
    this.isKnown = true
    if (position.seqnum === 0 || !this.#lookUp(() => isReused(this.#files, this.#open, position))) {
      this.#restart(position.seqnum, position)
      return
    }
    // The journal lost its end, as a power cut does it, and the numbers were given out again: go by time.
    this.#reused = true
    const { monotonic, realtime } = position
    const [files, open] = [this.#files, this.#open]
    const next = this.#lookUp(
      () => firstAtMonotonic(files, open, position.bootId, monotonic + 1) ?? firstAtRealtime(files, open, realtime + 1),
    )
    this.#restart(next ?? this.tailSeqnum() + 1, position)
  }

  /** The largest seqnum that can be read now, or 0. */
  tailSeqnum(): number {
    return this.#lookUp(() => tailSeqnum(this.#files, this.#open))
  }

  /**
   * The seqnum of the entry in this chain that is equal to `entry` of another one in all four and in its number; 0 when there
   * is none; undefined when a file that may have had it is missing.
   */
  find(entry: EntryMark, ordinal: number): number | undefined {
    const run = this.#finder.find(this.#files, entry)
    this.#open.giveBack()
    return run === undefined ? undefined : (run.seqnumOf(entry, ordinal) ?? 0)
  }

  /** The seqnum of the first entry equal to `entry` in all four, or undefined. */
  findContent(entry: EntryMark): number | undefined {
    return this.#lookUp(() => this.#finder.find(this.#files, entry)?.seqnumOf(entry, 0))
  }

  /** How many entries share the head's stamp, up to the head. */
  countInRun(head: JournalFile): number {
    return this.#numbering.countTo(head)
  }

  // Inside

  #lookUp<T>(question: () => T): T {
    const answer = question()
    this.#open.giveBack()
    return answer
  }

  #step(one: ChainFile, file: JournalFile): boolean {
    if (this.#match !== undefined) return this.#match.step(file, this.#reverse, one.final)
    return this.#reverse ? file.previous() : file.next()
  }

  /** Brings in the files that the sequence has reached, and chooses the head. */
  #select(): JournalFile | undefined {
    const ready = this.#ready.list
    for (;;) {
      const lead = ready[0]
      const waiting = this.#waiting[0]
      if (waiting !== undefined && (lead === undefined || this.#edge(waiting) <= this.#key(lead))) {
        this.#waiting.shift()
        this.#activate(waiting)
        continue
      }
      this.#lead = lead
      const next = ready[1]
      if (lead?.file !== undefined && next?.file !== undefined && this.#compare(lead, next) === 0) {
        // The same entry in two files: the lead's is given.
        this.#ready.remove(next)
        next.ready = this.#step(next, next.file)
        this.#enter(next)
        continue
      }
      if (this.#isPlain) {
        const bound = Math.min(
          next === undefined ? this.#limit : this.#key(next),
          waiting === undefined ? this.#limit : this.#edge(waiting),
        )
        this.#plainBound = Math.min(bound, this.#limit)
      }
      this.head = lead?.file !== undefined && lead.file.seqnum <= this.#limit ? lead.file : undefined
      return this.head
    }
  }

  /** An active file has made a step. */
  #enter(one: ChainFile): void {
    if (one.ready) this.#ready.add(one)
    else this.#exhaust(one)
  }

  #activate(one: ChainFile): void {
    const file = this.#open.open(one)
    if (file === undefined) {
      one.state = 'passed'
      return
    }
    one.state = 'active'
    this.#active.push(one)
    const from = this.#reached()
    if (!this.#reverse) file.index = from > one.known.header.headSeqnum ? file.findSeqnum(from) - 1 : -1
    else file.index = this.#from === Number.POSITIVE_INFINITY ? file.entryCount : file.findSeqnum(this.#from + 1)
    do one.ready = this.#step(one, file)
    while (one.ready && !this.#reverse && this.#wasTaken(file))
    this.#enter(one)
  }

  /** The file has no more entries for now. */
  #exhaust(one: ChainFile): void {
    one.ready = false
    if (!one.final && !this.#reverse) return
    this.#active = this.#active.filter((other) => other !== one)
    this.#open.pass(one)
  }

  #refreshFile(one: ChainFile): void {
    const { file } = one
    if (file === undefined || one.final) return
    const isFinal = !one.known.live || this.#isAbandoned(one, file)
    const result = file.refresh()
    if (result === 'vacuumed' || result === 'replaced') {
      one.final = true
      this.#ready.remove(one)
      this.#exhaust(one)
      one.close()
      return
    }
    one.final = isFinal
    // The windows may be gone since.
    if (one.ready && file.load(file.index)) return
    this.#ready.remove(one)
    one.ready = this.#step(one, file)
    this.#enter(one)
  }

  /** Its name was removed while journald had it open, and journald has gone on to another file since. */
  #isAbandoned({ known }: ChainFile, file: JournalFile): boolean {
    return known.gone && this.#files.some((other) => other.known.header.headSeqnum > file.header.tailSeqnum)
  }

  #reset(): void {
    this.report()
    this.last = new IdPosition()
    this.#epoch = -1
    this.isKnown = false
    this.#reused = false
  }

  #restart(from: number, position?: IdPosition): void {
    if (position === undefined) this.#reset()
    this.#from = this.#reverse ? Math.min(from, this.#limit) : from
    this.#fresh = true
    this.#numbering.reset()
    this.#isTaken = false
    this.#lead = undefined
    this.#active = []
    this.#ready.clear()
    for (const one of this.#files) {
      one.ready = false
      one.state = 'waiting'
      if (this.#isBeyond(one)) this.#open.pass(one)
    }
    this.#waiting = this.#files.filter((one) => one.state === 'waiting')
    this.#waiting.sort((a, b) => this.#edge(a) - this.#edge(b))
    this.#select()
  }

  #isBeyond(one: ChainFile): boolean {
    return this.#reverse ? one.beginsBehind(this.#from) : one.endsBefore(this.#reached())
  }

  /** Reading forwards: nothing below this seqnum is wanted. */
  #reached(): number {
    return this.#fresh ? this.#from : Math.max(this.#from, this.last.seqnum)
  }

  /** Where the sequence reaches a file, as a key (seqnum, negative when reading backwards). What a file that is still written to ends with is not known. */
  #edge(one: ChainFile): number {
    if (!this.#reverse) return one.known.header.headSeqnum
    return one.isArchived ? -one.known.header.tailSeqnum : Number.NEGATIVE_INFINITY
  }

  #key(one: ChainFile): number {
    const seqnum = one.file?.seqnum ?? 0
    return this.#reverse ? -seqnum : seqnum
  }

  #compare(a: ChainFile, b: ChainFile): number {
    if (a.file === undefined || b.file === undefined) return 0
    const order = a.file.seqnum - b.file.seqnum || compareContent(a.file, b.file)
    return this.#reverse ? -order : order
  }

  #wasTaken(file: JournalFile): boolean {
    const { last } = this
    if (this.#fresh && file.seqnum < this.#from) return true
    if (this.#fresh && this.#reused) {
      return file.seqnum <= last.seqnum && isSameBoot(file, last) && file.monotonic <= last.monotonic
    }
    return file.seqnum < last.seqnum || (file.seqnum === last.seqnum && compareContent(file, last) <= 0)
  }

  #count(head: JournalFile, last: IdPosition): void {
    const { seqnum } = head
    if (seqnum !== last.seqnum + 1 || (this.unreported === 0 && this.gaps.isShared)) this.#account(seqnum)
  }

  /** A new stretch of numbers begins with `next`. */
  #account(next: number): void {
    this.report()
    const { seqnum } = this.last
    const isReused = this.#fresh && this.#reused
    if (seqnum > 0 && next > seqnum + 1 && this.#match === undefined && !isReused) this.gaps.jump(seqnum, next)
    if (this.gaps.isShared) this.unreported = next
  }
}

function insert(list: ChainFile[], one: ChainFile, key: (one: ChainFile) => number): void {
  let at = list.length
  while (at > 0 && key(list[at - 1] as ChainFile) > key(one)) at--
  list.splice(at, 0, one)
}
