// Where an entry goes: the name of an index or data stream, with dates out of the entry's own time and fields of the entry in it. The
// same entry always gives the same name, which is what makes its id an id. Times are UTC.

import { type Fields, parseTemplate, type Template } from '../parts/template.ts'

export interface IndexName {
  /** The journal fields in it. */
  readonly fields: readonly string[]
  readonly hasDates: boolean
  /** The whole name, where it is the same for all entries. */
  readonly constant: string | undefined
  /** All the names there may be, as a wildcard expression. */
  readonly pattern: string
  /** The name for entries of this time (microseconds since 1970); with fields in it, one that an entry might have. */
  at(realtimeUs: number): string
  render(realtimeUs: number, entry: Fields): string
}

type Part =
  | { readonly kind: 'date'; readonly pieces: readonly DatePiece[] }
  | { readonly kind: 'text'; readonly template: Template }
type DatePiece = string | ((date: Date) => number | string)

/** `%{+yyyy.MM.dd}` as Logstash and Beats write it, or `{yyyy.MM.dd}`. */
const DATE = /%\{\+([^{}]*)\}|(?<!\$)\{([^{}]*)\}/g
/** Dates in names change by the hour at most. */
export const HOUR_US = 3_600_000_000
const LONGEST = 255

/** Reads a name. Throws an Error that says what is wrong with it. */
export function parseIndexName(text: string): IndexName {
  const parts: Part[] = []
  let at = 0
  for (const match of text.matchAll(DATE)) {
    parts.push({ kind: 'text', template: parseTemplate(text.slice(at, match.index)) })
    parts.push({ kind: 'date', pieces: readDate(match[1] ?? match[2] ?? '') })
    at = match.index + match[0].length
  }
  parts.push({ kind: 'text', template: parseTemplate(text.slice(at)) })
  return new Pattern(parts)
}

class Pattern implements IndexName {
  readonly fields: readonly string[]
  readonly hasDates: boolean
  readonly constant: string | undefined
  readonly pattern: string
  readonly #parts: readonly Part[]

  constructor(parts: readonly Part[]) {
    this.#parts = parts
    this.fields = [...new Set(parts.flatMap((part) => (part.kind === 'text' ? part.template.fields : [])))]
    this.hasDates = parts.some(({ kind }) => kind === 'date')
    const fixed = parts.map((part) => (part.kind === 'text' ? part.template.render({ get: () => undefined }) : ''))
    this.constant = this.fields.length === 0 && !this.hasDates ? fixed.join('') : undefined
    this.pattern = parts
      .map((part) => (part.kind === 'date' ? '*' : part.template.render({ get: () => '*' })))
      .join('')
      .replace(/\*+/g, '*')
    checkName(this.at(0))
  }

  at(realtimeUs: number): string {
    return this.render(realtimeUs, { get: () => 'x' })
  }

  render(realtimeUs: number, entry: Fields): string {
    const date = new Date(realtimeUs / 1000)
    const text = this.#parts
      .map((part) =>
        part.kind === 'text'
          ? part.template.render(entry)
          : part.pieces.map((piece) => (typeof piece === 'string' ? piece : piece(date))).join(''),
      )
      .join('')
    // Indexes have no capitals, and `CRON` is as good a name as `cron`.
    return this.fields.length > 0 ? text.toLowerCase() : text
  }
}

const two = (value: number): string => String(value).padStart(2, '0')

// The letters of Joda time and java.time that make sense in a name.
const LETTERS: Readonly<Record<string, (date: Date) => string>> = {
  yyyy: (date) => String(date.getUTCFullYear()).padStart(4, '0'),
  YYYY: (date) => String(date.getUTCFullYear()).padStart(4, '0'),
  yy: (date) => two(date.getUTCFullYear() % 100),
  MM: (date) => two(date.getUTCMonth() + 1),
  dd: (date) => two(date.getUTCDate()),
  DDD: (date) => String(dayOfYear(date)).padStart(3, '0'),
  HH: (date) => two(date.getUTCHours()),
  xxxx: (date) => String(isoWeek(date).year),
  ww: (date) => two(isoWeek(date).week),
}

function readDate(format: string): DatePiece[] {
  const pieces = format.match(/([A-Za-z])\1*|[^A-Za-z]+/g) ?? []
  if (!pieces.some((piece) => Object.hasOwn(LETTERS, piece)))
    throw new Error(`"${format}" is no date: expected for example {yyyy.MM.dd}, or \${FIELD} for a field`)
  return pieces.map((piece): DatePiece => {
    const letter = LETTERS[piece]
    if (letter !== undefined) return letter
    if (!/^[A-Za-z]/.test(piece)) return piece
    throw new Error(`"${piece}" in a date: expected ${Object.keys(LETTERS).join(', ')}`)
  })
}

const DAY_MS = 86_400_000

function dayOfYear(date: Date): number {
  return Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / DAY_MS) + 1
}

/** The week that the date's Thursday is in (ISO 8601). */
function isoWeek(date: Date): { year: number; week: number } {
  const thursday = new Date(date.getTime() + (4 - (date.getUTCDay() || 7)) * DAY_MS)
  return { year: thursday.getUTCFullYear(), week: Math.ceil(dayOfYear(thursday) / 7) }
}

/** Throws for a name that the server refuses (elastic/elasticsearch MetadataCreateIndexService, validateIndexOrAliasName). */
function checkName(name: string): void {
  const wrong = (why: string): never => {
    throw new Error(`"${name}" cannot be the name of an index: ${why}`)
  }
  if (name === '' || name === '.' || name === '..') wrong('it says nothing')
  if (name !== name.toLowerCase()) wrong('it has capitals')
  if (/^[-_+]/.test(name)) wrong('it begins with -, _ or +')
  const found = /[:#\\/*?"<>| ,\u0000-\u001f]/.exec(name)?.[0]
  if (found !== undefined) wrong(`it has "${found}" in it`)
  if (Buffer.byteLength(name) > LONGEST) wrong(`it has more than ${LONGEST} bytes`)
}
