// Encoder for records that are a head followed by fields in a row. Most of an entry is copied: the run of old items it begins with in
// one piece, other shared values as fragments; only values that occur once are encoded. No object is made per entry or field on that way.
// Invariant: with or without caches, and wherever they are dropped, the bytes are the same.

import type { JournalFile } from '../file/file.ts'
import type { MemoryBudget } from '../memory.ts'
import { Encoder } from './base.ts'
import { type FileCache, RUN_ITEMS, type Run, runHas } from './cache.ts'
import { FieldTable, MOST_FIELDS, OVERFLOW } from './fieldTable.ts'
import { FileCaches } from './fileCaches.ts'
import { gather } from './gather.ts'
import type { Head } from './head.ts'
import type { Output } from './output.ts'
import { Watch } from './watch.ts'

/** The value has company outside its field (base64 of the exact bytes), written by `extra`. */
export const EXTRA = 1 << 16
/** The record has to be put together by `gather`. */
export const GATHER = 1 << 17
/** Nothing with it may be kept. */
const PASSING = 1 << 18
/** A field that is watched. */
const WATCHED = 1 << 19
const SLOT_MASK = 0xffff

/** Items at least this far before their ENTRY were not written for it: they are shared. */
export const YOUNG = 1 << 17

/** What `item` says of one that is not in the record. */
const DROPPED = -1
/** Not readable, not complete yet, or to be noticed each time: nothing with it may be kept. */
const LOST = -2
/** Not in the record, but watched. */
const WATCHED_ONLY = -3

/** Fixed bytes in front of a value: as one-byte text, and as little-endian words, zeroes behind the last byte. */
export interface Lead {
  readonly text: string
  readonly length: number
  readonly words: Int32Array
}

export function makeLead(text: string): Lead {
  const bytes = Buffer.alloc((text.length + 3) & ~3, text, 'latin1')
  const words = Int32Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readInt32LE(4 * i))
  return { text, length: text.length, words }
}

/** What an encoder knows of a field name. */
export interface FlatField {
  /** Fields with one slot are one field of the record; OVERFLOW = its own, but unknown to the bit sets. */
  readonly slot: number
  readonly drop: boolean
  /** The record's name of the field. */
  readonly key: string
  /** What stands before the value. */
  readonly lead: Lead
  /** False: its values are never kept, since the form wants to `notice` each of them. */
  readonly kept: boolean
}

/** One way of writing flat records. */
export interface FlatForm<Field extends FlatField> {
  readonly head: Head
  /** False where a field may simply stand twice. */
  readonly gathers: boolean
  field(name: string, id: number): Field
  /** Told of each value of a field that is not `kept`, also of one that is dropped, before it is written. */
  notice(file: JournalFile): void
  /** Appends the value of the file's loaded payload (not the lead). Returns EXTRA, GATHER, both or 0. */
  value(output: Output, file: JournalFile, field: Field): number
  /** Of the value written last: its exact bytes in base64 where the text does not give them back. */
  readonly base64: string | undefined
  /** Of the value written last: it was cut. */
  readonly cut: boolean
  /** Appends what EXTRA announced, right after the value. */
  extra(output: Output, field: Field): void
  /** The whole fields part of a record, as one-byte text, from values in item order. Called where `gathers`. */
  gathered(items: readonly GatheredItem<Field>[]): { readonly text: string; readonly pairs: number }
  /** Closes the record that begins at `start` and has `pairs` fields after its head. */
  end(output: Output, start: number, pairs: number): void
}

/** A value on the slow way. */
export interface GatheredItem<Field> {
  readonly field: Field
  /** As `value` wrote it, one-byte text. */
  readonly value: string
  readonly base64: string | undefined
  readonly cut: boolean
}

export class FlatEncoder<Field extends FlatField> extends Encoder {
  readonly #form: FlatForm<Field>
  readonly #table: FieldTable<Field>
  readonly #caches: FileCaches
  // Which entry last had a field of a slot: the entry's serial number, so that nothing has to be cleared.
  readonly #seen = new Uint32Array(MOST_FIELDS)
  #serial = 0
  // The slots of the run that is being built.
  readonly #slots = new Int32Array(RUN_ITEMS)
  #watch: Watch | undefined

  constructor(form: FlatForm<Field>, memory: MemoryBudget) {
    super()
    this.#form = form
    this.#table = new FieldTable((name, id) => form.field(name, id))
    this.#caches = new FileCaches(this, memory)
  }

  override watch(fields: readonly string[]): Watch {
    this.#watch = new Watch(fields)
    return this.#watch
  }

  override reset(): void {
    super.reset()
    this.#watch?.reset()
  }

