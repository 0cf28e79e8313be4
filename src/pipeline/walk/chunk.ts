// The seam between reading and shipping: chunks of encoded entries that are shared by sinks, and the streams that hand
// them out. Everything behind it (walk.ts) knows journal files, everything before it only these types.
// Invariant: a chunk never changes after it was made, and no position in it depends on who reads it.

import type { EncoderSpec, GroupTable } from '../../journal/encode/encoder.ts'
import type { Match } from '../../journal/match.ts'
import type { Start } from '../../journal/position.ts'
import type { Advanced, Cursor, Position } from '../../sink.ts'

/** A run of consecutive entries of one source, encoded for one kind of record. */
export interface Chunk {
  readonly source: string
  /** Entries, 0 when everything that was read was left out by the match. */
  readonly count: number
  /** All records; record i ends at `ends[i]`, its terminator (`gap` bytes) stands behind it. */
  readonly records: Uint8Array<ArrayBuffer>
  readonly ends: Uint32Array
  /** Bytes between the end of a record and the begin of the next: 1 for `json` (its newline), else 0. */
  readonly gap: 0 | 1
  /** 34 ASCII bytes each. */
  readonly keys: Uint8Array<ArrayBuffer>
  /** Microseconds since 1970. */
  readonly realtimes: Float64Array
  /** 1 where entry i is stamped like the one before it (lines of one write): a batch must not end between the two. */
  readonly joined: Uint8Array
  /** The next entry is known to have another stamp, so that a batch may end behind the last one. */
  readonly closed: boolean
  /** The largest record, in bytes. */
  readonly largest: number
  /** Entries that the journal itself no longer holds, met in this chunk. */
  readonly missing: number
  /** Fields for `Entry.get`, in journal export format; undefined when no sink of these asks for any, or `groups` has them. */
  readonly fields: { readonly bytes: Uint8Array<ArrayBuffer>; readonly ends: Uint32Array } | undefined
  /** The same where few fields are asked for: entry i has those of group `at[i]` of the table, which several chunks share. */
  readonly groups?:
    | { readonly at: Uint32Array; readonly table: Pick<GroupTable, 'count' | 'bytesOf' | 'tokenOf'> }
    | undefined
  cursor(index: number): Cursor
  /**
   * So many of its entries, given out in a part, are settled and will not be read again by whoever got them. When all takers
   * have said so of all, the memory of the records is used for another chunk. Nobody has to say it.
   */
  done?(entries: number): void
}

/** Entries [from, to) of a chunk. */
export interface Part {
  readonly chunk: Chunk
  readonly from: number
  readonly to: number
}

/** What a stream delivers, besides where it begins. */
export interface StreamSpec {
  readonly source: string
  readonly match: Match
  /** undefined: no records (encoding `none`). */
  readonly encoder: EncoderSpec | undefined
  /** Journal fields for `Entry.get`; undefined: all; empty: none. */
  readonly fields: readonly string[] | undefined
}

/** So many entries and bytes are of use; more may come. */
export interface Want {
  readonly entries: number
  readonly bytes: number
}

/** Positions around the entries that were cut off a stream. */
export interface Cut {
  readonly before: Position
  readonly after: Position
  /** The position behind the first `count` of its entries. */
  at(count: number): Position
}

/** The entries of one source for one sink, in order. It has two places: `next` moves the one, `cut` the other behind it. */
export interface Stream {
  /** Where the last cut ended. */
  readonly position: Position
  /**
   * The entries that follow, as many as are at hand; also a part without entries, when some were read and left out.
   * undefined at the journal's present end; `look` asks the files again even when no change was announced.
   * `want` is what is missing to a full batch: a chunk is made about so large, so that most batches are one chunk.
   */
  next(look?: boolean, want?: Want): Part | undefined
  /** Resolves when the files have changed since `next` gave nothing, after `ms`, or when aborted; never rejects. */
  wait(ms: number, signal: AbortSignal): Promise<void>
  /** Moves `position` over these parts, which must follow it. */
  cut(parts: readonly Part[]): Cut
  /** Both places go to `position`; parts given out before are void. */
  seek(position: Position): void
  /** Nothing will be asked for some time: files and memory may be let go. */
  rest(): void
  close(): void
}

export interface Lag {
  /** Entries written behind the position; an upper bound, as the match is not applied. */
  readonly entries: number
  /** When the newest entry before the position was logged, microseconds since 1970; undefined when there is none. */
  readonly realtime: number | undefined
}

/** All streams over a set of journal files. */
export interface Streams {
  sources(): readonly string[]
  /** True when no entries will ever come behind the present end (a bounded run, such as a backfill). */
  readonly bounded: boolean
  /** Resolves `start` against the files as they are. */
  startPosition(source: string, start: Start): Position
  /** Throws a Problem when the position cannot be read. */
  open(spec: StreamSpec, position: Position): Stream
  /** The position behind entries that follow `position`, known by their cursors: see `SinkHost.advance`. */
  advance(position: Position, cursors: readonly Cursor[]): Advanced
  /** The place `ms` before the newest entry taken, but never before where the position once began. */
  rewound(position: Position, ms: number): Position
  /** The newest entry taken, as a cursor for people. */
  cursorOf(position: Position): Cursor | undefined
  lag(source: string, position: Position): Lag | undefined
  /** -1: `a` is older in every seqnum id; 1: newer; 0: equal; undefined: neither. */
  compare(a: Position, b: Position): -1 | 0 | 1 | undefined
}
