// Points in time as people give them to journalctl (systemd.time(7)), exact to the microsecond. Times without a zone are
// local, by TZ. A few forms are wider: RFC 3339 and offsets such as +02:00. Days that no calendar has are refused.

import { problem } from './errors.ts'

const SECOND = 1_000_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

// systemd's own numbers (time-util.h): a year is 365.25 days, a month a twelfth of it. `m` is minutes, `M` months.
const SPAN_UNITS: Readonly<Record<string, number>> = {
  ...units(1, 'usec', 'us', 'µs', 'μs'),
  ...units(1000, 'msec', 'ms'),
  ...units(SECOND, 'seconds', 'second', 'sec', 's'),
  ...units(MINUTE, 'minutes', 'minute', 'min', 'm'),
  ...units(HOUR, 'hours', 'hour', 'hr', 'h'),
  ...units(DAY, 'days', 'day', 'd'),
  ...units(7 * DAY, 'weeks', 'week', 'w'),
  ...units(2_629_800 * SECOND, 'months', 'month', 'mon', 'M'),
  ...units(31_557_600 * SECOND, 'years', 'year', 'y'),
}

function units(us: number, ...names: readonly string[]): Record<string, number> {
  return Object.fromEntries(names.map((name) => [name, us]))
}

/** A calendar date and time of day, without a zone; `month` is 1 to 12. */
interface Fields {
  readonly year: number
  readonly month: number
  readonly day: number
  readonly hour: number
  readonly minute: number
  readonly second: number
}

/** A way to turn clock readings into milliseconds since 1970 and back. */
interface Zone {
  toMs(fields: Fields): number
  toFields(ms: number): Fields
}

/**
 * Reads a point in time: `2026-01-31 13:45:00[.123456] [ZONE]`, parts of that, `yesterday`, `today`, `tomorrow`, `now`,
 * `-2h`, `+5min`, `2h ago`, `@SECONDS`, RFC 3339. Returns microseconds since 1970, exact.
 * Throws Problem LF_TIME_INVALID.
 *
 * @param nowUs what the relative forms count from
 */
export function parseTime(text: string, nowUs: number = Date.now() * 1000): number {
  const trimmed = text.trim()
  const us = parseRelative(trimmed, nowUs) ?? parseCalendar(trimmed, nowUs)
  if (typeof us === 'string') throw problem('LF_TIME_INVALID', { text, why: us })
  if (!(us >= 0 && us <= Number.MAX_SAFE_INTEGER)) {
    throw problem('LF_TIME_INVALID', { text, why: 'it lies before 1970 or after 2255' })
  }
  return us
}

/**
 * Reads a span of time as systemd does: `1h30min`, `2 weeks`, `1.5s`; a number without a unit is seconds.
 * Returns microseconds; undefined when it is none.
 */
export function parseSpan(text: string): number | undefined {
  const part = /\s*(\d+)(?:\.(\d+))?\s*([a-zA-Zµμ]*)\s*/uy
  let us = 0
  while (part.lastIndex < text.length) {
    const found = part.exec(text)
    if (found === null) return undefined
    const unit = found[3] || 's'
    const factor = Object.hasOwn(SPAN_UNITS, unit) ? SPAN_UNITS[unit] : undefined
    if (factor === undefined) return undefined
    us += Number(found[1]) * factor + fraction(found[2] ?? '', factor)
  }
  return text === '' || us > Number.MAX_SAFE_INTEGER ? undefined : us
}

/** The decimals of a number of `factor` microseconds, digit by digit so that no rounding of binary fractions comes in. */
function fraction(digits: string, factor: number): number {
  let sum = 0
  let scale = factor
  for (const digit of digits) {
    scale = Math.floor(scale / 10)
    sum += Number(digit) * scale
  }
  return sum
}

