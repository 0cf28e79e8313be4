// Stand-ins for the pipeline's tests: a clock that only moves when told, a journal in memory, a target that does what a
// test says. Positions of this journal are "1:<entries taken>".

import { setImmediate } from 'node:timers/promises'
import type { Start } from '../../src/journal/position.ts'
import type {
  DeadEntry,
  DeadLetterKeeper,
  PositionKeeper,
  SinkSettings,
  SinkSpec,
  StoredPosition,
} from '../../src/pipeline/settings.ts'
import { KEY_BYTES } from '../../src/pipeline/walk/batch.ts'
import type { Chunk, Cut, Lag, Part, Stream, StreamSpec, Streams } from '../../src/pipeline/walk/chunk.ts'
import type { Advanced, Batch, Delivery, Position, Receipt, Sink, SinkHost, SinkTraits } from '../../src/sink.ts'
import type { Clock } from '../../src/telemetry/clock.ts'
import type { Log } from '../../src/telemetry/log.ts'

/** Lets everything that is ready run. */
export async function turns(count = 12): Promise<void> {
  for (let turn = 0; turn < count; turn++) await setImmediate()
}

export class FakeClock implements Clock {
  #now = 1_000_000
  readonly #sleepers = new Set<{ at: number; wake(): void }>()

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#now
  }

  get sleeping(): number {
    return this.#sleepers.size
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const stop = (): void => {
        this.#sleepers.delete(sleeper)
        reject(signal?.reason)
      }
      const sleeper = {
        at: this.#now + ms,
        wake: () => {
          this.#sleepers.delete(sleeper)
          signal?.removeEventListener('abort', stop)
          resolve()
        },
      }
      this.#sleepers.add(sleeper)
      signal?.addEventListener('abort', stop, { once: true })
    })
  }

  /** Moves time, waking sleepers in order and letting what they start run. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    await turns()
    for (;;) {
      const next = [...this.#sleepers].sort((a, b) => a.at - b.at)[0]
      if (next === undefined || next.at > end) break
      this.#now = Math.max(this.#now, next.at)
      next.wake()
      await turns()
    }
    this.#now = end
    await turns()
  }

  /** Moves time in steps until `isDone`, at most `ms`. */
  async until(isDone: () => boolean, ms = 600_000, step = 100): Promise<void> {
    for (let passed = 0; !isDone(); passed += step) {
      if (passed > ms) throw new Error(`not done after ${ms} ms`)
      await this.advance(step)
    }
  }
}

export interface FakeEntry {
  readonly text: string
  /** Entries that follow each other with one stamp are lines of one write. */
  readonly stamp: number
  /** The sink's match leaves it out. */
  readonly isLeftOut?: boolean
}

export function entries(count: number, from = 0): FakeEntry[] {
  return Array.from({ length: count }, (_, index) => ({ text: `entry ${from + index}`, stamp: from + index }))
}

/** Entries of which those of one letter are lines of one write. */
export function stamped(letters: string): FakeEntry[] {
  return [...letters].map((letter, index) => ({ text: `${letter}${index}`, stamp: letter.charCodeAt(0) }))
}

const SOURCE = 'a'.repeat(32)

/** A journal of one or more sources, in memory. */
export class FakeJournal implements Streams {
  readonly bounded: boolean
  readonly clock: FakeClock
  readonly chunkEntries: number
  readonly bySource = new Map<string, FakeEntry[]>()
  readonly waiting = new Set<() => void>()
  open_ = 0
  rests = 0
  /** Chunks made. */
  made = 0
  /** Called when somebody asks for the cursor of an entry. */
  cursorOfEntry: () => void = () => undefined
  /** Entries whose memory was given back. */
  givenBack = 0

