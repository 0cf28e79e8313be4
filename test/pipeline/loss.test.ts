import { describe, expect, it } from 'vitest'
import { PositionState } from '../../src/journal/position.ts'
import { rewindPosition } from '../../src/pipeline/ground.ts'
import { SinkError } from '../../src/sink.ts'
import { entries, FakeJournal, FakeSink } from './fakes.ts'
import { Rig, texts } from './rig.ts'

const source = FakeJournal.source
const holding = { holdsPosition: true, ordered: true, rewindMs: 8 } as const

describe('a target that has lost its position together with its data', () => {
  it('gets what was delivered last once more, while running', async () => {
    const rig = new Rig({ entries: entries(50) })
    const sink = new FakeSink(holding)
    sink.script = (_batch, _delivery, call) => {
      if (call !== 4) return 'delivered'
      sink.got.length = 0
      sink.held.clear()
      throw new SinkError('in-doubt', 'the position is gone')
    }
    rig.ship(sink)
    await rig.clock.advance(5000)
    expect(sink.got).toEqual(texts(28, 22))
    expect(rig.positions.place('it')).toBe(50)
    expect(rig.value('logferry_position_lost_total')).toBe(1)
    expect(rig.log.lines.join()).toContain('has lost its position and its data; going back from')
  })
})
