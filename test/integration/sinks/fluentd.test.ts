// The rows F and X of the fluentd sink that real receivers can show: the OpenTelemetry collector, and the server of @fluent-org/logger,
// which has what the collector lacks: TLS, a shared key, users.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { createServer as createTlsServer } from 'node:tls'
import { type EventTime, FluentServer } from '@fluent-org/logger'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { FluentdSink } from '../../../sinks/fluentd.ts'
import type { Batch } from '../../../src/sink.ts'
import { delivery, failureOf, type TestHost, testHost } from '../../contract/sinkContract.ts'
import { packed, sinkFor } from '../../sinks/fluentd/sinks.ts'
import { type Certificates, makeCertificates, serverOptions } from '../../support/certificates.ts'
import { readValue } from '../../support/msgpack.ts'
import { describeWith } from '../../support/needs.ts'
import { until } from '../../support/program.ts'
import { type Collector, startCollector } from '../../support/services.ts'
import { startTcpProxy } from '../../support/tcpProxy.ts'
import { tempDir } from '../../support/tempDir.ts'
import { type Arrived, arrivedAt, counterOf } from './fluentdKit.ts'

const NEVER = new AbortController().signal
const LOCAL = '127.0.0.1'

const cleanups: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function open(options: object, host: TestHost = testHost()): Promise<FluentdSink> {
  const sink = sinkFor(options, host)
  cleanups.push(() => sink.close(AbortSignal.timeout(1000)))
  await sink.open(NEVER)
  return sink
}

async function messageOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'no failure',
    (error: unknown) => (error as Error).message,
  )
}

/** What must arrive of batches: the cursor, the time in nanoseconds, and the message of each entry. */
function wanted(...batches: Batch[]): string[] {
  return batches.flatMap(({ entries }) =>
    entries.map((entry) => `${entry.cursor} ${entry.realtime}000 ${entry.get('MESSAGE')}`),
  )
}

