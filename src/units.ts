// Durations (`30s`, `1h30min`) and sizes (`5MB`, `2GiB`) as people write them, read and written.
// What `format…` writes is for people, rounded, and `parse…` can read it again.

const MS: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1000,
  sec: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}

const BYTES: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
}

/** What a duration looks like, for messages. */
export const DURATION_FORM = 'a time such as 500ms, 30s or 2h'

/** What a size looks like, for messages. */
export const SIZE_FORM = 'a size such as 64KiB, 5MB or 2GiB'

/**
 * Reads a duration such as `500ms`, `30s`, `2h` or `1h30min` (units us, ms, s, sec, m, min, h, d, w) as milliseconds.
 * A number without a unit is refused, but for `0`: people disagree on what it means. Undefined when it is none.
 */
export function parseDuration(text: string): number | undefined {
  const trimmed = text.trim()
  if (trimmed === '0') return 0
  if (!/^(?:\d+(?:\.\d+)?\s*[a-z]+\s*)+$/.test(trimmed)) return undefined
  let sum = 0
  for (const [, digits, unit] of trimmed.matchAll(/(\d+(?:\.\d+)?)\s*([a-z]+)/g)) {
    const factor = Object.hasOwn(MS, unit as string) ? MS[unit as string] : undefined
    if (factor === undefined) return undefined
    sum += Number(digits) * factor
  }
  return Number.isFinite(sum) ? sum : undefined
}

/**
 * Reads a size such as `512B`, `5MB` (1000s) or `2GiB` (1024s), in any case, as bytes; a bare number is bytes.
 * Undefined when it is none, or above 2^53.
 */
export function parseSize(text: string): number | undefined {
  const parts = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim())
  if (parts === null) return undefined
  const unit = (parts[2] as string).toLowerCase() || 'b'
  const factor = Object.hasOwn(BYTES, unit) ? BYTES[unit] : undefined
  if (factor === undefined) return undefined
  const bytes = Math.round(Number(parts[1]) * factor)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** Writes milliseconds in at most two units, as people say it: `1h 30min`, `2.5s`, `40ms`. Above a minute, to the second. */
export function formatDuration(ms: number): string {
  if (ms < 0) return `-${formatDuration(-ms)}`
  if (ms < 1000) return `${round(ms, ms < 10 ? 3 : 0)}ms`
  if (ms < 59_950) return `${round(ms / 1000, 1)}s`
  const seconds = Math.round(ms / 1000)
  const parts: readonly [count: number, unit: string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ]
  const first = parts.findIndex(([count]) => count > 0)
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join(' ')
}

/** Writes bytes with three digits or so, in units of 1024: `64 MiB`, `1.5 GiB`, `17 B`. */
export function formatSize(bytes: number): string {
  if (bytes < 0) return `-${formatSize(-bytes)}`
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let at = 0
  let value = bytes
  while (value >= 1023.95 && at < units.length - 1) {
    value /= 1024
    at++
  }
  return `${at === 0 ? value : round(value, 1)} ${units[at]}`
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits))
}

/** Writes a whole number with commas between its thousands: `1,234,567`. (`Intl` takes 20 ms of processor time to load.) */
export function formatCount(value: number): string {
  return String(value).replace(/\B(?=(?:\d{3})+$)/g, ',')
}
