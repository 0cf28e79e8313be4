// Values as JSON text, written in place. Two ways: journalctl's own (a string, or an array of byte numbers where the value is not
// printable) and ours for records (always a string). Sizes are reserved for the worst case, or counted first when that would be large.

import type { Output } from '../output.ts'
import { copyPlain } from './copy.ts'
import { CLASS, CONTROL, ESCAPED, isPrintable, PLAIN, sequenceLength } from './utf8.ts'

/** Above this the exact size is counted instead of reserving six times the length. */
const COUNTED = 64 << 10

const HEX_DIGITS = Buffer.from('0123456789abcdef', 'latin1')

/**
 * Appends bytes[start..end) as a JSON string. Control characters (C0, DEL, C1) are escaped; each invalid byte sequence becomes U+FFFD.
 * Returns false when there was one.
 */
export function writeJsonText(
  output: Output,
  bytes: Uint8Array,
  words: Uint32Array | undefined,
  start: number,
  end: number,
): boolean {
  const length = end - start
  output.room(length <= COUNTED ? length * 6 + 8 : jsonTextSize(bytes, start, end) + 8)
  const out = output.out
  let at = output.length
  out[at++] = 34
  let from = copyPlain(output, at, bytes, words, start, end)
  at += from - start
  let valid = true
  while (from < end) {
    const byte = bytes[from]
    const kind = CLASS[byte]
    if (kind === PLAIN) {
      out[at++] = byte
      from++
    } else if (kind === ESCAPED) {
      at = writeEscape(out, at, byte)
      from++
      if (byte === 10) {
        const stop = copyPlain(output, at, bytes, words, from, end)
        at += stop - from
        from = stop
      }
    } else if (kind === CONTROL) {
      at = writeUnicodeEscape(out, at, byte)
      from++
    } else {
      const sequence = sequenceLength(bytes, from, end)
      if (sequence < 0) {
        out[at] = 0xef
        out[at + 1] = 0xbf
        out[at + 2] = 0xbd
        at += 3
        from -= sequence
        valid = false
      } else if (byte === 0xc2 && bytes[from + 1] < 0xa0) {
        at = writeUnicodeEscape(out, at, bytes[from + 1])
        from += 2
      } else {
        for (let k = 0; k < sequence; k++) out[at++] = bytes[from++]
      }
    }
  }
  out[at++] = 34
  output.length = at
  return valid
}

/** Appends bytes[start..end) as journalctl does: a string when printable (newline allowed), else an array of byte numbers. */
export function writeJournalctlValue(
  output: Output,
  bytes: Uint8Array,
  words: Uint32Array | undefined,
  start: number,
  end: number,
): void {
  const length = end - start
  output.room(length <= COUNTED ? length * 4 + 8 : length * 2 + 8)
  const out = output.out
  let at = output.length
  out[at++] = 34
  let from = copyPlain(output, at, bytes, words, start, end)
  at += from - start
  let judged = false
  while (from < end) {
    const byte = bytes[from]
    const kind = CLASS[byte]
    if (kind === ESCAPED) {
      at = writeEscape(out, at, byte)
      from++
      if (byte === 10) {
        const stop = copyPlain(output, at, bytes, words, from, end)
        at += stop - from
        from = stop
      }
    } else {
      // What is neither plain nor escaped may make the whole value binary; once judged printable, the rest is copied.
      if (kind !== PLAIN && !judged) {
        if (!isPrintable(bytes, from, end, true)) {
          writeByteArray(output, bytes, start, end)
          return
        }
        judged = true
      }
      out[at++] = byte
      from++
    }
  }
  out[at++] = 34
  output.length = at
}

/** Appends `[1,2,3]`. */
export function writeByteArray(output: Output, bytes: Uint8Array, start: number, end: number): void {
  output.room((end - start) * 4 + 2)
  const out = output.out
  let at = output.length
  out[at++] = 91
  for (let i = start; i < end; i++) {
    if (i > start) out[at++] = 44
    let rest = bytes[i]
    if (rest >= 100) {
      const hundreds = (rest / 100) | 0
      out[at++] = 48 + hundreds
      rest -= hundreds * 100
      out[at++] = 48 + ((rest / 10) | 0)
    } else if (rest >= 10) {
      out[at++] = 48 + ((rest / 10) | 0)
    }
    out[at++] = 48 + (rest % 10)
  }
  out[at++] = 93
  output.length = at
}

function writeEscape(out: Uint8Array, at: number, byte: number): number {
  out[at] = 92
  out[at + 1] = byte === 10 ? 110 : byte === 9 ? 116 : byte
  return at + 2
}

/** `\u00XX`, and the short forms that JSON has for backspace, form feed and carriage return. */
function writeUnicodeEscape(out: Uint8Array, at: number, code: number): number {
  out[at] = 92
  if (code === 8 || code === 12 || code === 13) {
    out[at + 1] = code === 8 ? 98 : code === 12 ? 102 : 114
    return at + 2
  }
  out[at + 1] = 117
  out[at + 2] = 48
  out[at + 3] = 48
  out[at + 4] = HEX_DIGITS[code >>> 4]
  out[at + 5] = HEX_DIGITS[code & 15]
  return at + 6
}

/** An upper bound of the bytes that `writeJsonText` writes between the quotes, tight for text. */
function jsonTextSize(bytes: Uint8Array, start: number, end: number): number {
  let size = end - start
  for (let i = start; i < end; i++) {
    const kind = CLASS[bytes[i]]
    if (kind === ESCAPED) size++
    else if (kind === CONTROL) size += 5
    else if (kind !== PLAIN) size += bytes[i] === 0xc2 ? 4 : sequenceLength(bytes, i, end) < 0 ? 2 : 0
  }
  return size
}

/** A JSON string literal of a JavaScript string, as one-byte text of its UTF-8 form. */
export function jsonLiteral(text: string): string {
  return Buffer.from(JSON.stringify(text), 'utf8').toString('latin1')
}
