// What one encoder keeps of one file: the encoded bytes of values (by the offset of their DATA object) and of whole runs of values
// (by the offsets of the items). Invariants: a DATA never changes, so nothing here can be stale; `release` may come at any time, also
// while an entry is being encoded, so users hold no index over a call that may read the file (a Run they hold stays usable).

import type { MemoryBudget, MemoryHolder } from '../memory.ts'
import { type ByteBuffer, byteBuffer } from './output.ts'

/** Items of a run at most. */
export const RUN_ITEMS = 256
const RUN_BYTES = 64 << 10
const FRAGMENT_BYTES = 16 << 10
/** Runs that lack up to this many of the last old items are looked for, too. */
const SHORTER = 3
// Real costs on a 64-bit V8: string header, array slots, and two table cells at a load of one third.
const FRAGMENT_COST = 72
const RUN_COST = 320
const EMPTY_COST = 1024
const TOUCH_EVERY = 4096
const DOOR_SMALL = 1024
const DOOR_LARGE = 8192
const INTS = 4096

// Never written to.
const NO_DOOR = new Int32Array(1)

/** The encoded bytes of the first `count` items of an entry. */
export interface Run {
  readonly count: number
  /** The item offsets (`count` words at `at`), then the set of field slots, one bit each (`slotWords` words). */
  readonly ints: Uint32Array
  readonly at: number
  readonly slotWords: number
  readonly bytes: Buffer
  /** Name–value pairs in `bytes`. */
  readonly pairs: number
  /** The entry has to be put together field by field: a field occurs twice, or something stands outside its field. `bytes` is empty. */
  readonly gather: boolean
  /** Whatever the encoder wants to know of `bytes`. */
  readonly marks: readonly number[] | undefined
}

/** True when the run has a field of this slot. */
export function runHas(run: Run, slot: number): boolean {
  const word = slot >>> 5
  return word < run.slotWords && ((run.ints[run.at + run.count + word] >>> (slot & 31)) & 1) !== 0
}

export class FileCache implements MemoryHolder {
  /** Per fragment: its bytes as a one-byte string, and what the encoder noted about it. */
  texts: string[] = []
  notes: number[] = []
  /** After `findRun` gave nothing: how many items make a run that was met before and is worth building; 0 = none. */
  build = 0

  readonly #memory: MemoryBudget
  readonly #limit: number
  /** The budget hears of growth in steps of this size. */
  readonly #step: number
  #bytes = 0
  #reported = 0
  #touched = 0
  #furthest = 0

  #keys = new Uint32Array(0)
  #places = new Int32Array(0)
  #shift = 32
  #fragments = 0

  #hashes = new Int32Array(0)
  #runs: (Run | undefined)[] = []
  #runCount = 0
  #door = NO_DOOR
  #doorUse = 0
  #ints = new Uint32Array(0)
  #intsUsed = 0
  #slab: ByteBuffer = byteBuffer(0)
  #slabUsed = 0

  /** @param limit bytes this cache may take; at the limit it starts afresh */
  constructor(memory: MemoryBudget, limit: number) {
    this.#memory = memory
    this.#limit = limit
    this.#step = Math.min(64 << 10, limit >>> 2)
    this.release()
  }

  release(): void {
    this.texts = []
    this.notes = []
    this.build = 0
    this.#fragments = 0
    this.#keys = new Uint32Array(16)
    this.#places = new Int32Array(16)
    this.#shift = 28
    this.#hashes = new Int32Array(16)
    this.#runs = new Array<Run | undefined>(16).fill(undefined)
    this.#runCount = 0
    this.#door = NO_DOOR
    this.#doorUse = 0
    this.#ints = new Uint32Array(0)
    this.#intsUsed = 0
    this.#slab = byteBuffer(0)
    this.#slabUsed = 0
    this.#bytes = EMPTY_COST
    this.#reported = 0
  }

