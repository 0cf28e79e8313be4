// The bytes of one journal file, read by pread into windows: a large one that slides along while entries are read in order, and
// small ones at the side for arrays, old DATA and random access. Nothing is mapped: a vacuumed file would kill the process (SIGBUS).
// Invariants: no byte at or past `end` is ever read; a byte that the writer may still have been filling when it was read is
// never served after `grow` (see there).

import { readSync } from 'node:fs'
import type { MemoryBudget, MemoryHolder } from '../memory.ts'

const MAIN_MAX = 1 << 20
const MAIN_MIN = 32 << 10
const SIDE_SIZE = 16 << 10
const SIDES_MAX = 32
const SIDES_MIN = 2
/** Objects over the edge of a side window are read into one kept buffer up to this size, larger ones into one of their own. */
const SPILL_MAX = 64 << 10
const SPILL_MIN = 4 << 10
/** Of loads that change nothing in size, one in so many is told to the budget. */
const LOADS_PER_USE = 16
/** How far past the tail object a large window reads: journald preallocates megabytes of zeroes, not worth copying. */
const TAIL_SLACK = 8 << 10

interface Side {
  key: number
  end: number
  generation: number
  bytes: Buffer
  words: Uint32Array
}

// How many files hold windows of a budget: with many, each takes less.
const holders = new WeakMap<MemoryBudget, { count: number }>()

export const EMPTY = Buffer.alloc(0)
export const EMPTY_WORDS = new Uint32Array(0)

export class Windows implements MemoryHolder {
  /** Where `locate` found the bytes: `bytes[at]` is the byte asked for, `words` the same memory, `at` a multiple of 8. Until the next call. */
  bytes: Buffer = EMPTY
  words: Uint32Array = EMPTY_WORDS
  at = 0
  /** Nothing is read at or past this offset. */
  end = 0
  /** The last object begins here; 0 = unknown. Only a hint for how far reading ahead is worth it. */
  tail = 0
  /** How often the large window was moved: what pointed into it before a move is void. */
  moves = 0
  /** What the operating system said when a read failed. */
  readError: string | undefined

  #fd: number
  readonly #onRelease: () => void
  readonly #memory: MemoryBudget
  readonly #holders: { count: number }
  #main: Buffer | undefined
  #mainWords: Uint32Array = EMPTY_WORDS
  #from = 0
  #to = 0
  #mainGeneration = 0
  #sides: (Side | undefined)[] = []
  #spill: Buffer | undefined
  #spillWords: Uint32Array = EMPTY_WORDS
  #generation = 0
  #sideBytes = 0
  #held = 0
  #extra = 0
  #loads = 0

