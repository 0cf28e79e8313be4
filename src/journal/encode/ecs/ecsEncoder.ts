// Encoder for shape `ecs`: a nested document an entry. Values are kept per DATA as they are written in the document; the entry's
// old items, put together, are kept as a run with its objects closed, all but journald.custom, so that what usually follows (the message,
// an application's own fields) can be added without opening it again. Anything else is put together from the values.

import type { JournalFile } from '../../file/file.ts'
import type { MemoryBudget } from '../../memory.ts'
import { Encoder } from '../base.ts'
import { writeTimestamp } from '../bytes/digits.ts'
import { closeMap } from '../bytes/msgpack.ts'
import { type FileCache, RUN_ITEMS, type Run, runHas } from '../cache.ts'
import { FieldTable, MOST_FIELDS, OVERFLOW } from '../fieldTable.ts'
import { FileCaches } from '../fileCaches.ts'
import { YOUNG } from '../flat.ts'
import { itemOffsets } from '../gather.ts'
import { Head, type HeadPart } from '../head.ts'
import { Output } from '../output.ts'
import { Value } from '../record/rules.ts'
import { sourceRealtime } from '../record/sourceTime.ts'
import type { RecordSpec } from '../spec.ts'
import { EcsAssembly, type EcsItem } from './assembly.ts'
import type { EcsField } from './names.ts'
import { type Notation, notation } from './notation.ts'

// A fragment's note: the field's id, and above it the length of the value, which the companion follows.
const ID_BITS = 1 << 13
// Marks of a run: where its journald part begins, the pairs in journald and in journald.custom, where the custom map begins (−1 = there is none).
const [SPLIT, JOURNALD_PAIRS, CUSTOM_PAIRS, CUSTOM_AT] = [0, 1, 2, 3]

export class EcsEncoder extends Encoder {
  readonly #notation: Notation
  readonly #assembly: EcsAssembly
  readonly #table: FieldTable<EcsField>
  readonly #fields: EcsField[] = []
  readonly #caches: FileCaches
  /** The first part of a document, up to the fields, and the one between them: event and the beginning of journald. */
  readonly #head: Head
  readonly #middle: Head
  readonly #headPairs: number
  readonly #middlePairs: number
  readonly #journaldAt: number
  readonly #customLead: string
  readonly #scratch = new Output()
  readonly #value = new Value()
  readonly #seen = new Uint32Array(MOST_FIELDS)
  #serial = 0
  readonly #slots = new Int32Array(RUN_ITEMS)
  #sourceTime: number | undefined

