// Finds ENTRY objects by walking over all objects of a stretch of a file, for where the entry arrays do not lead any more.
// Objects lie one after another; over bytes that are none it goes 8 at a time until two objects in a row look right.

import { align8, ENTRY, ENTRY_HEAD, entrySize, OBJECT_HEAD, plausibleSize, u64 } from './objects.ts'
import type { Windows } from './window.ts'

export interface ScanResult {
  /** Behind the last entry found: where a scan goes on once more was written. What follows may have been half written. */
  offset: number
  /** Of the last entry found, or the `after` given. */
  seqnum: number
  /** Bytes that belong to no object, up to `offset`. */
  lostBytes: number
  /** The same from `offset` on. */
  lostBehind: number
}

/**
 * Walks from `from` (the start of an object) and calls `found` with each valid entry whose seqnum is greater than all before it and
 * than `after`, and at most `seqnumMax`. Ends before `to`, at preallocated zeroes behind the header's tail object, or when `found` says false.
 * Reads through the large window, moving it.
 */
export function scanEntries(
  windows: Windows,
  range: { from: number; to: number; after: number; seqnumMax: number; tail: number; compact: boolean },
  found: (offset: number, seqnum: number) => boolean,
): ScanResult {
  const { to, compact, seqnumMax } = range
  let { from: offset, after: seqnum } = range
  const result: ScanResult = { offset, seqnum, lostBytes: 0, lostBehind: 0 }
  let skipped = 0
  let zeroes = true
  // Not yet certain that an object begins here: the next one must look right, too.
  let lost = false
  while (offset + OBJECT_HEAD <= to) {
    if (!windows.covers(offset, ENTRY_HEAD) && (offset >= windows.to || offset < windows.from)) windows.slide(offset)
    const size = plausibleSize(windows, offset, compact)
    const next = offset + align8(size)
    if (size === 0 || (lost && !followed(windows, next, compact))) {
      const zero = isZero(windows, offset)
      if (zero && offset > range.tail) break
      zeroes &&= zero
      lost = true
      skipped += 8
      offset += 8
      continue
    }
    lost = false
    result.lostBehind += skipped
    skipped = 0
    zeroes = true
    // `followed` may have moved on to other bytes.
    if (!windows.locate(offset, OBJECT_HEAD)) break
    if (((windows.words[windows.at >>> 2] as number) & 0xff) === ENTRY && windows.locate(offset, ENTRY_HEAD)) {
      const i = windows.at >>> 2
      if (entrySize(windows.words, i, compact) !== 0) {
        const number = u64(windows.words, i + 4)
        if (number > seqnum && number <= seqnumMax) {
          if (!found(offset, number)) return result
          seqnum = number
          result.offset = next
          result.seqnum = number
          result.lostBytes += result.lostBehind
          result.lostBehind = 0
        }
      }
    }
    offset = next
  }
  // Zeroes up to the end are preallocated space.
  if (!zeroes) result.lostBehind += skipped
  return result
}

function followed(windows: Windows, next: number, compact: boolean): boolean {
  return next + OBJECT_HEAD > windows.end || isZero(windows, next) || plausibleSize(windows, next, compact) !== 0
}

function isZero(windows: Windows, offset: number): boolean {
  if (!windows.locate(offset, OBJECT_HEAD)) return true
  const { words } = windows
  const i = windows.at >>> 2
  return words[i] === 0 && words[i + 1] === 0 && words[i + 2] === 0 && words[i + 3] === 0
}