/** `undefined`: not one of these forms; a string: it is one and wrong, for this reason. */
function parseRelative(text: string, nowUs: number): number | string | undefined {
  if (text === 'now') return nowUs
  const epoch = /^@(\d+)(?:\.(\d+))?$/.exec(text)
  if (epoch !== null) return Number(epoch[1]) * SECOND + fraction(epoch[2] ?? '', SECOND)
  const signed = /^([+-])(.*)$/s.exec(text)
  const worded = /^(.*)\s(ago|left)$/s.exec(text)
  const amount = signed?.[2] ?? worded?.[1]
  if (amount === undefined) return undefined
  const us = parseSpan(amount)
  if (us === undefined) return `"${amount.trim()}" is not a span of time such as 1h30min, 2d or 90s`
  // journalctl's rule, too: what would lie before 1970 is 1970.
  return signed?.[1] === '-' || worded?.[2] === 'ago' ? Math.max(0, nowUs - us) : nowUs + us
}

const WEEKDAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']

const CALENDAR =
  /^(?:(?<date>today|yesterday|tomorrow)|(?:(?<year>\d{4}|\d{2})-(?<month>\d{1,2})-(?<day>\d{1,2}))?(?<gap>\s+|[Tt])?(?:(?<hour>\d{1,2}):(?<minute>\d{1,2})(?::(?<second>\d{1,2})(?:\.(?<decimals>\d+))?)?)?)(?:\s*(?<zulu>[Zz]|[+-]\d{2}(?::?\d{2})?)|\s+(?<zone>[A-Za-z][\w+/-]*))?$/

function parseCalendar(text: string, nowUs: number): number | string {
  const named = /^([A-Za-z]+),?\s+(.*)$/s.exec(text)
  const weekday = named === null ? -1 : WEEKDAYS.findIndex((day) => isDayName(named[1] as string, day))
  const groups = CALENDAR.exec(weekday < 0 ? text : (named?.[2] as string))?.groups
  if (groups === undefined) return 'it has none of the forms that are known here'
  const hasDate = groups['date'] !== undefined || groups['year'] !== undefined
  const hasTime = groups['hour'] !== undefined
  // Both or neither side of the gap: "2026-01-31T" and "T12:00" are no times.
  const isWhole = (hasDate || hasTime) && (groups['gap'] !== undefined) === (groups['year'] !== undefined && hasTime)
  if (!isWhole) return 'it has none of the forms that are known here'

  const zone = findZone(groups['zulu'] ?? groups['zone'])
  if (zone === undefined) return `the time zone "${groups['zone']}" is not known`
  const fields = readFields(groups, zone.toFields(nowUs / 1000), hasTime)
  if (typeof fields === 'string') return fields
  if (weekday >= 0) {
    const actual = new Date(Date.UTC(fields.year, fields.month - 1, fields.day)).getUTCDay()
    if (actual !== weekday) return `that day is a ${WEEKDAYS[actual]}, not a ${WEEKDAYS[weekday]}`
  }
  return zone.toMs(fields) * 1000 + microseconds(groups['decimals'] ?? '')
}

function isDayName(word: string, day: string): boolean {
  const given = word.toLowerCase()
  return given === day.toLowerCase() || given === day.toLowerCase().slice(0, 3)
}

/** Fills in what was left out: the date of today, the time 00:00:00. A string says what is wrong. */
function readFields(
  groups: Readonly<Record<string, string | undefined>>,
  today: Fields,
  hasTime: boolean,
): Fields | string {
  let { year, month, day } = today
  if (groups['date'] !== undefined) {
    const days = { yesterday: -1, today: 0, tomorrow: 1 }[groups['date']] ?? 0
    const shifted = new Date(Date.UTC(year, month - 1, day + days))
    year = shifted.getUTCFullYear()
    month = shifted.getUTCMonth() + 1
    day = shifted.getUTCDate()
  } else if (groups['year'] !== undefined) {
    year = Number(groups['year'])
    // POSIX strptime's %y: 69 to 99 are 1969 to 1999.
    if (groups['year'].length === 2) year += year < 69 ? 2000 : 1900
    month = Number(groups['month'])
    day = Number(groups['day'])
    if (month < 1 || month > 12) return `there is no month ${month}`
    if (day < 1 || day > new Date(Date.UTC(year, month, 0)).getUTCDate()) return `that month has no day ${day}`
  }
  const hour = hasTime ? Number(groups['hour']) : 0
  const minute = hasTime ? Number(groups['minute']) : 0
  const second = hasTime ? Number(groups['second'] ?? 0) : 0
  // A leap second, 60, becomes the next minute's first, as mktime does it.
  if (hour > 23 || minute > 59 || second > 60) return 'there is no such time of day'
  return { year, month, day, hour, minute, second }
}

