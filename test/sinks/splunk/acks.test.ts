// Acknowledgements against a HEC in this process, whose indexers restart, stand behind balancers, and lose answers.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { ACK_TIMING, AckLine, type AckTiming } from '../../../sinks/splunk/acks.ts'
import { type Batch, type Delivery, type Receipt, SinkError } from '../../../src/sink.ts'
import { delivery, failureOf, makeBatch, testHost } from '../../contract/sinkContract.ts'
import { FakeHec, type FakeHecOptions } from '../../support/fakeHec.ts'
import { startTcpProxy } from '../../support/tcpProxy.ts'
import { QUICK, quickSink } from './config.ts'

const NEVER = new AbortController().signal
const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function start(
  options: FakeHecOptions = {},
  timing: Partial<AckTiming> = {},
  url?: (hec: FakeHec) => Promise<string>,
) {
  const hec = await new FakeHec(options).start()
  cleanups.push(() => hec.stop())
  const host = testHost()
  const sink = quickSink({ url: url === undefined ? hec.url : await url(hec), token: hec.token }, host, timing)
  cleanups.push(() => sink.close())
  await sink.open(NEVER)
  // The question that came with the opening.
  hec.asked.length = 0
  return { hec, sink, host }
}

/** A write whose outcome can be looked at: undefined as long as there is none. */
function watch(write: Promise<Receipt>): { outcome: string | undefined; ended: Promise<void> } {
  const watched: { outcome: string | undefined; ended: Promise<void> } = {
    outcome: undefined,
    ended: Promise.resolve(),
  }
  watched.ended = write.then(
    (receipt) => {
      watched.outcome = typeof receipt === 'string' ? receipt : 'partial'
    },
    (error: unknown) => {
      watched.outcome = error instanceof SinkError ? error.failure : String(error)
    },
  )
  return watched
}

function batches(count: number): Batch[] {
  return Array.from({ length: count }, (_, n) => makeBatch(2, { first: 1 + 2 * n }))
}

async function until(check: () => boolean): Promise<void> {
  const end = Date.now() + 5000
  while (!check()) {
    if (Date.now() > end) throw new Error('waited in vain')
    await sleep(2)
  }
}

async function messageOf(write: Promise<unknown>): Promise<string> {
  return write.then(
    () => 'no error',
    (error: Error) => error.message,
  )
}

