// One byte budget for everything that is kept only to be fast or to be shared: windows, caches, batches near the head.
// Who holds memory registers it; when the sum passes the limit, the least recently used holders are told to let go.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Something that can give its memory back at any time and build it again later. */
export interface MemoryHolder {
  /** Drop the memory. Called from within another holder's `use`; must not call the budget. */
  release(): void
}

/**
 * Buffers lie outside V8's heap, and V8 lets 64 MB of such garbage gather before it looks for any (its soft limit for external
 * allocations); by then they count as old, and only a full collection finds them. So it is told after so many bytes, while they are
 * young: that takes about a millisecond. A full one takes thirty, and is for what has grown old all the same.
 */
const COLLECT_YOUNG_AFTER = 2 * 2 ** 20
const COLLECT_ALL_AFTER = 48 * 2 ** 20

export class MemoryBudget {
  readonly limit: number
  #used = 0
  // Since young garbage was collected last, and since all was.
  #young = 0
  #all = 0
  // Insertion order is age: a holder is moved to the end whenever it is used.
  readonly #sizes = new Map<MemoryHolder, number>()

  /** @param limit bytes, for example 32 MiB */
  constructor(limit: number) {
    this.limit = limit
  }

  get used(): number {
    return this.#used
  }

  /** Says that `holder` now holds `bytes` and is in use; releases the least recently used others until all fits. */
  use(holder: MemoryHolder, bytes: number): void {
    const before = this.#sizes.get(holder) ?? 0
    this.#used += bytes - before
    this.#sizes.delete(holder)
    this.#sizes.set(holder, bytes)
    if (bytes < before) this.#waste(before - bytes)
    if (this.#used <= this.limit) return
    for (const [other, size] of this.#sizes) {
      if (other === holder) continue
      this.#sizes.delete(other)
      this.#used -= size
      this.#waste(size)
      other.release()
      if (this.#used <= this.limit) return
    }
  }

  /** Says that `holder` holds nothing any more. */
  forget(holder: MemoryHolder): void {
    const size = this.#sizes.get(holder) ?? 0
    this.#used -= size
    this.#waste(size)
    this.#sizes.delete(holder)
  }

  /**
   * Says that `bytes` beside those of holders were made and will soon be garbage. Called where nothing is half done, once for each
   * chunk of entries: the place where garbage is collected when enough has gathered.
   */
  spend(bytes: number): void {
    this.#waste(bytes)
    if (this.#young < COLLECT_YOUNG_AFTER) return
    const isAll = this.#all >= COLLECT_ALL_AFTER
    this.#young = 0
    if (isAll) this.#all = 0
    collect(isAll ? 'major' : 'minor')
  }

  #waste(bytes: number): void {
    this.#young += bytes
    this.#all += bytes
  }
}

let collector: ((options: { type: 'major' | 'minor' }) => void) | undefined

// Node gives `gc` only to those who ask for it by a flag; a flag that is set later counts for contexts made after it.
function collect(type: 'major' | 'minor'): void {
  if (collector === undefined) {
    setFlagsFromString('--expose-gc')
    collector = runInNewContext('gc') as typeof collector
  }
  collector?.({ type })
}
