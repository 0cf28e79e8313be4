// Work that must not overlap, such as writes to one file. Whoever waits can lose patience; what has begun cannot be called back,
// so it keeps its turn until it ends and the next one starts from a known state.

import { SinkError } from '../../src/sink.ts'

export class Turns {
  #last: Promise<void> = Promise.resolve()

  /**
   * Runs `work` when all work before it has ended. Aborted before its turn came: `unavailable`, and `work` never runs.
   * Aborted afterwards: `in-doubt` at once, while `work` goes on and keeps the turn.
   */
  take<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const turn = new Turn(work, signal)
    this.#last = this.#last.then(() => turn.run())
    return turn.outcome
  }
}

class Turn<T> {
  readonly outcome: Promise<T>
  // Let go when it is not wanted any more: behind a stalled write many given-up batches would else stay in memory.
  #work: (() => Promise<T>) | undefined
  readonly #signal: AbortSignal | undefined
  readonly #settle: { resolve(value: T): void; reject(error: unknown): void }
  readonly #giveUp = () => {
    const failure = this.#work === undefined ? 'in-doubt' : 'unavailable'
    this.#work = undefined
    this.#settle.reject(new SinkError(failure, 'given up before the write had ended', { cause: this.#signal?.reason }))
  }

  constructor(work: () => Promise<T>, signal: AbortSignal | undefined) {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    this.outcome = promise
    this.#settle = { resolve, reject }
    this.#work = work
    this.#signal = signal
    if (signal?.aborted === true) this.#giveUp()
    else signal?.addEventListener('abort', this.#giveUp, { once: true })
  }

  async run(): Promise<void> {
    const work = this.#work
    this.#work = undefined
    if (work === undefined) return
    try {
      this.#settle.resolve(await work())
    } catch (error) {
      this.#settle.reject(error)
    } finally {
      this.#signal?.removeEventListener('abort', this.#giveUp)
    }
  }
}

/** Settles as `work` does, or earlier when `signal` is aborted: then with the signal's reason. */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(signal.reason)
    if (signal.aborted) giveUp()
    signal.addEventListener('abort', giveUp, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp))
  })
}
