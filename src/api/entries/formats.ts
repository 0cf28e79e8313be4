// The forms in which entries are sent. v1 and the old v2 routes compare Accept as text; lists with q-values are read where the route says so.

import type { EncoderSpec } from '../../journal/encode/spec.ts'
import { readWeighted, type Weighted } from '../http/accept.ts'
import { Refusal } from '../http/refusal.ts'

/** A form of entries. */
export type Format = 'text' | 'json' | 'sse' | 'ndjson' | 'export'

/** The content type of each, as it is sent. */
export const CONTENT_TYPES: Readonly<Record<Format, string>> = {
  text: 'text/plain',
  json: 'application/json',
  sse: 'text/event-stream',
  ndjson: 'application/x-ndjson',
  export: 'application/vnd.fdo.journal',
}

/** The form for exactly this Accept, as the original had it: anything else is text. */
export function exactFormat(accept: string): Format {
  if (accept === CONTENT_TYPES.json) return 'json'
  return accept === CONTENT_TYPES.sse ? 'sse' : 'text'
}

const OFFERED: readonly Format[] = ['text', 'json', 'sse', 'ndjson', 'export']

/**
 * The form that fits a list such as `application/x-ndjson, text/*;q=0.5` best (RFC 9110, 12.5.1); of equal ones the first of ours. Without Accept it
 * is text. Throws Refusal 406 when none fits.
 */
export function negotiatedFormat(accept: string): Format {
  if (accept.trim() === '') return 'text'
  let best: Format | undefined
  let most = 0
  const ranges = readWeighted(accept)
  for (const format of OFFERED) {
    const quality = qualityOf(CONTENT_TYPES[format], ranges)
    if (quality > most) {
      best = format
      most = quality
    }
  }
  if (best !== undefined) return best
  throw new Refusal(406, `none of ${Object.values(CONTENT_TYPES).join(', ')} fits the Accept header`)
}

/** The most specific range that fits decides. */
function qualityOf(type: string, ranges: readonly Weighted[]): number {
  const wide = `${type.split('/')[0]}/*`
  for (const wanted of [type, wide, '*/*']) {
    const found = ranges.find((range) => range.name === wanted)
    if (found !== undefined) return found.quality
  }
  return 0
}

/** The encoder of a form. `ids`: events carry the cursor as their id; `arrays`: all values of a repeated field. */
export function encoderSpec(format: Format, ids: boolean, arrays: boolean): EncoderSpec {
  if (format === 'text') return { format: 'dcos-text' }
  if (format === 'export') return { format: 'export' }
  return { format: 'dcos-json', framing: format !== 'sse' ? 'line' : ids ? 'event-id' : 'event', arrays }
}
