// All sinks of a daemon over one set of journal files: started independently, drained, and exchanged while others run on.
// Invariant: a sink's name has one shipper at a time, and its successor begins where the drained one stored its position.

import { isProblem } from '../errors.ts'
import type { Clock } from '../telemetry/clock.ts'
import type { SinkHealth } from './health.ts'
import { type Need, Retention } from './retention/retention.ts'
import type { DeadLetterKeeper, PipelineOptions, PositionKeeper, SinkSpec } from './settings.ts'
import { Shipper } from './shipper.ts'
import { DeadLetters } from './state/deadLetters.ts'
import { PositionStore } from './state/positionStore.ts'
import type { Streams } from './walk/chunk.ts'
import { Walks } from './walk/walks.ts'

/** The pipeline's own parts, which a test may replace. */
export interface PipelineParts {
  readonly streams: Streams
  readonly positions: PositionKeeper & { close(signal?: AbortSignal): Promise<void> }
  readonly dead: DeadLetterKeeper & { close(): Promise<void> }
}

/** What a reload did, by sink name. */
export interface Reloaded {
  readonly kept: readonly string[]
  readonly changed: readonly string[]
  readonly added: readonly string[]
  readonly removed: readonly string[]
}

const TICK_MS = 1000
/** Retained files are looked after so often, and at once when files came or went. */
const RETAIN_TICKS = 5
const CLOSE_MS = 5000
/** The part of the memory limit that unsettled batches of all sinks may take; the rest is for windows, caches, shared chunks. */
const UNSETTLED_SHARE = 0.25
const LEAST_BYTES = 256 * 1024

export class Pipeline {
  readonly #options: PipelineOptions
  readonly #parts: PipelineParts
  readonly #shippers = new Map<string, Shipper>()
  readonly #end = new AbortController()
  #retention: Retention | undefined
  #ticks = 0
  #version = -1
  #sources = ''
  // Reloads and the stop, one after the other.
  #turn: Promise<unknown> = Promise.resolve()
  #ticking: Promise<void> | undefined
  #stopped: Promise<void> | undefined
  #forgetMetrics: (() => void) | undefined

