// The flat forms that journalctl prints: `json` and `export`. Source: systemd logs-show.c; what is text and what is binary stands in utf8.ts.

import type { JournalFile } from '../../file/file.ts'
import { copyText } from '../bytes/copy.ts'
import { jsonLiteral, writeJournalctlValue } from '../bytes/jsonText.ts'
import { isPrintable } from '../bytes/utf8.ts'
import { type FlatField, type FlatForm, type GatheredItem, makeLead } from '../flat.ts'
import { groupByKey } from '../gather.ts'
import { Head, type HeadPart } from '../head.ts'
import type { Output } from '../output.ts'

/** journalctl shows fields of this size and more (name and `=` included) as null, unless told to show all. */
export const JSON_THRESHOLD = 4096

const NOTHING = makeLead('')
const NULL = Buffer.from('null', 'latin1')

/** The entry's own boot id stands in the head; the field of that name is left out. */
const BOOT_ID = '_BOOT_ID'

const JSON_HEAD: readonly HeadPart[] = [
  Buffer.from('{"__CURSOR":"'),
  { value: 'cursor' },
  Buffer.from('","__REALTIME_TIMESTAMP":"'),
  { value: 'realtime' },
  Buffer.from('","__MONOTONIC_TIMESTAMP":"'),
  { value: 'monotonic' },
  Buffer.from('","_BOOT_ID":"'),
  { value: 'bootId' },
  Buffer.from('"'),
]

/** `-o json`: one object a line; `all`: values of 4 KiB and more, too. */
export class JournalctlJson implements FlatForm<FlatField> {
  readonly head = new Head(JSON_HEAD)
  readonly gathers = true
  readonly base64 = undefined
  readonly cut = false
  readonly #threshold: number

  constructor(all: boolean) {
    this.#threshold = all ? Number.POSITIVE_INFINITY : JSON_THRESHOLD
  }

  field(name: string, id: number): FlatField {
    return { slot: id, drop: name === BOOT_ID, key: name, lead: makeLead(`,${jsonName(name)}:`), kept: true }
  }

  value(output: Output, file: JournalFile): number {
    if (file.end - file.start >= this.#threshold) {
      output.room(4)
      output.out.set(NULL, output.length)
      output.length += 4
    } else {
      writeJournalctlValue(output, file.bytes, file.words, file.equals + 1, file.end)
    }
    return 0
  }

  notice(): void {}

  extra(): void {}

  gathered(items: readonly GatheredItem<FlatField>[]): { text: string; pairs: number } {
    return { text: jsonMembers(groupByKey(items)), pairs: items.length }
  }

  end(output: Output): void {
    output.room(2)
    output.out[output.length++] = 125
    output.out[output.length++] = 10
  }
}

/** The head of an entry in export form. */
export const EXPORT_HEAD: readonly HeadPart[] = [
  Buffer.from('__CURSOR='),
  { value: 'cursor' },
  Buffer.from('\n__REALTIME_TIMESTAMP='),
  { value: 'realtime' },
  Buffer.from('\n__MONOTONIC_TIMESTAMP='),
  { value: 'monotonic' },
  Buffer.from('\n_BOOT_ID='),
  { value: 'bootId' },
  Buffer.from('\n'),
]

/** `-o export`: a field a line, or in binary with its length; an empty line ends the entry. */
export class JournalctlExport implements FlatForm<FlatField> {
  readonly head: Head
  readonly gathers = false
  readonly base64 = undefined
  readonly cut = false
  readonly #only: ReadonlySet<string> | undefined

  /** @param only just these fields, and no head */
  constructor(only: readonly string[] | undefined) {
    this.head = new Head(only === undefined ? EXPORT_HEAD : [])
    this.#only = only === undefined ? undefined : new Set(only)
  }

  field(name: string, id: number): FlatField {
    const drop = this.#only === undefined ? name === BOOT_ID : !this.#only.has(name)
    return { slot: id, drop, key: name, lead: NOTHING, kept: true }
  }

  value(output: Output, file: JournalFile): number {
    writeExportField(output, file.bytes, file.words, file.start, file.equals, file.end)
    return 0
  }

  notice(): void {}

  extra(): void {}

  gathered(): never {
    throw new Error('export entries are never gathered')
  }

  end(output: Output): void {
    output.room(1)
    output.out[output.length++] = 10
  }
}

/** Appends `NAME=value` (bytes[start..end), `=` at `equals`) in export form. */
export function writeExportField(
  output: Output,
  bytes: Uint8Array,
  words: Uint32Array | undefined,
  start: number,
  equals: number,
  end: number,
): void {
  const length = end - start
  output.room(length + 16)
  const out = output.out
  let at = output.length
  let from = copyText(output, at, bytes, words, start, end)
  if (from < end) {
    if (isPrintable(bytes, from, end, false)) {
      at += from - start
      while (from < end) out[at++] = bytes[from++]
      out[at] = 10
      output.length = at + 1
      return
    }
    writeExportBinary(output, bytes.subarray(start, equals), bytes.subarray(equals + 1, end))
    return
  }
  at += length
  out[at] = 10
  output.length = at + 1
}

function writeExportBinary(output: Output, name: Uint8Array, value: Uint8Array): void {
  output.room(name.length + value.length + 10)
  const out = output.out
  let at = output.length
  out.set(name, at)
  at += name.length
  out[at] = 10
  out.writeUInt32LE(value.length, at + 1)
  out.writeUInt32LE(0, at + 5)
  out.set(value, at + 9)
  at += 9 + value.length
  out[at] = 10
  output.length = at + 1
}

/** A field name as JSON string literal, one-byte text. */
export function jsonName(name: string): string {
  return /^[A-Z0-9_]+$/.test(name) ? `"${name}"` : jsonLiteral(Buffer.from(name, 'latin1').toString('utf8'))
}

function jsonMembers(groups: Map<string, GatheredItem<FlatField>[]>): string {
  let text = ''
  for (const [first, ...more] of groups.values()) {
    if (first === undefined) continue
    text += first.field.lead.text
    text += more.length === 0 ? first.value : `[${[first, ...more].map((item) => item.value).join(',')}]`
  }
  return text
}
