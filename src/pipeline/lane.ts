// One sink in one source: reads on from its position, cuts batches, sends them off, and moves the stored position.
// Invariant: batches leave in journal order without gap or overlap, and only the frontier is ever stored.

import { setImmediate } from 'node:timers/promises'
import type { Position } from '../sink.ts'
import type { Clock } from '../telemetry/clock.ts'
import type { Settlement } from './delivery/delivery.ts'
import { Frontier } from './frontier.ts'
import type { Place } from './places.ts'
import type { StoredPosition } from './settings.ts'
import { CutBatch } from './walk/batch.ts'
import type { Part, Stream, Streams, Want } from './walk/chunk.ts'
import { type CutChoice, type CutLimits, chooseCut, countBytes, countEntries, splitParts } from './walk/cut.ts'

/** The lane's sink, as far as the lane needs it. */
export interface LaneHost {
  readonly clock: Clock
  readonly streams: Streams
  /** Longest age of a batch's first entry before it is cut, milliseconds. */
  readonly waitMs: number
  limits(): CutLimits
  /** A place for one unsettled batch, when there is room for it and the wire takes more; undefined when stopping. */
  takePlace(stop: AbortSignal): Promise<Place | undefined>
  deliver(batch: CutBatch, isHoldingBack: () => boolean): Promise<Settlement>
  save(source: string, stored: StoredPosition): void
  /** Entries met that the journal no longer holds. */
  missing(entries: number): void
  /** The target sent the lane to another position. */
  rewound(source: string, from: Position, to: Position): void
  /** The target has lost its position and data. Answers where to go on. */
  lost(source: string, from: Position): Position
}

/**
 * How long nothing may have followed an entry at the journal's end before a batch may end behind it: journald writes the
 * lines of one read within a few milliseconds, and they carry one stamp.
 */
const QUIET_MS = 20
/** At the journal's end with nothing to do: only a change wakes the lane. */
const IDLE_MS = 60_000
/** Blocked for so long, the lane lets its files go. */
const REST_AFTER_MS = 30_000

export class Lane {
  readonly source: string
  readonly #host: LaneHost
  readonly #stream: Stream
  readonly #frontier: Frontier
  readonly #holdsPosition: boolean
  readonly #pending = new Set<Promise<void>>()
  // Read and not cut yet, in order.
  #parts: Part[] = []
  #firstAt = 0
  #lastAt = 0
  // Nothing followed the last part for QUIET_MS.
  #isQuiet = false
  #isAtEnd = false
  #target: Position | undefined
  #movedAt: number
  #blockedSince: number | undefined
  #nudge: AbortController | undefined
  // A bug met on the way of a batch: it stays open, so nothing behind it may count.
  #failure: unknown

  /** @param start where the lane stands; it is stored at once, so that a start of `now` stays what it is */
  constructor(host: LaneHost, source: string, stream: Stream, start: StoredPosition, holdsPosition: boolean) {
    this.#host = host
    this.source = source
    this.#stream = stream
    this.#frontier = new Frontier(start.position)
    this.#holdsPosition = holdsPosition
    this.#target = start.target
    this.#movedAt = host.clock.monotonic()
    this.#save()
  }

  /** The frontier. */
  get position(): Position {
    return this.#frontier.edge
  }

  /** Everything that the journal holds at present is settled. */
  get isIdle(): boolean {
    return this.#isAtEnd && countEntries(this.#parts) === 0 && this.#pending.size === 0
  }

  /** Monotonic time at which the position last moved, or was last found to be at the end. */
  get movedAt(): number {
    return this.isIdle ? this.#host.clock.monotonic() : this.#movedAt
  }

