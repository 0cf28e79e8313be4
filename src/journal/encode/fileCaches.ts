// The caches of one encoder, one for each file it reads. They lie in the file, so they go with it; the encoder can also drop all of its own.

import type { JournalFile } from '../file/file.ts'
import type { MemoryBudget } from '../memory.ts'
import { FileCache } from './cache.ts'

/** What one encoder may keep of one file, in bytes. 80,000 entries of a busy node take 6 MB in shape journal, 12 MB in shape ecs. */
const MOST = 16 << 20

export class FileCaches {
  readonly #owner: object
  readonly #memory: MemoryBudget
  readonly #limit: number
  readonly #files = new Map<FileCache, WeakRef<JournalFile>>()

  /** @param owner the encoder, key of its cache in each file */
  constructor(owner: object, memory: MemoryBudget) {
    this.#owner = owner
    this.#memory = memory
    this.#limit = Math.min(MOST, memory.limit >>> 2)
  }

  /** The owner's cache of the file, for an entry that is encoded now. */
  of(file: JournalFile): FileCache {
    const known = file.encoderCaches.get(this.#owner)
    if (known instanceof FileCache) {
      known.touch()
      return known
    }
    const cache = new FileCache(this.#memory, this.#limit)
    file.encoderCaches.set(this.#owner, cache)
    this.#forgetClosed()
    this.#files.set(cache, new WeakRef(file))
    cache.touch()
    return cache
  }

  /** Takes all caches out of their files. */
  close(): void {
    for (const [cache, ref] of this.#files) {
      this.#memory.forget(cache)
      cache.release()
      const file = ref.deref()
      if (file?.encoderCaches.get(this.#owner) === cache) file.encoderCaches.delete(this.#owner)
    }
    this.#files.clear()
  }

  // Files that were closed have cleared their caches; a daemon sees many files come and go.
  #forgetClosed(): void {
    for (const [cache, ref] of this.#files) {
      if (ref.deref()?.encoderCaches.get(this.#owner) !== cache) this.#files.delete(cache)
    }
  }
}
