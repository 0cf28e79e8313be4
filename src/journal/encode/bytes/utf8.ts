// What the bytes of a value are: plain ASCII, printable text as journald understands it, valid UTF-8, or neither.
// Source of "printable": systemd utf8.c (utf8_is_printable_newline); of "valid" and of where one U+FFFD stands: the WHATWG decoder.

/** Needs no escape in JSON and no look-ahead: space to ~ without `"` and `\`. */
export const PLAIN = 0
/** `"`, `\`, TAB, newline: printable, but escaped in JSON. */
export const ESCAPED = 1
/** Part of a longer UTF-8 sequence, or invalid. */
export const HIGH = 2
/** Below 0x20 (without TAB and newline) and DEL. */
export const CONTROL = 3

/** The class of each byte. */
export const CLASS = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (byte >= 0x80) return HIGH
  if (byte === 34 || byte === 92 || byte === 9 || byte === 10) return ESCAPED
  return byte < 32 || byte === 0x7f ? CONTROL : PLAIN
})

/**
 * The length of the valid UTF-8 sequence at `at` (1–4), or minus the number of bytes that one U+FFFD stands for (1–3):
 * the longest beginning of a sequence that could have become valid.
 */
export function sequenceLength(bytes: Uint8Array, at: number, end: number): number {
  const first = bytes[at]
  if (first < 0x80) return 1
  if (first < 0xc2 || first > 0xf4) return -1
  if (at + 1 >= end) return -1
  const second = bytes[at + 1]
  if (first < 0xe0) return (second & 0xc0) === 0x80 ? 2 : -1
  // The second byte is bounded so that overlong forms, surrogates and numbers above U+10FFFF end here.
  const least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
  const most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
  if (second < least || second > most) return -1
  if (at + 2 >= end || (bytes[at + 2] & 0xc0) !== 0x80) return -2
  if (first < 0xf0) return 3
  return at + 3 >= end || (bytes[at + 3] & 0xc0) !== 0x80 ? -3 : 4
}

/** True when bytes[start..end) are valid UTF-8. */
export function isUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; ) {
    const length = sequenceLength(bytes, at, end)
    if (length < 0) return false
    at += length
  }
  return true
}

/**
 * True when journalctl takes bytes[start..end) for text: valid UTF-8 without control characters (C0, DEL, C1) except TAB, and newline
 * where `newline` says so, and without the code points that are never characters.
 */
export function isPrintable(bytes: Uint8Array, start: number, end: number, newline: boolean): boolean {
  for (let at = start; at < end; ) {
    const first = bytes[at]
    if (first < 0x80) {
      if (CLASS[first] === CONTROL || (first === 10 && !newline)) return false
      at++
      continue
    }
    const length = sequenceLength(bytes, at, end)
    if (length < 0) return false
    if (length === 2) {
      if (first === 0xc2 && bytes[at + 1] < 0xa0) return false
    } else {
      const point =
        length === 3
          ? ((first & 15) << 12) | ((bytes[at + 1] & 63) << 6) | (bytes[at + 2] & 63)
          : ((first & 7) << 18) | ((bytes[at + 1] & 63) << 12) | ((bytes[at + 2] & 63) << 6) | (bytes[at + 3] & 63)
      if ((point & 0xfffe) === 0xfffe || (point >= 0xfdd0 && point <= 0xfdef)) return false
    }
    at += length
  }
  return true
}

/** Where a cut of bytes[start..end) to at most `most` bytes falls without splitting a UTF-8 sequence. */
export function cutAt(bytes: Uint8Array, start: number, end: number, most: number): number {
  if (end - start <= most) return end
  let cut = start + most
  for (let back = 0; back < 3 && cut > start && (bytes[cut] & 0xc0) === 0x80; back++) cut--
  // Three steps back and still within a sequence: not UTF-8, cut where asked.
  return (bytes[cut] & 0xc0) === 0x80 ? start + most : cut
}