describe('H5: an acknowledgement', () => {
  it('settles the write, and not before', async () => {
    const { hec, sink } = await start({ ackMs: 80 })
    let wasSent = false
    const sent = () => {
      wasSent = true
    }
    const watched = watch(sink.write(makeBatch(3), { signal: NEVER, sent }))
    await until(() => hec.events.length === 3)
    await sleep(30)
    expect([wasSent, watched.outcome]).toEqual([true, undefined])
    await watched.ended
    expect(watched.outcome).toBe('delivered')
  })

  it('that never comes leaves the batch in doubt at the deadline', async () => {
    const { hec, sink } = await start({}, { timeoutMs: 150 })
    hec.isStalled = true
    const begun = performance.now()
    expect(await failureOf(sink.write(makeBatch(3), delivery()))).toBe('in-doubt')
    expect(performance.now() - begun).toBeGreaterThan(140)
    expect(performance.now() - begun).toBeLessThan(1000)
  })

  it('is asked for less and less often while there is none, and at once again when one came', async () => {
    const { hec, sink } = await start({}, { firstMs: 20, mostMs: 80 })
    hec.isStalled = true
    const [first, second] = batches(2).map((batch) => watch(sink.write(batch, delivery())))
    await sleep(600)
    // 20, 30, 45, 67, 80, 80 …
    expect(hec.asked.length).toBeGreaterThanOrEqual(4)
    expect(hec.asked.length).toBeLessThanOrEqual(11)
    hec.isStalled = false
    await Promise.all([first?.ended, second?.ended])
  })

  it('is not asked for while nothing waits', async () => {
    const { hec, sink } = await start()
    await sink.write(makeBatch(1), delivery())
    const { polls } = hec.counts
    await sleep(200)
    expect(hec.counts.polls).toBe(polls)
  })

  it('is asked for in one question for all batches, at most 1 000 numbers each', async () => {
    const { hec, sink } = await start({}, { firstMs: 60_000 })
    let waiting = 0
    const sent = () => {
      waiting++
    }
    const writes = Array.from({ length: 1005 }, (_, n) =>
      sink.write(makeBatch(1, { first: n + 1 }), { signal: NEVER, sent }),
    )
    await until(() => waiting === 1005)
    await sink.flush()
    await Promise.all(writes)
    expect(hec.asked.slice(0, 2).map((ids) => ids.length)).toEqual([1000, 5])
  })

  it('is asked for at once by flush', async () => {
    const { sink } = await start({}, { firstMs: 60_000 })
    const watched = watch(sink.write(makeBatch(1), delivery()))
    await sleep(50)
    expect(watched.outcome).toBeUndefined()
    await sink.flush()
    await watched.ended
    expect(watched.outcome).toBe('delivered')
  })

  it('is no longer waited for when the write is called off', async () => {
    const { hec, sink } = await start()
    hec.isStalled = true
    const stop = new AbortController()
    const outcome = failureOf(sink.write(makeBatch(1), delivery(stop.signal)))
    await until(() => hec.asked.length > 0)
    stop.abort()
    expect(await outcome).toBe('in-doubt')
    const { polls } = hec.counts
    await sleep(150)
    expect(hec.counts.polls).toBeLessThanOrEqual(polls + 1)
  })

  it('of batches that overlap goes to the right one', async () => {
    const { hec, sink } = await start({ postMs: 5, ackMs: 20 })
    const writes = batches(20).map((batch) => sink.write(batch, delivery()))
    expect(new Set(await Promise.all(writes))).toEqual(new Set(['delivered']))
    expect(hec.events.length).toBe(40)
  })
})

describe('a sink that waits in vain', () => {
  it('is held when three batches in a row were never acknowledged', async () => {
    const { hec, sink } = await start({}, { timeoutMs: 60 })
    hec.isStalled = true
    const outcomes: (string | undefined)[] = []
    for (const batch of batches(4)) outcomes.push(await failureOf(sink.write(batch, delivery())))
    expect(outcomes).toEqual(['in-doubt', 'in-doubt', 'refused', 'refused'])
    expect(await messageOf(sink.write(makeBatch(1), delivery()))).toMatch(
      /acknowledgements never arrive: is it a load balancer/,
    )
    hec.isStalled = false
    expect(await sink.write(makeBatch(1), delivery())).toBe('delivered')
    hec.isStalled = true
    expect(await failureOf(sink.write(makeBatch(1), delivery()))).toBe('in-doubt')
  })

  it('is refused where acknowledgements are off, before anything is sent', async () => {
    const hec = await new FakeHec({ useAck: false }).start()
    cleanups.push(() => hec.stop())
    const sink = quickSink({ url: hec.url, token: hec.token }, testHost())
    expect(await messageOf(sink.open(NEVER))).toMatch(
      /ACK is disabled \(code 14\); useACK is off for this token: .*`ack: false`/,
    )
    expect(hec.events).toEqual([])
  })

  it('is refused when there is no number, or the question is refused', async () => {
    const { hec, sink } = await start()
    hec.script.push({ status: 200, body: '{"text":"Success","code":0}' })
    expect(await messageOf(sink.write(makeBatch(1), delivery()))).toMatch(/gave no number to ask for; .*`ack: false`/)
    hec.pollScript.push({ status: 400, body: '{"text":"ACK is disabled","code":14}' })
    expect(await messageOf(sink.write(makeBatch(1), delivery()))).toMatch(/ACK is disabled \(code 14\)/)
    expect(await sink.write(makeBatch(1), delivery())).toBe('delivered')
  })

  it('is in doubt when asking itself goes wrong, and the program lives on', async () => {
    const line = new AckLine('splunk.example:8088', { ...ACK_TIMING, ...QUICK, timeoutMs: 1000 }, () => {
      throw new TypeError('a bug')
    })
    const post = line.begin()
    const taken = line.taken(post, 0, undefined, NEVER)
    expect(await failureOf(taken)).toBe('in-doubt')
    expect(await messageOf(taken)).toMatch(/a bug/)
    line.close()
  })

  it('gives up a question that is not answered, and asks again', async () => {
    const { hec, sink } = await start({}, { askMs: 80 })
    hec.pollScript.push('hang')
    const begun = performance.now()
    // What the lost answer said is gone; the next batch is asked for all the same.
    const stop = new AbortController()
    const first = failureOf(sink.write(makeBatch(1), delivery(stop.signal)))
    await until(() => hec.pollScript.length === 0)
    expect(await sink.write(makeBatch(1, { first: 2 }), delivery())).toBe('delivered')
    expect(performance.now() - begun).toBeLessThan(2000)
    stop.abort()
    expect(await first).toBe('in-doubt')
  })

  it('goes on asking when a question is not answered for the time being', async () => {
    const { hec, sink } = await start()
    hec.isStalled = true
    const watched = watch(sink.write(makeBatch(1), delivery()))
    const busy = { status: 503, body: '{"text":"Server is busy","code":9}' }
    hec.pollScript.push(busy, busy, { status: 502, body: '<html>' }, { status: 200, body: 'gone' })
    await until(() => hec.pollScript.length === 0)
    hec.isStalled = false
    await watched.ended
    expect(watched.outcome).toBe('delivered')
  })
})

