// Appends NDJSON to a file. The file holds the position: a note beside it says, before each batch is written, which lines may
// follow, so that after a crash at any point every line is there once. Rotated and compressed on the way, if wanted.

import { dirname, resolve } from 'node:path'
import {
  type Batch,
  type CheckLine,
  type Delivery,
  defineSink,
  type Position,
  type Receipt,
  type Sink,
  SinkError,
  type SinkHost,
} from '../src/sink.ts'
import { type Held, type Note, NoteFile, type Notes, type Pending } from './file/note.ts'
import { type FileConfig, fileConfig } from './file/options.ts'
import { checkPlace, createFile, findRenamed, openExisting, realPath } from './file/place.ts'
import { endLine, recover, withHeld, without } from './file/recovery.ts'
import { RotatedFiles } from './file/rotation.ts'
import {
  absent,
  asSinkError,
  type FileHandle,
  type FileSystem,
  isDiskFull,
  type Machine,
  thisMachine,
  writeAll,
} from './file/system.ts'
import { Turns, unlessAborted } from './parts/turns.ts'

// Below this much room a full disk is not tried again: each try would write a part and take it back under a reader's eyes.
const HEADROOM_BYTES = 1024 * 1024
// Finished backfills leave their positions in the note; of other shipments than its own a sink keeps so many, the newest.
const MOST_OTHERS = 16

export default defineSink<FileConfig>({
  name: 'file',
  summary:
    'Appends entries as NDJSON to a file, with rotation and compression; no line is lost or repeated by a crash.',
  config: fileConfig,
  create: (config, host) => new FileSink(config, host, thisMachine),
})

/** The current file, while it is open. */
interface Current {
  readonly handle: FileHandle
  readonly inode: string
  /** Milliseconds since 1970. */
  began: number
  length: number
}

export class FileSink implements Sink {
  readonly traits
  readonly #config: FileConfig
  readonly #host: SinkHost
  readonly #machine: Machine
  readonly #fs: FileSystem
  readonly #turns = new Turns()
  #path: string
  #notes: NoteFile
  #rotated: RotatedFiles
  #current: Current | undefined
  #owned: string | undefined
  #held: readonly Held[] = []
  #boot = ''
  #isFull = false
  #syncTimer: NodeJS.Timeout | undefined
  #syncing: Promise<void> = Promise.resolve()

  constructor(config: FileConfig, host: SinkHost, machine: Machine) {
    this.#config = config
    this.#host = host
    this.#machine = machine
    this.#fs = machine.fs
    this.traits = {
      delivered: config.sync === 'batch' ? 'stored' : 'accepted',
      idempotent: false,
      holdsPosition: true,
      ordered: true,
      encoding: 'json',
      fields: [],
      releases: true,
      limits: {},
    } as const
    this.#path = resolve(config.path)
    this.#notes = new NoteFile(this.#fs, this.#path)
    this.#rotated = this.#rotatedFiles()
  }

