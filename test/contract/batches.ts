// Batches without a journal, for tests of sinks: real cursors, keys, records and ends, and positions that move as real ones do.
// Equal arguments give equal batches.

import { createHash } from 'node:crypto'
import type { Advanced, Batch, Cursor, Entry, Position, SinkHost, SinkTraits } from '../../src/sink.ts'

const KEY_BYTES = 34
const NEWLINE = 0x0a
const DIGITS = '-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz'
const FIRST_REALTIME_US = 1_790_000_000_000_000
// Ids by what they were made of.
const ids = new Map<string, string>()

export interface BatchOptions {
  /** As in the sink's traits; `json` by default. */
  readonly encoding?: SinkTraits['encoding']
  /** A machine id; equal sources have equal journals. */
  readonly source?: string
  /** Number of the first entry in the source's journal, from 1. By default 1. */
  readonly first?: number
  /** About so many bytes in each message, by default 40. */
  readonly messageBytes?: number
  /** So many entries follow each other that are equal in all but their number; 1 by default. */
  readonly run?: number
  /** Fields of entry n that are added, or replace others; values are strings. */
  readonly fields?: (n: number) => Readonly<Record<string, string>>
  readonly attempt?: number
}

/** The machine id of batches for which no `source` is given. */
export const SOURCE = idOf('source')

/** A batch of entries `first`, `first + 1`, … of a made-up journal. */
export function makeBatch(length: number, options: BatchOptions = {}): Batch {
  const { encoding = 'json', source = SOURCE, first = 1, attempt = 1 } = options
  const entries: Entry[] = []
  const ends = new Uint32Array(length)
  const parts: Buffer[] = []
  let bytes = 0
  for (let index = 0; index < length; index++) {
    const entry = makeEntry(first + index, source, encoding, options)
    entries.push(entry)
    parts.push(Buffer.from(entry.record))
    bytes += entry.record.length
    ends[index] = bytes
    if (encoding !== 'json') continue
    parts.push(Buffer.of(NEWLINE))
    bytes++
  }
  const before = positionAt(source, first - 1)
  const after = positionAt(source, first - 1 + length)
  return {
    id: createHash('sha256').update(`${source} ${before} ${after}`).digest('hex').slice(0, 16),
    source,
    attempt,
    entries,
    records: own(Buffer.concat(parts)),
    ends,
    keys: own(Buffer.from(entries.map((entry) => entry.key).join(''), 'latin1')),
    realtimes: Float64Array.from(entries, (entry) => entry.realtime),
    // Each entry for itself: these batches do not know which fields a sink asks for.
    groups: { at: Uint32Array.from(entries.keys()), first: Uint32Array.from(entries.keys()) },
    before,
    after,
  }
}

/** The records of a batch, without what stands between them. */
export function recordsOf({ records, ends }: Batch, encoding: SinkTraits['encoding'] = 'json'): Uint8Array[] {
  const gap = encoding === 'json' ? 1 : 0
  let start = 0
  return Array.from(ends, (end) => {
    const record = records.subarray(start, end)
    start = end + gap
    return record
  })
}

/** The position behind entry `n` of a source's journal. */
export function positionAt(source: string, n: number): Position {
  return `made-up:${source}:${n}`
}

/** The number of the last entry before a position. */
export function entryBefore(position: Position): number {
  const found = /^made-up:[^:]+:(\d+)$/.exec(position)
  if (found === null) throw invalid(`not a position of makeBatch: ${position}`)
  return Number(found[1])
}

/** The cursor of entry `n`: its times and hash are those of the first entry of its run. */
export function cursorAt(source: string, n: number, run = 1): Cursor {
  const { monotonic, realtime, hash } = identityOf(n, run)
  const hex = (value: number | bigint) => value.toString(16)
  return `s=${idOf(`${source} seqnum`)};i=${hex(n)};b=${idOf(`${source} boot`)};m=${hex(monotonic)};t=${hex(realtime)};x=${hex(hash)}`
}

/** What a sink gets besides its configuration. `lines` collects what it logs. */
export interface TestHost extends SinkHost {
  readonly lines: { readonly level: 'info' | 'warn'; readonly text: string; readonly fields: object | undefined }[]
}

/** A host whose `advance` moves positions of `makeBatch`, by the rules of the real one: it gives the last run back. */
export function testHost(name = 'tested'): TestHost {
  const lines: TestHost['lines'] = []
  return {
    name,
    lines,
    log: {
      info: (text, fields) => void lines.push({ level: 'info', text, fields }),
      warn: (text, fields) => void lines.push({ level: 'warn', text, fields }),
    },
    node: { hostname: 'node-1', machineId: SOURCE, agentId: undefined },
    advance: advanceMadeUp,
  }
}