  constructor(
    clock: FakeClock,
    options: { entries?: readonly FakeEntry[]; chunkEntries?: number; bounded?: boolean; source?: string } = {},
  ) {
    this.clock = clock
    this.chunkEntries = options.chunkEntries ?? 10
    this.bounded = options.bounded ?? false
    this.bySource.set(options.source ?? SOURCE, [...(options.entries ?? [])])
  }

  static readonly source = SOURCE

  append(more: readonly FakeEntry[], source = SOURCE): void {
    const list = this.bySource.get(source) ?? []
    list.push(...more)
    this.bySource.set(source, list)
    for (const wake of this.waiting) wake()
  }

  sources(): readonly string[] {
    return [...this.bySource.keys()]
  }

  startPosition(source: string, start: Start): Position {
    const length = this.bySource.get(source)?.length ?? 0
    return `1:${start.kind === 'oldest' ? 0 : start.kind === 'last' ? Math.max(0, length - start.entries) : length}`
  }

  open(spec: StreamSpec, position: Position): Stream {
    this.open_++
    return new FakeStream(this, spec.source, placeOf(position))
  }

  advance(position: Position, cursors: readonly string[]): Advanced {
    return { position: `1:${placeOf(position) + cursors.length}`, entries: cursors.length }
  }

  rewound(position: Position, ms: number): Position {
    return `1:${Math.max(0, placeOf(position) - ms)}`
  }

  cursorOf(position: Position): string | undefined {
    return `cursor ${placeOf(position)}`
  }

  lag(source: string, position: Position): Lag | undefined {
    const length = this.bySource.get(source)?.length ?? 0
    return { entries: length - placeOf(position), realtime: 1e6 }
  }

  compare(a: Position, b: Position): -1 | 0 | 1 | undefined {
    return Math.sign(placeOf(a) - placeOf(b)) as -1 | 0 | 1
  }
}

export function placeOf(position: Position): number {
  const place = Number(/^1:(\d+)$/.exec(position)?.[1])
  if (Number.isNaN(place)) throw new Error(`not a position: ${position}`)
  return place
}

interface FakeChunk extends Chunk {
  /** Of each entry, and of the end: entries of the journal before it. */
  readonly places: readonly number[]
}

class FakeStream implements Stream {
  readonly #journal: FakeJournal
  readonly #source: string
  #read: number
  #cut: number

  constructor(journal: FakeJournal, source: string, place: number) {
    this.#journal = journal
    this.#source = source
    this.#read = place
    this.#cut = place
  }

  get position(): Position {
    return `1:${this.#cut}`
  }

  next(): Part | undefined {
    const all = this.#journal.bySource.get(this.#source) ?? []
    if (this.#read >= all.length) return undefined
    let end = Math.min(all.length, this.#read + this.#journal.chunkEntries)
    while (end < all.length && all[end]!.stamp === all[end - 1]!.stamp && end - this.#read < 1000) end++
    const made = makeChunk(this.#source, all, this.#read, end, (count) => {
      this.#journal.givenBack += count
    })
    const chunk: FakeChunk = {
      ...made,
      cursor: (index) => {
        this.#journal.cursorOfEntry()
        return made.cursor(index)
      },
    }
    this.#journal.made++
    this.#read = end
    return { chunk, from: 0, to: chunk.count }
  }

  wait(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#journal.waiting.delete(done)
        timer.abort()
        resolve()
      }
      const timer = new AbortController()
      this.#journal.waiting.add(done)
      signal.addEventListener('abort', done, { once: true })
      this.#journal.clock.sleep(ms, timer.signal).then(done, () => undefined)
      if (signal.aborted) done()
    })
  }

  cut(parts: readonly Part[]): Cut {
    const before = this.position
    const at = (count: number): Position => {
      let left = count
      let place = placeOf(before)
      for (const part of parts) {
        const { places } = part.chunk as FakeChunk
        const take = Math.min(left, part.to - part.from)
        left -= take
        const end = part.from + take
        // Behind an entry and before the next; behind the last one also behind what was left out.
        place = end === part.chunk.count ? places.at(-1)! : end === 0 ? place : places[end - 1]! + 1
        if (left === 0 && take > 0) break
      }
      return `1:${place}`
    }
    const total = parts.reduce((sum, { from, to }) => sum + to - from, 0)
    const lastPart = parts.at(-1)
    const endsChunk = lastPart !== undefined && lastPart.to === lastPart.chunk.count
    const after = endsChunk ? `1:${(lastPart.chunk as FakeChunk).places.at(-1)!}` : at(total)
    this.#cut = placeOf(after)
    return { before, after, at }
  }

  seek(position: Position): void {
    this.#read = placeOf(position)
    this.#cut = this.#read
  }

  rest(): void {
    this.#journal.rests++
  }

  close(): void {
    this.#journal.open_--
  }
}

