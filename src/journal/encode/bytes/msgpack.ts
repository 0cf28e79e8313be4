// The few MessagePack types that records need. Source: msgpack specification (str, bin, array, map, int families), all big-endian.

import type { Output } from '../output.ts'
import { copyAscii } from './copy.ts'
import { isUtf8 } from './utf8.ts'

/** The header of a str of `length` bytes. */
export function strHead(length: number): Uint8Array {
  if (length < 32) return Uint8Array.of(0xa0 | length)
  if (length < 0x100) return Uint8Array.of(0xd9, length)
  if (length < 0x10000) return Uint8Array.of(0xda, length >>> 8, length & 255)
  return Uint8Array.of(0xdb, length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255)
}

/** The header of a bin of `length` bytes. */
export function binHead(length: number): Uint8Array {
  if (length < 0x100) return Uint8Array.of(0xc4, length)
  if (length < 0x10000) return Uint8Array.of(0xc5, length >>> 8, length & 255)
  return Uint8Array.of(0xc6, length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255)
}

/** One-byte text of a str. */
export function strText(text: string): string {
  const bytes = Buffer.from(text, 'utf8')
  return latin1(strHead(bytes.length)) + latin1(bytes)
}

/** One-byte text of an integer, exact below 2^53. */
export function intText(value: number): string {
  const bytes = Buffer.alloc(9)
  if (value >= 0 && value < 0x80) return String.fromCharCode(value)
  if (value >= 0 && value <= 0xffffffff) {
    const length = value < 0x100 ? 1 : value < 0x10000 ? 2 : 4
    bytes[0] = length === 1 ? 0xcc : length === 2 ? 0xcd : 0xce
    bytes.writeUIntBE(value, 1, length)
    return latin1(bytes.subarray(0, 1 + length))
  }
  bytes[0] = 0xd3
  bytes.writeBigInt64BE(BigInt(value), 1)
  return latin1(bytes)
}

/** One-byte text of the header of an array of `length` items, or of a map of `length` pairs. */
export function listHead(length: number): string {
  return containerHead(length, 0x90, 0xdc)
}
export function mapHead(length: number): string {
  return containerHead(length, 0x80, 0xde)
}

function containerHead(length: number, short: number, long: number): string {
  if (length < 16) return String.fromCharCode(short | length)
  if (length < 0x10000) return String.fromCharCode(long, length >>> 8, length & 255)
  return String.fromCharCode(long + 1, length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255)
}

/** The header of a map whose number of pairs (below 65536) is written later, over its last two bytes. */
export const OPEN_MAP = Uint8Array.of(0xde, 0, 0)

/** Writes the number of pairs into the OPEN_MAP at `at`. */
export function closeMap(out: Uint8Array, at: number, pairs: number): void {
  const count = pairs < 0xffff ? pairs : 0xffff
  out[at + 1] = count >>> 8
  out[at + 2] = count & 255
}

/** Appends bytes[start..end) as str when they are UTF-8, otherwise as bin. */
export function writeStrOrBin(
  output: Output,
  bytes: Uint8Array,
  words: Uint32Array | undefined,
  start: number,
  end: number,
): void {
  const length = end - start
  output.room(length + 16)
  const out = output.out
  const head = length < 32 ? 1 : length < 0x100 ? 2 : length < 0x10000 ? 3 : 5
  const at = output.length
  const from = copyAscii(output, at + head, bytes, words, start, end)
  if (from < end) {
    if (!isUtf8(bytes, from, end)) {
      writeBin(output, bytes, start, end)
      return
    }
    let to = at + head + from - start
    for (let i = from; i < end; i++) out[to++] = bytes[i]
  }
  if (head === 1) out[at] = 0xa0 | length
  else if (head === 2) {
    out[at] = 0xd9
    out[at + 1] = length
  } else out.set(strHead(length), at)
  output.length = at + head + length
}

/** Appends bytes[start..end) as str, each invalid byte sequence as U+FFFD. */
export function writeReplaced(output: Output, bytes: Uint8Array, start: number, end: number): void {
  const text = strText(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8', start, end))
  output.room(text.length)
  output.out.latin1Write(text, output.length, text.length)
  output.length += text.length
}

function writeBin(output: Output, bytes: Uint8Array, start: number, end: number): void {
  const head = binHead(end - start)
  output.room(head.length + end - start)
  output.out.set(head, output.length)
  output.out.set(bytes.subarray(start, end), output.length + head.length)
  output.length += head.length + end - start
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
}
