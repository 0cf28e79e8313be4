// Sizes and times as people write them in the configuration: `5MB`, `2GiB`, `30s`, `1h30min`. One spelling for all sinks,
// the same as in the rest of the file.

import * as z from 'zod'

const BYTES: Readonly<Record<string, number>> = {
  '': 1,
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
const MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1e3,
  sec: 1e3,
  m: 60e3,
  min: 60e3,
  h: 3600e3,
  d: 86_400e3,
  w: 604_800e3,
}

// The patterns end up in the JSON Schema, so that editors know them, too.
const SIZE = /^\d+(?:\.\d+)? ?(?:[kKmMgGtT]?[bB]|[kKmMgGtT][iI][bB])?$/
const TIME = /^(?:\d+(?:\.\d+)? ?(?:ms|s|sec|m|min|h|d|w) ?)+$/
const SIZE_FORM = 'expected a size such as 64KiB, 5MB or 2GiB'
const TIME_FORM = 'expected a time such as 500ms, 30s or 2h'

function sum(text: string, units: Readonly<Record<string, number>>): number {
  let total = 0
  for (const [, digits, unit = ''] of text.matchAll(/(\d+(?:\.\d+)?) ?([a-z]*)/g))
    total += Number(digits) * (units[unit] ?? 0)
  return Math.round(total)
}

/** A size in bytes, at least 1: a number, or text such as `5MB` (10⁶) or `2GiB` (2³⁰). */
export function size() {
  return z
    .union([z.int(), z.string().regex(SIZE, { error: SIZE_FORM })], { error: SIZE_FORM })
    .transform((value) => (typeof value === 'number' ? value : sum(value.toLowerCase(), BYTES)))
    .refine((bytes) => bytes >= 1, 'a size is at least one byte')
}

/** A time in milliseconds, at least 1: text such as `500ms`, `30s` or `1h30min`. A bare number is refused: of what? */
export function duration() {
  return z
    .string({ error: TIME_FORM })
    .regex(TIME, { error: TIME_FORM })
    .transform((text) => sum(text, MS))
    .refine((ms) => ms >= 1, 'a time is at least one millisecond')
}
