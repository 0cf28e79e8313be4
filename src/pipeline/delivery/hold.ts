// A sink that a person must mend: everybody waits, and one at a time is let through as a probe.
// Invariant: while held, at most one probe is under way, and probes are at least PROBE_MS apart.

import type { Clock } from '../../telemetry/clock.ts'

/** Time between two probes of a held sink, milliseconds. */
export const PROBE_MS = 30_000

export class Hold {
  readonly #clock: Clock
  #held: { readonly message: string; readonly since: number; probeAt: number } | undefined
  #isProbing = false
  #changed = Promise.withResolvers<void>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Why the sink is held, in the target's words; undefined when it is not. */
  get message(): string | undefined {
    return this.#held?.message
  }

  /** Wall-clock time of the first refusal, milliseconds. */
  get since(): number | undefined {
    return this.#held?.since
  }

  /** The target refused: hold, or go on holding. */
  hold(message: string): void {
    const since = this.#held?.since ?? this.#clock.now()
    this.#held = { message, since, probeAt: this.#clock.monotonic() + PROBE_MS }
    this.#wake()
  }

  /** The target answered something else. True when the sink had been held. */
  release(): boolean {
    const wasHeld = this.#held !== undefined
    this.#held = undefined
    if (wasHeld) this.#wake()
    return wasHeld
  }

  /** Resolves when the caller may try: at once, or as the next probe. False when `stop` is aborted while the sink is held. */
  async permit(stop: AbortSignal): Promise<boolean> {
    while (this.#held !== undefined) {
      if (stop.aborted) return false
      if (!this.#isProbing) {
        this.#isProbing = true
        try {
          await this.#clock.sleep(Math.max(0, this.#held.probeAt - this.#clock.monotonic()), stop)
          return true
        } catch {
          // Only `stop` ends the sleep early; somebody else may probe, or stop as well.
          this.#wake()
          return false
        }
      }
      await untilAborted(this.#changed.promise, stop)
    }
    return true
  }

  #wake(): void {
    this.#isProbing = false
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }
}

/** Resolves with `promise` or when `signal` is aborted, and leaves no listener behind. */
export function untilAborted(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      signal.removeEventListener('abort', done)
      resolve()
    }
    if (signal.aborted) return resolve()
    signal.addEventListener('abort', done, { once: true })
    promise.then(done, done)
  })
}
