// Walks over the journal: one reader and the encoders of one kind of record, producing chunks that several sinks can take.
// Invariant: a walk's state is the position behind everything it has read, left-out entries included, and its chunks
// join without gap: the state behind one is the state before the next.

import { isSameBoot } from '../../journal/cursor.ts'
import type { JournalSet } from '../../journal/directory.ts'
import { createEncoder, type Encoder, type EncoderSpec } from '../../journal/encode/encoder.ts'
import type { JournalFile } from '../../journal/file/file.ts'
import { CompiledMatch } from '../../journal/match.ts'
import type { MemoryBudget, MemoryHolder } from '../../journal/memory.ts'
import type { PositionState } from '../../journal/position.ts'
import { JournalReader } from '../../journal/reader.ts'
import { KEY_BYTES } from './batch.ts'
import type { StreamSpec, Want } from './chunk.ts'
import { ChunkMemory, ENTRY_BYTES } from './chunkMemory.ts'
import { tailOf, WalkChunk } from './walkChunk.ts'

/** A chunk is finished at so many bytes of records, or entries read: less than 10 ms of work, so that nobody waits long. */
const CHUNK_BYTES = 2 * 1024 * 1024
const CHUNK_READ = 4096
/** Encoded in pieces of this size, which stay in the processor's cache: a large buffer costs more than the copy. */
const HOT_BYTES = 256 * 1024
/** It ends a little before the bytes that are wanted, as one entry more would leave a rest behind every batch. */
const MARGIN = 1 / 32
/** Smaller chunks, as at the journal's end, get no more memory than they need; that of larger ones is used again, and so much is kept. */
const SMALL_BYTES = 64 * 1024
const RECYCLED_BYTES = 16 * 1024 * 1024
/** Lines of one write stay in one chunk up to this. */
const RUN_BYTES = 4 * 1024 * 1024
const RUN_READ = 32_768

/** What is left behind of an entry, in bytes; most of it by decompressing. */
const SPENT_PER_ENTRY = 200

/** What walks count. */
export interface WalkCounts {
  read(entries: number, bytes: number): void
  /** Called for the files of each chunk, whose damage may have been met. */
  damage(file: JournalFile): void
}

export class Walk implements MemoryHolder {
  readonly floorUs: number
  /** Who takes chunks from it. */
  readonly users = new Set<object>()
  readonly #set: JournalSet
  readonly #memory: MemoryBudget
  readonly #spec: StreamSpec
  readonly #counts: WalkCounts
  readonly #reader: JournalReader
  readonly #encoder: Encoder | undefined
  readonly #watch: ReturnType<Encoder['watch']>
  readonly #fieldsEncoder: Encoder | undefined
  readonly #match: CompiledMatch | undefined
  readonly #gap: 0 | 1
  #state: PositionState
  // Of the chunk that is being made.
  #made = new ChunkMemory()
  // By id: how many entries of the chunk there were when its last one had been read.
  readonly #slots: number[] = []
  // Read, but of the next chunk.
  #pending: JournalFile | undefined
  #pendingOrdinal = 0
  #number = 0
  #ring: WalkChunk[] = []
  // Memory of chunks that are done with, for the next ones.
  readonly #free: ChunkMemory[] = []
  #isClosed = false
  // The set's generation when the walk last looked and found nothing more.
  #generation = -1
  #gapSeen = 0

  /** @param start where it begins; the walk keeps it and moves it */
  constructor(
    set: JournalSet,
    memory: MemoryBudget,
    spec: StreamSpec,
    start: PositionState,
    end: PositionState | undefined,
    counts: WalkCounts,
  ) {
    this.#set = set
    this.#memory = memory
    this.#spec = spec
    this.#counts = counts
    this.#state = start
    this.floorUs = start.floor.realtime
    this.#reader = new JournalReader(set, { source: spec.source, ...(end === undefined ? {} : { end }) })
    this.#encoder = spec.encoder === undefined ? undefined : createEncoder(spec.encoder, memory)
    const asked = spec.fields
    // The record's encoder notes a few fields on its way; for all of them, and where it cannot, there is another encoder.
    this.#watch = asked === undefined || asked.length === 0 ? undefined : this.#encoder?.watch(asked)
    this.#fieldsEncoder =
      asked?.length === 0 || this.#watch !== undefined ? undefined : createEncoder(fieldsSpec(asked), memory)
    this.#match = spec.match.length === 0 ? undefined : new CompiledMatch(spec.match)
    this.#gap = isJson(spec.encoder) ? 1 : 0
    this.#reader.seekPosition(start)
    this.#reader.prune(start)
  }

