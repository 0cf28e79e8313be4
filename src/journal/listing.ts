// Reads directories for journal files, each again only when its modification time says so, or when that cannot be trusted.
// Names and places: journald.conf(5), sd-journal.c (add_root_directory); `MACHINEID/` and `MACHINEID.NAMESPACE/` below each root.

import { lstatSync, readdirSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { type Problem, problem } from '../errors.ts'

/** A directory that changed within so many ms before it was read may have changed again within the same tick of the file system's clock. */
const GRANULARITY_MS = 50

/** A name under which there may be a journal file. */
export interface Candidate {
  readonly path: string
  /** Device and inode. */
  readonly id: string
  readonly namespace: string
  /** The directory that it is in, or was when it got the name that it is retained by. */
  readonly home: string
  /** Changes when the file's inode does. */
  readonly stamp: string
  /** When the inode last changed, ms since 1970. */
  readonly changedMs: number
}

export interface ListingOptions {
  readonly directories: readonly string[]
  readonly files: readonly string[] | undefined
  readonly retained: readonly string[]
  /** Only sub-directories of this machine; undefined: of any. */
  readonly localId: string | undefined
  /** Beside the default one; "*": all. */
  readonly namespaces: readonly string[]
}

interface Directory {
  readonly path: string
  readonly home: string
  readonly namespace: string
  /** Has sub-directories to look into. */
  readonly root: boolean
  readonly retained: boolean
  stamp: string
  candidates: Candidate[]
  problem: Problem | undefined
}

/** Whether journald writes to files of this name: not yet renamed by rotation, nor put aside. */
export function isActiveName(path: string): boolean {
  const name = basename(path)
  return name.endsWith('.journal') && !name.includes('@')
}

export class Listing {
  readonly #options: ListingOptions
  readonly #directories = new Map<string, Directory>()
  /** Stands for the list of files. */
  readonly #single: Directory
  #distrusted = true

  constructor(options: ListingOptions) {
    this.#options = options
    this.#single = directory({ path: '', home: '', namespace: '', root: false, retained: false })
    for (const path of options.directories) {
      this.#directories.set(path, directory({ path, home: path, namespace: '', root: true, retained: false }))
    }
    for (const path of options.retained) {
      const home = options.directories.find((owner) => path.startsWith(join(owner, '/'))) ?? path
      this.#directories.set(path, directory({ path, home, namespace: '', root: true, retained: true }))
    }
  }

  /** The directories that exist, for watching. */
  get paths(): readonly string[] {
    return Array.from(this.#directories.values()).flatMap((one) => (one.stamp === '' ? [] : [one.path]))
  }

  /** What was looked for, for people. */
  get wanted(): readonly string[] {
    const { files, directories, localId } = this.#options
    if (files !== undefined) return files
    return localId === undefined ? directories : directories.map((path) => join(path, localId))
  }

  /** Whether there is any directory at all. */
  get exists(): boolean {
    if (this.#options.files !== undefined) return true
    return Array.from(this.#directories.values()).some((one) => !one.retained && one.stamp !== '')
  }

  get problems(): readonly Problem[] {
    const all = [...this.#directories.values(), this.#single]
    return all.flatMap((one) => (one.problem === undefined ? [] : [one.problem]))
  }

  /** The next `read` reads everything. */
  distrust(): void {
    this.#distrusted = true
  }

  /** Reads what changed. True when something was read. */
  read(force: boolean): boolean {
    const all = force || this.#distrusted
    this.#distrusted = false
    let read = false
    if (this.#options.files !== undefined) read = this.#readFiles(this.#options.files, all)
    // Grows while it is walked: sub-directories come behind their root.
    for (const one of this.#directories.values()) if (this.#readDirectory(one, all)) read = true
    return read
  }

  *candidates(): Iterable<Candidate> {
    yield* this.#single.candidates
    for (const one of this.#directories.values()) if (!one.retained) yield* one.candidates
    for (const one of this.#directories.values()) if (one.retained) yield* one.candidates
  }

  #readFiles(files: readonly string[], all: boolean): boolean {
    const candidates: Candidate[] = []
    let missing: Problem | undefined
    for (const path of files) {
      const found = this.#candidate(path, this.#single, true)
      if (found instanceof Error) missing = found as Problem
      else if (found !== undefined) candidates.push(found)
    }
    const stamp = candidates.map((one) => one.id).join()
    if (!all && stamp === this.#single.stamp) return false
    this.#single.stamp = stamp
    this.#single.candidates = candidates
    if (missing?.message !== this.#single.problem?.message) this.#single.problem = missing
    return true
  }

  #readDirectory(one: Directory, all: boolean): boolean {
    let stamp: string
    try {
      const { dev, ino, mtimeNs, mtimeMs } = statSync(one.path, { bigint: true })
      stamp = `${dev}:${ino}:${mtimeNs}`
      if (!all && stamp === one.stamp) return false
      // Read again next time when it may change within the same instant.
      if (Math.abs(Date.now() - Number(mtimeMs)) < GRANULARITY_MS) stamp += ' young'
    } catch (error) {
      const existed = one.stamp !== ''
      one.stamp = ''
      one.candidates = []
      one.problem = isMissing(error) ? undefined : keep(one.problem, unreadable(one.path, error))
      if (existed && !one.root) this.#directories.delete(one.path)
      return existed
    }
    let names: string[]
    try {
      names = readdirSync(one.path)
      one.problem = undefined
    } catch (error) {
      names = []
      if (code(error) === 'ENOTDIR' && !one.root) this.#directories.delete(one.path)
      else if (!isMissing(error)) one.problem = keep(one.problem, unreadable(one.path, error))
    }
    one.stamp = stamp
    one.candidates = []
    for (const name of names) {
      const path = join(one.path, name)
      if (/\.journal~?$/.test(name)) {
        const found = this.#candidate(path, one, false)
        if (found !== undefined && !(found instanceof Error)) one.candidates.push(found)
      } else if (one.root && !this.#directories.has(path)) {
        const namespace = this.#namespaceOf(name, one.retained)
        if (namespace === undefined) continue
        const { home, retained } = one
        this.#directories.set(path, directory({ path, home: join(home, name), namespace, root: false, retained }))
      }
    }
    return true
  }

  /** The namespace of a sub-directory, '' for the default one; undefined when it is not to be read. */
  #namespaceOf(name: string, retained: boolean): string | undefined {
    const parts = /^([0-9a-f]{32})(?:\.(.+))?$/i.exec(name)
    if (parts === null) return undefined
    const { localId, namespaces } = this.#options
    if (localId !== undefined && !retained && parts[1]?.toLowerCase() !== localId) return undefined
    const namespace = parts[2] ?? ''
    return namespace === '' || namespaces.includes('*') || namespaces.includes(namespace) ? namespace : undefined
  }

  #candidate(path: string, { home, namespace }: Directory, named: boolean): Candidate | Problem | undefined {
    try {
      const { dev, ino, size, mtimeNs, ctimeNs, ctimeMs, mode } = statSync(path, { bigint: true })
      // Only regular files, symbolic links followed; the kind is in the top bits of the mode.
      if ((mode & 0o170000n) !== 0o100000n) {
        return named ? problem('LF_JOURNAL_NOT_A_JOURNAL', { path, why: 'it is not a regular file' }) : undefined
      }
      const stamp = `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`
      const changedMs = Number(ctimeMs)
      return { path, id: `${dev}:${ino}`, namespace, home: home || dirname(path), stamp, changedMs }
    } catch (error) {
      if (named) return unreadable(path, error)
      // Renamed or removed between listing and looking; a symbolic link to nothing stays that way.
      if (isMissing(error) && lstatSync(path, { throwIfNoEntry: false }) === undefined) this.#distrusted = true
      return undefined
    }
  }
}

function directory(fixed: Omit<Directory, 'stamp' | 'candidates' | 'problem'>): Directory {
  return { ...fixed, stamp: '', candidates: [], problem: undefined }
}

function keep(before: Problem | undefined, now: Problem): Problem {
  return before?.message === now.message ? before : now
}

function unreadable(path: string, error: unknown): Problem {
  const why = code(error)
  if (why === 'EACCES' || why === 'EPERM') return problem('LF_JOURNAL_NO_ACCESS', { path }, error)
  const text = why === 'ENOENT' ? 'there is no such file' : error instanceof Error ? error.message : String(error)
  return problem('LF_JOURNAL_IO', { path, why: text }, error)
}

function isMissing(error: unknown): boolean {
  const why = code(error)
  return why === 'ENOENT' || why === 'ENOTDIR'
}

function code(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}
