// The JSON object of an entry in the logging API: {"fields":{…names sorted…},"cursor":…,"monotonic_timestamp":…,"realtime_timestamp":…}, as a line
// or as a server-sent event. Sorting costs nothing for most of an entry: the run of old items it begins with is kept sorted, and its few young
// fields are put in between. Source of the form: dcos-log, journal/reader/formatters.go.
// Invariant: with or without caches the bytes are the same.

import type { JournalFile } from '../../file/file.ts'
import type { MemoryBudget } from '../../memory.ts'
import { Encoder } from '../base.ts'
import { writeJsonText } from '../bytes/jsonText.ts'
import type { FileCache } from '../cache.ts'
import { FieldTable, MOST_FIELDS, OVERFLOW } from '../fieldTable.ts'
import { FileCaches } from '../fileCaches.ts'
import { YOUNG } from '../flat.ts'
import { itemOffsets } from '../gather.ts'
import { Head } from '../head.ts'
import { jsonName } from '../journalctl/forms.ts'
import { byteBuffer, Output } from '../output.ts'

/** How an object is framed: a line, an event, an event with the cursor as its id. */
export type DcosFraming = 'line' | 'event' | 'event-id'

/** More fields than this in one entry are put together the slow way. */
const FIELDS_MAX = 512
/** A copy shorter than this is cheaper by hand than by a call. */
const BY_HAND = 24

interface Member {
  readonly id: number
  readonly name: string
  /** `,"NAME":` in one-byte text. */
  readonly lead: string
}

interface SlowValue {
  readonly text: string
  /** The first entry of the file that has this very value is the loaded one. */
  readonly isNew: boolean
}

/** Room at the start: a server has one for each answer that is under way. */
export const START = 64 << 10
/** Room for the young values of one entry, to begin with. */
const SCRATCH = 16 << 10
const COMMA = 44
const BRACE = 123

export class DcosJson extends Encoder {
  readonly #arrays: boolean
  readonly #start: Head
  readonly #end: Head
  readonly #table: FieldTable<Member>
  readonly #names: string[] = []
  /** By id of a field: its place among all names, sorted. */
  #ranks = new Int32Array(MOST_FIELDS)
  readonly #caches: FileCaches
  // The young fields of an entry, sorted: id, and the text or the place in `scratch`.
  readonly #ids = new Int32Array(FIELDS_MAX)
  readonly #texts = new Array<string>(FIELDS_MAX).fill('')
  readonly #from = new Int32Array(FIELDS_MAX)
  readonly #to = new Int32Array(FIELDS_MAX)
  #count = 0
  readonly #scratch = new Output(SCRATCH)

