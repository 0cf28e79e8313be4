// The MessagePack that goes round the records: heads of arrays, maps, texts and numbers on the way out, and whole messages of a
// server on the way in. Texts of a server stay bytes, since a nonce may be sent as a text that is no UTF-8 (Fluent Bit does so).
// Source: msgpack specification.

/** Something that a server said. Texts and binaries alike are Buffers. */
export type Value = null | boolean | number | Buffer | readonly Value[] | ReadonlyMap<string, Value>

/** The bytes are no MessagePack, or none that a forward server sends. */
export class MalformedError extends Error {
  override readonly name = 'MalformedError'
}

// A HELO or PONG has some 300 bytes, an acknowledgement 50.
const MAX_MESSAGE_BYTES = 64 * 1024
const MAX_DEPTH = 8
const NOTHING = Buffer.alloc(0)

/** Takes bytes as they come and gives values as soon as they are complete. */
export class ValueReader {
  #rest: Buffer = NOTHING

  /** The values that are complete now. Throws MalformedError; then the stream is of no more use. */
  push(piece: Buffer): Value[] {
    const cursor = new Cursor(this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]))
    const values: Value[] = []
    let done = 0
    for (let value = cursor.read(); value !== undefined; value = cursor.read()) {
      values.push(value)
      done = cursor.at
    }
    this.#rest = Buffer.from(cursor.bytes.subarray(done))
    if (this.#rest.length > MAX_MESSAGE_BYTES) throw new MalformedError('a message without end')
    return values
  }
}

class Cursor {
  readonly bytes: Buffer
  at = 0

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  /** The next value; undefined while it is not complete. */
  read(depth = 0): Value | undefined {
    if (depth > MAX_DEPTH) throw new MalformedError('nested too deep')
    const type = this.#uint(1)
    if (type === undefined) return undefined
    if (type < 0x80) return type
    if (type >= 0xe0) return type - 0x100
    if (type < 0x90) return this.#map(type & 15, depth)
    if (type < 0xa0) return this.#list(type & 15, depth)
    if (type < 0xc0) return this.#raw(type & 31)
    switch (type) {
      case 0xc0:
        return null
      case 0xc2:
      case 0xc3:
        return type === 0xc3
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#raw(this.#uint(1 << (type - 0xc4)))
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#uint(1 << (type - 0xcc))
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#raw(this.#uint(1 << (type - 0xd9)))
      case 0xdc:
      case 0xdd:
        return this.#list(this.#uint(2 << (type - 0xdc)), depth)
      case 0xde:
      case 0xdf:
        return this.#map(this.#uint(2 << (type - 0xde)), depth)
      default:
        throw new MalformedError(`an unexpected type 0x${type.toString(16)}`)
    }
  }

  #uint(length: number): number | undefined {
    if (this.at + length > this.bytes.length) return undefined
    this.at += length
    return this.bytes.readUIntBE(this.at - length, length)
  }

  #raw(length: number | undefined): Buffer | undefined {
    if (length === undefined) return undefined
    if (length > MAX_MESSAGE_BYTES) throw new MalformedError(`a text of ${length} bytes`)
    if (this.at + length > this.bytes.length) return undefined
    this.at += length
    return Buffer.from(this.bytes.subarray(this.at - length, this.at))
  }

  #list(length: number | undefined, depth: number): Value[] | undefined {
    if (length === undefined) return undefined
    if (length > MAX_MESSAGE_BYTES) throw new MalformedError(`a list of ${length} values`)
    const values: Value[] = []
    while (values.length < length) {
      const value = this.read(depth + 1)
      if (value === undefined) return undefined
      values.push(value)
    }
    return values
  }

  #map(length: number | undefined, depth: number): ReadonlyMap<string, Value> | undefined {
    if (length === undefined) return undefined
    const flat = this.#list(2 * length, depth)
    if (flat === undefined) return undefined
    const map = new Map<string, Value>()
    for (let index = 0; index < flat.length; index += 2) {
      const key = flat[index]
      if (!Buffer.isBuffer(key)) throw new MalformedError('a key that is no text')
      map.set(key.toString('latin1'), flat[index + 1] ?? null)
    }
    return map
  }
}

/** A str. */
export function textBytes(text: string): Buffer {
  const bytes = Buffer.from(text)
  const { length } = bytes
  if (length < 32) return Buffer.concat([Buffer.of(0xa0 | length), bytes])
  if (length < 0x100) return Buffer.concat([Buffer.of(0xd9, length), bytes])
  return Buffer.concat([Buffer.of(0xda, length >> 8, length & 0xff), bytes])
}

/** An unsigned integer below 2³². */
export function countBytes(count: number): Buffer {
  if (count < 0x80) return Buffer.of(count)
  return Buffer.of(0xce, count >>> 24, (count >>> 16) & 0xff, (count >>> 8) & 0xff, count & 0xff)
}