  constructor(options: PipelineOptions, parts: Partial<PipelineParts> = {}) {
    this.#options = options
    const { set, memory, metrics, state, log, clock } = options
    this.#parts = {
      streams: parts.streams ?? new Walks({ set, memory, metrics }),
      positions: parts.positions ?? new PositionStore({ state, log, clock }),
      dead: parts.dead ?? new DeadLetters({ state, log, clock }),
    }
  }

  /** Starts every sink; returns at once. A sink that cannot be opened is tried again and shows in `health`. */
  start(): void {
    const { memory, metrics, sinks } = this.#options
    this.#forgetMetrics = metrics.beforeRead(() => {
      metrics.set('logferry_memory_bytes', {}, memory.used)
      this.#measureVacuum()
    })
    this.#retention = this.#openRetention()
    this.#sources = this.#parts.streams.sources().join('\n')
    for (const spec of sinks) this.#startSink(spec, sinks.length)
    this.#retain()
    this.#ticking = this.#tick()
  }

  /** How every sink is doing, in the order of the configuration. */
  health(): readonly SinkHealth[] {
    return Array.from(this.#shippers.values(), (shipper) => shipper.health())
  }

  /**
   * Takes other sinks: those with an equal fingerprint run on untouched, changed ones are drained and closed before their
   * successors start from the stored position, the others are drained or started. Resolves when all is done. Never rejects.
   */
  reload(sinks: readonly SinkSpec[]): Promise<Reloaded> {
    const turn = this.#turn.then(() => this.#reload(sinks))
    this.#turn = turn
    return turn
  }

  /** Drains and closes every sink, and stores all positions. Never rejects. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #reload(sinks: readonly SinkSpec[]): Promise<Reloaded> {
    const result = { kept: [] as string[], changed: [] as string[], added: [] as string[], removed: [] as string[] }
    if (this.#end.signal.aborted) return result
    const { shutdownTimeoutMs, metrics } = this.#options
    const wanted = new Map(sinks.map((spec) => [spec.name, spec]))
    const work: Promise<void>[] = []
    for (const [name, shipper] of this.#shippers) {
      if (wanted.has(name)) continue
      result.removed.push(name)
      const removing = shipper.stop(shutdownTimeoutMs).then(() => {
        this.#shippers.delete(name)
        metrics.remove('sink', name)
      })
      work.push(removing)
    }
    for (const [name, spec] of wanted) {
      const running = this.#shippers.get(name)
      if (running === undefined) {
        result.added.push(name)
        this.#startSink(spec, wanted.size)
      } else if (running.spec.fingerprint === spec.fingerprint) result.kept.push(name)
      else {
        result.changed.push(name)
        work.push(running.stop(shutdownTimeoutMs).then(() => this.#startSink(spec, wanted.size)))
      }
    }
    await Promise.all(work)
    return result
  }

  async #stop(): Promise<void> {
    this.#end.abort()
    // A reload may be draining a sink; what it would start afterwards is not started any more.
    const { shutdownTimeoutMs, log } = this.#options
    const all = (): Promise<unknown> =>
      Promise.all(Array.from(this.#shippers.values(), (shipper) => shipper.stop(shutdownTimeoutMs)))
    await all()
    await this.#turn
    await all()
    await this.#ticking
    const { positions, dead } = this.#parts
    for (const closing of [positions.close(AbortSignal.timeout(CLOSE_MS)), dead.close()]) {
      await closing.catch((error: unknown) => log.error('the state folder could not be closed', { error }))
    }
    this.#forgetMetrics?.()
  }

  #startSink(spec: SinkSpec, sinks: number): void {
    if (this.#end.signal.aborted) return
    const { labels, node, start, memory, clock, log, metrics } = this.#options
    const memoryBytes = Math.max(LEAST_BYTES, (memory.limit * UNSETTLED_SHARE) / Math.max(1, sinks))
    const shipper = new Shipper({ spec, ...this.#parts, labels, node, start, memoryBytes, clock, log, metrics })
    this.#shippers.set(spec.name, shipper)
    shipper.start()
  }

  async #tick(): Promise<void> {
    const { clock, log } = this.#options
    while (await sleeps(clock, TICK_MS, this.#end.signal)) {
      try {
        this.#look()
      } catch (error) {
        log.error('looking after the sinks failed', { error })
      }
    }
  }

  #look(): void {
    const { set } = this.#options
    // Streams that wait have the directories looked at; when all are blocked nobody does.
    set.rescan()
    if (this.#ticks++ % RETAIN_TICKS === 0 || set.version !== this.#version) this.#retain()
    const sources = this.#parts.streams.sources().join('\n')
    const haveChanged = sources !== this.#sources
    this.#sources = sources
    for (const shipper of this.#shippers.values()) {
      shipper.tick()
      if (haveChanged) shipper.sourcesChanged()
    }
  }

  /** undefined where the state folder does not allow it, which is said and delays nothing. */
  #openRetention(): Retention | undefined {
    const { state, directories, retainBytes, log, clock, sinks } = this.#options
    // Nothing to ship, nothing to keep: a reload that brings the first sink says that it takes a restart.
    if (directories.length === 0 || sinks.length === 0) return undefined
    try {
      return new Retention({ state, directories, maxBytes: retainBytes, log, clock })
    } catch (error) {
      if (!isProblem(error)) throw error
      log.warn(`journal files are not kept for sinks that are behind: ${error.message}`, { hint: error.hint })
      return undefined
    }
  }

  #needs(): Need[] {
    return Array.from(this.#shippers.values(), (shipper) => shipper.need())
  }

  #retain(): void {
    const { set, metrics, retainBytes } = this.#options
    const retention = this.#retention
    this.#version = set.version
    if (retention === undefined || retainBytes === 0) return
    retention.pass(set.files, this.#needs())
    const { bytes, files } = retention.retained
    metrics.set('logferry_retained_bytes', {}, bytes)
    metrics.set('logferry_retained_files', {}, files)
  }

  #measureVacuum(): void {
    const { set, metrics } = this.#options
    if (this.#retention === undefined) return
    for (const need of this.#needs()) {
      const seconds = this.#retention.vacuumSeconds(set.files, need) ?? -1
      metrics.set('logferry_vacuum_seconds', { sink: need.sink }, seconds)
    }
  }
}

/** False when `signal` ended the sleep. */
function sleeps(clock: Clock, ms: number, signal: AbortSignal): Promise<boolean> {
  return clock.sleep(ms, signal).then(
    () => true,
    () => false,
  )
}
