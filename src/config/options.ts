// The kinds of options that the configuration is made of: sizes, times, addresses, matches, points to start at. Each
// reads what people write and gives what the program works with; its error says what was expected.

import * as z from 'zod'
import { isProblem } from '../errors.ts'
import type { Match } from '../journal/match.ts'
import type { Start } from '../journal/position.ts'
import { LISTEN_FORM, parseListen } from '../telemetry/listen.ts'
import { parseTime } from '../time.ts'
import { DURATION_FORM, formatDuration, formatSize, parseDuration, parseSize, SIZE_FORM } from '../units.ts'

/** Bytes, from `5MB`, `2GiB` or a number. */
export function size(limits: { readonly min?: number; readonly max?: number } = {}) {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = limits
  return textOrNumber(SIZE_FORM)
    .transform((value, context) => {
      const bytes = parseSize(String(value))
      if (bytes !== undefined && bytes >= min && bytes <= max) return bytes
      return refuse(context, `expected ${SIZE_FORM}${range(bytes, min, max, Number.MAX_SAFE_INTEGER, formatSize)}`)
    })
    .meta({ title: 'size', type: ['string', 'integer'] })
}

/** Milliseconds, from `500ms`, `30s` or `2h`. */
export function duration(limits: { readonly min?: number; readonly max?: number } = {}) {
  // Timers take 31 bits of milliseconds.
  const { min = 0, max = 24 * 86_400_000 } = limits
  return textOrNumber(DURATION_FORM)
    .transform((value, context) => {
      const ms = parseDuration(String(value))
      if (ms !== undefined && ms >= min && ms <= max) return ms
      return refuse(
        context,
        `expected ${DURATION_FORM}${range(ms, min, max, Number.POSITIVE_INFINITY, formatDuration)}`,
      )
    })
    .meta({ title: 'time', type: ['string', 'integer'] })
}

/** A whole number. */
export function count(limits: { readonly min: number; readonly max?: number }) {
  const { min, max = Number.MAX_SAFE_INTEGER } = limits
  const open = max === Number.MAX_SAFE_INTEGER
  return z
    .int({ error: open ? `expected a whole number, at least ${min}` : `expected a whole number from ${min} to ${max}` })
    .min(min)
    .max(max)
    .meta({ title: 'number' })
}

/** A path; relative ones are meant from the folder of the configuration file (resolve.ts does that). */
export function path() {
  return z
    .string({ error: 'expected a path' })
    .min(1, { error: 'expected a path' })
    .meta({ title: 'path', format: 'path' })
}

/** Where to listen. */
export function listen() {
  return z
    .string({ error: `expected ${LISTEN_FORM}` })
    .transform((text, context) => parseListen(text) ?? refuse(context, `expected ${LISTEN_FORM}`))
    .meta({ title: 'address' })
}

const START_FORM = 'now, oldest, "last N" for the last N entries, or a time such as 2026-01-31T13:45:00Z or -2h'

/** Where a sink without a stored position begins. */
export function start() {
  return z
    .string({ error: `expected ${START_FORM}` })
    .transform((text, context): Start => {
      if (text === 'now' || text === 'oldest') return { kind: text }
      const last = /^last\s+(\d{1,9})$/.exec(text)
      if (last !== null) return { kind: 'last', entries: Number(last[1]) }
      try {
        return { kind: 'since', realtimeUs: parseTime(text) }
      } catch (error) {
        if (!isProblem(error, 'LF_TIME_INVALID')) throw error
        return refuse(context, `expected ${START_FORM}`)
      }
    })
    .meta({ title: 'start' })
}

const FIELD = /^[A-Z0-9_]{1,64}$/
const FIELD_FORM = 'the name of a journal field: capital letters, digits and _, such as _SYSTEMD_UNIT'

/** The name of a journal field (systemd journal-file.c, journal_field_valid). */
export function field() {
  return z
    .string()
    .regex(FIELD, { error: `expected ${FIELD_FORM}` })
    .meta({ title: 'field' })
}

/** Names of journal fields; `*` stands for anything. */
export function fieldNames() {
  const error = `expected ${FIELD_FORM}; * stands for anything`
  return z.array(z.string().regex(/^[A-Z0-9_*]{1,64}$/, { error })).meta({ title: 'list of fields' })
}

// Names that Elasticsearch and OpenSearch keep for themselves at the top of a document; it refuses every entry that has one.
const RESERVED = new Set(
  (
    '_id _source _index _routing _field_names _ignored _ignored_source _nested_path _seq_no _primary_term _version ' +
    '_doc_count _data_stream_timestamp'
  ).split(' '),
)

function hasEmptyPart(name: string): boolean {
  return name.split('.').some((part) => part.trim() === '')
}

/** The name of a member of a record; dots make objects of it for some targets, so no part of it may be empty. */
export function recordName() {
  return z
    .string()
    .min(1)
    .refine((name) => name === '' || !hasEmptyPart(name), 'expected a name without empty parts')
    .refine((name) => !RESERVED.has(name), 'expected another name: Elasticsearch keeps this one for itself')
}

/** `[{FIELD: value or [values]}]`: fields of one item are ANDed, items and values ORed. An empty list matches everything. */
export function match() {
  const value = z.string({ error: 'expected a text or a list of texts' })
  const group = z.record(field(), z.union([value, z.array(value).min(1, { error: 'expected at least one value' })]))
  return z
    .array(group)
    .transform(
      (groups): Match =>
        groups.map((terms) =>
          Object.entries(terms).map(([name, values]) => ({
            field: name,
            values: typeof values === 'string' ? [values] : values,
          })),
        ),
    )
    .meta({ title: 'list of {FIELD: value}' })
}

/** A regular expression in JavaScript's syntax, applied to every place in a value. */
export function pattern() {
  return z
    .string()
    .transform((text, context) => {
      try {
        return new RegExp(text, 'gu')
      } catch (error) {
        return refuse(context, `expected a regular expression (${(error as Error).message})`)
      }
    })
    .meta({ title: 'regular expression' })
}

/** A text without line breaks or other control characters. */
export function label() {
  return z.string().regex(/^[^\u0000-\u001f\u007f]*$/, { error: 'expected a text without control characters' })
}

function textOrNumber(form: string) {
  return z.union([z.string(), z.number()], { error: `expected ${form}` })
}

function refuse(context: z.RefinementCtx, message: string): never {
  context.addIssue({ code: 'custom', message })
  return z.NEVER
}

/** `, at least 8 MiB` when the value was one, but out of range. */
function range(
  value: number | undefined,
  min: number,
  max: number,
  unlimited: number,
  format: (value: number) => string,
): string {
  if (value === undefined) return ''
  if (value < min) return `, at least ${format(min)}`
  return value > max && max < unlimited ? `, at most ${format(max)}` : ''
}