  override encode(file: JournalFile, ordinal: number): void {
    const cache = this.#caches.of(file)
    const watch = this.#watch
    if (watch !== undefined) watch.begin(file)
    const form = this.#form
    const start = this.length
    form.head.write(this, file, ordinal)
    const afterHead = this.length

    const count = file.itemCount
    const words = file.itemWords
    const base = file.itemBase
    const stride = file.itemStride
    const run: Run | undefined = cache.findRun(words, base, stride, count, file.offset - YOUNG)
    let k = 0
    let pairs = 0
    if (run !== undefined) {
      if (run.gather) {
        this.#gather(file, start, afterHead)
        return
      }
      const bytes = run.bytes
      this.room(bytes.length)
      this.out.set(bytes, this.length)
      this.length += bytes.length
      k = run.count
      pairs = run.pairs
      if (watch !== undefined && run.marks !== undefined) watch.takeItems(file, k, run.marks as number[])
    }

    // A DATA behind the entry before was written for this one, so it cannot be among the kept.
    const known = cache.move(file.offset)
    const gathers = form.gathers
    const seen = this.#seen
    if (++this.#serial === 0xffffffff) {
      seen.fill(0)
      this.#serial = 1
    }
    const serial = this.#serial
    const slots = this.#slots
    let build = cache.build
    let slotCount = 0
    for (; k < count; k++) {
      if (k === build && build !== 0) {
        this.#keepRun(file, cache, build, slotCount, afterHead, pairs, false)
        build = 0
      }
      let offset = words[base + k * stride]
      // Integers as long as it goes: a fraction would be an object on the heap for each item.
      let key = offset >>> 3
      if (stride === 4) {
        const high = words[base + k * 4 + 1]
        if (high !== 0) {
          offset += high * 4294967296
          key += high * 536870912
        }
      }
      const note = this.#item(file, cache, offset, key, offset > known)
      if (note < 0) {
        if (note === LOST) build = 0
        continue
      }
      pairs++
      if ((note & PASSING) !== 0) build = 0
      const slot = note & SLOT_MASK
      if (!gathers) continue
      const again =
        (note & GATHER) !== 0 || slot === OVERFLOW || seen[slot] === serial || (run !== undefined && runHas(run, slot))
      if (again) {
        if (build !== 0) this.#keepRun(file, cache, build, slotCount, afterHead, 0, true)
        this.#gather(file, start, afterHead)
        return
      }
      seen[slot] = serial
      if (build !== 0) slots[slotCount++] = slot
    }
    if (build !== 0) this.#keepRun(file, cache, build, slotCount, afterHead, pairs, false)
    form.end(this, start, pairs)
  }

  override close(): void {
    this.#caches.close()
  }

  /** Appends one field from the cache or from the file. Returns its slot with flags, DROPPED or LOST. */
  #item(file: JournalFile, cache: FileCache, offset: number, key: number, isNew: boolean): number {
    const place = isNew ? -1 : cache.find(key)
    if (place >= 0) {
      const text = cache.texts[place]
      const length = text.length
      if (this.length + length > this.out.length) this.room(length)
      this.out.latin1Write(text, this.length, length)
      this.length += length
      const note = cache.notes[place]
      if (note === WATCHED_ONLY || (note > 0 && (note & WATCHED) !== 0)) this.#watch?.again(file, offset, key)
      return note
    }
    if (!file.payload(offset)) return LOST
    const shared = file.shared
    const field = this.#table.find(file.bytes, file.start, file.equals)
    const from = this.length
    if (!field.kept) this.#form.notice(file)
    const isWatched = this.#watch?.see(file, key) ?? false
    let note = field.kept ? (isWatched ? WATCHED_ONLY : DROPPED) : LOST
    if (!field.drop) {
      const lead = field.lead
      this.room(lead.length + 4)
      const view = this.view
      const words = lead.words
      for (let i = 0; i < words.length; i++) view.setInt32(from + 4 * i, words[i], true)
      this.length = from + lead.length
      const flags = this.#form.value(this, file, field)
      if ((flags & EXTRA) !== 0) this.#form.extra(this, field)
      note = field.slot | flags | (field.kept ? 0 : PASSING) | (isWatched ? WATCHED : 0)
    }
    if (shared && field.kept && key <= 0xffffffff) cache.keep(key, this.out, from, this.length, note)
    return note
  }

  #keepRun(
    file: JournalFile,
    cache: FileCache,
    count: number,
    slotCount: number,
    from: number,
    pairs: number,
    again: boolean,
  ): void {
    const bytes = this.out.subarray(from, again ? from : this.length)
    const { itemWords, itemBase, itemStride } = file
    const marks = this.#watch?.marks()
    cache.keepRun(itemWords, itemBase, itemStride, count, this.#slots, slotCount, bytes, pairs, again, marks)
  }

  #gather(file: JournalFile, start: number, afterHead: number): void {
    this.length = afterHead
    this.#watch?.begin(file)
    const pairs = gather(this, file, this.#form, this.#table, this.#watch)
    this.#form.end(this, start, pairs)
  }
}
