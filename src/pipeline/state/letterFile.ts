// One file of dead letters: a line of JSON each, with all that a person needs to judge the entry and a sink to send it
// again. A line without its newline was cut off by a crash and was never promised to anybody.
// Invariant: a letter's offset never changes, so that `<file>.dropped` can name it.

import { isUtf8 } from 'node:buffer'
import { open } from 'node:fs/promises'
import { readIfThere } from '../../atomicFile.ts'
import type { SinkTraits } from '../../sink.ts'
import type { DeadEntry } from '../settings.ts'

/** A letter as it was found in the state folder. */
export interface StoredLetter extends DeadEntry {
  /** Names it for `drop`; holds as long as the letter is there. */
  readonly id: string
  /** When it was rejected, ISO 8601. */
  readonly time: string
}

const NEWLINE = 10

/** Writes a letter as one line with its newline. */
export function formatLetter(letter: DeadEntry, timeMs: number): string {
  const line = {
    time: new Date(timeMs).toISOString(),
    code: letter.code,
    reason: letter.reason,
    source: letter.source,
    cursor: letter.cursor,
    key: letter.key,
    encoding: letter.encoding,
    ...bytesAs('record', letter.record),
    ...(letter.fields === undefined ? {} : bytesAs('fields', letter.fields)),
  }
  return `${JSON.stringify(line)}\n`
}

/** Readable where the bytes are text, as those of the JSON encoding always are. */
function bytesAs(name: string, bytes: Uint8Array): object {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return isUtf8(view) ? { [name]: view.toString('utf8') } : { [`${name}_base64`]: view.toString('base64') }
}

/** Reads one line, without its newline. Undefined when it is no letter. */
export function parseLetter(line: string, id: string): StoredLetter | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(line)
  } catch {
    return undefined // said by the caller, who knows the place
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined
  const found = parsed as Record<string, unknown>
  const { time, code, reason, cursor, key, source, encoding } = found
  const record = bytesOf(found, 'record')
  if (typeof time !== 'string' || typeof code !== 'string' || typeof reason !== 'string') return undefined
  if (typeof cursor !== 'string' || typeof key !== 'string' || record === undefined) return undefined
  return {
    id,
    time,
    code,
    reason,
    cursor,
    key,
    record,
    source: typeof source === 'string' ? source : undefined,
    encoding: isEncoding(encoding) ? encoding : undefined,
    fields: bytesOf(found, 'fields'),
  }
}

function bytesOf(found: Record<string, unknown>, name: string): Uint8Array | undefined {
  const text = found[name]
  if (typeof text === 'string') return Buffer.from(text, 'utf8')
  const base64 = found[`${name}_base64`]
  return typeof base64 === 'string' ? Buffer.from(base64, 'base64') : undefined
}

function isEncoding(value: unknown): value is SinkTraits['encoding'] {
  return value === 'json' || value === 'msgpack' || value === 'journal-export' || value === 'none'
}

/** A complete line and where it begins, in bytes. */
export interface Line {
  readonly offset: number
  readonly text: string
}

/** The complete lines of a file, in order. */
export function* linesOf(content: Buffer): Generator<Line> {
  for (let offset = 0; ; ) {
    const end = content.indexOf(NEWLINE, offset)
    if (end < 0) return
    yield { offset, text: content.toString('utf8', offset, end) }
    offset = end + 1
  }
}

/** How many complete lines there are. */
export function countLines(content: Buffer): number {
  let count = 0
  for (let end = content.indexOf(NEWLINE); end >= 0; end = content.indexOf(NEWLINE, end + 1)) count++
  return count
}

/** The length of a file up to its last newline: where the next letter goes. */
export function completeLength(content: Buffer): number {
  return content.lastIndexOf(NEWLINE) + 1
}

/** The offsets of the letters of `path` that were dropped. */
export function readDropped(path: string): Set<number> {
  const content = readIfThere(`${path}.dropped`)
  if (content === undefined) return new Set()
  // Of a fixed width, so that what a crash left of one is not taken for another.
  const offsets = Array.from(linesOf(content), (line) => (/^\d{12}$/.test(line.text) ? Number(line.text) : -1))
  return new Set(offsets.filter((offset) => offset >= 0))
}

/** Notes letters of `path` as dropped; durable when it resolves. Beside a daemon that appends to `path`. */
export async function appendDropped(path: string, offsets: readonly number[]): Promise<void> {
  const file = await open(`${path}.dropped`, 'a', 0o600)
  try {
    // A line of its own before them: what a crash cut off must not run into the first number.
    await file.appendFile(`\n${offsets.map((offset) => String(offset).padStart(12, '0')).join('\n')}\n`)
    await file.datasync()
  } finally {
    await file.close()
  }
}
