// How the pieces of a nested document are written: JSON or MessagePack, as one-byte text, so that pieces can be kept and joined as strings.
// In JSON a pair begins with its comma; in MessagePack a map needs to know its number of pairs.

import { jsonLiteral, writeJournalctlValue, writeJsonText } from '../bytes/jsonText.ts'
import {
  intText,
  listHead,
  mapHead,
  OPEN_MAP,
  strHead,
  strText,
  writeReplaced,
  writeStrOrBin,
} from '../bytes/msgpack.ts'
import type { Output } from '../output.ts'
import type { Value } from '../record/rules.ts'
import type { RecordSpec } from '../spec.ts'

export interface Notation {
  /** What stands before a pair's value. */
  lead(name: string): string
  text(value: string): string
  int(value: number): string
  list(items: readonly string[]): string
  readonly nothing: string
  /** A whole map, of pairs the first of which has nothing in front. */
  map(pairs: string, count: number): string
  /** The beginning of a map of `count` pairs, these the first of them; `close` ends it. */
  mapHead(pairs: string, count: number): string
  /** A map to be gone on with; in MessagePack its count is written later. */
  readonly open: string
  readonly close: string
  readonly end: string
  /** Pairs or a lead, without what parts them from a pair before. */
  first(pairs: string): string
  /** Appends a value of the journal. False when the text does not say its exact bytes and they shall stand beside it. */
  write(output: Output, value: Value): boolean
  /** Of a value in the head, from its length: what stands before and behind it. */
  before(length: number): Uint8Array
  readonly behind: string
  readonly counts: boolean
}

export function notation(encoding: 'json' | 'msgpack', binary: RecordSpec['binary']): Notation {
  return encoding === 'json' ? json(binary) : msgpack(binary)
}

function json(binary: RecordSpec['binary']): Notation {
  const quote = Buffer.from('"')
  return {
    lead: (name) => `,${jsonLiteral(name)}:`,
    text: jsonLiteral,
    int: (value) => String(value),
    list: (items) => `[${items.join(',')}]`,
    nothing: 'null',
    map: (pairs) => `{${pairs}}`,
    mapHead: (pairs) => `{${pairs}`,
    open: '{',
    close: '}',
    end: '\n',
    first: (pairs) => pairs.slice(1),
    write: (output, { bytes, words, start, end }) => {
      if (binary === 'array') {
        writeJournalctlValue(output, bytes, words, start, end)
        return true
      }
      return writeJsonText(output, bytes, words, start, end) || binary === 'replace'
    },
    before: () => quote,
    behind: '"',
    counts: false,
  }
}

function msgpack(binary: RecordSpec['binary']): Notation {
  return {
    lead: strText,
    text: strText,
    int: intText,
    list: (items) => listHead(items.length) + items.join(''),
    nothing: '\xc0',
    map: (pairs, count) => mapHead(count) + pairs,
    mapHead: (pairs, count) => mapHead(count) + pairs,
    open: String.fromCharCode(...OPEN_MAP),
    close: '',
    end: '',
    first: (pairs) => pairs,
    write: (output, { bytes, words, start, end }) => {
      const from = output.length
      writeStrOrBin(output, bytes, words, start, end)
      const head = output.out[from]
      if (binary === 'replace' && head >= 0xc4 && head <= 0xc6) {
        output.length = from
        writeReplaced(output, bytes, start, end)
      }
      return true
    },
    before: strHead,
    behind: '',
    counts: true,
  }
}
