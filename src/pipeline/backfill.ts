// A backfill: one sink, once, over a range of the journal that is fixed when it first begins. The same shipper as the
// daemon's does it, with a position of its own, so a kill repeats no more than the daemon would.
// Invariant: the live positions of the sink are neither read nor written, and a file that somebody writes is left alone.

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { makeFolder, readIfThere, replaceFileNow, systemCode } from '../atomicFile.ts'
import { isProblem, problem } from '../errors.ts'
import type { JournalSet } from '../journal/directory.ts'
import type { MemoryBudget } from '../journal/memory.ts'
import { PositionState, type Start } from '../journal/position.ts'
import type { SinkHost } from '../sink.ts'
import type { Clock } from '../telemetry/clock.ts'
import type { Log } from '../telemetry/log.ts'
import { Metrics } from '../telemetry/metrics.ts'
import { BackfillJob, endOf, type JobFacts, type Range } from './backfillJob.ts'
import type { DeadLetterKeeper, SinkSpec } from './settings.ts'
import { Shipper } from './shipper.ts'
import { DeadLetters } from './state/deadLetters.ts'
import { PositionStore } from './state/positionStore.ts'
import { lockHolder, nameHolder, StateLock } from './state/stateLock.ts'
import { stateProblem } from './state/statePath.ts'
import { Walks } from './walk/walks.ts'

export interface BackfillOptions {
  /** The state folder; a daemon may run on it. */
  readonly state: string
  /** The sink, its `match` already narrowed by the arguments. */
  readonly spec: SinkSpec
  /** The arguments as they were written, which make the job. */
  readonly args: readonly string[]
  readonly set: JournalSet
  /** Microseconds since 1970, inclusive; undefined: from the first entry, to the last one that there is now. */
  readonly sinceUs?: number | undefined
  readonly untilUs?: number | undefined
  /** Absolute paths of the files that the sink writes. */
  readonly writes: readonly string[]
  readonly memory: MemoryBudget
  readonly labels: Readonly<Record<string, string>>
  readonly node: SinkHost['node']
  readonly log: Log
  readonly clock: Clock
  /** Default: metrics of its own. */
  readonly metrics?: Metrics
  /** How long what is under way may take when it is interrupted, ms. */
  readonly shutdownTimeoutMs: number
  /** Called about once a second. */
  readonly onProgress?: (progress: BackfillProgress) => void
}

export interface BackfillCounts {
  /** Entries read, those that the match leaves out included. */
  readonly read: number
  readonly delivered: number
  /** Gone to the dead letters. */
  readonly rejected: number
  /** Entries that the journal itself no longer holds. */
  readonly gaps: number
  /** Of the delivered records. */
  readonly bytes: number
}

export interface BackfillProgress extends BackfillCounts {
  /** Entries in the range, about: copies of an entry count twice. */
  readonly total: number
  /** Read in the last second or so. */
  readonly entriesPerSecond: number
  /** What is in the sink's way, if anything is. */
  readonly trouble: string | undefined
}

export interface BackfillSummary extends BackfillCounts {
  /** `interrupted`: the same command goes on. */
  readonly status: 'finished' | 'interrupted'
  /** It went on with what an earlier run had begun; the counts are of all runs, save what a kill kept from being noted. */
  readonly isResumed: boolean
  readonly seconds: number
}

const PROGRESS_MS = 1000
const CLOSE_MS = 5000
const UNSETTLED_SHARE = 0.25
const NOTHING: BackfillCounts = { read: 0, delivered: 0, rejected: 0, gaps: 0, bytes: 0 }

/**
 * Runs a backfill to its end, or until `signal` is aborted. Waits for a destination that is not available. Rejects with
 * LF_STATE_LOCKED (the same job runs), LF_BACKFILL_SHARED_FILE, LF_BACKFILL_DAMAGED, LF_STATE_IO or LF_STATE_NO_ACCESS.
 */
