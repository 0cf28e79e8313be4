// Sends dead letters through their sink again, the same way as the pipeline sends batches: retried, halved, narrowed.
// Invariant: an id is given back only for a letter that the destination has taken.

import { problem } from '../../errors.ts'
import { parseCursor } from '../../journal/cursor.ts'
import { PositionState } from '../../journal/position.ts'
import { Deliveries } from '../../pipeline/delivery/delivery.ts'
import { readFailure } from '../../pipeline/delivery/receipt.ts'
import { sinkMeter } from '../../pipeline/meter.ts'
import type { DeadEntry, SinkSpec } from '../../pipeline/settings.ts'
import type { StoredLetter } from '../../pipeline/state/letterFile.ts'
import { CutBatch, KEY_BYTES } from '../../pipeline/walk/batch.ts'
import type { Chunk } from '../../pipeline/walk/chunk.ts'
import type { Position, Sink } from '../../sink.ts'
import { systemClock } from '../../telemetry/clock.ts'
import { type Log, RepeatedMessages } from '../../telemetry/log.ts'
import { Metrics } from '../../telemetry/metrics.ts'
import { makeSink } from '../configured.ts'

/** How often it is looked whether the destination has been away for too long. */
const LOOK_MS = 100
const CLOSE_MS = 5000

export interface ReplayParts {
  readonly spec: SinkSpec
  readonly log: Log
  /** Gives up when nothing could be delivered for so long. */
  readonly patienceMs: number
  readonly stop: AbortSignal
}

export class Replay {
  readonly #parts: ReplayParts
  readonly #sink: Sink
  readonly #deliveries: Deliveries
  /** Why letters are left, and how many. */
  readonly reasons = new Map<string, number>()
  #refused = new Map<string, string>()
  #isOpen = false
  #mark = Date.now() * 1000

