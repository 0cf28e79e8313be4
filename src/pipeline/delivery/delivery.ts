// Brings batches of one sink to their end: written, repeated, narrowed, halved, or buried, until every entry is settled.
// Invariant: a batch is settled only when each of its entries was delivered by a receipt that adds up, or is durable
// among the dead letters. Whatever else happens it is left as it was, and its ground is read again.

import PQueue from 'p-queue'
import type { Position, Rejection, Sink } from '../../sink.ts'
import type { Clock } from '../../telemetry/clock.ts'
import type { Log, RepeatedMessages } from '../../telemetry/log.ts'
import type { SinkMeter } from '../meter.ts'
import type { DeadEntry, DeadLetterKeeper, SinkSettings } from '../settings.ts'
import type { CutBatch } from '../walk/batch.ts'
import { Abandoned, SinkCalls } from './calls.ts'
import { Hold } from './hold.ts'
import { Pace } from './pace.ts'
import { type Failure, type Outcome, readFailure, readReceipt } from './receipt.ts'
import { backoffMs, planNext, TOO_LARGE } from './retry.ts'

/** The end of a batch, as far as it goes. */
export type Settlement =
  /** Every entry is delivered or buried; `target`: the position that the target now holds, if it took one. */
  | {
      readonly kind: 'settled'
      readonly target: Position | undefined
      /** The sink promises that nothing reads the batch any more, and no write failed, which may leave a reader behind. */
      readonly isReleased: boolean
    }
  /** Given up because the pipeline stops; the entries are not settled. */
  | { readonly kind: 'left' }
  /** The target stands elsewhere: go on from there. */
  | { readonly kind: 'rewind'; readonly to: Position }
  /** The target has lost its position, and what it held with it. */
  | { readonly kind: 'lost' }

/** What `Deliveries` works with. */
export interface DeliveryParts {
  readonly name: string
  readonly sink: Sink
  readonly settings: SinkSettings
  readonly clock: Clock
  readonly log: Log
  /** For failures that repeat; keyed by the sink's name. */
  readonly trouble: RepeatedMessages
  readonly meter: SinkMeter
  readonly dead: DeadLetterKeeper
  readonly random: () => number
}

const LEFT: Settlement = { kind: 'left' }
/** The code of entries that were given up after `retry.giveUpAfterMs`. */
const GAVE_UP = 'gave_up'
/** The code of the entries of a batch of which some were refused, the target not saying which. */
const SUSPECT = 'suspect'

export class Deliveries {
  readonly pace: Pace
  readonly hold: Hold
  readonly calls: SinkCalls
  readonly #parts: DeliveryParts
  readonly #queue: PQueue
  readonly #stopping = new AbortController()
  /** Sources in which the target holds a position. */
  readonly #holding = new Set<string>()
  #failing: { readonly message: string; readonly since: number } | undefined

  constructor(parts: DeliveryParts) {
    const { settings, clock, trouble, name } = parts
    this.#parts = parts
    const single = parts.sink.traits.ordered || parts.sink.traits.holdsPosition
    this.pace = new Pace(single ? 1 : settings.concurrency, settings.batch.bytes)
    this.hold = new Hold(clock)
    this.calls = new SinkCalls(clock, (text) => trouble.failed(name, `sink "${name}": ${text}`, { sink: name }))
    this.#queue = new PQueue({ concurrency: this.pace.concurrency })
  }

  /** The failure that goes on at present, and since when (wall clock, milliseconds). */
  get failing(): { readonly message: string; readonly since: number } | undefined {
    return this.#failing
  }

  /** Resolves when no batch waits for a place on the wire: time to cut another one. */
  ready(): Promise<void> {
    return this.#queue.onSizeLessThan(1)
  }

  /** No new attempts at what has failed; what is under way goes on. */
  drain(): void {
    this.#stopping.abort()
  }

  /**
   * Delivers one batch. Never rejects.
   * @param isHoldingBack a later batch is settled, so that leaving this one would repeat that one after a restart
   */
  async deliver(batch: CutBatch, isHoldingBack: () => boolean): Promise<Settlement> {
    const { meter } = this.#parts
    meter.batchesUnderWay.add(1)
    try {
      return await this.#deliver(batch, isHoldingBack)
    } finally {
      meter.batchesUnderWay.add(-1)
    }
  }

