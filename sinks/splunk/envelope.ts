// The body of a HEC request: one envelope after the other, no separator, each with its record in the middle. Hot path: per entry
// a few copies and no object (bench/splunk.bench.ts). Invariants: no key that Splunk does not know (it then drops this event and
// all behind it, with 200), `time` never in exponent form (code 15), `fields` flat and without leading `_`.

import type { Batch } from '../../src/sink.ts'
import { BodyMemory } from '../parts/memory.ts'
import type { Template } from '../parts/template.ts'

const KEY_BYTES = 34
/** Longer texts are cut: they are copied into every event, and Splunk keeps them in its index. */
const MOST_TEXT_BYTES = 1024
/** Cursors have 104 to 132 characters, the longest for numbers of 16 hex digits. */
const CURSOR_BYTES = 168
const TIME_BYTES = 24
const QUOTE = 34
const COMMA = 44

/** What the envelopes of a sink are made of. */
export interface EnvelopeOptions {
  readonly host: Template
  readonly source: Template
  readonly sourcetype: Template
  readonly index: Template | undefined
  /** Further indexed fields by name; the names fit INDEXED_NAME. */
  readonly indexed: ReadonlyMap<string, Template>
  /** `message`: the event is the bare MESSAGE, where that is one text and not empty; else, as with `record`, the whole record. */
  readonly event: 'record' | 'message'
}

/** Names of indexed fields: Splunk hides or strips those that begin with `_`. */
export const INDEXED_NAME = /^[A-Za-z][A-Za-z0-9_.]*$/
/** The names that every event has. */
export const OWN_NAMES: readonly string[] = ['journald_cursor', 'journald_key']

/** What the entries of one group have in common, around their records. */
interface Frame {
  /** Behind the time, up to the event. */
  readonly head: Buffer
  /** Behind the event, up to the cursor. */
  readonly tail: Buffer
}

const BEFORE_KEY = Buffer.from('","journald_key":"')
const END = Buffer.from('"}}')
// A record of shape `journal` begins like this, and a time of 27 bytes stands between the two.
const RECORD_BEGIN = Buffer.from('{"@timestamp":"')
const BEFORE_CURSOR = Buffer.from('","__CURSOR":"')
const CURSOR_AT = RECORD_BEGIN.length + 27 + BEFORE_CURSOR.length
const BEFORE_MESSAGE = Buffer.from(',"MESSAGE":"')

export class Envelopes {
  /** The journal fields that the templates ask for. */
  readonly fields: readonly string[]
  readonly #options: EnvelopeOptions
  readonly #memory = new BodyMemory()
  /** By the token of their group. */
  readonly #frames = new WeakMap<object, Frame>()
  // `{"time":SECONDS.` of the entry before: most entries share their second with it.
  #second = -1
  #begin = Buffer.alloc(0)

  constructor(options: EnvelopeOptions) {
    this.#options = options
    const { host, source, sourcetype, index, indexed } = options
    const templates = [host, source, sourcetype, ...(index === undefined ? [] : [index]), ...indexed.values()]
    this.fields = [...new Set(templates.flatMap((template) => template.fields))]
  }

  /** The body for a batch, in memory that may be given back once nobody reads it any more. */
  build(batch: Batch): Buffer {
    const { ends, keys, realtimes, groups } = batch
    const records = Buffer.from(batch.records.buffer, batch.records.byteOffset, batch.records.length)
    const keyBytes = Buffer.from(keys.buffer, keys.byteOffset, keys.length)
    const frames = Array.from(groups.first, (index, group) => this.#frame(groups.tokens?.[group], batch, index))
    const out = this.#memory.take(sizeOf(batch, frames))
    const isMessage = this.#options.event === 'message'
    let at = 0
    let start = 0
    let cursorBytes = 0
    for (let i = 0; i < ends.length; i++) {
      const end = ends[i] as number
      const { head, tail } = frames[groups.at[i] as number] as Frame
      at = this.#writeTime(out, at, realtimes[i] as number)
      out.set(head, at)
      at += head.length
      at = isMessage ? writeMessage(out, at, records, start, end) : at + records.copy(out, at, start, end)
      out.set(tail, at)
      at += tail.length
      if (hasCursor(records, start, end)) {
        const cursorAt = start + CURSOR_AT
        const length = cursorLength(records, cursorAt, cursorBytes)
        at += records.copy(out, at, cursorAt, cursorAt + length)
        cursorBytes = length
      } else at += out.write(batch.entries[i]?.cursor ?? '', at, 'latin1')
      out.set(BEFORE_KEY, at)
      at += BEFORE_KEY.length
      at += keyBytes.copy(out, at, i * KEY_BYTES, (i + 1) * KEY_BYTES)
      out.set(END, at)
      at += END.length
      start = end + 1
    }
    return out.subarray(0, at)
  }

  /** Takes back a body that nobody reads any more. */
  giveBack(body: Buffer): void {
    this.#memory.giveBack(body)
  }

  /** Seconds with six decimals, from whole microseconds: a float would give an exponent, or lose digits. */
  #writeTime(out: Buffer, at: number, realtime: number): number {
    const second = Math.floor(realtime / 1e6)
    if (second !== this.#second) {
      this.#second = second
      this.#begin = Buffer.from(`{"time":${second}.`)
    }
    out.set(this.#begin, at)
    // Integers from here on, which V8 divides faster.
    let rest = (realtime - second * 1e6) | 0
    const end = at + this.#begin.length + 6
    for (let digit = end - 1; digit >= end - 6; digit--) {
      const tenth = (rest / 10) | 0
      out[digit] = 48 + rest - tenth * 10
      rest = tenth
    }
    return end
  }

  #frame(token: object | undefined, batch: Batch, index: number): Frame {
    if (token === undefined) return this.#makeFrame(batch, index)
    let frame = this.#frames.get(token)
    if (frame === undefined) {
      frame = this.#makeFrame(batch, index)
      this.#frames.set(token, frame)
    }
    return frame
  }