/** Six digits; further ones round, as systemd does. */
function microseconds(decimals: string): number {
  const us = Number(decimals.slice(0, 6).padEnd(6, '0'))
  return Number(decimals[6] ?? 0) >= 5 ? us + 1 : us
}

/** The zone that `text` names; the local one when there is none; undefined when it is unknown. */
function findZone(text: string | undefined): Zone | undefined {
  if (text === undefined) return localZone
  if (/^(?:z|utc)$/i.test(text)) return offsetZone(0)
  const offset = /^([+-])(\d{2}):?(\d{2})?$/.exec(text)
  if (offset !== null) {
    const minutes = Number(offset[2]) * 60 + Number(offset[3] ?? 0)
    return offsetZone(offset[1] === '-' ? -minutes : minutes)
  }
  return localAbbreviation(text) ?? namedZone(text)
}

function fieldsToUtcMs({ year, month, day, hour, minute, second }: Fields): number {
  return Date.UTC(year, month - 1, day, hour, minute, second)
}

function utcMsToFields(ms: number): Fields {
  const at = new Date(ms)
  return {
    year: at.getUTCFullYear(),
    month: at.getUTCMonth() + 1,
    day: at.getUTCDate(),
    hour: at.getUTCHours(),
    minute: at.getUTCMinutes(),
    second: at.getUTCSeconds(),
  }
}

function offsetZone(minutes: number): Zone {
  return {
    toMs: (fields) => fieldsToUtcMs(fields) - minutes * 60_000,
    toFields: (ms) => utcMsToFields(ms + minutes * 60_000),
  }
}

const localZone: Zone = {
  toMs: ({ year, month, day, hour, minute, second }) => new Date(year, month - 1, day, hour, minute, second).getTime(),
  toFields: (ms) => utcMsToFields(ms - new Date(ms).getTimezoneOffset() * 60_000),
}

/**
 * `CET` or `CEST` where that is what the local zone is called, as journalctl prints it. Each English speaks the
 * abbreviations of its own parts of the world only.
 */
function localAbbreviation(text: string): Zone | undefined {
  const year = new Date().getFullYear()
  for (const at of [new Date(year, 0, 1), new Date(year, 6, 1)]) {
    for (const language of ['en-US', 'en-GB', 'en-AU', 'en-IN', 'en-ZA']) {
      const parts = new Intl.DateTimeFormat(language, { timeZoneName: 'short' }).formatToParts(at)
      const name = parts.find((part) => part.type === 'timeZoneName')?.value
      if (name?.toLowerCase() === text.toLowerCase()) return offsetZone(-at.getTimezoneOffset())
    }
  }
  return undefined
}

/** A zone of the tz database, such as Europe/Berlin. */
function namedZone(name: string): Zone | undefined {
  let format: Intl.DateTimeFormat
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
  } catch {
    return undefined // RangeError: Intl does not know the name, and the caller says so.
  }
  const toFields = (ms: number): Fields => {
    const part = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, Number(value)]))
    const { year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0 } = part
    return { year, month, day, hour, minute, second }
  }
  const offsetAt = (ms: number): number => fieldsToUtcMs(toFields(ms)) - Math.floor(ms / 1000) * 1000
  return {
    toFields,
    toMs(fields) {
      const asUtc = fieldsToUtcMs(fields)
      // The offsets in force a day before and after. Where the clock goes back the first of the two readings is meant; a
      // reading which the clock skips counts by the offset before. The local zone of JavaScript has the same rules.
      const [before, after] = [offsetAt(asUtc - 86_400_000), offsetAt(asUtc + 86_400_000)]
      const fits = [before, after].filter((offset) => offsetAt(asUtc - offset) === offset)
      return asUtc - (fits.length === 0 ? before : Math.max(...fits))
    },
  }
}
