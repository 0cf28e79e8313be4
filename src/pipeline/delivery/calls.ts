// Calls into a sink: each has a deadline, all can be called off, and in the end they can be left alone.
// Invariant: a sink that ignores its signal delays nobody but itself; after `abandon` nothing waits for it any more.

import type { Clock } from '../../telemetry/clock.ts'
import { formatDuration } from '../../units.ts'

/** What a call rejects with when the pipeline no longer waits for it. */
export class Abandoned extends Error {
  override readonly name = 'Abandoned'
}

interface Call {
  readonly controller: AbortController
  readonly leave: () => void
  lateSince: number | undefined
}

/** A call that goes on so long after its signal was aborted is reported. */
const IGNORED_AFTER_MS = 10_000

/** A reason of our own: making the default one, with its stack, costs more than everything else here. */
const ENDED = 'the call has ended'

export class SinkCalls {
  readonly #clock: Clock
  readonly #onIgnored: (text: string) => void
  readonly #calledOff = new AbortController()
  readonly #open = new Set<Call>()
  #isAbandoned = false

  /** @param onIgnored told when a call does not react to its deadline */
  constructor(clock: Clock, onIgnored: (text: string) => void) {
    this.#clock = clock
    this.#onIgnored = onIgnored
  }

  /** Aborted once all calls were called off. */
  get signal(): AbortSignal {
    return this.#calledOff.signal
  }

  /** Calls that are under way. */
  get size(): number {
    return this.#open.size
  }

  /** Since when some call has let its deadline pass without a reaction, milliseconds since 1970; undefined: none has. */
  get lateSince(): number | undefined {
    for (const { lateSince } of this.#open) if (lateSince !== undefined) return lateSince
    return undefined
  }

  /** Runs one call; its signal is aborted after `timeoutMs`. Rejects as the call does, or with `Abandoned`. */
  async run<T>(timeoutMs: number, call: (signal: AbortSignal) => Promise<T> | T): Promise<T> {
    if (this.#isAbandoned) throw new Abandoned()
    const left = Promise.withResolvers<never>()
    const controller = new AbortController()
    const entry: Call = { controller, leave: () => left.reject(new Abandoned()), lateSince: undefined }
    if (this.#calledOff.signal.aborted) controller.abort(this.#calledOff.signal.reason)
    this.#open.add(entry)
    const timer = new AbortController()
    void this.#watch(entry, timeoutMs, timer.signal)
    try {
      return await Promise.race([call(controller.signal), left.promise])
    } finally {
      timer.abort(ENDED)
      this.#open.delete(entry)
    }
  }

  /** Aborts all calls, also those to come. */
  callOff(): void {
    const reason = new DOMException('called off, as the sink is being closed', 'AbortError')
    this.#calledOff.abort(reason)
    for (const { controller } of this.#open) controller.abort(reason)
  }

  /** Stops waiting for calls that still run. */
  abandon(): void {
    this.#isAbandoned = true
    for (const { leave } of this.#open) leave()
  }

  async #watch(entry: Call, timeoutMs: number, done: AbortSignal) {
    try {
      await this.#clock.sleep(timeoutMs, done)
      entry.controller.abort(new DOMException(`no answer within ${formatDuration(timeoutMs)}`, 'TimeoutError'))
      await this.#clock.sleep(IGNORED_AFTER_MS, done)
      entry.lateSince = this.#clock.now()
      this.#onIgnored('a call does not end although its deadline has passed; waiting for it')
    } catch {
      // The call has ended, which is what aborts `done`.
    }
  }
}

/** True when `promise` settles, either way, within `ms`. */
export async function settlesWithin(clock: Clock, ms: number, promise: Promise<unknown>): Promise<boolean> {
  const timer = new AbortController()
  const inTime = promise.then(
    () => true,
    () => true,
  )
  const late = clock.sleep(ms, timer.signal).then(
    () => false,
    () => true,
  )
  const first = await Promise.race([inTime, late])
  timer.abort(ENDED)
  return first
}
