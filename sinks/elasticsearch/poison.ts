// Entries that fail again and again by themselves: an answer that ought to pass with time, but for this entry never does. Without an end to
// that one entry would keep the position where it is for ever.
// Invariant: a trouble of the server that hits everybody never makes a dead letter.

import type { Rejection } from '../../src/sink.ts'

/** Attempts after which it is the entry, by the code that it is rejected with. */
const TRIES: Readonly<Record<string, number>> = { server_error: 20, too_large: 5 }
/** With more of them in one answer it is the server. */
const FEW = 10
const REMEMBERED = 10_000

export class PoisonGuard {
  // By the entries' keys.
  readonly #tries = new Map<string, { count: number; readonly deliveries: number }>()
  #deliveries = 0

  /** Some entries were delivered: the server works. */
  delivered(): void {
    this.#deliveries++
  }

  /** Those of the suspects of one answer that will never pass. `keyOf` gives the key of a suspect. */
  convict(suspects: readonly Rejection[], keyOf: (index: number) => string): readonly Rejection[] {
    return suspects.filter((suspect) => {
      const key = keyOf(suspect.index)
      const known = this.#tries.get(key) ?? { count: 0, deliveries: this.#deliveries }
      known.count++
      this.#tries.set(key, known)
      if (this.#tries.size > REMEMBERED) this.#forgetOldest()
      if (known.count < (TRIES[suspect.code] ?? Number.POSITIVE_INFINITY)) return false
      // What is too large is so whatever happens to others.
      if (suspect.code !== 'too_large' && (suspects.length > FEW || this.#deliveries === known.deliveries)) return false
      this.#tries.delete(key)
      return true
    })
  }

  #forgetOldest(): void {
    const [oldest] = this.#tries.keys()
    if (oldest !== undefined) this.#tries.delete(oldest)
  }
}