export async function backfill(options: BackfillOptions, signal: AbortSignal): Promise<BackfillSummary> {
  const { state, spec, args, writes } = options
  const job = new BackfillJob(state, spec.name, args)
  const describe = () => ({ sinks: [spec.name], writes })
  await using _lock = await StateLock.acquire(job.folder, job.lockName, { describe })
  // With the lock, so that of two which would share a file one at least sees the other.
  const writer = await findWriter(state, writes, job.lockName)
  if (writer !== undefined) throw problem('LF_BACKFILL_SHARED_FILE', writer)
  const begun = job.read()
  const facts = begun ?? (await beginJob(job, options))
  job.removeRemains(facts.run)
  const run = new Run(options, job, facts)
  const isFinished = await run.ship(signal)
  if (isFinished) await job.end()
  return {
    ...run.counts(),
    status: isFinished ? 'finished' : 'interrupted',
    isResumed: begun !== undefined,
    seconds: run.seconds,
  }
}

/**
 * Who writes one of these files: the daemon on this state folder, or a backfill other than `except` (its lock's name).
 * Rejects with LF_STATE_IO or LF_STATE_NO_ACCESS.
 */
export async function findWriter(
  state: string,
  files: readonly string[],
  except?: string,
): Promise<{ readonly file: string; readonly holder: string } | undefined> {
  if (files.length === 0) return undefined
  const folder = join(state, 'backfill')
  const locks = readNames(folder).filter((name) => name.endsWith('.lock') && name !== except)
  const places = [[state, 'lock'] as const, ...locks.map((name) => [folder, name] as const)]
  for (const [where, name] of places) {
    const holder = await lockHolder(where, name)
    const file = holder?.writes.find((path) => files.includes(path))
    if (holder !== undefined && file !== undefined) return { file, holder: nameHolder(holder) }
  }
  return undefined
}

async function beginJob(job: BackfillJob, options: BackfillOptions): Promise<JobFacts> {
  const { set, memory, sinceUs, untilUs, clock } = options
  const start: Start = sinceUs === undefined ? { kind: 'oldest' } : { kind: 'since', realtimeUs: sinceUs }
  const streams = new Walks({ set, memory, metrics: new Metrics() })
  const ranges = new Map<string, Range>()
  let entries = 0
  for (const source of set.sources()) {
    // The end first: what is written meanwhile is not part of it.
    const found = endOf(set.files, source, sinceUs, untilUs, memory, clock.now() * 1000)
    ranges.set(source, { start: streams.startPosition(source, start), end: found.end })
    entries += found.entries
  }
  return job.begin(ranges, entries)
}

/** One run of a job, which may be one of several. */
class Run {
  readonly #options: BackfillOptions
  readonly #facts: JobFacts
  readonly #job: BackfillJob
  readonly #metrics: Metrics
  readonly #earlier: BackfillCounts
  readonly #startedAt: number

  constructor(options: BackfillOptions, job: BackfillJob, facts: JobFacts) {
    this.#options = options
    this.#facts = facts
    this.#job = job
    this.#metrics = options.metrics ?? new Metrics()
    this.#startedAt = options.clock.monotonic()
    this.#earlier = this.#readCounts()
  }

