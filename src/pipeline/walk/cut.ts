// Where batches end: up to the limits, but not between lines of one write. Pure functions over parts of chunks.
// Invariant: what is cut off and what remains are together what there was, in order.

import { recordBytes, recordStart } from './batch.ts'
import type { Part } from './chunk.ts'

/** How far a batch may go. Soft limits are wishes and give way to lines of one write; hard ones are the target's. */
export interface CutLimits {
  readonly entries: number
  readonly bytes: number
  readonly hardEntries: number
  readonly hardBytes: number
}

/** From this share of the byte limit on a batch is full: what still fits is not worth another chunk. */
const NEARLY = 15 / 16

/** `undefined`: another entry must be read before it can be said. `full`: a limit was reached, so there is no sense in waiting for more. */
export type CutChoice = { readonly count: number; readonly full: boolean } | undefined

/**
 * Chooses how many of the entries at hand make the next batch: up to the soft limits, but not between entries that are
 * stamped alike (a position there could not be found again after a flush), unless a hard limit leaves no other way.
 * @param endIsSafe the entry behind the last one is known to have another stamp, or to be not there
 */
export function chooseCut(parts: readonly Part[], limits: CutLimits, endIsSafe: boolean): CutChoice {
  const total = countEntries(parts)
  if (total === 0) return undefined
  const soft = countWithin(parts, limits.entries, limits.bytes)
  const full = soft < total || soft >= limits.entries || countBytes(parts) >= limits.bytes * NEARLY
  const isSafe = (count: number): boolean => (count === total ? endIsSafe : !isJoined(parts, count))
  // Whatever follows decides.
  if (soft === total && !endIsSafe) return undefined
  for (let count = soft; count >= 1; count--) if (isSafe(count)) return { count, full }
  // A run longer than the soft limits: whole, if it fits.
  const hard = countWithin(parts, limits.hardEntries, limits.hardBytes)
  for (let count = soft + 1; count <= hard; count++) if (isSafe(count)) return { count, full: true }
  return hard < total || hard >= limits.hardEntries ? { count: hard, full: true } : undefined
}

/** Record bytes of all parts together. */
export function countBytes(parts: readonly Part[]): number {
  let bytes = 0
  for (const { chunk, from, to } of parts) bytes += recordBytes(chunk, from, to)
  return bytes
}

/** Entries in all parts together. */
export function countEntries(parts: readonly Part[]): number {
  let total = 0
  for (const { from, to } of parts) total += to - from
  return total
}

/** Takes the first `count` entries, and what was left out behind the last of them if its chunk ends there. Returns both sides. */
export function splitParts(parts: readonly Part[], count: number): { head: Part[]; tail: Part[] } {
  const head: Part[] = []
  const tail: Part[] = []
  let left = count
  for (const part of parts) {
    const size = part.to - part.from
    const take = Math.min(size, left)
    left -= take
    if (tail.length > 0 || take < size) {
      if (take > 0) head.push({ chunk: part.chunk, from: part.from, to: part.from + take })
      tail.push({ chunk: part.chunk, from: part.from + take, to: part.to })
    } else head.push(part)
  }
  return { head, tail }
}

function isJoined(parts: readonly Part[], entry: number): boolean {
  let left = entry
  for (const { chunk, from, to } of parts) {
    if (left < to - from) return chunk.joined[from + left] === 1
    left -= to - from
  }
  return false
}

// How many leading entries stay within both limits; at least one, since less than one cannot be sent.
function countWithin(parts: readonly Part[], maxEntries: number, maxBytes: number): number {
  let count = 0
  let bytes = 0
  for (const { chunk, from, to } of parts) {
    const start = recordStart(chunk, from)
    let low = from
    let high = Math.min(to, from + maxEntries - count)
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (bytes + (chunk.ends[middle - 1] ?? 0) + chunk.gap - start <= maxBytes) low = middle
      else high = middle - 1
    }
    count += low - from
    if (low < to) break
    bytes += recordBytes(chunk, from, to)
  }
  return Math.max(1, count)
}
