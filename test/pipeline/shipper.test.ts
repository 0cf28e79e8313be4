import { afterEach, describe, expect, it } from 'vitest'
import { problem } from '../../src/errors.ts'
import { PROBE_MS } from '../../src/pipeline/delivery/hold.ts'
import type { SinkSettings } from '../../src/pipeline/settings.ts'
import { Shipper, type ShipperParts } from '../../src/pipeline/shipper.ts'
import { SinkError } from '../../src/sink.ts'
import { Metrics } from '../../src/telemetry/metrics.ts'
import {
  entries,
  FakeClock,
  FakeDead,
  FakeJournal,
  FakeLog,
  FakePositions,
  FakeSink,
  specOf,
  textsOf,
  turns,
} from './fakes.ts'

class Rig {
  readonly clock = new FakeClock()
  readonly positions = new FakePositions()
  readonly dead = new FakeDead()
  readonly log = new FakeLog()
  readonly metrics = new Metrics()
  readonly journal: FakeJournal
  readonly #running: Shipper[] = []

  constructor(options: ConstructorParameters<typeof FakeJournal>[1] = {}) {
    this.journal = new FakeJournal(this.clock, options)
    rigs.push(this)
  }

  ship(sink: FakeSink, settings: Partial<SinkSettings> = {}, parts: Partial<ShipperParts> = {}): Shipper {
    const shipper = new Shipper({
      spec: specOf('it', sink, settings),
      streams: this.journal,
      positions: this.positions,
      dead: this.dead,
      labels: {},
      node: { hostname: 'h', machineId: 'm', agentId: undefined },
      start: { kind: 'oldest' },
      memoryBytes: 1e6,
      clock: this.clock,
      log: this.log,
      metrics: this.metrics,
      random: () => 1,
      ...parts,
    })
    this.#running.push(shipper)
    shipper.start()
    return shipper
  }

  async stop(shipper: Shipper, timeoutMs = 10_000): Promise<void> {
    let isDone = false
    void shipper.stop(timeoutMs).then(() => {
      isDone = true
    })
    await this.clock.until(() => isDone, 60_000)
  }

  async end(): Promise<void> {
    for (const shipper of this.#running) await this.stop(shipper, 0)
  }

  value(name: string): number {
    return this.metrics.read().find((reading) => reading.name === name)?.value ?? 0
  }
}

const rigs: Rig[] = []
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.end()
})

const texts = (count: number, from = 0): string[] => entries(count, from).map(({ text }) => text)

