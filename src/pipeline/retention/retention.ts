// Keeps journal files that a sink still needs by a second name, so that journald's vacuum takes only its own: when it removes
// the last name of a file it punches holes into it, which an open descriptor does not survive. Bounded by retain.max_size
// and by the space that journald wants free. Only shippers read these names.
// Invariant: a name is given up when every sink is past the file's last entry, or, oldest first, for want of space.

import { closeSync, openSync, readSync, unlinkSync } from 'node:fs'
import { systemCode } from '../../atomicFile.ts'
import { isProblem } from '../../errors.ts'
import { HEADER_SIZE, parseHeader } from '../../journal/file/header.ts'
import { PositionState } from '../../journal/position.ts'
import type { Position } from '../../sink.ts'
import type { Clock } from '../../telemetry/clock.ts'
import type { Log } from '../../telemetry/log.ts'
import { formatSize } from '../../units.ts'
import { describeSystemError } from '../state/statePath.ts'
import { type JournaldLimits, readJournaldLimits, type StorageLimits } from './journaldLimits.ts'
import { lookAt, RetainedFolder, retainedFolders } from './retainedFolder.ts'
import { forecastVacuum, type VacuumFile } from './vacuumForecast.ts'

/** A journal file as the reader knows it (`KnownFile` of journal/directory.ts). */
export interface RetainableFile {
  readonly id: string
  readonly fileId: string
  readonly seqnumId: string
  readonly source: string
  readonly path: string
  readonly live: boolean
  readonly header: {
    readonly tailSeqnum: number
    readonly headRealtime: number
    readonly tailRealtime: number
    readonly tailMonotonic: number
    readonly tailBootId: string
  }
}

/** What one sink still needs. */
export interface Need {
  readonly sink: string
  /**
   * Where it stands, by source: everything behind is needed. A source that is missing is needed as a whole, as while
   * nobody knows where the sink stands.
   */
  readonly positions: ReadonlyMap<string, Position>
  /** Its target holds the position and may go back (a failover), so some of what is settled stays as well. */
  readonly rewinds: boolean
}

export interface RetentionOptions {
  readonly state: string
  /** The journal directories. */
  readonly directories: readonly string[]
  /** retain.max_size. */
  readonly maxBytes: number
  readonly log: Log
  readonly clock: Clock
  /** Default: those of the journald on this machine. */
  readonly limits?: JournaldLimits
}

/** How far behind its frontier a target may go back. */
const REWIND_MS = 10 * 60_000
const SAMPLE_MS = 30_000
const TEND_MS = 3_600_000
/** A name whose file the reader does not know (any more) is given up after this. */
const UNKNOWN_MS = 10 * 60_000
/** Freed before journald begins to: a share of what it keeps free, and at most so many bytes. */
const MARGIN_SHARE = 1 / 8
const MARGIN_BYTES = 256 * 2 ** 20

interface Kept {
  readonly path: string
  readonly folder: RetainedFolder
  /** Bytes that only this name keeps. */
  bytes: number
  unknownSince: number | undefined
}

interface Mark {
  readonly at: number
  readonly text: Position
  readonly position: PositionState
}

/** What a need comes down to: a file is needed when it has entries behind one of its source's positions. */
interface Place {
  readonly sink: string
  readonly positions: ReadonlyMap<string, readonly PositionState[]>
}

/** The second names of one logferry. Everything is synchronous: a pass takes about a millisecond. */
export class Retention {
  readonly #options: RetentionOptions
  readonly #limits: JournaldLimits
  readonly #folders: readonly RetainedFolder[]
  /** Folders in which links cannot be made. */
  readonly #useless = new Set<RetainedFolder>()
  readonly #kept = new Map<string, Kept>()
  /** Where each sink stood, the oldest that still counts first. */
  readonly #marks = new Map<string, Mark[]>()
  #tendedAt: number | undefined

  /** Finds the names of earlier runs. Throws LF_STATE_NO_ACCESS or LF_STATE_IO. */
  constructor(options: RetentionOptions) {
    this.#options = options
    this.#limits = options.limits ?? readJournaldLimits()
    const paths = retainedFolders(options.state, options.directories)
    this.#folders = options.directories.map((directory, index) => new RetainedFolder(directory, paths[index] ?? ''))
    for (const folder of this.#folders) {
      for (const { path, id } of this.#try(folder, () => folder.list()) ?? []) {
        this.#kept.set(id, { path, folder, bytes: 0, unknownSince: undefined })
      }
    }
  }

