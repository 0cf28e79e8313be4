// The contract of a sink, kept against a real collector.
import { setTimeout as sleep } from 'node:timers/promises'
import fluentd from '../../../sinks/fluentd.ts'
import { testSink } from '../../contract/sinkContract.ts'
import { sinkFor } from '../../sinks/fluentd/sinks.ts'
import { describeWith } from '../../support/needs.ts'
import { type Collector, startCollector } from '../../support/services.ts'
import { startTcpProxy, type TcpProxy } from '../../support/tcpProxy.ts'

interface Target {
  readonly collector: Collector
  readonly proxy: TcpProxy
}

describeWith(['go'], 'with an OpenTelemetry collector', () => {
  testSink<Target>({
    name: 'fluentd',
    module: fluentd,
    example: { host: 'fluentd.example.net', tag: 'journal.${_SYSTEMD_UNIT:-none}' },
    target: async () => {
      const collector = await startCollector()
      return { collector, proxy: await startTcpProxy(collector.forwardPort) }
    },
    stop: async ({ collector, proxy }) => {
      await proxy.close()
      await collector.remove()
    },
    create: ({ proxy }, host) => sinkFor({ host: '127.0.0.1', port: proxy.port }, host),
    received: ({ collector }) => collector.records('fwd').map(({ record }) => recordBytes(record)),
    refuse: 'a server says nothing about single entries',
    outage: {
      down: async ({ proxy }) => {
        await proxy.refuse()
        // The end of the connection has to arrive.
        await sleep(50)
      },
      up: ({ proxy }) => proxy.accept(),
    },
    loseAnswer: ({ proxy }) => {
      proxy.dropNextReply()
    },
    takeAtMost: 'the protocol has no such answer, and the collector no limit',
    stall: { begin: ({ proxy }) => proxy.pauseReplies(), end: ({ proxy }) => proxy.resumeReplies() },
  })
})

/** A record as `makeBatch` packs it, made again of what was stored: the collector keeps the order of fields. */
function recordBytes(record: Record<string, unknown>): Uint8Array {
  const attributes = record['attributes'] as readonly { key: string; value: { stringValue: string } }[]
  const fields = attributes.filter(({ key }) => key !== 'fluent.tag')
  const head = (type: number, length: number) => Buffer.of(type, length >> 8, length & 0xff)
  const text = (value: string) => Buffer.concat([head(0xda, Buffer.byteLength(value)), Buffer.from(value)])
  return Buffer.concat([
    head(0xde, fields.length),
    ...fields.flatMap(({ key, value }) => [text(key), text(value.stringValue)]),
  ])
}
