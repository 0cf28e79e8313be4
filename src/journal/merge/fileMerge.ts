// The files of one seqnum id merged by seqnum. A file takes part when the sequence reaches it: before that only its header is known,
// so hundreds of rotated files cost nothing, and what was passed is closed again.
// Invariant: `head` is the smallest entry (backwards the largest) that was not stepped over; an entry that two files have comes once.

import type { KnownFile } from '../directory.ts'
import type { JournalFile } from '../file/file.ts'
import type { CompiledMatch } from '../match.ts'
import { ChainFile, type OpenFiles } from './chainFile.ts'
import { compareContent } from './chainSearch.ts'
import { Order } from './order.ts'

/** Whose files they are: it knows what is not wanted any more. */
export interface Taken {
  /** Nothing below this seqnum is wanted. Reading forwards only. */
  reached(): number
  /** The entry, of a file that was just reached, had its turn. */
  wasTaken(file: JournalFile): boolean
}

export interface FileMergeOptions {
  readonly open: OpenFiles
  readonly reverse: boolean
  readonly match: CompiledMatch | undefined
  /** Entries with larger seqnums are left out for ever. */
  readonly end: number
  readonly taken: Taken
}

export class FileMerge {
  /** The next entry, loaded in its file; undefined when there is none now. */
  head: JournalFile | undefined
  /** All files, by head seqnum. */
  readonly files: ChainFile[] = []

  readonly #open: OpenFiles
  readonly #reverse: boolean
  readonly #match: CompiledMatch | undefined
  readonly #end: number
  readonly #taken: Taken
  /** Forwards, without filter. */
  readonly #isPlain: boolean
  readonly #known = new Set<KnownFile>()
  #active: ChainFile[] = []
  /** In the order in which the sequence reaches them. */
  #waiting: ChainFile[] = []
  /** Active files that have an entry to give. */
  readonly #ready = new Order<ChainFile>((a, b) => this.#compare(a, b))
  #lead: ChainFile | undefined
  /** As long as the seqnum of a plain lead is below this, there is nothing else to look at. */
  #plainBound = 0
  /** Reading backwards: the last seqnum wanted. */
  #to = Number.POSITIVE_INFINITY
  #limit = Number.POSITIVE_INFINITY

  constructor(options: FileMergeOptions) {
    this.#open = options.open
    this.#reverse = options.reverse
    this.#match = options.match
    this.#end = options.end
    this.#taken = options.taken
    this.#isPlain = !options.reverse && options.match === undefined
  }

  has(known: KnownFile): boolean {
    return this.#known.has(known)
  }

