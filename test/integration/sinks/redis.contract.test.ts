// The contract suite against a real Redis: lists, streams and channels, with scripts and without. A proxy stands in between where
// the suite wants the target to fail.
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis as Client } from 'ioredis'
import { afterAll, beforeAll, expect } from 'vitest'
import redis from '../../../sinks/redis.ts'
import { type SinkKit, testSink } from '../../contract/sinkContract.ts'
import { describeWith } from '../../support/needs.ts'
import { type Redis, startRedis } from '../../support/services.ts'
import { startTcpProxy, type TcpProxy } from '../../support/tcpProxy.ts'

const METADATA = /^\{"@version":"1","@metadata":\{"_id":"[-0-9A-Z_a-z]{34}"\},/

interface Target {
  readonly proxy: TcpProxy
  readonly heard: Buffer[]
  readonly client: Client
}

describeWith(['redis-server', 'redis-cli'], 'the redis sink', () => {
  let server: Redis
  beforeAll(async () => {
    server = await startRedis('plain')
  })
  afterAll(() => server.remove())

  const kit = (name: string, options: object, received: (target: Target) => Promise<Buffer[]>): SinkKit<Target> => ({
    name: `X1, X2: redis, ${name}`,
    module: redis,
    example: { url: 'redis://redis:6379', key: 'logstash' },
    async target() {
      const client = new Client(server.port, '127.0.0.1')
      await client.flushall()
      const heard: Buffer[] = []
      if (name.startsWith('channel')) {
        client.on('messageBuffer', (_channel: Buffer, element: Buffer) => void heard.push(element))
        await client.subscribe('entries')
      }
      return { proxy: await startTcpProxy(server.port), heard, client }
    },
    async stop({ proxy, client }) {
      client.disconnect()
      await proxy.close()
    },
    create: ({ proxy }, host) => {
      const config = redis.config['~standard'].validate({
        url: `redis://127.0.0.1:${proxy.port}`,
        key: 'entries',
        ...options,
      })
      if (config instanceof Promise || config.issues !== undefined) throw new Error(JSON.stringify(config))
      return redis.create(config.value, host)
    },
    received: async (target) =>
      (await received(target)).map((element) => {
        const text = element.toString('latin1')
        expect(text).toMatch(METADATA)
        return Buffer.from(text.replace(METADATA, '{'), 'latin1')
      }),
    largest: { entries: 5001, messageBytes: 800 },
    refuse: 'Redis takes any bytes',
    takeAtMost: 'Redis takes elements of up to 512 MB',
    outage: {
      down: async ({ proxy }) => {
        await proxy.refuse()
        // An idle connection that breaks is noticed a moment later; what is written before that may have arrived.
        await sleep(20)
      },
      up: ({ proxy }) => proxy.accept(),
    },
    loseAnswer: ({ proxy }) => void proxy.dropNextReply(),
    stall: { begin: ({ proxy }) => proxy.pauseReplies(), end: ({ proxy }) => proxy.resumeReplies() },
  })

  const list = ({ client }: Target) => client.lrangeBuffer('entries', 0, -1)
  const stream = async ({ client }: Target) =>
    (await client.xrangeBuffer('entries', '-', '+')).map(([, fields]) => fields[1] ?? Buffer.alloc(0))

  testSink(kit('list', {}, list))
  testSink(kit('list by MULTI', { atomic: 'multi' }, list))
  testSink(kit('list, pushed on the left', { push: 'left' }, async (target) => (await list(target)).reverse()))
  testSink(kit('stream', { mode: 'stream' }, stream))
  testSink(kit('stream by MULTI', { mode: 'stream', atomic: 'multi' }, stream))
  testSink(kit('channel', { mode: 'channel' }, async ({ heard }) => heard))
  testSink(kit('channel without scripts', { mode: 'channel', atomic: 'multi' }, async ({ heard }) => heard))
})
