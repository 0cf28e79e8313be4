// Batches as sinks see them, cut out of shared chunks: views into one chunk's bytes where possible, a copy where a batch
// spans several. Invariant: positions inside a batch are those of its original entries, also after some were settled, so
// that a target which keeps `after` never claims an entry that it has not got.

import { createHash } from 'node:crypto'
import type { Batch, Cursor, Entry, Position } from '../../sink.ts'
import { type Groups, groupEntries } from '../groups.ts'
import type { Chunk, Cut, Part } from './chunk.ts'

/** Length of an entry's key (src/journal/key.ts). */
export const KEY_BYTES = 34

/** Where in a batch's source an entry stands: chunk and index in it. */
interface Place {
  readonly chunk: Chunk
  readonly index: number
}

/** First byte of record `index`. */
export function recordStart(chunk: Chunk, index: number): number {
  return index === 0 ? 0 : (chunk.ends[index - 1] ?? 0) + chunk.gap
}

/** Bytes of the records [from, to), terminators included. */
export function recordBytes(chunk: Chunk, from: number, to: number): number {
  return to > from ? (chunk.ends[to - 1] ?? 0) + chunk.gap - recordStart(chunk, from) : 0
}

/** A batch, its parts, and what is needed to make smaller ones of it. */
export class CutBatch implements Batch {
  readonly source: string
  readonly attempt: number
  readonly records: Uint8Array<ArrayBuffer>
  readonly ends: Uint32Array
  readonly keys: Uint8Array<ArrayBuffer>
  readonly before: Position
  readonly after: Position
  /** Entries. */
  readonly length: number
  readonly #parts: readonly Part[]
  readonly #cut: Cut
  // Index in the batch as it was first cut, when this one is narrower.
  readonly #origin: Uint32Array | undefined
  #id: string | undefined
  #entries: readonly Entry[] | undefined
  #realtimes: Float64Array | undefined
  #groups: Groups | undefined

  private constructor(shape: {
    source: string
    attempt: number
    parts: readonly Part[]
    cut: Cut
    before: Position
    after: Position
    origin: Uint32Array | undefined
  }) {
    this.source = shape.source
    this.attempt = shape.attempt
    this.before = shape.before
    this.after = shape.after
    this.#parts = shape.parts
    this.#cut = shape.cut
    this.#origin = shape.origin
    const joined = join(shape.parts)
    this.records = joined.records
    this.ends = joined.ends
    this.keys = joined.keys
    this.length = joined.ends.length
  }

  /**
   * @param parts hold at least one entry, all of one source, in order
   * @param before what the target must hold; where the cut begins, but for a target that holds its own position
   */
  static of(parts: readonly Part[], cut: Cut, before: Position = cut.before): CutBatch {
    const filled = parts.filter((part) => part.to > part.from)
    const source = filled[0]?.chunk.source ?? ''
    return new CutBatch({ source, attempt: 1, parts: filled, cut, before, after: cut.after, origin: undefined })
  }

  get id(): string {
    this.#id ??= batchId(this.source, this.before, this.after)
    return this.#id
  }

  get entries(): readonly Entry[] {
    this.#entries ??= Array.from({ length: this.length }, (_, index) => new EntryView(this, index))
    return this.#entries
  }

  get realtimes(): Float64Array {
    this.#realtimes ??= joinRealtimes(this.#parts, this.length)
    return this.#realtimes
  }

  get groups(): Groups {
    this.#groups ??= groupEntries(this.#parts, this.length)
    return this.#groups
  }

  /** Record bytes, terminators included. */
  get bytes(): number {
    return this.records.length
  }

  /** The same entries for another attempt. */
  again(): CutBatch {
    return this.#with({ attempt: this.attempt + 1 })
  }

