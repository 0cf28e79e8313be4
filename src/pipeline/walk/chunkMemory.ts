// The memory that a chunk is written into and keeps: records and, in flat arrays, what is known of each entry. It is used again
// when nobody reads the chunk any more, so that reading on makes next to no garbage.
// Invariant: entry i is at i in each array, and what lies behind the last entry is zero in `joined`.

import type { JournalFile } from '../../journal/file/file.ts'
import { writeKey } from '../../journal/key.ts'
import { KEY_BYTES } from './batch.ts'
import { Marks } from './marks.ts'

/** Entries that there is room for at first. */
const ROOM = 2048
/** Bytes of the arrays for each entry, about. */
export const ENTRY_BYTES = 90
/** Records that there is room for at first, once there are any: those of most chunks, and the one that ends it. */
const RECORDS = 2.25 * 1024 * 1024

export class ChunkMemory {
  /** Bytes of records that are in it. */
  size = 0
  ends: Uint32Array<ArrayBuffer>
  /** Ends in a second encoding, of fields; or groups. */
  fieldEnds: Uint32Array<ArrayBuffer>
  keys: Uint8Array<ArrayBuffer>
  /** 1 where a batch must not end before entry i. */
  joined: Uint8Array<ArrayBuffer>
  readonly marks: Marks
  #records: Uint8Array<ArrayBuffer>

  constructor(room = ROOM, marks = new Marks(room), records = new Uint8Array(0)) {
    this.ends = new Uint32Array(room)
    this.fieldEnds = new Uint32Array(room)
    this.keys = new Uint8Array(room * KEY_BYTES)
    this.joined = new Uint8Array(room)
    this.marks = marks
    this.#records = records
  }

  /** The records that are in it. */
  get records(): Uint8Array<ArrayBuffer> {
    return this.#records.subarray(0, this.size)
  }

  /** Entries that are in it. */
  get count(): number {
    return this.marks.count
  }

  /** What it takes. */
  get bytes(): number {
    return this.#records.length + this.ends.length * ENTRY_BYTES
  }

  /** Makes room for one entry more, and for the mark that no batch may end behind it. */
  room(): void {
    if (this.count + 1 < this.ends.length) return
    const size = this.ends.length * 2
    this.ends = grown(this.ends, new Uint32Array(size))
    this.fieldEnds = grown(this.fieldEnds, new Uint32Array(size))
    this.keys = grown(this.keys, new Uint8Array(size * KEY_BYTES))
    this.joined = grown(this.joined, new Uint8Array(size))
  }

  /** Adds an entry and its key; its ends are the caller's to fill in. `run`: see Marks. */
  add(file: JournalFile, ordinal: number, id: number, run: number): void {
    writeKey(this.keys, this.count * KEY_BYTES, file, ordinal)
    this.marks.add(file, id, run)
  }

  /** Adds bytes of records. */
  append(bytes: Uint8Array): void {
    const need = this.size + bytes.length
    if (need > this.#records.length) {
      // Not zeroed, and so not touched before it is needed.
      const room = Buffer.allocUnsafeSlow(Math.max(need, this.#records.length * 2, RECORDS)).buffer
      this.#records = grown(this.records, new Uint8Array(room))
    }
    this.#records.set(bytes, this.size)
    this.size = need
  }

  /** The same in no more memory than it needs. */
  compact(): ChunkMemory {
    const { count } = this
    const copy = new ChunkMemory(count, this.marks.snapshot(), this.records.slice())
    copy.size = this.size
    copy.ends.set(this.ends.subarray(0, count))
    copy.fieldEnds.set(this.fieldEnds.subarray(0, count))
    copy.keys.set(this.keys.subarray(0, count * KEY_BYTES))
    copy.joined.set(this.joined.subarray(0, count))
    return copy
  }

  /** Forgets the entries and keeps the room. */
  clear(): void {
    this.size = 0
    this.joined.fill(0, 0, this.count + 1)
    this.marks.clear()
  }
}

function grown<T extends Uint8Array | Uint32Array>(old: T, larger: T): T {
  larger.set(old)
  return larger
}
