// The note beside the file: how long the file is in which all is settled, where each source stands there, and which one batch may
// follow behind that length. It is written before every batch, so it must be cheap and must survive a kill at any byte:
// four slots of one size, each a line of JSON with a checksum. Two are written in turn; two more, in turn, are synced to disk.
// A torn slot is known by its checksum, and the slot before it still says the truth. The highest number is the newest.

import { constants } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { Position } from '../../src/sink.ts'
import { SinkError } from '../../src/sink.ts'
import { absent, type FileHandle, type FileSystem, syncFolder, writeAll } from './system.ts'

const VERSION = 1
const SMALLEST_SLOT = 4096
const NEWLINE = 0x0a

/** Where a shipment stands in a source. The shipment's name is that of the sink, or of a backfill. */
export interface Held {
  readonly name: string
  readonly source: string
  readonly position: Position
}

/** The batch that may stand behind the noted length: not at all, in part, or whole. */
export interface Pending {
  readonly name: string
  readonly source: string
  readonly before: Position
  readonly after: Position
  readonly bytes: number
}

export interface Note {
  /** Of the running kernel: after a restart of the machine, what was not synced may be missing. */
  readonly boot: string
  /** Of the file that `length` is about. */
  readonly inode: string
  readonly length: number
  /** Milliseconds since 1970 when that file was begun: rotation by time. */
  readonly began: number
  readonly held: readonly Held[]
  readonly pending?: Pending
  /** The sink was closed: no line of ours stands behind `length`. */
  readonly closed?: true
}

export interface Notes {
  readonly newest: Note
  /** The newest one whose lines are surely on disk. */
  readonly synced: Note | undefined
}

interface Slot {
  readonly logferry: number
  readonly sequence: number
  readonly synced: boolean
  readonly note: Note
}

/** `/var/log/ship/journal.ndjson` → `/var/log/ship/.journal.ndjson.logferry` */
export function notePath(path: string): string {
  return join(dirname(path), `.${basename(path)}.logferry`)
}

function slotText(slot: Slot): string {
  const body = JSON.stringify(slot)
  return `{"crc32":"${crc32(body).toString(16).padStart(8, '0')}","slot":${body}}`
}

function parseSlot(line: string): Slot | undefined {
  const found = /^\{"crc32":"([0-9a-f]{8})","slot":(\{.*\})\} *$/.exec(line)
  if (found === null) return undefined
  const [, sum = '', body = ''] = found
  return crc32(body) === Number.parseInt(sum, 16) ? (JSON.parse(body) as Slot) : undefined
}

/** The note file. One writer; `read` first, then `write` as often as wanted, `close` at the end. */
export class NoteFile {
  readonly path: string
  readonly #fs: FileSystem
  #handle: FileHandle | undefined
  #slotSize = SMALLEST_SLOT
  #sequence = 0
  // Whole slots, so that the file can be made anew when one grows.
  #newest: Slot | undefined
  #synced: Slot | undefined
  #turn = 0
  #syncedTurn = 0
  #syncing: Promise<void> = Promise.resolve()

  constructor(fs: FileSystem, path: string) {
    this.#fs = fs
    this.path = notePath(path)
  }

  /** What the last run noted; `undefined` when there is no note. A note that cannot be understood is refused, never ignored. */
  async read(): Promise<Notes | undefined> {
    await this.close()
    await this.#fs.unlink(`${this.path}.tmp`).catch(absent)
    const text = await this.#fs.readFile(this.path, 'utf8').catch(absent)
    if (text === undefined) return undefined
    const slots = text.split('\n').flatMap((line) => parseSlot(line) ?? [])
    slots.sort((a, b) => b.sequence - a.sequence)
    const [newest] = slots
    if (newest === undefined) {
      throw new SinkError(
        'refused',
        `${this.path} is damaged: none of its lines has a valid checksum. Remove it to go on from the position in the ` +
          'state folder; up to one batch of lines may then be written twice',
      )
    }
    if (newest.logferry !== VERSION) {
      throw new SinkError('refused', `${this.path} was written by a newer logferry (format ${newest.logferry})`)
    }
    this.#newest = newest
    this.#synced = slots.find((slot) => slot.synced)
    this.#sequence = newest.sequence
    return { newest: newest.note, synced: this.#synced?.note }
  }

  /** The number of a note that describes the state of now but is written later. */
  stamp(): number {
    return ++this.#sequence
  }

  /** Replaces the newest note. Not synced: a kill does not lose it, a power cut may. */
  async write(note: Note): Promise<void> {
    const slot: Slot = { logferry: VERSION, sequence: this.stamp(), synced: false, note }
    this.#newest = slot
    const text = slotText(slot)
    if (this.#handle === undefined || Buffer.byteLength(text) >= this.#slotSize) return this.#create()
    await writeAll(this.#handle, this.#line(text), (this.#turn++ % 2) * this.#slotSize)
  }

  /**
   * Notes a state whose lines are on disk; so is the note when this resolves. May run beside `write`, not beside itself;
   * then with the `stamp` taken when the state was that of `note`.
   */
  async writeSynced(note: Note, sequence = this.stamp()): Promise<void> {
    const slot: Slot = { logferry: VERSION, sequence, synced: true, note }
    this.#synced = slot
    if (this.#newest === undefined || this.#newest.sequence < sequence) this.#newest = slot
    const text = slotText(slot)
    if (this.#handle === undefined || Buffer.byteLength(text) >= this.#slotSize) return this.#create()
    this.#syncing = this.#fillSynced(this.#handle, text)
    await this.#syncing
  }

  async #fillSynced(handle: FileHandle, text: string): Promise<void> {
    await writeAll(handle, this.#line(text), (2 + (this.#syncedTurn++ % 2)) * this.#slotSize)
    await handle.datasync()
  }

  #line(text: string): Buffer {
    const line = Buffer.alloc(this.#slotSize, ' ')
    line.write(text)
    line[this.#slotSize - 1] = NEWLINE
    return line
  }

  /** A new file with the notes as they are now. Replaces the old one in one step, and is on disk when this resolves. */
  async #create(): Promise<void> {
    await this.close()
    const texts = [this.#newest, this.#synced].map((slot) => (slot === undefined ? '' : slotText(slot)))
    while (texts.some((text) => Buffer.byteLength(text) >= this.#slotSize)) this.#slotSize *= 2
    // The next notes go into the empty slots, 0 and 2.
    this.#turn = 0
    this.#syncedTurn = 0
    const [newest = '', synced = ''] = texts
    const all = Buffer.concat(['', newest, '', synced].map((text) => this.#line(text)))
    const temporary = `${this.path}.tmp`
    const handle = await this.#fs.open(temporary, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, 0o600)
    try {
      await writeAll(handle, all, 0)
      await handle.sync()
      await this.#fs.rename(temporary, this.path)
      await syncFolder(this.#fs, dirname(this.path))
    } catch (error) {
      await handle.close()
      throw error
    }
    this.#handle = handle
  }

  async close(): Promise<void> {
    const handle = this.#handle
    // Whoever called `writeSynced` is told of its failure.
    await this.#syncing.catch(() => undefined)
    this.#handle = undefined
    await handle?.close()
  }
}