  /** Bytes and files that only our names keep. */
  get retained(): { readonly bytes: number; readonly files: number } {
    const only = [...this.#kept.values()].filter((kept) => kept.bytes > 0)
    return { bytes: only.reduce((sum, kept) => sum + kept.bytes, 0), files: only.length }
  }

  /**
   * Gives second names to files that may be needed and takes them from those that are not. To be called every few
   * seconds, and at once when files came or went: the file that journald writes to has its name before it is archived.
   */
  pass(files: Iterable<RetainableFile>, needs: readonly Need[]): void {
    const now = this.#options.clock.monotonic()
    const known = [...files]
    const places = this.#place(needs, now)
    for (const file of known) {
      const kept = this.#kept.get(file.id)
      const mayBeNeeded = file.live || isNeeded(file, places)
      if (mayBeNeeded && needs.length > 0) {
        if (kept === undefined) this.#keep(file)
        else kept.unknownSince = undefined
      } else if (kept !== undefined && !isNeeded(readAgain(file, kept.path), places)) {
        this.#free(file.id, kept)
      }
    }
    this.#freeUnknown(new Set(known.map((file) => file.id)), now)
    this.#measure()
    this.#freeForSpace(known, places)
    this.#tend(now)
  }

  /** Seconds until journald removes entries that a sink has not settled; undefined when none is at risk or known to be. */
  vacuumSeconds(files: Iterable<RetainableFile>, need: Need): number | undefined {
    const positions = new Map<string, readonly PositionState[]>()
    for (const [source, text] of need.positions) {
      const position = parsePosition(text)
      if (position !== undefined) positions.set(source, [position])
    }
    const place: Place = { sink: need.sink, positions }
    const known = [...files]
    const now = this.#options.clock.now() * 1000
    const guesses = this.#folders.flatMap((folder) => {
      const own = known.filter((file) => folder.contains(file.path))
      const found = own.map((file): VacuumFile => {
        const { headRealtime, tailRealtime } = file.header
        const bytes = lookAt(file.path)?.bytes ?? 0
        return { bytes, isArchived: !file.live, headRealtime, tailRealtime, isNeeded: isNeeded(file, [place]) }
      })
      const space = this.#try(folder, () => folder.space())
      if (space === undefined) return []
      return forecastVacuum(found, this.#limitsOf(folder, space.total), space.free, now) ?? []
    })
    return guesses.length === 0 ? undefined : Math.min(...guesses)
  }

  /** Where sinks stand, and where they stood lately if their target may go back. */
  #place(needs: readonly Need[], now: number): Place[] {
    return needs.map(({ sink, positions, rewinds }) => {
      const placed = new Map<string, PositionState[]>()
      for (const [source, text] of positions) {
        const key = `${sink} ${source}`
        const marks = this.#marks.get(key) ?? []
        const last = marks.at(-1)
        const current = last?.text === text ? last.position : parsePosition(text)
        // What cannot be read counts as not there: the sink is held, and keeps everything.
        if (current === undefined) continue
        if (last === undefined || !rewinds || now - last.at >= SAMPLE_MS)
          marks.push({ at: now, text, position: current })
        // The newest that is old enough stays, and what came after it.
        while (marks[1] !== undefined && (!rewinds || now - marks[1].at >= REWIND_MS)) marks.shift()
        this.#marks.set(key, marks)
        // A target can also have gone back to before all marks.
        placed.set(source, marks[0] === undefined ? [current] : [current, marks[0].position])
      }
      return { sink, positions: placed }
    })
  }

  #keep(file: RetainableFile): void {
    const folder = this.#folders.find((one) => one.contains(file.path))
    if (folder === undefined || this.#useless.has(folder)) return
    const path = this.#try(folder, () => folder.link(file.path, file.id, file.fileId))
    if (path !== undefined) this.#kept.set(file.id, { path, folder, bytes: 0, unknownSince: undefined })
  }

  #free(id: string, kept: Kept): void {
    this.#try(kept.folder, () => unlinkSync(kept.path))
    this.#kept.delete(id)
  }

  #freeUnknown(known: ReadonlySet<string>, now: number): void {
    for (const [id, kept] of this.#kept) {
      if (known.has(id)) continue
      kept.unknownSince ??= now
      if (now - kept.unknownSince >= UNKNOWN_MS) this.#free(id, kept)
    }
  }

  #measure(): void {
    for (const [id, kept] of this.#kept) {
      const state = lookAt(kept.path)
      if (state?.id !== id) this.#kept.delete(id)
      else kept.bytes = state.names === 1 ? state.bytes : 0
    }
  }

  #freeForSpace(files: readonly RetainableFile[], places: readonly Place[]): void {
    const byAge = files
      .flatMap((file) => {
        const kept = this.#kept.get(file.id)
        return kept !== undefined && kept.bytes > 0 ? [{ file, kept }] : []
      })
      .sort((a, b) => a.file.header.tailRealtime - b.file.header.tailRealtime)
    let total = byAge.reduce((sum, { kept }) => sum + kept.bytes, 0)
    const lacking = new Map(this.#folders.map((folder) => [folder, this.#lacking(folder)]))
    for (const { file, kept } of byAge) {
      const lack = lacking.get(kept.folder) ?? 0
      if (total <= this.#options.maxBytes && lack <= 0) continue
      total -= kept.bytes
      lacking.set(kept.folder, lack - kept.bytes)
      this.#free(file.id, kept)
      const sinks = places.filter((place) => isNeeded(file, [place])).map((place) => place.sink)
      const why = lack > 0 ? 'journald wants the space' : `retain.max_size is ${formatSize(this.#options.maxBytes)}`
      this.#options.log.warn(`a journal file is given up although sinks still need it: ${why}`, {
        sinks,
        bytes: kept.bytes,
        newest: new Date(file.header.tailRealtime / 1000).toISOString(),
      })
    }
  }

  /** Bytes to free before journald would begin to remove files of its own for want of space. */
  #lacking(folder: RetainedFolder): number {
    const space = this.#try(folder, () => folder.space())
    if (space === undefined) return 0
    const { keepFree } = this.#limitsOf(folder, space.total)
    return keepFree + Math.min(keepFree * MARGIN_SHARE, MARGIN_BYTES) - space.free
  }

  #limitsOf(folder: RetainedFolder, fileSystemBytes: number): StorageLimits {
    const isVolatile = folder.directory.startsWith('/run/')
    return isVolatile ? this.#limits.runtime(fileSystemBytes) : this.#limits.system(fileSystemBytes)
  }

  #tend(now: number): void {
    if (this.#tendedAt !== undefined && now - this.#tendedAt < TEND_MS) return
    this.#tendedAt = now
    for (const folder of this.#folders) {
      for (const owner of this.#try(folder, () => folder.tend(this.#options.clock.now())) ?? []) {
        this.#options.log.info('removed retained files of a logferry that is gone', { owner, at: folder.directory })
      }
    }
  }

  /** Where links cannot be made, that is said once and no more is tried. */
  #try<T>(folder: RetainedFolder, work: () => T): T | undefined {
    try {
      return work()
    } catch (error) {
      const code = systemCode(error)
      if (code === undefined) throw error
      // The directory is not there (yet), or somebody else removed the name. A full disk is for `#freeForSpace`.
      if (code === 'ENOENT' || code === 'ENOSPC') return undefined
      if (!this.#useless.has(folder)) {
        this.#useless.add(folder)
        const text = `cannot keep files of ${folder.directory} for sinks that are behind: ${describeSystemError(error)}`
        this.#options.log.warn(`${text}; what journald removes before a sink has it is lost`, {
          hint: hintFor(code),
        })
      }
      return undefined
    }
  }
}

