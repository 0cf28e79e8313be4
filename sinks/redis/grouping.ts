// Which entries of a batch go to which key.

import type { Batch } from '../../src/sink.ts'
import type { Template } from '../parts/template.ts'
import type { Group } from './frames.ts'

/** One group for each key, in the order in which the keys come; entries keep their order within a group. */
export function groupByKey(batch: Batch, key: Template): Group[] {
  if (key.constant !== undefined) return [{ key: key.constant, indexes: undefined, count: batch.ends.length }]
  const byKey = new Map<string, number[]>()
  for (const [index, entry] of batch.entries.entries()) {
    const name = key.render(entry)
    const indexes = byKey.get(name)
    if (indexes === undefined) byKey.set(name, [index])
    else indexes.push(index)
  }
  return Array.from(byKey, ([name, indexes]) => ({ key: name, indexes, count: indexes.length }))
}
