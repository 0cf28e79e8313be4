// One sink from its position to the journal's end, and on: made, opened, a lane per source, drained, closed.
// Invariant: nothing that this sink does, hanging for ever included, is waited for by another sink, and by its own end
// only up to a deadline.

import { isProblem } from '../errors.ts'
import type { Start } from '../journal/position.ts'
import type { Position, Sink, SinkHost, SinkTraits } from '../sink.ts'
import type { Clock } from '../telemetry/clock.ts'
import { type Log, RepeatedMessages } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { SinkCalls, settlesWithin } from './delivery/calls.ts'
import { Deliveries } from './delivery/delivery.ts'
import { PROBE_MS, untilAborted } from './delivery/hold.ts'
import { readFailure } from './delivery/receipt.ts'
import { type Obstacle, type SinkHealth, sumLag, whenReadable } from './health.ts'
import { type ChosenStart, chooseStart, describeStart, Lane, type LaneHost } from './lane.ts'
import { afterLoss, isDataLost } from './loss.ts'
import { type SinkMeter, sinkMeter } from './meter.ts'
import { type Made, Opening } from './opening.ts'
import { type Place, Places } from './places.ts'
import type { Need } from './retention/retention.ts'
import type { DeadLetterKeeper, PositionKeeper, SinkSpec, StoredPosition } from './settings.ts'
import type { StreamSpec, Streams } from './walk/chunk.ts'
import type { CutLimits } from './walk/cut.ts'

/** What a shipper works with. */
export interface ShipperParts {
  readonly spec: SinkSpec
  readonly streams: Streams
  readonly positions: PositionKeeper
  readonly dead: DeadLetterKeeper
  readonly labels: Readonly<Record<string, string>>
  readonly node: SinkHost['node']
  /** Where to begin in a source without stored position, unless the sink says otherwise. */
  readonly start: Start
  /** Bytes of batches that the sink may keep unsettled, its part of the memory limit. */
  readonly memoryBytes: number
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  readonly random?: () => number
}

/** A run of lines that are stamped alike may be longer than a batch; beyond this it is cut all the same. */
const HARD_ENTRIES = 100_000
const HARD_BYTES = 8 * 2 ** 20
/** What a called-off write may take to end. */
const GRACE_MS = 1000
const CLOSE_MS = 5000

export class Shipper {
  readonly spec: SinkSpec
  /** Resolves when nothing runs any more: after `stop`, or at the end of a bounded run. */
  readonly ended: Promise<void>
  readonly #parts: ShipperParts
  readonly #log: Log
  readonly #trouble: RepeatedMessages
  readonly #meter: SinkMeter
  readonly #random: () => number
  readonly #stop = new AbortController()
  readonly #end = Promise.withResolvers<void>()
  readonly #opening: Opening
  /** The sources that were there when logferry started. */
  readonly #atStart: ReadonlySet<string>
  readonly #lanes = new Map<string, Lane>()
  readonly #known = new Set<string>()
  readonly #broken = new Map<string, Obstacle>()
  readonly #running = new Set<Promise<void>>()
  #stored = new Map<string, StoredPosition>()
  #sink: Sink | undefined
  #deliveries: Deliveries | undefined
  #places: Places | undefined
  #isOpen = false
  #stopped: Promise<void> | undefined
  #forgetMetrics: (() => void) | undefined

