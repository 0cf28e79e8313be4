// Decompresses DATA payloads: zstd by node:zlib, LZ4 blocks here, xz by an optional package.
// Invariant: nothing is decompressed beyond MAX_PAYLOAD, whatever the bytes claim; what cannot be decompressed is undefined, never an exception.

import { createRequire } from 'node:module'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { LZ4, XZ, ZSTD } from './objects.ts'

/** The largest decompressed payload that is given out. journald itself takes 768 MiB for one field; nobody sends that. */
export const MAX_PAYLOAD = 64 << 20

const notices = new Set<string>()

/** What a person should know about payloads that could not be decompressed so far in this process; one sentence each. */
export function codecNotices(): readonly string[] {
  return [...notices]
}

/** @param flag an object's flags: 1 XZ, 2 LZ4, 4 ZSTD */
export function decompress(flag: number, source: Buffer): Buffer | undefined {
  try {
    if (flag === ZSTD) return unzstd(source)
    if (flag === LZ4) return unlz4(source)
    if (flag === XZ) return unxz(source)
  } catch {
    // A damaged payload; the caller counts the lost field.
  }
  return undefined
}

/** The content size that a zstd frame names in its header (RFC 8878 § 3.1.1.1), or -1. `at` is the frame's first byte. */
export function zstdContentSize(bytes: Buffer, at: number, end: number): number {
  if (end - at < 6 || bytes.readUInt32LE(at) !== 0xfd2fb528) return -1
  const descriptor = bytes[at + 4] as number
  const single = (descriptor >> 5) & 1
  const width = descriptor >> 6
  const field = at + 5 + (single ? 0 : 1) + ([0, 1, 2, 4][descriptor & 3] as number)
  if (field + (width === 0 ? single : 1 << width) > end) return -1
  switch (width) {
    case 0:
      return single ? (bytes[field] as number) : -1
    case 1:
      return bytes.readUInt16LE(field) + 256
    case 2:
      return bytes.readUInt32LE(field)
    default:
      return bytes.readUInt32LE(field) + bytes.readUInt32LE(field + 4) * 4294967296
  }
}

function unzstd(source: Buffer): Buffer | undefined {
  const size = zstdContentSize(source, 0, source.length)
  if (size > MAX_PAYLOAD) return undefined
  // One chunk of the right size saves zlib from growing its output piece by piece.
  const chunkSize = Math.max(64, Math.min(size, MAX_PAYLOAD))
  return zstdDecompressSync(
    source,
    size < 0 ? { maxOutputLength: MAX_PAYLOAD } : { chunkSize, maxOutputLength: chunkSize },
  )
}

let manyFrames: boolean | undefined

/** Whether this runtime decodes all of several concatenated frames in one call. Node 26 does, Node 24 gives the first alone. */
export function decodesManyFrames(): boolean {
  if (manyFrames === undefined) {
    const one = zstdCompressSync(Buffer.from('one'))
    const two = zstdCompressSync(Buffer.from('two'))
    try {
      manyFrames = zstdDecompressSync(Buffer.concat([one, two])).toString('latin1') === 'onetwo'
    } catch {
      // Refusing them is as good an answer as ignoring them.
      manyFrames = false
    }
  }
  return manyFrames
}

/** systemd's envelope: the uncompressed size in 8 bytes, then one raw LZ4 block. */
function unlz4(source: Buffer): Buffer | undefined {
  const size = source.readUInt32LE(0)
  // A byte of LZ4 stands for 255 bytes at most, so that a short payload cannot ask for much.
  if (source.readUInt32LE(4) !== 0 || size > MAX_PAYLOAD || size > source.length * 255) return undefined
  return lz4Block(source, 8, size)
}

/** Decodes the LZ4 block from `at` to the end of `source`, which must give exactly `size` bytes; undefined when it does not. */
export function lz4Block(source: Uint8Array, at: number, size: number): Buffer | undefined {
  const out = Buffer.allocUnsafe(size)
  const end = source.length
  let i = at
  let o = 0
  while (i < end) {
    const token = source[i++] as number
    let literals = token >>> 4
    if (literals === 15) {
      let more: number
      do {
        if (i >= end) return undefined
        more = source[i++] as number
        literals += more
      } while (more === 255)
    }
    if (i + literals > end || o + literals > size) return undefined
    for (const stop = i + literals; i < stop; ) out[o++] = source[i++] as number
    // The last sequence has literals only.
    if (i === end) break
    if (i + 2 > end) return undefined
    const distance = (source[i] as number) | ((source[i + 1] as number) << 8)
    i += 2
    if (distance === 0 || distance > o) return undefined
    let match = token & 15
    if (match === 15) {
      let more: number
      do {
        if (i >= end) return undefined
        more = source[i++] as number
        match += more
      } while (more === 255)
    }
    match += 4
    if (o + match > size) return undefined
    // Byte by byte: a match may overlap what it writes.
    for (let from = o - distance, stop = o + match; o < stop; ) out[o++] = out[from++] as number
  }
  return o === size ? out : undefined
}

type Decoder = (source: Uint8Array) => Uint8Array
let xz: Decoder | undefined | null

/** Looks for the decoder of xz payloads when the first one is met. `find` is for tests. */
export function loadXz(find: (name: string) => unknown = createRequire(import.meta.url)): boolean {
  try {
    const found = find('@napi-rs/lzma/xz') as { decompressSync?: Decoder }
    xz = found.decompressSync ?? null
  } catch {
    // Absent or not made for this machine: the same to the reader.
    xz = null
  }
  if (xz === null) {
    notices.add('some fields are compressed with xz and left out: install the package @napi-rs/lzma to read them')
  }
  return xz !== null
}

function unxz(source: Buffer): Buffer | undefined {
  if (xz === undefined) loadXz()
  if (!xz) return undefined
  const size = xzContentSize(source)
  if (size < 0 || size > MAX_PAYLOAD) return undefined
  const out = xz(source)
  return out.length === size ? Buffer.from(out.buffer, out.byteOffset, out.length) : undefined
}

/**
 * What an .xz stream will give, added up from the headers of its LZMA2 chunks: they bound the decoder, the stream's index is only a claim.
 * -1 for anything but LZMA2 blocks, which is all that journald writes. Format: The .xz File Format 1.2.1, § 2 and 3; xz's lzma2_decoder.c.
 */
export function xzContentSize(source: Buffer): number {
  if (source.length < 32 || source.readUInt32BE(0) !== 0xfd377a58 || source.readUInt16BE(4) !== 0x5a00) return -1
  const check = source[7] as number
  if (check > 15) return -1
  const checkSize = check === 0 ? 0 : 4 << Math.floor((check - 1) / 3)
  let at = 12
  let total = 0
  while (at < source.length) {
    const head = source[at] as number
    // Size 0 marks the index, which ends the blocks.
    if (head === 0) return total
    const flags = source[at + 1] as number
    // One filter, without the sizes that make the header longer being of interest here.
    if ((flags & 3) !== 0) return -1
    const begin = at
    at += (head + 1) * 4
    for (;;) {
      if (at + 6 > source.length) return -1
      const control = source[at] as number
      if (control === 0) break
      if (control >= 0x80) {
        total += ((control & 0x1f) << 16) + source.readUInt16BE(at + 1) + 1
        at += 5 + (control >= 0xc0 ? 1 : 0) + source.readUInt16BE(at + 3) + 1
      } else {
        if (control > 2) return -1
        const size = source.readUInt16BE(at + 1) + 1
        total += size
        at += 3 + size
      }
    }
    at += 1
    at += (4 - ((at - begin) % 4)) % 4
    at += checkSize
  }
  return -1
}