  async #deliver(batch: CutBatch, isHoldingBack: () => boolean): Promise<Settlement> {
    const { settings, sink, meter, clock, random } = this.#parts
    let target: Position | undefined
    let failures = 0
    let failingSince: number | undefined
    let isReleased = sink.traits.releases ?? false
    const first = await this.#withoutOversize(batch)
    if (first === 'left') return LEFT
    const work = first === undefined ? [] : [first]
    for (let job = work[0]; job !== undefined; job = work[0]) {
      if (!(await this.hold.permit(this.#stopping.signal))) return LEFT
      const outcome = await this.#write(job)
      if (outcome === undefined) return LEFT
      if (outcome.kind === 'failed') {
        isReleased = false
        if (this.calls.signal.aborted) return LEFT
        if (outcome.failure === 'refused') {
          work[0] = job.again()
          continue
        }
        if (outcome.failure === 'in-doubt' && sink.traits.holdsPosition) {
          const answer = await this.lastDelivered(batch.source)
          if (answer === undefined) return LEFT
          if (answer.position === job.after) {
            meter.deliveredEntries.add(job.length)
            meter.deliveredBytes.add(job.bytes)
            target = job.after
            work.shift()
            continue
          }
          if (answer.position !== undefined && answer.position !== job.before) {
            return { kind: 'rewind', to: answer.position }
          }
          if (answer.position === undefined && this.#holding.delete(batch.source)) {
            if (sink.traits.rewindMs !== undefined) return { kind: 'lost' }
          }
        } else if (outcome.failure === 'in-doubt' && !sink.traits.idempotent) meter.possibleDuplicates.add(job.length)
      }
      const plan = planNext(outcome, job.length)
      meter.deliveredEntries.add(plan.delivered)
      meter.divertedEntries.add(plan.diverted)
      if (!sink.traits.idempotent) meter.possibleDuplicates.add(plan.doubtful)
      if (plan.delivered > 0) {
        // A share of the bytes where only some were taken: exact enough for a rate.
        meter.deliveredBytes.add(Math.round((job.bytes * plan.delivered) / job.length))
        target = job.after
        failures = 0
        failingSince = undefined
      }
      if (!(await this.#bury(job, plan.dead, plan.suspects))) return LEFT
      if (plan.again !== 'all' && plan.again.length === 0) {
        work.shift()
        continue
      }
      if (plan.halve) {
        work.splice(0, 1, ...job.halves())
        continue
      }
      work[0] = plan.again === 'all' ? job.again() : job.only(plan.again)
      failures++
      failingSince ??= clock.monotonic()
      if (clock.monotonic() - failingSince >= (settings.retry.giveUpAfterMs ?? Number.POSITIVE_INFINITY)) {
        const reason = `given up: ${outcome.kind === 'failed' ? outcome.message : 'refused for the time being'}`
        for (const left of work) if (!(await this.#bury(left, everyEntry(left, GAVE_UP, reason)))) return LEFT
        break
      }
      meter.retriedEntries.add(work[0].length)
      const asked = outcome.kind === 'failed' ? outcome.retryAfterMs : retryAfter(outcome)
      if (!(await this.#pause(backoffMs(failures, settings.retry, asked, random), isHoldingBack))) return LEFT
    }
    if (target !== undefined) this.#holding.add(batch.source)
    return { kind: 'settled', target, isReleased }
  }

  /** Asks the target where it stands in a source, until it answers. undefined when the pipeline stops before that. */
  async lastDelivered(source: string): Promise<{ readonly position: Position | undefined } | undefined> {
    const { settings, sink, random } = this.#parts
    for (let failures = 1; ; failures++) {
      if (!(await this.hold.permit(this.#stopping.signal))) return undefined
      try {
        const position = await this.calls.run(settings.timeoutMs, (signal) => sink.lastDelivered?.(source, signal))
        this.#works()
        if (position !== undefined) this.#holding.add(source)
        return { position }
      } catch (error) {
        if (error instanceof Abandoned) return undefined
        const failure = readFailure(error, this.calls.signal)
        this.#fails(failure)
        if (failure.failure === 'refused') continue
        const wait = backoffMs(failures, settings.retry, failure.retryAfterMs, random)
        if (!(await this.#pause(wait, () => false))) return undefined
      }
    }
  }

  /** One write, when there is a place on the wire. undefined when nobody waits for it any more. */
  #write(job: CutBatch): Promise<Outcome | undefined> {
    const outcome = Promise.withResolvers<Outcome | undefined>()
    // What has failed goes first, since the frontier waits for it.
    const priority = job.attempt > 1 ? 1 : 0
    const task = (): Promise<void> => {
      const place = Promise.withResolvers<void>()
      this.#attempt(job, place.resolve).then(outcome.resolve, outcome.reject).finally(place.resolve)
      return place.promise
    }
    this.#queue.add(task, { priority }).catch(outcome.reject)
    return outcome.promise
  }

  async #attempt(job: CutBatch, sent: () => void): Promise<Outcome | undefined> {
    const { sink, settings, clock, meter } = this.#parts
    if (this.calls.signal.aborted) return undefined
    const startedAt = clock.monotonic()
    meter.sentEntries.add(job.length)
    let deadline: AbortSignal | undefined
    let isSent = false
    const passOn = (): void => {
      isSent = true
      sent()
    }
    try {
      const receipt = await this.calls.run(settings.timeoutMs, (signal) => {
        deadline = signal
        return sink.write(job, { signal, sent: passOn })
      })
      const outcome = readReceipt(receipt, job.length)
      if (outcome.kind === 'failed') {
        meter.badReceipts.add(1)
        this.#fails(outcome, job)
      } else this.#works(outcome, job)
      return outcome
    } catch (error) {
      if (error instanceof Abandoned) return undefined
      const failure = readFailure(error, deadline)
      // Refused although it was sent: an acknowledgement that never comes. The other failures are counted where they are repeated.
      const mayBeThere =
        isSent && failure.failure === 'refused' && !sink.traits.idempotent && !sink.traits.holdsPosition
      if (mayBeThere) meter.possibleDuplicates.add(job.length)
      if (!this.calls.signal.aborted) this.#fails(failure, job)
      return failure
    } finally {
      meter.batchSeconds.observe((clock.monotonic() - startedAt) / 1000)
    }
  }

  #works(outcome?: Outcome, job?: CutBatch): void {
    const { name, trouble, meter, clock } = this.#parts
    this.hold.release()
    const isPressed = outcome?.kind === 'partial' && retryAfter(outcome) !== undefined
    if (isPressed) this.pace.pressed()
    else if (job !== undefined) this.pace.taken(job.bytes, clock.monotonic())
    this.#setConcurrency()
    meter.up.set(1)
    meter.held.set(0)
    if (outcome?.kind === 'partial' && outcome.receipt.retry.length === job?.length) {
      this.#note(`${job.length} entries refused for the time being`)
      return
    }
    this.#failing = undefined
    trouble.works(name, `sink "${name}" works again`, { sink: name })
  }

  #fails(failure: Failure, job?: CutBatch): void {
    const { meter, clock } = this.#parts
    meter.failed(failure.bug === undefined ? failure.failure : 'bug')
    if (failure.failure === 'too-large') {
      if (job !== undefined && job.length > 1) this.pace.tooLarge(job.bytes, clock.monotonic())
      // The target answers, so a hold is over.
      this.hold.release()
      return
    }
    if (failure.retryAfterMs !== undefined) this.pace.pressed()
    this.#setConcurrency()
    meter.up.set(0)
    if (failure.failure === 'refused') {
      this.hold.hold(failure.message)
      meter.held.set(1)
    } else if (this.hold.release()) meter.held.set(0)
    this.#note(failure.message, failure)
  }

  #note(message: string, failure?: Failure): void {
    const { name, trouble, clock } = this.#parts
    this.#failing = { message, since: this.#failing?.since ?? clock.now() }
    const kind =
      failure === undefined ? 'unavailable' : failure.bug === undefined ? failure.failure : 'a bug of the sink'
    const fields = { sink: name, failure: failure?.failure, error: failure?.bug ?? failure?.error }
    trouble.failed(name, `sink "${name}": ${kind}: ${message}`, fields)
  }

  #setConcurrency(): void {
    this.#queue.concurrency = this.pace.concurrency
    this.#parts.meter.concurrencyLimit.set(this.pace.concurrency)
  }

  /** Entries that the target's own limits exclude are buried unsent. undefined when none remains. */
  async #withoutOversize(batch: CutBatch): Promise<CutBatch | 'left' | undefined> {
    const { limits } = this.#parts.sink.traits
    const most = limits.entryBytes ?? limits.bytes ?? Number.POSITIVE_INFINITY
    if (batch.largestBound <= most) return batch
    const fits: number[] = []
    const dead: Rejection[] = []
    for (let index = 0; index < batch.length; index++) {
      const size = batch.recordSize(index)
      if (size <= most) fits.push(index)
      else dead.push({ index, code: TOO_LARGE, reason: `${size} bytes, the limit is ${most}` })
    }
    if (!(await this.#bury(batch, dead))) return 'left'
    if (dead.length === 0) return batch
    return fits.length === 0 ? undefined : batch.only(fits, batch.attempt)
  }

  /** Brings rejected entries to the dead letters. False when the pipeline stops before they are safe. */
  async #bury(batch: CutBatch, rejected: readonly Rejection[], suspects?: string): Promise<boolean> {
    const { name, dead, meter, trouble } = this.#parts
    const codes = new Map<string, number>()
    for (const { code } of rejected) codes.set(code, (codes.get(code) ?? 0) + 1)
    const isKnown = new Set(rejected.map(({ index }) => index))
    const doubted = suspects === undefined ? [] : everyEntry(batch, SUSPECT, suspects)
    const entries = [...rejected, ...doubted.filter(({ index }) => !isKnown.has(index))].map(
      ({ index, code, reason }): DeadEntry => ({
        key: batch.key(index),
        cursor: batch.cursor(index),
        record: batch.record(index),
        source: batch.source,
        encoding: this.#parts.sink.traits.encoding,
        fields: batch.fieldBytes(index),
        code,
        reason,
      }),
    )
    if (entries.length === 0) return true
    for (let failures = 1; ; failures++) {
      try {
        await dead.add(name, entries)
        break
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error)
        trouble.failed(`${name} dead`, `sink "${name}": cannot write dead letters: ${why}`, { sink: name, error })
        const wait = backoffMs(failures, { baseMs: 500, capMs: 30_000 }, undefined, this.#parts.random)
        if (!(await this.#pause(wait, () => false))) return false
      }
    }
    trouble.works(`${name} dead`, `sink "${name}": dead letters can be written again`, { sink: name })
    for (const [code, count] of codes) meter.rejected(code, count)
    if (suspects !== undefined) meter.rejected(SUSPECT, entries.length - rejected.length)
    meter.deadEntries.add(entries.length)
    const first = entries[0]
    // The target's words may quote the entry, so they stay with the dead letters.
    trouble.failed(`${name} rejected`, `sink "${name}": ${entries.length} entries went to the dead letters`, {
      sink: name,
      code: first?.code,
      cursor: first?.cursor,
    })
    return true
  }

  /** Waits, also while stopping if leaving would repeat others. False when the batch is to be left. */
  async #pause(ms: number, isHoldingBack: () => boolean): Promise<boolean> {
    const { clock } = this.#parts
    const until = clock.monotonic() + ms
    try {
      await clock.sleep(ms, this.#stopping.signal)
      return true
    } catch {
      // Stopping: what follows decides whether to stay.
    }
    if (!isHoldingBack()) return false
    try {
      await clock.sleep(Math.max(0, until - clock.monotonic()), this.calls.signal)
      return true
    } catch {
      // Called off: out of patience.
      return false
    }
  }
}

function retryAfter(outcome: Outcome): number | undefined {
  return outcome.kind === 'partial' ? outcome.receipt.retryAfterMs : undefined
}

function everyEntry(batch: CutBatch, code: string, reason: string): Rejection[] {
  return Array.from({ length: batch.length }, (_, index) => ({ index, code, reason }))
}