  open(signal: AbortSignal): Promise<void> {
    return this.#turn(async () => {
      await this.#ready()
      await this.#rotated.tidy()
      if (signal.aborted) await this.#release()
    }, signal)
  }

  write(batch: Batch, { signal }: Delivery): Promise<Receipt> {
    return this.#turn(() => this.#append(batch), signal)
  }

  lastDelivered(source: string, signal: AbortSignal): Promise<Position | undefined> {
    return this.#turn(async () => {
      await this.#ready()
      return this.#standsAt(source)
    }, signal)
  }

  check(): Promise<readonly CheckLine[]> {
    return checkPlace(this.#fs, this.#config)
  }

  async close(signal: AbortSignal): Promise<void> {
    // Without the signal: given up, the file is still closed as soon as the write under way lets it.
    const closed = this.#turn(async () => {
      try {
        if (this.#current !== undefined) await this.#settle(this.#current, { closed: true })
      } finally {
        await this.#release()
      }
    })
    await unlessAborted(Promise.all([closed, this.#rotated.stop(signal)]), signal)
  }

  #turn<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const guarded = async () => {
      try {
        return await work()
      } catch (error) {
        throw asSinkError(error, this.#path)
      }
    }
    return this.#turns.take(guarded, signal)
  }

  // ── writing ──

  async #append(batch: Batch): Promise<Receipt> {
    const { records, source, before, after } = batch
    const { name } = this.#host
    const current = await this.#readyFor(records.length)
    if (records.length > 0) {
      if (this.#standsAt(source) !== before) await this.#moveTo(current, { name, source, position: before })
      const pending = { name, source, before, after, bytes: records.length }
      await this.#notes.write(this.#note(current, { pending }))
      await this.#writeOrTakeBack(current, records)
      current.length += records.length
    }
    this.#held = withHeld(this.#held, { name, source, position: after })
    if (this.#config.sync === 'batch') await this.#noteSynced(current)
    else this.#syncSoon()
    return 'delivered'
  }

  #standsAt(source: string): Position | undefined {
    const { name } = this.#host
    return this.#held.find((held) => held.name === name && held.source === source)?.position
  }

  /** A new source, or a person has moved the position: lastingly, so that a power cut cannot take back the start but not the lines. */
  async #moveTo(current: Current, held: Held): Promise<void> {
    this.#held = withHeld(this.#held, held)
    await this.#settle(current)
  }

  async #writeOrTakeBack(current: Current, records: Uint8Array): Promise<void> {
    try {
      await writeAll(current.handle, records, null)
      if (this.#config.sync === 'batch') await current.handle.datasync()
      this.#isFull = false
    } catch (error) {
      this.#isFull = isDiskFull(error)
      // The note allows for a part of the batch, so where this fails too the next start finds out.
      await current.handle.truncate(current.length).catch(() => this.#release())
      throw error
    }
  }

  /** The open file, ready for a batch of `bytes`: still the one at the path, and not due for rotation. */
  async #readyFor(bytes: number): Promise<Current> {
    if (this.#isFull) await this.#requireRoom(bytes)
    let current = await this.#ready()
    const found = await this.#fs.stat(this.#path, { bigint: true }).catch(absent)
    if (found === undefined || String(found.ino) !== current.inode) {
      this.#host.log.info('the file was moved away, a new one is begun', { path: this.#path })
      await this.#settle(current)
      await this.#release()
      current = await this.#ready()
    } else if (Number(found.size) !== current.length) {
      const length = current.length
      current.length = await endLine(current.handle, Number(found.size))
      this.#reportSize(length, current.length)
    }
    return this.#isDue(current, bytes) ? this.#rotate(current) : current
  }

  #reportSize(ours: number, found: number): void {
    if (found < ours) this.#host.log.warn('the file was cut from outside', { path: this.#path, ours, found })
    else
      throw new SinkError(
        'refused',
        `${this.#path}: another program has written ${found - ours} bytes into it; each sink and program needs a file of its own`,
      )
  }

  async #requireRoom(bytes: number): Promise<void> {
    const { bavail, bfree, bsize } = await this.#fs.statfs(dirname(this.#path))
    const free = (process.getuid?.() === 0 ? bfree : bavail) * bsize
    if (free >= bytes + HEADROOM_BYTES) return
    throw new SinkError('unavailable', `${this.#path}: the disk is full; shipping goes on when there is room`)
  }

  // ── opening ──

  async #ready(): Promise<Current> {
    if (this.#current !== undefined) return this.#current
    try {
      await this.#usePath(await realPath(this.#fs, this.#config.path))
      this.#boot = await this.#machine.bootId()
      const notes = await this.#notes.read()
      const handle = await openExisting(this.#fs, this.#path)
      if (handle !== undefined) this.#current = await this.#identify(handle)
      if (notes !== undefined) await this.#recover(notes, this.#current)
      else if (this.#current !== undefined)
        this.#current.length = await endLine(this.#current.handle, this.#current.length)
      this.#current ??= await this.#create()
      await this.#current.handle.datasync()
      await this.#noteSynced(this.#current)
      return this.#current
    } catch (error) {
      await this.#release()
      throw error
    }
  }

  async #identify(handle: FileHandle): Promise<Current> {
    try {
      const { ino, size, birthtimeMs } = await handle.stat({ bigint: true })
      return { handle, inode: String(ino), began: Number(birthtimeMs), length: Number(size) }
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  /** Brings `current`, the positions and what the last run noted together. */
  async #recover(notes: Notes, current: Current | undefined): Promise<void> {
    const { newest } = notes
    const { name } = this.#host
    this.#held = newest.held
    if (current?.inode === newest.inode) {
      const { length, held } = await recover(current.handle, notes, this.#boot, this.#host)
      current.length = length
      current.began = newest.began
      this.#held = held
    } else {
      // Empty when a kill in rotation left it; else another program's.
      if (current !== undefined) current.length = await endLine(current.handle, current.length)
      await this.#recoverMoved(notes)
    }
    const others = this.#held.filter((held) => held.name !== name).slice(-MOST_OTHERS)
    this.#held = [...others, ...this.#held.filter((held) => held.name === name)]
  }

  /** The noted file is no longer at the path: rotated by us before a kill, or moved away by another program. */
  async #recoverMoved(notes: Notes): Promise<void> {
    const { newest } = notes
    if (newest.pending === undefined) return
    const moved = await findRenamed(this.#fs, this.#path, newest.inode)
    if (moved === undefined) {
      this.#host.log.warn('the file that the last batch went into is gone, the position in the state folder counts', {
        path: this.#path,
      })
      this.#held = without(newest.held, newest.pending)
      return
    }
    try {
      this.#held = (await recover(moved, notes, this.#boot, this.#host)).held
    } finally {
      await moved.close()
    }
  }

  async #create(): Promise<Current> {
    const handle = await createFile(this.#fs, this.#path, this.#config)
    const { ino } = await handle.stat({ bigint: true })
    return { handle, inode: String(ino), began: this.#machine.now(), length: 0 }
  }

  async #usePath(path: string): Promise<void> {
    if (path !== this.#path) {
      await this.#release()
      this.#path = path
      this.#notes = new NoteFile(this.#fs, path)
      this.#rotated = this.#rotatedFiles()
    }
    const { open } = this.#machine
    if (this.#owned !== path && open.has(path)) {
      throw new SinkError('refused', `${path}: another sink writes into this file; give each its own`)
    }
    open.add(path)
    this.#owned = path
  }

  #rotatedFiles(): RotatedFiles {
    const { compress, rotate } = this.#config
    const rules = { compress, keep: rotate?.keep, maxAgeMs: rotate?.max_age }
    return new RotatedFiles(this.#fs, this.#path, rules, this.#host.log, this.#machine.now)
  }

  // ── rotation ──

  #isDue({ length, began }: Current, bytes: number): boolean {
    const { size, every } = this.#config.rotate ?? {}
    if (length === 0) return false
    if (size !== undefined && length + bytes > size) return true
    return every !== undefined && Math.floor(this.#machine.now() / every) > Math.floor(began / every)
  }

  async #rotate(current: Current): Promise<Current> {
    await this.#settle(current)
    await this.#fs.rename(this.#path, await this.#rotated.nextPath())
    await this.#closeCurrent()
    // From here to the note a start finds no file, or an empty one, and a note without an open batch: nothing to recover.
    const fresh = await this.#create()
    this.#current = fresh
    await this.#noteSynced(fresh)
    await this.#rotated.tidy()
    return fresh
  }

  // ── notes and syncing ──

  #note({ inode, length, began }: Current, more: { pending?: Pending; closed?: true } = {}): Note {
    return { boot: this.#boot, inode, length, began, held: this.#held, ...more }
  }

  /** All lines are settled and on disk: says so. */
  #noteSynced(current: Current, more?: { closed: true }): Promise<void> {
    return this.#notes.writeSynced(this.#note(current, more))
  }

  /** Brings all lines to disk, and says so. */
  async #settle(current: Current, more?: { closed: true }): Promise<void> {
    clearTimeout(this.#syncTimer)
    this.#syncTimer = undefined
    await this.#syncing
    await current.handle.datasync()
    await this.#noteSynced(current, more)
  }

  #syncSoon(): void {
    const { sync } = this.#config
    if (typeof sync !== 'number' || this.#syncTimer !== undefined) return
    this.#syncTimer = setTimeout(() => {
      // In a turn, between two writes, all lines are settled; the disk then works beside the next writes.
      void this.#turns.take(async () => {
        const current = this.#current
        this.#syncTimer = undefined
        if (current === undefined) return
        const note = this.#note(current)
        const stamp = this.#notes.stamp()
        this.#syncing = this.#syncing.then(() => this.#syncBeside(current, note, stamp))
      })
    }, sync).unref()
  }

  async #syncBeside({ handle }: Current, note: Note, stamp: number): Promise<void> {
    try {
      await handle.datasync()
      await this.#notes.writeSynced(note, stamp)
    } catch (error) {
      this.#host.log.warn(`cannot bring ${this.#path} to disk: ${String(error)}`)
    }
  }

  async #closeCurrent(): Promise<void> {
    const { handle } = this.#current ?? {}
    await this.#syncing
    this.#current = undefined
    await handle?.close()
  }

  async #release(): Promise<void> {
    clearTimeout(this.#syncTimer)
    this.#syncTimer = undefined
    await this.#closeCurrent()
    await this.#notes.close()
    if (this.#owned !== undefined) this.#machine.open.delete(this.#owned)
    this.#owned = undefined
  }
}
