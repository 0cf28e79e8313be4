// Which journal files there are, now and after every rotation: directories are read again when they changed, and files are known by
// device, inode and file id, never by name. What cannot be read is kept as a problem beside what can.
// Invariant: `files` holds every file that could be opened when its directory was last read; a KnownFile object stays the same through renames.

import { readFileSync } from 'node:fs'
import { isProblem, type Problem, problem } from '../errors.ts'
import { Changes } from './changes.ts'
import { JournalFile } from './file/file.ts'
import { type Header, STATE_ARCHIVED } from './file/header.ts'
import { type Candidate, isActiveName, Listing } from './listing.ts'
import type { MemoryBudget } from './memory.ts'

/** Where journald writes: persistent, and volatile until it is flushed. */
export const DEFAULT_DIRECTORIES: readonly string[] = ['/var/log/journal', '/run/log/journal']

/** Descriptors kept open for files that may grow; what exceeds this is opened for every look. */
const HANDLES_MAX = 256
/** A file that cannot be read is tried again after this, in ms: its mode may have been changed, which its directory does not show. */
const RETRY_MS = 10_000
/** A file younger than this, in ms, may just not have its header yet. */
const YOUNG_MS = 2000
/** journald marks a file as archived soon after it renamed it; one that was put aside is never marked. */
const CLOSING_LOOKS = 50

export interface JournalPlace {
  /** Directories with journal files in them and in sub-directories named MACHINEID[.NAMESPACE]. Default: DEFAULT_DIRECTORIES. */
  readonly directories?: readonly string[]
  /** These files and no directories. */
  readonly files?: readonly string[]
  /** `local` (default): only sub-directories of this machine's id; `any`: of every id. */
  readonly machineId?: 'local' | 'any'
  /** Namespaces to read beside the default one; "*": all. */
  readonly namespaces?: readonly string[]
  /** A directory without any journal file yet is no problem: they come. */
  readonly mayBeEmpty?: boolean
  /** Directories with second names of files, kept for readers which are behind; a missing one is no problem. */
  readonly retained?: readonly string[]
}

/** A journal file, wherever it is now. */
export class KnownFile {
  /** Device and inode. */
  readonly id: string
  readonly fileId: string
  readonly seqnumId: string
  /** Machine id, with the namespace where the directory's name has one. */
  readonly source: string
  /** Files of one source in one directory are written by one journald, which numbers their entries by one counter. */
  readonly counter: string
  path: string
  /** As it was last read. */
  header: Header
  /** May still grow: it has the name of an active file and is not archived. */
  live: boolean
  /** No directory holds it any more. Who has it open can read on. */
  gone = false

  constructor(candidate: Candidate, file: JournalFile) {
    this.id = file.id
    this.fileId = file.fileId
    this.seqnumId = file.seqnumId
    this.source = candidate.namespace === '' ? file.machineId : `${file.machineId}.${candidate.namespace}`
    this.counter = `${this.source} ${candidate.home}`
    this.path = candidate.path
    this.header = file.header
    this.live = isActiveName(candidate.path) && file.header.state !== STATE_ARCHIVED
  }
}

interface Failure {
  readonly problem: Problem
  /** As long as the file stays the same, it is not opened again before `retryAt`. */
  readonly stamp: string
  readonly retryAt: number
}

export class JournalSet {
  /** Changes whenever files came or went; readers compare it. */
  version = 0

  readonly #memory: MemoryBudget
  readonly #listing: Listing
  readonly #files = new Map<string, KnownFile>()
  readonly #handles = new Map<KnownFile, JournalFile>()
  /** By path. */
  readonly #failures = new Map<string, Failure>()
  /** Renamed by rotation, but not yet marked as archived, and how often to look once more. */
  readonly #closing = new Map<KnownFile, number>()
  readonly #changes: Changes
  #opened = false