  /** Only the entries at `indexes` (ascending, distinct, at least one); by default as the next attempt at them. */
  only(indexes: readonly number[], attempt = this.attempt + 1): CutBatch {
    if (indexes.length === this.length) return this.#with({ attempt })
    const parts: { chunk: Chunk; from: number; to: number }[] = []
    const origin = new Uint32Array(indexes.length)
    for (const [at, index] of indexes.entries()) {
      const { chunk, index: inChunk } = this.#place(index)
      const last = parts.at(-1)
      if (last?.chunk === chunk && last.to === inChunk) last.to++
      else parts.push({ chunk, from: inChunk, to: inChunk + 1 })
      origin[at] = this.#origin?.[index] ?? index
    }
    return this.#with({ attempt, parts, origin })
  }

  /** Two batches of about half the entries each, for a target that takes fewer at once. Needs two entries. */
  halves(): [CutBatch, CutBatch] {
    const middle = this.#middle()
    const first = this.only(range(0, middle))
    const second = this.only(range(middle, this.length))
    // The first may claim what stands before the second and no more.
    const between = this.#cut.at((this.#origin?.[middle - 1] ?? middle - 1) + 1)
    return [first.#with({ after: between }), second.#with({ before: between })]
  }

  /** Size of one record in bytes, without its terminator. */
  recordSize(index: number): number {
    return (this.ends[index] ?? 0) - this.recordStart(index)
  }

  /** First byte of one record in `records`. */
  recordStart(index: number): number {
    return index === 0 ? 0 : (this.ends[index - 1] ?? 0) + (this.#parts[0]?.chunk.gap ?? 0)
  }

  /** The largest record of the chunks that the batch is made of: an upper bound for its own, at no cost. */
  get largestBound(): number {
    let largest = 0
    for (const { chunk } of this.#parts) largest = Math.max(largest, chunk.largest)
    return largest
  }

  key(index: number): string {
    return Buffer.from(this.keys.buffer, this.keys.byteOffset + index * KEY_BYTES, KEY_BYTES).toString('latin1')
  }

  cursor(index: number): Cursor {
    const { chunk, index: inChunk } = this.#place(index)
    return chunk.cursor(inChunk)
  }

  record(index: number): Uint8Array<ArrayBuffer> {
    return this.records.subarray(this.recordStart(index), this.ends[index])
  }

  realtime(index: number): number {
    const { chunk, index: inChunk } = this.#place(index)
    return chunk.realtimes[inChunk] ?? 0
  }

  /** The entry's fields in journal export format, as far as `traits.fields` ask for them; undefined when they ask for none. */
  fieldBytes(index: number): Uint8Array | undefined {
    const { chunk, index: inChunk } = this.#place(index)
    if (chunk.groups !== undefined) return chunk.groups.table.bytesOf(chunk.groups.at[inChunk] ?? 0)
    if (chunk.fields === undefined) return undefined
    const { bytes, ends } = chunk.fields
    return bytes.subarray(inChunk === 0 ? 0 : ends[inChunk - 1], ends[inChunk])
  }

  #place(index: number): Place {
    let left = index
    for (const { chunk, from, to } of this.#parts) {
      if (left < to - from) return { chunk, index: from + left }
      left -= to - from
    }
    throw new RangeError(`entry ${index} of a batch of ${this.length}`)
  }

  /** The place nearest to the middle that does not split lines of one write, or the middle when there is none. */
  #middle(): number {
    const middle = this.length >> 1
    for (let away = 0; away < middle; away++) {
      for (const at of [middle - away, middle + away]) {
        if (at < 1 || at >= this.length) continue
        const { chunk, index } = this.#place(at)
        if (chunk.joined[index] !== 1) return at
      }
    }
    return middle
  }

  #with(change: {
    attempt?: number
    parts?: readonly Part[]
    origin?: Uint32Array
    before?: Position
    after?: Position
  }): CutBatch {
    return new CutBatch({
      source: this.source,
      attempt: change.attempt ?? this.attempt,
      parts: change.parts ?? this.#parts,
      cut: this.#cut,
      before: change.before ?? this.before,
      after: change.after ?? this.after,
      origin: change.origin ?? this.#origin,
    })
  }
}

// The same ground gives the same id, also after a restart.
function batchId(source: string, before: Position, after: Position): string {
  return createHash('sha256').update(`${source}\n${before}\n${after}`).digest('base64url').slice(0, 22)
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index)
}

