// How hard a target may be pushed: additive increase, multiplicative decrease of parallel writes and of batch sizes.
// Invariant: 1 <= concurrency <= its setting; the batch size never falls below one that the target is known to take.

/** Below this a batch is not made smaller for backpressure: more requests would be worse. */
const FLOOR_BYTES = 64 * 1024
/** A size that was refused is not tried again for so long: what was in the way may have been a single entry. */
const CEILING_MS = 300_000

export class Pace {
  readonly #maxConcurrency: number
  readonly #maxBytes: number
  #concurrency: number
  #bytes: number
  // The smallest size refused as too large, and when.
  #ceiling = Number.POSITIVE_INFINITY
  #ceilingAt = 0
  // The largest size taken since then.
  #taken = 0

  constructor(concurrency: number, bytes: number) {
    this.#maxConcurrency = concurrency
    this.#maxBytes = bytes
    this.#concurrency = concurrency
    this.#bytes = bytes
  }

  /** Writes to have on the wire at once. */
  get concurrency(): number {
    return Math.floor(this.#concurrency)
  }

  /** Soft limit of a batch. */
  get bytes(): number {
    return Math.floor(this.#bytes)
  }

  /** A write of `bytes` was taken. `nowMs` is monotonic. */
  taken(bytes: number, nowMs: number): void {
    // One more write after as many successes as there are writes, as TCP does.
    this.#concurrency = Math.min(this.#maxConcurrency, this.#concurrency + 1 / this.#concurrency)
    this.#taken = Math.max(this.#taken, bytes)
    if (bytes >= this.#ceiling || nowMs - this.#ceilingAt > CEILING_MS) this.#ceiling = Number.POSITIVE_INFINITY
    // Only a batch that used its allowance shows that more might be taken.
    const grown = bytes >= this.#bytes * 0.8 ? this.#bytes + this.#maxBytes / 32 : this.#bytes
    this.#bytes = Math.min(this.#maxBytes, this.#ceiling * 0.9, Math.max(grown, bytes))
  }

  /** The target asked for less: 429, a full queue. */
  pressed(): void {
    this.#concurrency = Math.max(1, this.#concurrency / 2)
    this.#bytes = Math.max(Math.min(FLOOR_BYTES, this.#bytes), this.#bytes / 2)
  }

  /** A write of `bytes` with more than one entry was too large. */
  tooLarge(bytes: number, nowMs: number): void {
    if (bytes <= this.#taken) {
      // The size has been taken before, so it is something in this batch; unless it happens again.
      this.#taken = bytes / 2
      return
    }
    this.#ceiling = bytes
    this.#ceilingAt = nowMs
    this.#bytes = Math.min(this.#bytes, bytes / 2)
  }
}
