// Files that are replaced as a whole: written to a temporary beside them and renamed, so that a reader, and a process that
// is killed at any moment, sees the old content or the new one. What survives a power cut is said by each function.

import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Only the owner may read what logferry keeps: entries and positions can tell secrets. */
const FILE_MODE = 0o600
const FOLDER_MODE = 0o700

/**
 * Replaces `path` with `content`, mode 0600. Survives the end of the process; with `durable` also a power cut once it has
 * resolved (6 ms on a disk, so not for every change). One writer a path: the temporary's name is fixed, lest a crash
 * leaves many. Rejects with the system's error and leaves the old content.
 */
export async function replaceFile(path: string, content: string | Uint8Array, durable = false): Promise<void> {
  const temporary = `${path}.tmp`
  const file = await open(temporary, 'w', FILE_MODE)
  try {
    await file.writeFile(content)
    // Before the rename: a file system may store the new name first, and then a power cut leaves an empty file.
    if (durable) await file.datasync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
  if (durable) await syncFolder(dirname(path))
}

/** As `replaceFile`, at once and without surviving a power cut. Throws the system's error. */
export function replaceFileNow(path: string, content: string | Uint8Array): void {
  writeFileSync(`${path}.tmp`, content, { mode: FILE_MODE })
  renameSync(`${path}.tmp`, path)
}

/** Makes the names in a folder survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** Makes a folder and those above it, mode 0700; one that exists is left as it is. */
export function makeFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: FOLDER_MODE })
}

/** The content of a file, or undefined when there is none. Throws the system's error otherwise. */
export function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/** The code of a system error (`ENOSPC`), or undefined when it is something else. */
export function systemCode(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : undefined
}
