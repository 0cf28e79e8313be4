// Which values of a few fields an entry has, noted by an encoder on its way: a sink's templates ask for them, and another pass over
// every entry would cost as much again. An entry gets a number; equal numbers, equal values. Invariant: numbers belong to one table,
// which changes only between two chunks, so what is kept under the numbers of an older one is recognised by its epoch.

import { isUtf8 } from 'node:buffer'
import type { JournalFile } from '../file/file.ts'

/** A table that has grown beyond either is not used for further chunks. */
const MOST_GROUPS = 4096
const MOST_BYTES = 1 << 20
/** Value numbers are below this. */
const VALUES = 2 ** 26
const NEWLINE = 10
const EQUALS = 61

/** The values by group: a tree, in which each value leads from the group of those before it to another one. Group 0 has none. */
export class GroupTable {
  readonly #fields: readonly string[]
  readonly #parents: number[] = [0]
  readonly #valueOf: number[] = [0]
  readonly #children = new Map<number, number>()
  readonly #texts: Uint8Array[] = []
  readonly #numbers = new Map<string, number>()
  readonly #made: (Uint8Array | undefined)[] = []
  readonly #tokens: (object | undefined)[] = []
  /** Bytes of values. */
  bytes = 0

  constructor(fields: readonly string[]) {
    this.#fields = fields
  }

  get count(): number {
    return this.#parents.length
  }

  /** The number of a value, bytes[start..end), of the field with this index. */
  number(field: number, bytes: Buffer, start: number, end: number): number {
    const key = `${field}=${bytes.toString('latin1', start, end)}`
    const known = this.#numbers.get(key)
    if (known !== undefined) return known
    const number = this.#texts.length
    this.#numbers.set(key, number)
    this.#texts.push(exportField(this.#fields[field] ?? '', bytes.subarray(start, end)))
    this.bytes += 2 * (end - start)
    return number
  }

  /** The group of the entries that have another value besides those of `group`. */
  step(group: number, number: number): number {
    const key = group * VALUES + number
    const known = this.#children.get(key)
    if (known !== undefined) return known
    const child = this.#parents.push(group) - 1
    this.#valueOf.push(number)
    this.#children.set(key, child)
    return child
  }

  /** Stands for a group, also beyond the table's end. */
  tokenOf(group: number): object {
    const token = this.#tokens[group] ?? new Token()
    this.#tokens[group] = token
    return token
  }

  /** The values of a group in journal export format, in the order in which the entries have them. The same bytes each time. */
  bytesOf(group: number): Uint8Array {
    let made = this.#made[group]
    if (made === undefined) {
      const parts: Uint8Array[] = []
      for (let at = group; at !== 0; at = this.#parents[at]) parts.unshift(this.#texts[this.#valueOf[at]])
      made = new Uint8Array(Buffer.concat([...parts, Buffer.of(NEWLINE)]))
      this.#made[group] = made
    }
    return made
  }
}

/** Something to know a group by. Not its bytes: V8 takes long to find a typed array in a map. */
class Token {}

export class Watch {
  /** The group of the entry that was encoded last, in `table`. */
  group = 0
  /** Counts tables: a group of another epoch says nothing. */
  epoch = 0
  table: GroupTable
  readonly #fields: readonly string[]
  readonly #names: readonly Uint8Array[]
  /** A bit for each length that one of them has, modulo 32. */
  readonly #lengths: number
  // Values met before, by file and key of their DATA: a value that an encoder has kept is not read again.
  #known = new WeakMap<JournalFile, Map<number, number>>()
  #file: JournalFile | undefined
  #ofFile = new Map<number, number>()

  /** @param fields names of journal fields */
  constructor(fields: readonly string[]) {
    this.#fields = fields
    this.#names = fields.map((name) => Buffer.from(name))
    this.#lengths = fields.reduce((bits, name) => bits | (1 << (name.length & 31)), 0)
    this.table = new GroupTable(fields)
  }

  /** An entry of `file` begins. */
  begin(file: JournalFile): void {
    this.group = 0
    if (file === this.#file) return
    this.#file = file
    this.#ofFile = this.#known.get(file) ?? new Map()
    this.#known.set(file, this.#ofFile)
  }

  /** No entry follows that is counted with those before: the time to forget. */
  reset(): void {
    if (this.table.count < MOST_GROUPS && this.table.bytes < MOST_BYTES) return
    this.table = new GroupTable(this.#fields)
    this.epoch++
    this.#known = new WeakMap()
    this.#file = undefined
  }

  /** Looks at the loaded payload, the DATA `key` (offset / 8). True when it is of a field that is watched. */
  see(file: JournalFile, key: number): boolean {
    const { bytes, start, equals } = file
    const field = this.#find(bytes, start, equals)
    if (field < 0) return false
    const number = this.table.number(field, bytes, equals + 1, file.end)
    this.#ofFile.set(key, number)
    this.group = this.table.step(this.group, number)
    return true
  }

  /** A value that was seen before, in the DATA at `offset`. */
  again(file: JournalFile, offset: number, key: number): void {
    const number = this.#ofFile.get(key)
    if (number !== undefined) this.group = this.table.step(this.group, number)
    else if (file.payload(offset)) this.see(file, key)
  }

  /** The first `count` items of the entry, of which an encoder kept `marks`: made by `marks`, and renewed here. */
  takeItems(file: JournalFile, count: number, marks: number[]): void {
    if (marks[0] !== this.epoch) {
      const { itemWords, itemBase, itemStride } = file
      for (let k = 0; k < count; k++) {
        const at = itemBase + k * itemStride
        const offset = itemStride === 4 ? itemWords[at] + itemWords[at + 1] * 4294967296 : itemWords[at]
        if (file.payload(offset)) this.see(file, offset / 8)
      }
      marks[0] = this.epoch
      marks[1] = this.group
    }
    this.group = marks[1] ?? 0
  }

  /** What to keep of the items seen so far. */
  marks(): number[] {
    return [this.epoch, this.group]
  }

  #find(bytes: Uint8Array, start: number, equals: number): number {
    if ((this.#lengths & (1 << ((equals - start) & 31))) === 0) return -1
    const names = this.#names
    for (let field = 0; field < names.length; field++) {
      const name = names[field]
      if (name.length !== equals - start) continue
      let i = name.length - 1
      while (i >= 0 && name[i] === bytes[start + i]) i--
      if (i < 0) return field
    }
    return -1
  }
}

/** `NAME=value` and a newline, or with the length in front where the value is not one line of text. */
function exportField(name: string, value: Uint8Array): Uint8Array {
  if (isLine(value)) return Buffer.concat([Buffer.from(name), Buffer.of(EQUALS), value, Buffer.of(NEWLINE)])
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(value.length))
  return Buffer.concat([Buffer.from(`${name}\n`), size, value, Buffer.of(NEWLINE)])
}

/** Text without control characters but tabs (systemd logs-show.c, utf8_is_printable_newline without newlines). */
function isLine(value: Uint8Array): boolean {
  for (const byte of value) if (byte < 32 && byte !== 9) return false
  return isUtf8(value)
}
