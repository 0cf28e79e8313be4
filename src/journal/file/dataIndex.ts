// The indexes of a journal file: hash tables from payloads and names to their objects, entry arrays from a DATA to its entries.
// All links here are changed in place by the writer, so they are read fresh. Chains only ever lead in one direction, which rules out loops.

import { bucketOf, type Hash64, jenkins, siphash24 } from './hash.ts'
import type { Header } from './header.ts'
import { ARRAY_HEAD, arrayItem, DATA, dataHead, ENTRY_ARRAY, FIELD, FIELD_HEAD, u64 } from './objects.ts'
import type { Windows } from './window.ts'

/** Longest name of a FIELD that is looked at; journald takes 64 bytes. */
const NAME_MAX = 4096

/** The entries that refer to a DATA, as offsets in ascending order. */
export interface EntryOffsets {
  /** At most what the DATA says; fewer where its entry arrays are damaged. */
  readonly count: number
  /** Nothing was cut off by damage. */
  readonly complete: boolean
  /** Entry offset `i` of [0, count), 0 when it cannot be read. */
  at(i: number): number
}

interface PayloadReader {
  payload(offset: number): boolean
  readonly bytes: Buffer
  readonly start: number
  readonly end: number
}

export class DataIndex {
  readonly #windows: Windows
  readonly #reader: PayloadReader
  #header: Header
  readonly #key: Buffer

  constructor(windows: Windows, header: Header, reader: PayloadReader) {
    this.#windows = windows
    this.#reader = reader
    this.#header = header
    this.#key = Buffer.from(header.fileId, 'hex')
  }

  update(header: Header): void {
    this.#header = header
  }

  /** The offset of the DATA with exactly this payload (`NAME=value`), or 0. Reads payloads through the reader. */
  findData(payload: Uint8Array): number {
    const { dataHashTableOffset, dataHashTableSize, compact } = this.#header
    const hash = this.#hash(payload)
    let offset = this.#bucket(dataHashTableOffset, dataHashTableSize, hash)
    const reader = this.#reader
    while (offset !== 0) {
      const i = this.#object(offset, DATA, dataHead(compact))
      if (i < 0) return 0
      const { words } = this.#windows
      const next = u64(words, i + 6)
      if (words[i + 4] === hash.low && words[i + 5] === hash.high && reader.payload(offset)) {
        const { bytes, start, end } = reader
        if (end - start === payload.length && bytes.compare(payload, 0, payload.length, start, end) === 0) return offset
      }
      // New objects are added at the chain's end.
      if (next <= offset) return 0
      offset = next
    }
    return 0
  }