  #makeFrame({ entries }: Batch, index: number): Frame {
    const { host, source, sourcetype, index: into, indexed } = this.#options
    const values = new Map<string, string>()
    // The first value where a field repeats.
    if (this.fields.length > 0) {
      for (const [name, value] of entries[index]?.fields() ?? [])
        if (!values.has(name)) values.set(name, Buffer.from(value).toString())
    }
    const member = (name: string, template: Template | undefined): string => {
      const text = cutText(template?.render(values) ?? '')
      return text === '' ? '' : `"${name}":${JSON.stringify(text)},`
    }
    const head = `,${member('host', host)}${member('source', source)}${member('sourcetype', sourcetype)}${member('index', into)}"event":`
    const more = [...indexed].map(([name, template]) => member(name, template)).join('')
    return { head: Buffer.from(head), tail: Buffer.from(`,"fields":{${more}"journald_cursor":"`) }
  }
}

/** Room for a body: an upper bound. */
function sizeOf({ records, ends }: Batch, frames: readonly Frame[]): number {
  let frameBytes = 0
  for (const { head, tail } of frames) frameBytes = Math.max(frameBytes, head.length + tail.length)
  const rest = TIME_BYTES + CURSOR_BYTES + BEFORE_KEY.length + KEY_BYTES + END.length
  return records.length + ends.length * (frameBytes + rest)
}

/** Whether the cursor stands where records of shape `journal` have it. */
function hasCursor(records: Buffer, start: number, end: number): boolean {
  const at = start + CURSOR_AT - BEFORE_CURSOR.length
  if (end - start < CURSOR_AT + CURSOR_BYTES) return false
  for (let i = 0; i < BEFORE_CURSOR.length; i++) if (records[at + i] !== BEFORE_CURSOR[i]) return false
  return true
}

/** Length of the cursor at `at`; most are as long as the one before. The quote that ends it is followed by a comma. */
function cursorLength(records: Buffer, at: number, guess: number): number {
  if (records[at + guess] === QUOTE && records[at + guess + 1] === COMMA) return guess
  return records.indexOf(QUOTE, at) - at
}

function writeMessage(out: Buffer, at: number, records: Buffer, start: number, end: number): number {
  if (hasCursor(records, start, end)) {
    const found = records.subarray(start, end).indexOf(BEFORE_MESSAGE)
    if (found >= 0) {
      const from = start + found + BEFORE_MESSAGE.length - 1
      const to = stringEnd(records, from)
      // `""` is refused with code 13.
      if (to - from > 2) return at + records.copy(out, at, from, to)
    }
  } else {
    const record = JSON.parse(records.toString('utf8', start, end)) as { MESSAGE?: unknown; message?: unknown }
    const message = record.MESSAGE ?? record.message
    if (typeof message === 'string' && message !== '') return at + out.write(JSON.stringify(message), at)
  }
  return at + records.copy(out, at, start, end)
}

/** Behind the closing quote of the JSON string whose opening quote is at `from`. */
function stringEnd(bytes: Buffer, from: number): number {
  for (let at = bytes.indexOf(QUOTE, from + 1); ; at = bytes.indexOf(QUOTE, at + 1)) {
    let slashes = 0
    while (bytes[at - 1 - slashes] === 92) slashes++
    if (slashes % 2 === 0) return at + 1
  }
}

/** The longest beginning of a text that has no more than so many bytes and no half character. */
function cutText(text: string): string {
  if (text.length * 3 <= MOST_TEXT_BYTES || Buffer.byteLength(text) <= MOST_TEXT_BYTES) return text
  const bytes = Buffer.from(text)
  let end = MOST_TEXT_BYTES
  while (((bytes[end] as number) & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end)
}