  /** @param arrays a field that occurs several times becomes an array of all its values, else one value */
  constructor(framing: DcosFraming, arrays: boolean, memory: MemoryBudget) {
    super(START)
    this.#arrays = arrays
    const lead = framing === 'line' ? '' : 'data: '
    const object = Buffer.from(`${lead}{"fields":`, 'latin1')
    this.#start = new Head(
      framing === 'event-id' ? [Buffer.from('id: '), { value: 'cursor' }, Buffer.from('\n'), object] : [object],
    )
    this.#end = new Head([
      Buffer.from('},"cursor":"'),
      { value: 'cursor' },
      Buffer.from('","monotonic_timestamp":'),
      { value: 'monotonic' },
      Buffer.from(',"realtime_timestamp":'),
      { value: 'realtime' },
      Buffer.from(framing === 'line' ? '}\n' : '}\n\n'),
    ])
    this.#table = new FieldTable((name, id) => this.#meet(name, id))
    this.#caches = new FileCaches(this, memory)
  }

  override encode(file: JournalFile, ordinal: number): void {
    const cache = this.#caches.of(file)
    this.#start.write(this, file, ordinal)
    const from = this.length
    if (!this.#members(file, cache)) {
      this.length = from
      this.#slowMembers(file)
    }
    // Every member begins with a comma: the first one's becomes the brace.
    if (this.length === from) {
      this.room(1)
      this.length++
    }
    this.out[from] = BRACE
    this.#end.write(this, file, ordinal)
  }

  override close(): void {
    this.#caches.close()
  }

  /** Appends the fields; false when it takes the slow way. */
  #members(file: JournalFile, cache: FileCache): boolean {
    const { itemWords: words, itemBase: base, itemStride: stride, itemCount: count } = file
    if (count > FIELDS_MAX) return false
    const run = cache.findRun(words, base, stride, count, file.offset - YOUNG)
    if (run?.gather === true) return false
    const known = cache.move(file.offset)
    this.#count = 0
    this.#scratch.length = 0
    let build = cache.build
    for (let k = run?.count ?? 0; k < count; k++) {
      if (k === build && build !== 0) {
        this.#keepRun(file, cache, build)
        build = 0
      }
      // Integers as long as it goes: a fraction would be an object on the heap for each item.
      let offset = words[base + k * stride] as number
      let key = offset >>> 3
      if (stride === 4) {
        const high = words[base + k * 4 + 1] as number
        if (high !== 0) {
          offset += high * 4294967296
          key += high * 536870912
        }
      }
      const place = offset > known ? -1 : cache.find(key)
      let id: number
      if (place >= 0) {
        id = cache.notes[place] as number
        if (!this.#insert(id, cache.texts[place] as string, 0, 0)) return this.#twice(file, cache, build)
        continue
      }
      if (!file.payload(offset)) {
        build = 0
        continue
      }
      const member = this.#table.find(file.bytes, file.start, file.equals)
      id = member.id
      if (id === OVERFLOW) return false
      const scratch = this.#scratch
      const start = scratch.length
      this.#writeMember(scratch, file, member)
      let text = ''
      if (file.shared && key <= 0xffffffff) {
        text = scratch.out.latin1Slice(start, scratch.length)
        cache.keepText(key, text, id)
        scratch.length = start
      }
      if (!this.#insert(id, text, start, scratch.length)) return this.#twice(file, cache, build)
    }
    if (build !== 0 && build === count) this.#keepRun(file, cache, build)
    return run === undefined ? this.#writeYoung() : this.#merge(run.bytes, run.marks ?? [])
  }

  /** Puts a field among the young ones; false when it is there already. */
  #insert(id: number, text: string, from: number, to: number): boolean {
    const ids = this.#ids
    const ranks = this.#ranks
    const rank = ranks[id] as number
    let at = this.#count
    while (at > 0 && (ranks[ids[at - 1] as number] as number) > rank) at--
    if (at > 0 && ids[at - 1] === id) return false
    for (let i = this.#count; i > at; i--) {
      ids[i] = ids[i - 1] as number
      this.#texts[i] = this.#texts[i - 1] as string
      this.#from[i] = this.#from[i - 1] as number
      this.#to[i] = this.#to[i - 1] as number
    }
    ids[at] = id
    this.#texts[at] = text
    this.#from[at] = from
    this.#to[at] = to
    this.#count++
    return true
  }

  /** A field occurs twice: a run with it in it is kept as one that needs the slow way. */
  #twice(file: JournalFile, cache: FileCache, build: number): false {
    if (build !== 0) {
      const { itemWords, itemBase, itemStride } = file
      cache.keepRun(itemWords, itemBase, itemStride, build, this.#ids, 0, byteBuffer(0), 0, true)
    }
    return false
  }

  /** Keeps the young fields so far, which are the first `count` items, as a run: its marks are id and end of each. */
  #keepRun(file: JournalFile, cache: FileCache, count: number): void {
    const from = this.length
    const marks: number[] = []
    for (let i = 0; i < this.#count; i++) {
      this.#writeOne(i)
      marks.push(this.#ids[i] as number, this.length - from)
    }
    const bytes = this.out.subarray(from, this.length)
    const { itemWords, itemBase, itemStride } = file
    cache.keepRun(itemWords, itemBase, itemStride, count, this.#ids, 0, bytes, this.#count, false, marks)
    this.length = from
  }

  #writeYoung(): boolean {
    for (let i = 0; i < this.#count; i++) this.#writeOne(i)
    return true
  }

  /** The kept run with the young fields in their places; false when both have a field. */
  #merge(bytes: Buffer, marks: readonly number[]): boolean {
    const ranks = this.#ranks
    const members = marks.length / 2
    let at = 0
    let from = 0
    for (let i = 0; i < this.#count; i++) {
      const id = this.#ids[i] as number
      const rank = ranks[id] as number
      while (at < members && (ranks[marks[2 * at] as number] as number) < rank) at++
      if (at < members && marks[2 * at] === id) return false
      const to = at === 0 ? 0 : (marks[2 * at - 1] as number)
      if (to > from) {
        this.#copy(bytes, from, to)
        from = to
      }
      this.#writeOne(i)
    }
    if (bytes.length > from) this.#copy(bytes, from, bytes.length)
    return true
  }

  #writeOne(i: number): void {
    const text = this.#texts[i] as string
    if (text === '') this.#copy(this.#scratch.out, this.#from[i] as number, this.#to[i] as number)
    else {
      this.room(text.length)
      this.out.latin1Write(text, this.length, text.length)
      this.length += text.length
    }
  }

  #copy(bytes: Buffer, from: number, to: number): void {
    const length = to - from
    this.room(length)
    const { out } = this
    let at = this.length
    if (length < BY_HAND) for (let i = from; i < to; i++) out[at++] = bytes[i] as number
    else bytes.copy(out, at, from, to)
    this.length += length
  }

  #writeMember(output: Output, file: JournalFile, member: Member): void {
    const { lead } = member
    output.room(lead.length)
    output.out.latin1Write(lead, output.length, lead.length)
    output.length += lead.length
    writeJsonText(output, file.bytes, file.words, file.equals + 1, file.end)
  }

  /** Any entry, field by field: names beyond the table, fields that occur several times. */
  #slowMembers(file: JournalFile): void {
    const members = new Map<string, { lead: string; values: SlowValue[] }>()
    const scratch = this.#scratch
    for (const offset of itemOffsets(file)) {
      if (!file.payload(offset)) continue
      const member = this.#table.find(file.bytes, file.start, file.equals)
      scratch.length = 0
      writeJsonText(scratch, file.bytes, file.words, file.equals + 1, file.end)
      const text = scratch.out.latin1Slice(0, scratch.length)
      const value = { text, isNew: file.dataEntries(offset).at(0) === file.offset }
      const known = members.get(member.name)
      if (known === undefined) members.set(member.name, { lead: member.lead, values: [value] })
      else known.values.push(value)
    }
    const sorted = [...members].sort(([a], [b]) => (a < b ? -1 : 1))
    for (const [, { lead, values }] of sorted) {
      const isList = this.#arrays && values.length > 1
      const text = lead + (isList ? `[${values.map((value) => value.text).join(',')}]` : chosen(values))
      this.room(text.length)
      this.out.latin1Write(text, this.length, text.length)
      this.length += text.length
    }
  }

  /** A name that is new to this encoder: the order of the known ones stays as it is. */
  #meet(name: string, id: number): Member {
    const lead = `${String.fromCharCode(COMMA)}${jsonName(name)}:`
    if (id === OVERFLOW) return { id, name, lead }
    this.#names.push(name)
    const order = this.#names
      .map((_, at) => at)
      .sort((a, b) => (nameOf(this.#names, a) < nameOf(this.#names, b) ? -1 : 1))
    for (const [rank, field] of order.entries()) this.#ranks[field] = rank
    return { id, name, lead }
  }
}

function nameOf(names: readonly string[], at: number): string {
  return names[at] as string
}

/**
 * Of several values of one field the one that was written last. A file keeps an entry's references in the order of their places, so the order
 * of writing shows only in values that are new with this entry; where all were there before, the oldest one is taken.
 */
function chosen(values: readonly SlowValue[]): string {
  return (values.findLast((value) => value.isNew) ?? values[0])?.text ?? '""'
}
