// The entries of a source, or of all, as one sequence: chains (one per seqnum id) merged by time, copies that a flush made dropped,
// nothing ever skipped because something later was read before it.
// Invariant: an entry is given once; a place is kept per seqnum id, so an id that comes late is read from its own beginning.

import { bootWordsOf, type CursorParts, type EntryMark, isAtCursor, isSameBoot } from './cursor.ts'
import type { JournalSet } from './directory.ts'
import type { JournalFile } from './file/file.ts'
import { CompiledMatch, type Match } from './match.ts'
import type { Chain } from './merge/chain.ts'
import { Chains } from './merge/chains.ts'
import { UNKNOWN } from './merge/copies.ts'
import { Order } from './merge/order.ts'
import { type Floor, PositionState, type Start } from './position.ts'

export interface ReaderOptions {
  /** One source; default: all of the set. */
  readonly source?: string
  readonly match?: Match
  readonly reverse?: boolean
  /** Entries beyond it, and those of ids that it does not have, are not given. */
  readonly end?: PositionState
}

export class JournalReader {
  readonly #set: JournalSet
  readonly #options: ReaderOptions
  readonly #reverse: boolean
  readonly #chains: Chains
  /** Chains with a head, the next one first. */
  readonly #order = new Order<Chain>((a, b) => this.#compareHeads(a, b))
  #given: Chain | undefined
  #ordinal = 0
  /** Where ids begin that are met for the first time. */
  #floor: Floor = { realtime: 0 }
  /** `next` found nothing since the last refresh. */
  #isDrained = false
  /** The chain of the last entry, and the id where that was before the last seek or has no file any more. */
  #newest: Chain | undefined
  #lastId = ''

  constructor(set: JournalSet, options: ReaderOptions = {}) {
    this.#set = set
    this.#options = options
    this.#reverse = options.reverse ?? false
    const { source, end, reverse = false } = options
    const match = options.match === undefined ? undefined : new CompiledMatch(options.match)
    this.#chains = new Chains(set, { source, end, reverse, match: match?.isEverything === true ? undefined : match })
  }

  /** Number of the current entry among those equal to it in boot, times and content, within its seqnum id. */
  get ordinal(): number {
    return this.#reverse && this.#given !== undefined ? this.#given.ordinal() : this.#ordinal
  }

  /** Entries that the journal no longer holds, as far as was read. Holes count when all that is there was read. */
  get seqnumGap(): number {
    return this.#chains.lost
  }

  // Seeking. Afterwards `next` gives the first entry from there on, or, backwards, the last one up to there.

