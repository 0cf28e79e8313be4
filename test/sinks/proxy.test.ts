// The sinks that speak HTTP, through a forward proxy: everything goes through it, and what goes wrong there is told apart from what
// goes wrong at the destination.
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { afterEach, describe, expect, it } from 'vitest'
import elasticsearch from '../../sinks/elasticsearch.ts'
import http from '../../sinks/http.ts'
import loki from '../../sinks/loki.ts'
import otlp from '../../sinks/otlp.ts'
import splunk from '../../sinks/splunk.ts'
import type { Sink, SinkModule } from '../../src/sink.ts'
import { delivery, failureOf, makeBatch, type TestHost, testHost } from '../contract/sinkContract.ts'
import { makeCertificates, serverOptions } from '../support/certificates.ts'
import { FakeHec } from '../support/fakeHec.ts'
import { ForwardProxy, type ForwardProxyOptions } from '../support/forwardProxy.ts'
import { missing } from '../support/needs.ts'
import { tempDir } from '../support/tempDir.ts'
import { FakeCluster } from './elasticsearch/fakeCluster.ts'
import { FakeIntake } from './http/fakeIntake.ts'

const NEVER = new AbortController().signal
const ENTRIES = 20

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

interface Target {
  readonly port: number
  /** How many entries or requests have come. */
  came(): number
}

async function cluster(): Promise<Target> {
  const server = await new FakeCluster().start()
  cleanups.push(() => server.stop())
  return { port: server.port, came: () => server.documents.length }
}

async function intake(): Promise<Target> {
  const server = await new FakeIntake().start()
  cleanups.push(() => server.stop())
  return { port: server.port, came: () => server.taken.length }
}

async function hec(): Promise<Target> {
  const server = new FakeHec({ token: 'hush-token', useAck: false })
  await server.start()
  cleanups.push(() => server.stop())
  return { port: server.port, came: () => server.events.length }
}

// biome-ignore lint/suspicious/noExplicitAny: each module knows its own configuration
const SINKS: readonly (readonly [string, SinkModule<any>, () => Promise<Target>, (url: string) => object])[] = [
  ['elasticsearch', elasticsearch, cluster, (url) => ({ nodes: [url], index: 'logs' })],
  ['opensearch', elasticsearch, cluster, (url) => ({ nodes: [url], index: 'logs', flavour: 'opensearch' })],
  ['splunk', splunk, hec, (url) => ({ url, token: 'hush-token', ack: false })],
  ['http', http, intake, (url) => ({ url: `${url}/in` })],
  ['otlp', otlp, intake, (url) => ({ url })],
  ['loki', loki, intake, (url) => ({ url })],
]

async function proxyWith(options: ForwardProxyOptions = {}): Promise<ForwardProxy> {
  const proxy = await new ForwardProxy(options).start()
  cleanups.push(() => proxy.stop())
  return proxy
}

// biome-ignore lint/suspicious/noExplicitAny: as above
async function sinkOf(module: SinkModule<any>, options: object, host: TestHost = testHost()): Promise<Sink> {
  const result = await module.config['~standard'].validate(options)
  if (result.issues !== undefined) throw new Error(JSON.stringify(result.issues))
  const sink = module.create(result.value, host)
  cleanups.push(() => sink.close(NEVER))
  return sink
}

describe.each(SINKS)('%s through a proxy', (_name, module, start, optionsFor) => {
  const batch = makeBatch(ENTRIES)

  it('delivers, and nothing goes past the proxy', async () => {
    const target = await start()
    const proxy = await proxyWith()
    const sink = await sinkOf(module, { ...optionsFor(`http://127.0.0.1:${target.port}`), proxy: proxy.url })
    await sink.open(NEVER)
    expect(await sink.write(batch, delivery())).toBe('delivered')
    expect(target.came()).toBeGreaterThan(0)
    expect(proxy.requests.length + proxy.tunnels.length).toBeGreaterThan(0)
    const passed = target.came()
    await proxy.stop()
    expect(
      await failureOf(sink.write(makeBatch(ENTRIES, { first: 100 }), delivery(AbortSignal.timeout(2000)))),
    ).toMatch(/unavailable|in-doubt/)
    expect(target.came()).toBe(passed)
  })

  it('is let in by the password in the address, and shows it to nobody', async () => {
    const target = await start()
    const proxy = await proxyWith({ credentials: 'me:hush-word' })
    const host = testHost()
    const options = optionsFor(`http://127.0.0.1:${target.port}`)
    const sink = await sinkOf(module, { ...options, proxy: `http://me:hush-word@127.0.0.1:${proxy.port}` }, host)
    await sink.open(NEVER)
    expect(await sink.write(batch, delivery())).toBe('delivered')
    expect(proxy.refused).toBe(0)
    await proxy.stop()
    const error = (await sink.write(batch, delivery(AbortSignal.timeout(2000))).catch((thrown) => thrown)) as Error
    expect(JSON.stringify([host.lines, error.message, String(error.cause)])).not.toMatch(/hush/)
  })

  it('is held by a proxy that does not know it, and by one with a wrong password', async () => {
    const target = await start()
    const proxy = await proxyWith({ credentials: 'me:hush-word' })
    const options = optionsFor(`http://127.0.0.1:${target.port}`)
    for (const address of [proxy.url, `http://me:wrong@127.0.0.1:${proxy.port}`]) {
      const sink = await sinkOf(module, { ...options, proxy: address })
      const outcome = await failureOf(sink.open(NEVER).then(() => sink.write(batch, delivery())))
      expect(outcome).toBe('refused')
    }
    expect(target.came()).toBe(0)
  })
})

describe.skipIf(missing(['openssl']).length > 0 && process.env['CI'] === undefined)('a proxy and TLS', () => {
  it.each(SINKS)('%s speaks TLS with the destination, through a tunnel', async (_name, module, start, optionsFor) => {
    const target = await start()
    const certificates = makeCertificates(tempDir())
    const front = createTlsServer(serverOptions(certificates), (socket) => {
      const onwards = connect(target.port, '127.0.0.1')
      socket.on('error', () => onwards.destroy())
      onwards.on('error', () => socket.destroy())
      socket.pipe(onwards).pipe(socket)
    })
    front.listen(0, '127.0.0.1')
    await once(front, 'listening')
    cleanups.push(() => front.close())
    const { port } = front.address() as AddressInfo
    const proxy = await proxyWith({ credentials: 'me:word' })
    const options = { ...optionsFor(`https://localhost:${port}`), tls: { ca: certificates.ca } }
    const address = (password: string) => `http://me:${password}@127.0.0.1:${proxy.port}`
    const sink = await sinkOf(module, { ...options, proxy: address('word') })
    await sink.open(NEVER)
    expect(await sink.write(makeBatch(ENTRIES), delivery())).toBe('delivered')
    expect(new Set(proxy.tunnels)).toEqual(new Set([`localhost:${port}`]))
    expect(proxy.requests).toEqual([])
    // Nothing was sent where the tunnel is not made.
    const other = await sinkOf(module, { ...options, proxy: address('wrong') })
    expect(await failureOf(other.open(NEVER).then(() => other.write(makeBatch(ENTRIES), delivery())))).toBe('refused')
  })
})
