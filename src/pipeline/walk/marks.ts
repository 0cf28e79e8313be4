// The identities of a chunk's entries in flat arrays, from which positions and cursors are made when somebody asks.
// Invariant: no object per entry; `runs` is 0 for a late entry, which moves no position.

import { type EntryMark, isSameBoot } from '../../journal/cursor.ts'
import type { IdPosition, PositionState } from '../../journal/position.ts'

/** An entry, and its number among those of its boot and monotonic time, as `PositionState.place` wants both. */
export interface Mark {
  readonly entry: EntryMark
  readonly run: number
}

/** Arrays that grow together; entry i is at i in each (boots: the index of its boot). */
export class Marks {
  count = 0
  /** Seqnum ids and boots met so far, by index. */
  readonly ids: string[] = []
  readonly boots: Readonly<Pick<EntryMark, 'boot0' | 'boot1' | 'boot2' | 'boot3'>>[] = []
  // The last one of each: one entry after another is mostly of one id and boot.
  #id = 0
  #boot = 0
  #room: number
  #seqnums: Float64Array
  #realtimes: Float64Array
  #monotonics: Float64Array
  #idAt: Uint32Array
  #bootAt: Uint32Array
  #xorHigh: Uint32Array
  #xorLow: Uint32Array
  #runs: Uint32Array

  constructor(room: number) {
    this.#room = room
    this.#seqnums = new Float64Array(room)
    this.#realtimes = new Float64Array(room)
    this.#monotonics = new Float64Array(room)
    this.#idAt = new Uint32Array(room)
    this.#bootAt = new Uint32Array(room)
    this.#xorHigh = new Uint32Array(room)
    this.#xorLow = new Uint32Array(room)
    this.#runs = new Uint32Array(room)
  }

  /** @param run 0 when the entry came late */
  add(entry: EntryMark, id: number, run: number): void {
    if (this.count === this.#room) this.#grow()
    const at = this.count++
    this.#seqnums[at] = entry.seqnum
    this.#realtimes[at] = entry.realtime
    this.#monotonics[at] = entry.monotonic
    this.#idAt[at] = id
    this.#bootAt[at] = this.#bootIndex(entry)
    this.#xorHigh[at] = entry.xorHigh
    this.#xorLow[at] = entry.xorLow
    this.#runs[at] = run
  }

  /** Index of a seqnum id; a new one is added. */
  idIndex(seqnumId: string): number {
    if (this.ids[this.#id] === seqnumId) return this.#id
    const found = this.ids.lastIndexOf(seqnumId)
    this.#id = found >= 0 ? found : this.ids.push(seqnumId) - 1
    return this.#id
  }

  /** A copy of exactly what is in it, for keeping. */
  snapshot(): Marks {
    const copy = new Marks(0)
    copy.count = this.count
    copy.#room = this.count
    copy.ids.push(...this.ids)
    copy.boots.push(...this.boots)
    copy.#seqnums = this.#seqnums.slice(0, this.count)
    copy.#realtimes = this.#realtimes.slice(0, this.count)
    copy.#monotonics = this.#monotonics.slice(0, this.count)
    copy.#idAt = this.#idAt.slice(0, this.count)
    copy.#bootAt = this.#bootAt.slice(0, this.count)
    copy.#xorHigh = this.#xorHigh.slice(0, this.count)
    copy.#xorLow = this.#xorLow.slice(0, this.count)
    copy.#runs = this.#runs.slice(0, this.count)
    return copy
  }

  clear(): void {
    this.count = 0
    // Ids and boots are few and mostly the same in the next chunk; a pathological journal must not make the list long.
    if (this.ids.length > 64) this.ids.length = 0
    if (this.boots.length > 64) this.boots.length = 0
  }

  get realtimes(): Float64Array {
    return this.#realtimes
  }

  entry(index: number): EntryMark {
    const boot = this.boots[this.#bootAt[index] ?? 0] ?? { boot0: 0, boot1: 0, boot2: 0, boot3: 0 }
    return {
      seqnumId: this.idOf(index),
      seqnum: this.seqnum(index),
      realtime: this.#realtimes[index] ?? 0,
      monotonic: this.#monotonics[index] ?? 0,
      ...boot,
      xorHigh: this.#xorHigh[index] ?? 0,
      xorLow: this.#xorLow[index] ?? 0,
    }
  }

  seqnum(index: number): number {
    return this.#seqnums[index] ?? 0
  }

  idOf(index: number): string {
    return this.ids[this.#idAt[index] ?? 0] ?? ''
  }

  /** Moves a position over the entries [from, to). */
  move(state: PositionState, from: number, to: number): void {
    // Of each id only the last entry counts, so this looks from the end and is done when it has seen every id.
    const seen: number[] = []
    const last: number[] = []
    for (let index = to - 1; index >= from && seen.length < this.ids.length; index--) {
      const id = this.#idAt[index] ?? 0
      if (this.#runs[index] === 0 || seen.includes(id)) continue
      seen.push(id)
      last.push(index)
    }
    for (const index of last.reverse()) state.place(this.entry(index), this.#runs[index] ?? 1)
  }

  #bootIndex(entry: EntryMark): number {
    const last = this.boots[this.#boot]
    if (last !== undefined && isSameBoot(last, entry)) return this.#boot
    const found = this.boots.findLastIndex((boot) => isSameBoot(boot, entry))
    const { boot0, boot1, boot2, boot3 } = entry
    this.#boot = found >= 0 ? found : this.boots.push({ boot0, boot1, boot2, boot3 }) - 1
    return this.#boot
  }

  #grow(): void {
    this.#room = Math.max(256, this.#room * 2)
    const float = (old: Float64Array): Float64Array => {
      const grown = new Float64Array(this.#room)
      grown.set(old)
      return grown
    }
    const word = (old: Uint32Array): Uint32Array => {
      const grown = new Uint32Array(this.#room)
      grown.set(old)
      return grown
    }
    this.#seqnums = float(this.#seqnums)
    this.#realtimes = float(this.#realtimes)
    this.#monotonics = float(this.#monotonics)
    this.#idAt = word(this.#idAt)
    this.#bootAt = word(this.#bootAt)
    this.#xorHigh = word(this.#xorHigh)
    this.#xorLow = word(this.#xorLow)
    this.#runs = word(this.#runs)
  }
}

/** A place as a mark, to move another position to it. */
export function markOf(seqnumId: string, place: IdPosition): Mark {
  const { seqnum, realtime, monotonic, boot0, boot1, boot2, boot3, xorHigh, xorLow } = place
  return {
    entry: { seqnumId, seqnum, realtime, monotonic, boot0, boot1, boot2, boot3, xorHigh, xorLow },
    run: place.run,
  }
}
