// The inner loop of every text format: copies the plain beginning of a value, four bytes at a time while the aligned words of the
// window are at hand. One pass that tests and stores beats a scan with a native copy up to about 1 kB (bench/encode).

import type { Output } from './output.ts'
import { CLASS, PLAIN } from './utf8.ts'

const HIGH_BITS = 0x80808080

/**
 * Copies bytes[start..end) to `output.out` at `at` up to the first byte that is not PLAIN and returns the index of that byte, `end`
 * when there is none. `aligned`, if given, are the same memory as `bytes`. Room for end − start + 4 bytes must be there: what lies behind the
 * last byte copied may be written over.
 */
export function copyPlain(
  output: Output,
  at: number,
  bytes: Uint8Array,
  aligned: Uint32Array | undefined,
  start: number,
  end: number,
): number {
  const words = aligned === undefined && end - start > 64 ? output.wordsOf(bytes) : aligned
  const out = output.out
  let from = start
  let to = at
  if (words !== undefined && end - start > 8) {
    while ((from & 3) !== 0) {
      const byte = bytes[from]
      if (CLASS[byte] !== PLAIN) return from
      out[to++] = byte
      from++
    }
    const view = output.view
    const last = end >>> 2
    let word = from >>> 2
    for (; word < last; word++) {
      const four = words[word] | 0
      // A high bit appears for a byte that is ≥ 0x80, 0x7f, < 0x20, `"` or `\`. A borrow can mark a good byte only beside a bad one.
      const bad =
        (four |
          (four + 0x01010101) |
          (four - 0x20202020) |
          ((four ^ 0x22222222) - 0x01010101) |
          ((four ^ 0x5c5c5c5c) - 0x01010101)) &
        HIGH_BITS
      if (bad !== 0) break
      view.setInt32(to, four, true)
      to += 4
    }
    from = word << 2
    const rest = end - from
    if (rest > 0 && rest < 4) {
      // The last one to three bytes, with spaces for those that are not ours.
      const mask = -1 << (rest << 3)
      const four = (words[word] & ~mask) | (0x20202020 & mask)
      const bad =
        (four |
          (four + 0x01010101) |
          (four - 0x20202020) |
          ((four ^ 0x22222222) - 0x01010101) |
          ((four ^ 0x5c5c5c5c) - 0x01010101)) &
        HIGH_BITS
      if (bad === 0) {
        view.setInt32(to, four, true)
        return end
      }
    }
  }
  while (from < end) {
    const byte = bytes[from]
    if (CLASS[byte] !== PLAIN) return from
    out[to++] = byte
    from++
  }
  return end
}
