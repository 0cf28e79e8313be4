// Numbers as ASCII digits, written in place. Integers are exact below 2^53; 64-bit hashes come as two 32-bit halves.

/** "00" … "ff". */
const HEX_PAIRS = Uint8Array.from(
  Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0')).join(''),
  (digit) => digit.charCodeAt(0),
)
/** "0000" … "9999": four decimal digits with one division. */
const DECIMAL_FOURS = new Uint8Array(40_000)
for (let number = 0; number < 10_000; number++) {
  for (let digit = 3, rest = number; digit >= 0; digit--, rest = Math.floor(rest / 10)) {
    DECIMAL_FOURS[number * 4 + digit] = 48 + (rest % 10)
  }
}

/** How many hexadecimal digits the 64-bit number high‖low has without leading zeroes (at least 1). */
export function hexLength(high: number, low: number): number {
  if (high !== 0) return 16 - (Math.clz32(high) >>> 2)
  return low === 0 ? 1 : 8 - (Math.clz32(low) >>> 2)
}

/** How many decimal digits `value` has (0 ≤ value < 2^53). */
export function decimalLength(value: number): number {
  let length = 1
  for (let bound = 10; value >= bound; bound *= 10) length++
  return length
}

/** The upper half of an integer below 2^53. */
export function highWord(value: number): number {
  return value >= 4294967296 ? (value / 4294967296) >>> 0 : 0
}

/** Writes the last `length` hexadecimal digits of high‖low, lower case. */
export function writeHex(out: Uint8Array, at: number, high: number, low: number, length: number): void {
  if (length < 8) writeHexDigits(out, at, low, length)
  else {
    writeHexWord(out, at + length - 8, low)
    if (length === 16) writeHexWord(out, at, high)
    else writeHexDigits(out, at, high, length - 8)
  }
}

/** Writes all 8 hexadecimal digits of a word. */
export function writeHexWord(out: Uint8Array, at: number, word: number): void {
  const a = (word >>> 24) * 2
  const b = ((word >>> 16) & 255) * 2
  const c = ((word >>> 8) & 255) * 2
  const d = (word & 255) * 2
  out[at] = HEX_PAIRS[a]
  out[at + 1] = HEX_PAIRS[a + 1]
  out[at + 2] = HEX_PAIRS[b]
  out[at + 3] = HEX_PAIRS[b + 1]
  out[at + 4] = HEX_PAIRS[c]
  out[at + 5] = HEX_PAIRS[c + 1]
  out[at + 6] = HEX_PAIRS[d]
  out[at + 7] = HEX_PAIRS[d + 1]
}

/** Writes the last `length` (0–8) hexadecimal digits of a word. */
function writeHexDigits(out: Uint8Array, at: number, word: number, length: number): void {
  let rest = word
  for (let left = length - 1; left >= 0; left--) {
    const digit = rest & 15
    out[at + left] = digit < 10 ? 48 + digit : 87 + digit
    rest >>>= 4
  }
}

/** Writes six decimal digits, zeroes in front: the microseconds of a second. */
export function writeMicros(out: Uint8Array, at: number, micros: number): void {
  const above = (micros / 10_000) | 0
  const four = (micros - above * 10_000) * 4
  const two = above * 4
  out[at] = DECIMAL_FOURS[two + 2]
  out[at + 1] = DECIMAL_FOURS[two + 3]
  out[at + 2] = DECIMAL_FOURS[four]
  out[at + 3] = DECIMAL_FOURS[four + 1]
  out[at + 4] = DECIMAL_FOURS[four + 2]
  out[at + 5] = DECIMAL_FOURS[four + 3]
}

/** Writes `value` (0 ≤ value < 2^53) with exactly `length` decimal digits, zeroes in front where it has fewer. */
export function writeDecimal(out: Uint8Array, at: number, value: number, length: number): void {
  let left = length
  let rest = value
  while (left >= 4) {
    const above = Math.floor(rest / 10_000)
    const four = (rest - above * 10_000) * 4
    left -= 4
    out[at + left] = DECIMAL_FOURS[four]
    out[at + left + 1] = DECIMAL_FOURS[four + 1]
    out[at + left + 2] = DECIMAL_FOURS[four + 2]
    out[at + left + 3] = DECIMAL_FOURS[four + 3]
    rest = above
  }
  while (left > 0) {
    const above = (rest / 10) | 0
    out[at + --left] = 48 + rest - above * 10
    rest = above
  }
}

/** Writes an id of 128 bits, given as the four little-endian words that stand in the file, as 32 digits in byte order. */
export function writeId(out: Uint8Array, at: number, w0: number, w1: number, w2: number, w3: number): void {
  writeIdWord(out, at, w0)
  writeIdWord(out, at + 8, w1)
  writeIdWord(out, at + 16, w2)
  writeIdWord(out, at + 24, w3)
}

function writeIdWord(out: Uint8Array, at: number, word: number): void {
  // The bytes of the word in the order in which they stand in the file.
  writeHexWord(out, at, (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24))
}

/** Writes µs since 1970 as `YYYY-MM-DDThh:mm:ss.ffffffZ`, 27 bytes, UTC, from the integer (years 1970 to 9999). */
export function writeTimestamp(out: Uint8Array, at: number, realtimeUs: number): void {
  const second = Math.floor(realtimeUs / 1_000_000)
  writeSecond(out, at, second)
  out[at + 19] = 46
  writeMicros(out, at + 20, realtimeUs - second * 1_000_000)
  out[at + 26] = 90
}

/** Writes seconds since 1970 as `YYYY-MM-DDThh:mm:ss`, 19 bytes, UTC. */
export function writeSecond(out: Uint8Array, at: number, second: number): void {
  // Beyond the year 9999 (a broken clock) the form has no room: the last moment that fits stands for all of them.
  const text = new Date(Math.min(second, 253402300799) * 1000).toISOString()
  for (let k = 0; k < 19; k++) out[at + k] = text.charCodeAt(k)
}