  private constructor(place: JournalPlace, memory: MemoryBudget) {
    this.#memory = memory
    this.#listing = new Listing({
      directories: place.files === undefined ? (place.directories ?? DEFAULT_DIRECTORIES) : [],
      files: place.files,
      retained: place.retained ?? [],
      localId: place.machineId === 'any' ? undefined : localMachineId(),
      namespaces: place.namespaces ?? [],
    })
    this.#changes = new Changes(
      () => this.#listing.paths,
      (renamed) => this.#look(renamed),
    )
  }

  /**
   * Reads the directories. What is unreadable becomes one of `problems`; when nothing is left to read, throws Problem
   * LF_JOURNAL_NO_DIRECTORY, LF_JOURNAL_EMPTY or LF_JOURNAL_NO_ACCESS, or that of the only file.
   */
  static open(place: JournalPlace, memory: MemoryBudget): JournalSet {
    const set = new JournalSet(place, memory)
    set.rescan()
    set.#opened = true
    if (set.#files.size > 0) return set
    const found = set.problems
    if (place.mayBeEmpty === true && set.#listing.exists && found.length === 0) return set
    set.close()
    const denied = found.find((one) => isProblem(one, 'LF_JOURNAL_NO_ACCESS'))
    if (denied !== undefined) throw denied
    if (found[0] !== undefined) throw found[0]
    if (!set.#listing.exists) throw problem('LF_JOURNAL_NO_DIRECTORY', { paths: set.#listing.wanted })
    throw problem('LF_JOURNAL_EMPTY', { paths: set.#listing.wanted })
  }

  get memory(): MemoryBudget {
    return this.#memory
  }

  /** All files that can be read, in no particular order. */
  get files(): Iterable<KnownFile> {
    return this.#files.values()
  }

  /** What stands in the way of reading some file or directory now; the same object as long as it does. */
  get problems(): readonly Problem[] {
    return [...this.#listing.problems, ...Array.from(this.#failures.values(), (failure) => failure.problem)]
  }

  /** Counts observed changes: growth, files that came or went. To be given to `changed`. */
  get generation(): number {
    return this.#changes.generation
  }

  /** Machine ids, with ".NAMESPACE" where there is one, sorted. */
  sources(): readonly string[] {
    return [...new Set(Array.from(this.#files.values(), (file) => file.source))].sort()
  }

  /** Reads directories that changed since they were last read. True when files came or went. Cheap when nothing changed. */
  rescan(): boolean {
    const due = this.#retryDue()
    if (!this.#listing.read(due) && this.#opened && !due) return false
    const present = new Set<KnownFile>()
    let changed = false
    const seen = new Set<string>()
    for (const candidate of this.#listing.candidates()) {
      seen.add(candidate.path)
      const known = this.#files.get(candidate.id)
      if (known !== undefined && (known.path === candidate.path || present.has(known))) {
        present.add(known)
        continue
      }
      const file = this.#meet(candidate, known)
      if (file === undefined) continue
      changed ||= file !== known
      present.add(file)
    }
    for (const path of this.#failures.keys()) if (!seen.has(path)) this.#failures.delete(path)
    for (const file of this.#files.values()) {
      if (present.has(file)) continue
      this.#drop(file)
      changed = true
    }
    if (changed) {
      this.version++
      this.#changes.note()
    }
    return changed
  }

  /** Reads the headers of all files that may grow. True when one of them changed. */
  readHeaders(): boolean {
    let changed = false
    for (const file of this.#files.values()) {
      if (file.live && this.#readHeader(file)) changed = true
    }
    for (const [file, left] of this.#closing) {
      this.#readHeader(file)
      if (file.header.state === STATE_ARCHIVED || file.gone || left === 0) this.#closing.delete(file)
      else this.#closing.set(file, left - 1)
    }
    if (changed) this.#changes.note()
    return changed
  }

  /**
   * Resolves with true as soon as files grew, came or went since the `generation` that is given (default: as it is now), with false
   * after `timeoutMs` or when aborted. Woken by the directory's notifications; files are looked at every 20 ms while
   * something happens, every 250 ms when nothing did for a second.
   */
  changed(timeoutMs: number, signal: AbortSignal, since: number = this.generation): Promise<boolean> {
    return this.#changes.wait(timeoutMs, signal, since)
  }

  /** Pending `changed` resolve with false. */
  close(): void {
    this.#changes.close()
    for (const handle of this.#handles.values()) handle.close()
    this.#handles.clear()
  }

  /** One look at everything, for `changed`. */
  #look(renamed: boolean): void {
    if (renamed) this.rescan()
    this.readHeaders()
  }

  #readHeader(file: KnownFile): boolean {
    const before = file.header
    let handle = this.#handles.get(file)
    try {
      if (handle === undefined) {
        handle = this.#open(file)
        if (handle === undefined) return false
        file.header = handle.header
      } else {
        const result = handle.refresh()
        if (result === 'replaced' || result === 'vacuumed') {
          this.#drop(file)
          this.#listing.distrust()
          this.version++
          return true
        }
        file.header = handle.header
      }
    } finally {
      if (handle !== undefined && !this.#handles.has(file)) handle.close()
    }
    if (file.header.state === STATE_ARCHIVED) this.#settle(file)
    const { entries, tailSeqnum, state } = file.header
    return entries !== before.entries || tailSeqnum !== before.tailSeqnum || state !== before.state
  }

  /** Opens a known file where it should be; undefined when something else is there now, and the directory is read again. */
  #open(file: KnownFile): JournalFile | undefined {
    try {
      const handle = JournalFile.open(file.path, this.#memory)
      if (handle.id === file.id && handle.fileId === file.fileId) {
        if (file.live && this.#handles.size < HANDLES_MAX) this.#handles.set(file, handle)
        return handle
      }
      handle.close()
      this.#drop(file)
      this.version++
    } catch (error) {
      if (!isProblem(error)) throw error
      // The rescan that follows says what is the matter, if it still is.
    }
    this.#listing.distrust()
    return undefined
  }

  /** A file under a path where it was not before: new, renamed, or another one in the place of a removed one. */
  #meet(candidate: Candidate, known: KnownFile | undefined): KnownFile | undefined {
    const failed = this.#failures.get(candidate.path)
    if (failed?.stamp === candidate.stamp && failed.retryAt > Date.now()) return undefined
    let handle: JournalFile
    try {
      handle = JournalFile.open(candidate.path, this.#memory)
    } catch (error) {
      if (!isProblem(error)) throw error
      this.#fail(candidate, error)
      return undefined
    }
    this.#failures.delete(candidate.path)
    if (handle.id !== candidate.id) {
      // Replaced since the directory was read.
      this.#listing.distrust()
      handle.close()
      return undefined
    }
    if (known !== undefined && known.fileId === handle.fileId) {
      handle.close()
      known.path = candidate.path
      known.header = handle.header
      if (known.live && !isActiveName(candidate.path)) {
        this.#settle(known)
        if (known.header.state !== STATE_ARCHIVED) this.#closing.set(known, CLOSING_LOOKS)
      }
      return known
    }
    if (known !== undefined) this.#drop(known)
    const file = new KnownFile(candidate, handle)
    this.#files.set(file.id, file)
    if (file.live && this.#handles.size < HANDLES_MAX) this.#handles.set(file, handle)
    else handle.close()
    return file
  }

  #fail(candidate: Candidate, failure: Problem): void {
    const age = Date.now() - candidate.changedMs
    if (age < YOUNG_MS && this.#opened) {
      // Perhaps being made at this moment: nothing is said yet, and the directory counts as changed.
      this.#listing.distrust()
      return
    }
    const before = this.#failures.get(candidate.path)
    const same = before?.problem.message === failure.message ? before.problem : failure
    // A young one is tried again at once even at the start, but reported.
    const retryAt = Date.now() + (age < YOUNG_MS ? 0 : RETRY_MS)
    this.#failures.set(candidate.path, { problem: same, stamp: candidate.stamp, retryAt })
  }

  #retryDue(): boolean {
    if (this.#failures.size === 0) return false
    const now = Date.now()
    for (const failure of this.#failures.values()) if (failure.retryAt <= now) return true
    return false
  }

  /** It does not grow any more. */
  #settle(file: KnownFile): void {
    file.live = false
    this.#handles.get(file)?.close()
    this.#handles.delete(file)
  }

  #drop(file: KnownFile): void {
    file.gone = true
    this.#files.delete(file.id)
    this.#handles.get(file)?.close()
    this.#handles.delete(file)
  }
}

/** undefined where there is none, as in many containers: then no sub-directory is local. */
function localMachineId(): string {
  try {
    return readFileSync('/etc/machine-id', 'utf8').trim().toLowerCase()
  } catch {
    return 'none' // No directory has this name.
  }
}
