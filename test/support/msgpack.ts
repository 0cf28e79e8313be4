// Reads MessagePack as a receiver does, written from the specification and apart from the code that it checks.

/** Time of an entry in the forward protocol (extension type 0). */
export interface EventTime {
  readonly seconds: number
  readonly ns: number
}

export type Decoded =
  | null
  | boolean
  | number
  | bigint
  | string
  | Buffer
  | EventTime
  | readonly Decoded[]
  | { readonly [key: string]: Decoded }

export interface Read {
  readonly value: Decoded
  /** Where the next value begins. */
  readonly end: number
}

/** Not all bytes of the value are there. */
export class Incomplete extends Error {}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The value that begins at `at`. A str that is no UTF-8 fails; bin is a Buffer. */
export function readValue(bytes: Buffer, at = 0): Read {
  const need = (from: number, length: number): void => {
    if (from + length > bytes.length) throw new Incomplete(`${from + length - bytes.length} bytes are missing`)
  }
  const uint = (from: number, length: number): number => {
    need(from, length)
    return length === 8 ? Number(bytes.readBigUInt64BE(from)) : bytes.readUIntBE(from, length)
  }
  const text = (from: number, length: number): Read => {
    need(from, length)
    return { value: utf8.decode(bytes.subarray(from, from + length)), end: from + length }
  }
  const binary = (from: number, length: number): Read => {
    need(from, length)
    return { value: bytes.subarray(from, from + length), end: from + length }
  }
  const extension = (type: number, from: number, length: number): Read => {
    need(from, length)
    if (type !== 0 || length !== 8) throw new Error(`an extension of type ${type} with ${length} bytes`)
    return { value: { seconds: uint(from, 4), ns: uint(from + 4, 4) }, end: from + length }
  }
  const list = (from: number, length: number): Read => {
    const items: Decoded[] = []
    let end = from
    for (let i = 0; i < length; i++) {
      const item = readValue(bytes, end)
      items.push(item.value)
      end = item.end
    }
    return { value: items, end }
  }
  const map = (from: number, length: number): Read => {
    const members: [string, Decoded][] = []
    let end = from
    for (let i = 0; i < length; i++) {
      const key = readValue(bytes, end)
      const member = readValue(bytes, key.end)
      if (typeof key.value !== 'string') throw new Error('a key that is no text')
      if (members.some(([name]) => name === key.value)) throw new Error(`the key ${key.value} twice`)
      members.push([key.value, member.value])
      end = member.end
    }
    return { value: Object.fromEntries(members), end }
  }
  const type = uint(at, 1)
  const next = at + 1
  if (type < 0x80) return { value: type, end: next }
  if (type < 0x90) return map(next, type & 15)
  if (type < 0xa0) return list(next, type & 15)
  if (type < 0xc0) return text(next, type & 31)
  if (type >= 0xe0) return { value: type - 256, end: next }
  switch (type) {
    case 0xc0:
      return { value: null, end: next }
    case 0xc2:
    case 0xc3:
      return { value: type === 0xc3, end: next }
    case 0xc4:
      return binary(next + 1, uint(next, 1))
    case 0xc5:
      return binary(next + 2, uint(next, 2))
    case 0xc6:
      return binary(next + 4, uint(next, 4))
    case 0xc7:
      return extension(uint(next + 1, 1), next + 2, uint(next, 1))
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf: {
      const length = 1 << (type - 0xcc)
      return { value: uint(next, length), end: next + length }
    }
    case 0xd3:
      need(next, 8)
      return { value: bytes.readBigInt64BE(next), end: next + 8 }
    case 0xd7:
      return extension(uint(next, 1), next + 1, 8)
    case 0xd9:
      return text(next + 1, uint(next, 1))
    case 0xda:
      return text(next + 2, uint(next, 2))
    case 0xdb:
      return text(next + 4, uint(next, 4))
    case 0xdc:
      return list(next + 2, uint(next, 2))
    case 0xdd:
      return list(next + 4, uint(next, 4))
    case 0xde:
      return map(next + 2, uint(next, 2))
    case 0xdf:
      return map(next + 4, uint(next, 4))
    default:
      throw new Error(`an unexpected type 0x${type.toString(16)} at ${at}`)
  }
}