function hintFor(code: string): string | undefined {
  if (code === 'EXDEV') return 'the journal directory is a bind mount of its own: bind the folder above it instead'
  if (code === 'EPERM' || code === 'EACCES') {
    return 'run as root or with CAP_FOWNER, and with the journal directory writable (ReadWritePaths=)'
  }
  return undefined
}

function isNeeded(file: RetainableFile, places: readonly Place[]): boolean {
  return places.some(({ positions }) => {
    const found = positions.get(file.source)
    return found === undefined || found.some((position) => !isPast(position, file))
  })
}

function parsePosition(text: Position): PositionState | undefined {
  try {
    return PositionState.parse(text)
  } catch (error) {
    if (isProblem(error)) return undefined
    throw error
  }
}

/** Whether nothing in the file is behind the position. */
function isPast(position: PositionState, { seqnumId, header }: RetainableFile): boolean {
  const place = position.ids.get(seqnumId)
  if (place !== undefined && place.seqnum >= header.tailSeqnum) return true
  if (place !== undefined && place.seqnum > 0) return false
  // An id of which nothing was taken is read from the floor on.
  const { realtime, bootId, monotonic } = position.floor
  if (bootId !== undefined && bootId === header.tailBootId) return header.tailMonotonic < (monotonic ?? 0)
  return header.tailRealtime < realtime
}

/** The file with its header as it is now: the one that the reader has may be from before the last entries. */
function readAgain(file: RetainableFile, path: string): RetainableFile {
  let descriptor: number | undefined
  try {
    descriptor = openSync(path, 'r')
    const bytes = Buffer.alloc(HEADER_SIZE)
    const length = readSync(descriptor, bytes, 0, HEADER_SIZE, 0)
    return { ...pick(file), header: parseHeader(bytes, length, path) }
  } catch {
    // It cannot be read, so nobody will: what the reader saw of it last decides.
    return file
  } finally {
    if (descriptor !== undefined) closeSync(descriptor)
  }
}

function pick({ id, fileId, seqnumId, source, path, live }: RetainableFile): Omit<RetainableFile, 'header'> {
  return { id, fileId, seqnumId, source, path, live }
}
