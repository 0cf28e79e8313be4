// Which entries of a batch are alike in the fields that their sink asks for, so that a template is rendered once for all of them.
// Works on the bytes as they were encoded: no view, no string. Invariant: entries of one group have equal bytes there.

import type { Part } from './walk/chunk.ts'

/** See `Batch.groups`. */
export interface Groups {
  readonly at: Uint32Array
  readonly first: Uint32Array
  readonly tokens?: readonly object[]
}

/** Groups the `count` entries of these parts. */
export function groupEntries(parts: readonly Part[], count: number): Groups {
  if (parts.some(({ chunk }) => chunk.fields !== undefined)) return groupByBytes(parts, count)
  return groupByTable(parts, count)
}

/** The groups that the walk has noted, numbered anew: a batch has few of a table's many. */
function groupByTable(parts: readonly Part[], count: number): Groups {
  const at = new Uint32Array(count)
  const first: number[] = []
  const tokens: object[] = []
  const numbers = new Map<object | undefined, Int32Array>()
  let entry = 0
  for (const { chunk, from, to } of parts) {
    const { groups } = chunk
    let numberOf = numbers.get(groups?.table)
    if (numberOf === undefined || numberOf.length < (groups?.table.count ?? 1)) {
      const larger = new Int32Array(groups?.table.count ?? 1).fill(-1)
      if (numberOf !== undefined) larger.set(numberOf)
      numberOf = larger
      numbers.set(groups?.table, numberOf)
    }
    for (let index = from; index < to; index++) {
      const group = groups?.at[index] ?? 0
      let number = numberOf[group] as number
      if (number < 0) {
        number = first.push(entry) - 1
        numberOf[group] = number
        tokens.push(groups?.table.tokenOf(group) ?? NONE)
      }
      at[entry++] = number
    }
  }
  return { at, first: Uint32Array.from(first), tokens }
}

function groupByBytes(parts: readonly Part[], count: number): Groups {
  const at = new Uint32Array(count)
  const first: number[] = []
  // Where the bytes of each group's first entry are.
  const sources: Uint8Array[] = []
  const starts: number[] = []
  const sizes: number[] = []
  // Open addressing, at most half full: group number + 1, 0 = free.
  const mask = 2 ** Math.ceil(Math.log2(count + 1)) * 2 - 1
  const slots = new Uint32Array(mask + 1)
  let entry = 0
  for (const { chunk, from, to } of parts) {
    const bytes = chunk.fields?.bytes ?? NOTHING
    const ends = chunk.fields?.ends
    let start = from === 0 ? 0 : (ends?.[from - 1] ?? 0)
    for (let index = from; index < to; index++) {
      const end = ends?.[index] ?? 0
      const size = end - start
      let slot = hash(bytes, start, end) & mask
      let group = -1
      for (;;) {
        const found = slots[slot] as number
        if (found === 0) break
        if (
          sizes[found - 1] === size &&
          isEqual(bytes, start, sources[found - 1] as Uint8Array, starts[found - 1] as number, size)
        ) {
          group = found - 1
          break
        }
        slot = (slot + 1) & mask
      }
      if (group < 0) {
        group = first.push(entry) - 1
        sources.push(bytes)
        starts.push(start)
        sizes.push(size)
        slots[slot] = group + 1
      }
      at[entry++] = group
      start = end
    }
  }
  // Without tokens: nothing is known of other batches.
  return { at, first: Uint32Array.from(first) }
}

const NOTHING = new Uint8Array(0)
/** The token of entries of which nothing is asked. */
const NONE = {}

// FNV-1a.
function hash(bytes: Uint8Array, start: number, end: number): number {
  let value = 0x811c9dc5
  for (let at = start; at < end; at++) value = Math.imul(value ^ (bytes[at] as number), 0x01000193)
  return (value ^ (value >>> 15)) >>> 0
}

function isEqual(a: Uint8Array, aStart: number, b: Uint8Array, bStart: number, size: number): boolean {
  for (let at = 0; at < size; at++) if (a[aStart + at] !== b[bStart + at]) return false
  return true
}
