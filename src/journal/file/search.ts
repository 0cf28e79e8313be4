// Finds entries of a file by number, time and offset. Reads the heads of entries only; the large window stays where it is.

import type { DataIndex } from './dataIndex.ts'
import type { EntryList } from './entryList.ts'

/** Word of the number within an ENTRY. */
export const SEQNUM = 4
export const REALTIME = 6
export const MONOTONIC = 8

/**
 * The smallest index in [0, count) whose value is at least `target`, or `count`. `valueAt` gives NaN for what is unreadable; such an
 * index is never the answer. Unreadable stretches are walked over once, not once per step.
 */
export function lowerBound(count: number, target: number, valueAt: (index: number) => number): number {
  let low = 0
  let high = count
  let best = count
  while (low < high) {
    const middle = low + ((high - low) >>> 1)
    let at = middle
    let value = valueAt(at)
    while (Number.isNaN(value) && ++at < high) value = valueAt(at)
    if (value < target) {
      low = at + 1
    } else {
      // Nothing in [middle, at) can be read, so the search goes on before it.
      if (!Number.isNaN(value)) best = at
      high = middle
    }
  }
  return best
}

/** The smallest index whose number is at least `target`, or the count. */
export function findNumber(list: EntryList, word: number, target: number): number {
  return lowerBound(list.count, target, (index) => list.number(list.find(index), word))
}

/** The index of the entry at `offset`, or -1. */
export function findOffset(list: EntryList, offset: number): number {
  const index = lowerBound(list.count, offset, (i) => list.find(i) || Number.NaN)
  return index < list.count && list.find(index) === offset ? index : -1
}

/** As JournalFile.findMonotonic: by the index of the boot id's DATA, or by looking at every entry where that is damaged. */
export function findMonotonic(list: EntryList, data: DataIndex, bootId: string, us: number): number | undefined {
  const entries = data.dataEntries(data.findData(Buffer.from(`_BOOT_ID=${bootId}`)))
  if (entries.count > 0 && entries.complete) {
    const k = lowerBound(entries.count, us, (i) => list.number(entries.at(i), MONOTONIC))
    const index = findOffset(list, entries.at(Math.min(k, entries.count - 1)))
    if (index >= 0) return k < entries.count ? index : index + 1
  }
  const id = Buffer.from(bootId, 'hex')
  if (id.length !== 16) return undefined
  let after: number | undefined
  for (let index = 0; index < list.count; index++) {
    const offset = list.find(index)
    if (!list.isOfBoot(offset, id)) continue
    if (list.number(offset, MONOTONIC) >= us) return index
    after = index + 1
  }
  return after
}
