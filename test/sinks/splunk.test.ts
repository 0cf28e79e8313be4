// The sink against a HEC in this process, for what the real receiver cannot be made to show.

import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, describe, expect, it } from 'vitest'
import splunk, { SplunkSink } from '../../sinks/splunk.ts'
import type { PartialReceipt } from '../../src/sink.ts'
import { delivery, failureOf, makeBatch, testHost, testSink } from '../contract/sinkContract.ts'
import { FakeHec, type FakeHecOptions } from '../support/fakeHec.ts'
import { complaints, configOf, QUICK, quickSink } from './splunk/config.ts'

const NEVER = new AbortController().signal
const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function start(options: FakeHecOptions = {}, more: object = {}) {
  const hec = await new FakeHec(options).start()
  cleanups.push(() => hec.stop())
  const host = testHost()
  const sink = quickSink({ url: hec.url, token: hec.token, ack: options.useAck ?? true, ...more }, host)
  cleanups.push(() => sink.close())
  return { hec, host, sink }
}

async function messageOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'no error',
    (error: Error) => error.message,
  )
}

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

describe('H3: one bad event among many', () => {
  it('without acknowledgements: those before it are delivered, those behind it are sent again', async () => {
    const { hec, sink } = await start({ useAck: false })
    await sink.open(NEVER)
    const batch = makeBatch(10)
    hec.refuse = (_, event) => (event.equals(batch.entries[4]?.record ?? Buffer.alloc(0)) ? 15 : undefined)
    expect(await sink.write(batch, delivery())).toEqual({
      delivered: 4,
      retry: [5, 6, 7, 8, 9],
      rejected: [{ index: 4, code: 'invalid', reason: 'Error in handling indexed fields (code 15)' }],
    })
    expect(hec.events.length).toBe(4)
  })

  it('with them: nothing vouches for those before it', async () => {
    const { hec, sink } = await start()
    await sink.open(NEVER)
    hec.script.push({ status: 400, body: '{"text":"Event field cannot be blank","code":13,"invalid-event-number":2}' })
    const receipt = (await sink.write(makeBatch(4), delivery())) as PartialReceipt
    expect(receipt).toMatchObject({ delivered: 0, doubtful: [0, 1], retry: [3] })
    expect(receipt.rejected.map(({ index }) => index)).toEqual([2])
  })

  it.each([
    [{ server: 'Splunkd' }, 'auto', undefined],
    [{ server: 'nginx' }, 'auto', 'too-large'],
    [{ server: undefined }, 'auto', 'too-large'],
    [{ server: 'nginx' }, 'yes', undefined],
    [{ server: 'Splunkd' }, 'no', 'too-large'],
  ] as const)('of a server %j, compatible: %s, ends in %s', async (options, compatible, wanted) => {
    const { hec, sink } = await start({ useAck: false, ...options }, { compatible })
    await sink.open(NEVER)
    hec.script.push({ status: 400, body: '{"text":"x","code":15,"invalid-event-number":1}' })
    expect(await failureOf(sink.write(makeBatch(4), delivery()))).toBe(wanted)
  })

  it('the index of one entry: only that one', async () => {
    const { hec, sink } = await start({ useAck: false }, { index: '${_PID}' })
    await sink.open(NEVER)
    hec.script.push({ status: 400, body: '{"text":"Incorrect index","code":7,"invalid-event-number":3}' })
    const receipt = (await sink.write(makeBatch(5), delivery())) as PartialReceipt
    expect(receipt.rejected).toMatchObject([{ index: 2, code: 'index' }])
  })
})

