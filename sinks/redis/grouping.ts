// Which entries of a batch go to which key.

import type { Batch, Entry } from '../../src/sink.ts'
import type { Template } from '../parts/template.ts'
import type { Group } from './frames.ts'

/** One group for each key, in the order in which the keys come; entries keep their order within a group. The name of a key is worked out once for all entries that are alike in its fields. */
export function groupByKey(batch: Batch, key: Template): Group[] {
  if (key.constant !== undefined) return [{ key: key.constant, indexes: undefined, count: batch.ends.length }]
  const { at, first } = batch.groups
  const byKey = new Map<string, number[]>()
  const byGroup = Array.from(first, (index): number[] => {
    const name = key.render(batch.entries[index] as Entry)
    const indexes = byKey.get(name) ?? []
    byKey.set(name, indexes)
    return indexes
  })
  for (let index = 0; index < at.length; index++) byGroup[at[index] as number]?.push(index)
  return Array.from(byKey, ([name, indexes]) => ({ key: name, indexes, count: indexes.length }))
}
