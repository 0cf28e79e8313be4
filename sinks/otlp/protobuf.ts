// Requests and answers in OTLP's protobuf form, written and read by hand: eight small messages do not need a library. The numbers of the
// fields are those of opentelemetry/proto/{logs,resource,common,collector/logs}/v1/*.proto and google/rpc/status.proto.

import { type Attribute, type ResourceLogs, SCOPE, type Value } from './records.ts'

const VARINT = 0
const FIXED64 = 1
const BYTES = 2
const FIXED32 = 5
const FIRST_BYTES = 64 * 1024

/** @param observedMs when the entries were read, milliseconds since 1970 */
export function protobufRequest(groups: readonly ResourceLogs[], observedMs: number): Buffer {
  const writer = new Writer()
  const observed = BigInt(observedMs) * 1_000_000n
  for (const { attributes, records } of groups) {
    const resourceLogs = writer.begin(1)
    const resource = writer.begin(1)
    for (const attribute of attributes) writePair(writer, 1, attribute)
    writer.end(resource)
    const scopeLogs = writer.begin(2)
    const scope = writer.begin(1)
    writer.text(1, SCOPE)
    writer.end(scope)
    for (const record of records) {
      const at = writer.begin(2)
      writer.fixed64(1, BigInt(record.timeUs) * 1000n)
      if (record.severityNumber !== 0) {
        writer.varint(2, record.severityNumber)
        writer.text(3, record.severityText)
      }
      if (record.body !== undefined) {
        const body = writer.begin(5)
        writeValue(writer, record.body)
        writer.end(body)
      }
      for (const attribute of record.attributes) writePair(writer, 6, attribute)
      writer.fixed64(11, observed)
      writer.end(at)
    }
    writer.end(scopeLogs)
    writer.end(resourceLogs)
  }
  return writer.finish()
}

function writePair(writer: Writer, field: number, [key, value]: Attribute): void {
  const pair = writer.begin(field)
  writer.text(1, key)
  const at = writer.begin(2)
  writeValue(writer, value)
  writer.end(at)
  writer.end(pair)
}

/** The content of an AnyValue. */
function writeValue(writer: Writer, value: Value): void {
  if (typeof value === 'string') writer.text(1, value)
  else if (typeof value === 'boolean') writer.varint(2, value ? 1 : 0)
  else if (typeof value === 'number') {
    if (Number.isSafeInteger(value)) writer.varint(3, value)
    else writer.double(4, value)
  } else if (value instanceof Uint8Array) writer.bytes(7, value)
  else if ('pairs' in value) {
    const list = writer.begin(6)
    for (const one of value.pairs) writePair(writer, 1, one)
    writer.end(list)
  } else {
    const list = writer.begin(5)
    for (const one of value) {
      const at = writer.begin(1)
      writeValue(writer, one)
      writer.end(at)
    }
    writer.end(list)
  }
}

/** Writes fields one after another. A message's length is put in front of it when it ends. */
class Writer {
  #out = Buffer.allocUnsafe(FIRST_BYTES)
  #at = 0

  varint(field: number, value: number): void {
    this.#tag(field, VARINT)
    if (value >= 0) this.#number(value)
    else this.#big(BigInt.asUintN(64, BigInt(value)))
  }

  fixed64(field: number, value: bigint): void {
    this.#tag(field, FIXED64)
    this.#reserve(8)
    this.#at = this.#out.writeBigUInt64LE(value, this.#at)
  }

  double(field: number, value: number): void {
    this.#tag(field, FIXED64)
    this.#reserve(8)
    this.#at = this.#out.writeDoubleLE(value, this.#at)
  }

  text(field: number, value: string): void {
    const length = Buffer.byteLength(value)
    this.#tag(field, BYTES)
    this.#number(length)
    this.#reserve(length)
    this.#at += this.#out.write(value, this.#at)
  }

  bytes(field: number, value: Uint8Array): void {
    this.#tag(field, BYTES)
    this.#number(value.length)
    this.#reserve(value.length)
    this.#out.set(value, this.#at)
    this.#at += value.length
  }

  /** Begins a message; what it answers is for `end`. */
  begin(field: number): number {
    this.#tag(field, BYTES)
    this.#reserve(1)
    return ++this.#at
  }

  end(start: number): void {
    const length = this.#at - start
    let more = 0
    for (let rest = length; rest > 0x7f; rest = Math.floor(rest / 128)) more++
    // One byte was left for the length, which most messages need no more than.
    if (more > 0) {
      this.#reserve(more)
      this.#out.copyWithin(start + more, start, this.#at)
    }
    this.#at = start - 1
    this.#number(length)
    this.#at += length
  }

  finish(): Buffer {
    return this.#out.subarray(0, this.#at)
  }

  #tag(field: number, kind: number): void {
    this.#number(field * 8 + kind)
  }

  #number(value: number): void {
    this.#reserve(8)
    let rest = value
    for (; rest > 0x7f; rest = Math.floor(rest / 128)) this.#out[this.#at++] = (rest % 128) + 128
    this.#out[this.#at++] = rest
  }

  #big(value: bigint): void {
    this.#reserve(10)
    let rest = value
    for (; rest > 0x7fn; rest >>= 7n) this.#out[this.#at++] = Number(rest & 0x7fn) + 128
    this.#out[this.#at++] = Number(rest)
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#out.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#out.length * 2, this.#at + bytes))
    this.#out.copy(larger, 0, 0, this.#at)
    this.#out = larger
  }
}

/** The fields of a message: numbers of varints, contents of the rest. Throws a RangeError when it is cut off. */
export function readFields(message: Buffer): Map<number, number | Buffer> {
  const fields = new Map<number, number | Buffer>()
  let at = 0
  const number = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++]
      if (byte === undefined || scale > 2 ** 63) throw new RangeError('cut off')
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }
  while (at < message.length) {
    const tag = number()
    const kind = tag % 8
    if (kind === VARINT) {
      fields.set(Math.floor(tag / 8), number())
      continue
    }
    const length = kind === BYTES ? number() : kind === FIXED64 ? 8 : kind === FIXED32 ? 4 : Number.NaN
    if (!(at + length <= message.length)) throw new RangeError('cut off')
    fields.set(Math.floor(tag / 8), message.subarray(at, at + length))
    at += length
  }
  return fields
}
