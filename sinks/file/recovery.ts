// What a file holds after a crash: the note says up to which length all is settled and which batch may follow; the complete lines
// behind that length count, and their cursors move the position. Invariant: what is kept in the file is exactly what the positions
// say was delivered, so nothing is lost and nothing is written twice.

import type { Cursor, Position, SinkHost } from '../../src/sink.ts'
import type { Held, Note, Notes } from './note.ts'
import { codeOf, type FileHandle, writeAll } from './system.ts'

const NEWLINE = 0x0a
const CHUNK_BYTES = 256 * 1024
// So many cursors are kept before the position moves over them.
const STRIDE = 1024
const CURSOR = /^s=[0-9a-f]{32};i=[0-9a-f]+;b=[0-9a-f]{32};m=[0-9a-f]+;t=[0-9a-f]+;x=[0-9a-f]+$/

/** What is true once the file was mended. */
export interface Recovered {
  readonly length: number
  readonly held: readonly Held[]
}

interface Line {
  readonly text: Buffer
  /** The offset behind its newline. */
  readonly end: number
}

/** The complete lines between two offsets. A torn last one is not among them. */
export async function* linesOf(handle: FileHandle, from: number, to: number): AsyncGenerator<Line> {
  let parts: Buffer[] = []
  for (let at = from; at < to; ) {
    const wanted = Math.min(CHUNK_BYTES, to - at)
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(wanted), 0, wanted, at)
    if (bytesRead === 0) return
    let start = 0
    for (;;) {
      const newline = buffer.subarray(0, bytesRead).indexOf(NEWLINE, start)
      if (newline < 0) break
      parts.push(buffer.subarray(start, newline))
      yield { text: parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts), end: at + newline + 1 }
      parts = []
      start = newline + 1
    }
    if (start < bytesRead) parts.push(buffer.subarray(start, bytesRead))
    at += bytesRead
  }
}

/** The cursor that a record carries in shape `journal` or `ecs`; undefined when it has none, or is no whole record. */
export function cursorOf(line: Buffer): Cursor | undefined {
  let record: unknown
  try {
    record = JSON.parse(line.toString())
  } catch {
    // Half a record, or the zeros that some file systems leave after a power cut: the caller stops here.
    return undefined
  }
  if (typeof record !== 'object' || record === null) return undefined
  const fields = record as Record<string, unknown>
  const nested = fields['journald'] as Record<string, unknown> | null | undefined
  const found = fields['__CURSOR'] ?? fields['journald.cursor'] ?? nested?.['cursor']
  return typeof found === 'string' && CURSOR.test(found) ? found : undefined
}

/** Up to where the lines between two offsets look whole: a hole of zeros or a torn line ends them. */
async function intactEnd(handle: FileHandle, from: number, to: number): Promise<number> {
  let intact = from
  for await (const { text, end } of linesOf(handle, from, to)) {
    if (text[0] !== 0x7b || text.at(-1) !== 0x7d || text.includes(0)) break
    intact = end
  }
  return intact
}

/** Moves a position over the lines from `from` on, as far as their cursors can be read. `end`: the offset up to which it came. */
async function follow(
  handle: FileHandle,
  from: number,
  to: number,
  start: Position,
  host: SinkHost,
): Promise<{ position: Position; end: number }> {
  let position = start
  let reached = from
  let cursors: Cursor[] = []
  let ends: number[] = []
  const advance = () => {
    const { position: next, entries } = host.advance(position, cursors)
    if (entries === 0) return
    position = next
    reached = ends[entries - 1] ?? reached
    cursors = cursors.slice(entries)
    ends = ends.slice(entries)
  }
  try {
    for await (const { text, end } of linesOf(handle, from, to)) {
      const cursor = cursorOf(text)
      if (cursor === undefined) break
      cursors.push(cursor)
      ends.push(end)
      if (cursors.length % STRIDE === 0) advance()
    }
    if (cursors.length > 0) advance()
  } catch (error) {
    if (codeOf(error)?.startsWith('LF_') !== true) throw error
    // A field looks like a cursor and is none. The lines behind `reached` do not count then: they are cut and sent again.
    host.log.warn('a line of the file holds no valid cursor', { error: String(error) })
  }
  return { position, end: reached }
}

/** Replaces, or adds, where one shipment stands in one source. The one that moved last stands last. */
export function withHeld(held: readonly Held[], moved: Held): Held[] {
  return [...without(held, moved), moved]
}