  add(known: KnownFile): void {
    const one = new ChainFile(known)
    this.#known.add(known)
    insert(this.files, one, (file) => file.known.header.headSeqnum)
    if (this.#isBeyond(one)) one.state = 'passed'
    else insert(this.#waiting, one, (file) => this.#edge(file))
  }

  /** No directory has any of them any more. */
  get isGone(): boolean {
    return this.files.every((one) => one.known.gone)
  }

  /** Some entry is announced by its file and not complete yet. */
  get isIncomplete(): boolean {
    return this.#active.some((one) => !one.ready && one.file !== undefined && one.file.index < one.file.entryCount - 1)
  }

  /** Forgets all but the last `keep` of those that are gone for good. Gives the forgotten ones. */
  prune(keep: number): ChainFile[] {
    const gone = this.files.filter((one) => one.known.gone && one.state === 'passed')
    const forgotten = gone.slice(0, Math.max(0, gone.length - keep))
    for (const one of forgotten) {
      one.close()
      this.#known.delete(one.known)
      this.files.splice(this.files.indexOf(one), 1)
    }
    return forgotten
  }

  /** Entries above `limit` wait: one before them may not be visible yet. Holds from the next `refresh` or `restart` on. */
  set limit(limit: number) {
    this.#limit = Math.min(limit, this.#end)
    this.#plainBound = 0
  }

  /** The seqnum of an entry that waits behind the limit, or 0. */
  get heldSeqnum(): number {
    const lead = this.#lead
    return lead?.ready === true && lead.file !== undefined && this.head === undefined ? lead.file.seqnum : 0
  }

  /** Begins anew: backwards at `seqnum`, forwards where `taken` says. */
  restart(seqnum: number): void {
    this.#to = Math.min(seqnum, this.#limit)
    this.#lead = undefined
    this.#active = []
    this.#ready.clear()
    for (const one of this.files) {
      one.ready = false
      one.state = 'waiting'
      if (this.#isBeyond(one)) this.#open.pass(one)
    }
    this.#waiting = this.files.filter((one) => one.state === 'waiting')
    this.#waiting.sort((a, b) => this.#edge(a) - this.#edge(b))
    this.#select()
  }

  /** Steps over the head. Returns the new one. */
  advance(): JournalFile | undefined {
    const { head } = this
    const lead = this.#lead
    if (head === undefined || lead === undefined) return head
    if (this.#isPlain ? head.next() : this.#step(lead, head)) {
      if (head.seqnum < this.#plainBound) return head
      this.#ready.moveFirst()
    } else {
      this.#ready.shift()
      this.#exhaust(lead)
    }
    return this.#select()
  }

  /** Takes up what was written to the files that are open, and files that were added. */
  refresh(): void {
    for (const one of [...this.#active]) this.#refreshFile(one)
    this.#select()
  }

  close(): void {
    for (const one of this.files) one.close()
    this.#ready.clear()
    this.head = undefined
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
        const before = next === undefined ? this.#limit : this.#key(next)
        this.#plainBound = Math.min(this.#limit, before, waiting === undefined ? this.#limit : this.#edge(waiting))
      }
      this.head = lead?.file !== undefined && lead.file.seqnum <= this.#limit ? lead.file : undefined
      return this.head
    }
  }

  #activate(one: ChainFile): void {
    const file = this.#open.open(one)
    if (file === undefined) {
      one.state = 'passed'
      return
    }
    one.state = 'active'
    this.#active.push(one)
    const from = this.#taken.reached()
    if (!this.#reverse) file.index = from > one.known.header.headSeqnum ? file.findSeqnum(from) - 1 : -1
    else file.index = this.#to === Number.POSITIVE_INFINITY ? file.entryCount : file.findSeqnum(this.#to + 1)
    do one.ready = this.#step(one, file)
    while (one.ready && !this.#reverse && this.#taken.wasTaken(file))
    this.#enter(one)
  }

  /** An active file has made a step. */
  #enter(one: ChainFile): void {
    if (one.ready) this.#ready.add(one)
    else this.#exhaust(one)
  }

  /** The file has no more entries for now. */
  #exhaust(one: ChainFile): void {
    one.ready = false
    if (!one.final && !this.#reverse) {
      // Another file goes on where this one ends: what is kept of it would only lie about.
      if (one.file !== undefined && this.#isSucceeded(one.file)) one.file.releaseCaches()
      return
    }
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
    return known.gone && this.#isSucceeded(file)
  }

  /** Another file begins behind all that this one holds. */
  #isSucceeded({ header }: JournalFile): boolean {
    return this.files.some((other) => other.known.header.headSeqnum > header.tailSeqnum)
  }

  #isBeyond(one: ChainFile): boolean {
    return this.#reverse ? one.beginsBehind(this.#to) : one.endsBefore(this.#taken.reached())
  }

  /**
   * Where the sequence reaches a file, as a key (seqnum, negative when reading backwards). What a file ends with that is still
   * written to is not known.
   */
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
}

function insert(list: ChainFile[], one: ChainFile, key: (one: ChainFile) => number): void {
  let at = list.length
  while (at > 0 && key(list[at - 1] as ChainFile) > key(one)) at--
  list.splice(at, 0, one)
}
