// Keeps where every sink stands, in <state>/<sink>/position.json: renamed into place soon after every move, which survives
// a kill, and once a second in position.synced.json with fsync of file and folder, which survives a power cut (after one the
// newest file may be empty or torn).
// Invariant: a position is stored as it was saved or not at all; nothing here ever chooses a place to begin at.

import { join } from 'node:path'
import { makeFolder, readIfThere, replaceFile, syncFolder } from '../../atomicFile.ts'
import { problem } from '../../errors.ts'
import type { Clock } from '../../telemetry/clock.ts'
import { type Log, RepeatedMessages } from '../../telemetry/log.ts'
import type { PositionKeeper, StoredPosition } from '../settings.ts'
import { formatPositionFile, POSITION_VERSION, type PositionReading, parsePositionFile } from './positionFile.ts'
import { describeSystemError, sinkFolder, stateProblem } from './statePath.ts'

/** Not more often than 20 times a second; where the target holds the position and is asked at the start, once a second will do. */
const RENAME_EVERY_MS = 50
const RENAME_HELD_EVERY_MS = 1000
const SYNC_EVERY_MS = 1000
/** After a failure, a full disk as a rule. */
const RETRY_MS = 1000

interface Kept {
  readonly sink: string
  readonly folder: string
  readonly positions: Map<string, StoredPosition>
  /** Counts the changes of `positions`; it is the file's generation, too. */
  changed: number
  /** The change that the renamed and the synced file hold. */
  renamed: number
  synced: number
  renamedAt: number
  syncedAt: number
  /** Somebody waits for a sync: the newest change that it has to hold. */
  wanted: number
  waiting: { readonly change: number; resolve(): void; reject(error: unknown): void }[]
  running: boolean
  /** Ends the pause of the loop. */
  wake: AbortController
  failure: unknown
}

export interface PositionStoreOptions {
  /** The state folder. */
  readonly state: string
  readonly log: Log
  readonly clock: Clock
}

/** The positions of all sinks of a state folder. One process at a time may write a sink's: see stateLock.ts. */
export class PositionStore implements PositionKeeper {
  readonly #state: string
  readonly #log: Log
  readonly #clock: Clock
  readonly #trouble: RepeatedMessages
  readonly #kept = new Map<string, Kept>()
  #closed = false

  constructor(options: PositionStoreOptions) {
    this.#state = options.state
    this.#log = options.log
    this.#clock = options.clock
    this.#trouble = new RepeatedMessages(options.log, options.clock)
  }

  /**
   * The stored positions of a sink, by source; empty when it has none yet. Throws LF_STATE_POSITION_DAMAGED or
   * LF_STATE_POSITION_NEWER when there is something that cannot be trusted: the sink is then held, and a person chooses.
   */
  load(sink: string): Map<string, StoredPosition> {
    const known = this.#kept.get(sink)
    if (known !== undefined) return new Map(known.positions)
    const folder = sinkFolder(this.#state, sink)
    const newest = readPosition(join(folder, 'position.json'), sink)
    const synced = readPosition(join(folder, 'position.synced.json'), sink)
    const chosen = this.#choose(sink, folder, newest, synced)
    const kept = this.#keep(sink, folder, chosen?.positions ?? new Map(), chosen?.generation ?? 0)
    if (synced?.kind === 'good') kept.synced = synced.file.generation
    return new Map(kept.positions)
  }

  #choose(sink: string, folder: string, newest: PositionReading | undefined, synced: PositionReading | undefined) {
    const path = join(folder, newest === undefined ? 'position.synced.json' : 'position.json')
    if (newest?.kind === 'newer' || synced?.kind === 'newer') {
      const version = newest?.kind === 'newer' ? newest.version : synced?.kind === 'newer' ? synced.version : 0
      throw problem('LF_STATE_POSITION_NEWER', { sink, path, version, known: POSITION_VERSION })
    }
    if (newest?.kind === 'good') {
      // A power cut can also bring an older file back, when the last rename was not stored yet.
      return synced?.kind === 'good' && synced.file.generation > newest.file.generation ? synced.file : newest.file
    }
    if (synced?.kind === 'good') {
      const why = newest?.why ?? 'it is missing'
      this.#log.warn(`sink "${sink}" goes on from the position that was last synced: ${path}: ${why}`, { sink })
      return synced.file
    }
    if (newest === undefined && synced === undefined) return undefined
    const why = newest?.why ?? synced?.why ?? 'it is missing'
    throw problem('LF_STATE_POSITION_DAMAGED', { sink, path, why })
  }