describe('H4: what the server says', () => {
  it('of less (24, 25) is obeyed although the batch is delivered', async () => {
    const { hec, sink } = await start({ useAck: false })
    await sink.open(NEVER)
    hec.script.push({ status: 200, body: '{"text":"Queue is approaching capacity","code":24}' })
    const receipt = await sink.write(makeBatch(3), delivery())
    expect(receipt).toEqual({ delivered: 3, retry: [], rejected: [], retryAfterMs: 30_000 })
  })

  it('of being busy is a pause, longer with each time', async () => {
    const { hec, sink } = await start({ useAck: false })
    await sink.open(NEVER)
    const busy = { status: 503, body: '{"text":"Server is busy","code":9}' }
    const pauses: number[] = []
    for (let round = 0; round < 12; round++) {
      hec.script.push(busy)
      const error = await sink.write(makeBatch(1), delivery()).catch((caught: unknown) => caught)
      expect(error).toMatchObject({ failure: 'unavailable' })
      pauses.push((error as { retryAfterMs: number }).retryAfterMs)
    }
    expect(pauses[0]).toBeLessThanOrEqual(500)
    expect(Math.max(...pauses.slice(6))).toBeGreaterThan(1000)
    expect(Math.max(...pauses)).toBeLessThanOrEqual(10_000)
    expect(await sink.write(makeBatch(1), delivery())).toBe('delivered')
  })

  it('of a large body (6 for its first event, as Splunk Cloud; 413) asks for less, and less passes', async () => {
    const { hec, sink } = await start({ useAck: false })
    await sink.open(NEVER)
    hec.script.push({ status: 400, body: '{"text":"Invalid data format","code":6,"invalid-event-number":0}' })
    expect(await failureOf(sink.write(makeBatch(100), delivery()))).toBe('too-large')
    expect(await sink.write(makeBatch(50), delivery())).toBe('delivered')
    hec.maxContentLength = 20_000
    expect(await failureOf(sink.write(makeBatch(100), delivery()))).toBe('too-large')
    expect(await sink.write(makeBatch(10), delivery())).toBe('delivered')
  })

  it('of the index names it', async () => {
    const { hec, sink } = await start({ useAck: false }, { index: 'journal' })
    await sink.open(NEVER)
    hec.script.push({ status: 400, body: '{"text":"Incorrect index","code":7,"invalid-event-number":1}' })
    expect(await messageOf(sink.write(makeBatch(3), delivery()))).toMatch(/the index "journal" is not there/)
  })

  it.each([true, false])('of a wrong token holds the sink before anything is sent (ack: %s)', async (ack) => {
    const { hec, sink } = await start({ useAck: ack }, { token: 'another' })
    expect(await failureOf(sink.open(NEVER))).toBe('refused')
    expect(hec.counts.posts).toBe(0)
  })

  it('of its health before it takes anything', async () => {
    const { hec, sink } = await start()
    hec.health = { status: 503, body: '{"text":"HEC is unhealthy, queues are full","code":18}' }
    expect(await failureOf(sink.open(NEVER))).toBe('unavailable')
    hec.health = { status: 502, body: '<html>' }
    await sink.open(NEVER)
    hec.health = { status: 404, body: 'no such page' }
    await sink.open(NEVER)
    hec.health = { status: 400, body: '{"text":"Token disabled","code":22}' }
    expect(await failureOf(sink.open(NEVER))).toBe('refused')
  })

  it('of another address than the HEC', async () => {
    const { sink, hec } = await start({}, {})
    const wrong = quickSink({ url: `${hec.url}/elsewhere`, token: hec.token }, testHost())
    expect(await messageOf(wrong.open(NEVER))).toMatch(/look at `url`/)
    await sink.open(NEVER)
  })
})

describe('a request', () => {
  it('is compressed unless that is turned off', async () => {
    for (const [compress, gzip] of [
      ['gzip', 1],
      ['none', 0],
    ] as const) {
      const { hec, sink } = await start({ useAck: false }, { compress })
      await sink.open(NEVER)
      await sink.write(makeBatch(100), delivery())
      expect([hec.counts.gzip, hec.events.length]).toEqual([gzip, 100])
    }
  })

  it('is not larger than allowed, whatever the templates give; an event alone may be', async () => {
    const { hec, sink } = await start({ useAck: false }, { max_content_length: '10kB', source: '${MESSAGE}' })
    await sink.open(NEVER)
    expect(await failureOf(sink.write(makeBatch(12, { messageBytes: 2000 }), delivery()))).toBe('too-large')
    expect(hec.counts.posts).toBe(0)
    expect(await sink.write(makeBatch(1, { messageBytes: 20_000 }), delivery())).toBe('delivered')
  })

  it('with as many entries as the traits allow is not larger than allowed', () => {
    const { limits } = quickSink({ url: 'https://splunk:8088', token: 'x' }, testHost()).traits
    expect((limits.bytes ?? 0) + 400 * (limits.entries ?? 0)).toBeLessThanOrEqual(1_000_000)
    expect(limits).toEqual({ bytes: 720_000, entries: 700, entryBytes: 4_000_000 })
  })
})

describe('X2: 1 000 batches against a target that does not acknowledge', () => {
  it('hold no body while they wait', async () => {
    const { hec, sink } = await start()
    await sink.open(NEVER)
    hec.isStalled = true
    const batch = makeBatch(20, { messageBytes: 4000 })
    await failureOf(sink.write(batch, delivery(AbortSignal.timeout(50))))
    const before = await heldBytes()
    const stop = new AbortController()
    const outcomes: Promise<unknown>[] = []
    for (let n = 0; n < 1000; n++) {
      outcomes.push(failureOf(sink.write(batch, delivery(stop.signal))))
      if (n % 20 === 19) await sleep(5)
    }
    while (hec.counts.posts < 1001) await sleep(10)
    hec.events.length = 0
    await sleep(50)
    // 80 MB were sent.
    expect((await heldBytes()) - before).toBeLessThan(8e6)
    stop.abort()
    expect(new Set(await Promise.all(outcomes))).toEqual(new Set(['in-doubt']))
  })
})

