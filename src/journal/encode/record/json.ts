// What sinks get in shape `journal` as JSON: one flat object a line, values as strings. Nothing is lost: a value that is
// not UTF-8 has its exact bytes beside it, a value that is cut is named, fields beyond the limit of names are kept in one list.

import type { JournalFile } from '../../file/file.ts'
import { writeTimestamp } from '../bytes/digits.ts'
import { jsonLiteral, writeJournalctlValue, writeJsonText } from '../bytes/jsonText.ts'
import { EXTRA, type FlatForm, GATHER, type GatheredItem, makeLead } from '../flat.ts'
import { groupByKey } from '../gather.ts'
import { Head, type HeadPart } from '../head.ts'
import type { Output } from '../output.ts'
import type { RecordSpec } from '../spec.ts'
import { BASE64, constants, type RecordField, RecordNames, TRUNCATED } from './names.ts'
import { Value } from './rules.ts'
import { sourceRealtime } from './sourceTime.ts'

export class RecordJson implements FlatForm<RecordField> {
  readonly head: Head
  readonly gathers = true
  base64: string | undefined = undefined
  cut = false
  readonly #binary: RecordSpec['binary']
  readonly #names: RecordNames
  readonly #value = new Value()
  readonly #maxBytes: number
  #sourceTime: number | undefined

  constructor(spec: RecordSpec) {
    const fixed = constants(spec)
    this.#names = new RecordNames(spec, fixed.keys())
    this.#maxBytes = this.#names.rules.maxBytes
    this.#binary = spec.binary
    const members = [...fixed].map(([name, value]) => `,${jsonLiteral(name)}:${jsonLiteral(value)}`).join('')
    const parts: HeadPart[] = [
      Buffer.from('{"@timestamp":"'),
      { value: 'timestamp' },
      Buffer.from('","__CURSOR":"'),
      { value: 'cursor' },
      Buffer.from('","__REALTIME_TIMESTAMP":"'),
      { value: 'realtime' },
      Buffer.from('","__MONOTONIC_TIMESTAMP":"'),
      { value: 'monotonic' },
      Buffer.from('","_BOOT_ID":"'),
      { value: 'bootId' },
      Buffer.from(`"${members}`, 'latin1'),
    ]
    this.head = new Head(parts)
  }

  field(name: string): RecordField {
    return this.#names.field(Buffer.from(name, 'latin1').toString('utf8'), (key) => makeLead(`,${jsonLiteral(key)}:`))
  }

  notice(file: JournalFile): void {
    this.#sourceTime = sourceRealtime(file)
  }

  value(output: Output, file: JournalFile, field: RecordField): number {
    const value = this.#value
    value.take(file, field.rules.masks, this.#maxBytes)
    this.base64 = undefined
    this.cut = value.cut
    let flags = value.cut ? GATHER : 0
    if (field.other) {
      flags = GATHER
      this.#writeOther(output, field)
    } else if (this.#binary === 'array') {
      writeJournalctlValue(output, value.bytes, value.words, value.start, value.end)
    } else {
      const valid = writeJsonText(output, value.bytes, value.words, value.start, value.end)
      if (!valid && this.#binary === 'base64') {
        this.base64 = value.base64()
        flags |= EXTRA
      }
    }
    return flags
  }

  extra(output: Output, field: RecordField): void {
    writeLatin1(output, `,${jsonLiteral(BASE64 + field.key)}:"${this.base64}"`)
  }

  gathered(items: readonly GatheredItem<RecordField>[]): { text: string; pairs: number } {
    let text = ''
    const cut: string[] = []
    for (const group of groupByKey(items).values()) {
      const [first, ...more] = group
      if (first === undefined) continue
      const { key, lead, other } = first.field
      text += lead.text
      text += more.length === 0 && !other ? first.value : `[${group.map((item) => item.value).join(',')}]`
      if (group.some((item) => item.base64 !== undefined)) {
        const exact = group.map((item) => (item.base64 === undefined ? 'null' : `"${item.base64}"`))
        text += `,${jsonLiteral(BASE64 + key)}:${more.length === 0 ? exact[0] : `[${exact.join(',')}]`}`
      }
      if (group.some((item) => item.cut)) cut.push(key)
    }
    if (cut.length > 0) text += `,"${TRUNCATED}":[${cut.map(jsonLiteral).join(',')}]`
    return { text, pairs: items.length }
  }

  end(output: Output, start: number): void {
    output.room(2)
    output.out[output.length++] = 125
    output.out[output.length++] = 10
    if (this.#sourceTime !== undefined) {
      writeTimestamp(output.out, start + this.head.timestampAt, this.#sourceTime)
      this.#sourceTime = undefined
    }
  }

  /** `NAME=value` in one string, under the journal's own name. */
  #writeOther(output: Output, field: RecordField): void {
    const { bytes, start, end } = this.#value
    const whole = Buffer.concat([Buffer.from(`${field.rules.name}=`, 'utf8'), bytes.subarray(start, end)])
    writeJsonText(output, whole, undefined, 0, whole.length)
  }
}

function writeLatin1(output: Output, text: string): void {
  output.room(text.length)
  output.out.latin1Write(text, output.length, text.length)
  output.length += text.length
}