function join(parts: readonly Part[]): {
  records: Uint8Array<ArrayBuffer>
  ends: Uint32Array
  keys: Uint8Array<ArrayBuffer>
} {
  const only = parts[0]
  if (only !== undefined && parts.length === 1) {
    const { chunk, from, to } = only
    const start = recordStart(chunk, from)
    return {
      records: chunk.records.subarray(start, start + recordBytes(chunk, from, to)),
      ends: from === 0 ? chunk.ends.subarray(0, to) : chunk.ends.slice(from, to).map((end) => end - start),
      keys: chunk.keys.subarray(from * KEY_BYTES, to * KEY_BYTES),
    }
  }
  let bytes = 0
  let count = 0
  for (const { chunk, from, to } of parts) {
    bytes += recordBytes(chunk, from, to)
    count += to - from
  }
  const records = new Uint8Array(bytes)
  const ends = new Uint32Array(count)
  const keys = new Uint8Array(count * KEY_BYTES)
  let at = 0
  let entry = 0
  for (const { chunk, from, to } of parts) {
    const start = recordStart(chunk, from)
    const size = recordBytes(chunk, from, to)
    records.set(chunk.records.subarray(start, start + size), at)
    keys.set(chunk.keys.subarray(from * KEY_BYTES, to * KEY_BYTES), entry * KEY_BYTES)
    for (let index = from; index < to; index++) ends[entry++] = (chunk.ends[index] ?? 0) - start + at
    at += size
  }
  return { records, ends, keys }
}

function joinRealtimes(parts: readonly Part[], count: number): Float64Array {
  const only = parts[0]
  if (only !== undefined && parts.length === 1) return only.chunk.realtimes.subarray(only.from, only.to)
  const realtimes = new Float64Array(count)
  let entry = 0
  for (const { chunk, from, to } of parts) {
    realtimes.set(chunk.realtimes.subarray(from, to), entry)
    entry += to - from
  }
  return realtimes
}

/** An entry of a batch, decoded only where it is asked. */
class EntryView implements Entry {
  readonly #batch: CutBatch
  readonly #index: number

  constructor(batch: CutBatch, index: number) {
    this.#batch = batch
    this.#index = index
  }

  get cursor(): Cursor {
    return this.#batch.cursor(this.#index)
  }

  get realtime(): number {
    return this.#batch.realtime(this.#index)
  }

  get key(): string {
    return this.#batch.key(this.#index)
  }

  get record(): Uint8Array<ArrayBuffer> {
    return this.#batch.record(this.#index)
  }

  get(field: string): string | undefined {
    for (const [name, value] of this.fields()) if (name === field) return Buffer.from(value).toString()
    return undefined
  }

  fields(): Iterable<readonly [name: string, value: Uint8Array]> {
    return readExport(this.#batch.fieldBytes(this.#index) ?? new Uint8Array(0))
  }
}

const NEWLINE = 10
const EQUALS = 61

/** Fields of one entry in journal export format (`NAME=value`, or NAME, a 64-bit little-endian length and the value), without the `__` ones, which are no fields. */
export function* readExport(bytes: Uint8Array): Generator<readonly [name: string, value: Uint8Array]> {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  let at = 0
  while (at < view.length && view[at] !== NEWLINE) {
    const line = view.indexOf(NEWLINE, at)
    const lineEnd = line < 0 ? view.length : line
    const equals = view.indexOf(EQUALS, at)
    let name: string
    let value: Uint8Array
    if (equals >= 0 && equals < lineEnd) {
      name = view.toString('latin1', at, equals)
      value = view.subarray(equals + 1, lineEnd)
      at = lineEnd + 1
    } else {
      name = view.toString('latin1', at, lineEnd)
      const size = view.readUInt32LE(lineEnd + 1)
      value = view.subarray(lineEnd + 9, lineEnd + 9 + size)
      at = lineEnd + 9 + size + 1
    }
    if (!name.startsWith('__')) yield [name, value]
  }
}
