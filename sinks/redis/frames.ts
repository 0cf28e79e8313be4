// Puts records into the form in which Redis takes arguments (RESP bulk strings), each with what Logstash wants in front. One
// pass, one copy per record, no object per entry: 0.3 µs for 1.4 kB (bench/redisSink).

import type { Batch } from '../../src/sink.ts'

const KEY_BYTES = 34
const CR = 13
const LF = 10
const DOLLAR = 0x24
const BRACE = 0x7d
/** `$`, up to ten digits, and two line ends. */
const BULK_BYTES = 15
/** Larger buffers are not kept: such a batch is rare. */
const KEEP_BYTES = 16 * 2 ** 20

export interface FrameOptions {
  /** Whether `@version` and `@metadata` go in front of the record's own fields. */
  readonly metadata: boolean
  /** `@metadata.pipeline`. */
  readonly pipeline?: string | undefined
}

/** Elements for one key. */
export interface Group {
  readonly key: string
  /** Indexes into the batch, ascending; undefined: all of it. */
  readonly indexes: readonly number[] | undefined
  readonly count: number
}

/** Writes elements into a buffer of its own, which the next call uses again: one batch at a time. */
export class Frames {
  readonly #head: Buffer
  readonly #tail: Buffer
  #out: Buffer = Buffer.alloc(0)

  constructor({ metadata, pipeline }: FrameOptions) {
    const more = pipeline === undefined ? '' : `,"pipeline":${JSON.stringify(pipeline)}`
    this.#head = Buffer.from(metadata ? '{"@version":"1","@metadata":{"_id":"' : '')
    this.#tail = Buffer.from(metadata ? `"${more}},` : '')
  }

  /** Bytes that an element has beside its record, at most. */
  get overhead(): number {
    return this.#head.length === 0 ? 0 : this.#head.length + KEY_BYTES + this.#tail.length - 1
  }

  /** The elements of all groups, one behind the other; those of group i end at `ends[i]`. Valid until the next call. */
  write(batch: Pick<Batch, 'records' | 'ends' | 'keys'>, groups: readonly Group[]): { bytes: Buffer; ends: number[] } {
    const most = batch.records.length + batch.ends.length * (BULK_BYTES + this.overhead)
    const out = this.#room(most)
    const { buffer, byteOffset, length } = batch.records
    const records = Buffer.from(buffer, byteOffset, length)
    const ends: number[] = []
    let at = 0
    for (const { indexes, count } of groups) {
      for (let i = 0; i < count; i++) at = this.#element(out, at, records, batch, indexes?.[i] ?? i)
      ends.push(at)
    }
    return { bytes: out.subarray(0, at), ends }
  }

  /** Lets go of the buffer: the last one may still be on its way. */
  forget(): void {
    this.#out = Buffer.alloc(0)
  }

  #room(bytes: number): Buffer {
    if (this.#out.length >= bytes) return this.#out
    const out = Buffer.allocUnsafeSlow(bytes + (bytes >> 2))
    if (out.length <= KEEP_BYTES) this.#out = out
    return out
  }

  #element(
    out: Buffer,
    start: number,
    records: Buffer,
    { ends, keys }: Pick<Batch, 'ends' | 'keys'>,
    index: number,
  ): number {
    const head = this.#head
    const tail = this.#tail
    const to = ends[index] ?? 0
    let from = index === 0 ? 0 : (ends[index - 1] ?? 0) + 1
    let at = start
    out[at++] = DOLLAR
    if (head.length === 0) {
      at = writeLine(out, at, to - from)
    } else {
      // The record's own opening brace gives way to ours; a record without fields needs no comma.
      from++
      const isEmpty = records[from] === BRACE
      const tailLength = isEmpty ? tail.length - 1 : tail.length
      at = writeLine(out, at, head.length + KEY_BYTES + tailLength + to - from)
      for (let i = 0; i < head.length; i++) out[at++] = head[i] as number
      for (let i = index * KEY_BYTES, end = i + KEY_BYTES; i < end; i++) out[at++] = keys[i] as number
      for (let i = 0; i < tailLength; i++) out[at++] = tail[i] as number
    }
    // Unlike `set` with a view, this makes no object that the collector has to find again.
    records.copy(out, at, from, to)
    at += to - from
    out[at++] = CR
    out[at++] = LF
    return at
  }
}

/** A number in decimal and a line end. */
function writeLine(out: Buffer, start: number, value: number): number {
  let end = start + 1
  for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) end++
  for (let at = end - 1, rest = value; at >= start; at--, rest = Math.floor(rest / 10)) out[at] = 48 + (rest % 10)
  out[end] = CR
  out[end + 1] = LF
  return end + 2
}

/** An array of `count` arguments of which the first ones are these. */
export function commandHead(count: number, first: readonly string[]): string {
  let text = `*${count}\r\n`
  for (const argument of first) text += `$${Buffer.byteLength(argument)}\r\n${argument}\r\n`
  return text
}
