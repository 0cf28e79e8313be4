// The contract of a sink, kept against a real collector.
import splunk, { SplunkSink } from '../../../sinks/splunk.ts'
import { testSink } from '../../contract/sinkContract.ts'
import { configOf, QUICK } from '../../sinks/splunk/config.ts'
import { describeWith } from '../../support/needs.ts'
import { type Collector, startCollector } from '../../support/services.ts'
import { startTcpProxy, type TcpProxy } from '../../support/tcpProxy.ts'
import { eventsAt } from './splunkKit.ts'

interface Target {
  readonly collector: Collector
  readonly proxy: TcpProxy
}

describeWith(['go'], 'with an OpenTelemetry collector', () => {
  testSink<Target>({
    name: 'splunk',
    module: splunk,
    example: { url: 'https://splunk.example.net:8088', token: 'x' },
    target: async () => {
      const collector = await startCollector()
      return { collector, proxy: await startTcpProxy(collector.port) }
    },
    stop: async ({ collector, proxy }) => {
      await proxy.close()
      await collector.remove()
    },
    create: ({ proxy }, host) =>
      new SplunkSink(
        configOf({ url: `http://127.0.0.1:${proxy.port}`, token: 'x', max_content_length: '10MB' }),
        host,
        QUICK,
      ),
    received: ({ collector }) => eventsAt(collector).map(({ fields }) => recordOf(fields)),
    order: 'the collector sorts the events of a request by their origin',
    refuse: 'the collector finds nothing wrong with what the sink sends',
    outage: { down: ({ proxy }) => proxy.refuse(), up: ({ proxy }) => proxy.accept() },
    loseAnswer: ({ proxy }) => {
      proxy.dropNextReply()
    },
    takeAtMost: 'the collector has no limit',
    stall: { begin: ({ proxy }) => proxy.pauseReplies(), end: ({ proxy }) => proxy.resumeReplies() },
  })
})

/** The order in which `makeBatch` has its fields; the collector sorts them by name. */
const ORDER = [
  '@timestamp',
  '__CURSOR',
  '__REALTIME_TIMESTAMP',
  '__MONOTONIC_TIMESTAMP',
  '_BOOT_ID',
  'PRIORITY',
  'SYSLOG_IDENTIFIER',
  '_PID',
  '_HOSTNAME',
  '_MACHINE_ID',
  'MESSAGE',
]

function recordOf(fields: ReadonlyMap<string, readonly string[]>): Uint8Array {
  const texts = ORDER.map((name) => [name, Buffer.from(fields.get(name)?.[0] ?? '', 'latin1').toString()])
  return Buffer.from(JSON.stringify(Object.fromEntries(texts)))
}
