// Reads OTLP requests in protobuf into the JSON form, by the numbers of the .proto files: written apart from the sink's own writer.

interface Field {
  readonly name: string
  readonly kind: 'text' | 'bytes' | 'varint' | 'nanos' | 'bool' | 'double' | Message
  readonly repeated?: true
}
type Message = () => Readonly<Record<number, Field>>

const text = (name: string): Field => ({ name, kind: 'text' })
const one = (name: string, kind: Field['kind']): Field => ({ name, kind })
const many = (name: string, kind: Message): Field => ({ name, kind, repeated: true })
const value: Message = () => ({
  1: text('stringValue'),
  2: one('boolValue', 'bool'),
  3: one('intValue', 'varint'),
  4: one('doubleValue', 'double'),
  5: one('arrayValue', () => ({ 1: many('values', value) })),
  6: one('kvlistValue', () => ({ 1: many('values', pair) })),
  7: one('bytesValue', 'bytes'),
})
const pair: Message = () => ({ 1: text('key'), 2: one('value', value) })
const record: Message = () => ({
  1: one('timeUnixNano', 'nanos'),
  2: one('severityNumber', 'varint'),
  3: text('severityText'),
  5: one('body', value),
  6: many('attributes', pair),
  11: one('observedTimeUnixNano', 'nanos'),
})
const request: Message = () => ({
  1: many('resourceLogs', () => ({
    1: one('resource', () => ({ 1: many('attributes', pair) })),
    2: many('scopeLogs', () => ({
      1: one('scope', () => ({ 1: text('name') })),
      2: many('logRecords', record),
    })),
  })),
})

/** 64-bit integers become decimal text, as in the JSON form; `severityNumber` a number. */
export function decodeRequest(bytes: Buffer): unknown {
  return decode(bytes, request)
}

function decode(bytes: Buffer, message: Message): Record<string, unknown> {
  const fields = message()
  const out: Record<string, unknown> = {}
  let at = 0
  const varint = (): bigint => {
    let result = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]
      if (byte === undefined) throw new Error('cut off')
      result |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return BigInt.asIntN(64, result)
    }
  }
  const piece = (length: number): Buffer => {
    if (at + length > bytes.length) throw new Error('cut off')
    at += length
    return bytes.subarray(at - length, at)
  }
  while (at < bytes.length) {
    const tag = Number(varint())
    const field = fields[tag >> 3]
    if (field === undefined) throw new Error(`no field ${tag >> 3}`)
    const { name, kind } = field
    let found: unknown
    if ((tag & 7) === 0) {
      const number = varint()
      found = kind === 'bool' ? number === 1n : name === 'severityNumber' ? Number(number) : String(number)
    } else if ((tag & 7) === 1) {
      const eight = piece(8)
      found = kind === 'double' ? eight.readDoubleLE() : String(eight.readBigUInt64LE())
    } else {
      const content = piece(Number(varint()))
      if (typeof kind === 'function') found = decode(content, kind)
      else found = content.toString(kind === 'bytes' ? 'base64' : 'utf8')
    }
    if (field.repeated) out[name] = [...((out[name] as unknown[]) ?? []), found]
    else out[name] = found
  }
  return out
}