  constructor(spec: RecordSpec, memory: MemoryBudget) {
    super()
    const pieces = notation(spec.encoding === 'msgpack' ? 'msgpack' : 'json', spec.binary)
    this.#notation = pieces
    this.#assembly = new EcsAssembly(spec, pieces)
    this.#table = new FieldTable((name, id) => {
      const field = this.#assembly.names.field(Buffer.from(name, 'latin1').toString('utf8'), id)
      if (id !== OVERFLOW) this.#fields[id] = field
      return field
    })
    this.#caches = new FileCaches(this, memory)
    this.#customLead = pieces.lead('custom')
    const text = (part: string): Buffer => Buffer.from(part, 'latin1')
    this.#head = new Head([
      text(pieces.open + pieces.first(pieces.lead('@timestamp'))),
      { value: 'timestamp', lead: (length) => pieces.before(length) },
      text(pieces.behind),
    ])
    this.#headPairs = 3
    const value = (part: HeadPart & { value: string }): HeadPart => ({
      ...part,
      lead: (length) => pieces.before(length),
    })
    const event = this.#assembly.eventPairs
    const before = text(pieces.lead('event') + pieces.mapHead(event.pairs + pieces.lead('id'), event.count + 1))
    const idEnd = pieces.behind + pieces.close + pieces.lead('journald')
    this.#journaldAt = before.length + pieces.before(34).length + 34 + idEnd.length
    this.#middle = new Head([
      before,
      value({ value: 'key' }),
      text(idEnd + pieces.open + pieces.first(pieces.lead('cursor'))),
      value({ value: 'cursor' }),
      text(pieces.behind + pieces.lead('seqnum') + (pieces.counts ? '\xcf' : '')),
      { value: pieces.counts ? 'seqnum64' : 'seqnum' },
      text(pieces.lead('host') + pieces.mapHead(pieces.first(pieces.lead('boot_id')), 1)),
      value({ value: 'bootId' }),
      text(pieces.behind + pieces.close),
    ])
    this.#middlePairs = 3
  }

  override encode(file: JournalFile, ordinal: number): void {
    const cache = this.#caches.of(file)
    const start = this.length
    this.#sourceTime = undefined
    this.#head.write(this, file, ordinal)
    if (++this.#serial === 0xffffffff) {
      this.#seen.fill(0)
      this.#serial = 1
    }
    const { itemWords, itemBase, itemStride, itemCount } = file
    const run = cache.findRun(itemWords, itemBase, itemStride, itemCount, file.offset - YOUNG)
    const build = cache.build
    if (run === undefined || !this.#follow(file, cache, run, ordinal, start))
      this.#assemble(file, cache, build, ordinal, start)
    if (this.#sourceTime !== undefined) writeTimestamp(this.out, start + this.#head.timestampAt, this.#sourceTime)
  }

  override close(): void {
    this.#caches.close()
  }

  /** Writes the document as the run and a few pairs more; false when the entry has something that goes elsewhere. */
  #follow(file: JournalFile, cache: FileCache, run: Run, ordinal: number, start: number): boolean {
    const afterHead = this.length
    const { itemWords, itemBase, itemStride, itemCount } = file
    const marks = run.marks as readonly number[]
    let rootPairs = run.pairs
    let customPairs = 0
    let customText = ''
    for (let k = run.count; k < itemCount; k++) {
      const i = itemBase + k * itemStride
      const offset = itemStride === 4 ? itemWords[i] + itemWords[i + 1] * 4294967296 : itemWords[i]
      const place = cache.find(offset / 8)
      let field: EcsField
      if (place >= 0) field = this.#fields[cache.notes[place] % ID_BITS]
      else {
        if (!file.payload(offset)) continue
        field = this.#table.find(file.bytes, file.start, file.equals)
      }
      if (field.isSourceTime && place < 0) this.#sourceTime = sourceRealtime(file)
      if (field.drop) {
        if (place < 0) this.#keep(cache, file, offset, field, '', '')
        continue
      }
      const { slot, quick } = field
      if (quick === undefined || slot === OVERFLOW || this.#seen[slot] === this.#serial || runHas(run, slot)) {
        this.length = afterHead
        return false
      }
      this.#seen[slot] = this.#serial
      const lead = field.targets[0].later
      if (quick === 'message') {
        rootPairs++
        if (place >= 0) this.#write(lead + cache.texts[place])
        else if (file.shared || !this.#writeValue(file, field, lead)) {
          this.length = afterHead
          return false
        }
      } else {
        customPairs++
        if (place >= 0) customText += lead + cache.texts[place]
        else {
          const item = this.#decode(file, cache, offset, field)
          if (item.base64 !== undefined || item.cut) {
            this.length = afterHead
            return false
          }
          customText += lead + item.value
        }
      }
    }
    const bytes = run.bytes
    const split = marks[SPLIT]
    this.room(bytes.length)
    bytes.copy(this.out, this.length, 0, split)
    this.length += split
    const middle = this.length
    this.#middle.write(this, file, ordinal)
    const afterMiddle = this.length
    this.room(bytes.length)
    bytes.copy(this.out, this.length, split)
    this.length += bytes.length - split
    const open = marks[CUSTOM_AT] >= 0 ? afterMiddle + marks[CUSTOM_AT] : -1
    this.#finish(start, rootPairs, middle, marks[JOURNALD_PAIRS], open, marks[CUSTOM_PAIRS], customText, customPairs)
    return true
  }

  /** Puts the document together from all values, and keeps its first `build` items as a run. */
  #assemble(file: JournalFile, cache: FileCache, build: number, ordinal: number, start: number): void {
    const assembly = this.#assembly
    const items: EcsItem[] = []
    const offsets = itemOffsets(file)
    let lasting = true
    for (let k = 0; k < offsets.length; k++) {
      if (k === build && build > 0 && lasting) this.#keepRun(file, cache, build, items)
      const item = this.#item(file, cache, offsets[k])
      if (item === undefined) lasting = false
      else if (!item.field.drop) {
        if (item.base64 !== undefined || item.cut || item.field.other || item.field.slot === OVERFLOW) lasting = false
        items.push(item)
      }
      if (item?.field.isSourceTime) lasting = false
    }
    if (build === offsets.length && build > 0 && lasting) this.#keepRun(file, cache, build, items)
    const parts = assembly.assemble(items)
    this.#write(parts.root)
    const middle = this.length
    this.#middle.write(this, file, ordinal)
    this.#write(parts.journald)
    this.#finish(start, parts.rootPairs, middle, parts.journaldPairs, -1, 0, parts.custom, parts.customPairs)
  }

  #keepRun(file: JournalFile, cache: FileCache, build: number, items: readonly EcsItem[]): void {
    // In a run each field has its own slot: whether one occurs twice is seen by comparing slots.
    let slotCount = 0
    for (const { field } of items) this.#slots[slotCount++] = field.slot
    if (new Set(items.map((item) => item.field.slot)).size !== items.length) return
    const parts = this.#assembly.assemble(items)
    const open =
      parts.customPairs > 0 ? this.#customLead + this.#notation.open + this.#notation.first(parts.custom) : ''
    const text = parts.root + parts.journald + open
    const marks = [
      parts.root.length,
      parts.journaldPairs,
      parts.customPairs,
      parts.customPairs > 0 ? parts.journald.length + this.#customLead.length : -1,
    ]
    const { itemWords, itemBase, itemStride } = file
    const bytes = Buffer.from(text, 'latin1')
    cache.keepRun(itemWords, itemBase, itemStride, build, this.#slots, slotCount, bytes, parts.rootPairs, false, marks)
  }

  /** Closes journald.custom, journald and the document, and writes the counts where the encoding has them. */
  #finish(
    start: number,
    rootPairs: number,
    middle: number,
    journaldPairs: number,
    customAt: number,
    customBefore: number,
    customText: string,
    customPairs: number,
  ): void {
    const pieces = this.#notation
    let open = customAt
    let text = customText
    if (customAt < 0 && customPairs > 0) {
      open = this.length + this.#customLead.length
      text = this.#customLead + pieces.open + pieces.first(customText)
    }
    const hasCustom = open >= 0
    if (!pieces.counts) {
      this.#write(`${text}${hasCustom ? '}' : ''}}}\n`)
      return
    }
    this.#write(text)
    if (hasCustom) closeMap(this.out, open, customBefore + customPairs)
    const pairs = this.#middlePairs + journaldPairs + (customAt < 0 && hasCustom ? 1 : 0) + (customAt >= 0 ? 1 : 0)
    closeMap(this.out, middle + this.#journaldAt, pairs)
    closeMap(this.out, start, this.#headPairs + rootPairs)
  }

  #item(file: JournalFile, cache: FileCache, offset: number): EcsItem | undefined {
    const place = cache.find(offset / 8)
    if (place >= 0) {
      const note = cache.notes[place]
      const text = cache.texts[place]
      const length = Math.floor(note / ID_BITS)
      const companion = length === text.length ? '' : text.slice(length)
      const value = companion === '' ? text : text.slice(0, length)
      return { field: this.#fields[note % ID_BITS], value, companion, base64: undefined, cut: false }
    }
    if (!file.payload(offset)) return undefined
    const field = this.#table.find(file.bytes, file.start, file.equals)
    if (field.isSourceTime) this.#sourceTime = sourceRealtime(file)
    return this.#decode(file, cache, offset, field)
  }

  /** The value of the file's loaded payload, kept where other entries share it. */
  #decode(file: JournalFile, cache: FileCache, offset: number, field: EcsField): EcsItem {
    let item: EcsItem = { field, value: '', companion: '', base64: undefined, cut: false }
    if (!field.drop) {
      const value = this.#value
      value.take(file, field.rules.masks, this.#assembly.maxBytes)
      item = this.#assembly.read(field, value, this.#scratch)
    }
    if (item.base64 === undefined && !item.cut && !field.other) {
      this.#keep(cache, file, offset, field, item.value, item.companion)
    }
    return item
  }

  #keep(cache: FileCache, file: JournalFile, offset: number, field: EcsField, value: string, companion: string): void {
    const key = offset / 8
    if (!file.shared || field.id === OVERFLOW || field.isSourceTime || key > 0xffffffff) return
    cache.keepText(key, value + companion, field.id + value.length * ID_BITS)
  }

  /** Appends a pair of the top level straight from the file; false when something would have to stand beside it. */
  #writeValue(file: JournalFile, field: EcsField, lead: string): boolean {
    this.#value.take(file, field.rules.masks, this.#assembly.maxBytes)
    this.#write(lead)
    return this.#notation.write(this, this.#value) && !this.#value.cut
  }

  #write(text: string): void {
    this.room(text.length)
    this.out.latin1Write(text, this.length, text.length)
    this.length += text.length
  }
}