/** A chunk of `all` from `from` to `end`, as the real walk would make it. */
export function makeChunk(
  source: string,
  all: readonly FakeEntry[],
  from: number,
  end: number,
  done: (count: number) => void = () => undefined,
): FakeChunk {
  const kept: number[] = []
  for (let place = from; place < end; place++) if (!all[place]!.isLeftOut) kept.push(place)
  const texts = kept.map((place) => Buffer.from(`${all[place]!.text}\n`))
  const ends = new Uint32Array(kept.length)
  const joined = new Uint8Array(kept.length)
  let at = 0
  let largest = 0
  for (const [index, text] of texts.entries()) {
    at += text.length
    ends[index] = at - 1
    largest = Math.max(largest, text.length - 1)
    const place = kept[index]!
    joined[index] = place > 0 && all[place - 1]!.stamp === all[place]!.stamp ? 1 : 0
  }
  return {
    source,
    count: kept.length,
    records: new Uint8Array(Buffer.concat(texts)),
    ends,
    gap: 1,
    keys: new Uint8Array(Buffer.from(kept.map((place) => String(place).padStart(KEY_BYTES, '0')).join(''))),
    realtimes: Float64Array.from(kept, (place) => place * 1e6),
    joined,
    closed: end < all.length && all[end]!.stamp !== all[end - 1]!.stamp,
    largest,
    missing: 0,
    fields: undefined,
    cursor: (index) => `cursor of ${kept[index]}`,
    done,
    places: [...kept, end],
  }
}

/** What a write does; by default everything is delivered. */
export type WriteScript = (batch: Batch, delivery: Delivery, call: number) => Receipt | Promise<Receipt>

export class FakeSink implements Sink {
  readonly traits: SinkTraits
  /** Texts of the entries that the target took, in the order of taking. */
  readonly got: string[] = []
  readonly batches: { readonly id: string; readonly attempt: number; readonly texts: readonly string[] }[] = []
  readonly calls: string[] = []
  script: WriteScript = () => 'delivered'
  opening: (signal: AbortSignal) => Promise<void> = async () => undefined
  closing: () => Promise<void> = async () => undefined
  flushing: (() => void) | undefined
  /** What the target holds, by source. */
  readonly held = new Map<string, Position>()
  running = 0
  mostRunning = 0

  constructor(traits: Partial<SinkTraits> = {}) {
    this.traits = {
      delivered: 'accepted',
      idempotent: false,
      holdsPosition: false,
      ordered: false,
      encoding: 'json',
      fields: [],
      limits: {},
      ...traits,
    }
  }

  async open(signal: AbortSignal): Promise<void> {
    this.calls.push('open')
    await this.opening(signal)
  }

  async write(batch: Batch, delivery: Delivery): Promise<Receipt> {
    const texts = textsOf(batch)
    this.batches.push({ id: batch.id, attempt: batch.attempt, texts })
    this.running++
    this.mostRunning = Math.max(this.mostRunning, this.running)
    try {
      const receipt = await this.script(batch, delivery, this.batches.length)
      if (receipt === 'delivered') this.take(batch)
      return receipt
    } finally {
      this.running--
    }
  }