  /** Says once in a while that this cache is in use, so that it does not look old to the budget. To be called per entry. */
  touch(): void {
    if (--this.#touched >= 0) return
    this.#touched = TOUCH_EVERY
    this.#report()
  }

  /**
   * Notes that the entry at `offset` is encoded now. DATA behind the returned offset were not seen by this cache; infinite when it has
   * been further on in the file already.
   */
  move(offset: number): number {
    const before = this.#furthest
    if (offset <= before) return Number.POSITIVE_INFINITY
    this.#furthest = offset
    return before
  }

  /** The place of the fragment for `key` (the DATA's offset / 8, never 0) in `texts` and `notes`, or −1. */
  find(key: number): number {
    const keys = this.#keys
    const mask = keys.length - 1
    let i = Math.imul(key, 0x9e3779b1) >>> this.#shift
    for (;;) {
      const found = keys[i]
      if (found === key) return this.#places[i]
      if (found === 0) return -1
      i = (i + 1) & mask
    }
  }

  /** Keeps out[start..end) as the fragment of `key`, unless it is very long. */
  keep(key: number, out: ByteBuffer, start: number, end: number, note: number): void {
    if (end - start > FRAGMENT_BYTES) return
    this.keepText(key, out.latin1Slice(start, end), note)
  }

  /** The same from a one-byte string. */
  keepText(key: number, text: string, note: number): void {
    if (text.length > FRAGMENT_BYTES) return
    if (this.#bytes > this.#limit) this.release()
    if (this.#fragments * 2 >= this.#keys.length) this.#growKeys()
    this.texts.push(text)
    this.notes.push(note)
    this.#place(key, this.#fragments++)
    this.#grow(FRAGMENT_COST + text.length)
  }

  /**
   * The longest kept run that the entry begins with. Items count from `base` in `words`, `stride` words each; only items before `limit`
   * take part: later ones are young, so the next entry of the same process will not share them.
   */
  findRun(words: Uint32Array, base: number, stride: number, count: number, limit: number): Run | undefined {
    this.build = 0
    const most = count < RUN_ITEMS ? count : RUN_ITEMS
    const hashes = prefixHashes
    let old = 0
    let hash = 0
    if (stride === 1) {
      while (old < most) {
        const offset = words[base + old]
        if (offset >= limit) break
        hash = (Math.imul(hash, 31) + (offset >>> 3)) | 0
        hashes[++old] = hash
      }
    } else {
      for (let i = base; old < most; i += stride) {
        const offset = words[i]
        if (offset >= limit || words[i + 1] !== 0) break
        hash = (Math.imul(hash, 31) + (offset >>> 3)) | 0
        hashes[++old] = hash
      }
    }
    if (old < 2) return undefined
    const least = old > SHORTER + 2 ? old - SHORTER : 2
    const door = this.#door
    let found: Run | undefined
    let length = old
    for (; length >= least; length--) {
      const run = this.#lookUp(hashes[length])
      if (run !== undefined) {
        if (run.count === length && sameItems(run, words, base, stride)) {
          found = run
          break
        }
      } else if (door[hashes[length] & (door.length - 1)] === hashes[length]) {
        this.build = length
        break
      }
    }
    // Seen once: the second time they are worth a run.
    for (let seen = old; seen > length && seen >= least; seen--) this.#atDoor(hashes[seen])
    return found
  }

  /** Keeps the run of the first `count` items. `slots` are the field slots in it, `bytes` its encoded form (copied). */
  keepRun(
    words: Uint32Array,
    base: number,
    stride: number,
    count: number,
    slots: Int32Array,
    slotCount: number,
    bytes: Uint8Array,
    pairs: number,
    gather: boolean,
    marks?: readonly number[],
  ): void {
    if (bytes.length > RUN_BYTES) return
    if (this.#bytes > this.#limit) this.release()
    let hash = 0
    for (let i = 0; i < count; i++) hash = (Math.imul(hash, 31) + (words[base + i * stride] >>> 3)) | 0
    if (this.#lookUp(hash) !== undefined) return
    let highest = -1
    for (let i = 0; i < slotCount; i++) if (slots[i] > highest) highest = slots[i]
    const slotWords = (highest + 32) >>> 5
    const ints = this.#intRoom(count + slotWords)
    const at = this.#intsUsed
    this.#intsUsed += count + slotWords
    for (let i = 0; i < count; i++) ints[at + i] = words[base + i * stride]
    for (let i = 0; i < slotCount; i++) ints[at + count + (slots[i] >>> 5)] |= 1 << (slots[i] & 31)
    const run: Run = { count, ints, at, slotWords, bytes: this.#copy(bytes), pairs, gather, marks }
    if ((this.#runCount + 1) * 2 > this.#runs.length) this.#growRuns()
    this.#runCount++
    this.#placeRun(hash, run)
    this.#grow(RUN_COST)
  }

  #lookUp(hash: number): Run | undefined {
    const runs = this.#runs
    const mask = runs.length - 1
    let i = (hash ^ (hash >>> 15)) & mask
    for (;;) {
      const run = runs[i]
      if (run === undefined || this.#hashes[i] === hash) return run
      i = (i + 1) & mask
    }
  }

  #atDoor(hash: number): void {
    const use = ++this.#doorUse
    if (use === 1 || use === DOOR_SMALL) {
      const size = use === 1 ? DOOR_SMALL : DOOR_LARGE
      this.#door = new Int32Array(size)
      this.#grow(size * 4)
    }
    this.#door[hash & (this.#door.length - 1)] = hash
  }

  #place(key: number, place: number): void {
    const mask = this.#keys.length - 1
    let i = Math.imul(key, 0x9e3779b1) >>> this.#shift
    while (this.#keys[i] !== 0) i = (i + 1) & mask
    this.#keys[i] = key
    this.#places[i] = place
  }

  #growKeys(): void {
    const keys = this.#keys
    const places = this.#places
    this.#keys = new Uint32Array(keys.length * 4)
    this.#places = new Int32Array(keys.length * 4)
    this.#shift -= 2
    for (let i = 0; i < keys.length; i++) if (keys[i] !== 0) this.#place(keys[i], places[i])
  }

  #placeRun(hash: number, run: Run): void {
    const mask = this.#runs.length - 1
    let i = (hash ^ (hash >>> 15)) & mask
    while (this.#runs[i] !== undefined) i = (i + 1) & mask
    this.#hashes[i] = hash
    this.#runs[i] = run
  }

  #growRuns(): void {
    const hashes = this.#hashes
    const runs = this.#runs
    this.#hashes = new Int32Array(hashes.length * 4)
    this.#runs = new Array<Run | undefined>(hashes.length * 4).fill(undefined)
    for (let i = 0; i < runs.length; i++) {
      const run = runs[i]
      if (run !== undefined) this.#placeRun(hashes[i], run)
    }
  }

  // Arenas, not an array per run: a run holds on to the chunk it lies in, so a release does not pull it away.
  #intRoom(count: number): Uint32Array {
    if (this.#intsUsed + count > this.#ints.length) {
      this.#ints = new Uint32Array(INTS)
      this.#intsUsed = 0
      this.#grow(INTS * 4)
    }
    return this.#ints
  }

  #copy(bytes: Uint8Array): Buffer {
    const at = this.#slabUsed
    if (at + bytes.length > this.#slab.length) {
      const size = Math.max(bytes.length, Math.min(256 << 10, Math.max(8 << 10, this.#slab.length * 2)))
      this.#slab = byteBuffer(size)
      this.#slabUsed = 0
      this.#grow(size)
      return this.#copy(bytes)
    }
    this.#slab.set(bytes, at)
    this.#slabUsed = at + bytes.length
    return this.#slab.subarray(at, this.#slabUsed)
  }

  #grow(bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes - this.#reported > this.#step) this.#report()
  }

  #report(): void {
    this.#reported = this.#bytes
    this.#memory.use(this, this.#bytes)
  }
}

// Hashes of the item list's beginnings, by length. Scratch of `findRun`, which calls nothing that could come back here.
const prefixHashes = new Int32Array(RUN_ITEMS + 1)

function sameItems(run: Run, words: Uint32Array, base: number, stride: number): boolean {
  const ints = run.ints
  const at = run.at
  const count = run.count
  if (stride === 1) {
    for (let i = 0; i < count; i++) if (ints[at + i] !== words[base + i]) return false
  } else {
    for (let i = 0; i < count; i++) if (ints[at + i] !== words[base + i * stride]) return false
  }
  return true
}
