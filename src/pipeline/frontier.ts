// Batches settle out of order but the stored position may only cross settled ground, so this keeps the open batches in
// journal order and moves `edge` when the lowest one settles. Invariant: nothing before `edge` is open.

import type { Position } from '../sink.ts'

/** One batch on its way; made by `Frontier.open`. */
export interface Ticket {
  readonly after: Position
  readonly settled: boolean
}

export class Frontier {
  #edge: Position
  readonly #open: { after: Position; settled: boolean }[] = []

  constructor(edge: Position) {
    this.#edge = edge
  }

  /** The end of the longest settled run: the only position that may be stored. */
  get edge(): Position {
    return this.#edge
  }

  /** Batches opened and not yet crossed by the edge. */
  get size(): number {
    return this.#open.length
  }

  /** Registers the batch that follows all others and ends at `after`. */
  open(after: Position): Ticket {
    const ticket = { after, settled: false }
    this.#open.push(ticket)
    return ticket
  }

  /** Moves over ground on which there is nothing to deliver, up to `after`. True when the edge moved. */
  pass(after: Position): boolean {
    const last = this.#open.at(-1)
    if (last === undefined) {
      this.#edge = after
      return true
    }
    // However long the first batch stays open, the list does not grow by this.
    if (last.settled) last.after = after
    else this.#open.push({ after, settled: true })
    return false
  }

  /** Every entry of this batch is delivered or safe among the dead letters. True when the edge moved. */
  settle(ticket: Ticket): boolean {
    const found = this.#open.find((candidate) => candidate === ticket)
    // A ticket from before a rewind: its ground was given up.
    if (found === undefined) return false
    found.settled = true
    let crossed = 0
    for (; this.#open[crossed]?.settled; crossed++) this.#edge = this.#open[crossed]?.after ?? this.#edge
    this.#open.splice(0, crossed)
    return crossed > 0
  }

  /** True when a batch behind this one is settled, so that leaving this one would repeat the other after a restart. */
  isHoldingBack(ticket: Ticket): boolean {
    const at = this.#open.indexOf(ticket)
    return at >= 0 && this.#open.some((candidate, index) => index > at && candidate.settled)
  }

  /** Starts over at `edge`; whatever was open no longer counts. */
  reset(edge: Position): void {
    this.#edge = edge
    this.#open.length = 0
  }
}
