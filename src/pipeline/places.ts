// How many batches of one sink, and how many bytes of them, may be unsettled at once: what keeps memory bounded when a
// target stalls. Invariant: never more than `count` places are taken, and none is given beyond `bytes` but the first.

interface Waiter {
  go(): void
}

/** A place for one unsettled batch. */
export interface Place {
  /** Says how many bytes the batch holds. */
  weigh(bytes: number): void
  /** The batch is settled or left. */
  free(): void
}

export class Places {
  readonly #count: number
  readonly #bytes: number
  #taken = 0
  #weight = 0
  readonly #waiting = new Set<Waiter>()

  constructor(count: number, bytes: number) {
    this.#count = count
    this.#bytes = bytes
  }

  /** Places taken. */
  get taken(): number {
    return this.#taken
  }

  /** Bytes in the taken places. */
  get weight(): number {
    return this.#weight
  }

  /** Takes a place when there is one, in the order of asking; undefined when `stop` was aborted before that. */
  async take(stop: AbortSignal): Promise<Place | undefined> {
    if (stop.aborted) return undefined
    if (!this.#hasRoom() || this.#waiting.size > 0) {
      const turn = Promise.withResolvers<boolean>()
      const waiter: Waiter = { go: () => turn.resolve(true) }
      const give = (): void => turn.resolve(false)
      this.#waiting.add(waiter)
      stop.addEventListener('abort', give, { once: true })
      const isMine = await turn.promise
      stop.removeEventListener('abort', give)
      if (!isMine) {
        this.#waiting.delete(waiter)
        return undefined
      }
      // `#wake` counted the place already.
      return this.#place()
    }
    this.#taken++
    return this.#place()
  }

  #place(): Place {
    let weight = 0
    let isTaken = true
    return {
      weigh: (bytes) => {
        if (!isTaken) return
        this.#weight += bytes - weight
        weight = bytes
      },
      free: () => {
        if (!isTaken) return
        isTaken = false
        this.#taken--
        this.#weight -= weight
        this.#wake()
      },
    }
  }

  #hasRoom(): boolean {
    return this.#taken === 0 || (this.#taken < this.#count && this.#weight < this.#bytes)
  }

  #wake(): void {
    for (const waiter of this.#waiting) {
      if (!this.#hasRoom()) return
      this.#waiting.delete(waiter)
      this.#taken++
      waiter.go()
    }
  }
}
