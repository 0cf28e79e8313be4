// From cursor, skips and direction to a reader that stands before the first entry of the answer. Positions count only entries of the match.
// Skips are walked, so they give way to other requests now and then.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { type CursorParts, type EntryMark, formatCursor, parseCursor } from '../../journal/cursor.ts'
import type { JournalSet } from '../../journal/directory.ts'
import type { JournalFile } from '../../journal/file/file.ts'
import type { Match } from '../../journal/match.ts'
import { JournalReader } from '../../journal/reader.ts'
import type { EntryRequest } from './request.ts'

/** Entries that are skipped without a pause. */
const TURN = 4096

export interface Located {
  /** Its `next` gives the first entry. To be closed by the caller. */
  readonly reader: JournalReader
  /** Entries that were really skipped. */
  readonly skippedNext: number
  readonly skippedPrev: number
}

/** A place: an edge of the journal, a time, an entry or what follows it. */
type Anchor =
  | { readonly kind: 'head' }
  | { readonly kind: 'tail' }
  | { readonly kind: 'time'; readonly us: number }
  | { readonly kind: 'entry'; readonly cursor: CursorParts; readonly after: boolean }

/** Finds the place. Aborting ends the walk and rejects. */
export async function locate(set: JournalSet, request: EntryRequest, signal: AbortSignal): Promise<Located> {
  const { match, begin, skipNext, skipPrev, reverse, since, until } = request
  let anchor: Anchor = reverse ? { kind: 'tail' } : { kind: 'head' }
  if (begin.kind === 'cursor') anchor = { kind: 'entry', cursor: begin.cursor, after: true }
  else if (reverse && until !== Number.POSITIVE_INFINITY) anchor = { kind: 'time', us: until }
  else if (!reverse && since > 0) anchor = { kind: 'time', us: since }

  let skippedNext = 0
  if (skipNext > 0) {
    const from: Anchor = anchor.kind === 'tail' ? { kind: 'head' } : anchor
    const walked = await walk(set, { match, reverse: false }, from, skipNext, (file) => file.realtime <= until, signal)
    skippedNext = walked.count
    if (walked.last !== undefined) anchor = { kind: 'entry', cursor: walked.last, after: false }
  }
  let skippedPrev = 0
  if (skipPrev > 0) {
    // Without a cursor it counts from the end, whatever was skipped before.
    const end: Anchor = until === Number.POSITIVE_INFINITY ? { kind: 'tail' } : { kind: 'time', us: until }
    const from: Anchor = begin.kind === 'cursor' && anchor.kind === 'entry' ? { ...anchor, after: true } : end
    const walked = await walk(set, { match, reverse: true }, from, skipPrev, (file) => file.realtime >= since, signal)
    skippedPrev = walked.count
    if (walked.last !== undefined) anchor = { kind: 'entry', cursor: walked.last, after: false }
    else if (anchor.kind === 'entry') anchor = { ...anchor, after: false }
    else if (reverse) anchor = { kind: 'tail' }
  }
  const reader = new JournalReader(set, { match, reverse })
  seek(reader, anchor)
  return { reader, skippedNext, skippedPrev }
}

function seek(reader: JournalReader, anchor: Anchor): void {
  if (anchor.kind === 'head') reader.seekHead()
  else if (anchor.kind === 'tail') reader.seekTail()
  else if (anchor.kind === 'time') reader.seekRealtime(anchor.us)
  else reader.seekCursor(anchor.cursor, anchor.after)
}

/** Goes over up to `count` entries that are `within`; gives how many there were and the last one. */
async function walk(
  set: JournalSet,
  options: { readonly match: Match; readonly reverse: boolean },
  from: Anchor,
  count: number,
  within: (file: JournalFile) => boolean,
  signal: AbortSignal,
): Promise<{ readonly count: number; readonly last: CursorParts | undefined }> {
  const reader = new JournalReader(set, options)
  try {
    seek(reader, from)
    let done = 0
    // The file shows only the loaded entry, and which one is the last is not known beforehand.
    let last: EntryMark | undefined
    while (done < count) {
      const file = reader.next()
      if (file === undefined || !within(file)) break
      last = markOf(file)
      if (++done % TURN !== 0) continue
      await nextTurn()
      signal.throwIfAborted()
    }
    return { count: done, last: last === undefined ? undefined : parseCursor(formatCursor(last)) }
  } finally {
    reader.close()
  }
}

function markOf(file: JournalFile): EntryMark {
  const { seqnumId, seqnum, realtime, monotonic, boot0, boot1, boot2, boot3, xorHigh, xorLow } = file
  return { seqnumId, seqnum, realtime, monotonic, boot0, boot1, boot2, boot3, xorHigh, xorLow }
}