describe('X3: the token', () => {
  it('is in no error, log line or check, also where the server repeats it', async () => {
    const { hec, sink, host } = await start()
    const shown: unknown[] = [host.lines]
    await sink.open(NEVER)
    for (const code of [3, 4, 5, 7, 8, 9, 99]) {
      hec.script.push({ status: 400, body: JSON.stringify({ text: `bad ${hec.token}!`, code }) })
      const error = (await sink.write(makeBatch(2), delivery()).catch((caught: unknown) => caught)) as Error
      shown.push(error.message, error.stack, String(error.cause), JSON.stringify(error))
    }
    hec.script.push('reset')
    const error = (await sink.write(makeBatch(2), delivery()).catch((caught: unknown) => caught)) as Error
    shown.push(error.message, error.stack, error.cause)
    shown.push(await sink.check(NEVER))
    hec.health = { status: 503, body: JSON.stringify({ text: hec.token, code: 18 }) }
    shown.push(await sink.check(NEVER))
    expect(JSON.stringify(shown)).not.toContain(hec.token)
    expect(JSON.stringify(shown)).toContain('bad ***!')
  })
})

describe('check', () => {
  it('says that a server takes the token, and stores nothing', async () => {
    const { hec, sink } = await start()
    expect(await sink.check(NEVER)).toEqual([
      { ok: true, text: `127.0.0.1:${hec.port} takes the token, and acknowledges` },
    ])
    expect(hec.events).toEqual([])
    for (let round = 0; round < 100 && hec.sockets > 0; round++) await sleep(10)
    expect(hec.sockets).toBe(0)
  })

  it('says what to do when it does not', async () => {
    const { sink, hec } = await start({ useAck: false }, { ack: true })
    const [line] = await sink.check(NEVER)
    expect(line).toMatchObject({ ok: false, text: expect.stringContaining('ACK is disabled (code 14)') })
    expect(line?.hint).toMatch(/useACK is off/)
    await hec.stop()
    expect(await sink.check(NEVER)).toMatchObject([{ ok: false, text: expect.stringContaining('cannot reach') }])
  })
})

describe('the configuration', () => {
  const GOOD = { url: 'https://splunk:8088', token: 'x' }

  it.each([
    [{}],
    [{ url: 'https://splunk:8088/' }],
    [{ url: undefined, urls: ['https://a:8088', 'https://b:8088'] }],
    [{ index: 'journal-${_HOSTNAME}', indexed: { unit: '${_SYSTEMD_UNIT}' } }],
  ])('%j is fine', (more) => {
    expect(complaints({ ...GOOD, ...more })).toEqual([])
  })

  it('takes an address with the path of the collector', () => {
    for (const path of ['', '/', '/services/collector', '/services/collector/event', '/services/collector/event/1.0'])
      expect(configOf({ ...GOOD, url: `https://splunk:8088${path}` }).url).toBe('https://splunk:8088')
    expect(configOf({ ...GOOD, url: 'https://proxy/splunk/services/collector' }).url).toBe('https://proxy/splunk')
  })

  it.each([
    [{ url: undefined }, /expected `url`, or `urls`/],
    [{ urls: ['https://a'] }, /either `url` or `urls`/],
    [{ url: undefined, urls: ['https://a', 'https://a'] }, /twice/],
    [{ url: 'splunk:8088' }, /expected the address of a HEC/],
    [{ url: 'https://user:pass@splunk' }, /no user or password/],
    [{ url: 'http://splunk', tls: {} }, /has no TLS/],
    [{ token: 'two words' }, /without spaces/],
    [{ indexed: { _unit: 'x' } }, /beginning with a letter/],
    [{ indexed: { journald_key: 'x' } }, /already/],
    [{ source: '${unit}' }, /is no template/],
    [{ max_content_length: '1kB' }, /at least 10kB/],
    [{ compress: 'zstd' }, /compress/],
  ])('%j is a mistake', (more, message) => {
    expect(complaints({ ...GOOD, ...more }).join('\n')).toMatch(message)
  })
})

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Memory in use; what is outside the heap goes some time after its owner. */
async function heldBytes(): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let round = 0; round < 5; round++) {
    collect()
    await sleep(10)
    const { heapUsed, external } = process.memoryUsage()
    least = Math.min(least, heapUsed + external)
  }
  return least
}
