// The contract suite against a real Elasticsearch, over the official client and over plain HTTP. A proxy stands in between where the
// suite wants the target to fail.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll } from 'vitest'
import elasticsearch from '../../../sinks/elasticsearch.ts'
import { testSink } from '../../contract/sinkContract.ts'
import { describeWith } from '../../support/needs.ts'
import { type Elasticsearch, startElasticsearch } from '../../support/services.ts'
import { startTcpProxy, type TcpProxy } from '../../support/tcpProxy.ts'
import { sinkFor, storedIn } from './elasticsearchKit.ts'

interface Target {
  readonly proxy: TcpProxy
  readonly index: string
}

describeWith(['mvn'], 'the elasticsearch sink', () => {
  let server: Elasticsearch
  let targets = 0
  beforeAll(async () => {
    server = await startElasticsearch()
  })
  afterAll(() => server.remove())

  for (const flavour of ['elasticsearch', 'opensearch']) {
    testSink<Target>({
      name: `elasticsearch (flavour ${flavour}, real)`,
      module: elasticsearch,
      example: { nodes: ['https://es:9200'], flavour, index: 'journald-{yyyy.MM.dd}' },
      target: async () => ({ proxy: await startTcpProxy(server.port), index: `contract-${++targets}` }),
      stop: async ({ proxy, index }) => {
        await proxy.close()
        await server.ask('DELETE', `/${index}?ignore_unavailable=true`)
      },
      create: ({ proxy, index }, host) => sinkFor([`http://127.0.0.1:${proxy.port}`], { flavour, index }, host),
      received: async ({ index }) => (await storedIn(server, index)).map(({ source }) => source),
      order: 'an index has no order',
      refuse: async ({ index }, batch, indexes) => {
        await server.ask('PUT', `/${index}`, { mappings: { dynamic: false, properties: { ADDRESS_: { type: 'ip' } } } })
        for (const at of indexes) spoil(batch, at)
      },
      outage: {
        down: async ({ proxy }) => {
          await proxy.refuse()
          // A request on a connection of which nobody has noticed that it is gone is in doubt.
          await sleep(20)
        },
        up: ({ proxy }) => proxy.accept(),
      },
      loseAnswer: ({ proxy }) => void proxy.dropNextReply(),
      takeAtMost: 'the limit is a setting of the server: E10',
      stall: { begin: ({ proxy }) => proxy.pauseReplies(), end: ({ proxy }) => proxy.resumeReplies() },
    })
  }
})

/** Makes the priority of a record something that is no IP address, by a name of the same length. */
function spoil({ records, ends }: { records: Uint8Array; ends: Uint32Array }, index: number): void {
  const start = index === 0 ? 0 : (ends[index - 1] ?? 0) + 1
  const view = Buffer.from(records.buffer, records.byteOffset + start, (ends[index] ?? 0) - start)
  view.write('"ADDRESS_":', view.indexOf('"PRIORITY":'))
}
