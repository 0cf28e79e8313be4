// The key of an entry: its identity as 34 characters, equal on every read and for a flushed copy, different for a line that was
// logged twice. Made of boot id, times, content hash and number; never of seqnums, which a flush changes.
// Invariant: keys sort as bytes by realtime first.

import type { EntryMark } from './cursor.ts'

/** Characters of a key. */
export const KEY_LENGTH = 34

/** Entries that are equal in all but their number are told apart up to this number. */
const ORDINAL_MAX = 2 ** 18 - 1

/** A base64 alphabet in ASCII order, so that the text sorts as the bits do. */
const ALPHABET = Buffer.from('-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz', 'latin1')

/**
 * Writes the key as 34 ASCII bytes: realtime 9 · boot id XOR (monotonic ‖ xor hash), big-endian, 22 · number 3.
 * @param ordinal number of the entry among those equal in all four within its seqnum id, from 0
 */
export function writeKey(out: Uint8Array, at: number, entry: EntryMark, ordinal: number): void {
  const low = entry.realtime % 0x40000000
  sextets(out, at, (entry.realtime - low) / 0x40000000, 4)
  sextets(out, at + 4, low, 5)

  const monotonicLow = entry.monotonic >>> 0
  const monotonicHigh = (entry.monotonic - monotonicLow) / 0x100000000
  const a = swap(entry.boot0) ^ monotonicHigh
  const b = swap(entry.boot1) ^ monotonicLow
  const c = swap(entry.boot2) ^ entry.xorHigh
  const d = swap(entry.boot3) ^ entry.xorLow
  sextets(out, at + 9, a >>> 2, 5)
  put(out, at + 14, (a << 4) | (b >>> 28))
  sextets(out, at + 15, (b >>> 4) & 0xffffff, 4)
  put(out, at + 19, (b << 2) | (c >>> 30))
  sextets(out, at + 20, c & 0x3fffffff, 5)
  sextets(out, at + 25, d >>> 2, 5)
  put(out, at + 30, d << 4)

  sextets(out, at + 31, Math.min(ordinal, ORDINAL_MAX), 3)
}

/** `count` characters for the low 6 · count bits of a number below 2^30. */
function sextets(out: Uint8Array, at: number, bits: number, count: number): void {
  for (let i = count - 1, rest = bits; i >= 0; i--, rest >>>= 6) put(out, at + i, rest)
}

function put(out: Uint8Array, at: number, sextet: number): void {
  out[at] = ALPHABET[sextet & 63] as number
}

function swap(word: number): number {
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)
}
