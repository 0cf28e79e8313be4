// Plays the writing of a finished journal file again, entry by entry and in journald's order of stores, so that a reader can be watched
// meeting every half-written state. It works on a copy of a fixture, in place, as journald does.
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { JournalFile } from '../../src/journal/file/file.ts'
import { MemoryBudget } from '../../src/journal/memory.ts'

const ENTRY_ARRAY = 6
const align8 = (size: number) => (size + 7) & ~7

export class Replay {
  readonly path: string
  /** The finished file, cut behind its last object. */
  readonly whole: Buffer
  readonly offsets: number[] = []
  /** What is in the file now. */
  readonly bytes: Buffer
  /** Entries committed so far. */
  entries = 0
  readonly #arrays: { offset: number; first: number; capacity: number }[] = []
  readonly #item: number
  readonly #fd: number

  constructor(source: string, path: string) {
    this.path = path
    const all = readFileSync(source)
    const tail = Number(all.readBigUInt64LE(136))
    this.whole = Buffer.from(all.subarray(0, align8(tail + Number(all.readBigUInt64LE(tail + 8)))))
    this.whole.writeBigUInt64LE(BigInt(this.whole.length) - this.whole.readBigUInt64LE(88), 96)
    this.bytes = Buffer.from(this.whole)
    const file = JournalFile.open(source, new MemoryBudget(16 << 20))
    this.#item = file.compact ? 4 : 8
    while (file.next()) this.offsets.push(file.offset)
    file.close()
    let first = 0
    for (let offset = this.#u64(176); offset !== 0; offset = this.#u64(offset + 16)) {
      const capacity = (this.#u64(offset + 8) - 24) / this.#item
      this.#arrays.push({ offset, first, capacity })
      first += capacity
    }
    writeFileSync(path, this.bytes)
    this.#fd = openSync(path, 'r+')
  }

  /** Puts the file into the state after the commit of entry n − 1, ONLINE. */
  show(entries: number): void {
    this.entries = entries
    this.whole.copy(this.bytes)
    const { end, tail } = this.extent(entries)
    this.bytes.fill(0, end)
    for (const { offset, first, capacity } of this.#arrays) {
      if (offset >= end) break
      if (this.#u64(offset + 16) >= end) this.bytes.fill(0, offset + 16, offset + 24)
      const used = Math.max(0, Math.min(capacity, entries - first))
      this.bytes.fill(0, offset + 24 + used * this.#item, offset + 24 + capacity * this.#item)
    }
    this.bytes[16] = 1
    this.u64(152, entries)
    this.u64(136, tail)
    if (entries > 0) this.whole.copy(this.bytes, 160, this.offsets[entries - 1]! + 16, this.offsets[entries - 1]! + 24)
    this.flush()
  }

  /** Where the objects of the first n entries end, and the last of them. Arrays that were linked for an entry stand behind it. */
  extent(entries: number): { end: number; tail: number } {
    if (entries === 0) {
      const table = Math.max(this.#u64(104), this.#u64(120)) - 16
      return { end: table + align8(this.#u64(table + 8)), tail: table }
    }
    let tail = this.offsets[entries - 1]!
    let end = tail + align8(this.#u64(tail + 8))
    while (end < this.whole.length && this.whole[end] === ENTRY_ARRAY) {
      tail = end
      end += align8(this.#u64(end + 8))
    }
    return { end, tail }
  }

  /** Where the item of entry `index` stands in its array. */
  itemPlace(index: number): number {
    const array = this.#arrays.findLast(({ first }) => first <= index)!
    return array.offset + 24 + (index - array.first) * this.#item
  }

  get arrays(): readonly { offset: number; first: number; capacity: number }[] {
    return this.#arrays
  }

  /** Sets a number in the file's bytes; `flush` writes them. */
  u64(at: number, value: number): void {
    this.bytes.writeBigUInt64LE(BigInt(value), at)
  }

  flush(): void {
    writeSync(this.#fd, this.bytes, 0, this.bytes.length, 0)
  }

  close(): void {
    closeSync(this.#fd)
  }

  #u64(at: number): number {
    return Number(this.whole.readBigUInt64LE(at))
  }
}