describe('H6: the answer to a question is lost', () => {
  it('and with it the acknowledgement: in doubt soon, not delivered', async () => {
    const { hec, sink } = await start()
    hec.pollScript.push('reset')
    const begun = performance.now()
    expect(await failureOf(sink.write(makeBatch(2), delivery()))).toBe('in-doubt')
    expect(performance.now() - begun).toBeLessThan(1000)
    expect(hec.asked.length).toBeGreaterThan(1)
    expect(await sink.write(makeBatch(2), delivery())).toBe('delivered')
    expect(hec.events.length).toBe(4)
  })
})

describe('H7: two indexers behind a balancer', () => {
  it('with a cookie: every batch is acknowledged, at one place', async () => {
    const { hec, sink } = await start({ indexers: 2, isSticky: true, ackMs: 10 })
    for (const batch of batches(10)) expect(await sink.write(batch, delivery())).toBe('delivered')
    expect(new Set(hec.events.map(({ indexer }) => indexer)).size).toBe(1)
    expect(hec.channels.size).toBe(1)
  })

  it('with a cookie: a channel stays where its numbers are, and a new one begins where the balancer leads now', async () => {
    const { hec, sink } = await start({ indexers: 2, isSticky: true })
    hec.isStalled = true
    const first = watch(sink.write(makeBatch(1), delivery()))
    await until(() => hec.asked.length > 0)
    const place = hec.events[0]?.indexer ?? 0
    hec.script.push({
      status: 200,
      body: '{"text":"Success","code":0,"ackId":0}',
      headers: { 'set-cookie': `place=${1 - place}` },
    })
    let isMoved = false
    const sent = () => {
      isMoved = true
    }
    const moved = watch(sink.write(makeBatch(1, { first: 2 }), { signal: NEVER, sent }))
    await until(() => isMoved)
    const third = watch(sink.write(makeBatch(1, { first: 3 }), delivery()))
    await until(() => hec.events.length === 2)
    expect(hec.events[1]?.indexer).toBe(1 - place)
    expect(hec.events[1]?.channel).not.toBe(hec.events[0]?.channel)
    hec.isStalled = false
    await Promise.all([first.ended, third.ended])
    expect([first.outcome, third.outcome, moved.outcome]).toEqual(['delivered', 'delivered', undefined])
  })

  it('without one: the sink is held, and nothing is called delivered that was not', async () => {
    // Questions in turn with requests: each goes where its number is not known.
    const { hec, sink } = await start({ indexers: 2, ackMs: 5 }, { timeoutMs: 100 })
    const outcomes: (string | undefined)[] = []
    const writes = batches(12).map(async (batch) => outcomes.push(await failureOf(sink.write(batch, delivery()))))
    await Promise.all(writes)
    for (const batch of batches(6)) outcomes.push(await failureOf(sink.write(batch, delivery())))
    expect(outcomes).toContain('refused')
    expect(hec.events.length).toBeGreaterThan(0)
  })

  it('without one: says why it is held', async () => {
    const { hec, sink } = await start({}, { firstMs: 1000 })
    const messages: string[] = []
    for (let n = 0; n < 4; n++) {
      const early = messageOf(sink.write(makeBatch(1), delivery()))
      await until(() => hec.events.length === 2 * n + 1)
      await sleep(20)
      // The next request comes to an indexer that counts for itself.
      hec.forget()
      messages.push(await messageOf(sink.write(makeBatch(1), delivery())))
      expect(await early).toMatch(/its numbers began again/)
    }
    expect(messages[0]).toMatch(/its numbers began again/)
    expect(messages[2]).toMatch(/come from several indexers; a load balancer must keep/)
    expect(messages[3]).toMatch(/come from several indexers/)
  })
})

