import { afterEach, describe, expect, it } from 'vitest'
import { PositionState } from '../../src/journal/position.ts'
import { Shipper } from '../../src/pipeline/shipper.ts'
import { rewindPosition } from '../../src/pipeline/walk/ground.ts'
import { SinkError } from '../../src/sink.ts'
import { Metrics } from '../../src/telemetry/metrics.ts'
import { entries, FakeClock, FakeDead, FakeJournal, FakeLog, FakePositions, FakeSink, specOf } from './fakes.ts'

const SOURCE = FakeJournal.source
/** The fake journal's rewinds count entries. */
const HOLDING = { holdsPosition: true, ordered: true, rewindMs: 8 } as const
/** The fake journal logged every entry one second after 1970. */
const [BEFORE_MS, AFTER_MS] = [500, 2000]

let stop: () => Promise<void> = async () => undefined
afterEach(() => stop())

function ship(sink: FakeSink, local?: { position: string; target?: string }) {
  const clock = new FakeClock()
  const positions = new FakePositions()
  const log = new FakeLog()
  const metrics = new Metrics()
  if (local !== undefined) positions.save('it', SOURCE, local)
  const shipper = new Shipper({
    spec: specOf('it', sink),
    streams: new FakeJournal(clock, { entries: entries(50) }),
    positions,
    dead: new FakeDead(),
    labels: {},
    node: { hostname: 'h', machineId: 'm', agentId: undefined },
    start: { kind: 'oldest' },
    memoryBytes: 1e6,
    clock,
    log,
    metrics,
    random: () => 1,
  })
  shipper.start()
  stop = async () => {
    let isDone = false
    void shipper.stop(1000).finally(() => {
      isDone = true
    })
    await clock.until(() => isDone)
  }
  const value = (name: string) => metrics.read().find((reading) => reading.name === name)?.value
  return { clock, positions, log, value }
}

const texts = (from: number) => entries(50 - from, from).map(({ text }) => text)

describe('a target that has lost its position together with its data', () => {
  it('gets what was delivered last once more, while it runs', async () => {
    const sink = new FakeSink(HOLDING)
    sink.script = (_batch, _delivery, call) => {
      if (call !== 4) return 'delivered'
      sink.got.length = 0
      sink.held.clear()
      throw new SinkError('in-doubt', 'the position is gone')
    }
    const { clock, positions, log, value } = ship(sink)
    await clock.advance(5000)
    expect(value('logferry_position_lost_total')).toBe(1)
    expect(sink.got).toEqual(texts(22))
    expect(positions.place('it')).toBe(50)
    expect(log.lines.join()).toContain('has lost its position and its data; going back from')
  })

  it('is sent the batch again, and no more, where no position was held before', async () => {
    const sink = new FakeSink(HOLDING)
    sink.script = (_batch, _delivery, call) => {
      if (call === 1) throw new SinkError('in-doubt', 'connection reset')
      return 'delivered'
    }
    const { clock, log } = ship(sink)
    await clock.advance(5000)
    expect(sink.got).toEqual(texts(0))
    expect(log.lines.join()).not.toContain('has lost')
  })

  it.each([
    ['at a start after it began anew: back by the rewind', AFTER_MS, HOLDING, 12, 'has lost its position and its data'],
    ['at a start, the target being older: the local position', BEFORE_MS, HOLDING, 20, 'holds no position any more'],
    ['at a start, its age unknown: the local position', undefined, HOLDING, 20, 'holds no position any more'],
    [
      'without a rewind: the local position',
      AFTER_MS,
      { holdsPosition: true, ordered: true },
      20,
      'holds no position any more',
    ],
  ] as const)('decides where to begin %s', async (_what, heldSince, traits, from, says) => {
    const sink = Object.assign(new FakeSink(traits), { heldSince })
    const { clock, log } = ship(sink, { position: '1:20', target: '1:10' })
    await clock.advance(5000)
    expect(sink.got).toEqual(texts(from))
    expect(log.lines.join()).toContain(says)
  })
})

describe('rewindPosition', () => {
  const mark = (seqnum: number, realtime: number) => ({
    seqnumId: 'e'.repeat(32),
    seqnum,
    realtime,
    monotonic: seqnum,
    boot0: 1,
    boot1: 2,
    boot2: 3,
    boot3: 4,
    xorHigh: 0,
    xorLow: seqnum,
  })
  const HOUR_US = 3600e6
  const START_US = 1_790_000_000_000_000

  it('stands so much before the newest entry, with nothing taken', () => {
    const state = PositionState.empty({ realtime: 0 })
    state.take(mark(1, START_US))
    state.take(mark(2, START_US + HOUR_US))
    const rewound = rewindPosition(state, 600_000)
    expect(rewound.floor).toEqual({ realtime: START_US + HOUR_US - 600e6 })
    expect(rewound.ids.size).toBe(0)
  })

  it('does not go back to before where the position began, and stays where nothing was taken', () => {
    const state = PositionState.empty({ realtime: START_US })
    expect(rewindPosition(state, 600_000)).toBe(state)
    state.take(mark(1, START_US + 60e6))
    expect(rewindPosition(state, 600_000).floor).toEqual({ realtime: START_US })
  })
})
