// The rows H and X of the splunk sink that a real receiver can show: the OpenTelemetry collector. It checks no token, wants no channel,
// and acknowledges what it has handed on; the rest is shown against a HEC in the test's own process (test/sinks/splunk).
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { createServer as createTlsServer } from 'node:tls'
import { gzipSync } from 'node:zlib'
import { Logger } from 'splunk-logging'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { ACK_TIMING, type AckTiming } from '../../../sinks/splunk/acks.ts'
import { readAnswer } from '../../../sinks/splunk/answer.ts'
import { Hec } from '../../../sinks/splunk/hec.ts'
import { Server } from '../../../sinks/splunk/server.ts'
import { SplunkSink } from '../../../sinks/splunk.ts'
import type { Batch } from '../../../src/sink.ts'
import { delivery, failureOf, makeBatch, type TestHost, testHost } from '../../contract/sinkContract.ts'
import { configOf, QUICK } from '../../sinks/splunk/config.ts'
import { makeCertificates, serverOptions } from '../../support/certificates.ts'
import { describeWith } from '../../support/needs.ts'
import { until } from '../../support/program.ts'
import { type Collector, startCollector } from '../../support/services.ts'
import { startTcpProxy } from '../../support/tcpProxy.ts'
import { tempDir } from '../../support/tempDir.ts'
import { counterOf } from './fluentdKit.ts'
import { type ArrivedEvent, eventsAt } from './splunkKit.ts'

const NEVER = new AbortController().signal
const LOCAL = '127.0.0.1'

const cleanups: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function sinkFor(options: object, timing: Partial<AckTiming> = QUICK, host: TestHost = testHost()): SplunkSink {
  return new SplunkSink(configOf({ token: 'hush-token', ...options }), host, timing)
}

async function open(options: object, timing?: Partial<AckTiming>, host?: TestHost): Promise<SplunkSink> {
  const sink = sinkFor(options, timing, host)
  cleanups.push(() => sink.close())
  await sink.open(NEVER)
  return sink
}

/** What must arrive of batches: cursor, key, time in nanoseconds, and the message of each entry. */
function wanted(...batches: Batch[]): string[] {
  return batches.flatMap(({ entries }) =>
    entries.map((entry) => `${entry.cursor} ${entry.key} ${entry.realtime}000 ${entry.get('MESSAGE')}`),
  )
}

function textOf({ cursor, key, ns, message, fields }: ArrivedEvent): string {
  return `${cursor} ${key} ${ns} ${message ?? Buffer.from(fields.get('MESSAGE')?.[0] ?? '', 'latin1').toString()}`
}