function advanceMadeUp(position: Position, cursors: readonly Cursor[]): Advanced {
  let n = entryBefore(position)
  const numbers = cursors.map((cursor) => {
    const found = /^s=[0-9a-f]{32};i=([0-9a-f]+);b=[0-9a-f]{32};m=([0-9a-f]+);/.exec(cursor)
    if (found === null) throw invalid(`not a cursor: ${cursor}`)
    return { n: Number.parseInt(found[1] ?? '', 16), time: found[2] }
  })
  for (const number of numbers) {
    if (number.n !== ++n) throw invalid(`entry ${number.n} follows where ${n} should`)
  }
  const last = numbers.at(-1)?.time
  let entries = numbers.length
  while (entries > 0 && numbers[entries - 1]?.time === last) entries--
  const source = position.split(':')[1] ?? ''
  return { position: positionAt(source, entryBefore(position) + entries), entries }
}

/** Like a Problem of the real host. */
function invalid(message: string): Error {
  return Object.assign(new Error(message), { code: 'LF_POSITION_INVALID' })
}

function makeEntry(n: number, source: string, encoding: SinkTraits['encoding'], options: BatchOptions): Entry {
  const { run = 1, messageBytes = 40 } = options
  const { monotonic, realtime, number } = identityOf(n, run)
  const cursor = cursorAt(source, n, run)
  const message = `message ${number === 0 ? n : n - number} "quoted" \\ ü € `
  // In the order of real records of shape `journal`.
  const fields: Record<string, string> = {
    '@timestamp': new Date(realtime / 1000).toISOString().replace('Z', `${String(realtime % 1000).padStart(3, '0')}Z`),
    __CURSOR: cursor,
    __REALTIME_TIMESTAMP: String(realtime),
    __MONOTONIC_TIMESTAMP: String(monotonic),
    _BOOT_ID: idOf(`${source} boot`),
    PRIORITY: String(n % 8),
    SYSLOG_IDENTIFIER: 'made-up',
    _PID: String(1000 + (n % 7)),
    _HOSTNAME: 'node-1',
    _MACHINE_ID: source,
    MESSAGE: message.padEnd(messageBytes, '.'),
    ...options.fields?.(n),
  }
  return {
    cursor,
    realtime,
    key: keyOf(source, n, run),
    record: own(encode(fields, encoding)),
    get: (field) => fields[field],
    fields: () => Object.entries(fields).map(([name, value]) => [name, Buffer.from(value)] as const),
  }
}

function identityOf(n: number, run: number) {
  const number = (n - 1) % run
  const start = n - number
  const hash = BigInt(`0x${idOf(`hash ${start}`).slice(0, 16)}`)
  return { number, monotonic: 5_000_000 + start * 100, realtime: FIRST_REALTIME_US + start * 100, hash }
}

/** 34 characters that sort as the entries do, as real keys: time, identity, number in its run. */
function keyOf(source: string, n: number, run: number): string {
  const { number, realtime } = identityOf(n, run)
  const middle = idOf(`${source} key ${realtime}`).slice(0, 22)
  return (digits(realtime, 9) + middle + digits(number, 3)).slice(0, KEY_BYTES)
}

function digits(value: number, width: number): string {
  let text = ''
  for (let rest = value; text.length < width; rest = Math.floor(rest / 64)) text = DIGITS[rest % 64] + text
  return text
}

function idOf(seed: string): string {
  let id = ids.get(seed)
  if (id === undefined) {
    id = createHash('sha256').update(seed).digest('hex').slice(0, 32)
    if (ids.size < 10_000) ids.set(seed, id)
  }
  return id
}

function encode(fields: Readonly<Record<string, string>>, encoding: SinkTraits['encoding']): Buffer {
  switch (encoding) {
    case 'none':
      return Buffer.alloc(0)
    case 'json':
      return Buffer.from(JSON.stringify(fields))
    case 'journal-export':
      return Buffer.from(
        `${Object.entries(fields)
          .map(([name, value]) => `${name}=${value}\n`)
          .join('')}\n`,
      )
    case 'msgpack':
      return packed(fields)
  }
}

/** MessagePack: map 16, then strings of 16-bit lengths; readers take these long forms for short values, too. */
function packed(fields: Readonly<Record<string, string>>): Buffer {
  const entries = Object.entries(fields)
  const head = (type: number, length: number) => Buffer.of(type, length >> 8, length & 0xff)
  const text = (value: string) => {
    const bytes = Buffer.from(value)
    if (bytes.length > 0xffff)
      return Buffer.concat([Buffer.of(0xdb, 0, bytes.length >> 16), head(0, bytes.length & 0xffff).subarray(1), bytes])
    return Buffer.concat([head(0xda, bytes.length), bytes])
  }
  return Buffer.concat([head(0xde, entries.length), ...entries.flatMap(([name, value]) => [text(name), text(value)])])
}

/** In memory of its own, as the contract's types ask for: small Buffers share Node's pool. */
function own(bytes: Buffer): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes)
}
