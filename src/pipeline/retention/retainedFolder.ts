// Second names of journal files, in <journal directory>/.logferry/<owner>/<machine id>/: a hard link needs the same mount.
// Each state folder has its own owner id, so that two logferrys on a machine do not free each other's.
// Invariant: a name here is only ever made by link(2) and removed by unlink(2); content is never touched.

import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readdirSync, rmSync, statfsSync, statSync, unlinkSync, utimesSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { makeFolder, readIfThere, replaceFileNow, systemCode } from '../../atomicFile.ts'
import { stateProblem } from '../state/statePath.ts'

const NAME = '.logferry'
const OWNER = /^[0-9a-f]{16}$/
/** Names of an owner that has not been seen for so long are given up: its state folder is gone. */
const ABANDONED_MS = 7 * 86_400_000

/** A second name. */
export interface RetainedName {
  readonly path: string
  /** Device and inode, as `KnownFile.id`. */
  readonly id: string
}

/**
 * The folders in which the logferry with this state folder keeps second names, one per journal directory; for
 * `JournalSet.open({ retained })`. They need not exist. Throws LF_STATE_NO_ACCESS or LF_STATE_IO.
 */
export function retainedFolders(state: string, directories: readonly string[]): readonly string[] {
  const owner = readOwner(state)
  return directories.map((directory) => join(directory, NAME, owner))
}

function readOwner(state: string): string {
  const path = join(state, 'retention.id')
  try {
    const known = readIfThere(path)?.toString('latin1').trim() ?? ''
    if (OWNER.test(known)) return known
    const owner = randomBytes(8).toString('hex')
    makeFolder(state)
    replaceFileNow(path, `${owner}\n`)
    return owner
  } catch (error) {
    throw stateProblem(path, error)
  }
}

/** What the file system says of a link. */
export interface LinkState {
  readonly id: string
  /** Names that the file has, ours included. */
  readonly names: number
  /** Bytes that it takes on disk. */
  readonly bytes: number
}

export class RetainedFolder {
  /** The journal directory. */
  readonly directory: string
  readonly #path: string

  constructor(directory: string, path: string) {
    this.directory = directory
    this.#path = path
  }

  /** The names that are there, from earlier runs. */
  list(): RetainedName[] {
    const folders = ['.', ...readNames(this.#path).filter((name) => !isJournal(name))]
    return folders.flatMap((folder) =>
      readNames(join(this.#path, folder))
        .filter(isJournal)
        .flatMap((name) => {
          const path = join(this.#path, folder, name)
          const state = lookAt(path)
          return state === undefined ? [] : [{ path, id: state.id }]
        }),
    )
  }

  /** True when `path` is a name of this journal directory that journald, or whoever writes there, made. */
  contains(path: string): boolean {
    const inside = relative(this.directory, path)
    return !inside.startsWith('..') && !inside.startsWith(NAME)
  }

  /**
   * Gives the file at `path` a second name. Undefined when another file has that name by now, or none. Throws the
   * system's error where links are not possible.
   */
  link(path: string, id: string, fileId: string): string | undefined {
    // journald's own naming of archived files, with "@", says to readers that nothing is written under this name.
    const stem = basename(path).replace(/(@.*)?\.journal~?$/, '')
    const inside = relative(this.directory, dirname(path))
    const folder = join(this.#path, inside)
    const second = join(folder, `${stem}@${fileId}-${id.slice(id.indexOf(':') + 1)}.journal`)
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    try {
      linkSync(path, second)
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined
      if (systemCode(error) !== 'EEXIST') throw error
    }
    if (lookAt(second)?.id === id) return second
    unlinkSync(second)
    return undefined
  }

  /** Bytes free on the file system for all and in total. Throws the system's error. */
  space(): { readonly free: number; readonly total: number } {
    const { bavail, blocks, bsize } = statfsSync(this.directory)
    return { free: bavail * bsize, total: blocks * bsize }
  }

  /** Says that the owner lives, and removes what others left for good. Names of those others. */
  tend(now: number): string[] {
    const all = dirname(this.#path)
    if (statSync(this.#path, { throwIfNoEntry: false }) !== undefined) utimesSync(this.#path, now / 1000, now / 1000)
    const abandoned = readNames(all).filter((owner) => {
      const stat = statSync(join(all, owner), { throwIfNoEntry: false })
      return OWNER.test(owner) && stat !== undefined && now - stat.mtimeMs > ABANDONED_MS
    })
    for (const owner of abandoned) rmSync(join(all, owner), { recursive: true, force: true })
    return abandoned
  }
}

/** The file behind a name; undefined when it is gone. */
export function lookAt(path: string): LinkState | undefined {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false })
  if (stat === undefined) return undefined
  return { id: `${stat.dev}:${stat.ino}`, names: Number(stat.nlink), bytes: Number(stat.blocks) * 512 }
}

function isJournal(name: string): boolean {
  return name.endsWith('.journal')
}

function readNames(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return []
    throw error
  }
}
