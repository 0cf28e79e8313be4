import { describe, expect, it } from 'vitest'
import { JournalSet } from '../../src/journal/directory.ts'
import { MemoryBudget } from '../../src/journal/memory.ts'
import { Pipeline } from '../../src/pipeline/pipeline.ts'
import type { SinkSpec } from '../../src/pipeline/settings.ts'
import { systemClock } from '../../src/telemetry/clock.ts'
import { Metrics } from '../../src/telemetry/metrics.ts'
import { openFixture } from '../support/fixtures.ts'
import { tempDir } from '../support/tempDir.ts'
import { FakeLog, FakeSink, specOf, textsOf } from './fakes.ts'

const LIMIT = 4 * 2 ** 20

/** A pipeline over a fixture, with the real walk, positions and dead letters. */
function pipelineOver(state: string, sinks: readonly SinkSpec[]) {
  const memory = new MemoryBudget(LIMIT)
  const set = JournalSet.open({ directories: [openFixture('rotated').dir], machineId: 'any' }, memory)
  const metrics = new Metrics()
  const pipeline = new Pipeline({
    set,
    directories: [],
    state,
    memory,
    labels: { cluster: 'test' },
    node: { hostname: 'h', machineId: 'm', agentId: undefined },
    start: { kind: 'oldest' },
    sinks,
    log: new FakeLog(),
    metrics,
    clock: systemClock,
    shutdownTimeoutMs: 200,
    retainBytes: 0,
  })
  const value = (name: string): number => metrics.read().find((reading) => reading.name === name)?.value ?? 0
  const stop = async (): Promise<void> => {
    await pipeline.stop()
    set.close()
  }
  return { pipeline, memory, value, stop }
}

async function until(isDone: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !isDone(); ) {
    if (Date.now() > end) throw new Error('not done in time')
    await systemClock.sleep(5)
  }
}

function cursorsIn(texts: readonly string[]): string[] {
  return texts.map((text) => (JSON.parse(text) as { __CURSOR: string }).__CURSOR)
}

const settings = { batch: { entries: 100, bytes: 100_000, waitMs: 10 } }

describe('a pipeline over a real journal', () => {
  it('delivers everything once, encoded once for sinks of equal settings, while another hangs for ever', async () => {
    const state = tempDir()
    const [a, b, hung] = [new FakeSink(), new FakeSink({ idempotent: true }), new FakeSink()]
    hung.script = () => new Promise(() => undefined)
    const { pipeline, memory, value, stop } = pipelineOver(state, [
      specOf('hung', hung, settings),
      specOf('a', a, settings),
      specOf('b', b, settings),
    ])
    pipeline.start()
    await until(() => a.got.length >= 1546 && b.got.length >= 1546)
    await stop()
    const wanted = openFixture('rotated').oracle('json').toString().trim().split('\n')
    expect(cursorsIn(a.got)).toEqual(cursorsIn(wanted))
    expect(b.got).toEqual(a.got)
    expect(a.got[0]).toContain('"labels.cluster":"test"')
    expect(value('logferry_read_entries_total')).toBe(1546)
    expect(value('logferry_gap_entries_total')).toBe(0)
    expect(memory.used).toBeLessThanOrEqual(LIMIT)
  })

  it('goes on after a stop in the middle, without losing or repeating an entry', async () => {
    const state = tempDir()
    const got: string[] = []
    let runs = 0
    for (let settled = 0; settled < 1546; runs++) {
      const sink = new FakeSink({ ordered: true })
      let left = 350
      sink.script = (batch, { signal }) => {
        left -= textsOf(batch).length
        if (left > 0) return 'delivered'
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      }
      const { pipeline, stop } = pipelineOver(state, [specOf('it', sink, settings)])
      pipeline.start()
      await until(() => left <= 0 || pipeline.health()[0]?.state === 'idle')
      await stop()
      got.push(...sink.got)
      settled = got.length
      if (runs > 10) throw new Error('it does not get on')
    }
    expect(runs).toBeGreaterThan(3)
    expect(new Set(got).size).toBe(1546)
    expect(got).toHaveLength(1546)
  })
})