  /** The target stores entries of a batch, all of them unless told which. */
  take(batch: Batch, indexes?: readonly number[]): void {
    const texts = textsOf(batch)
    this.got.push(...(indexes === undefined ? texts : indexes.map((index) => texts[index]!)))
    this.held.set(batch.source, batch.after)
  }

  async lastDelivered(source: string): Promise<Position | undefined> {
    this.calls.push('lastDelivered')
    return this.held.get(source)
  }

  async flush(): Promise<void> {
    this.calls.push('flush')
    this.flushing?.()
  }

  async close(): Promise<void> {
    this.calls.push('close')
    await this.closing()
  }
}

export function textsOf(batch: Batch): string[] {
  return Array.from(batch.ends, (end, index) => {
    const start = index === 0 ? 0 : batch.ends[index - 1]! + 1
    return Buffer.from(batch.records.subarray(start, end)).toString()
  })
}

export class FakePositions implements PositionKeeper {
  readonly stored = new Map<string, Map<string, StoredPosition>>()
  readonly saves: string[] = []
  readonly damaged = new Map<string, Error>()
  syncs = 0
  closed = 0

  load(sink: string): Map<string, StoredPosition> {
    const damage = this.damaged.get(sink)
    if (damage !== undefined) throw damage
    return new Map(this.stored.get(sink))
  }

  save(sink: string, source: string, stored: StoredPosition): void {
    const map = this.stored.get(sink) ?? new Map<string, StoredPosition>()
    map.set(source, stored)
    this.stored.set(sink, map)
    this.saves.push(`${sink} ${stored.position}`)
  }

  async sync(): Promise<void> {
    this.syncs++
  }

  async close(): Promise<void> {
    this.closed++
  }

  /** Entries of the only source that are settled for good. */
  place(sink: string, source = SOURCE): number | undefined {
    const stored = this.stored.get(sink)?.get(source)
    return stored === undefined ? undefined : placeOf(stored.position)
  }
}

export class FakeDead implements DeadLetterKeeper {
  readonly letters: (DeadEntry & { readonly text: string })[] = []
  failing: Error | undefined

  async add(_sink: string, entries: readonly DeadEntry[]): Promise<void> {
    if (this.failing !== undefined) throw this.failing
    for (const entry of entries) this.letters.push({ ...entry, text: Buffer.from(entry.record).toString() })
  }

  async close(): Promise<void> {}
}

export class FakeLog implements Log {
  readonly lines: string[]
  readonly fields: object[]

  constructor(parent?: FakeLog) {
    this.lines = parent?.lines ?? []
    this.fields = parent?.fields ?? []
  }

  debug(text: string, fields?: object): void {
    this.#say('debug', text, fields)
  }

  info(text: string, fields?: object): void {
    this.#say('info', text, fields)
  }

  warn(text: string, fields?: object): void {
    this.#say('warn', text, fields)
  }

  error(text: string, fields?: object): void {
    this.#say('error', text, fields)
  }

  child(): Log {
    return new FakeLog(this)
  }

  #say(level: string, text: string, fields: object = {}): void {
    this.lines.push(`${level}: ${text}`)
    this.fields.push(fields)
  }
}

export const SETTINGS: SinkSettings = {
  match: [],
  shape: 'journal',
  fields: {},
  binary: 'base64',
  batch: { entries: 10, bytes: 1_000_000, waitMs: 1000 },
  concurrency: 1,
  inFlight: 4,
  retry: { baseMs: 500, capMs: 30_000, giveUpAfterMs: undefined },
  timeoutMs: 30_000,
  start: { kind: 'oldest' },
}

export function specOf(name: string, sink: Sink, settings: Partial<SinkSettings> = {}, fingerprint = name): SinkSpec {
  return { name, type: 'fake', settings: { ...SETTINGS, ...settings }, fingerprint, create: (_host: SinkHost) => sink }
}
