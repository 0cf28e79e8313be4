// `-o json-pretty`: as `-o json`, over several lines. Source: systemd json.c (json_variant_format with JSON_FORMAT_PRETTY).

import type { JournalFile } from '../../file/file.ts'
import { writeJournalctlValue } from '../bytes/jsonText.ts'
import { type FlatField, type FlatForm, type GatheredItem, makeLead } from '../flat.ts'
import { groupByKey } from '../gather.ts'
import { Head, type HeadPart } from '../head.ts'
import type { Output } from '../output.ts'
import { JSON_THRESHOLD, jsonName } from './forms.ts'

const HEAD: readonly HeadPart[] = [
  Buffer.from('{\n\t"__CURSOR" : "'),
  { value: 'cursor' },
  Buffer.from('",\n\t"__REALTIME_TIMESTAMP" : "'),
  { value: 'realtime' },
  Buffer.from('",\n\t"__MONOTONIC_TIMESTAMP" : "'),
  { value: 'monotonic' },
  Buffer.from('",\n\t"_BOOT_ID" : "'),
  { value: 'bootId' },
  Buffer.from('"'),
]
const TAIL = Buffer.from('\n}\n')
const OPEN_BRACKET = 91

export class PrettyJson implements FlatForm<FlatField> {
  readonly head = new Head(HEAD)
  readonly gathers = true
  readonly base64 = undefined
  readonly cut = false
  readonly #threshold: number

  constructor(all: boolean) {
    this.#threshold = all ? Number.POSITIVE_INFINITY : JSON_THRESHOLD
  }

  field(name: string, id: number): FlatField {
    return { slot: id, drop: name === '_BOOT_ID', key: name, lead: makeLead(`,\n\t${jsonName(name)} : `), kept: true }
  }

  value(output: Output, file: JournalFile): number {
    const from = output.length
    if (file.end - file.start >= this.#threshold) {
      writeText(output, 'null')
      return 0
    }
    writeJournalctlValue(output, file.bytes, file.words, file.equals + 1, file.end)
    if (output.out[from] === OPEN_BRACKET) {
      const numbers = output.out.latin1Slice(from + 1, output.length - 1).split(',')
      output.length = from
      writeText(output, list(numbers))
    }
    return 0
  }

  notice(): void {}

  extra(): void {}

  gathered(items: readonly GatheredItem<FlatField>[]): { text: string; pairs: number } {
    let text = ''
    for (const group of groupByKey(items).values()) {
      const [first, ...more] = group
      if (first === undefined) continue
      text += first.field.lead.text
      // Newlines within strings are escaped, so those that are left belong to a list.
      text += more.length === 0 ? first.value : list(group.map((item) => item.value.replaceAll('\n', '\n\t')))
    }
    return { text, pairs: items.length }
  }

  end(output: Output): void {
    output.room(TAIL.length)
    output.out.set(TAIL, output.length)
    output.length += TAIL.length
  }
}

/** A list of a member's value, one item a line. */
function list(items: readonly string[]): string {
  return `[\n\t\t${items.join(',\n\t\t')}\n\t]`
}

function writeText(output: Output, text: string): void {
  output.room(text.length)
  output.out.latin1Write(text, output.length, text.length)
  output.length += text.length
}