  #keep(sink: string, folder: string, positions: ReadonlyMap<string, StoredPosition>, generation: number): Kept {
    const kept: Kept = {
      sink,
      folder,
      positions: new Map(positions),
      changed: generation,
      renamed: generation,
      synced: 0,
      renamedAt: -RENAME_EVERY_MS,
      syncedAt: -SYNC_EVERY_MS,
      wanted: 0,
      waiting: [],
      running: false,
      wake: new AbortController(),
      failure: undefined,
    }
    this.#kept.set(sink, kept)
    return kept
  }

  /**
   * Notes a position: in memory at once, on disk within 50 ms (a second where it is the target's answer), synced within a second.
   * Throws as `load` does.
   */
  save(sink: string, source: string, stored: StoredPosition): void {
    if (this.#closed) throw new Error('the position store is closed')
    if (!this.#kept.has(sink)) this.load(sink)
    const kept = this.#kept.get(sink) as Kept
    kept.positions.set(source, stored)
    kept.changed++
    if (!kept.running) void this.#run(kept)
    // It may be pausing until the next sync. Only the first change wakes it, not those that find the disk full.
    else if (kept.renamed === kept.changed - 1) kept.wake.abort()
  }

  /** Resolves when everything saved so far would survive a power cut; waits as long as the disk is full. */
  sync(sink: string): Promise<void> {
    const kept = this.#kept.get(sink)
    if (kept === undefined || kept.synced >= kept.changed) return Promise.resolve()
    return new Promise((resolve, reject) => {
      kept.wanted = kept.changed
      kept.waiting.push({ change: kept.changed, resolve, reject })
      kept.wake.abort()
      if (!kept.running) void this.#run(kept)
    })
  }

  /**
   * Puts these positions in the place of whatever is stored, good or damaged, and resolves when they are durable.
   * For a person's choice (`cursor set`, `cursor skip`). Rejects with LF_STATE_IO or LF_STATE_NO_ACCESS.
   */
  async replace(sink: string, positions: ReadonlyMap<string, StoredPosition>): Promise<void> {
    const folder = sinkFolder(this.#state, sink)
    const before = this.#kept.get(sink)
    if (before?.running) throw new Error(`the positions of sink "${sink}" are in use`)
    let generation = before?.changed ?? 0
    for (const name of ['position.json', 'position.synced.json']) {
      const reading = readPosition(join(folder, name), sink)
      if (reading?.kind === 'good') generation = Math.max(generation, reading.file.generation)
    }
    const kept = this.#keep(sink, folder, positions, generation + 1)
    try {
      // Both files: neither must bring the old place back.
      await this.#writeSynced(kept, kept.changed)
      await this.#writeRenamed(kept, kept.changed)
      await syncFolder(folder)
    } catch (error) {
      this.#kept.delete(sink)
      throw stateProblem(folder, error)
    }
  }

  /** Why the newest positions of a sink are not on disk at present, for the health page; undefined when all is well. */
  failure(sink: string): string | undefined {
    const failure = this.#kept.get(sink)?.failure
    return failure === undefined ? undefined : describeSystemError(failure)
  }

  /**
   * Syncs everything. When `signal` is aborted before the disk takes it, says in the log which sinks will repeat
   * entries after the next start, and resolves all the same.
   */
  async close(signal?: AbortSignal): Promise<void> {
    const all = Promise.allSettled(Array.from(this.#kept.keys(), (sink) => this.sync(sink)))
    this.#closed = true
    const giveUp = (): void => {
      for (const kept of this.#kept.values()) {
        if (kept.synced >= kept.changed) continue
        this.#log.error(`the newest position of sink "${kept.sink}" could not be stored: it may repeat entries`, {
          sink: kept.sink,
          error: kept.failure,
        })
        for (const waiting of kept.waiting.splice(0)) waiting.reject(signal?.reason)
        kept.changed = Math.min(kept.synced, kept.renamed)
        kept.wake.abort()
      }
    }
    if (signal?.aborted) giveUp()
    signal?.addEventListener('abort', giveUp, { once: true })
    await all
    signal?.removeEventListener('abort', giveUp)
  }

  /** Runs as long as something of this sink is not stored; one at a time, so that files never go back. */
  async #run(kept: Kept): Promise<void> {
    kept.running = true
    while (Math.min(kept.synced, kept.renamed) < kept.changed) {
      const now = this.#clock.monotonic()
      const never = Number.POSITIVE_INFINITY
      const lazySyncAt = kept.synced < kept.changed ? kept.syncedAt + SYNC_EVERY_MS : never
      const syncAt = kept.wanted > kept.synced ? now : lazySyncAt
      const renameAt = kept.renamed < kept.changed ? kept.renamedAt + renameEveryMs(kept) : never
      if (now < Math.min(syncAt, renameAt)) {
        await this.#pause(kept, Math.min(syncAt, renameAt) - now)
        continue
      }
      try {
        // The synced one first where both are due: a new sink must not have an unsynced file alone.
        if (now >= syncAt) await this.#writeSynced(kept, kept.changed)
        if (kept.renamed < kept.changed) await this.#writeRenamed(kept, kept.changed)
        kept.failure = undefined
        this.#trouble.works(kept.sink, `the position of sink "${kept.sink}" is stored again`, { sink: kept.sink })
      } catch (error) {
        kept.failure = error
        const why = describeSystemError(error)
        this.#trouble.failed(kept.sink, `cannot store the position of sink "${kept.sink}" in ${kept.folder}: ${why}`, {
          sink: kept.sink,
        })
        await this.#pause(kept, RETRY_MS)
      }
      const done = kept.waiting.filter((waiting) => waiting.change <= kept.synced)
      kept.waiting = kept.waiting.filter((waiting) => waiting.change > kept.synced)
      for (const waiting of done) waiting.resolve()
    }
    kept.running = false
  }

  async #pause(kept: Kept, ms: number): Promise<void> {
    kept.wake = new AbortController()
    // Being woken is no failure: the loop looks again at what is due.
    await this.#clock.sleep(ms, kept.wake.signal).catch(() => undefined)
  }

  async #writeRenamed(kept: Kept, change: number): Promise<void> {
    kept.renamedAt = this.#clock.monotonic()
    makeFolder(kept.folder)
    await replaceFile(join(kept.folder, 'position.json'), this.#text(kept, change))
    kept.renamed = change
  }

  async #writeSynced(kept: Kept, change: number): Promise<void> {
    kept.syncedAt = this.#clock.monotonic()
    makeFolder(kept.folder)
    await replaceFile(join(kept.folder, 'position.synced.json'), this.#text(kept, change), true)
    // The folder of a new sink must be found after a power cut as well.
    if (kept.synced === 0) await syncFolder(this.#state)
    kept.synced = change
  }

  #text(kept: Kept, change: number): string {
    return formatPositionFile({ sink: kept.sink, generation: change, positions: kept.positions })
  }
}

function renameEveryMs({ positions }: Kept): number {
  for (const { target } of positions.values()) if (target === undefined) return RENAME_EVERY_MS
  return RENAME_HELD_EVERY_MS
}

function readPosition(path: string, sink: string): PositionReading | undefined {
  let content: Buffer | undefined
  try {
    content = readIfThere(path)
  } catch (error) {
    throw stateProblem(path, error)
  }
  return content === undefined ? undefined : parsePositionFile(content, sink)
}
