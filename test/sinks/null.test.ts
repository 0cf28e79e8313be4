import { expect, it } from 'vitest'
import nullSink, { NullSink } from '../../sinks/null.ts'
import { delivery, makeBatch, testHost, testSink } from '../contract/sinkContract.ts'

const NOTHING = 'there is no target'

testSink<{ sink?: NullSink }>({
  name: 'null',
  module: nullSink,
  example: {},
  target: async () => ({}),
  create(target, host) {
    const sink = new NullSink({ encoding: 'none' }, host)
    target.sink = sink
    return sink
  },
  received: ({ sink }) => Array.from({ length: sink?.counts.entries ?? 0 }, () => new Uint8Array()),
  refuse: NOTHING,
  outage: NOTHING,
  loseAnswer: NOTHING,
  takeAtMost: NOTHING,
  stall: NOTHING,
})

it('counts what it throws away', async () => {
  const sink = nullSink.create({ encoding: 'json' }, testHost()) as NullSink
  const batch = makeBatch(100)
  await sink.write(batch, delivery())
  await sink.write(batch, delivery())
  expect(sink.counts).toEqual({ batches: 2, entries: 200, bytes: 2 * batch.records.length })
})