describe('H8: an indexer that restarts', () => {
  it('acknowledges nothing of before: what waits is in doubt as soon as its numbers begin again', async () => {
    const { hec, sink } = await start({}, { firstMs: 100 })
    hec.isStalled = true
    const early = batches(3).map((batch) => watch(sink.write(batch, delivery())))
    await until(() => hec.events.length === 6)
    await sleep(20)
    hec.forget()
    hec.isStalled = false
    const late = watch(sink.write(makeBatch(2, { first: 7 }), delivery()))
    await Promise.all([...early, late].map(({ ended }) => ended))
    expect(early.map(({ outcome }) => outcome)).toEqual(['in-doubt', 'in-doubt', 'in-doubt'])
    // Its number is one that somebody else might have got.
    expect(late.outcome).toBe('in-doubt')
    expect(await sink.write(makeBatch(2, { first: 7 }), delivery())).toBe('delivered')
    expect(hec.channels.size).toBe(2)
  })

  it('never has a batch confirmed by the number of a request that is under way', async () => {
    const { hec, sink } = await start({ postMs: 150 }, { firstMs: 30, mostMs: 30 })
    hec.isStalled = true
    const early = watch(sink.write(makeBatch(1), delivery()))
    await until(() => hec.asked.length > 0)
    hec.forget()
    hec.isStalled = false
    // The question is answered while the new request, which has the same number, is not yet.
    const late = watch(sink.write(makeBatch(1, { first: 2 }), delivery()))
    await Promise.all([early.ended, late.ended])
    expect([early.outcome, late.outcome]).toEqual(['in-doubt', 'in-doubt'])
  })

  it('is noticed by the lost connection, and shipping goes on over a new channel', async () => {
    const { hec, sink } = await start()
    hec.isStalled = true
    const early = watch(sink.write(makeBatch(1), delivery()))
    await until(() => hec.asked.length > 0)
    await hec.stop()
    hec.forget()
    expect(await failureOf(sink.write(makeBatch(1, { first: 2 }), delivery()))).toBe('unavailable')
    await early.ended
    expect(early.outcome).toBe('in-doubt')
    await hec.start()
    hec.isStalled = false
    expect(await sink.write(makeBatch(1, { first: 2 }), delivery())).toBe('delivered')
    expect(hec.channels.size).toBe(2)
  })

  it('that happens while many wait on a new channel is no reason to be held', async () => {
    const { hec, sink } = await start()
    hec.isStalled = true
    const early = batches(8).map((batch) => watch(sink.write(batch, delivery())))
    await until(() => hec.events.length === 16)
    await sleep(30)
    await hec.stop()
    hec.forget()
    await Promise.all(early.map(({ ended }) => ended))
    expect(new Set(early.map(({ outcome }) => outcome))).toEqual(new Set(['in-doubt']))
    await hec.start()
    hec.isStalled = false
    expect(await sink.write(makeBatch(2), delivery())).toBe('delivered')
  })

  it('leaves what it has acknowledged meanwhile delivered, when only the connection broke', async () => {
    let cut: () => void = () => undefined
    const { hec, sink } = await start({ ackMs: 60 }, { graceMs: 2000 }, async ({ port }) => {
      const proxy = await startTcpProxy(port)
      cleanups.push(() => proxy.close())
      cut = () => proxy.cutAll()
      return `http://127.0.0.1:${proxy.port}`
    })
    const watched = Array.from({ length: 3 }, (_, n) => watch(sink.write(makeBatch(1, { first: n + 1 }), delivery())))
    await until(() => hec.events.length === 3)
    hec.pollScript.push('hang')
    await until(() => hec.pollScript.length === 0)
    cut()
    await Promise.all(watched.map(({ ended }) => ended))
    expect(watched.map(({ outcome }) => outcome)).toEqual(['delivered', 'delivered', 'delivered'])
  })
})

