// What sinks get as journal export: journalctl's own form with the field rules applied. Names stay what the format allows (A–Z, 0–9, _), so that
// systemd-journal-remote takes the records; a shape has no meaning here, and nothing has to be put beside a binary value.

import type { JournalFile } from '../../file/file.ts'
import { EXTRA, type FlatForm, makeLead } from '../flat.ts'
import { Head } from '../head.ts'
import { EXPORT_HEAD, writeExportField } from '../journalctl/forms.ts'
import { Output } from '../output.ts'
import type { RecordSpec } from '../spec.ts'
import { constants, type RecordField, RecordNames } from './names.ts'
import { Value } from './rules.ts'

const NOTHING = makeLead('')
/** Names the fields that were cut, one each. */
const TRUNCATED = 'LOGFERRY_TRUNCATED'

export class RecordExport implements FlatForm<RecordField> {
  readonly head: Head
  readonly gathers = false
  readonly base64 = undefined
  cut = false
  readonly #names: RecordNames
  readonly #value = new Value()
  readonly #maxBytes: number

  constructor(spec: RecordSpec) {
    const { timestamp: _, customLimit: __, ...rest } = spec
    const fixed = [...constants(spec)].map(([name, value]) => [exportName(name), value] as const)
    this.#names = new RecordNames(
      rest,
      fixed.map(([name]) => name),
    )
    this.#maxBytes = this.#names.rules.maxBytes
    const lines = new Output()
    for (const [name, value] of fixed) writePair(lines, name, Buffer.from(value, 'utf8'))
    this.head = new Head([...EXPORT_HEAD, Buffer.from(lines.out.subarray(0, lines.length))])
  }

  field(name: string): RecordField {
    const field = this.#names.field(name, () => NOTHING)
    return { ...field, key: field.rules.renamed ? exportName(field.key) : field.key }
  }

  value(output: Output, file: JournalFile, field: RecordField): number {
    const value = this.#value
    value.take(file, field.rules.masks, this.#maxBytes)
    this.cut = value.cut
    if (value.bytes === file.bytes && !value.cut && !field.rules.renamed) {
      writeExportField(output, file.bytes, file.words, file.start, file.equals, file.end)
      return 0
    }
    writePair(output, field.key, value.bytes.subarray(value.start, value.end))
    return value.cut ? EXTRA : 0
  }

  notice(): void {}

  extra(output: Output, field: RecordField): void {
    writePair(output, TRUNCATED, Buffer.from(field.key, 'latin1'))
  }

  gathered(): never {
    throw new Error('export entries are never gathered')
  }

  end(output: Output): void {
    output.room(1)
    output.out[output.length++] = 10
  }
}

function writePair(output: Output, name: string, value: Uint8Array): void {
  const pair = Buffer.concat([Buffer.from(`${name}=`, 'latin1'), value])
  writeExportField(output, pair, undefined, 0, name.length, pair.length)
}

/** A name that the export format allows. */
function exportName(name: string): string {
  return name.toUpperCase().replace(/[^A-Z0-9_]/g, '_')
}