  dataEntries(dataOffset: number): EntryOffsets {
    const i = this.#object(dataOffset, DATA, dataHead(this.#header.compact))
    if (i < 0) return { count: 0, complete: false, at: () => 0 }
    const { words } = this.#windows
    const first = u64(words, i + 10)
    const total = u64(words, i + 14)
    let array = u64(words, i + 12)
    if (total === 0 || first === 0) return { count: 0, complete: total === 0, at: () => 0 }
    const { compact } = this.#header
    const item = arrayItem(compact)
    // Item 0 stands in the DATA itself; array k holds the items from firsts[k] on.
    const firsts: number[] = []
    const places: number[] = []
    let covered = 1
    let before = 0
    while (covered < total && array > before) {
      const at = this.#object(array, ENTRY_ARRAY, ARRAY_HEAD)
      if (at < 0) break
      const size = u64(this.#windows.words, at + 2)
      const items = Math.floor((size - ARRAY_HEAD) / item)
      if (items < 1) break
      firsts.push(covered)
      places.push(array + ARRAY_HEAD)
      covered += items
      before = array
      array = u64(this.#windows.words, at + 4)
    }
    const windows = this.#windows
    return {
      count: Math.min(covered, total),
      complete: covered >= total,
      at(k) {
        if (k === 0) return first
        let list = firsts.length - 1
        while (list > 0 && (firsts[list] as number) > k) list--
        const place = (places[list] as number) + (k - (firsts[list] as number)) * item
        // Items may stand at any multiple of their size, windows give multiples of 8.
        const aligned = place - (place % 8)
        if (!windows.fresh(aligned, place - aligned + item)) return 0
        const w = (windows.at + (place - aligned)) >>> 2
        return compact ? (windows.words[w] as number) : u64(windows.words, w)
      },
    }
  }

  /** Names of all fields in the file, in no particular order. */
  *fieldNames(): Generator<string> {
    const { fieldHashTableOffset, fieldHashTableSize } = this.#header
    const buckets = this.#buckets(fieldHashTableOffset, fieldHashTableSize)
    for (let bucket = 0; bucket < buckets; bucket++) {
      let offset = this.#head(fieldHashTableOffset, bucket)
      while (offset !== 0) {
        const i = this.#object(offset, FIELD, FIELD_HEAD)
        if (i < 0) break
        const next = u64(this.#windows.words, i + 6)
        const name = this.#fieldName(offset)
        if (name !== undefined) yield name.toString('utf8')
        offset = next > offset ? next : 0
      }
    }
  }

  /** The distinct values of a field, newest first. */
  *fieldValues(name: string): Generator<Buffer> {
    const { compact } = this.#header
    const reader = this.#reader
    const prefix = Buffer.from(`${name}=`)
    const field = this.#findField(Buffer.from(name))
    if (field === 0) return
    const i = this.#object(field, FIELD, FIELD_HEAD)
    let offset = i < 0 ? 0 : u64(this.#windows.words, i + 8)
    while (offset !== 0) {
      const at = this.#object(offset, DATA, dataHead(compact))
      if (at < 0) return
      const next = u64(this.#windows.words, at + 8)
      if (reader.payload(offset)) {
        const { bytes, start, end } = reader
        const value = start + prefix.length
        if (value <= end && bytes.compare(prefix, 0, prefix.length, start, value) === 0) {
          yield Buffer.from(bytes.subarray(value, end))
        }
      }
      // New values are put in front.
      offset = next < offset ? next : 0
    }
  }

  #findField(name: Buffer): number {
    const { fieldHashTableOffset, fieldHashTableSize } = this.#header
    const hash = this.#hash(name)
    let offset = this.#bucket(fieldHashTableOffset, fieldHashTableSize, hash)
    while (offset !== 0) {
      const i = this.#object(offset, FIELD, FIELD_HEAD)
      if (i < 0) return 0
      const { words } = this.#windows
      const next = u64(words, i + 6)
      if (words[i + 4] === hash.low && words[i + 5] === hash.high && this.#fieldName(offset)?.equals(name))
        return offset
      if (next <= offset) return 0
      offset = next
    }
    return 0
  }

  #fieldName(offset: number): Buffer | undefined {
    const i = this.#object(offset, FIELD, FIELD_HEAD)
    if (i < 0) return undefined
    const size = u64(this.#windows.words, i + 2)
    if (size <= FIELD_HEAD || size > FIELD_HEAD + NAME_MAX || !this.#windows.fresh(offset, size)) return undefined
    const { bytes, at } = this.#windows
    return Buffer.from(bytes.subarray(at + FIELD_HEAD, at + size))
  }

  /** Word index of the object's head when one of `type` is there, else -1. */
  #object(offset: number, type: number, head: number): number {
    if (offset < this.#header.headerSize || !this.#windows.fresh(offset, head)) return -1
    const i = this.#windows.at >>> 2
    if (((this.#windows.words[i] as number) & 0xff) !== type) return -1
    const size = u64(this.#windows.words, i + 2)
    return size < head || offset + size > this.#windows.end ? -1 : i
  }

  #hash(bytes: Uint8Array): Hash64 {
    return this.#header.keyedHash ? siphash24(bytes, this.#key) : jenkins(bytes)
  }

  #buckets(table: number, size: number): number {
    if (table < this.#header.headerSize || table % 8 !== 0 || table + size > this.#windows.end) return 0
    return Math.floor(size / 16)
  }

  #bucket(table: number, size: number, hash: Hash64): number {
    const buckets = this.#buckets(table, size)
    return buckets === 0 ? 0 : this.#head(table, bucketOf(hash, buckets))
  }

  /** First object of a bucket: head offset, then tail offset. */
  #head(table: number, bucket: number): number {
    if (!this.#windows.fresh(table + bucket * 16, 8)) return 0
    return u64(this.#windows.words, this.#windows.at >>> 2)
  }
}
