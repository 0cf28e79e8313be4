// Entries that the journal no longer holds, told from sequence numbers: one journald numbers the entries of all its files by one
// counter, whatever their seqnum ids. A jump within an id is a hole until entries of other ids fill it.
// Invariant: a number is counted once, and only after everything that is there was read.

/** Holes and stretches kept apart; of more than that the lowest are settled. */
const INTERVALS_MAX = 256

/** Sets of whole numbers as ascending, separate intervals, both ends included. */
class Intervals {
  readonly #from: number[] = []
  readonly #to: number[] = []

  get count(): number {
    return this.#from.length
  }

  get total(): number {
    let total = 0
    for (const [i, from] of this.#from.entries()) total += (this.#to[i] as number) - from + 1
    return total
  }

  add(from: number, to: number): void {
    const last = this.#to.length - 1
    // Nearly always the next number.
    if (last >= 0 && from >= (this.#from[last] as number) && from <= (this.#to[last] as number) + 1) {
      if (to > (this.#to[last] as number)) this.#to[last] = to
      return
    }
    const first = this.#firstEndingAt(from - 1)
    let end = first
    let low = from
    let high = to
    for (; end < this.#from.length && (this.#from[end] as number) <= to + 1; end++) {
      low = Math.min(low, this.#from[end] as number)
      high = Math.max(high, this.#to[end] as number)
    }
    this.#from.splice(first, end - first, low)
    this.#to.splice(first, end - first, high)
  }

  remove(from: number, to: number): void {
    const first = this.#firstEndingAt(from)
    let end = first
    const pieces: [number, number][] = []
    for (; end < this.#from.length && (this.#from[end] as number) <= to; end++) {
      const [a, b] = [this.#from[end] as number, this.#to[end] as number]
      if (a < from) pieces.push([a, from - 1])
      if (b > to) pieces.push([to + 1, b])
    }
    if (end === first) return
    this.#from.splice(first, end - first, ...pieces.map(([a]) => a))
    this.#to.splice(first, end - first, ...pieces.map(([, b]) => b))
  }

  /** The parts of [from, to] that are not in here. */
  missing(from: number, to: number): [number, number][] {
    const parts: [number, number][] = []
    let at = from
    for (let i = this.#firstEndingAt(from); i < this.#from.length && at <= to; i++) {
      const begin = this.#from[i] as number
      if (begin > to) break
      if (begin > at) parts.push([at, begin - 1])
      at = Math.max(at, (this.#to[i] as number) + 1)
    }
    if (at <= to) parts.push([at, to])
    return parts
  }

  /** Takes the lowest interval out and returns its length. */
  shift(): number {
    const from = this.#from.shift()
    const to = this.#to.shift()
    return from === undefined || to === undefined ? 0 : to - from + 1
  }

  /** Index of the first interval that ends at `value` or later. */
  #firstEndingAt(value: number): number {
    let low = 0
    let high = this.#to.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#to[middle] as number) < value) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** The numbers of one counter. */
export class Gaps {
  /** Numbers that no entry will come for. */
  lost = 0
  #ids = 0
  readonly #seen = new Intervals()
  /** Since the last `settle`, and before it. */
  #young = new Intervals()
  #old = new Intervals()

  /** Several ids draw from this counter, so that all numbers seen must be known. */
  get isShared(): boolean {
    return this.#ids > 1
  }

  /** One more id draws from this counter. */
  join(): void {
    this.#ids++
  }

  get hasOpen(): boolean {
    return this.#young.count > 0 || this.#old.count > 0
  }

  /** Everything up to this number was dealt with before. */
  start(seqnum: number): void {
    if (seqnum > 0) this.#seen.add(0, seqnum)
  }

  /** Entries with these numbers were read. */
  see(from: number, to: number): void {
    this.#seen.add(from, to)
    if (this.#seen.count > INTERVALS_MAX) this.#seen.shift()
    if (this.#young.count > 0) this.#young.remove(from, to)
    if (this.#old.count > 0) this.#old.remove(from, to)
  }

  /** The entries of one id go on at `to` after `from`: what lies between belongs to other ids, or is lost. */
  jump(from: number, to: number): void {
    for (const [a, b] of this.#seen.missing(from + 1, to - 1)) {
      for (const [c, d] of this.#old.missing(a, b)) this.#young.add(c, d)
    }
    while (this.#young.count > INTERVALS_MAX) this.lost += this.#young.shift()
  }

  /** Everything that is there was read: `all` open holes are losses, or at least those that were open at the last call. */
  settle(all: boolean): void {
    this.lost += this.#old.total
    if (all) this.lost += this.#young.total
    this.#old = all ? new Intervals() : this.#young
    this.#young = new Intervals()
  }
}
