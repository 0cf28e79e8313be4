// The sink against a HEC in this process, for what the real receiver cannot be made to show.
import { afterEach, describe, expect, it } from 'vitest'
import splunk, { SplunkSink } from '../../sinks/splunk.ts'
import { testSink } from '../contract/sinkContract.ts'
import { FakeHec } from '../support/fakeHec.ts'
import { configOf, QUICK } from './splunk/config.ts'

for (const ack of [true, false]) {
  testSink<FakeHec>({
    name: ack ? 'splunk with acknowledgements' : 'splunk without acknowledgements',
    module: splunk,
    example: { url: 'https://splunk:8088', token: 'x' },
    target: () => new FakeHec({ useAck: ack, ackMs: 5 }).start(),
    stop: (hec) => hec.stop(),
    create: ({ url, token }, host) =>
      new SplunkSink(configOf({ url, token, ack, max_content_length: '10MB' }), host, QUICK),
    received: ({ events }) => events.map(({ event }) => event),
    refuse: (hec, batch, indexes) => {
      const keys = new Set(indexes.map((index) => batch.entries[index]?.key))
      hec.refuse = ({ fields }) => (keys.has((fields as { journald_key: string }).journald_key) ? 15 : undefined)
    },
    outage: { down: (hec) => hec.stop(), up: async (hec) => void (await hec.start()) },
    loseAnswer: (hec) => void hec.script.push('take and reset'),
    takeAtMost: (hec, bytes) => {
      hec.maxContentLength = bytes
    },
    stall: {
      begin: (hec) => hec.freeze(),
      end: (hec) => hec.thaw(),
    },
  })
}
