import { afterEach, describe, expect, it } from 'vitest'
import { problem } from '../../src/errors.ts'
import type { JournalSet } from '../../src/journal/directory.ts'
import { MemoryBudget } from '../../src/journal/memory.ts'
import { Pipeline } from '../../src/pipeline/pipeline.ts'
import type { SinkSpec } from '../../src/pipeline/settings.ts'
import { SinkError } from '../../src/sink.ts'
import { Metrics } from '../../src/telemetry/metrics.ts'
import { entries, FakeClock, FakeDead, FakeJournal, FakeLog, FakePositions, FakeSink, specOf } from './fakes.ts'

class Rig {
  readonly clock = new FakeClock()
  readonly positions = new FakePositions()
  readonly dead = new FakeDead()
  readonly log = new FakeLog()
  readonly metrics = new Metrics()
  readonly journal: FakeJournal
  readonly pipeline: Pipeline

  constructor(sinks: readonly SinkSpec[], count = 100, damaged: readonly string[] = []) {
    for (const sink of damaged) {
      this.positions.damaged.set(sink, problem('LF_STATE_POSITION_DAMAGED', { sink, path: '/s', why: 'torn' }))
    }
    this.journal = new FakeJournal(this.clock, { entries: entries(count) })
    this.pipeline = new Pipeline(
      {
        set: { rescan: () => false, problems: [] } as unknown as JournalSet,
        directories: [],
        state: '/nowhere',
        memory: new MemoryBudget(64 * 2 ** 20),
        labels: {},
        node: { hostname: 'h', machineId: 'm', agentId: undefined },
        start: { kind: 'oldest' },
        sinks,
        log: this.log,
        metrics: this.metrics,
        clock: this.clock,
        shutdownTimeoutMs: 5000,
        retainBytes: 0,
      },
      { streams: this.journal, positions: this.positions, dead: this.dead },
    )
    rigs.push(this)
    this.pipeline.start()
  }

  async done<T>(work: Promise<T>): Promise<T> {
    let isDone = false
    void work.finally(() => {
      isDone = true
    })
    await this.clock.until(() => isDone, 120_000)
    return work
  }

  states(): Record<string, string> {
    return Object.fromEntries(this.pipeline.health().map(({ name, state }) => [name, state]))
  }
}

const rigs: Rig[] = []
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.done(rig.pipeline.stop())
})

const texts = (count: number, from = 0): string[] => entries(count, from).map(({ text }) => text)

function hanging(): FakeSink {
  const sink = new FakeSink()
  sink.script = () => new Promise(() => undefined)
  return sink
}

describe('isolation', () => {
  it('delivers everything to one sink while others hang, refuse, cannot be made, opened, or trusted', async () => {
    const good = new FakeSink()
    const deaf = new FakeSink()
    deaf.opening = () => new Promise(() => undefined)
    const wrong = new FakeSink()
    wrong.script = () => {
      throw new SinkError('refused', 'wrong token')
    }
    const unmade: SinkSpec = {
      ...specOf('unmade', new FakeSink()),
      create: () => {
        throw new Error('cannot find package')
      },
    }
    const sinks = [
      specOf('hung', hanging()),
      specOf('deaf', deaf),
      specOf('wrong', wrong),
      unmade,
      specOf('torn', new FakeSink()),
      specOf('good', good),
    ]
    const rig = new Rig(sinks, 100, ['torn'])
    await rig.clock.advance(5000)
    expect(good.got).toEqual(texts(100))
    rig.journal.append(entries(1000, 100))
    await rig.clock.advance(60_000)
    expect(good.got).toEqual(texts(1100))
    expect(rig.states()).toEqual({
      hung: 'shipping',
      deaf: 'connecting',
      wrong: 'held',
      unmade: 'held',
      torn: 'held',
      good: 'idle',
    })
  })
})

describe('reload', () => {
  it('leaves unchanged sinks running, untouched', async () => {
    const sink = new FakeSink()
    const rig = new Rig([specOf('same', sink)])
    await rig.clock.advance(3000)
    const again = new FakeSink()
    const result = await rig.done(rig.pipeline.reload([specOf('same', again)]))
    expect(result).toEqual({ kept: ['same'], changed: [], added: [], removed: [] })
    rig.journal.append(entries(10, 100))
    await rig.clock.advance(3000)
    expect(sink.calls).toEqual(['open'])
    expect(sink.got).toEqual(texts(110))
    expect(again.calls).toEqual([])
  })

  it('has a changed sink go on from the stored position after its predecessor is closed', async () => {
    const order: string[] = []
    const before = new FakeSink()
    before.script = async () => {
      await rig.clock.sleep(200)
      return 'delivered' as const
    }
    before.closing = async () => {
      order.push('closed')
    }
    const after = new FakeSink()
    after.opening = async () => {
      order.push('opened')
    }
    const rig = new Rig([specOf('it', before, {}, 'one')])
    await rig.clock.advance(1100)
    const result = await rig.done(rig.pipeline.reload([specOf('it', after, {}, 'two')]))
    expect(result.changed).toEqual(['it'])
    await rig.clock.advance(5000)
    expect(order).toEqual(['closed', 'opened'])
    expect(before.got.length).toBeGreaterThan(10)
    expect(before.got.length).toBeLessThan(100)
    expect([...before.got, ...after.got]).toEqual(texts(100))
  })

  it('drains removed sinks and starts new ones, also while another hangs', async () => {
    const gone = new FakeSink()
    const fresh = new FakeSink()
    const rig = new Rig([specOf('hung', hanging(), {}, 'one'), specOf('gone', gone)])
    await rig.clock.advance(3000)
    const reload = rig.pipeline.reload([specOf('hung', hanging(), {}, 'two'), specOf('fresh', fresh)])
    await rig.clock.advance(1500)
    expect(fresh.got).toEqual(texts(100))
    expect(gone.calls).toEqual(['open', 'flush', 'close'])
    expect(await rig.done(reload)).toEqual({ kept: [], changed: ['hung'], added: ['fresh'], removed: ['gone'] })
    expect(Object.keys(rig.states()).sort()).toEqual(['fresh', 'hung'])
    expect(rig.metrics.read().some(({ labels }) => labels['sink'] === 'gone')).toBe(false)
  })
})

describe('the pipeline', () => {
  it('finds new sources', async () => {
    const sink = new FakeSink()
    const rig = new Rig([specOf('it', sink)], 0)
    await rig.clock.advance(2000)
    rig.journal.append(entries(5), 'other')
    await rig.clock.advance(4000)
    expect(sink.got).toEqual(texts(5))
  })

  it('stops all sinks at once, in time, and closes the state folder', async () => {
    const rig = new Rig([specOf('a', hanging()), specOf('b', hanging()), specOf('c', new FakeSink())])
    await rig.clock.advance(3000)
    const before = rig.clock.now()
    await rig.done(rig.pipeline.stop())
    expect(rig.clock.now() - before).toBeLessThan(8000)
    expect(rig.positions.closed).toBe(1)
    expect(rig.positions.place('c')).toBe(100)
    expect(rig.journal.open_).toBe(0)
  })
})