describe('H9: a channel', () => {
  it.each([
    [10, 'Data channel is missing'],
    [11, 'Invalid data channel'],
    [28, 'Data channel is missing. If you have multiple indexers, sticky session must be enabled'],
  ])('that is refused with code %s holds the sink', async (code, text) => {
    const { hec, sink } = await start()
    hec.script.push({ status: 400, body: JSON.stringify({ text, code }) })
    const message = await messageOf(sink.write(makeBatch(1), delivery()))
    expect(message).toContain(`${text} (code ${code}); this should not happen`)
    expect(hec.events).toEqual([])
  })

  it('goes with every request, and with every question', async () => {
    const { hec, sink } = await start()
    for (const batch of batches(3)) await sink.write(batch, delivery())
    expect(hec.channels.size).toBe(1)
    expect(hec.events.every(({ channel }) => channel === [...hec.channels][0])).toBe(true)
  })

  it('of one address is not that of another', async () => {
    const [one, other] = [await new FakeHec().start(), await new FakeHec().start()]
    cleanups.push(() => one.stop())
    cleanups.push(() => other.stop())
    const sink = quickSink({ urls: [one.url, other.url], token: one.token }, testHost())
    cleanups.push(() => sink.close())
    await sink.open(NEVER)
    for (const batch of batches(6)) expect(await sink.write(batch, delivery())).toBe('delivered')
    expect([one.events.length, other.events.length]).toEqual([6, 6])
    expect([...one.channels][0]).not.toBe([...other.channels][0])
    await other.stop()
    const outcomes: unknown[] = []
    for (const batch of batches(6)) outcomes.push(await failureOf(sink.write(batch, delivery())))
    // The one that is down rests after a failure or two.
    expect(outcomes.filter((outcome) => outcome === undefined).length).toBeGreaterThanOrEqual(4)
  })
})

it('a write that gets no answer is in doubt, and the numbers that it may have are not believed', async () => {
  const { hec, sink } = await start({}, { firstMs: 100 })
  hec.isStalled = true
  const early = batches(3).map((batch) => watch(sink.write(batch, delivery())))
  await until(() => hec.events.length === 6)
  await sleep(20)
  hec.script.push('hang')
  const stop = new AbortController()
  const hanging = failureOf(
    sink.write(makeBatch(1, { first: 7 }), { signal: stop.signal, sent: () => undefined } satisfies Delivery),
  )
  await until(() => hec.script.length === 0)
  stop.abort()
  expect(await hanging).toBe('in-doubt')
  hec.isStalled = false
  await Promise.all(early.map(({ ended }) => ended))
  // Numbers 0 and 1, whoever has them.
  expect(early.map(({ outcome }) => outcome).sort()).toEqual(['delivered', 'in-doubt', 'in-doubt'])
})