  constructor(parts: ShipperParts) {
    this.spec = parts.spec
    this.ended = this.#end.promise
    this.#parts = parts
    this.#log = parts.log.child({ sink: parts.spec.name })
    this.#trouble = new RepeatedMessages(parts.log, parts.clock)
    this.#meter = sinkMeter(parts.metrics, parts.spec.name)
    this.#random = parts.random ?? Math.random
    this.#atStart = new Set(parts.streams.sources())
    this.#opening = new Opening({
      name: parts.spec.name,
      settings: parts.spec.settings,
      clock: parts.clock,
      trouble: this.#trouble,
      meter: this.#meter,
      random: this.#random,
      load: () => this.#load(),
      make: () => this.#make(),
    })
  }

  /** Begins. Returns at once; see `health` and `ended`. */
  start(): void {
    this.#forgetMetrics = this.#parts.metrics.beforeRead(() => this.#measure())
    this.#track(this.#run())
    void this.#watchEnd()
  }

  /** Called when sources may have come. */
  sourcesChanged(): void {
    if (!this.#isOpen || this.#stop.signal.aborted) return
    for (const source of this.#parts.streams.sources()) {
      if (this.#known.has(source)) continue
      this.#known.add(source)
      this.#track(this.#ship(source))
    }
  }

  /** Called every second or so. */
  tick(): void {
    for (const lane of this.#lanes.values()) lane.tick()
  }

  /** What the journal must keep for this sink: everything while nobody knows where it stands. */
  need(): Need {
    const positions = new Map(Array.from(this.#stored, ([source, { position }]) => [source, position]))
    return { sink: this.spec.name, positions, rewinds: this.#sink?.traits.holdsPosition ?? false }
  }

  health(): SinkHealth {
    const trouble = this.#findObstacle()
    const lag = this.#lag()
    const lanes = [...this.#lanes.values()]
    const isIdle = lanes.length >= this.#known.size && lanes.every((lane) => lane.isIdle)
    return {
      name: this.spec.name,
      type: this.spec.type,
      state: trouble?.isHeld ? 'held' : !this.#isOpen ? 'connecting' : isIdle ? 'idle' : 'shipping',
      message: trouble?.message,
      hint: trouble?.hint,
      since: trouble?.since,
      inFlight: this.#places?.taken ?? 0,
      lagEntries: lag.entries,
      lagSeconds: lag.seconds,
      sources: Array.from(this.#stored, ([source, { position }]) => ({
        source,
        position,
        cursor: whenReadable(() => this.#parts.streams.cursorOf(position)),
      })),
    }
  }

  #findObstacle(): Obstacle | undefined {
    if (this.#opening.obstacle !== undefined) return this.#opening.obstacle
    const { hold, failing, calls } = this.#deliveries ?? {}
    if (hold?.message !== undefined) {
      return { isHeld: true, message: hold.message, hint: undefined, since: hold.since ?? 0 }
    }
    for (const obstacle of this.#broken.values()) return obstacle
    if (failing !== undefined) return { isHeld: false, hint: undefined, ...failing }
    if (calls?.lateSince === undefined) return undefined
    const message = 'a call does not end although its deadline has passed'
    return { isHeld: false, message, hint: undefined, since: calls.lateSince }
  }

  /**
   * Drains and closes: reads no further, waits up to `timeoutMs` for what is under way, calls the rest off, stores the
   * frontier. Never rejects.
   */
  stop(timeoutMs: number): Promise<void> {
    this.#stopped ??= this.#drain(timeoutMs)
    return this.#stopped
  }

  async #run(): Promise<void> {
    const stored = await this.#opening.open(this.#stop.signal)
    if (stored === undefined) return
    this.#isOpen = true
    this.#log.info(`sink "${this.spec.name}" is open`)
    this.sourcesChanged()
  }

  /** Stored positions; a source without one gets its start now, so that `now` does not become later while the target is down. */
  #load(): Map<string, StoredPosition> {
    const { positions, streams } = this.#parts
    const { name } = this.spec
    const stored = positions.load(name)
    for (const source of streams.sources()) {
      if (stored.has(source)) continue
      const start = { position: streams.startPosition(source, this.#startOf(source)) }
      stored.set(source, start)
      positions.save(name, source, start)
    }
    this.#stored = stored
    return stored
  }

  #make(): Made {
    const { node, clock, dead, streams } = this.#parts
    const { name, settings } = this.spec
    const log = this.#log
    const sink = this.spec.create({
      log: { info: (text, fields) => log.info(text, fields), warn: (text, fields) => log.warn(text, fields) },
      name,
      node,
      advance: (position, cursors) => streams.advance(position, cursors),
    })
    const deliveries = new Deliveries({
      name,
      sink,
      settings,
      clock,
      log,
      trouble: this.#trouble,
      meter: this.#meter,
      dead,
      random: this.#random,
    })
    const isSingle = sink.traits.ordered || sink.traits.holdsPosition
    this.#places = new Places(isSingle ? 1 : settings.inFlight, this.#parts.memoryBytes)
    this.#sink = sink
    this.#deliveries = deliveries
    return { sink, calls: deliveries.calls }
  }

  /** Runs a source's lane; after a bug on our side again, from what is settled. */
  async #ship(source: string): Promise<void> {
    const stop = this.#stop.signal
    const { clock } = this.#parts
    while (!stop.aborted) {
      let lane: Lane | undefined
      try {
        lane = await this.#openLane(source)
        this.#broken.delete(source)
        if (lane === undefined) return
        this.#lanes.set(source, lane)
        await lane.run(stop)
        return
      } catch (error) {
        const { message, hint } = isProblem(error) ? error : { message: String(error), hint: undefined }
        this.#broken.set(source, { isHeld: true, message, hint, since: clock.now() })
        this.#trouble.failed(
          `${this.spec.name} ${source}`,
          `sink "${this.spec.name}" cannot ship ${source}: ${message}`,
          {
            sink: this.spec.name,
            source,
            error,
          },
        )
        await lane?.settled()
        lane?.close()
        await clock.sleep(PROBE_MS, stop).catch(() => undefined)
      }
    }
  }

  async #openLane(source: string): Promise<Lane | undefined> {
    const { streams } = this.#parts
    const sink = this.#sink
    const deliveries = this.#deliveries
    if (sink === undefined || deliveries === undefined) return undefined
    const { holdsPosition } = sink.traits
    let chosen: StoredPosition | undefined = this.#stored.get(source)
    if (holdsPosition) {
      const answer = await deliveries.lastDelivered(source)
      if (answer === undefined) return undefined
      const start = chooseStart(chosen, answer.position, (a, b) => streams.compare(a, b))
      if (start?.note === 'vanished' && isDataLost(streams, sink, source, start.position)) {
        chosen = { position: this.#lose(source, start.position) }
      } else {
        if (start?.note !== undefined) this.#sayStart(source, start.note, chosen, answer.position)
        chosen = start
      }
    }
    chosen ??= { position: streams.startPosition(source, this.#startOf(source)) }
    const stream = streams.open(this.#streamSpec(source, sink), chosen.position)
    return new Lane(this.#laneHost(deliveries), source, stream, chosen, holdsPosition)
  }

  #startOf(source: string): Start {
    const start = this.spec.settings.start ?? this.#parts.start
    // All of a source that came while logferry ran is new.
    return this.#atStart.has(source) || start.kind === 'since' ? start : { kind: 'oldest' }
  }

  #sayStart(
    source: string,
    note: NonNullable<ChosenStart['note']>,
    stored: StoredPosition | undefined,
    answer: Position | undefined,
  ): void {
    const { streams } = this.#parts
    const fields = {
      source,
      local: stored === undefined ? undefined : streams.cursorOf(stored.position),
      target: answer === undefined ? undefined : streams.cursorOf(answer),
    }
    const { text, isExpected } = describeStart(note)
    this.#log[isExpected ? 'info' : 'warn'](`sink "${this.spec.name}": ${text}`, fields)
  }

  #lose(source: string, from: Position): Position {
    const { position, text } = afterLoss(this.#parts.streams, this.#sink, source, from)
    this.#meter.positionsLost.add(1)
    this.#log.warn(`sink "${this.spec.name}": ${text}`, { source })
    return position
  }

  #streamSpec(source: string, sink: Sink): StreamSpec {
    const { match, shape, fields, binary, record } = this.spec.settings
    const { encoding, fields: asked, dataStream } = sink.traits
    const { labels } = this.#parts
    const named = shape === 'ecs' && dataStream !== undefined ? { dataStream } : {}
    return {
      source,
      match,
      encoder:
        encoding === 'none'
          ? undefined
          : { format: 'record', encoding, shape, fields, binary, labels, ...record, ...named },
      fields: asked,
    }
  }

  #laneHost(deliveries: Deliveries): LaneHost {
    const { clock, streams, positions } = this.#parts
    const { name, settings } = this.spec
    const limits: SinkTraits['limits'] = this.#sink?.traits.limits ?? {}
    const hardEntries = limits.entries ?? HARD_ENTRIES
    const hardBytes = limits.bytes ?? Math.max(HARD_BYTES, settings.batch.bytes)
    return {
      clock,
      streams,
      waitMs: settings.batch.waitMs,
      limits: (): CutLimits => ({
        entries: Math.min(settings.batch.entries, hardEntries),
        bytes: Math.min(deliveries.pace.bytes, hardBytes),
        hardEntries,
        hardBytes,
      }),
      takePlace: async (stop): Promise<Place | undefined> => {
        await untilAborted(deliveries.ready(), stop)
        return this.#places?.take(stop)
      },
      deliver: (batch, isHoldingBack) => deliveries.deliver(batch, isHoldingBack),
      save: (source, stored) => {
        this.#stored.set(source, stored)
        positions.save(name, source, stored)
      },
      missing: (entries) => {
        this.#meter.gapEntries.add(entries)
        this.#trouble.failed(`${name} gap`, `sink "${name}": the journal no longer holds ${entries} entries`, {
          sink: name,
        })
      },
      lost: (source, from) => this.#lose(source, from),
      rewound: (source, from, to) => {
        const cursors = { source, from: streams.cursorOf(from), to: streams.cursorOf(to) }
        this.#log.warn(`sink "${name}": the target moved to another position; going on from there`, cursors)
      },
    }
  }

  async #drain(timeoutMs: number): Promise<void> {
    const { positions } = this.#parts
    const { name, settings } = this.spec
    const deliveries = this.#deliveries
    this.#stop.abort()
    deliveries?.drain()
    const isAllSettled = this.#settle()
    if (this.#isOpen && this.#sink?.flush !== undefined) {
      const { flush } = this.#sink
      deliveries?.calls
        .run(settings.timeoutMs, (signal) => flush.call(this.#sink, signal))
        .catch((error: unknown) => this.#log.warn(`sink "${name}" cannot flush: ${readFailure(error).message}`))
    }
    const isInTime = this.#isOpen && (await this.#within(timeoutMs, isAllSettled))
    if (!isInTime) {
      deliveries?.calls.callOff()
      if (!(await this.#within(GRACE_MS, isAllSettled))) {
        deliveries?.calls.abandon()
        this.#log.warn(`sink "${name}" does not react to being called off; not waiting for it`)
      }
      // What is left are dead letters that a disk does not take.
      await this.#within(CLOSE_MS, isAllSettled)
    }
    for (const lane of this.#lanes.values()) lane.close()
    const isStored = await this.#within(CLOSE_MS, positions.sync(name))
    if (!isStored) this.#log.warn(`sink "${name}": its position could not be stored in time; it may repeat entries`)
    await this.#close()
    this.#forgetMetrics?.()
    this.#log.info(`sink "${name}" is closed`)
  }

  async #close(): Promise<void> {
    const sink = this.#sink
    if (!this.#isOpen || sink === undefined) return
    this.#isOpen = false
    const calls = new SinkCalls(this.#parts.clock, () => undefined)
    const closing = calls.run(CLOSE_MS, (signal) => sink.close(signal))
    closing.catch((error: unknown) => {
      this.#log.warn(`sink "${this.spec.name}" cannot close: ${readFailure(error).message}`)
    })
    if (!(await this.#within(CLOSE_MS + GRACE_MS, closing))) calls.abandon()
  }

  /** Resolves when all lanes and what they sent have ended. */
  async #settle(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running)
  }

  async #watchEnd(): Promise<void> {
    await this.#settle()
    this.#end.resolve()
  }

  #within(ms: number, promise: Promise<unknown>): Promise<boolean> {
    return settlesWithin(this.#parts.clock, ms, promise)
  }

  #track(work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => this.#log.error(`sink "${this.spec.name}" failed`, { error }))
      .finally(() => this.#running.delete(tracked))
    this.#running.add(tracked)
  }

  #lag(): { entries: number; seconds: number } {
    // Also where there is no lane, since the sink is held or not open.
    const behind = Array.from(this.#stored, ([source, { position }]) => ({ source, position }))
    const { streams, clock } = this.#parts
    return sumLag(
      streams,
      behind.filter(({ source }) => this.#lanes.get(source)?.isIdle !== true),
      clock.now(),
    )
  }

  #measure(): void {
    const { entries, seconds } = this.#lag()
    this.#meter.lagEntries.set(entries)
    this.#meter.lagSeconds.set(seconds)
    const now = this.#parts.clock.monotonic()
    const ages = [...this.#lanes.values()].map((lane) => (now - lane.movedAt) / 1000)
    this.#meter.positionAgeSeconds.set(Math.max(0, ...ages))
  }
}
