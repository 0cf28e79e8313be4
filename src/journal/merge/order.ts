// A few things in order, of which only the first ever changes: a list in which it is moved to its new place. With two or three
// things that is one comparison, with hundreds a bisection and a shift.

/** Negative: a comes before b. */
export type Compare<T> = (a: T, b: T) => number

export class Order<T> {
  readonly list: T[] = []
  readonly #compare: Compare<T>

  constructor(compare: Compare<T>) {
    this.#compare = compare
  }

  add(one: T): void {
    const at = this.#placeOf(one, 0)
    this.list.splice(at, 0, one)
  }

  /** The first one has changed and goes where it belongs now, behind its equals. */
  moveFirst(): void {
    const { list } = this
    const first = list[0]
    const second = list[1]
    if (first === undefined || second === undefined || this.#compare(first, second) <= 0) return
    const at = this.#placeOf(first, 2)
    for (let i = 1; i < at; i++) list[i - 1] = list[i] as T
    list[at - 1] = first
  }

  shift(): void {
    this.list.shift()
  }

  remove(one: T): void {
    const at = this.list.indexOf(one)
    if (at >= 0) this.list.splice(at, 1)
  }

  clear(): void {
    this.list.length = 0
  }

  /** The first index from `low` on whose thing comes behind `one`. */
  #placeOf(one: T, low: number): number {
    let from = low
    let to = this.list.length
    while (from < to) {
      const middle = (from + to) >>> 1
      if (this.#compare(one, this.list[middle] as T) < 0) to = middle
      else from = middle + 1
    }
    return from
  }
}
