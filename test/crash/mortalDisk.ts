// A disk that stops at a chosen call, as it looks to a process that is killed there: nothing after it happens, and a write may
// have been done in part. Power cuts, too: what was not synced may be missing afterwards.

import { type PathLike, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { type FileHandle, type FileSystem, nodeFileSystem } from '../../sinks/file/system.ts'

export class Killed extends Error {
  override readonly name = 'Killed'
}

/** Numbers in [0, 1), the same for the same seed. */
export function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** What is on the disk for sure, of one file. */
interface Kept {
  readonly path: string
  readonly synced: Buffer
}

export class MortalDisk {
  calls = 0
  isDead = false
  readonly #killAt: number
  readonly #random: () => number
  readonly #handles = new Set<FileHandle>()
  // By inode, as names change.
  readonly #kept = new Map<number, Kept>()

  /** @param killAt the call that is the last one; Infinity: none is */
  constructor(killAt: number, random: () => number) {
    this.#killAt = killAt
    this.#random = random
  }

  /** Every call but reading is a place to die: before it, after it, or, for a write, in the middle. */
  async #step<T>(call: () => Promise<T>, half?: () => Promise<unknown>): Promise<T> {
    if (this.isDead) throw new Killed()
    if (++this.calls < this.#killAt) return call()
    this.isDead = true
    const chance = this.#random()
    if (half !== undefined) await (chance < 0.7 ? half() : undefined)
    else if (chance < 0.5) await call()
    throw new Killed()
  }

  async #alive<T>(call: () => Promise<T>): Promise<T> {
    if (this.isDead) throw new Killed()
    return call()
  }

  readonly fs: FileSystem = {
    ...nodeFileSystem,
    open: async (path, flags, mode) =>
      this.#mortal(
        await this.#step(
          () => nodeFileSystem.open(path, flags, mode),
          // The file may be there, but nobody has it open.
          async () => (await nodeFileSystem.open(path, flags, mode)).close(),
        ),
        String(path),
      ),
    rename: (from, to) => this.#step(() => nodeFileSystem.rename(from, to)),
    unlink: (path) => this.#step(() => nodeFileSystem.unlink(path)),
    readdir: ((path: PathLike) => this.#alive(() => nodeFileSystem.readdir(path))) as FileSystem['readdir'],
  }

  #mortal(handle: FileHandle, path: string): FileHandle {
    this.#handles.add(handle)
    const { write, truncate, close, read, chmod } = handle
    const real = { write, truncate, close, read, chmod } as Record<string, (...all: unknown[]) => Promise<unknown>>
    const bind = (name: string) => real[name]!.bind(handle)
    return Object.assign(handle, {
      write: (bytes: Uint8Array, from: number, length: number, position: number | null) =>
        this.#step(
          () => bind('write')(bytes, from, length, position),
          () => bind('write')(bytes, from, Math.floor(this.#random() * length), position),
        ),
      read: (...all: unknown[]) => this.#alive(() => bind('read')(...all)),
      truncate: (length: number) => this.#step(() => bind('truncate')(length)),
      chmod: (mode: number) => this.#step(() => bind('chmod')(mode)),
      // Not really: a kill does not need it, and it takes long.
      datasync: () => this.#step(() => this.#keep(handle, path)),
      sync: () => this.#step(() => this.#keep(handle, path)),
      close: async () => {
        this.#handles.delete(handle)
        await bind('close')()
      },
    }) as FileHandle
  }

  async #keep(handle: FileHandle, path: string): Promise<void> {
    const found = await handle.stat()
    if (found.isFile()) this.#kept.set(found.ino, { path, synced: readFileSync(`/proc/self/fd/${handle.fd}`) })
  }

  /** Closes what the killed process had open. */
  async bury(): Promise<void> {
    this.isDead = true
    for (const handle of [...this.#handles]) await handle.close()
  }

  /** Takes from the files named in `paths` what a power cut may take: any part of what was not synced, or zeros in its place. */
  cutPower(paths: readonly string[]): void {
    for (const path of paths) {
      const { ino, size } = statSync(path)
      const synced = this.#kept.get(ino)?.synced ?? Buffer.alloc(0)
      if (basename(path).startsWith('.')) this.#forgetSlots(path, synced)
      else if (synced.length <= size) {
        const length = synced.length + Math.floor(this.#random() * (size - synced.length + 1))
        if (this.#random() < 0.5) truncateSync(path, length)
        else writeFileSync(path, readFileSync(path).fill(0, length))
      }
    }
  }

  /** A note: any of its slots may still be what it was when the file was synced, or be torn. */
  #forgetSlots(path: string, synced: Buffer): void {
    const now = readFileSync(path)
    if (synced.length !== now.length) return
    const slot = now.length / 4
    for (let at = 0; at < now.length; at += slot) {
      const chance = this.#random()
      if (chance < 0.4) synced.copy(now, at, at, at + slot)
      else if (chance < 0.5) synced.copy(now, at, at, at + Math.floor(slot / 8))
    }
    writeFileSync(path, now)
  }
}
