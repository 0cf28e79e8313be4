// Which entries of a batch may go in one request: those with equal headers.

import type { Batch } from '../../src/sink.ts'
import type { Template } from '../parts/template.ts'

export interface RequestPart {
  readonly indexes: readonly number[]
  readonly headers: Readonly<Record<string, string>>
}

/** The requests for a batch, in the order of their first entries. */
export function partition(batch: Batch, templates: Readonly<Record<string, Template>>): readonly RequestPart[] {
  const names = Object.keys(templates)
  if (names.length === 0) return [{ indexes: [], headers: {} }]
  const { at, first } = batch.groups
  const parts = new Map<string, { indexes: number[]; headers: Record<string, string> }>()
  const ofGroup = Array.from(first, (index) => {
    const entry = batch.entries[index]
    const headers: Record<string, string> = {}
    for (const name of names) {
      const text = entry === undefined ? '' : headerValue(templates[name]?.render(entry) ?? '')
      if (text !== '') headers[name.toLowerCase()] = text
    }
    const key = JSON.stringify(headers)
    const part = parts.get(key) ?? { indexes: [], headers }
    parts.set(key, part)
    return part
  })
  for (let index = 0; index < at.length; index++) ofGroup[at[index] as number]?.indexes.push(index)
  return [...parts.values()].sort((a, b) => (a.indexes[0] ?? 0) - (b.indexes[0] ?? 0))
}

/** What may stand in a header: a line break would let a log line add headers of its own. */
function headerValue(text: string): string {
  return text.replace(/[^\t\x20-\x7e]/g, '?').trim()
}