export function without(held: readonly Held[], gone: Pick<Held, 'name' | 'source'>): Held[] {
  return held.filter((one) => one.name !== gone.name || one.source !== gone.source)
}

/** Cuts the file to `length`, lastingly: what is behind it must not come back after a power cut. */
async function cut(handle: FileHandle, length: number): Promise<void> {
  if ((await handle.stat()).size === length) return
  await handle.truncate(length)
  await handle.datasync()
}

/** Another program's last line may lack its newline: ours must not be glued to it. Answers the length. */
export async function endLine(handle: FileHandle, length: number): Promise<number> {
  if (length === 0) return 0
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, length - 1)
  if (buffer[0] === NEWLINE) return length
  await writeAll(handle, Buffer.from('\n'), null)
  return length + 1
}

/**
 * Mends the file that the note is about: cuts off a torn line, and answers where every source stands at the new end.
 * `boot` is the running kernel's id: when it is another than noted, lines that were not synced may be missing or zeros.
 */
export async function recover(handle: FileHandle, notes: Notes, boot: string, host: SinkHost): Promise<Recovered> {
  const size = (await handle.stat()).size
  const { newest, synced } = notes
  // After a clean stop all was on disk, and a restart of the machine changes nothing.
  if (newest.boot === boot || newest.closed === true) return settle(handle, size, newest, host, false)

  const sure = synced?.inode === newest.inode ? synced : undefined
  const intact = await intactEnd(handle, Math.min(sure?.length ?? 0, size), size)
  if (intact < size) await cut(handle, intact)
  if (intact >= newest.length) return settle(handle, intact, newest, host, true)
  // The note outlived lines that it speaks of. Without a synced one that fits there is no telling what became of them.
  if (sure === undefined || intact < sure.length) return shrunk(handle, intact, newest, host)
  host.log.warn('lines were lost in a power cut, they are sent again', { bytes: newest.length - intact })
  return settle(handle, intact, sure, host, true)
}

async function settle(
  handle: FileHandle,
  size: number,
  note: Note,
  host: SinkHost,
  restarted: boolean,
): Promise<Recovered> {
  const { pending, held, length } = note
  const behind = size - length
  if (behind < 0) return shrunk(handle, size, note, host)
  if (pending !== undefined) {
    const { name, source, before, after, bytes } = pending
    const whole = withHeld(held, { name, source, position: after })
    if (behind === bytes) return { length: size, held: whole }
    if (behind < bytes) return partly(handle, size, length, held, { name, source, position: before }, host)
    if (!restarted) return foreign(handle, size, length + bytes, whole, host)
  } else if (behind === 0) {
    return { length, held }
  } else if (!restarted) {
    return foreign(handle, size, length, held, host)
  }
  // More lines than the note knows of: it did not reach the disk, they did. They are told apart only when they have one owner.
  const owners = pending === undefined ? held : withHeld(held, { ...pending, position: pending.before })
  const [owner] = owners
  if (owner !== undefined && owners.length === 1) return partly(handle, size, length, held, owner, host)
  await cut(handle, length)
  return { length, held: owners }
}

/** The lines behind `length` belong to one shipment, which stood at `owner.position` there. */
async function partly(
  handle: FileHandle,
  size: number,
  length: number,
  held: readonly Held[],
  owner: Held,
  host: SinkHost,
): Promise<Recovered> {
  const { position, end } = await follow(handle, length, size, owner.position, host)
  await cut(handle, end)
  return { length: end, held: withHeld(held, { name: owner.name, source: owner.source, position }) }
}

/** Another program appended. Its lines stay. */
async function foreign(
  handle: FileHandle,
  size: number,
  length: number,
  held: readonly Held[],
  host: SinkHost,
): Promise<Recovered> {
  host.log.warn('another program has written into the file', { bytes: size - length })
  return { length: await endLine(handle, size), held }
}

/** Cut from outside, as by logrotate's copytruncate: whether the open batch was in it cannot be known, so the local position counts. */
async function shrunk(handle: FileHandle, size: number, note: Note, host: SinkHost): Promise<Recovered> {
  host.log.warn('the file is shorter than noted, it was cut from outside', { noted: note.length, found: size })
  const held = note.pending === undefined ? note.held : without(note.held, note.pending)
  return { length: await endLine(handle, size), held }
}