describeWith(['go'], 'the fluentd sink and an OpenTelemetry collector', () => {
  let collector: Collector
  let count: () => number
  let stored = 0
  beforeAll(async () => {
    collector = await startCollector()
    count = counterOf(collector)
  })
  afterAll(() => collector.remove())

  const here = () => ({ host: LOCAL, port: collector.forwardPort })

  /** What came since the last look, once there are so many. */
  async function arrived(entries: number): Promise<Arrived[]> {
    await until(`${entries} entries`, () => count() >= stored + entries)
    const all = arrivedAt(collector)
    const fresh = all.slice(stored)
    stored = all.length
    return fresh
  }
  const textOf = ({ cursor, ns, fields }: Arrived) =>
    `${cursor} ${ns} ${Buffer.from(fields.get('MESSAGE')?.[0] ?? '', 'latin1').toString()}`

  it.each(['none', 'gzip'])('F1: records arrive with exact nanoseconds (compress: %s)', async (compress) => {
    const sink = await open({ ...here(), compress, tag: 'f1.${_HOSTNAME}' })
    const batches = [packed(1), packed(5000, { first: 2, messageBytes: 200 })]
    for (const batch of batches) expect(await sink.write(batch, delivery())).toBe('delivered')
    const entries = await arrived(5001)
    expect(entries.map(textOf)).toEqual(wanted(...batches))
    expect(new Set(entries.map(({ tag }) => tag))).toEqual(new Set(['f1.node-1']))
  })

  it('F1: a time as extension in its longer form is the same time', async () => {
    // Ours is the short form; that both are taken shows that the receiver reads the extension, not our bytes.
    const long = Buffer.concat([Buffer.from('c70800', 'hex'), Buffer.from('6553f10000bc614e', 'hex')])
    const entry = Buffer.concat([Buffer.of(0x92), long, Buffer.from('81a16b a176'.replace(' ', ''), 'hex')])
    const socket = connect(collector.forwardPort, LOCAL)
    cleanups.push(() => socket.destroy())
    socket.write(
      Buffer.concat([
        Buffer.from('93a474696d65c6', 'hex'),
        Buffer.of(0, 0, 0, entry.length),
        entry,
        Buffer.from('81a56368756e6ba131', 'hex'),
      ]),
    )
    const [answer] = (await once(socket, 'data')) as [Buffer]
    expect(readValue(answer).value).toEqual({ ack: '1' })
    const [one] = await arrived(1)
    expect(one?.ns).toBe('1700000000012345678')
  })

  it('F1: a compression that the collector does not know is never taken for delivered', async () => {
    const sink = await open({ ...here(), compress: 'zstd' })
    expect(await failureOf(sink.write(packed(100), delivery()))).toBe('in-doubt')
    await sleep(300)
    expect(count()).toBe(stored)
  })

  it('F2: 50 batches at once are all delivered, in order', async () => {
    const sink = await open(here())
    const batches = Array.from({ length: 50 }, (_, n) => packed(100, { first: 1 + 100 * n }))
    let sent = 0
    const receipts = await Promise.all(
      batches.map((batch) => sink.write(batch, { signal: NEVER, sent: () => void sent++ })),
    )
    expect([new Set(receipts), sent]).toEqual([new Set(['delivered']), 50])
    expect((await arrived(5000)).map(textOf)).toEqual(wanted(...batches))
  })

  it('F6: the collector acknowledges, with and without entries in a message, on one connection', async () => {
    const proxy = await startTcpProxy(collector.forwardPort)
    cleanups.push(() => proxy.close())
    const sink = await open({ host: LOCAL, port: proxy.port, ack_timeout: '2s' })
    for (let n = 0; n < 10; n++)
      expect(await sink.write(packed(10, { first: 1 + 10 * n }), delivery())).toBe('delivered')
    expect([proxy.open, (await arrived(100)).length]).toEqual([1, 100])
  })

  it('X1: a write to a server that hangs ends at once when it is called off, and leaves no socket', async () => {
    const sink = await open(here())
    await sink.write(packed(10), delivery())
    await arrived(10)
    const sockets = () => process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length
    const before = sockets()
    collector.freeze()
    cleanups.push(() => collector.thaw())
    // The signal takes its time on a busy machine.
    await sleep(300)
    const stop = new AbortController()
    const outcome = failureOf(sink.write(packed(20, { first: 11, messageBytes: 500_000 }), delivery(stop.signal)))
    await sleep(200)
    const began = performance.now()
    stop.abort()
    expect(await outcome).toBe('in-doubt')
    expect(performance.now() - began).toBeLessThan(1000)
    await until('the end of the socket', () => sockets() < before)
    collector.thaw()
    const again = packed(5, { first: 100 })
    expect(await sink.write(again, delivery())).toBe('delivered')
    // What was cut off in the middle of a message did not arrive; whole messages before it may, and late.
    const last = again.entries[4]?.cursor
    await until('the last batch', () => arrivedAt(collector).some(({ cursor }) => cursor === last))
    for (let before = -1; before !== count(); await sleep(700)) before = count()
    stored = count()
  })

  it('F9: the second of two takes over while the first is down, and the first again when it is back', async () => {
    const second = await startCollector()
    const countSecond = counterOf(second)
    cleanups.push(() => second.remove())
    const proxy = await startTcpProxy(collector.forwardPort)
    cleanups.push(() => proxy.close())
    const host = testHost()
    const servers = [proxy.port, second.forwardPort].map((port) => ({ host: LOCAL, port }))
    const sink = await open({ servers }, host)
    let first = 1
    const ship = async () => {
      const batch = packed(10, { first })
      first += 10
      // As the pipeline does; a connection that breaks under a batch leaves it in doubt.
      while ((await failureOf(sink.write(batch, delivery()))) !== undefined) await sleep(50)
      return batch
    }
    const batches = [await ship()]
    await proxy.refuse()
    for (let n = 0; n < 5; n++) batches.push(await ship())
    await until('all with the second', () => countSecond() === 50)
    await proxy.accept()
    await until('the first again', () => host.lines.some(({ text }) => text.endsWith('can be reached again')))
    for (let n = 0; n < 5; n++) batches.push(await ship())
    expect(countSecond()).toBe(50)
    const entries = [...(await arrived(60)), ...arrivedAt(second)]
    expect(entries.map(textOf).sort()).toEqual(wanted(...batches).sort())
  })

  it('F9: weights share the batches of one sink between two collectors', async () => {
    const second = await startCollector()
    const countSecond = counterOf(second)
    cleanups.push(() => second.remove())
    const servers = [
      { ...here(), weight: 30 },
      { host: LOCAL, port: second.forwardPort, weight: 10 },
    ]
    const sink = await open({ servers, mode: 'balance' })
    for (let n = 0; n < 20; n++)
      expect(await sink.write(packed(10, { first: 1 + 10 * n }), delivery())).toBe('delivered')
    await until('a quarter at the second', () => countSecond() === 50)
    expect(await arrived(150)).toHaveLength(150)
  })

  it('F10: through a proxy that ends TLS before the collector', async () => {
    const certificates = makeCertificates(tempDir())
    const proxy = createTlsServer(serverOptions(certificates), (socket) => {
      const onwards = connect(collector.forwardPort, LOCAL)
      socket.on('error', () => onwards.destroy())
      onwards.on('error', () => socket.destroy())
      socket.pipe(onwards).pipe(socket)
    })
    proxy.listen(0, LOCAL)
    await once(proxy, 'listening')
    cleanups.push(() => proxy.close())
    const { port } = proxy.address() as AddressInfo
    const sink = await open({ host: 'localhost', port, tls: { ca: certificates.ca } })
    const batch = packed(5000, { messageBytes: 300 })
    expect(await sink.write(batch, delivery())).toBe('delivered')
    expect((await arrived(5000)).map(textOf)).toEqual(wanted(batch))
  })

  it('says in a check that it can be reached, and stores nothing', async () => {
    expect(await sinkFor(here()).check(NEVER)).toEqual([
      { ok: true, text: `${LOCAL}:${collector.forwardPort} can be reached` },
    ])
    await sleep(200)
    expect(count()).toBe(stored)
  })
})