  seekHead(): void {
    this.#prepare({ realtime: 0 })
    for (const chain of this.#chains) chain.seekHead()
    this.#arrange()
  }

  seekTail(): void {
    this.#prepare(this.#reverse ? { realtime: 0 } : this.#newestFloor())
    for (const chain of this.#chains) chain.seekTail()
    this.#arrange()
  }

  /** @param us µs since 1970 */
  seekRealtime(us: number): void {
    this.#prepare({ realtime: us })
    for (const chain of this.#chains) chain.seekRealtime(us)
    this.#arrange()
  }

  /**
   * To the entry of a cursor, or what follows its place when it is gone; `after`: behind the entry itself. Every id takes the first of
   * the cursor's parts that helps: its own seqnum, boot and monotonic time, realtime.
   */
  seekCursor(cursor: CursorParts, after: boolean): void {
    const { seqnumId, seqnum, bootId, monotonic, realtime } = cursor
    const floor = bootId === undefined || monotonic === undefined ? {} : { bootId, monotonic }
    this.#prepare({ realtime: realtime ?? 0, ...floor })
    const place = placeOf(cursor)
    let hasOwn = false
    for (const chain of this.#chains) {
      const isOwn =
        seqnumId === chain.seqnumId && seqnum !== undefined && (this.#reverse || chain.tailSeqnum() >= seqnum)
      const copy = isOwn || place === undefined ? undefined : chain.find(place, 0)
      hasOwn ||= isOwn
      if (isOwn) chain.seekSeqnum(seqnum)
      else if (copy !== undefined && copy > 0) chain.seekSeqnum(copy)
      else if (bootId !== undefined && monotonic !== undefined && chain.seekMonotonic(bootId, monotonic))
        this.#align(chain, place)
      else if (realtime !== undefined) chain.seekRealtime(realtime)
      else if (this.#reverse) chain.seekTail()
      else chain.seekHead()
    }
    if (after) this.#skipCursor(cursor, place, hasOwn)
    this.#arrange()
  }

  /** To what follows a position: every id from its own place, an id that it does not have from the floor. */
  seekPosition(position: PositionState): void {
    this.#prepare(position.floor)
    for (const chain of this.#chains) {
      const place = position.ids.get(chain.seqnumId)
      if (place === undefined) chain.seekFloor(position.floor)
      else chain.seekPosition(place)
      chain.gaps.start(chain.last.seqnum)
    }
    for (const [id, place] of position.ids) {
      if (this.#chains.has(id)) continue
      // Which source it was of nobody knows; one position is of one source.
      for (const source of this.#chains.sources) source.orphans.set(id, place.clone())
    }
    this.#lastId = position.lastId
    this.#arrange()
  }

  /** Where a sink begins that has no position, as the files are now. Leaves this reader where it is. */
  startPosition(start: Start): PositionState {
    if (start.kind === 'oldest') return PositionState.empty({ realtime: 0 })
    if (start.kind === 'since') return PositionState.empty({ realtime: start.realtimeUs })
    const { source } = this.#options
    const back = new JournalReader(this.#set, { reverse: true, ...(source === undefined ? {} : { source }) })
    try {
      back.seekTail()
      return back.#positionBefore(start.kind === 'last' ? start.entries : 0)
    } finally {
      back.close()
    }
  }

  /**
   * Where a sink stands that has everything up to the entry of a cursor, that one included; where it is gone, up to its place.
   * Leaves this reader where it is.
   */
  positionAt(cursor: CursorParts): PositionState {
    const { source } = this.#options
    const back = new JournalReader(this.#set, { reverse: true, ...(source === undefined ? {} : { source }) })
    try {
      back.seekCursor(cursor, false)
      return back.#positionBefore(0)
    } finally {
      back.close()
    }
  }

  // Reading

  /** The file whose loaded entry is the next one, until the next call. undefined: there is nothing more now. */
  next(): JournalFile | undefined {
    const given = this.#given
    if (given !== undefined) {
      this.#given = undefined
      this.#advance(given)
    }
    const { list } = this.#order
    for (let chain = list[0]; chain !== undefined; chain = list[0]) {
      const file = chain.head
      if (file === undefined) {
        this.#order.shift()
        continue
      }
      if (chain !== this.#newest) {
        this.#newest?.report()
        this.#newest = chain
      }
      // Nearly every entry passes here.
      if (chain.copies.passes(file)) {
        chain.follow(file)
        this.#ordinal = 0
      } else {
        const ordinal = this.#reverse ? UNKNOWN : chain.ordinal()
        const isCopy = chain.copies.has(chain, file, ordinal)
        chain.take()
        if (isCopy) {
          this.#advance(chain)
          continue
        }
        this.#ordinal = ordinal
      }
      this.#given = chain
      return file
    }
    this.#newest?.report()
    this.#isDrained = true
    this.#chains.settle()
    return undefined
  }

  /** Where reading stands: everything given so far, and copies dropped on the way. Costs more than PositionState.take. */
  position(): PositionState {
    const state = PositionState.empty(this.#floor)
    for (const source of this.#chains.sources) {
      for (const [id, place] of source.orphans) state.ids.set(id, place.clone())
    }
    for (const chain of this.#chains) this.#mark(state, chain)
    const lastId = this.#newest?.seqnumId ?? this.#lastId
    const last = state.ids.get(lastId)
    if (last !== undefined) state.put(lastId, last)
    return state
  }

  // Following

  /**
   * Takes up growth, new and vanished files. Looks at headers twice: what is given afterwards was there in the first round, so nothing
   * that comes before it is overlooked. True when `next` may give more. The file given last must not be used after this.
   */
  refresh(): boolean {
    if (this.#given !== undefined) this.#advance(this.#given)
    this.#given = undefined
    this.#chains.refresh(this.#reverse ? undefined : this.#floor)
    if (this.#isDrained) {
      for (const id of this.#chains.retire()) {
        if (this.#newest?.seqnumId !== id) continue
        this.#newest = undefined
        this.#lastId = id
      }
    }
    this.#isDrained = false
    this.#arrange()
    return this.#order.list.length > 0
  }

  /** As JournalSet.changed, since the last `refresh` or seek of this reader: no change in between is missed. */
  changed(timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    return this.#set.changed(timeoutMs, signal, this.#chains.generation)
  }

  /**
   * Removes ids from a position that no file has any more and that are older than everything on disk. True when there were any.
   * The position must be one of this reader's source.
   */
  prune(position: PositionState): boolean {
    let oldest = Number.POSITIVE_INFINITY
    const present = new Set<string>()
    for (const file of this.#chains.files()) {
      present.add(file.seqnumId)
      if (file.header.entries > 0) oldest = Math.min(oldest, file.header.headRealtime)
    }
    let pruned = false
    for (const [id, place] of position.ids) {
      if (present.has(id) || place.realtime >= oldest || oldest === Number.POSITIVE_INFINITY) continue
      position.forget(id)
      pruned = true
    }
    return pruned
  }

  /** Closes all files. The file given last keeps its numbers and loses its content. */
  close(): void {
    this.#chains.close()
    this.#order.clear()
    this.#given = undefined
  }

  // Inside

  /** Moves over the head of the first chain, which was taken. */
  #advance(chain: Chain): void {
    if (chain.advance() !== undefined) this.#order.moveFirst()
    else if (this.#order.list[0] === chain) this.#order.shift()
  }

  #compareHeads(a: Chain, b: Chain): number {
    return a.head === undefined || b.head === undefined ? 0 : this.#compare(a.head, b.head)
  }

  /** Order of entries of different ids: same boot by monotonic time, else by realtime, else by content. */
  #compare(a: EntryMark, b: EntryMark): number {
    const order = compareEntries(a, b)
    return this.#reverse ? -order : order
  }

  #mark(state: PositionState, chain: Chain): void {
    if (chain.last.seqnum > 0 || chain.isKnown) state.ids.set(chain.seqnumId, chain.last.clone())
  }

  /** For a reader that runs backwards from the end: the position from which a forward reader gives the last `entries`. */
  #positionBefore(entries: number): PositionState {
    let floor: Floor | undefined
    let newest: Chain | undefined
    for (let left = entries; left > 0; left--) {
      const file = this.next()
      if (file === undefined) break
      floor = { realtime: file.realtime, bootId: file.bootId(), monotonic: file.monotonic }
    }
    if (this.#given !== undefined) this.#advance(this.#given)
    this.#given = undefined
    newest = this.#order.list[0]
    const head = newest?.head
    if (floor === undefined && head !== undefined) {
      floor = { realtime: head.realtime + 1, bootId: head.bootId(), monotonic: head.monotonic + 1 }
    }
    const state = PositionState.empty(floor ?? { realtime: 0 })
    const chains = [...this.#chains].filter((chain) => chain !== newest)
    if (newest !== undefined) chains.push(newest)
    for (const chain of chains) {
      if (chain.head !== undefined) state.place(chain.head, chain.countInRun(chain.head))
      else if (entries > 0) state.begin(chain.seqnumId)
    }
    return state
  }

  #newestFloor(): Floor {
    return this.startPosition({ kind: 'now' }).floor
  }

  /** An entry with the cursor's stamp and a smaller time or content sorts before it, and was passed. */
  #align(chain: Chain, place: EntryMark | undefined): void {
    if (place === undefined) return
    while (chain.head !== undefined && this.#compare(chain.head, place) < 0) {
      chain.take()
      chain.advance()
    }
  }

  /** Takes the cursor's own entry, or its copy where its id is gone. */
  #skipCursor(cursor: CursorParts, place: EntryMark | undefined, hasOwn: boolean): void {
    for (const chain of this.#chains) {
      const { head } = chain
      if (head === undefined) continue
      const isCopy = !hasOwn && place !== undefined && compareEntries(head, place) === 0 && isSameBoot(head, place)
      if (!isCopy && !isAtCursor(head, cursor)) continue
      chain.take()
      chain.advance()
    }
  }

  #prepare(floor: Floor): void {
    this.#given = undefined
    this.#newest = undefined
    this.#lastId = ''
    this.#floor = floor
    this.#chains.begin()
  }

  /** Sorts the chains by their heads. */
  #arrange(): void {
    this.#order.clear()
    for (const chain of this.#chains) if (chain.head !== undefined) this.#order.add(chain)
  }
}

function compareEntries(a: EntryMark, b: EntryMark): number {
  if (a.monotonic !== b.monotonic && isSameBoot(a, b)) return a.monotonic - b.monotonic
  return a.realtime - b.realtime || a.xorHigh - b.xorHigh || a.xorLow - b.xorLow
}

/** The cursor as an entry, when it has all that the order of entries asks for. */
function placeOf({ bootId, monotonic, realtime, xor }: CursorParts): EntryMark | undefined {
  if (bootId === undefined || monotonic === undefined || realtime === undefined || xor === undefined) return undefined
  const xorHigh = Number(xor >> 32n)
  const xorLow = Number(xor & 0xffffffffn)
  return { seqnumId: '', seqnum: 0, realtime, monotonic, ...bootWordsOf(bootId), xorHigh, xorLow }
}
