// The `filter` parameter: KEY:value, the key in any case, the value as it stands. Values of one key are alternatives, different keys must all fit.

import type { Match } from '../../journal/match.ts'
import { Refusal } from '../http/refusal.ts'
import { shorten } from '../http/text.ts'

/** A wrong filter is quoted up to here. */
const SHOWN = 256

/** One group of a match. */
type Group = Match[number]

/** Reads filters. `wrong` gives the text for one that is not of the form. Throws Refusal 400. */
export function readFilters(filters: readonly string[], most: number, wrong: (filter: string) => string): Group {
  if (filters.length > most) throw new Refusal(400, `expected at most ${most} filters, found ${filters.length}`)
  const fields = new Map<string, string[]>()
  for (const filter of filters) {
    const [key = '', value, more] = filter.split(':')
    if (value === undefined || more !== undefined) throw new Refusal(400, wrong(shorten(filter, SHOWN)))
    const field = key.toUpperCase()
    if (!/^[A-Z0-9_]+$/.test(field) || field.startsWith('__')) {
      const form = 'expected letters, digits and underscores, not beginning with two underscores'
      throw new Refusal(400, `the filter key "${shorten(key, SHOWN)}" is no field name: ${form}`)
    }
    const values = fields.get(field)
    if (values === undefined) fields.set(field, [value])
    else values.push(value)
  }
  return Array.from(fields, ([field, values]) => ({ field, values }))
}

/** A group alone as a match; an empty one is everything. */
export function matchOf(group: Group): Match {
  return group.length === 0 ? [] : [group]
}