  constructor(parts: ReplayParts) {
    this.#parts = parts
    const { spec, log } = parts
    // A name of its own: a target that holds positions must not take these for the daemon's.
    this.#sink = makeSink(spec, log, `${spec.name}@replay`)
    this.#deliveries = new Deliveries({
      name: spec.name,
      sink: this.#sink,
      // Giving up would bury letters among themselves.
      settings: { ...spec.settings, retry: { ...spec.settings.retry, giveUpAfterMs: undefined } },
      clock: systemClock,
      log,
      trouble: new RepeatedMessages(log, systemClock),
      meter: sinkMeter(new Metrics(), spec.name),
      dead: { add: async (_, entries) => this.#refuse(entries) },
      random: Math.random,
    })
  }

  /** Opens the sink. Rejects with LF_SINK_UNAVAILABLE. */
  async open(): Promise<void> {
    const { spec } = this.#parts
    try {
      await this.#deliveries.calls.run(spec.settings.timeoutMs, (signal) => this.#sink.open(signal))
      this.#isOpen = true
    } catch (error) {
      throw problem('LF_SINK_UNAVAILABLE', { sink: spec.name, why: readFailure(error).message })
    }
  }

  /** Delivers letters of one source; resolves with the ids of those that were taken. Rejects with LF_SINK_UNAVAILABLE. */
  async deliver(letters: readonly StoredLetter[]): Promise<readonly string[]> {
    const { encoding } = this.#sink.traits
    const fitting: StoredLetter[] = []
    for (const letter of letters) {
      if (this.#parts.stop.aborted) this.#leave('interrupted')
      else if (letter.encoding === encoding && letter.key.length === KEY_BYTES) fitting.push(letter)
      else this.#leave(`it is encoded as ${letter.encoding ?? 'nobody noted what'}, the sink now wants ${encoding}`)
    }
    const taken: string[] = []
    for (const some of this.#cut(fitting)) taken.push(...(await this.#send(some)))
    return taken
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return
    // What it may still do is of no use to us: everything that counts is settled.
    await this.#deliveries.calls.run(CLOSE_MS, (signal) => this.#sink.close(signal)).catch(() => undefined)
  }

  /** Cuts to the target's limits; a letter that alone is above them is told apart by the delivery. */
  *#cut(letters: readonly StoredLetter[]): Generator<readonly StoredLetter[]> {
    const { entries = Number.POSITIVE_INFINITY, bytes = Number.POSITIVE_INFINITY } = this.#sink.traits.limits
    const { batch } = this.#parts.spec.settings
    let some: StoredLetter[] = []
    let size = 0
    for (const letter of letters) {
      const isFull = some.length >= Math.min(entries, batch.entries) || size + letter.record.length + 1 > bytes
      if (some.length > 0 && isFull) {
        yield some
        some = []
        size = 0
      }
      some.push(letter)
      size += letter.record.length + 1
    }
    if (some.length > 0) yield some
  }

  async #send(letters: readonly StoredLetter[]): Promise<readonly string[]> {
    const { stop } = this.#parts
    const source = letters[0]?.source ?? ''
    this.#refused = new Map()
    const watch = this.#watch()
    try {
      let before: Position = PositionState.empty({ realtime: 0 }).toString()
      if (this.#sink.traits.holdsPosition) {
        const answer = await this.#deliveries.lastDelivered(source)
        if (answer === undefined) throw this.#unavailable()
        before = answer.position ?? before
      }
      const settlement = await this.#deliveries.deliver(this.#batch(letters, source, before), () => false)
      if (settlement.kind === 'left' && stop.aborted) return []
      if (settlement.kind !== 'settled') throw this.#unavailable()
    } finally {
      clearInterval(watch)
    }
    for (const reason of letters.flatMap(({ key }) => this.#refused.get(key) ?? [])) this.#leave(reason)
    return letters.filter(({ key }) => !this.#refused.has(key)).map(({ id }) => id)
  }

  /** Calls everything off when the destination has been failing for longer than the patience lasts, or on a signal. */
  #watch(): NodeJS.Timeout {
    const { patienceMs, stop } = this.#parts
    const started = Date.now()
    return setInterval(() => {
      const { failing } = this.#deliveries
      const isOver = failing !== undefined && Date.now() - Math.max(started, failing.since) >= patienceMs
      if (!stop.aborted && !isOver) return
      this.#deliveries.drain()
      this.#deliveries.calls.callOff()
    }, LOOK_MS)
  }

  #unavailable() {
    const why = this.#deliveries.failing?.message ?? 'its target stands elsewhere than it was left'
    return problem('LF_SINK_UNAVAILABLE', { sink: this.#parts.spec.name, why })
  }

  #refuse(entries: readonly DeadEntry[]): void {
    for (const { key, code, reason } of entries) this.#refused.set(key, `${code}: ${reason}`)
  }

  #leave(reason: string): void {
    this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1)
  }

  /** Positions in it are of the replay alone: each is newer than all before. */
  #batch(letters: readonly StoredLetter[], source: string, before: Position): CutBatch {
    this.#mark = Math.max(this.#mark + 1, Date.now() * 1000)
    const after = PositionState.empty({ realtime: this.#mark }).toString()
    const chunk = chunkOf(letters, source, this.#sink.traits.encoding === 'json' ? 1 : 0)
    const parts = [{ chunk, from: 0, to: chunk.count }]
    const at = (): Position => {
      this.#mark++
      return PositionState.empty({ realtime: this.#mark }).toString()
    }
    return CutBatch.of(parts, { before, after, at }, before)
  }
}

/** Letters as if they had just been read. */
function chunkOf(letters: readonly StoredLetter[], source: string, gap: 0 | 1): Chunk {
  const newline = gap === 1 ? [Buffer.from('\n')] : []
  const records = join(letters.flatMap(({ record }) => [record, ...newline]))
  const fields = join(letters.map((letter) => letter.fields ?? new Uint8Array(0)))
  const sizes = letters.map(({ record }) => record.length)
  return {
    source,
    count: letters.length,
    records,
    ends: Uint32Array.from(endsOf(sizes, gap)),
    gap,
    keys: join(letters.map(({ key }) => Buffer.from(key, 'latin1'))),
    realtimes: Float64Array.from(letters, ({ cursor }) => parseCursor(cursor).realtime ?? 0),
    joined: new Uint8Array(letters.length),
    closed: true,
    largest: Math.max(0, ...sizes),
    missing: 0,
    fields: {
      bytes: fields,
      ends: Uint32Array.from(
        endsOf(
          letters.map((letter) => letter.fields?.length ?? 0),
          0,
        ),
      ),
    },
    cursor: (index) => letters[index]?.cursor ?? '',
  }
}

/** Where each of things of these sizes ends, with `gap` bytes behind each. */
function endsOf(sizes: readonly number[], gap: number): number[] {
  let at = 0
  return sizes.map((size) => {
    const end = at + size
    at = end + gap
    return end
  })
}

function join(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}
