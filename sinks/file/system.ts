// The few calls of the file system that the file sink makes, so that a test can stop it at any one of them; and what their
// errors mean for a delivery.

import { constants } from 'node:fs'
import * as promises from 'node:fs/promises'
import { SinkError } from '../../src/sink.ts'

export type FileSystem = Pick<
  typeof promises,
  'access' | 'open' | 'readFile' | 'readdir' | 'realpath' | 'rename' | 'stat' | 'statfs' | 'unlink'
>
export type FileHandle = promises.FileHandle

export const nodeFileSystem: FileSystem = promises

/** What the file sink sees of the machine; a test gives its own. */
export interface Machine {
  readonly fs: FileSystem
  readonly now: () => number
  /** Another one after each start of the machine. */
  readonly bootId: () => Promise<string>
  /** Files that a sink of this process has open: a second one would take the first one's lines for those of a crash. */
  readonly open: Set<string>
}

export const thisMachine: Machine = {
  fs: nodeFileSystem,
  now: Date.now,
  // Without /proc a power cut cannot be told from a crash, as if the machine never restarted.
  bootId: () =>
    nodeFileSystem.readFile('/proc/sys/kernel/random/boot_id', 'utf8').then(
      (id) => id.trim(),
      () => '',
    ),
  open: new Set(),
}

/** Makes names in a folder last through a power cut: a rename or a new file is only on disk when its folder is. */
export async function syncFolder(fs: FileSystem, folder: string): Promise<void> {
  const handle = await fs.open(folder, constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Writes all of `bytes`; one call may take fewer than it was given. `position` null: at the end (O_APPEND). */
export async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number | null): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const at = position === null ? null : position + done
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, at)
    done += bytesWritten
  }
}

/** `undefined` for a file that is not there. */
export function absent(error: unknown): undefined {
  if (codeOf(error) === 'ENOENT') return undefined
  throw error
}

export function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | undefined)?.code
  return typeof code === 'string' ? code : undefined
}

export function isDiskFull(error: unknown): boolean {
  return codeOf(error) === 'ENOSPC' || codeOf(error) === 'EDQUOT'
}

/** What a person has to mend; everything else is worth another try. */
const REFUSED: Readonly<Record<string, string>> = {
  EACCES: 'permission denied; let the user that logferry runs as write to the folder and the file',
  EPERM: 'not permitted; is the file immutable or append-only (lsattr), or owned by another user?',
  EROFS: 'the file system is mounted read-only (a systemd unit needs ReadWritePaths= for this folder)',
  ENOENT: 'there is no such folder; create it and let the user that logferry runs as write to it',
  ENOTDIR: 'a part of the path is not a folder',
  EISDIR: 'it is a folder; name a file in it',
  ELOOP: 'the path leads through symbolic links in a circle',
  ENAMETOOLONG: 'the name is too long',
  EFBIG: 'the file has reached the size limit of the file system or of the process; rotate it (option rotate.size)',
}

/** The error of a call as an outcome of a delivery. `path` is what the person knows: the sink's file. */
export function asSinkError(error: unknown, path: string): SinkError {
  if (error instanceof SinkError) return error
  if (isDiskFull(error)) {
    return new SinkError('unavailable', `${path}: the disk is full; shipping goes on when there is room`, {
      cause: error,
    })
  }
  const hint = REFUSED[codeOf(error) ?? '']
  if (hint !== undefined) return new SinkError('refused', `${path}: ${hint}`, { cause: error })
  // No answer of the system: a mistake in this program, which must be seen as one.
  if (!/^E(?!RR_)[A-Z0-9]+$/.test(codeOf(error) ?? '')) throw error
  return new SinkError('unavailable', `${path}: ${error instanceof Error ? error.message : String(error)}`, {
    cause: error,
  })
}