  /** Behind everything read so far. Not to be changed. */
  get state(): PositionState {
    return this.#state
  }

  /** The number of the chunk that `produce` makes next. */
  get nextNumber(): number {
    return this.#number
  }

  /** Chunks that can still be taken, oldest first. */
  get ring(): readonly WalkChunk[] {
    return this.#ring
  }

  /** The chunk of this number, while it is kept. */
  chunk(number: number): WalkChunk | undefined {
    return this.#ring[number - (this.#ring[0]?.number ?? 0)]
  }

  /**
   * Reads and encodes the next chunk; undefined at the journal's present end.
   * @param look asks the files even when no change was seen
   * @param want how much is of use
   * @param keepBytes bytes of chunks to keep for others
   */
  produce(look: boolean, want: Want, keepBytes: number): WalkChunk | undefined {
    const before = this.#state.clone()
    const fullBytes = Math.min(CHUNK_BYTES, want.bytes * (1 - MARGIN))
    const files = new Set<JournalFile>()
    let after: PositionState | undefined
    let last: JournalFile | undefined
    let read = 0
    let largest = 0
    let mayLook = look
    for (;;) {
      const size = this.#made.size + (this.#encoder?.length ?? 0)
      const isFull = size >= fullBytes || this.#made.count >= want.entries || read >= CHUNK_READ
      // The reader's own position counts copies that it dropped, too; it has to be asked before it gives another entry.
      if (isFull) after = this.#reader.position()
      const file = this.#next()
      if (file === undefined) {
        if (read > 0 || !this.#refresh(mayLook)) break
        mayLook = false
        continue
      }
      if (isFull && (!this.#isJoined(file) || size >= RUN_BYTES || read >= RUN_READ)) {
        this.#pending = file
        break
      }
      if (file !== last) files.add(file)
      last = file
      read++
      largest = Math.max(largest, this.#take(file))
    }
    const missing = this.#reader.seqnumGap - this.#gapSeen
    if (read === 0 && missing === 0) return undefined
    this.#gapSeen += missing
    const closed = read === 0 || (this.#pending !== undefined && !this.#isJoined(this.#pending))
    // Nothing was given beyond the chunk unless an entry is pending, and then the position was asked before it.
    const end = this.#pending !== undefined && after !== undefined ? after : this.#reader.position()
    this.#reader.prune(end)
    const chunk = this.#finish(before, end, closed, largest, missing)
    this.#counts.read(read, chunk.records.length)
    this.#memory.spend(read * SPENT_PER_ENTRY)
    for (const file of files) this.#counts.damage(file)
    this.#keep(chunk, keepBytes)
    return chunk
  }

  /** Resolves at a change since the walk last looked, after `ms`, or when aborted. */
  async changed(ms: number, signal: AbortSignal): Promise<void> {
    await this.#reader.changed(ms, signal)
  }

  /** Removes ids from a position of this source that nothing on disk belongs to any more. */
  prune(state: PositionState): void {
    if (state.ids.size > 1) this.#reader.prune(state)
  }

  /** Gives up the kept chunks; whoever still wants one reads it again. */
  release(): void {
    this.#free.length = 0
    for (const chunk of this.#ring.splice(0)) chunk.done(1)
  }

  close(): void {
    this.#memory.forget(this)
    this.#isClosed = true
    this.release()
    this.#reader.close()
    this.#encoder?.close()
    this.#fieldsEncoder?.close()
  }

  #next(): JournalFile | undefined {
    const pending = this.#pending
    if (pending !== undefined) {
      this.#pending = undefined
      return pending
    }
    const file = this.#reader.next()
    this.#pendingOrdinal = this.#reader.ordinal
    return file
  }

  #refresh(look: boolean): boolean {
    if (!look && this.#generation === this.#set.generation) return false
    const hasMore = this.#reader.refresh()
    this.#generation = this.#set.generation
    return hasMore
  }

  /** Moves over an entry and encodes it unless it is left out. Returns its record's size. */
  #take(file: JournalFile): number {
    const made = this.#made
    const { count } = made
    const id = made.marks.idIndex(file.seqnumId)
    const isJoined = this.#isJoined(file)
    const place = this.#state.take(file)
    made.room()
    // Between this entry and the last one of its id no batch may end; room is for one more than there are entries.
    if (isJoined) made.joined.fill(1, this.#slots[id] ?? 0, count + 1)
    let size = 0
    if (this.#match === undefined || this.#match.matches(file)) {
      made.add(file, this.#pendingOrdinal, id, place.seqnum === file.seqnum ? place.run : 0)
      const encoder = this.#encoder
      if (encoder !== undefined) {
        const start = encoder.length
        encoder.encode(file, this.#pendingOrdinal)
        size = encoder.length - this.#gap - start
        made.ends[count] = made.size + encoder.length - this.#gap
        if (encoder.length >= HOT_BYTES) this.#drain()
      }
      if (this.#watch !== undefined) made.fieldEnds[count] = this.#watch.group
      else if (this.#fieldsEncoder !== undefined) {
        this.#fieldsEncoder.encode(file, this.#pendingOrdinal)
        made.fieldEnds[count] = this.#fieldsEncoder.length
      }
    }
    this.#slots[id] = made.count
    return size
  }

  /** True when the entry is stamped like the last one of its id. */
  #isJoined(file: JournalFile): boolean {
    const place = this.#state.ids.get(file.seqnumId)
    if (place === undefined || place.seqnum === 0 || place.realtime !== file.realtime) return false
    return place.monotonic === file.monotonic && isSameBoot(place, file)
  }

  #finish(before: PositionState, after: PositionState, closed: boolean, largest: number, missing: number): WalkChunk {
    const memory = this.#handOver()
    const { count, fieldEnds } = memory
    const fields = this.#fieldsEncoder
    const parts = {
      source: this.#spec.source,
      records: memory.records,
      ends: memory.ends.subarray(0, count),
      gap: this.#gap,
      keys: memory.keys.subarray(0, count * KEY_BYTES),
      joined: memory.joined.subarray(0, count),
      closed,
      largest,
      missing,
      fields: fields === undefined ? undefined : { bytes: copyOut(fields), ends: fieldEnds.subarray(0, count) },
      groups: this.#watch === undefined ? undefined : { at: fieldEnds.subarray(0, count), table: this.#watch.table },
      marks: memory.marks,
      number: this.#number++,
      before,
      after,
      tail: tailOf(before, after, this.#state.lastCursor()),
    }
    this.#state = after.clone()
    this.#encoder?.reset()
    fields?.reset()
    this.#slots.length = 0
    return new WalkChunk(parts, () => this.#recycle(memory))
  }

  /** Copies what was encoded to the other records of the chunk. */
  #drain(): void {
    const encoder = this.#encoder
    if (encoder === undefined) return
    this.#made.append(encoder.out.subarray(0, encoder.length))
    encoder.length = 0
  }

  /** The memory of the finished chunk; the next one is made in other memory. */
  #handOver(): ChunkMemory {
    this.#drain()
    const made = this.#made
    if (made.size + made.count * ENTRY_BYTES >= SMALL_BYTES) {
      this.#made = this.#free.pop() ?? new ChunkMemory()
      return made
    }
    const copy = made.compact()
    made.clear()
    return copy
  }

  #recycle(memory: ChunkMemory): void {
    if (this.#isClosed || memory.bytes < SMALL_BYTES) return
    let { bytes } = memory
    for (const free of this.#free) bytes += free.bytes
    if (bytes > RECYCLED_BYTES) return
    memory.clear()
    this.#free.push(memory)
  }

  #keep(chunk: WalkChunk, keepBytes: number): void {
    this.#ring.push(chunk)
    let bytes = 0
    for (const kept of this.#ring) bytes += kept.bytes
    while (this.#ring.length > 1 && bytes > keepBytes) {
      const oldest = this.#ring.shift()
      bytes -= oldest?.bytes ?? 0
      oldest?.done(1)
    }
    this.#memory.use(this, bytes)
  }
}

function isJson(spec: EncoderSpec | undefined): boolean {
  return spec?.format === 'record' && spec.encoding === 'json'
}

function fieldsSpec(fields: readonly string[] | undefined): EncoderSpec {
  return fields === undefined ? { format: 'export' } : { format: 'export', only: fields }
}

function copyOut(encoder: Encoder): Uint8Array<ArrayBuffer> {
  const copy = Buffer.allocUnsafeSlow(encoder.length)
  encoder.out.copy(copy, 0, 0, encoder.length)
  return new Uint8Array(copy.buffer, copy.byteOffset, copy.length)
}
