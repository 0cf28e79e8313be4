// The pool of walks and the streams that take from them. A stream takes chunks of any walk in whose kept chunks its position
// falls; sinks near the journal's end so share encoded bytes, one that fell behind gets a walk of its own and joins again.
// Invariant: a stream's entries follow each other without gap or overlap, whichever walks they come from.

import { setTimeout } from 'node:timers/promises'
import type { JournalSet } from '../../journal/directory.ts'
import { encoderKey } from '../../journal/encode/encoder.ts'
import type { JournalFile } from '../../journal/file/file.ts'
import type { MemoryBudget } from '../../journal/memory.ts'
import { PositionState, type Start } from '../../journal/position.ts'
import { JournalReader } from '../../journal/reader.ts'
import type { Advanced, Cursor, Position } from '../../sink.ts'
import type { Metrics } from '../../telemetry/metrics.ts'
import type { Cut, Lag, Part, Stream, StreamSpec, Streams, Want } from './chunk.ts'
import { advancePosition, comparePositions, isSamePlace, lagOf, rewindPosition, slotOf } from './ground.ts'
import { Walk, type WalkCounts } from './walk.ts'
import type { WalkChunk } from './walkChunk.ts'

/** Chunks kept by one walk while others may want them. */
const RING_BYTES = 4 * 1024 * 1024
/** When looking at the files failed, it is tried again after this. */
const FAILED_MS = 1000

const ANY: Want = { entries: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY }

/** What a pool of walks works with. */
export interface WalksParts {
  readonly set: JournalSet
  readonly memory: MemoryBudget
  readonly metrics: Metrics
  /** Ends a bounded run: by source, the position that nothing is read beyond. */
  readonly ends?: ReadonlyMap<string, PositionState>
}

/** Streams of one kind of record of one source: what they can share. */
interface Group {
  readonly key: string
  readonly spec: StreamSpec
  readonly walks: Set<Walk>
  streams: number
}

export class Walks implements Streams {
  readonly bounded: boolean
  readonly #parts: WalksParts
  readonly #groups = new Map<string, Group>()
  readonly #counts: WalkCounts

  constructor(parts: WalksParts) {
    this.#parts = parts
    this.bounded = parts.ends !== undefined
    this.#counts = countInto(parts.metrics)
  }