describeWith(['openssl'], 'the fluentd sink and the server of @fluent-org/logger', () => {
  let certificates: Certificates
  beforeAll(() => {
    certificates = makeCertificates(tempDir())
  })

  type Entry = readonly [tag: string, time: EventTime, record: Record<string, unknown>]

  async function start(
    options: ConstructorParameters<typeof FluentServer>[0] = {},
  ): Promise<{ port: number; entries: Entry[] }> {
    const server = new FluentServer({ listenOptions: { port: 0, host: LOCAL }, ...options })
    const entries: Entry[] = []
    server.on('entry', (...entry: Entry) => entries.push(entry))
    await server.listen()
    cleanups.push(() => server.close())
    return { port: server.port ?? 0, entries }
  }

  const security = { serverHostname: 'server', sharedKey: 'hush-key', authorize: false, userDict: {} }
  const withUsers = { ...security, authorize: true, userDict: { logferry: 'hush-word' } }
  const textOf = ([, { epoch, nano }, record]: Entry) =>
    `${record['__CURSOR']} ${BigInt(epoch) * 1_000_000_000n + BigInt(nano)} ${record['MESSAGE']}`

  it.each(['none', 'gzip'])('takes records as they are (compress: %s)', async (compress) => {
    const { port, entries } = await start()
    const sink = await open({ host: LOCAL, port, compress })
    const batch = packed(1000)
    expect(await sink.write(batch, delivery())).toBe('delivered')
    await until('all', () => entries.length === 1000)
    expect(entries.map(textOf)).toEqual(wanted(batch))
  })

  it('F4: the handshake with a key, and with a user', async () => {
    for (const [server, options] of [
      [security, {}],
      [withUsers, { user: 'logferry', password: 'hush-word' }],
    ] as const) {
      const { port, entries } = await start({ security: server })
      const sink = await open({ host: LOCAL, port, shared_key: 'hush-key', ...options })
      const batch = packed(10)
      expect(await sink.write(batch, delivery())).toBe('delivered')
      await until('all', () => entries.length === 10)
      expect(entries.map(textOf)).toEqual(wanted(batch))
      expect(await sink.check(NEVER)).toEqual([
        { ok: true, text: `${LOCAL}:${port} can be reached, and has the shared key` },
      ])
    }
  })

  it.each([
    ['a wrong key', security, { shared_key: 'other' }, /refuses the connection: shared key mismatch$/],
    [
      'a wrong password',
      withUsers,
      { shared_key: 'hush-key', user: 'logferry', password: 'other' },
      /refuses the connection: username\/password mismatch$/,
    ],
    [
      'an unknown user',
      withUsers,
      { shared_key: 'hush-key', user: 'nobody', password: 'hush-word' },
      /refuses the connection: username\/password mismatch$/,
    ],
    ['no user', withUsers, { shared_key: 'hush-key' }, /asks for a user: give `user` and `password`$/],
    [
      "the server's own name",
      security,
      { shared_key: 'hush-key', hostname: 'server' },
      /refuses the connection: Same hostname/,
    ],
  ])('F5: %s', async (_, server, options, text) => {
    const { port, entries } = await start({ security: server })
    const opened = sinkFor({ host: LOCAL, port, ...options }).open(NEVER)
    const message = await messageOf(opened)
    expect(message).toMatch(text)
    expect(message).not.toMatch(/hush/)
    expect(await failureOf(opened)).toBe('refused')
    expect(entries).toEqual([])
  })

  it('F5: no key given, none wanted', async () => {
    const locked = await start({ security })
    const sink = await open({ host: LOCAL, port: locked.port })
    const written = sink.write(packed(5), delivery())
    expect(await messageOf(written)).toMatch(/wants a shared key: give `shared_key`$/)
    expect(await failureOf(written)).toBe('refused')
    const free = await start()
    const opened = sinkFor({ host: LOCAL, port: free.port, shared_key: 'hush-key' }).open(NEVER)
    expect(await messageOf(opened)).toMatch(/it has no <security> section$/)
    expect(await failureOf(opened)).toBe('refused')
  })

  it('F10: TLS with an authority of its own, a client certificate, and the key on top', async () => {
    const tlsOptions = serverOptions(certificates, true)
    const { port, entries } = await start({ tlsOptions, security: withUsers })
    const { ca, client } = certificates
    const key = { shared_key: 'hush-key', user: 'logferry', password: 'hush-word' }
    const sink = await open({ host: LOCAL, port, tls: { ca, ...client }, ...key })
    const batch = packed(3000, { messageBytes: 300 })
    expect(await sink.write(batch, delivery())).toBe('delivered')
    await until('all', () => entries.length === 3000)
    expect(entries.map(textOf)).toEqual(wanted(batch))
    // Certificates may also stand in the configuration themselves.
    const inline = {
      ca: readFileSync(ca, 'utf8'),
      cert: readFileSync(client.cert, 'utf8'),
      key: readFileSync(client.key, 'utf8'),
    }
    await open({ host: LOCAL, port, tls: inline, ...key })
  })

  describe('F10: what cannot be trusted is refused', () => {
    it('an authority that did not sign the server', async () => {
      const { port, entries } = await start({ tlsOptions: serverOptions(certificates) })
      const opened = sinkFor({ host: LOCAL, port, tls: { ca: certificates.otherCa } }).open(NEVER)
      expect(await messageOf(opened)).toMatch(/cannot be trusted/)
      expect([await failureOf(opened), entries.length]).toEqual(['refused', 0])
      await open({ host: LOCAL, port, tls: { ca: certificates.otherCa, verify: false } })
    })

    it('a name that is not in the certificate', async () => {
      const { port } = await start({ tlsOptions: serverOptions(certificates) })
      const tls = { ca: certificates.ca, server_name: 'fluentd.example.net' }
      const opened = sinkFor({ host: LOCAL, port, tls }).open(NEVER)
      expect(await messageOf(opened)).toMatch(/cannot be trusted: .*altnames/)
      expect(await failureOf(opened)).toBe('refused')
    })

    it('no client certificate', async () => {
      const { port, entries } = await start({ tlsOptions: serverOptions(certificates, true) })
      const sink = sinkFor({ host: LOCAL, port, tls: { ca: certificates.ca } })
      cleanups.push(() => sink.close(NEVER))
      // The server says so only after the handshake, perhaps when data is on its way.
      const written = sink.write(packed(5), delivery())
      expect(await failureOf(written)).toBe('refused')
      expect(await messageOf(written)).toMatch(/certificate/)
      expect(entries).toEqual([])
    })

    it('a server without TLS, and TLS where none is given', async () => {
      const plain = await start()
      const opened = sinkFor({ host: LOCAL, port: plain.port, tls: { ca: certificates.ca } }).open(NEVER)
      expect(await failureOf(opened)).not.toBeUndefined()
      const secured = await start({ tlsOptions: serverOptions(certificates) })
      const sink = await open({ host: LOCAL, port: secured.port })
      expect(await failureOf(sink.write(packed(5), delivery()))).not.toBeUndefined()
      expect([plain.entries, secured.entries]).toEqual([[], []])
    })

    it('certificates that cannot be read', async () => {
      const opened = sinkFor({ host: LOCAL, port: 1, tls: { ca: '/nowhere/ca.pem' } }).open(NEVER)
      expect(await messageOf(opened)).toMatch(/cannot read the certificates: .*\/nowhere\/ca\.pem/)
      expect(await failureOf(opened)).toBe('refused')
    })
  })
})
