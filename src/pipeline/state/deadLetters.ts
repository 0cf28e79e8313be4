// Entries that their destinations will never take, in <state>/<sink>/dead/*.ndjson, until a person has them sent again or
// drops them. The daemon appends to the last of its files; commands run beside it and only note what is dropped.
// Invariant: when `add` has resolved, a power cut loses no letter; only files that nobody appends to are removed.

import { readdirSync, rmSync, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { makeFolder, readIfThere, syncFolder, systemCode } from '../../atomicFile.ts'
import { type Problem, problem } from '../../errors.ts'
import type { Clock } from '../../telemetry/clock.ts'
import type { Log } from '../../telemetry/log.ts'
import type { DeadEntry, DeadLetterKeeper } from '../settings.ts'
import {
  appendDropped,
  completeLength,
  countLines,
  formatLetter,
  linesOf,
  parseLetter,
  readDropped,
  type StoredLetter,
} from './letterFile.ts'
import { StateLock } from './stateLock.ts'
import { sinkFolder, stateProblem } from './statePath.ts'

/** A file is closed, and can then be removed as a whole, when it has this size. */
const FILE_BYTES = 16 << 20
/** What is given to `deliver` at once while replaying. */
const REPLAY_LETTERS = 500
const REPLAY_BYTES = 1 << 20

export interface DeadLettersOptions {
  /** The state folder. */
  readonly state: string
  /** Whose files these are: '' for the daemon, the job for a backfill, which may run beside it. Letters and digits. */
  readonly writer?: string
  readonly log: Log
  readonly clock: Clock
  readonly fileBytes?: number
}

export interface LetterCount {
  readonly letters: number
  /** On disk, dropped ones not yet removed included. */
  readonly bytes: number
}

export interface Replayed {
  readonly delivered: number
  /** Still there, as they were refused again. */
  readonly left: number
}

interface LetterFile {
  readonly path: string
  /** Up to its last complete line. */
  size: number
}

interface Writer {
  readonly folder: string
  /** The file that is appended to; undefined before the first letter. */
  file: LetterFile | undefined
  /** Appends, one after the other. */
  queue: Promise<void>
}

/** The dead letters of all sinks of a state folder. */
export class DeadLetters implements DeadLetterKeeper {
  readonly #state: string
  readonly #prefix: string
  readonly #log: Log
  readonly #clock: Clock
  readonly #fileBytes: number
  readonly #writers = new Map<string, Writer>()
  /** Lines in the first `size` bytes of a file, so that counting again costs only what is new. */
  readonly #counted = new Map<string, { size: number; lines: number }>()

  constructor(options: DeadLettersOptions) {
    this.#state = options.state
    this.#prefix = options.writer ? `${options.writer}-` : ''
    this.#log = options.log
    this.#clock = options.clock
    this.#fileBytes = options.fileBytes ?? FILE_BYTES
  }

  /**
   * Keeps letters; durable when it resolves. Rejects with LF_STATE_IO or LF_STATE_NO_ACCESS and keeps none of them, as on
   * a full disk: the caller asks again later.
   */
  add(sink: string, letters: readonly DeadEntry[]): Promise<void> {
    if (letters.length === 0) return Promise.resolve()
    const writer = this.#writer(sink)
    const now = this.#clock.now()
    const lines = Buffer.from(letters.map((letter) => formatLetter(letter, now)).join(''))
    const done = writer.queue.then(() => this.#append(writer, lines))
    // The one who asked hears of a failure; those behind it are tried on their own.
    writer.queue = done.catch(() => undefined)
    return done
  }

  #writer(sink: string): Writer {
    let writer = this.#writers.get(sink)
    if (writer === undefined) {
      writer = { folder: deadFolder(this.#state, sink), file: undefined, queue: Promise.resolve() }
      this.#writers.set(sink, writer)
    }
    return writer
  }

  async #append(writer: Writer, lines: Buffer): Promise<void> {
    try {
      makeFolder(writer.folder)
      if (writer.file === undefined || writer.file.size >= this.#fileBytes) writer.file = this.#nextFile(writer)
      await appendDurably(writer.file, lines)
      if (writer.file.size === 0) for (const folder of this.#foldersOf(writer)) await syncFolder(folder)
      writer.file.size += lines.length
    } catch (error) {
      // Somebody removed it: the next letter begins another.
      if (systemCode(error) === 'ENOENT') writer.file = undefined
      throw stateProblem(writer.folder, error)
    }
  }

  /** The folder of the letters and those above it, which may be as new as the file. */
  #foldersOf(writer: Writer): string[] {
    return [writer.folder, join(writer.folder, '..'), this.#state]
  }

  /** The file to append to: at first the last one of an earlier run, where a crash may have cut off a letter. */
  #nextFile(writer: Writer): LetterFile {
    const numbers = readdirSync(writer.folder).flatMap((name) => numberOf(name, this.#prefix) ?? [])
    const last = Math.max(0, ...numbers)
    const path = join(writer.folder, nameOf(this.#prefix, last))
    if (writer.file === undefined && last > 0) {
      const content = readIfThere(path) ?? Buffer.alloc(0)
      const size = completeLength(content)
      const isDropped = countLines(content) === readDropped(path).size
      if (size > 0 && size < this.#fileBytes && !isDropped) return { path, size }
      if (isDropped) removeFile(path)
    }
    return { path: join(writer.folder, nameOf(this.#prefix, last + 1)), size: 0 }
  }

  /** How many letters a sink has. Files of other writers and what commands dropped are counted as they are now. */
  count(sink: string): LetterCount {
    let letters = 0
    let bytes = 0
    for (const path of letterFiles(deadFolder(this.#state, sink))) {
      const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
      let known = this.#counted.get(path)
      if (known === undefined || known.size !== size) {
        const content = readIfThere(path) ?? Buffer.alloc(0)
        known = { size: content.length, lines: countLines(content) }
        this.#counted.set(path, known)
      }
      letters += known.lines - readDropped(path).size
      bytes += size
    }
    return { letters, bytes }
  }

  /** The letters of a sink, the oldest of each writer first. A line that is none is said in the log and left out. */
  async *list(sink: string): AsyncGenerator<StoredLetter, void, undefined> {
    for (const path of letterFiles(deadFolder(this.#state, sink))) {
      const dropped = readDropped(path)
      const name = path.slice(path.lastIndexOf('/') + 1)
      let number = 0
      for (const line of linesOf(readIfThere(path) ?? Buffer.alloc(0))) {
        number++
        if (dropped.has(line.offset)) continue
        const letter = parseLetter(line.text, `${name}:${line.offset}`)
        if (letter !== undefined) yield letter
        else this.#log.warn(notALetter(path, number).message, { sink })
      }
    }
  }

  /** Drops letters by their ids, for good. Resolves with how many there were. Rejects with LF_STATE_IO. */
  async drop(sink: string, ids: Iterable<string>): Promise<number> {
    const folder = deadFolder(this.#state, sink)
    const byFile = new Map<string, Set<number>>()
    for (const id of ids) {
      const [name = '', offset] = id.split(':')
      if (!/^[\w-]+\.ndjson$/.test(name)) continue
      const offsets = byFile.get(name) ?? new Set()
      byFile.set(name, offsets.add(Number(offset)))
    }
    let count = 0
    for (const [name, offsets] of byFile) count += await dropIn(join(folder, name), offsets)
    return count
  }

  /**
   * Has all letters of a sink sent again: `deliver` gets some of one source at a time and resolves with the ids of those
   * that were delivered, which are then dropped. A rejection of it ends the replay and is passed on. Only one replay of a
   * sink at a time: rejects with LF_STATE_LOCKED.
   */
  async replay(
    sink: string,
    deliver: (letters: readonly StoredLetter[]) => Promise<readonly string[]>,
  ): Promise<Replayed> {
    const folder = deadFolder(this.#state, sink)
    await using _lock = await StateLock.acquire(folder, 'replay.lock')
    let delivered = 0
    let total = 0
    for await (const letters of this.#groups(sink)) {
      total += letters.length
      delivered += await this.drop(sink, await deliver(letters))
    }
    return { delivered, left: total - delivered }
  }

  async *#groups(sink: string): AsyncGenerator<readonly StoredLetter[]> {
    let group: StoredLetter[] = []
    let bytes = 0
    for await (const letter of this.list(sink)) {
      const isOther = group.length > 0 && group[0]?.source !== letter.source
      if (isOther || group.length >= REPLAY_LETTERS || bytes >= REPLAY_BYTES) {
        yield group
        group = []
        bytes = 0
      }
      group.push(letter)
      bytes += letter.record.length
    }
    if (group.length > 0) yield group
  }

  /** Waits for letters that are being written. */
  async close(): Promise<void> {
    await Promise.all(Array.from(this.#writers.values(), (writer) => writer.queue))
  }
}

/** Writes behind the last complete line; on a failure the file ends there again. */
async function appendDurably(target: LetterFile, lines: Buffer): Promise<void> {
  const file = await open(target.path, target.size === 0 ? 'w' : 'r+', 0o600)
  try {
    // Also what a crash left there: a shorter letter would not cover it.
    await file.truncate(target.size)
    for (let at = 0; at < lines.length; ) {
      at += (await file.write(lines, at, lines.length - at, target.size + at)).bytesWritten
    }
    await file.datasync()
  } catch (error) {
    // When this fails, too, the next attempt begins with it.
    await file.truncate(target.size).catch(() => undefined)
    throw error
  } finally {
    await file.close()
  }
}

function removeFile(path: string): void {
  rmSync(path, { force: true })
  rmSync(`${path}.dropped`, { force: true })
}

async function dropIn(path: string, offsets: ReadonlySet<number>): Promise<number> {
  const content = readIfThere(path)
  if (content === undefined) return 0
  const dropped = readDropped(path)
  const all = Array.from(linesOf(content), (line) => line.offset)
  const now = all.filter((offset) => offsets.has(offset) && !dropped.has(offset))
  try {
    if (now.length > 0) await appendDropped(path, now)
    // The last file of a writer is the one that it may be appending to.
    if (all.length === dropped.size + now.length && !isLastOfItsWriter(path)) removeFile(path)
  } catch (error) {
    throw stateProblem(path, error)
  }
  return now.length
}

function isLastOfItsWriter(path: string): boolean {
  const slash = path.lastIndexOf('/')
  const prefix = path.slice(slash + 1).replace(/\d+\.ndjson$/, '')
  const number = numberOf(path.slice(slash + 1), prefix) ?? 0
  return readdirSync(path.slice(0, slash)).every((name) => (numberOf(name, prefix) ?? 0) <= number)
}

/** Existing files of letters, in order. */
function letterFiles(folder: string): string[] {
  try {
    const names = readdirSync(folder).filter((name) => name.endsWith('.ndjson'))
    return names.sort().map((name) => join(folder, name))
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw stateProblem(folder, error)
  }
}

function deadFolder(state: string, sink: string): string {
  return join(sinkFolder(state, sink), 'dead')
}

function nameOf(prefix: string, number: number): string {
  return `${prefix}${String(number).padStart(6, '0')}.ndjson`
}

/** The number in a file's name. Those of its list of dropped letters count, too: a number is used once. */
function numberOf(name: string, prefix: string): number | undefined {
  const rest = name.startsWith(prefix) ? name.slice(prefix.length) : ''
  const digits = /^(\d+)\.ndjson(?:\.dropped)?$/.exec(rest)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

function notALetter(path: string, line: number): Problem {
  return problem('LF_DEAD_LETTERS_DAMAGED', { path, line, why: 'it cannot be read' })
}
