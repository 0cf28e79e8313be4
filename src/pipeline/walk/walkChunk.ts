// A chunk as the walk makes it: encoded entries, their identities, and the positions before and behind.
// Invariant: it never changes; only its memory is used again, when everybody who got entries of it has said to be done.

import { formatCursor } from '../../journal/cursor.ts'
import type { PositionState } from '../../journal/position.ts'
import type { Cursor } from '../../sink.ts'
import type { Chunk, Part } from './chunk.ts'
import { type Mark, type Marks, markOf } from './marks.ts'

/** A chunk of a walk, with the positions around it. */
export class WalkChunk implements Chunk {
  readonly source: string
  readonly count: number
  readonly records: Uint8Array<ArrayBuffer>
  readonly ends: Uint32Array
  readonly gap: 0 | 1
  readonly keys: Uint8Array<ArrayBuffer>
  readonly joined: Uint8Array
  readonly closed: boolean
  readonly largest: number
  readonly missing: number
  readonly fields: Chunk['fields']
  readonly groups: Chunk['groups']
  readonly marks: Marks
  /** Number in its walk. */
  readonly number: number
  readonly before: PositionState
  readonly after: PositionState
  /** Where each id stands at the end that moved, left-out entries and dropped copies included. */
  readonly tail: readonly Mark[]
  readonly #onFree: () => void
  // Entries given out and not done, and one while the chunk is kept for others.
  #uses = 1

  constructor(
    parts: Omit<WalkChunk, 'count' | 'realtimes' | 'bytes' | 'cursor' | 'move' | 'give' | 'done'>,
    onFree: () => void,
  ) {
    this.#onFree = onFree
    this.source = parts.source
    this.count = parts.marks.count
    this.records = parts.records
    this.ends = parts.ends
    this.gap = parts.gap
    this.keys = parts.keys
    this.joined = parts.joined
    this.closed = parts.closed
    this.largest = parts.largest
    this.missing = parts.missing
    this.fields = parts.fields
    this.groups = parts.groups
    this.marks = parts.marks
    this.number = parts.number
    this.before = parts.before
    this.after = parts.after
    this.tail = parts.tail
  }

  get realtimes(): Float64Array {
    return this.marks.realtimes
  }

  /** Memory that it holds, nearly. */
  get bytes(): number {
    return this.records.length + (this.fields?.bytes.length ?? 0) + this.count * 100
  }

  cursor(index: number): Cursor {
    return formatCursor(this.marks.entry(index))
  }

  /** Somebody gets the entries from `from` on. */
  give(from: number): Part {
    this.#uses += this.count - from
    return { chunk: this, from, to: this.count }
  }

  done(uses: number): void {
    this.#uses -= uses
    if (this.#uses === 0) this.#onFree()
  }

  /** Moves a position over the entries [from, to), and at the chunk's end over what was left out behind them. */
  move(state: PositionState, from: number, to: number): void {
    if (to < this.count) this.marks.move(state, from, to)
    else for (const { entry, run } of this.tail) state.place(entry, run)
  }
}

/** Where each id stands that moved between two positions; that of the `last` cursor at the end, as it is what people are shown. */
export function tailOf(before: PositionState, after: PositionState, last: string | undefined): Mark[] {
  const tail: Mark[] = []
  for (const [id, place] of after.ids) {
    if (place.seqnum === 0 || place.seqnum === before.ids.get(id)?.seqnum) continue
    const mark = markOf(id, place)
    if (formatCursor(mark.entry) === last) tail.push(mark)
    else tail.unshift(mark)
  }
  return tail
}