  /**
   * Ships until `stop` is aborted or, in a bounded run, until the end, and waits for what is under way then. Rejects with a
   * Problem of the journal, or with a bug of ours; the lane is then of no more use, and its position is still right.
   */
  async run(stop: AbortSignal): Promise<void> {
    while (await this.#gather(stop)) {
      this.#blockedSince = this.#host.clock.monotonic()
      const place = await this.#host.takePlace(stop)
      this.#blockedSince = undefined
      if (place === undefined) break
      const choice = this.#failure === undefined ? this.#topUp() : undefined
      // A rewind may have emptied the lane meanwhile.
      if (choice === undefined) place.free()
      else this.#send(choice.count, place)
    }
    await this.settled()
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Resolves when no batch of this lane is under way. */
  async settled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending)
  }

  /** Called every second or so. */
  tick(): void {
    if (this.#blockedSince === undefined) return
    if (this.#host.clock.monotonic() - this.#blockedSince >= REST_AFTER_MS) this.#stream.rest()
  }

  close(): void {
    this.#parts = []
    this.#stream.close()
  }

  /** Reads until a batch is due. False when stopped, or at the end of a bounded run. */
  async #gather(stop: AbortSignal): Promise<boolean> {
    const { clock, streams, waitMs } = this.#host
    let look = false
    while (!stop.aborted && this.#failure === undefined) {
      const choice = this.#choose()
      if (choice?.full || (choice !== undefined && !this.#isAtEnd && this.#isDue())) return true
      const part = this.#stream.next(look, this.#want())
      look = false
      if (part !== undefined) {
        this.#add(part)
        // Reading is synchronous: let timers, sockets and other lanes have their turn.
        await setImmediate()
        continue
      }
      this.#isAtEnd = true
      const now = clock.monotonic()
      if (streams.bounded || now - this.#lastAt >= QUIET_MS) this.#isQuiet = true
      const isEmpty = countEntries(this.#parts) === 0
      if (this.#isQuiet && isEmpty) this.#passOver()
      if (streams.bounded) return !isEmpty
      if (this.#isQuiet && !isEmpty && (this.#isDue() || this.#choose()?.full)) return true
      const quiet = Math.max(1, this.#lastAt + QUIET_MS - now)
      await this.#wait(this.#isQuiet ? (isEmpty ? IDLE_MS : this.#firstAt + waitMs - now) : quiet, stop)
      look = true
    }
    return false
  }

  #isDue(): boolean {
    return this.#host.clock.monotonic() - this.#firstAt >= this.#host.waitMs
  }

  /** Until the journal changes, `ms` are over, a rewind gives new work, or `stop` is aborted. */
  async #wait(ms: number, stop: AbortSignal): Promise<void> {
    const nudge = new AbortController()
    this.#nudge = nudge
    const end = (): void => nudge.abort()
    stop.addEventListener('abort', end, { once: true })
    await this.#stream.wait(ms, nudge.signal)
    stop.removeEventListener('abort', end)
  }

  /** Takes what came while the lane waited for a place, as far as it fits. */
  #topUp(): CutChoice {
    for (let choice = this.#choose(); ; choice = this.#choose()) {
      if (choice?.full) return choice
      const part = this.#stream.next(false, this.#want())
      if (part === undefined) return choice
      this.#add(part)
    }
  }

  /** What is missing to a full batch. */
  #want(): Want {
    const { entries, bytes } = this.#host.limits()
    return {
      entries: Math.max(1, entries - countEntries(this.#parts)),
      bytes: Math.max(1, bytes - countBytes(this.#parts)),
    }
  }

  #choose(): CutChoice {
    const endIsSafe = this.#isQuiet || (this.#parts.at(-1)?.chunk.closed ?? true)
    return chooseCut(this.#parts, this.#host.limits(), endIsSafe)
  }

  #add(part: Part): void {
    const now = this.#host.clock.monotonic()
    this.#isAtEnd = false
    this.#isQuiet = false
    this.#lastAt = now
    if (part.from === 0 && part.chunk.missing > 0) this.#host.missing(part.chunk.missing)
    if (countEntries(this.#parts) === 0 && part.to > part.from) this.#firstAt = now
    this.#parts.push(part)
    // Entries that were left out move the position, but not to between lines of one write.
    if (part.chunk.closed && countEntries(this.#parts) === 0) this.#passOver()
  }

  /** Moves the position over entries that the match left out. */
  #passOver(): void {
    if (this.#parts.length === 0) return
    const { after } = this.#stream.cut(this.#parts)
    this.#parts = []
    if (this.#frontier.pass(after)) this.#save()
  }

  #send(count: number, place: Place): void {
    const { head, tail } = splitParts(this.#parts, count)
    this.#parts = tail
    // The age of what remains counts from now: it was kept back for want of room, not for want of entries.
    this.#firstAt = this.#host.clock.monotonic()
    const cut = this.#stream.cut(head)
    // A target that holds its position knows nothing of entries that were left out behind its last batch.
    const batch = CutBatch.of(head, cut, this.#holdsPosition ? this.#target : undefined)
    place.weigh(batch.bytes)
    const ticket = this.#frontier.open(batch.after)
    const delivery = this.#host
      .deliver(batch, () => this.#frontier.isHoldingBack(ticket))
      .then((settlement) => {
        if (settlement.kind === 'rewind') return this.#rewind(settlement.to, settlement.to)
        if (settlement.kind === 'lost')
          return this.#rewind(this.#host.lost(this.source, this.#frontier.edge), undefined)
        if (settlement.kind !== 'settled') return
        if (this.#holdsPosition && settlement.target !== undefined) this.#target = settlement.target
        if (this.#frontier.settle(ticket)) this.#save()
        if (settlement.isReleased) for (const { chunk, from, to } of head) chunk.done?.(to - from)
      })
      .catch((error: unknown) => {
        this.#failure ??= error
        this.#nudge?.abort()
      })
      .finally(() => {
        place.free()
        this.#pending.delete(delivery)
      })
    this.#pending.add(delivery)
  }

  #rewind(to: Position, target: Position | undefined): void {
    if (target !== undefined) this.#host.rewound(this.source, this.#frontier.edge, to)
    this.#stream.seek(to)
    this.#parts = []
    this.#isAtEnd = false
    this.#isQuiet = false
    this.#target = target
    this.#frontier.reset(to)
    this.#nudge?.abort()
    this.#save()
  }

  #save(): void {
    this.#movedAt = this.#host.clock.monotonic()
    this.#host.save(this.source, {
      position: this.#frontier.edge,
      ...(this.#holdsPosition && this.#target !== undefined ? { target: this.#target } : {}),
    })
  }
}

/** Where a lane begins, and what is worth saying about it. */
export interface ChosenStart extends StoredPosition {
  readonly note: 'held' | 'ahead' | 'back' | 'elsewhere' | 'vanished' | undefined
}

/**
 * The rule for a target that holds the position: the same answer as noted → the local frontier, which
 * may be further on over entries that were left out; another one → there; none → the local file.
 * undefined: neither has one, so the configured start counts.
 */
export function chooseStart(
  stored: StoredPosition | undefined,
  answer: Position | undefined,
  compare: (a: Position, b: Position) => -1 | 0 | 1 | undefined,
): ChosenStart | undefined {
  if (answer === undefined) {
    if (stored === undefined) return undefined
    return { ...stored, note: stored.target === undefined ? undefined : 'vanished' }
  }
  if (stored?.target === undefined) return { position: answer, target: answer, note: 'held' }
  if (stored.target === answer) return { ...stored, note: undefined }
  const order = compare(answer, stored.target)
  if (order === 0) return { position: stored.position, target: answer, note: undefined }
  return { position: answer, target: answer, note: order === 1 ? 'ahead' : order === -1 ? 'back' : 'elsewhere' }
}

/** What a start's note means, for the log. */
export function describeStart(note: NonNullable<ChosenStart['note']>): { text: string; isExpected: boolean } {
  const texts = {
    held: 'going on from the position that the target holds',
    ahead: 'the target is ahead of the local position; going on from there',
    back: 'the target went back to before its last answer; going back to there',
    elsewhere: 'the target stands elsewhere than at its last answer; going on from there',
    vanished: 'the target holds no position any more; going on from the local one',
  }
  return { text: texts[note], isExpected: note === 'held' || note === 'ahead' }
}