  /** @param onRelease gives back what is counted under `extra` */
  constructor(fd: number, memory: MemoryBudget, onRelease: () => void) {
    this.#fd = fd
    this.#onRelease = onRelease
    this.#memory = memory
    const known = holders.get(memory)
    this.#holders = known ?? { count: 0 }
    if (known === undefined) holders.set(memory, this.#holders)
  }

  /** Makes `need` bytes at `offset` addressable through bytes, words, at. False when they are not in the file. */
  locate(offset: number, need: number): boolean {
    if (offset >= this.#from && offset + need <= this.#to && this.#main !== undefined) {
      const at = offset - this.#from
      if ((at & 7) !== 0) return false
      this.bytes = this.#main
      this.words = this.#mainWords
      this.at = at
      return true
    }
    return this.#aside(offset, need, 0)
  }

  /** As `locate`, but never from bytes read before the last `grow`: for what the writer changes in place (arrays, links, hash tables). */
  fresh(offset: number, need: number): boolean {
    if (this.#mainGeneration === this.#generation) {
      if (offset >= this.#from && offset + need <= this.#to) return this.locate(offset, need)
    }
    return this.#aside(offset, need, this.#generation)
  }

  /** Whether the large window has these bytes. */
  covers(offset: number, need: number): boolean {
    return offset >= this.#from && offset + need <= this.#to
  }

  /** Whether `locate` found its bytes in the large window, which keeps them until the next `slide`. */
  get inMain(): boolean {
    return this.bytes === this.#main
  }

  /** Offset of the first byte of the large window, and the one after its last; equal when there is none. */
  get from(): number {
    return this.#from
  }

  get to(): number {
    return this.#to
  }

  /** The size that a large window has now, in bytes. */
  get reach(): number {
    const share = this.#memory.limit / 4 / Math.max(1, this.#holders.count)
    return Math.max(MAIN_MIN, Math.min(MAIN_MAX, share - (share % 4096)))
  }

  /** Moves the large window so that it begins at or just before `offset`. */
  slide(offset: number): void {
    this.moves++
    const from = Math.max(0, offset - (offset % 4096))
    const size = this.reach
    // Kept when it has the size or nearly so; given back when others need the room.
    if (this.#main === undefined || this.#main.length < size || this.#main.length > 2 * size) {
      this.#main = Buffer.allocUnsafeSlow(size)
      this.#mainWords = new Uint32Array(this.#main.buffer)
    }
    const past =
      this.tail > 0 && this.tail >= from && this.tail < this.end ? Math.min(this.end, this.tail + TAIL_SLACK) : this.end
    const length = Math.max(0, Math.min(size, past - from))
    this.#from = from
    this.#to = from + this.#read(this.#main, length, from)
    this.#mainGeneration = this.#generation
    this.#account()
  }

  /**
   * The writer went on: what was at or past `settled`, the offset of the last object as the header had it before the windows were
   * read, may have been half written then and is dropped. What lies before it is complete and changes only in its links (`fresh`).
   */
  grow(settled: number): void {
    this.#generation++
    if (this.#to > settled) this.#to = Math.max(this.#from, settled)
    for (const side of this.#sides) if (side !== undefined && side.end > settled) side.end = settled
  }

  /** The memory in use beside the windows that goes with them, in bytes. */
  set extra(bytes: number) {
    this.#extra = bytes
    if (this.#held > 0) this.#account()
  }

  /** The writer changes links in place without a sign: `fresh` reads them again from here on. */
  expireLinks(): void {
    this.#generation++
  }

  release(): void {
    if (this.#held > 0) this.#holders.count--
    this.#held = 0
    this.#extra = 0
    this.#main = undefined
    this.#mainWords = EMPTY_WORDS
    this.#from = this.#to = 0
    this.#sides = []
    this.#sideBytes = 0
    this.#spill = undefined
    this.#spillWords = EMPTY_WORDS
    this.#onRelease()
  }

  /** Gives everything back and takes itself from the budget. */
  drop(): void {
    this.release()
    this.bytes = EMPTY
    this.words = EMPTY_WORDS
    this.#memory.forget(this)
  }

  /** No read happens after this. */
  close(): void {
    this.drop()
    this.#fd = -1
    this.end = 0
  }

  #aside(offset: number, need: number, generation: number): boolean {
    if (!(offset >= 0 && offset + need <= this.end) || offset % 8 !== 0) return false
    const key = Math.floor(offset / SIDE_SIZE)
    const base = key * SIDE_SIZE
    if (offset + need > base + SIDE_SIZE) return this.#over(offset, need)
    let slot = key & (this.#sides.length - 1)
    let side = this.#sides[slot]
    if (side === undefined || side.key !== key || offset + need > side.end || side.generation < generation) {
      const count = this.#sideCount()
      if (this.#sides.length !== count) {
        this.#sides = new Array<Side | undefined>(count).fill(undefined)
        this.#sideBytes = 0
        slot = key & (count - 1)
        side = undefined
      }
      if (side === undefined) {
        const bytes = Buffer.allocUnsafeSlow(SIDE_SIZE)
        side = { key: -1, end: 0, generation: 0, bytes, words: new Uint32Array(bytes.buffer) }
        this.#sides[slot] = side
        this.#sideBytes += SIDE_SIZE
      }
      side.key = key
      side.generation = this.#generation
      side.end = base + this.#read(side.bytes, Math.min(SIDE_SIZE, this.end - base), base)
      this.#account()
      if (offset + need > side.end) return false
    }
    this.bytes = side.bytes
    this.words = side.words
    this.at = offset - base
    return true
  }

  #over(offset: number, need: number): boolean {
    const size = (need + 7) & ~7
    let bytes: Buffer
    let words: Uint32Array
    if (size <= SPILL_MAX) {
      if (this.#spill === undefined || this.#spill.length < size) {
        let length = SPILL_MIN
        while (length < size) length *= 2
        this.#spill = Buffer.allocUnsafeSlow(length)
        this.#spillWords = new Uint32Array(this.#spill.buffer)
      }
      bytes = this.#spill
      words = this.#spillWords
    } else {
      bytes = Buffer.allocUnsafeSlow(size)
      words = new Uint32Array(bytes.buffer)
    }
    if (this.#read(bytes, Math.min(size, this.end - offset), offset) < need) return false
    this.#account()
    this.bytes = bytes
    this.words = words
    this.at = 0
    return true
  }

  #sideCount(): number {
    const share = this.#memory.limit / 4 / Math.max(1, this.#holders.count)
    let count = SIDES_MAX
    while (count > SIDES_MIN && count * SIDE_SIZE > share) count >>>= 1
    return count
  }

  /** Tells the budget what is held, at once when that grew, else now and then: it only needs to know who is in use. */
  #account(): void {
    if (this.#held === 0) this.#holders.count++
    const held = Math.max(1, (this.#main?.length ?? 0) + (this.#spill?.length ?? 0) + this.#sideBytes + this.#extra)
    if (held === this.#held && ++this.#loads % LOADS_PER_USE !== 0) return
    this.#held = held
    this.#memory.use(this, held)
  }

  /** Bytes read, fewer at the end of the file and when the device fails: what is missing counts as damage where it is needed. */
  #read(into: Buffer, length: number, position: number): number {
    let done = 0
    try {
      while (done < length) {
        const got = readSync(this.#fd, into, done, length - done, position + done)
        if (got <= 0) break
        done += got
      }
    } catch (error) {
      this.readError = error instanceof Error ? error.message : String(error)
    }
    return done
  }
}