  get seconds(): number {
    return (this.#options.clock.monotonic() - this.#startedAt) / 1000
  }

  /** True when every entry of the range is settled. */
  async ship(signal: AbortSignal): Promise<boolean> {
    const { set, memory, spec, state, log, clock, labels, node, shutdownTimeoutMs } = this.#options
    const { run, ranges } = this.#facts
    const metrics = this.#metrics
    const positions = new PositionStore({ state: this.#job.folder, log, clock })
    this.#placeAtStart(positions)
    const letters = new DeadLetters({ state, writer: this.#job.hash, log, clock })
    const dead: DeadLetterKeeper = { add: (_, entries) => letters.add(spec.name, entries) }
    const ends = new Map(Array.from(ranges, ([source, { end }]) => [source, PositionState.parse(end)]))
    const streams = new Walks({ set, memory, metrics, ends })
    const memoryBytes = memory.limit * UNSETTLED_SHARE
    const shipper = new Shipper({
      spec: { ...spec, name: run },
      streams,
      positions,
      dead,
      labels,
      node,
      start: { kind: 'oldest' },
      memoryBytes,
      clock,
      log,
      metrics,
    })
    shipper.start()
    const isFinished = await this.#follow(shipper, signal)
    await shipper.stop(shutdownTimeoutMs)
    await positions.close(AbortSignal.timeout(CLOSE_MS))
    await letters.close()
    this.#writeCounts()
    this.#report(shipper, 0)
    return isFinished
  }

  counts(): BackfillCounts {
    const sink = { sink: this.#facts.run }
    const read = this.#metrics.counter('logferry_read_entries_total', {}).value
    const delivered = this.#metrics.counter('logferry_delivered_entries_total', sink).value
    const rejected = this.#metrics.counter('logferry_dead_entries_total', sink).value
    const gaps = this.#metrics.counter('logferry_gap_entries_total', sink).value
    const bytes = this.#metrics.counter('logferry_delivered_bytes_total', sink).value
    const before = this.#earlier
    return {
      read: before.read + read,
      delivered: before.delivered + delivered,
      rejected: before.rejected + rejected,
      gaps: before.gaps + gaps,
      bytes: before.bytes + bytes,
    }
  }

  /** A job without position stands at the start of its range. */
  #placeAtStart(positions: PositionStore): void {
    const { run, ranges } = this.#facts
    try {
      const known = positions.load(run)
      for (const [source, { start }] of ranges) if (!known.has(source)) positions.save(run, source, { position: start })
    } catch (error) {
      if (isProblem(error)) throw this.#job.damaged(error.message, error)
      throw error
    }
  }

  /** Until the end of the range (true), or until it is interrupted. */
  async #follow(shipper: Shipper, signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#options
    let isFinished = false
    const watch = new AbortController()
    const end = shipper.ended.then(() => {
      isFinished = true
      watch.abort()
    })
    const stop = (): void => watch.abort()
    signal.addEventListener('abort', stop, { once: true })
    for (let last = this.counts().read; !isFinished && !signal.aborted; ) {
      const from = clock.monotonic()
      // Woken by the end and by an interruption.
      await clock.sleep(PROGRESS_MS, watch.signal).catch(() => undefined)
      const seconds = Math.max(0.001, (clock.monotonic() - from) / 1000)
      shipper.tick()
      this.#writeCounts()
      const { read } = this.counts()
      this.#report(shipper, (read - last) / seconds)
      last = read
    }
    signal.removeEventListener('abort', stop)
    if (isFinished) await end
    return isFinished
  }

  #report(shipper: Shipper, entriesPerSecond: number): void {
    const counts = this.counts()
    const total = Math.max(this.#facts.entries, counts.read)
    this.#options.onProgress?.({ ...counts, total, entriesPerSecond, trouble: shipper.health().message })
  }

  get #countsPath(): string {
    return join(this.#job.folder, this.#facts.run, 'counts.json')
  }

  #readCounts(): BackfillCounts {
    try {
      return { ...NOTHING, ...JSON.parse(readIfThere(this.#countsPath)?.toString('utf8') ?? '{}') }
    } catch {
      // Only for the summary: after a power cut it may be torn.
      return NOTHING
    }
  }

  #writeCounts(): void {
    try {
      makeFolder(join(this.#job.folder, this.#facts.run))
      replaceFileNow(this.#countsPath, `${JSON.stringify(this.counts())}\n`)
    } catch {
      // Only for the summary; that the disk is full is said of the position, which lies beside it.
    }
  }
}

function readNames(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw stateProblem(folder, error)
  }
}
