// A disk that a test can fill up, hold, or slow down, below the file sink. The note beside the file is spared.

import { setTimeout as sleep } from 'node:timers/promises'
import { type FileHandle, type FileSystem, nodeFileSystem } from '../../../sinks/file/system.ts'

type Which = (path: string) => boolean
const all: Which = () => true

export class TroubledDisk {
  /** Whether writing fails, everywhere or in some files. */
  isFull: boolean | Which = false
  /** What statfs says; undefined: the truth. */
  freeBytes: number | undefined
  /** Writes are done at once, but return after this time. */
  answersAfterMs = 0
  /** Calls of write so far. */
  writes = 0
  readonly #synced = new Map<string, number>()
  #isHeld: Which = () => false
  #held: PromiseWithResolvers<void> = Promise.withResolvers()

  /** From now on writes stand still until `letGo`. */
  hold(which: Which = all): void {
    this.#isHeld = which
    this.#held = Promise.withResolvers()
  }

  letGo(): void {
    this.#isHeld = () => false
    this.#held.resolve()
  }

  /** Bytes of the file that were forced to disk. */
  lengthSynced(path: string): number | undefined {
    return this.#synced.get(path)
  }

  readonly fs: FileSystem = {
    ...nodeFileSystem,
    open: async (path, flags, mode) => {
      const isCreated = (Number(flags) & 0o100) !== 0
      if (isCreated && this.#isFullAt(String(path))) throw noSpace()
      return this.#watched(
        await nodeFileSystem.open(path, flags, mode),
        String(path).replace('/.journal.ndjson.new.tmp', '/journal.ndjson'),
      )
    },
    statfs: (async (path: string) => {
      const found = await nodeFileSystem.statfs(path)
      if (this.freeBytes === undefined) return found
      const blocks = Math.floor(this.freeBytes / found.bsize)
      return Object.assign(found, { bavail: blocks, bfree: blocks })
    }) as FileSystem['statfs'],
  }

  #isFullAt(path: string): boolean {
    return typeof this.isFull === 'boolean' ? this.isFull : this.isFull(path)
  }

  #watched(handle: FileHandle, path: string): FileHandle {
    if (path.includes('.logferry')) return handle
    const write = handle.write.bind(handle) as (
      ...args: unknown[]
    ) => Promise<{ bytesWritten: number; buffer: Uint8Array }>
    const datasync = handle.datasync.bind(handle)
    return Object.assign(handle, {
      write: async (bytes: Uint8Array, from: number, length: number, position: number | null) => {
        this.writes++
        if (this.#isHeld(path)) await this.#held.promise
        if (this.#isFullAt(path)) {
          // As file systems do: what fits is written, and the next call fails.
          if (length > 100) return write(bytes, from, 100, position)
          throw noSpace()
        }
        const result = await write(bytes, from, length, position)
        if (this.answersAfterMs > 0) await sleep(this.answersAfterMs)
        return result
      },
      datasync: async () => {
        const { size } = await handle.stat()
        await datasync()
        this.#synced.set(path, size)
      },
    }) as FileHandle
  }
}

function noSpace(): Error {
  return Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
}
