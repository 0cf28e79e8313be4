// Brings a sink to life: its positions loaded, made, opened, again and again until it works.
// Invariant: without readable positions a sink is neither opened nor guessed a place for; it is held.

import { isProblem } from '../errors.ts'
import type { Sink } from '../sink.ts'
import type { Clock } from '../telemetry/clock.ts'
import type { RepeatedMessages } from '../telemetry/log.ts'
import type { SinkCalls } from './delivery/calls.ts'
import { PROBE_MS } from './delivery/hold.ts'
import { readFailure } from './delivery/receipt.ts'
import { backoffMs } from './delivery/retry.ts'
import type { Obstacle } from './health.ts'
import type { SinkMeter } from './meter.ts'
import type { SinkSettings, StoredPosition } from './settings.ts'

/** A sink that was made, and the calls into it. */
export interface Made {
  readonly sink: Sink
  readonly calls: SinkCalls
}

/** What opening a sink needs. */
export interface OpeningParts {
  readonly name: string
  readonly settings: SinkSettings
  readonly clock: Clock
  readonly trouble: RepeatedMessages
  readonly meter: SinkMeter
  readonly random: () => number
  /** The stored positions by source. Throws a Problem when they cannot be trusted. */
  load(): Map<string, StoredPosition>
  make(): Made
}

export class Opening {
  readonly #parts: OpeningParts
  #made: Made | undefined
  #obstacle: Obstacle | undefined

  constructor(parts: OpeningParts) {
    this.#parts = parts
  }

  /** What is in the way at present. */
  get obstacle(): Obstacle | undefined {
    return this.#obstacle
  }

  /** Resolves with the stored positions when the sink is open; undefined when `stop` was aborted before that. */
  async open(stop: AbortSignal): Promise<Map<string, StoredPosition> | undefined> {
    const { name, settings, clock, trouble, meter } = this.#parts
    for (let failures = 1; !stop.aborted; failures++) {
      try {
        const stored = this.#parts.load()
        this.#made ??= this.#parts.make()
        const { sink, calls } = this.#made
        await calls.run(settings.timeoutMs, (signal) => sink.open(signal))
        this.#obstacle = undefined
        meter.up.set(1)
        meter.held.set(0)
        trouble.works(name, `sink "${name}" works now`, { sink: name })
        return stored
      } catch (error) {
        if (stop.aborted) return undefined
        // Only stopping ends the sleep early.
        await clock.sleep(this.#fails(error, failures), stop).catch(() => undefined)
      }
    }
    return undefined
  }

  /** Notes why, and says how long to wait before the next attempt. */
  #fails(error: unknown, failures: number): number {
    const { name, settings, clock, trouble, meter, random } = this.#parts
    const known = isProblem(error) ? error : undefined
    const failure = readFailure(error)
    // Where no sink could be made there was nothing that might be unavailable: settings or position file are wrong.
    const isHeld = known !== undefined || failure.failure === 'refused' || this.#made === undefined
    const hint = known?.hint
    this.#obstacle = { isHeld, message: failure.message, hint, since: this.#obstacle?.since ?? clock.now() }
    meter.up.set(0)
    meter.held.set(isHeld ? 1 : 0)
    const fields = { sink: name, hint, error: (known === undefined ? failure.bug : undefined) ?? error }
    trouble.failed(name, `sink "${name}" ${isHeld ? 'is held' : 'cannot be opened'}: ${failure.message}`, fields)
    return isHeld ? PROBE_MS : backoffMs(failures, settings.retry, failure.retryAfterMs, random)
  }
}