describeWith(['go'], 'the splunk sink and an OpenTelemetry collector', () => {
  let collector: Collector
  let count: () => number
  let stored = 0
  beforeAll(async () => {
    collector = await startCollector()
    count = counterOf(collector, 'hec')
  })
  afterAll(() => collector.remove())

  const here = () => ({ url: `http://${LOCAL}:${collector.port}` })

  /** What came since the last look, once there are so many. */
  async function arrived(entries: number): Promise<ArrivedEvent[]> {
    await until(`${entries} entries`, () => count() >= stored + entries)
    const all = eventsAt(collector)
    const fresh = all.slice(stored)
    stored = all.length
    return fresh
  }

  it.each([
    ['gzip', 'record'],
    ['none', 'record'],
    ['gzip', 'message'],
  ])('H1: events arrive with their microseconds (compress: %s, event: %s)', async (compress, event) => {
    const sink = await open({ ...here(), compress, event })
    const batches = [makeBatch(1), makeBatch(700, { first: 2, messageBytes: 300 })]
    for (const batch of batches) expect(await sink.write(batch, delivery())).toBe('delivered')
    const events = await arrived(701)
    expect(events.map(textOf)).toEqual(wanted(...batches))
    expect(events.every(({ message }) => (message === undefined) === (event === 'record'))).toBe(true)
  })

  it('H1: host, source, sourcetype, index and further indexed fields by templates', async () => {
    const sink = await open({
      ...here(),
      host: 'h-${_HOSTNAME}',
      source: '${SYSLOG_IDENTIFIER}:${PRIORITY}',
      sourcetype: 'st',
      index: 'journal-${PRIORITY}',
      indexed: { pid: '${_PID}', fixed: 'x "y"' },
    })
    const batch = makeBatch(100)
    await sink.write(batch, delivery())
    const events = await arrived(100)
    // The collector sorts the events of a request by their origin.
    const byCursor = new Map(events.map((one) => [one.cursor, one]))
    for (const entry of batch.entries) {
      const priority = entry.get('PRIORITY')
      expect(byCursor.get(entry.cursor)).toMatchObject({
        host: 'h-node-1',
        source: `made-up:${priority}`,
        sourcetype: 'st',
        index: `journal-${priority}`,
      })
    }
    const records = collector.records('hec').slice(-100)
    expect(JSON.stringify(records[0]?.record['attributes'])).toContain(
      '{"key":"fixed","value":{"stringValue":"x \\"y\\""}}',
    )
  })

  it('H1: over TLS, and never to a server that cannot be trusted', async () => {
    const certificates = makeCertificates(tempDir())
    const proxy = createTlsServer(serverOptions(certificates), (socket) => {
      const onwards = connect(collector.port, LOCAL)
      socket.on('error', () => onwards.destroy())
      onwards.on('error', () => socket.destroy())
      socket.pipe(onwards).pipe(socket)
    })
    proxy.on('tlsClientError', () => undefined)
    proxy.listen(0, LOCAL)
    await once(proxy, 'listening')
    cleanups.push(() => proxy.close())
    const url = `https://localhost:${(proxy.address() as AddressInfo).port}`
    const sink = await open({ url, tls: { ca: certificates.ca } })
    const batch = makeBatch(500)
    expect(await sink.write(batch, delivery())).toBe('delivered')
    expect((await arrived(500)).map(textOf)).toEqual(wanted(batch))
    for (const tls of [{ ca: certificates.otherCa }, {}]) {
      const opened = sinkFor({ url, tls }).open(NEVER)
      expect(await failureOf(opened)).toBe('refused')
      await expect(opened).rejects.toThrow(/cannot be trusted/)
    }
  })

  it('H3: the collector stores nothing of a body with a bad event, and the sink knows that', async () => {
    const config = configOf({ ...here(), token: 'x', ack: false })
    const hec = await Hec.make(config)
    cleanups.push(() => hec.close())
    const server = new Server(hec, here().url, config, { ...ACK_TIMING, timeoutMs: 1000 })
    await server.probe(NEVER)
    const good = '{"time":1790000000.000001,"event":"a"}'
    const send = (...events: string[]) => {
      const bytes = gzipSync(events.join(''))
      const body = { bytes, isGzip: true, size: 100, entries: events.length, onRead: () => undefined }
      return server.send(body, delivery())
    }
    for (const bad of ['{"event":"b","fields":{"x":{"y":1}}}', '{"event":""}', '{"fields":{"x":"y"}}', '{"event":']) {
      // It gives the number of the event for one of these, so that Splunk's rule would lose the first.
      expect(await failureOf(send(good, bad, good))).toBe('too-large')
      expect(await send(bad)).toMatchObject({ delivered: 0, rejected: [{ index: 0, code: 'invalid' }] })
    }
    expect(await send(good, good)).toBe('delivered')
    const events = await arrived(2)
    expect(events.map(({ message }) => message)).toEqual(['a', 'a'])
  })

  it('H5: 32 batches at once are all acknowledged, each by its own number', async () => {
    const sink = await open(here(), { ...QUICK, firstMs: 100 })
    const batches = Array.from({ length: 32 }, (_, n) => makeBatch(50, { first: 1 + 50 * n }))
    let sent = 0
    const receipts = await Promise.all(
      batches.map((batch) =>
        sink.write(batch, {
          signal: NEVER,
          sent: () => {
            sent++
          },
        }),
      ),
    )
    expect([new Set(receipts), sent]).toEqual([new Set(['delivered']), 32])
    expect((await arrived(1600)).map(textOf).sort()).toEqual(wanted(...batches).sort())
  })

  it('H5: nothing is asked for 30 s while nothing is open', async () => {
    const proxy = await startTcpProxy(collector.port)
    cleanups.push(() => proxy.close())
    const sink = await open({ url: `http://${LOCAL}:${proxy.port}` }, {})
    await sink.write(makeBatch(10), delivery())
    await arrived(10)
    const { request } = proxy.passed
    await sleep(30_000)
    expect(proxy.passed.request).toBe(request)
    expect(await sink.write(makeBatch(10), delivery())).toBe('delivered')
    await arrived(10)
  })

  it('H6: an acknowledgement that is lost on its way leaves the batch in doubt; sent again, it is told by its cursors', async () => {
    const proxy = await startTcpProxy(collector.port)
    cleanups.push(() => proxy.close())
    const sink = await open({ url: `http://${LOCAL}:${proxy.port}` }, { ...QUICK, firstMs: 300 })
    const batch = makeBatch(20)
    let lost: Promise<void> | undefined
    const sent = () => {
      lost = proxy.dropNextReply()
    }
    expect(await failureOf(sink.write(batch, { signal: NEVER, sent }))).toBe('in-doubt')
    await lost
    expect(await sink.write(batch, delivery())).toBe('delivered')
    const events = await arrived(40)
    expect(events.map(textOf).sort()).toEqual([...wanted(batch), ...wanted(batch)].sort())
    expect(new Set(events.map(({ cursor }) => cursor)).size).toBe(20)
  })

  it('H8: a restart of the receiver acknowledges nothing of before; everything is there in the end', async () => {
    const receiver = await startCollector()
    cleanups.push(() => receiver.remove())
    const sink = await open({ url: `http://${LOCAL}:${receiver.port}` }, { ...QUICK, firstMs: 500 })
    for (let n = 0; n < 5; n++) await sink.write(makeBatch(10, { first: 1 + 10 * n }), delivery())
    let sent = 0
    const waiting = Array.from({ length: 3 }, (_, n) =>
      failureOf(
        sink.write(makeBatch(10, { first: 51 + 10 * n }), {
          signal: NEVER,
          sent: () => {
            sent++
          },
        }),
      ),
    )
    await until('three batches that wait', () => sent === 3)
    await receiver.stop('SIGKILL')
    await receiver.start()
    // Their numbers are given to these: the first of a new count, and never one that is waited for.
    const again = Array.from({ length: 3 }, (_, n) =>
      failureOf(sink.write(makeBatch(10, { first: 81 + 10 * n }), delivery())),
    )
    expect(await Promise.all(waiting)).toEqual(['in-doubt', 'in-doubt', 'in-doubt'])
    await Promise.all(again)
    const late = Array.from({ length: 6 }, (_, n) => makeBatch(10, { first: 51 + 10 * n }))
    for (const batch of late) expect(await sink.write(batch, delivery())).toBe('delivered')
    // The collector empties its file when it starts.
    const cursors = () => new Set(eventsAt(receiver).map(({ cursor }) => cursor))
    await until('all', () => cursors().size === 60)
    expect([...cursors()].sort()).toEqual(late.flatMap(({ entries }) => entries.map(({ cursor }) => cursor)).sort())
  })

  it('H9: the collector refuses a channel that is no GUID, and the sink would be held', async () => {
    const response = await fetch(`${here().url}/services/collector/event`, {
      method: 'POST',
      headers: { 'X-Splunk-Request-Channel': 'no-guid' },
      body: '{"event":"x"}',
    })
    const { status } = response
    const body = Buffer.from(await response.arrayBuffer())
    const asked = {
      entries: 1,
      bytes: 13,
      takenBytes: 0,
      ack: true,
      keepsPrefix: false,
      index: { kind: 'token' },
    } as const
    const reading = readAnswer({ status, headers: {}, body, url: here().url }, asked)
    expect(reading.kind === 'failed' && reading.error.message).toMatch(/Invalid data channel \(code 11\)/)
    expect(reading.kind === 'failed' && reading.error.failure).toBe('refused')
  })

  it('X1: a write to a receiver that hangs ends at once when it is called off, and leaves no socket', async () => {
    // Idle connections keep nothing alive and are not among these.
    const sockets = () => process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length
    const sink = await open({ ...here(), max_content_length: '20MB' })
    await sink.write(makeBatch(10), delivery())
    await arrived(10)
    const before = sockets()
    collector.freeze()
    cleanups.push(() => collector.thaw())
    await sleep(300)
    const stop = new AbortController()
    const large = makeBatch(20, { first: 11, messageBytes: 500_000, fields: (n) => ({ NOISE: noise(n) }) })
    const outcome = failureOf(sink.write(large, delivery(stop.signal)))
    await sleep(300)
    expect(sockets()).toBeGreaterThan(before)
    const began = performance.now()
    stop.abort()
    expect(await outcome).toBe('in-doubt')
    expect(performance.now() - began).toBeLessThan(1000)
    await until('the end of the socket', () => sockets() <= before)
    collector.thaw()
    expect(await sink.write(makeBatch(5, { first: 100 }), delivery())).toBe('delivered')
    await sink.close()
    expect(sockets()).toBeLessThanOrEqual(before)
    for (let last = -1; last !== count(); await sleep(500)) last = count()
    stored = count()
  })

  it('says in a check that the token is taken, and stores nothing', async () => {
    for (const ack of [true, false]) {
      const [line] = await sinkFor({ ...here(), ack }).check(NEVER)
      expect(line).toMatchObject({
        ok: true,
        text: expect.stringContaining(`${LOCAL}:${collector.port} takes the token`),
      })
    }
    await sleep(300)
    expect(count()).toBe(stored)
  })

  it('X3: the token is in no log line and no error', async () => {
    const host = testHost()
    const sink = await open(here(), QUICK, host)
    await sink.write(makeBatch(3), delivery())
    await arrived(3)
    const errors = await Promise.all(
      [{ url: `http://${LOCAL}:1` }, { url: `${here().url}/elsewhere` }].map((options) =>
        sinkFor(options)
          .open(NEVER)
          .catch((error: unknown) => error),
      ),
    )
    const shown = [
      ...errors.flatMap((error) => [String(error), String((error as Error).cause)]),
      JSON.stringify(host.lines),
    ]
    expect(shown.join('\n')).not.toContain('hush')
  })

  it('makes of an event what the client of Splunk makes of it', async () => {
    const sink = await open({ ...here(), host: 'node-1', source: 'src', sourcetype: 'st', index: 'ix' })
    const batch = makeBatch(1, { fields: () => ({ MESSAGE: 'ü "x" \\ \n\t €😀' }) })
    await sink.write(batch, delivery())
    const [entry] = batch.entries
    const logger = new Logger({ url: here().url, token: 'hush-token', maxBatchCount: 1 })
    const sent = new Promise<void>((resolve, reject) => {
      logger.error = (error: Error) => reject(error)
      logger.send(
        {
          message: JSON.parse(Buffer.from(entry!.record).toString()),
          metadata: { time: entry!.realtime / 1e6, host: 'node-1', source: 'src', sourcetype: 'st', index: 'ix' },
        },
        (error) => (error == null ? resolve() : reject(error)),
      )
    })
    await sent
    const [ours, theirs] = await arrived(2)
    // It wraps what it is given into an object of its own, and cuts times to milliseconds.
    const { host, source, sourcetype, index } = ours as ArrivedEvent
    expect(theirs).toMatchObject({ host, source, sourcetype, index })
    const body = (n: number) => collector.records('hec').at(n)?.record['body'] as { kvlistValue: { values: Member[] } }
    const message = body(-1).kvlistValue.values.find(({ key }) => key === 'message')
    expect(message?.value).toEqual(body(-2))
    expect(theirs?.ns.slice(0, -6)).toBe(ours?.ns.slice(0, -6))
  })
})

interface Member {
  readonly key: string
  readonly value: unknown
}

/** What gzip cannot make small. */
function noise(seed: number): string {
  let state = seed
  let text = ''
  while (text.length < 200_000) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    text += state.toString(36)
  }
  return text
}
