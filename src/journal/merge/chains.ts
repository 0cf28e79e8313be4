// The chains of a reader: which there are, what they share, and how far they may be read. Files come from the set.
// Invariant: what a chain may give was there in a round of header reads before the last one, if several files of its id grow.

import type { JournalSet, KnownFile } from '../directory.ts'
import type { CompiledMatch } from '../match.ts'
import type { Floor, PositionState } from '../position.ts'
import { Chain } from './chain.ts'
import { OpenFiles } from './chainFile.ts'
import { Copies } from './copies.ts'
import { Gaps } from './gaps.ts'

export interface ChainsOptions {
  /** One source; default: all of the set. */
  readonly source: string | undefined
  readonly match: CompiledMatch | undefined
  readonly reverse: boolean
  readonly end: PositionState | undefined
}

/** How many vanished files a chain remembers. */
const GONE_KEPT = 64
/** Rounds of looking at headers and directories until nothing new is found. */
const ROUNDS_MAX = 4

export class Chains {
  /** What of the set was seen in the first round of the last look. */
  generation = -1

  readonly #set: JournalSet
  readonly #options: ChainsOptions
  readonly #open: OpenFiles
  /** By source and seqnum id. */
  readonly #chains = new Map<string, Chain>()
  readonly #sources = new Map<string, Copies>()
  readonly #counters = new Map<string, Gaps>()
  #version = -1
  /** The generation at which holes were last looked through. */
  #settledAt = -1
  /** Entries lost before the last `begin`. */
  #lost = 0

  constructor(set: JournalSet, options: ChainsOptions) {
    this.#set = set
    this.#options = options
    this.#open = new OpenFiles(set)
  }

  [Symbol.iterator](): Iterator<Chain> {
    return this.#chains.values()
  }

  /** By source: what its chains know of each other. */
  get sources(): Iterable<Copies> {
    return this.#sources.values()
  }

  has(seqnumId: string): boolean {
    for (const chain of this.#chains.values()) if (chain.seqnumId === seqnumId) return true
    return false
  }

  /** Files that can be read now. */
  *files(): Iterable<KnownFile> {
    const { source } = this.#options
    for (const file of this.#set.files) if (source === undefined || file.source === source) yield file
  }

  /** Entries that the journal does not hold any more. */
  get lost(): number {
    let lost = this.#lost
    for (const gaps of this.#counters.values()) lost += gaps.lost
    return lost
  }

  /** Chains anew, for a seek of each. */
  begin(): void {
    this.#lost = this.lost
    this.close()
    this.#counters.clear()
    this.#version = -1
    const limits = this.#look()
    this.#adopt()
    this.#limit(limits)
  }

  /** Takes up growth, new and vanished files. New chains begin at `floor`; without one they wait for the next seek. */
  refresh(floor: Floor | undefined): void {
    const limits = this.#look()
    if (floor !== undefined) for (const chain of this.#adopt()) this.#enter(chain, floor)
    this.#limit(limits)
    for (const chain of this.#chains.values()) chain.refresh()
    this.#open.refreshLookups()
  }

  /** Chains without files, of which everything was read, leave their place behind. Gives their ids. */
  retire(): string[] {
    const ids: string[] = []
    for (const [key, chain] of this.#chains) {
      chain.prune(GONE_KEPT)
      if (!chain.isGone || chain.head !== undefined) continue
      const { copies } = chain
      if (chain.last.seqnum > 0) copies.orphans.set(chain.seqnumId, chain.last)
      copies.chains.splice(copies.chains.indexOf(chain), 1)
      chain.report()
      // Also because open descriptors keep the memory of a tmpfs.
      chain.close()
      this.#chains.delete(key)
      ids.push(chain.seqnumId)
    }
    return ids
  }

  /** Everything was read: holes that are left are losses, unless something came that is not taken up yet. */
  settle(): void {
    const open = Array.from(this.#counters.values()).filter((gaps) => gaps.hasOpen)
    if (open.length === 0) return
    for (const chain of this.#chains.values()) if (chain.isIncomplete) return
    this.#set.readHeaders()
    this.#set.rescan()
    const isQuiet = this.#set.generation === this.generation
    if (!isQuiet && this.#settledAt === this.generation) return
    this.#settledAt = this.generation
    for (const gaps of open) gaps.settle(isQuiet)
  }

  close(): void {
    for (const chain of this.#chains.values()) chain.close()
    this.#chains.clear()
    this.#sources.clear()
  }

  #enter(chain: Chain, floor: Floor): void {
    const { orphans } = chain.copies
    const orphan = orphans.get(chain.seqnumId)
    if (orphan === undefined) chain.seekFloor(floor)
    else chain.seekPosition(orphan)
    orphans.delete(chain.seqnumId)
  }

  /**
   * A first round of header reads, then the directories. Returns how far ids may be read of which several files grow: the largest
   * seqnum of this round. Whoever reads headers after this sees everything up to there.
   */
  #look(): Map<string, number> {
    const limits = new Map<string, number>()
    for (let round = 0; round < ROUNDS_MAX; round++) {
      this.#set.readHeaders()
      this.generation = this.#set.generation
      limits.clear()
      for (const { seqnumId, header } of this.files()) {
        limits.set(seqnumId, Math.max(limits.get(seqnumId) ?? 0, header.tailSeqnum))
      }
      if (!this.#set.rescan()) break
    }
    const growing = new Map<string, number>()
    for (const { seqnumId, live } of this.files()) {
      if (live) growing.set(seqnumId, (growing.get(seqnumId) ?? 0) + 1)
    }
    const shared = new Map<string, number>()
    for (const [id, count] of growing) if (count > 1) shared.set(id, limits.get(id) ?? 0)
    return shared
  }

  /** Files that came go to their chains. Gives the new chains. */
  #adopt(): Chain[] {
    if (this.#set.version === this.#version) return []
    this.#version = this.#set.version
    const created: Chain[] = []
    for (const file of this.files()) {
      const key = `${file.source} ${file.seqnumId}`
      let chain = this.#chains.get(key)
      if (chain === undefined) {
        chain = this.#create(file)
        if (chain === undefined) continue
        this.#chains.set(key, chain)
        created.push(chain)
      }
      if (!chain.has(file)) chain.add(file)
    }
    return created
  }

  #create({ source, seqnumId, counter }: KnownFile): Chain | undefined {
    const { end: bound, reverse, match } = this.#options
    const end = bound === undefined ? Number.POSITIVE_INFINITY : (bound.ids.get(seqnumId)?.seqnum ?? 0)
    if (end === 0) return undefined
    let gaps = this.#counters.get(counter)
    if (gaps === undefined) {
      gaps = new Gaps()
      this.#counters.set(counter, gaps)
    }
    let copies = this.#sources.get(source)
    if (copies === undefined) {
      copies = new Copies(reverse)
      this.#sources.set(source, copies)
    }
    // From now on all numbers seen count; what was read before this is not missing.
    for (const other of this.#chains.values()) if (other.gaps === gaps) gaps.start(other.last.seqnum)
    return new Chain({ source, seqnumId, gaps, copies, end, open: this.#open, reverse, match })
  }

  #limit(limits: ReadonlyMap<string, number>): void {
    for (const chain of this.#chains.values()) {
      const limit = limits.get(chain.seqnumId)
      // What is visible already was there before this round, whatever a header that lags behind says.
      chain.limit = limit === undefined ? Number.POSITIVE_INFINITY : Math.max(limit, chain.heldSeqnum)
    }
  }
}