describe('a shipper', () => {
  it('delivers the journal in order and stores where it stands', async () => {
    const rig = new Rig({ entries: entries(95) })
    const sink = new FakeSink()
    const shipper = rig.ship(sink)
    await rig.clock.until(() => shipper.health().state === 'idle')
    expect(sink.got).toEqual(texts(95))
    expect(rig.positions.place('it')).toBe(95)
    expect(rig.value('logferry_delivered_entries_total')).toBe(95)
    expect(shipper.health()).toMatchObject({ state: 'idle', inFlight: 0, lagEntries: 0, lagSeconds: 0 })
  })

  it('follows what is written, and cuts by age', async () => {
    const rig = new Rig()
    const sink = new FakeSink()
    const shipper = rig.ship(sink)
    await rig.clock.advance(500)
    rig.journal.append(entries(3))
    await rig.clock.advance(900)
    expect(sink.got).toEqual([])
    expect(shipper.health().state).toBe('shipping')
    await rig.clock.advance(200)
    expect(sink.got).toEqual(texts(3))
  })

  it('sends a full batch at once', async () => {
    const rig = new Rig()
    const sink = new FakeSink()
    rig.ship(sink)
    await rig.clock.advance(100)
    rig.journal.append(entries(25))
    await rig.clock.advance(100)
    expect(sink.got).toEqual(texts(20))
  })

  it('stores the start of a source before anything is written to it', async () => {
    const rig = new Rig({ entries: entries(30) })
    const sink = new FakeSink()
    rig.ship(sink, { start: { kind: 'now' } })
    await rig.clock.advance(100)
    expect(rig.positions.place('it')).toBe(30)
    rig.journal.append(entries(2, 30))
    await rig.clock.advance(2000)
    expect(sink.got).toEqual(texts(2, 30))
  })

  it('takes all of a source that comes later, whatever the start', async () => {
    const rig = new Rig({ entries: entries(3) })
    const sink = new FakeSink()
    const shipper = rig.ship(sink, { start: { kind: 'now' } })
    await rig.clock.advance(100)
    rig.journal.append(entries(2, 50), 'other')
    shipper.sourcesChanged()
    await rig.clock.advance(3000)
    expect(sink.got).toEqual(texts(2, 50))
    expect(rig.positions.place('it', 'other')).toBe(2)
  })

  it('moves its position over entries that its match leaves out', async () => {
    const rig = new Rig({ entries: entries(40).map((entry) => ({ ...entry, isLeftOut: true })) })
    const sink = new FakeSink()
    rig.ship(sink)
    await rig.clock.advance(3000)
    expect(sink.batches).toEqual([])
    expect(rig.positions.place('it')).toBe(40)
  })

  it('never ends a batch between lines of one write', async () => {
    const all = Array.from({ length: 200 }, (_, index) => ({ text: `entry ${index}`, stamp: Math.floor(index / 7) }))
    const rig = new Rig({ entries: all, chunkEntries: 16 })
    const sink = new FakeSink()
    rig.ship(sink, { batch: { entries: 10, bytes: 1e6, waitMs: 50 } })
    await rig.clock.until(() => sink.got.length === 200)
    for (const batch of sink.batches.slice(0, -1)) expect(batch.texts.length % 7).toBe(0)
  })

  it('waits for the rest of a write before it ends a batch at the end of the journal', async () => {
    const rig = new Rig()
    const sink = new FakeSink()
    rig.ship(sink, { batch: { entries: 100, bytes: 1e6, waitMs: 0 } })
    await rig.clock.advance(100)
    rig.journal.append([{ text: 'a', stamp: 1 }])
    await rig.clock.advance(10)
    rig.journal.append([{ text: 'b', stamp: 1 }])
    await rig.clock.advance(15)
    expect(sink.batches).toEqual([])
    await rig.clock.advance(100)
    expect(sink.batches.map((batch) => batch.texts)).toEqual([['a', 'b']])
  })

  it('starts again at the last settled entry', async () => {
    const rig = new Rig({ entries: entries(50) })
    const first = new FakeSink()
    first.script = (_batch, { signal }, call) =>
      call <= 2
        ? 'delivered'
        : new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    const shipper = rig.ship(first)
    await rig.clock.advance(2000)
    await rig.stop(shipper, 1000)
    expect(rig.positions.place('it')).toBe(20)
    const second = new FakeSink()
    rig.ship(second)
    await rig.clock.advance(2000)
    expect([...first.got, ...second.got]).toEqual(texts(50))
  })
})

describe('concurrency', () => {
  it('keeps to the number of writes on the wire and of unsettled batches', async () => {
    const rig = new Rig({ entries: entries(500) })
    const sink = new FakeSink()
    sink.script = async (_batch, { sent }) => {
      await rig.clock.sleep(100)
      sent()
      await rig.clock.sleep(1000)
      return 'delivered' as const
    }
    let onWire = 0
    const shipper = rig.ship(sink, { concurrency: 2, inFlight: 5 })
    await rig.clock.until(() => {
      onWire = Math.max(onWire, sink.running)
      expect(shipper.health().inFlight).toBeLessThanOrEqual(5)
      return sink.got.length === 500
    })
    expect(sink.mostRunning).toBe(5)
    expect(new Set(sink.got)).toEqual(new Set(texts(500)))
    expect(sink.got).toHaveLength(500)
  })

  it('writes one batch at a time and in order to an ordered sink', async () => {
    const rig = new Rig({ entries: entries(100) })
    const sink = new FakeSink({ ordered: true })
    sink.script = async () => {
      await rig.clock.sleep(10)
      return 'delivered' as const
    }
    rig.ship(sink, { concurrency: 8, inFlight: 8 })
    await rig.clock.until(() => sink.got.length === 100)
    expect(sink.mostRunning).toBe(1)
    expect(sink.got).toEqual(texts(100))
  })

  it('does not store a position beyond a batch that is still open', async () => {
    const rig = new Rig({ entries: entries(40) })
    const sink = new FakeSink()
    const first = Promise.withResolvers<'delivered'>()
    sink.script = (_batch, _delivery, call) => (call === 1 ? first.promise : 'delivered')
    rig.ship(sink, { concurrency: 4, inFlight: 4 })
    await rig.clock.advance(2000)
    expect(sink.got).toEqual(texts(30, 10))
    expect(rig.positions.place('it')).toBe(0)
    first.resolve('delivered')
    await rig.clock.advance(10)
    expect(rig.positions.place('it')).toBe(40)
  })

  it('reads no further than its places when the target hangs, and lets its files go', async () => {
    const rig = new Rig({ entries: entries(5000) })
    const sink = new FakeSink()
    sink.script = () => new Promise(() => undefined)
    const shipper = rig.ship(sink, { concurrency: 2, inFlight: 3 })
    await rig.clock.advance(20_000)
    expect(rig.journal.made).toBeLessThan(10)
    await rig.clock.advance(25_000)
    shipper.tick()
    expect(rig.journal.rests).toBeGreaterThan(0)
    expect(shipper.health()).toMatchObject({ state: 'shipping' })
    expect(shipper.health().message).toContain('deadline has passed')
  })
})

