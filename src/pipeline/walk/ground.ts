// Positions compared with each other, with a chunk, and with the files: which entries lie before and which behind.
// Invariant: nothing here moves a position over an entry that was not seen.

import { problem } from '../../errors.ts'
import { bootWordsOf, type CursorParts, type EntryMark, isSameBoot, parseCursor } from '../../journal/cursor.ts'
import type { KnownFile } from '../../journal/directory.ts'
import { PositionState } from '../../journal/position.ts'
import type { Advanced, Cursor } from '../../sink.ts'
import type { Lag } from './chunk.ts'
import type { WalkChunk } from './walkChunk.ts'

function seqnumIn(state: PositionState, id: string): number {
  return state.ids.get(id)?.seqnum ?? 0
}

/** Both have taken the same entries; their floors may differ. */
export function isSamePlace(a: PositionState, b: PositionState): boolean {
  for (const [id, place] of a.ids) if (place.seqnum !== seqnumIn(b, id)) return false
  for (const [id, place] of b.ids) if (place.seqnum !== seqnumIn(a, id)) return false
  return true
}

/**
 * The index in a chunk from which on `state` still needs its entries; undefined when the chunk does not continue it: when some
 * entry before that index is not taken, or one behind it is, or when it skips what the state has not got.
 */
export function slotOf(chunk: WalkChunk, state: PositionState): number | undefined {
  for (const [id, place] of state.ids) {
    if (place.seqnum < seqnumIn(chunk.before, id) || place.seqnum > seqnumIn(chunk.after, id)) return undefined
  }
  for (const [id, place] of chunk.before.ids) if (place.seqnum > seqnumIn(state, id)) return undefined
  const { marks, count } = chunk
  let slot = 0
  while (slot < count && marks.seqnum(slot) <= seqnumIn(state, marks.idOf(slot))) slot++
  for (let index = slot; index < count; index++) {
    const id = marks.idOf(index)
    if (marks.seqnum(index) <= seqnumIn(state, id)) return undefined
    // An id that the state has not met: its own floor decides.
    if (!state.ids.has(id) && (marks.realtimes[index] ?? 0) < state.floor.realtime) return undefined
  }
  // At the very end there is nothing in the chunk for it; the next one, or the walk's own place, says so.
  return slot === count && isSamePlace(chunk.after, state) ? undefined : slot
}

/** -1: `a` is behind `b` in some seqnum id and before it in none; 1: the other way round; 0: equal; undefined: both. */
export function comparePositions(a: PositionState, b: PositionState): -1 | 0 | 1 | undefined {
  let isLess = false
  let isMore = false
  for (const id of new Set([...a.ids.keys(), ...b.ids.keys()])) {
    if (seqnumIn(a, id) < seqnumIn(b, id)) isLess = true
    if (seqnumIn(a, id) > seqnumIn(b, id)) isMore = true
  }
  if (isLess && isMore) return undefined
  return isLess ? -1 : isMore ? 1 : 0
}

/** How far a position is from the end of a source's files. */
export function lagOf(files: Iterable<KnownFile>, source: string, state: PositionState): Lag {
  let entries = 0
  for (const file of files) {
    if (file.source !== source) continue
    const { headSeqnum, tailSeqnum, entries: held } = file.header
    const taken = seqnumIn(state, file.seqnumId)
    // Ids of one machine may draw from one counter, so a file can hold fewer entries than its numbers span.
    if (tailSeqnum > taken) entries += Math.min(held, tailSeqnum - Math.max(taken, headSeqnum - 1))
  }
  let realtime: number | undefined
  for (const place of state.ids.values()) {
    if (place.seqnum > 0) realtime = Math.max(realtime ?? 0, place.realtime)
  }
  return { entries, realtime: realtime ?? (state.floor.realtime > 0 ? state.floor.realtime : undefined) }
}

/** The place `ms` before the newest entry taken, but never before where the position once began. */
export function rewindPosition(state: PositionState, ms: number): PositionState {
  const taken = [...state.ids.values()].filter((place) => place.seqnum > 0)
  if (taken.length === 0) return state
  const realtime = Math.max(...taken.map((place) => place.realtime)) - ms * 1000
  return PositionState.empty(realtime <= state.floor.realtime ? state.floor : { realtime })
}

/** `SinkHost.advance`: moves a position over entries of which only the cursors are known. */
export function advancePosition(state: PositionState, cursors: readonly Cursor[]): Advanced {
  const marks = cursors.map(markOfCursor)
  // What follows the last one may be stamped alike, and a position does not stand between such lines.
  let entries = marks.length
  const last = marks.at(-1)
  while (entries > 0 && last !== undefined && isStampedAlike(marks[entries - 1], last)) entries--
  for (const mark of marks.slice(0, entries)) state.take(mark)
  return { position: state.toString(), entries }
}

function markOfCursor(text: Cursor): EntryMark {
  const { seqnumId, seqnum, bootId, monotonic, realtime, xor }: CursorParts = parseCursor(text)
  if (seqnumId === undefined || seqnum === undefined || bootId === undefined || monotonic === undefined) {
    throw problem('LF_CURSOR_INVALID', { text, why: 's, i, b, m, t and x are needed' })
  }
  if (realtime === undefined || xor === undefined) {
    throw problem('LF_CURSOR_INVALID', { text, why: 's, i, b, m, t and x are needed' })
  }
  const words = { ...bootWordsOf(bootId), xorHigh: Number(xor >> 32n), xorLow: Number(xor & 0xffffffffn) }
  return { seqnumId, seqnum, monotonic, realtime, ...words }
}

function isStampedAlike(a: EntryMark | undefined, b: EntryMark): boolean {
  if (a === undefined || a.seqnumId !== b.seqnumId || a.monotonic !== b.monotonic || a.realtime !== b.realtime)
    return false
  return isSameBoot(a, b)
}
