// Bodies of requests: the records of a batch as they are, or each in its envelope, one a line or as one array. Per entry nothing but
// copies and, with an envelope, its times. Invariant: records hold no newline, so one always separates two of them.

import type { Batch } from '../../src/sink.ts'
import { type Envelope, timeText } from './envelope.ts'

const NEWLINE = 10
const COMMA = 44
const KEY_BYTES = 34

export interface BodyForm {
  readonly format: 'ndjson' | 'array'
  readonly envelope: Envelope | undefined
  readonly before: string
  readonly after: string
}

export class Bodies {
  readonly #envelope: Envelope | undefined
  readonly #isArray: boolean
  readonly #head: Buffer
  readonly #tail: Buffer

  constructor({ format, envelope, before, after }: BodyForm) {
    this.#envelope = envelope
    this.#isArray = format === 'array'
    this.#head = Buffer.from(before + (this.#isArray ? '[' : ''))
    this.#tail = Buffer.from((this.#isArray ? ']' : '') + after)
  }

  /** A request without entries. */
  empty(): Uint8Array {
    return Buffer.concat([this.#head, this.#tail])
  }

  /** The body for the entries of a batch at `indexes` (ascending), or for all of them. */
  build(batch: Batch, indexes?: readonly number[]): Uint8Array {
    const isPlain = !this.#isArray && this.#head.length === 0 && this.#tail.length === 0
    // Already what is wanted.
    if (isPlain && this.#envelope === undefined && indexes === undefined) return batch.records
    const { records, ends } = batch
    const count = indexes?.length ?? ends.length
    const extra = (this.#envelope?.extraBytes ?? 0) + 1
    const out = Buffer.allocUnsafe(this.#head.length + records.length + count * extra + this.#tail.length)
    const separator = this.#isArray ? COMMA : NEWLINE
    let at = this.#head.copy(out)
    for (let i = 0; i < count; i++) {
      const index = indexes === undefined ? i : (indexes[i] as number)
      at = this.#entry(out, at, batch, index)
      out[at++] = separator
    }
    // One between each two; behind the last only where a line ends with it.
    if (this.#isArray && count > 0) at--
    at += this.#tail.copy(out, at)
    return out.subarray(0, at)
  }

  #entry(out: Buffer, from: number, { records, ends, realtimes, keys }: Batch, index: number): number {
    const start = index === 0 ? 0 : (ends[index - 1] as number) + 1
    const end = ends[index] as number
    let at = from
    if (this.#envelope === undefined) {
      out.set(records.subarray(start, end), at)
      return at + end - start
    }
    for (const part of this.#envelope.parts) {
      if (typeof part !== 'string') at += part.copy(out, at)
      else if (part === 'record' || part === 'members') {
        const first = part === 'record' ? start : start + 1
        out.set(records.subarray(first, end), at)
        at += end - first
      } else if (part === 'key') {
        out.set(keys.subarray(index * KEY_BYTES, (index + 1) * KEY_BYTES), at)
        at += KEY_BYTES
      } else at += out.write(timeText(part, realtimes[index] as number), at, 'latin1')
    }
    return at
  }
}
