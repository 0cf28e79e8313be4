// Where in a chain something stands, as a seqnum: found from headers where they can be relied upon, and by bisection within files.
// Only files that can hold the answer are opened.

import type { JournalFile } from '../file/file.ts'
import { IdPosition } from '../position.ts'
import type { ChainFile, OpenFiles } from './chainFile.ts'

/** Files in the order of their head seqnums. */
type Files = readonly ChainFile[]

/** The largest seqnum that can be read now, or 0. */
export function tailSeqnum(files: Files, open: OpenFiles): number {
  let tail = 0
  for (const one of files) {
    if (one.isArchived) {
      tail = Math.max(tail, one.known.header.tailSeqnum)
      continue
    }
    const file = open.forLookup(one)
    if (file === undefined) continue
    file.index = file.entryCount
    if (file.previous()) tail = Math.max(tail, file.seqnum)
  }
  return tail
}

/** The seqnum of the first entry at or after a time, in µs since 1970; undefined: none is. */
export function firstAtRealtime(files: Files, open: OpenFiles, us: number): number | undefined {
  let first: number | undefined
  for (const one of files) {
    const { headRealtime, tailRealtime, headSeqnum, entries } = one.known.header
    if (entries === 0 || (first !== undefined && headSeqnum >= first)) continue
    if (one.isArchived && tailRealtime < us) continue
    if (one.isArchived && headRealtime >= us) {
      first = headSeqnum
      continue
    }
    const file = open.forLookup(one)
    if (file?.load(file.findRealtime(us)) === true) first = Math.min(first ?? Number.POSITIVE_INFINITY, file.seqnum)
  }
  return first
}

/** The seqnum of a boot's first entry at or after a time, in µs since boot, or the one behind its last; undefined: no entry of this boot. */
export function firstAtMonotonic(files: Files, open: OpenFiles, bootId: string, us: number): number | undefined {
  let first: number | undefined
  let behind: number | undefined
  for (const one of files) {
    const { headSeqnum, entries } = one.known.header
    if (entries === 0 || (first !== undefined && headSeqnum >= first)) continue
    const file = open.forLookup(one)
    const index = file?.findMonotonic(bootId, us)
    if (file === undefined || index === undefined) continue
    if (file.load(index) && file.bootId() === bootId) first = Math.min(first ?? Number.POSITIVE_INFINITY, file.seqnum)
    else if (file.load(index - 1)) behind = Math.max(behind ?? 0, file.seqnum + 1)
  }
  return first ?? behind
}

/**
 * Whether a position's seqnum belongs to another entry now, or lies behind all that there is: the journal lost its end, as a power
 * cut does it, and gives the numbers out again.
 */
export function isReused(files: Files, open: OpenFiles, position: IdPosition): boolean {
  const { seqnum } = position
  let isBehindAll = files.length > 0
  let isOther = false
  for (const one of files) {
    if (one.beginsBehind(seqnum)) isBehindAll = false
    if (one.beginsBehind(seqnum) || one.endsBefore(seqnum)) continue
    const file = open.forLookup(one)
    if (file?.load(file.findSeqnum(seqnum)) !== true) continue
    isBehindAll = false
    if (file.seqnum !== seqnum) continue
    if (compareContent(file, position) === 0) return false
    isOther = true
  }
  return isOther || isBehindAll
}

/** An order of entries with one seqnum: by times, boot and content; 0 for the same entry. A position may lack the content. */
export function compareContent(a: JournalFile | IdPosition, b: JournalFile | IdPosition): number {
  const times = a.realtime - b.realtime || a.monotonic - b.monotonic
  const boots = a.boot0 - b.boot0 || a.boot1 - b.boot1 || a.boot2 - b.boot2 || a.boot3 - b.boot3
  if (times !== 0 || boots !== 0 || isBare(a) || isBare(b)) return times || boots
  return a.xorHigh - b.xorHigh || a.xorLow - b.xorLow
}

function isBare(entry: JournalFile | IdPosition): boolean {
  return entry instanceof IdPosition && !entry.hasXor
}
