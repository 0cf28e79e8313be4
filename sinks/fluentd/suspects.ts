// Chunks that a server never acknowledges. One that was lost is sent alone on a fresh connection, so that others do not suffer with it;
// one that fails so again and again, while the server takes others, is poison: it goes out in halves until the entry is found.
// Invariant: nothing is poison without proof that the server takes other messages.

/** Failures on fresh connections after which a chunk is poison, if the server proves at once that it takes others. */
const STRIKES = 3
/** The same for a single entry which has no better proof than that others passed between its failures: it will be given up. */
const STRIKES_OF_ONE = 10
// Whoever has more trouble than this has another trouble.
const MOST_KEPT = 200

/** A chunk, as far as it matters here. */
export interface Suspect {
  /** The same for every attempt. */
  readonly identity: string
  readonly tag: string
  readonly firstKey: string
  readonly lastKey: string
  readonly entries: number
}

/** What is known of a chunk. */
interface Suspicion {
  /** Failures on connections of its own. */
  strikes: number
  /** Those before which the server had taken another chunk since the last one. */
  proven: number
  lastStrikeAt: number
  /** A part of what was poison: the whole took the first strikes. */
  readonly isPart: boolean
  isPoison: boolean
}

export type Verdict = 'clear' | 'alone' | 'poison'

export class Suspects {
  readonly #known = new Map<string, Suspicion>()
  #poisoned: readonly Suspect[] = []

  /** False while there was no trouble: then nothing needs to be asked. */
  get any(): boolean {
    return this.#known.size > 0 || this.#poisoned.length > 0
  }

  /** How to send a chunk; `poison`: not at all. */
  verdict(suspect: Suspect): Verdict {
    const known = this.#known.get(suspect.identity)
    if (known !== undefined) return known.isPoison ? 'poison' : 'alone'
    return this.#isPart(suspect) ? 'alone' : 'clear'
  }

  /** It was lost on a connection that it shared, and seems to be the reason. */
  suspect(suspect: Suspect): void {
    this.#find(suspect)
  }

  /**
   * It was lost on a connection of its own.
   * @param lastAckAt when the server last acknowledged another chunk
   * @param probe asks the server whether it takes a message now
   */
  async strike(suspect: Suspect, lastAckAt: number, probe: () => Promise<boolean>): Promise<Verdict> {
    const suspicion = this.#find(suspect)
    suspicion.strikes++
    if (lastAckAt > suspicion.lastStrikeAt) suspicion.proven++
    suspicion.lastStrikeAt = performance.now()
    const isOne = suspect.entries === 1
    const isProven = suspicion.proven >= (isOne ? STRIKES_OF_ONE : STRIKES)
    const isDue = suspicion.strikes >= (suspicion.isPart && !isOne ? 1 : STRIKES)
    if (!isProven && !(isDue && (await probe()))) return 'alone'
    suspicion.isPoison = true
    if (!isOne) this.#poisoned = [...this.#poisoned.slice(1 - MOST_KEPT), suspect]
    return 'poison'
  }

  /** It is settled, one way or another. */
  forget({ identity }: Suspect): void {
    this.#known.delete(identity)
  }

  #find(suspect: Suspect): Suspicion {
    const { identity } = suspect
    let suspicion = this.#known.get(identity)
    if (suspicion === undefined) {
      suspicion = {
        strikes: 0,
        proven: 0,
        lastStrikeAt: performance.now(),
        isPart: this.#isPart(suspect),
        isPoison: false,
      }
      for (const oldest of this.#known.keys()) {
        if (this.#known.size < MOST_KEPT) break
        this.#known.delete(oldest)
      }
      this.#known.set(identity, suspicion)
    }
    return suspicion
  }

  /** Keys sort by time, so that a part of a chunk lies between its first and its last. */
  #isPart({ tag, firstKey }: Suspect): boolean {
    return this.#poisoned.some((whole) => whole.tag === tag && whole.firstKey <= firstKey && firstKey <= whole.lastKey)
  }
}