  /** Walks that are open. */
  get size(): number {
    let size = 0
    for (const group of this.#groups.values()) size += group.walks.size
    return size
  }

  sources(): readonly string[] {
    const { set, ends } = this.#parts
    return ends === undefined ? set.sources() : [...ends.keys()]
  }

  startPosition(source: string, start: Start): Position {
    const reader = new JournalReader(this.#parts.set, { source })
    try {
      return reader.startPosition(start).toString()
    } finally {
      reader.close()
    }
  }

  open(spec: StreamSpec, position: Position): Stream {
    const state = PositionState.parse(position)
    const key = groupKey(spec)
    const group = this.#groups.get(key) ?? { key, spec, walks: new Set(), streams: 0 }
    this.#groups.set(key, group)
    group.streams++
    return new WalkStream(this, group, state)
  }

  advance(position: Position, cursors: readonly Cursor[]): Advanced {
    return advancePosition(PositionState.parse(position), cursors)
  }

  rewound(position: Position, ms: number): Position {
    return rewindPosition(PositionState.parse(position), ms).toString()
  }

  cursorOf(position: Position): Cursor | undefined {
    return PositionState.parse(position).lastCursor()
  }

  lag(source: string, position: Position): Lag | undefined {
    return lagOf(this.#parts.set.files, source, PositionState.parse(position))
  }

  compare(a: Position, b: Position): -1 | 0 | 1 | undefined {
    return comparePositions(PositionState.parse(a), PositionState.parse(b))
  }

  /** A walk that stands at this place or has just passed it; otherwise a new one. */
  attach(group: Group, state: PositionState): { walk: Walk; number: number; index: number } {
    const found = this.find(group, state)
    if (found !== undefined) return found
    const { set, memory, ends } = this.#parts
    const walk = new Walk(set, memory, group.spec, state.clone(), ends?.get(group.spec.source), this.#counts)
    group.walks.add(walk)
    return { walk, number: walk.nextNumber, index: 0 }
  }

  /** As `attach`, but only what is there, `except` for one. The walk with the lowest floor is preferred: all can share it. */
  find(group: Group, state: PositionState, except?: Walk): { walk: Walk; number: number; index: number } | undefined {
    const walks = [...group.walks].filter((walk) => walk !== except && walk.floorUs <= state.floor.realtime)
    for (const walk of walks.sort((a, b) => a.floorUs - b.floorUs)) {
      for (const chunk of walk.ring) {
        const slot = slotOf(chunk, state)
        if (slot !== undefined) return { walk, number: chunk.number, index: slot }
      }
      if (isSamePlace(walk.state, state)) return { walk, number: walk.nextNumber, index: 0 }
    }
    return undefined
  }

  /** Nobody uses the walk any more. */
  drop(group: Group, walk: Walk): void {
    group.walks.delete(walk)
    walk.close()
  }

  leave(group: Group): void {
    group.streams--
    if (group.streams > 0) return
    for (const walk of group.walks) walk.close()
    this.#groups.delete(group.key)
  }

  /** Bytes of chunks to keep: none where nobody else could want them. */
  keepBytes(group: Group): number {
    return group.streams > 1 ? Math.min(RING_BYTES, this.#parts.memory.limit / 8) : 0
  }

  async wait(walk: Walk, ms: number, signal: AbortSignal): Promise<void> {
    try {
      await walk.changed(ms, signal)
    } catch {
      // The reader meets the same trouble at its next look and says what it is; until then, no hurry.
      await setTimeout(Math.min(ms, FAILED_MS), undefined, { signal }).catch(() => undefined)
    }
  }
}

class WalkStream implements Stream {
  readonly #walks: Walks
  readonly #group: Group
  // Where the last part given out ended, and where the last cut ended.
  #read: PositionState
  #cut: PositionState
  #text: Position
  #at: { walk: Walk; number: number; index: number } | undefined

  constructor(walks: Walks, group: Group, state: PositionState) {
    this.#walks = walks
    this.#group = group
    this.#read = state
    this.#cut = state.clone()
    this.#text = state.toString()
  }

  get position(): Position {
    return this.#text
  }

  next(look = false, want: Want = ANY): Part | undefined {
    for (;;) {
      const at = this.#at ?? this.#attach()
      if (at.number >= at.walk.nextNumber) {
        if (this.#join()) continue
        const chunk = at.walk.produce(look, want, this.#walks.keepBytes(this.#group))
        return chunk === undefined ? undefined : this.#give(chunk, at)
      }
      const chunk = at.walk.chunk(at.number)
      if (chunk !== undefined) return this.#give(chunk, at)
      // It was let go: this stream has fallen behind.
      this.rest()
    }
  }

  wait(ms: number, signal: AbortSignal): Promise<void> {
    const walk = this.#at?.walk
    return walk === undefined ? Promise.resolve() : this.#walks.wait(walk, ms, signal)
  }

  cut(parts: readonly Part[]): Cut {
    const before = this.#text
    const start = this.#cut.clone()
    this.#at?.walk.prune(this.#cut)
    for (const { chunk, from, to } of parts) (chunk as WalkChunk).move(this.#cut, from, to)
    const after = this.#cut.toString()
    this.#text = after
    return {
      before,
      after,
      at: (count) => {
        const state = start.clone()
        let left = count
        for (const { chunk, from, to } of parts) {
          const take = Math.min(left, to - from)
          left -= take
          if (take > 0) (chunk as WalkChunk).move(state, from, from + take)
          if (left === 0) break
        }
        return state.toString()
      },
    }
  }

  seek(position: Position): void {
    this.rest()
    this.#read = PositionState.parse(position)
    this.#cut = this.#read.clone()
    this.#text = position
  }

  rest(): void {
    const at = this.#at
    if (at === undefined) return
    this.#at = undefined
    at.walk.users.delete(this)
    if (at.walk.users.size === 0) this.#walks.drop(this.#group, at.walk)
  }

  close(): void {
    this.rest()
    this.#walks.leave(this.#group)
  }

  #attach(): { walk: Walk; number: number; index: number } {
    const at = this.#walks.attach(this.#group, this.#read)
    at.walk.users.add(this)
    this.#at = at
    return at
  }

  /** At the end of a walk that nobody else uses: goes over to another that stands here. */
  #join(): boolean {
    const at = this.#at
    if (at === undefined || at.walk.users.size > 1 || this.#group.walks.size < 2) return false
    const other = this.#walks.find(this.#group, this.#read, at.walk)
    if (other === undefined) return false
    this.rest()
    other.walk.users.add(this)
    this.#at = other
    return true
  }

  #give(chunk: WalkChunk, at: { number: number; index: number }): Part {
    const from = at.index
    at.number = chunk.number + 1
    at.index = 0
    chunk.move(this.#read, from, chunk.count)
    return chunk.give(from)
  }
}

function groupKey(spec: StreamSpec): string {
  const encoder = spec.encoder === undefined ? 'none' : encoderKey(spec.encoder)
  return JSON.stringify([spec.source, spec.match, encoder, spec.fields ?? 'all'])
}

/** Counts what is read, and damage once however many walks meet it. */
function countInto(metrics: Metrics): WalkCounts {
  const entries = metrics.counter('logferry_read_entries_total', {})
  const bytes = metrics.counter('logferry_read_bytes_total', {})
  const lostBytes = metrics.counter('logferry_damaged_bytes_total', {})
  const lostEntries = metrics.counter('logferry_lost_entries_total', {})
  const lostFields = metrics.counter('logferry_lost_fields_total', {})
  const known = new Map<string, { bytes: number; entries: number; fields: number }>()
  return {
    read(read, encoded) {
      entries.add(read)
      bytes.add(encoded)
    },
    damage(file: JournalFile) {
      const { lostBytes: b, lostEntries: e, lostFields: f } = file.damage
      if (b === 0 && e === 0 && f === 0) return
      const id = `${file.id} ${file.fileId}`
      const seen = known.get(id) ?? { bytes: 0, entries: 0, fields: 0 }
      lostBytes.add(Math.max(0, b - seen.bytes))
      lostEntries.add(Math.max(0, e - seen.entries))
      lostFields.add(Math.max(0, f - seen.fields))
      known.set(id, {
        bytes: Math.max(b, seen.bytes),
        entries: Math.max(e, seen.entries),
        fields: Math.max(f, seen.fields),
      })
    },
  }
}
