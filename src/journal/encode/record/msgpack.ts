// What sinks get in shape `journal` as MessagePack: one flat map an entry, the members of the JSON form. A value is a str when
// it is UTF-8, else a bin with the exact bytes, so nothing has to stand beside it.

import type { JournalFile } from '../../file/file.ts'
import { writeTimestamp } from '../bytes/digits.ts'
import { closeMap, listHead, OPEN_MAP, strHead, strText, writeReplaced, writeStrOrBin } from '../bytes/msgpack.ts'
import { type FlatForm, GATHER, type GatheredItem, makeLead } from '../flat.ts'
import { groupByKey } from '../gather.ts'
import { Head, type HeadPart, type HeadValue } from '../head.ts'
import type { Output } from '../output.ts'
import type { RecordSpec } from '../spec.ts'
import { constants, OTHER, type RecordField, RecordNames, TRUNCATED } from './names.ts'
import { Value } from './rules.ts'
import { sourceRealtime } from './sourceTime.ts'

const HEAD: readonly (readonly [name: string, value: HeadValue])[] = [
  ['@timestamp', 'timestamp'],
  ['__CURSOR', 'cursor'],
  ['__REALTIME_TIMESTAMP', 'realtime'],
  ['__MONOTONIC_TIMESTAMP', 'monotonic'],
  ['_BOOT_ID', 'bootId'],
]

export class RecordMsgpack implements FlatForm<RecordField> {
  readonly head: Head
  readonly gathers = true
  readonly base64 = undefined
  cut = false
  readonly #binary: RecordSpec['binary']
  readonly #names: RecordNames
  readonly #value = new Value()
  readonly #maxBytes: number
  readonly #headPairs: number
  #sourceTime: number | undefined

  constructor(spec: RecordSpec) {
    const fixed = constants(spec)
    this.#names = new RecordNames(spec, fixed.keys())
    this.#maxBytes = this.#names.rules.maxBytes
    this.#binary = spec.binary
    this.#headPairs = HEAD.length + fixed.size
    const parts: HeadPart[] = [OPEN_MAP]
    for (const [name, value] of HEAD) parts.push(bytesOf(strText(name)), { value, lead: strHead })
    for (const [name, value] of fixed) parts.push(bytesOf(strText(name) + strText(value)))
    this.head = new Head(parts)
  }

  field(name: string): RecordField {
    return this.#names.field(Buffer.from(name, 'latin1').toString('utf8'), (key) => makeLead(strText(key)))
  }

  notice(file: JournalFile): void {
    this.#sourceTime = sourceRealtime(file)
  }

  value(output: Output, file: JournalFile, field: RecordField): number {
    const value = this.#value
    value.take(file, field.rules.masks, this.#maxBytes)
    this.cut = value.cut
    const { bytes, start, end } = value
    if (field.other) {
      const whole = Buffer.concat([Buffer.from(`${field.rules.name}=`, 'utf8'), bytes.subarray(start, end)])
      writeStrOrBin(output, whole, undefined, 0, whole.length)
      return GATHER
    }
    const from = output.length
    writeStrOrBin(output, bytes, value.words, start, end)
    if (this.#binary === 'replace' && isBin(output.out[from])) {
      output.length = from
      writeReplaced(output, bytes, start, end)
    }
    return value.cut ? GATHER : 0
  }

  extra(): void {}

  gathered(items: readonly GatheredItem<RecordField>[]): { text: string; pairs: number } {
    let text = ''
    let pairs = 0
    const cut: string[] = []
    for (const group of groupByKey(items).values()) {
      const [first, ...more] = group
      if (first === undefined) continue
      text += strText(first.field.key)
      const isList = more.length > 0 || first.field.key === OTHER
      text += isList ? listHead(group.length) + group.map((item) => item.value).join('') : first.value
      pairs++
      if (group.some((item) => item.cut)) cut.push(first.field.key)
    }
    if (cut.length > 0) {
      text += strText(TRUNCATED) + listHead(cut.length) + cut.map(strText).join('')
      pairs++
    }
    return { text, pairs }
  }

  end(output: Output, start: number, pairs: number): void {
    closeMap(output.out, start, this.#headPairs + pairs)
    if (this.#sourceTime !== undefined) {
      writeTimestamp(output.out, start + this.head.timestampAt, this.#sourceTime)
      this.#sourceTime = undefined
    }
  }
}

function isBin(head: number): boolean {
  return head >= 0xc4 && head <= 0xc6
}

function bytesOf(text: string): Uint8Array {
  return Buffer.from(text, 'latin1')
}
