// One byte budget for everything that is kept only to be fast or to be shared: windows, caches, batches near the head.
// Who holds memory registers it; when the sum passes the limit, the least recently used holders are told to let go.

/** Something that can give its memory back at any time and build it again later. */
export interface MemoryHolder {
  /** Drop the memory. Called from within another holder's `use`; must not call the budget. */
  release(): void
}

export class MemoryBudget {
  readonly limit: number
  #used = 0
  // Insertion order is age: a holder is moved to the end whenever it is used.
  readonly #sizes = new Map<MemoryHolder, number>()

  /** @param limit bytes, for example 64 MiB */
  constructor(limit: number) {
    this.limit = limit
  }

  get used(): number {
    return this.#used
  }

  /** Says that `holder` now holds `bytes` and is in use; releases the least recently used others until all fits. */
  use(holder: MemoryHolder, bytes: number): void {
    this.#used += bytes - (this.#sizes.get(holder) ?? 0)
    this.#sizes.delete(holder)
    this.#sizes.set(holder, bytes)
    if (this.#used <= this.limit) return
    for (const [other, size] of this.#sizes) {
      if (other === holder) continue
      this.#sizes.delete(other)
      this.#used -= size
      other.release()
      if (this.#used <= this.limit) return
    }
  }

  /** Says that `holder` holds nothing any more. */
  forget(holder: MemoryHolder): void {
    this.#used -= this.#sizes.get(holder) ?? 0
    this.#sizes.delete(holder)
  }
}
