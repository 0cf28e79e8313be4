import { zstdCompressSync } from 'node:zlib'
import { compressSync } from '@napi-rs/lzma/xz'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import {
  codecNotices,
  decodesManyFrames,
  decompress,
  loadXz,
  lz4Block,
  MAX_PAYLOAD,
  xzContentSize,
  zstdContentSize,
} from '../../../src/journal/file/codec.ts'
import { LZ4, XZ, ZSTD } from '../../../src/journal/file/objects.ts'

/** Bytes that repeat and overlap, as logs do. */
const texts = fc
  .array(fc.tuple(fc.string({ maxLength: 12 }), fc.integer({ min: 1, max: 400 })), { maxLength: 12 })
  .map((parts) => Buffer.from(parts.map(([text, times]) => text.repeat(times)).join('')))

/** A greedy LZ4 block encoder, made for tests. */
function lz4Compress(source: Buffer): Buffer {
  const out: number[] = []
  const seen = new Map<number, number>()
  let from = 0
  const extend = (length: number) => {
    for (length -= 15; length >= 255; length -= 255) out.push(255)
    out.push(length)
  }
  const sequence = (literals: number, distance: number, match: number) => {
    out.push((Math.min(15, literals) << 4) | (distance === 0 ? 0 : Math.min(15, match - 4)))
    if (literals >= 15) extend(literals)
    for (let i = 0; i < literals; i++) out.push(source[from + i]!)
    if (distance === 0) return
    out.push(distance & 255, distance >> 8)
    if (match - 4 >= 15) extend(match - 4)
  }
  for (let i = 0; i + 12 < source.length; ) {
    const word = source.readUInt32LE(i)
    const last = seen.get(word)
    seen.set(word, i)
    if (last === undefined || i - last > 65535) {
      i++
      continue
    }
    let match = 4
    while (i + match < source.length - 5 && source[last + match] === source[i + match]) match++
    sequence(i - from, i - last, match)
    i += match
    from = i
  }
  sequence(source.length - from, 0, 0)
  return Buffer.from(out)
}

function envelope(block: Buffer, size: number): Buffer {
  const head = Buffer.alloc(8)
  head.writeBigUInt64LE(BigInt(size))
  return Buffer.concat([head, block])
}

describe('zstd', () => {
  it('gives back what was compressed, and its size from the frame', () => {
    for (const size of [1, 64, 255, 256, 700, 65_000, 70_000, 3 << 20]) {
      const plain = Buffer.alloc(size, 'PATTERN=of a log ')
      const frame = zstdCompressSync(plain)
      expect(zstdContentSize(frame, 0, frame.length)).toBe(size)
      expect(decompress(ZSTD, frame)?.equals(plain)).toBe(true)
    }
  })

  it('refuses more than 64 MiB', () => {
    const frame = zstdCompressSync(Buffer.alloc(MAX_PAYLOAD + 1))
    expect(frame.length).toBeLessThan(10_000)
    expect(decompress(ZSTD, frame)).toBeUndefined()
  })

  it('refuses a frame that gives more than it says', () => {
    const frame = zstdCompressSync(Buffer.alloc(5000, 'a'))
    frame.writeUInt16LE(
      frame.readUInt16LE(5 + ((frame[4]! >> 5) & 1 ? 0 : 1)) - 1000,
      5 + ((frame[4]! >> 5) & 1 ? 0 : 1),
    )
    expect(decompress(ZSTD, frame)).toBeUndefined()
  })

  it('knows whether the runtime decodes several frames at once', () => {
    const major = Number(process.versions.node.split('.')[0])
    if (major === 24) expect(decodesManyFrames()).toBe(false)
    if (major >= 26) expect(decodesManyFrames()).toBe(true)
  })
})

describe('lz4', () => {
  it('gives back what was compressed', () => {
    fc.assert(
      fc.property(texts, (plain) => {
        const block = lz4Compress(plain)
        expect(decompress(LZ4, envelope(block, plain.length))?.equals(plain)).toBe(true)
      }),
      { numRuns: 200 },
    )
  })

  it('refuses a wrong size, a size that no block of its length can have, and more than 64 MiB', () => {
    const plain = Buffer.alloc(1000, 'abcdefg')
    const block = lz4Compress(plain)
    for (const size of [999, 1001, 1 << 20, MAX_PAYLOAD + 1, 2 ** 40]) {
      expect(decompress(LZ4, envelope(block, size))).toBeUndefined()
    }
    expect(decompress(LZ4, Buffer.alloc(3))).toBeUndefined()
  })

  it('never reads or writes outside its bytes, whatever they are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(2000), (bytes, size) => {
        const out = lz4Block(bytes, 0, size)
        expect(out === undefined || out.length === size).toBe(true)
      }),
      { numRuns: 500 },
    )
  })
})

describe('xz', () => {
  afterEach(() => {
    loadXz()
  })

  it('gives back what was compressed, and its size from the chunks', () => {
    const noise = Buffer.alloc(300_000)
    for (let i = 0, random = 1; i < noise.length; i++) {
      random = (random * 48271) % 2147483647
      noise[i] = random & 255
    }
    for (const plain of [Buffer.from('A=b'), Buffer.alloc(5 << 20, 'log line '), noise, Buffer.alloc(0)]) {
      const stream = compressSync(plain)
      expect(xzContentSize(stream)).toBe(plain.length)
      expect(decompress(XZ, stream)?.equals(plain)).toBe(true)
    }
  })

  it('refuses more than 64 MiB without decoding it', () => {
    const stream = compressSync(Buffer.alloc(MAX_PAYLOAD + 1))
    expect(xzContentSize(stream)).toBe(MAX_PAYLOAD + 1)
    expect(decompress(XZ, stream)).toBeUndefined()
  })

  it('takes damaged streams for lost', () => {
    const stream = compressSync(Buffer.from('MESSAGE=hello '.repeat(50)))
    for (let at = 0; at < stream.length; at++) {
      const damaged = Buffer.from(stream)
      damaged[at] = damaged[at]! ^ 0xff
      expect(xzContentSize(damaged)).toBeLessThan(MAX_PAYLOAD)
      decompress(XZ, damaged)
      decompress(XZ, stream.subarray(0, at))
    }
  })

  it('leaves the field out and says so once when the package is absent', () => {
    const absent = () => {
      throw new Error('Cannot find module')
    }
    expect(loadXz(absent)).toBe(false)
    expect(loadXz(absent)).toBe(false)
    expect(decompress(XZ, compressSync(Buffer.from('A=b')))).toBeUndefined()
    expect(codecNotices()).toEqual([
      'some fields are compressed with xz and left out: install the package @napi-rs/lzma to read them',
    ])
  })
})
