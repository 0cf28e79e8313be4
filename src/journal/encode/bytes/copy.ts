// The inner loops of all formats: copy the beginning of a value, four bytes at a time while the aligned words of its memory are at hand, up
// to the first byte that needs care. One pass that tests and stores beats a scan with a native copy up to about 1 kB. Three loops
// that differ in their test alone: a test passed as a function would be a call per four bytes.
//
// All take bytes[start..end), write to `output.out` at `at`, and return the index of the byte that stopped them, `end` when none did.
// `aligned`, if given, are the same memory as `bytes`. Room for end − start + 4 bytes must be there: what lies behind the last byte copied
// may be written over.

import type { Output } from '../output.ts'
import { CLASS, PLAIN } from './utf8.ts'

const HIGH_BITS = 0x80808080
/** Shorter values are not worth looking for their words. */
const FEW = 8
const MANY = 64

/** Stops at what JSON escapes: control characters, `"`, `\`, DEL, and at bytes from 0x80 on. */
export function copyPlain(
  output: Output,
  at: number,
  bytes: Uint8Array,
  aligned: Uint32Array | undefined,
  start: number,
  end: number,
): number {
  const words = aligned === undefined && end - start > MANY ? output.wordsOf(bytes) : aligned
  const out = output.out
  let from = start
  let to = at
  if (words !== undefined && end - start > FEW) {
    for (; (from & 3) !== 0; from++) {
      const byte = bytes[from]
      if (CLASS[byte] !== PLAIN) return from
      out[to++] = byte
    }
    const view = output.view
    const last = end >>> 2
    let word = from >>> 2
    for (; word < last; word++) {
      const four = words[word] | 0
      if (isCareful(four)) break
      view.setInt32(to, four, true)
      to += 4
    }
    from = word << 2
    const rest = end - from
    if (rest > 0 && rest < 4) {
      const four = lastWord(words[word], rest)
      if (!isCareful(four)) {
        view.setInt32(to, four, true)
        return end
      }
    }
  }
  for (; from < end; from++) {
    const byte = bytes[from]
    if (CLASS[byte] !== PLAIN) return from
    out[to++] = byte
  }
  return end
}

/** Stops at control characters (also TAB and newline), DEL, and at bytes from 0x80 on. */
export function copyText(
  output: Output,
  at: number,
  bytes: Uint8Array,
  aligned: Uint32Array | undefined,
  start: number,
  end: number,
): number {
  const words = aligned === undefined && end - start > MANY ? output.wordsOf(bytes) : aligned
  const out = output.out
  let from = start
  let to = at
  if (words !== undefined && end - start > FEW) {
    for (; (from & 3) !== 0; from++) {
      const byte = bytes[from]
      if (byte < 32 || byte > 126) return from
      out[to++] = byte
    }
    const view = output.view
    const last = end >>> 2
    let word = from >>> 2
    for (; word < last; word++) {
      const four = words[word] | 0
      if (((four | (four + 0x01010101) | (four - 0x20202020)) & HIGH_BITS) !== 0) break
      view.setInt32(to, four, true)
      to += 4
    }
    from = word << 2
  }
  for (; from < end; from++) {
    const byte = bytes[from]
    if (byte < 32 || byte > 126) return from
    out[to++] = byte
  }
  return end
}

/** Stops at bytes from 0x80 on. */
export function copyAscii(
  output: Output,
  at: number,
  bytes: Uint8Array,
  aligned: Uint32Array | undefined,
  start: number,
  end: number,
): number {
  const words = aligned === undefined && end - start > MANY ? output.wordsOf(bytes) : aligned
  const out = output.out
  let from = start
  let to = at
  if (words !== undefined && end - start > FEW) {
    for (; (from & 3) !== 0; from++) {
      const byte = bytes[from]
      if (byte >= 0x80) return from
      out[to++] = byte
    }
    const view = output.view
    const last = end >>> 2
    let word = from >>> 2
    for (; word < last; word++) {
      const four = words[word] | 0
      if ((four & HIGH_BITS) !== 0) break
      view.setInt32(to, four, true)
      to += 4
    }
    from = word << 2
  }
  for (; from < end; from++) {
    const byte = bytes[from]
    if (byte >= 0x80) return from
    out[to++] = byte
  }
  return end
}

/** A high bit appears for a byte that is ≥ 0x80, 0x7f, < 0x20, `"` or `\`. A borrow can mark a good byte only beside a bad one. */
function isCareful(four: number): boolean {
  const bad =
    four |
    (four + 0x01010101) |
    (four - 0x20202020) |
    ((four ^ 0x22222222) - 0x01010101) |
    ((four ^ 0x5c5c5c5c) - 0x01010101)
  return (bad & HIGH_BITS) !== 0
}

/** The first one to three bytes of a word, with spaces for those that are not part of the value. */
function lastWord(word: number, count: number): number {
  const mask = -1 << (count << 3)
  return (word & ~mask) | (0x20202020 & mask)
}
