// Copies across the seqnum ids of one source: a flush writes the entries of /run to /var under another id and other numbers.
// An entry can only be a copy when another id was read up to its time, which is rare, so all others pass after one comparison.
// Invariant: an entry is called a copy only when its identity was given before, or when the files that could tell are gone.

import { isSameBoot } from '../cursor.ts'
import type { JournalFile } from '../file/file.ts'
import type { IdPosition } from '../position.ts'
import type { Chain } from './chain.ts'

/** Found out only where it is needed. */
export const UNKNOWN = -1

export class Copies {
  readonly chains: Chain[] = []
  /** Places in ids that have no file any more. */
  readonly orphans = new Map<string, IdPosition>()
  readonly #reverse: boolean
  /** Counts the changes of boot, see Chain.follow. */
  epoch = 0
  // The furthest stamp that any id was read to.
  #boot0 = 0
  #boot1 = 0
  #boot2 = 0
  #boot3 = 0
  #monotonic = 0

  constructor(reverse: boolean) {
    this.#reverse = reverse
  }

  /** Whether the entry lies beyond all that was read, and so is no copy; the furthest stamp is its own then. */
  passes(file: JournalFile): boolean {
    const { monotonic } = file
    if (
      (this.#reverse ? monotonic < this.#monotonic : monotonic > this.#monotonic) &&
      file.boot3 === this.#boot3 &&
      file.boot0 === this.#boot0 &&
      file.boot1 === this.#boot1 &&
      file.boot2 === this.#boot2
    ) {
      this.#monotonic = monotonic
      return true
    }
    return false
  }

  /** Whether another id had this entry, the head of `chain`, which does not pass. `ordinal`: its number among its equals, or UNKNOWN. */
  has(chain: Chain, file: JournalFile, ordinal: number): boolean {
    let furthest = file.monotonic
    for (const other of this.chains) {
      const { last } = other
      if (other === chain || last.seqnum === 0 || !isSameBoot(last, file)) continue
      if (this.#reverse ? last.monotonic > file.monotonic : last.monotonic < file.monotonic) continue
      if (this.#wasGivenBy(other, chain, file, ordinal === UNKNOWN ? chain.ordinal() : ordinal)) return true
      furthest = this.#reverse ? Math.min(furthest, last.monotonic) : Math.max(furthest, last.monotonic)
    }
    for (const place of this.orphans.values()) {
      if (!isSameBoot(place, file) || place.monotonic < file.monotonic) continue
      // Of the files nothing is left: what the id had by then was given.
      if (place.monotonic > file.monotonic || chain.countInRun(file) <= place.run) return true
    }
    this.#monotonic = furthest
    const isOtherBoot = this.#boot0 !== file.boot0 || this.#boot1 !== file.boot1 || this.#boot2 !== file.boot2
    if (!isOtherBoot && this.#boot3 === file.boot3) return false
    this.#boot0 = file.boot0
    this.#boot1 = file.boot1
    this.#boot2 = file.boot2
    this.#boot3 = file.boot3
    this.epoch++
    return false
  }

  #wasGivenBy(other: Chain, chain: Chain, file: JournalFile, ordinal: number): boolean {
    const seqnum = other.find(file, ordinal)
    const { last } = other
    if (seqnum !== undefined) return seqnum > 0 && (this.#reverse ? seqnum >= last.seqnum : seqnum <= last.seqnum)
    // The files that may have had it are gone, as after a flush. Within one directory nothing is copied: there it is another entry.
    if (other.gaps === chain.gaps || this.#reverse) return false
    return last.monotonic > file.monotonic || chain.countInRun(file) <= last.run
  }
}