describe('failures', () => {
  it('retries for ever with the same id, waiting longer each time up to the cap', async () => {
    const rig = new Rig({ entries: entries(10) })
    const sink = new FakeSink()
    const times: number[] = []
    sink.script = () => {
      times.push(rig.clock.now())
      if (times.length <= 9) throw new SinkError('unavailable', 'connection refused')
      return 'delivered' as const
    }
    const shipper = rig.ship(sink)
    await rig.clock.until(() => times.length === 5)
    expect(shipper.health()).toMatchObject({ state: 'shipping', message: 'connection refused' })
    await rig.clock.until(() => sink.got.length === 10)
    const waits = times.slice(1).map((time, index) => time - times[index]!)
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
    expect(new Set(sink.batches.map(({ id }) => id)).size).toBe(1)
    expect(sink.batches.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    expect(rig.value('logferry_retried_entries_total')).toBe(90)
    expect(rig.value('logferry_possible_duplicates_total')).toBe(0)
    expect(shipper.health().message).toBeUndefined()
    expect(rig.log.lines.at(-1)).toContain('works again')
  })

  it('waits as long as the target asks', async () => {
    const rig = new Rig({ entries: entries(10) })
    const sink = new FakeSink()
    sink.script = (_batch, _delivery, call) => {
      if (call === 1) throw new SinkError('unavailable', 'busy', { retryAfterMs: 70_000 })
      return 'delivered' as const
    }
    rig.ship(sink)
    await rig.clock.advance(69_000)
    expect(sink.batches).toHaveLength(1)
    await rig.clock.advance(5000)
    expect(sink.got).toHaveLength(10)
  })

  it('sends only what failed again, and keeps what was rejected among the dead letters', async () => {
    const rig = new Rig({ entries: entries(10) })
    const sink = new FakeSink()
    sink.script = (batch, _delivery, call) => {
      if (call > 1) return 'delivered'
      sink.take(batch, [0, 2, 3, 4, 5, 6])
      const rejected = [{ index: 9, code: 'mapping', reason: 'not a date' }]
      return { delivered: 6, retry: [8, 1], doubtful: [7], rejected }
    }
    rig.ship(sink)
    await rig.clock.advance(5000)
    expect(sink.batches[1]).toMatchObject({
      attempt: 2,
      id: sink.batches[0]!.id,
      texts: ['entry 1', 'entry 7', 'entry 8'],
    })
    expect(rig.dead.letters).toMatchObject([
      { code: 'mapping', reason: 'not a date', text: 'entry 9', cursor: 'cursor of 9', key: '9'.padStart(34, '0') },
    ])
    expect(new Set([...sink.got, 'entry 9'])).toEqual(new Set(texts(10)))
    expect(rig.positions.place('it')).toBe(10)
    expect(rig.value('logferry_possible_duplicates_total')).toBe(1)
    expect(rig.value('logferry_rejected_entries_total')).toBe(1)
  })

  it('does not pass a rejected entry before it is safe', async () => {
    const rig = new Rig({ entries: entries(10) })
    rig.dead.failing = new Error('no space left on device')
    const sink = new FakeSink()
    sink.script = () => ({ delivered: 9, retry: [], rejected: [{ index: 0, code: 'invalid', reason: 'no' }] })
    rig.ship(sink)
    await rig.clock.advance(60_000)
    expect(rig.positions.place('it')).toBe(0)
    rig.dead.failing = undefined
    await rig.clock.advance(60_000)
    expect(rig.positions.place('it')).toBe(10)
    expect(rig.dead.letters).toHaveLength(1)
    expect(sink.batches).toHaveLength(1)
  })

  it('keeps a batch as suspects when the target does not say which entries it refused', async () => {
    const rig = new Rig({ entries: entries(10) })
    const sink = new FakeSink()
    sink.script = () => ({ delivered: 7, retry: [], rejected: [], unknown: { count: 3, reason: 'partial success' } })
    rig.ship(sink)
    await rig.clock.advance(3000)
    expect(rig.dead.letters.map(({ code, text }) => `${code} ${text}`)).toEqual(
      texts(10).map((text) => `suspect ${text}`),
    )
    expect(rig.positions.place('it')).toBe(10)
  })

  it('halves what is too large until it fits, and buries an entry that never will', async () => {
    const rig = new Rig({ entries: entries(20) })
    const sink = new FakeSink()
    sink.script = (batch) => {
      const sent = textsOf(batch)
      if (sent.includes('entry 13') || sent.length > 6) throw new SinkError('too-large', '413')
      return 'delivered' as const
    }
    rig.ship(sink)
    await rig.clock.advance(5000)
    expect(sink.got).toEqual(texts(20).filter((text) => text !== 'entry 13'))
    expect(rig.dead.letters).toMatchObject([{ code: 'too_large', text: 'entry 13' }])
    expect(rig.positions.place('it')).toBe(20)
  })

  it('buries what exceeds the limits of the target without sending it', async () => {
    const all = entries(10).map((entry, index) => (index === 4 ? { ...entry, text: 'x'.repeat(100) } : entry))
    const rig = new Rig({ entries: all })
    const sink = new FakeSink({ limits: { entryBytes: 50 } })
    rig.ship(sink)
    await rig.clock.advance(3000)
    expect(sink.batches).toMatchObject([{ attempt: 1 }])
    expect(sink.got).toEqual(texts(10).filter((text) => text !== 'entry 4'))
    expect(rig.dead.letters).toMatchObject([{ code: 'too_large', reason: '100 bytes, the limit is 50' }])
  })

  it('sends an entry alone that is larger than a batch may be, where the target takes such', async () => {
    const all = entries(10).map((entry, index) => (index === 4 ? { ...entry, text: 'x'.repeat(100) } : entry))
    const rig = new Rig({ entries: all })
    const sink = new FakeSink({ limits: { bytes: 40, entryBytes: 200 } })
    rig.ship(sink)
    await rig.clock.advance(3000)
    expect(sink.got).toEqual(texts(10).map((text, index) => (index === 4 ? 'x'.repeat(100) : text)))
    expect(sink.batches.find(({ texts: sent }) => sent.includes('x'.repeat(100)))?.texts).toHaveLength(1)
    expect(rig.dead.letters).toEqual([])
  })

  it('counts a batch that was refused after it had been sent as one that may be there', async () => {
    for (const [isSent, wanted] of [
      [true, 10],
      [false, 0],
    ] as const) {
      const rig = new Rig({ entries: entries(10) })
      const sink = new FakeSink()
      sink.script = (_, { sent }, call) => {
        if (call > 1) return 'delivered'
        if (isSent) sent()
        throw new SinkError('refused', 'no acknowledgement ever comes')
      }
      rig.ship(sink)
      await rig.clock.advance(PROBE_MS * 3)
      expect(sink.got).toEqual(texts(10))
      expect(rig.value('logferry_possible_duplicates_total')).toBe(wanted)
    }
  })

  it('holds the sink when a person must act, drops nothing, and goes on by itself once it is mended', async () => {
    const rig = new Rig({ entries: entries(100) })
    const sink = new FakeSink()
    let isMended = false
    sink.script = () => {
      if (!isMended) throw new SinkError('refused', 'wrong token')
      return 'delivered' as const
    }
    const shipper = rig.ship(sink, { concurrency: 3, inFlight: 3 })
    await rig.clock.advance(1000)
    expect(shipper.health()).toMatchObject({ state: 'held', message: 'wrong token' })
    const before = sink.batches.length
    await rig.clock.advance(PROBE_MS * 10)
    expect(sink.batches.length - before).toBe(10)
    expect(rig.positions.place('it')).toBe(0)
    expect(rig.value('logferry_sink_held')).toBe(1)
    isMended = true
    await rig.clock.advance(PROBE_MS + 2000)
    expect(new Set(sink.got)).toEqual(new Set(texts(100)))
    expect(shipper.health().state).toBe('idle')
    expect(rig.value('logferry_sink_held')).toBe(0)
    expect(rig.dead.letters).toEqual([])
  })

  it('counts possible duplicates of a batch in doubt, but not where writing twice leaves one copy', async () => {
    for (const idempotent of [false, true]) {
      const rig = new Rig({ entries: entries(10) })
      const sink = new FakeSink({ idempotent })
      sink.script = (_batch, _delivery, call) => {
        if (call === 1) throw new SinkError('in-doubt', 'connection reset')
        return 'delivered' as const
      }
      rig.ship(sink)
      await rig.clock.advance(3000)
      expect(sink.got).toEqual(texts(10))
      expect(rig.value('logferry_possible_duplicates_total')).toBe(idempotent ? 0 : 10)
    }
  })

  it('never counts a receipt that does not add up as delivered', async () => {
    const rig = new Rig({ entries: entries(10) })
    const sink = new FakeSink()
    sink.script = (_batch, _delivery, call) => (call < 3 ? { delivered: 5, retry: [], rejected: [] } : 'delivered')
    rig.ship(sink)
    await rig.clock.advance(400)
    expect(rig.positions.place('it')).toBe(0)
    await rig.clock.advance(5000)
    expect(sink.got).toEqual(texts(10))
    expect(rig.value('logferry_bad_receipts_total')).toBe(2)
    expect(rig.log.lines.join()).toContain('a bug of the sink: the receipt does not add up: it accounts for 5 of 10')
  })

  it('takes an unexpected exception for a bug and writes its stack', async () => {
    const rig = new Rig({ entries: entries(10) })
    const sink = new FakeSink()
    const bug = new TypeError('undefined is not a function')
    sink.script = (_batch, _delivery, call) => {
      if (call === 1) throw bug
      return 'delivered' as const
    }
    rig.ship(sink)
    await rig.clock.advance(3000)
    expect(sink.got).toEqual(texts(10))
    expect(rig.log.fields).toContainEqual(expect.objectContaining({ error: bug }))
    expect(rig.value('logferry_possible_duplicates_total')).toBe(10)
  })

  it('gives up after the time that the operator set, into the dead letters', async () => {
    const rig = new Rig({ entries: entries(20) })
    const sink = new FakeSink()
    sink.script = (batch) => {
      if (textsOf(batch).includes('entry 3')) throw new SinkError('unavailable', 'no room')
      return 'delivered' as const
    }
    rig.ship(sink, { retry: { baseMs: 500, capMs: 5000, giveUpAfterMs: 60_000 } })
    await rig.clock.advance(59_000)
    expect(rig.dead.letters).toEqual([])
    await rig.clock.advance(10_000)
    expect(rig.dead.letters.map(({ code, text }) => `${code} ${text}`)).toEqual(
      texts(10).map((text) => `gave_up ${text}`),
    )
    expect(sink.got).toEqual(texts(10, 10))
    expect(rig.positions.place('it')).toBe(20)
  })

  it('aborts a write at its deadline and sends the batch again', async () => {
    const rig = new Rig({ entries: entries(10) })
    const sink = new FakeSink()
    sink.script = (_batch, { signal }, call) =>
      call > 1 ? 'delivered' : new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    const shipper = rig.ship(sink, { timeoutMs: 5000 })
    await rig.clock.advance(5200)
    expect(shipper.health().message).toBe('no answer within 5s')
    await rig.clock.advance(3000)
    expect(sink.got).toEqual(texts(10))
  })

  it('sends less at once under pressure', async () => {
    const rig = new Rig({ entries: entries(400) })
    const sink = new FakeSink()
    sink.script = async (_batch, _delivery, call) => {
      await rig.clock.sleep(50)
      if (call < 20) throw new SinkError('unavailable', '429', { retryAfterMs: 100 })
      return 'delivered' as const
    }
    rig.ship(sink, { concurrency: 8, inFlight: 8 })
    await rig.clock.advance(120)
    expect(rig.value('logferry_concurrency_limit')).toBe(1)
    await rig.clock.until(() => sink.got.length === 400)
    expect(rig.value('logferry_concurrency_limit')).toBeGreaterThan(4)
  })
})

describe('memory', () => {
  it('gives chunks back for sinks that promise not to read them any more, unless a write failed', async () => {
    const cases = [
      { releases: false, fails: false, givenBack: 0 },
      { releases: true, fails: false, givenBack: 40 },
      { releases: true, fails: true, givenBack: 30 },
    ]
    for (const { releases, fails, givenBack } of cases) {
      const rig = new Rig({ entries: entries(40), chunkEntries: 7 })
      const sink = new FakeSink({ releases })
      sink.script = (_batch, _delivery, call) => {
        if (fails && call === 2) throw new SinkError('in-doubt', 'connection reset')
        return 'delivered'
      }
      rig.ship(sink)
      await rig.clock.advance(5000)
      expect(new Set(sink.got)).toEqual(new Set(texts(40)))
      expect(rig.journal.givenBack).toBe(givenBack)
    }
  })
})

describe('a bug of our own', () => {
  it('holds its source, and goes on from what is settled', async () => {
    const rig = new Rig({ entries: entries(30) })
    const sink = new FakeSink()
    let isBroken = true
    rig.journal.cursorOfEntry = () => {
      if (isBroken) throw new TypeError('cannot read properties of undefined')
    }
    sink.script = (batch) => {
      if (!textsOf(batch).includes('entry 12')) return 'delivered'
      const index = textsOf(batch).indexOf('entry 12')
      sink.take(
        batch,
        [...textsOf(batch).keys()].filter((other) => other !== index),
      )
      return { delivered: batch.ends.length - 1, retry: [], rejected: [{ index, code: 'mapping', reason: 'no' }] }
    }
    const shipper = rig.ship(sink, { inFlight: 1 })
    await rig.clock.advance(5000)
    expect(shipper.health()).toMatchObject({ state: 'held', message: 'TypeError: cannot read properties of undefined' })
    expect(rig.positions.place('it')).toBe(10)
    isBroken = false
    await rig.clock.advance(PROBE_MS + 3000)
    expect(rig.positions.place('it')).toBe(30)
    expect(rig.dead.letters).toMatchObject([{ text: 'entry 12' }])
    expect(shipper.health().state).toBe('idle')
    expect(rig.journal.open_).toBe(1)
  })
})

describe('opening', () => {
  it('opens again with backoff until it works', async () => {
    const rig = new Rig({ entries: entries(10) })
    const sink = new FakeSink()
    sink.opening = async () => {
      if (sink.calls.length < 4) throw new SinkError('unavailable', 'no route to host')
    }
    const shipper = rig.ship(sink)
    await rig.clock.advance(100)
    expect(shipper.health()).toMatchObject({ state: 'connecting', message: 'no route to host' })
    await rig.clock.advance(5000)
    expect(sink.calls.filter((call) => call === 'open')).toHaveLength(4)
    expect(sink.got).toEqual(texts(10))
    expect(shipper.health()).toMatchObject({ state: 'idle', message: undefined })
  })

  it('is held by a position file that cannot be read, and never guesses a place', async () => {
    const rig = new Rig({ entries: entries(10) })
    rig.positions.damaged.set('it', problem('LF_STATE_POSITION_DAMAGED', { sink: 'it', path: '/s', why: 'torn' }))
    const sink = new FakeSink()
    const shipper = rig.ship(sink)
    await rig.clock.advance(PROBE_MS * 3)
    expect(shipper.health().state).toBe('held')
    expect(shipper.health().hint).toContain('cursor')
    expect(shipper.need()).toEqual({ sink: 'it', positions: new Map(), rewinds: false })
    expect(sink.calls).toEqual([])
    rig.positions.damaged.clear()
    rig.positions.save('it', FakeJournal.source, { position: '1:4' })
    await rig.clock.advance(PROBE_MS + 2000)
    expect(sink.got).toEqual(texts(6, 4))
  })

  it('is held when the target refuses the connection', async () => {
    const rig = new Rig()
    const sink = new FakeSink()
    sink.opening = async () => {
      throw new SinkError('refused', 'unknown API key')
    }
    const shipper = rig.ship(sink)
    await rig.clock.advance(PROBE_MS * 2 + 1000)
    expect(shipper.health()).toMatchObject({ state: 'held', message: 'unknown API key' })
    rig.journal.append(entries(7))
    expect(shipper.health()).toMatchObject({ lagEntries: 7, sources: [{ cursor: 'cursor 0' }] })
    expect([...shipper.need().positions]).toEqual([[FakeJournal.source, '1:0']])
    expect(sink.calls.filter((call) => call === 'open')).toHaveLength(3)
  })
})

describe('a target that holds the position', () => {
  const holding = { holdsPosition: true, ordered: true } as const

  it('is asked after a lost answer, and what it has is not sent again', async () => {
    const rig = new Rig({ entries: entries(30) })
    const sink = new FakeSink(holding)
    sink.script = (batch, _delivery, call) => {
      if (call !== 2) return 'delivered'
      sink.take(batch)
      throw new SinkError('in-doubt', 'connection reset')
    }
    rig.ship(sink)
    await rig.clock.advance(3000)
    expect(sink.got).toEqual(texts(30))
    expect(rig.positions.stored.get('it')?.get(FakeJournal.source)).toEqual({ position: '1:30', target: '1:30' })
    expect(rig.value('logferry_possible_duplicates_total')).toBe(0)
  })

  it('is sent again what it has not got', async () => {
    const rig = new Rig({ entries: entries(30) })
    const sink = new FakeSink(holding)
    sink.script = (_batch, _delivery, call) => {
      if (call === 2) throw new SinkError('in-doubt', 'connection reset')
      return 'delivered' as const
    }
    rig.ship(sink)
    await rig.clock.advance(3000)
    expect(sink.got).toEqual(texts(30))
    expect(sink.batches.map(({ attempt }) => attempt)).toEqual([1, 1, 2, 1])
  })

  it('takes the shipper back when it lost data in a failover', async () => {
    const rig = new Rig({ entries: entries(50) })
    const sink = new FakeSink(holding)
    sink.script = (_batch, _delivery, call) => {
      if (call !== 4) return 'delivered'
      sink.got.splice(10)
      sink.held.set(FakeJournal.source, '1:10')
      throw new SinkError('in-doubt', 'POSITION older')
    }
    rig.ship(sink)
    await rig.clock.advance(5000)
    expect(sink.got).toEqual(texts(50))
    expect(rig.positions.place('it')).toBe(50)
    expect(rig.log.lines.join()).toContain('moved to another position')
  })

  it('gets its own last position as `before`, also when entries behind it were left out', async () => {
    const all = entries(30).map((entry, index) => ({ ...entry, isLeftOut: index >= 10 && index < 20 }))
    const rig = new Rig({ entries: all.slice(0, 20) })
    const sink = new FakeSink(holding)
    const befores: string[] = []
    sink.script = (batch) => {
      befores.push(batch.before)
      return 'delivered' as const
    }
    rig.ship(sink)
    await rig.clock.advance(3000)
    expect(rig.positions.stored.get('it')?.get(FakeJournal.source)).toEqual({ position: '1:20', target: '1:10' })
    rig.journal.append(all.slice(20))
    await rig.clock.advance(3000)
    expect(befores).toEqual(['1:0', '1:10'])
  })

  const source = FakeJournal.source
  const cases: readonly [
    what: string,
    local: object | undefined,
    held: string | undefined,
    from: number,
    says: string,
  ][] = [
    ['the same answer as noted: on from the local frontier', { position: '1:20', target: '1:10' }, '1:10', 20, ''],
    ['a newer answer: on from there', { position: '1:20', target: '1:10' }, '1:25', 25, 'ahead of the local position'],
    ['an older answer: back to it', { position: '1:20', target: '1:10' }, '1:5', 5, 'went back'],
    [
      'no answer any more: the local file',
      { position: '1:20', target: '1:10' },
      undefined,
      20,
      'holds no position any more',
    ],
    ['no local file: the answer', undefined, '1:25', 25, 'position that the target holds'],
    ['neither: the start', undefined, undefined, 0, ''],
    ['a local file from before its first answer', { position: '1:20' }, undefined, 20, ''],
  ]
  it.each(cases)('decides where to begin: %s', async (_what, local, held, from, says) => {
    const rig = new Rig({ entries: entries(30) })
    if (local !== undefined) rig.positions.save('it', source, local as { position: string })
    const sink = new FakeSink(holding)
    if (held !== undefined) sink.held.set(source, held)
    rig.ship(sink)
    await rig.clock.advance(3000)
    expect(sink.got).toEqual(texts(30 - from, from))
    const warned = rig.log.lines.filter((line) => line.includes('target'))
    if (says === '') expect(warned).toEqual([])
    else expect(warned.join()).toContain(says)
  })
})

describe('stopping', () => {
  it('waits for what is under way, stores it, and closes', async () => {
    const rig = new Rig({ entries: entries(100) })
    const sink = new FakeSink()
    sink.script = async () => {
      await rig.clock.sleep(500)
      return 'delivered' as const
    }
    const shipper = rig.ship(sink, { concurrency: 2, inFlight: 2 })
    await rig.clock.advance(700)
    await rig.stop(shipper)
    expect(sink.got.length).toBe(rig.positions.place('it'))
    expect(sink.got.length).toBeGreaterThan(10)
    expect(sink.got.length).toBeLessThan(100)
    expect(sink.calls).toEqual(['open', 'flush', 'close'])
    expect(rig.positions.syncs).toBe(1)
    expect(rig.journal.open_).toBe(0)
    await turns()
    expect(rig.clock.sleeping).toBe(0)
  })

  it('has a sink that gathers batches settle them', async () => {
    const rig = new Rig({ entries: entries(30) })
    const sink = new FakeSink()
    const gathered: (() => void)[] = []
    sink.script = (_batch, { sent }) => {
      sent()
      return new Promise((resolve) => gathered.push(() => resolve('delivered')))
    }
    sink.flushing = () => {
      for (const settle of gathered) settle()
    }
    const shipper = rig.ship(sink)
    await rig.clock.advance(2000)
    expect(rig.positions.place('it')).toBe(0)
    await rig.stop(shipper)
    expect(rig.positions.place('it')).toBe(30)
  })

  it('does not wait for a target that is down', async () => {
    const rig = new Rig({ entries: entries(100) })
    const sink = new FakeSink()
    sink.script = () => {
      throw new SinkError('unavailable', 'down')
    }
    const shipper = rig.ship(sink)
    await rig.clock.advance(60_000)
    const before = rig.clock.now()
    await rig.stop(shipper, 30_000)
    expect(rig.clock.now() - before).toBeLessThan(500)
    expect(rig.positions.place('it')).toBe(0)
  })

  it('tries once more what later, settled batches would be repeated for', async () => {
    const rig = new Rig({ entries: entries(40) })
    const sink = new FakeSink()
    let isBusy = true
    sink.script = (batch) => {
      if (isBusy && textsOf(batch).includes('entry 0'))
        throw new SinkError('unavailable', 'busy', { retryAfterMs: 3000 })
      return 'delivered' as const
    }
    const shipper = rig.ship(sink, { concurrency: 4 })
    await rig.clock.advance(1000)
    isBusy = false
    await rig.stop(shipper)
    expect(rig.positions.place('it')).toBe(40)
  })

  it('ends in time when a write and the closing ignore their abort', async () => {
    const rig = new Rig({ entries: entries(100) })
    const sink = new FakeSink()
    sink.script = (_batch, _delivery, call) => (call > 1 ? new Promise(() => undefined) : 'delivered')
    sink.closing = () => new Promise(() => undefined)
    const shipper = rig.ship(sink)
    await rig.clock.advance(2000)
    const before = rig.clock.now()
    await rig.stop(shipper, 5000)
    expect(rig.clock.now() - before).toBeLessThan(15_000)
    expect(rig.positions.place('it')).toBe(10)
  })

  it('ends in time when a sink was never open', async () => {
    const rig = new Rig({ entries: entries(100) })
    const sink = new FakeSink()
    sink.opening = () => new Promise(() => undefined)
    const shipper = rig.ship(sink)
    await rig.clock.advance(2000)
    await rig.stop(shipper, 30_000)
    expect(sink.calls).toEqual(['open'])
  })
})

describe('a bounded run', () => {
  it('ends by itself when everything is settled', async () => {
    const rig = new Rig({ entries: entries(95), bounded: true })
    const sink = new FakeSink()
    sink.script = async () => {
      await rig.clock.sleep(20)
      return 'delivered' as const
    }
    const shipper = rig.ship(sink, { concurrency: 2 })
    let isEnded = false
    void shipper.ended.then(() => {
      isEnded = true
    })
    await rig.clock.until(() => isEnded)
    expect(new Set(sink.got)).toEqual(new Set(texts(95)))
    expect(rig.positions.place('it')).toBe(95)
  })
})
