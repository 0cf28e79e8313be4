// Bodies of push requests: `{"streams":[{"stream":{labels},"values":[["ns","line",{metadata}]]}]}`. An entry is the same each time it is
// sent, so that Loki keeps one copy; and two entries differ in time even where all else is equal, so that it keeps both.

import type { Batch } from '../../src/sink.ts'

/** What Loki takes by default for one entry, with room for names. */
const MOST_METADATA = 120
const METADATA_BYTES = 60 * 1024
const BASE64 = 'logferry.base64.'
/** What the line or the time says already, or what nobody looks for. */
const NOT_IN_ALL = new Set(['@timestamp', 'MESSAGE', 'message', '__REALTIME_TIMESTAMP', '__MONOTONIC_TIMESTAMP'])
const DEFAULT_METADATA = ['PRIORITY', 'SYSLOG_IDENTIFIER', '_PID', '_TRANSPORT']

type Record = Readonly<{ [name: string]: unknown }>

export interface LineForm {
  readonly line: 'record' | 'message'
  readonly metadata?: readonly string[] | undefined
}

export class Pushes {
  readonly #line: LineForm['line']
  readonly #metadata: readonly string[]

  constructor({ line, metadata }: LineForm) {
    this.#line = line
    this.#metadata = metadata ?? (line === 'record' ? DEFAULT_METADATA : ['*'])
  }

  /** @param streams the labels of each entry, as JSON */
  build(batch: Batch, streams: readonly string[]): Buffer {
    const { records, ends } = batch
    const bytes = Buffer.from(records.buffer, records.byteOffset, records.length)
    const values = new Map<string, string[]>()
    for (let index = 0; index < ends.length; index++) {
      const start = index === 0 ? 0 : (ends[index - 1] as number) + 1
      const stream = streams[index] as string
      const list = values.get(stream) ?? []
      values.set(stream, list)
      list.push(this.#value(bytes.toString('utf8', start, ends[index]), timeOf(batch, index)))
    }
    const parts = [...values].map(([stream, list]) => `{"stream":${stream},"values":[${list.join(',')}]}`)
    return Buffer.from(`{"streams":[${parts.join(',')}]}`)
  }

  #value(text: string, time: string): string {
    const isRecord = this.#line === 'record'
    if (isRecord && this.#metadata.length === 0) return `["${time}",${JSON.stringify(text)}]`
    const record = JSON.parse(text) as Record
    const line = isRecord ? text : (textOf(record['MESSAGE'] ?? record['message']) ?? '')
    const metadata = this.#metadataOf(record)
    return `["${time}",${JSON.stringify(line)}${metadata === undefined ? '' : `,${JSON.stringify(metadata)}`}]`
  }

  #metadataOf(record: Record): object | undefined {
    const metadata: { [name: string]: string } = {}
    let count = 0
    let bytes = 0
    for (const name of this.#metadata.flatMap((one) => (one === '*' ? allOf(record) : [one]))) {
      const text = textOf(at(record, name))
      const label = labelOf(name)
      if (text === undefined || text === '' || label in metadata) continue
      bytes += label.length + Buffer.byteLength(text)
      // More would have the whole entry refused; the line still has it, unless that is the message alone.
      if (count === MOST_METADATA || bytes > METADATA_BYTES) break
      metadata[label] = text
      count++
    }
    return count === 0 ? undefined : metadata
  }
}

/**
 * Nanoseconds since 1970: the journal's microseconds, and the last digits of the entry's number in the place of what they do not say.
 * The same on every attempt.
 */
export function timeOf(batch: Batch, index: number): string {
  const number = /(?:^|;)i=([0-9a-f]+)/.exec(batch.entries[index]?.cursor ?? '')?.[1] ?? '0'
  const digits = Number.parseInt(number, 16) % 1000
  return `${batch.realtimes[index]}${String(digits).padStart(3, '0')}`
}

/** A name for structured metadata: `_PID` is `pid`, `host.name` is `host_name`. */
function labelOf(name: string): string {
  const plain = name
    .replace(/^_+/, '')
    .toLowerCase()
    .replace(/[^a-z0-9_]/g, '_')
  return /^[a-z]/.test(plain) ? plain : `f_${plain}`
}

function allOf(record: Record): readonly string[] {
  return Object.keys(record).filter((name) => !NOT_IN_ALL.has(name) && !name.startsWith(BASE64))
}

/** A member by its name or, in shape `ecs`, by its path. */
function at(record: Record, name: string): unknown {
  if (name in record || !name.includes('.')) return record[name]
  let found: unknown = record
  for (const step of name.split('.')) {
    if (typeof found !== 'object' || found === null) return undefined
    found = (found as Record)[step]
  }
  return found
}

function textOf(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined
  return typeof value === 'string' ? value : JSON.stringify(value)
}
