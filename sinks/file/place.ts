// Where the file lies: its real path, finding what is there, making a new file with the wanted owner and mode.

import { constants } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { type CheckLine, SinkError } from '../../src/sink.ts'
import type { FileConfig } from './options.ts'
import { absent, asSinkError, type FileHandle, type FileSystem, syncFolder } from './system.ts'

/** The configured path without symbolic links: rotation must rename the file, not a link to it. Its folder must exist. */
export async function realPath(fs: FileSystem, path: string): Promise<string> {
  const wanted = resolve(path)
  const real = await fs.realpath(wanted).catch(absent)
  return real ?? join(await fs.realpath(dirname(wanted)), basename(wanted))
}

/** Opens what is there for appending and reading; undefined when nothing is. */
export async function openExisting(fs: FileSystem, path: string): Promise<FileHandle | undefined> {
  const found = await fs.stat(path).catch(absent)
  if (found === undefined) return undefined
  requireFile(path, found)
  return fs.open(path, constants.O_RDWR | constants.O_APPEND)
}

/** Asked before opening: opening a pipe without a reader would never return. */
export function requireFile(path: string, found: { isFile(): boolean }): void {
  if (found.isFile()) return
  throw new SinkError('refused', `${path} is not a regular file; for a pipe or a terminal use the sink stdout`)
}

/** Makes an empty file, lastingly. It has its mode and group before it has its name, also when it is killed in between. */
export async function createFile(fs: FileSystem, path: string, config: FileConfig): Promise<FileHandle> {
  const group = await groupId(fs, config.group)
  const mode = Number.parseInt(config.mode, 8)
  const temporary = join(dirname(path), `.${basename(path)}.new.tmp`)
  const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_TRUNC
  const handle = await fs.open(temporary, flags, 0o600)
  try {
    if (group !== undefined) await handle.chown((await handle.stat()).uid, group)
    // The umask has taken bits from the mode, and so may the change of group have.
    await handle.chmod(mode)
    await fs.rename(temporary, path)
    await syncFolder(fs, dirname(path))
    return handle
  } catch (error) {
    await handle.close()
    await fs.unlink(temporary).catch(absent)
    throw error
  }
}

/** Node cannot ask the system for groups, so only those of /etc/group have names here. */
export async function groupId(fs: FileSystem, group: FileConfig['group']): Promise<number | undefined> {
  if (group === undefined || typeof group === 'number') return group
  const lines = (await fs.readFile('/etc/group', 'utf8')).split('\n')
  const found = lines.map((line) => line.split(':')).find(([name]) => name === group)
  if (found?.[2] !== undefined) return Number(found[2])
  throw new SinkError('refused', `there is no group "${group}" in /etc/group; name another, or give its number`)
}

/** A file that was renamed within its folder, for appending and reading. */
export async function findRenamed(fs: FileSystem, path: string, inode: string): Promise<FileHandle | undefined> {
  const folder = dirname(path)
  for (const name of await fs.readdir(folder)) {
    if (!name.startsWith(basename(path))) continue
    const found = await fs.stat(join(folder, name), { bigint: true }).catch(absent)
    if (found !== undefined && String(found.ino) === inode) return openExisting(fs, join(folder, name))
  }
  return undefined
}

/** Whether the file could be written, without touching it. */
export async function checkPlace(fs: FileSystem, config: FileConfig): Promise<CheckLine[]> {
  let path = resolve(config.path)
  try {
    path = await realPath(fs, path)
    await fs.access(dirname(path), constants.W_OK | constants.X_OK)
    await groupId(fs, config.group)
    const found = await fs.stat(path).catch(absent)
    if (found !== undefined) {
      requireFile(path, found)
      await fs.access(path, constants.R_OK | constants.W_OK)
    }
    return [{ ok: true, text: `${path} can be written` }]
  } catch (error) {
    return [{ ok: false, text: asSinkError(error, path).message }]
  }
}
