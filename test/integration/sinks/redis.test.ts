// The rows R and X of the redis sink that one batch after another shows, each against a real Redis.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis as Client } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { makeBatch, positionAt, SOURCE, testHost } from '../../contract/batches.ts'
import { delivery, failureOf } from '../../contract/sinkContract.ts'
import { describeWith } from '../../support/needs.ts'
import { type Redis, startRedis } from '../../support/services.ts'
import { startTcpProxy, type TcpProxy } from '../../support/tcpProxy.ts'
import {
  connect,
  failing,
  firstDifference,
  lastDelivered,
  listRecords,
  makeSink,
  NEVER,
  type Opened,
  openSink,
  positionIn,
  ship,
  streamRecords,
  textsOf,
} from './redisKit.ts'

describeWith(['redis-server', 'redis-cli'], 'the redis sink and a real Redis', () => {
  let server: Redis
  let client: Client
  let proxy: TcpProxy
  const opened: Opened[] = []

  beforeAll(async () => {
    server = await startRedis('plain')
    client = connect(server.port)
  })
  afterAll(() => {
    client.disconnect()
    server.remove()
  })
  beforeEach(async () => {
    await client.flushall()
    proxy = await startTcpProxy(server.port)
  })
  afterEach(async () => {
    for (const { sink } of opened.splice(0)) await sink.close(AbortSignal.timeout(1000)).catch(() => undefined)
    await proxy.close()
  })

  const url = () => `redis://127.0.0.1:${proxy.port}`
  async function open(options: object = {}, host = testHost('queue')): Promise<Opened> {
    const one = await openSink({ url: url(), ...options }, SOURCE, host)
    opened.push(one)
    return one
  }

  describe.each([
    { mode: 'list', atomic: 'script', read: listRecords },
    { mode: 'stream', atomic: 'script', read: streamRecords },
    { mode: 'list', atomic: 'multi', read: listRecords },
    { mode: 'stream', atomic: 'multi', read: streamRecords },
  ])('$mode by $atomic', ({ mode, atomic, read }) => {
    const options = { mode, atomic }

    it('R1: batches of 1, 5 001 and 20 000 arrive in order and byte for byte, one position step each', async () => {
      const { sink } = await open(options)
      const batches = [makeBatch(1), makeBatch(5001, { first: 2 }), makeBatch(20_000, { first: 5003 })]
      for (const batch of batches) {
        expect(await sink.write(batch, delivery())).toBe('delivered')
        expect((await positionIn(client)).position).toBe(batch.after)
      }
      expect(firstDifference(await read(client), textsOf(...batches))).toBeUndefined()
    })

    it('R3: an answer cut before execution is repeated, one cut after it is not', async () => {
      const { sink } = await open(options)
      const [first, like] = [makeBatch(300), makeBatch(300, { first: 301 })]
      const [second, third] = [makeBatch(300, { first: 601 }), makeBatch(10, { first: 901 })]
      const before = proxy.cutAfter(50_000, 'request')
      expect(await failureOf(sink.write(first, delivery()))).toBe('in-doubt')
      await before
      expect(await lastDelivered(sink, SOURCE)).toBeUndefined()
      await ship(sink, first)

      // Without scripts there are answers before that of EXEC, which is the one to lose. It comes last: so much before the end it has begun.
      const passed = proxy.passed.reply
      await ship(sink, like)
      const fromEnd = mode === 'stream' ? 3000 : 8
      const all = proxy.passed.reply - passed
      const after = atomic === 'multi' ? proxy.cutAfter(all - fromEnd, 'reply') : proxy.dropNextReply()
      expect(await failureOf(sink.write(second, delivery()))).toBe('in-doubt')
      await after
      expect(await lastDelivered(sink, SOURCE)).toBe(second.after)
      await ship(sink, third)
      expect(firstDifference(await read(client), textsOf(first, like, second, third))).toBeUndefined()
    })

    it('R3: a command that an old connection brings late changes nothing any more', async () => {
      const { sink } = await open(options)
      const first = makeBatch(20)
      await sink.write(first, delivery())
      const second = makeBatch(20, { first: 21 })
      proxy.delay(400)
      expect(await failureOf(sink.write(second, delivery(AbortSignal.timeout(100))))).toBe('in-doubt')
      proxy.delay(0)
      expect(await lastDelivered(sink, SOURCE)).toBe(first.after)
      await sleep(500)
      expect(firstDifference(await read(client), textsOf(first))).toBeUndefined()
      await ship(sink, second)
      expect(firstDifference(await read(client), textsOf(first, second))).toBeUndefined()
    })

    it('R5: a key that holds something else refuses, with the position unchanged', async () => {
      const { sink } = await open(options)
      const first = makeBatch(3)
      await sink.write(first, delivery())
      const { position } = await positionIn(client)
      await client.set('logs', 'text')
      const { failure, message } = await failing(sink.write(makeBatch(3, { first: 4 }), delivery()))
      expect(failure).toBe('refused')
      expect(message).toContain(`the key "logs" holds a string, not a ${mode}`)
      expect((await positionIn(client)).position).toBe(position)
      expect(await client.get('logs')).toBe('text')
      const again = await makeSink({ url: url(), ...options })
      expect(await failing(again.sink.open(NEVER))).toMatchObject({ failure: 'refused' })
    })

    it('R6: a full memory is waited for, without a gap', async () => {
      const { sink } = await open(options)
      const batches = [makeBatch(500), makeBatch(500, { first: 501 }), makeBatch(500, { first: 1001 })] as const
      await sink.write(batches[0], delivery())
      await client.config('SET', 'maxmemory', '1mb')
      const { failure, message } = await failing(sink.write(batches[1], delivery()))
      expect(failure).toBe('unavailable')
      expect(message).toContain('its memory is used up')
      await client.config('SET', 'maxmemory', '0')
      for (const batch of batches.slice(1)) await ship(sink, batch)
      expect(firstDifference(await read(client), textsOf(...batches))).toBeUndefined()
    })

    it('R7: of two on one position the earlier is held; each with its own, both deliver everything', async () => {
      const one = await open(options)
      await one.sink.write(makeBatch(5), delivery())
      const two = await open(options)
      expect(await two.sink.lastDelivered?.(SOURCE, NEVER)).toBe(positionAt(SOURCE, 5))
      expect(await two.sink.write(makeBatch(5, { first: 6 }), delivery())).toBe('delivered')
      const { failure, message } = await failing(one.sink.write(makeBatch(5, { first: 6 }), delivery()))
      expect(failure).toBe('refused')
      expect(message).toContain('another logferry with this machine id and sink name has taken over')
      expect(await failing(one.sink.lastDelivered!(SOURCE, NEVER))).toMatchObject({ failure: 'refused' })
      expect(await two.sink.write(makeBatch(5, { first: 11 }), delivery())).toBe('delivered')

      const other = await open(options, testHost('another'))
      const theirs = [makeBatch(5), makeBatch(5, { first: 6 })]
      for (const batch of theirs) await other.sink.write(batch, delivery())
      expect(await two.sink.write(makeBatch(5, { first: 16 }), delivery())).toBe('delivered')
      expect((await read(client)).sort()).toEqual([...textsOf(makeBatch(20)), ...textsOf(...theirs)].sort())
    })

    it('R9: a deleted position key holds the sink, and the command that it names mends it', async () => {
      const { sink } = await open(options)
      const first = makeBatch(10)
      const second = makeBatch(10, { first: 11 })
      await sink.write(first, delivery())
      await client.del((await positionIn(client)).key)
      expect(await failureOf(sink.write(second, delivery()))).toBe('in-doubt')
      const { failure, message } = await failing(sink.lastDelivered!(SOURCE, NEVER))
      expect(failure).toBe('refused')
      expect(await read(client)).toHaveLength(10)
      const command = /run: redis-cli (.*)$/.exec(message)?.[1]
      execFileSync('sh', ['-c', `redis-cli -p ${server.port} ${command}`])
      expect(await sink.lastDelivered?.(SOURCE, NEVER)).toBe(first.after)
      expect(await ship(sink, second)).toEqual([])
      expect(firstDifference(await read(client), textsOf(first, second))).toBeUndefined()
    })

    it('R9: consumers and people may take, rename and delete what was pushed', async () => {
      const { sink } = await open(options)
      const batches = [1, 11, 21, 31].map((first) => makeBatch(10, { first }))
      const disturb = [
        () => (mode === 'list' ? client.ltrim('logs', 5, -1) : client.xtrim('logs', 'MAXLEN', 5)),
        () => client.rename('logs', 'taken'),
        () => client.del('logs'),
      ]
      for (const [index, batch] of batches.entries()) {
        expect(await ship(sink, batch)).toEqual([])
        await disturb[index]?.()
      }
      expect(firstDifference(await read(client), textsOf(batches[3]!))).toBeUndefined()
    })

    it('R13: a full list or stream makes the sink wait, says so, and never grows beyond its limit', async () => {
      const { sink } = await open({ ...options, congestion: { length: 25, check: '2s' } })
      expect(sink.traits.limits.entries).toBe(25)
      const batches = [1, 11, 21].map((first) => makeBatch(10, { first }))
      await ship(sink, batches[0]!)
      await ship(sink, batches[1]!)
      const error = await sink.write(batches[2]!, delivery()).then(
        () => undefined,
        (caught: unknown) => caught as { failure: string; message: string; retryAfterMs: number },
      )
      expect(error).toMatchObject({ failure: 'unavailable', retryAfterMs: 2000 })
      expect(error?.message).toMatch(/the (list|stream) "logs" holds 20 entries.*the limit is 25: its consumers lag/)
      if (atomic === 'script') expect(error?.message).toMatch(/the oldest of 20\d\d-\d\d-\d\dT/)
      expect(await read(client)).toHaveLength(20)
      // Asking again does not send the batch again.
      const sent = proxy.passed.request
      const again = await failing(sink.write(batches[2]!, delivery()))
      expect(again).toEqual({ failure: 'unavailable', message: error?.message })
      expect(proxy.passed.request - sent).toBeLessThan(1500)
      if (mode === 'list') await client.ltrim('logs', 10, -1)
      else await client.xtrim('logs', 'MAXLEN', 10)
      await ship(sink, batches[2]!)
      expect(firstDifference(await read(client), textsOf(batches[1]!, batches[2]!))).toBeUndefined()
    })
  })

  it.each(['list', 'stream', 'channel'])(
    'X1: a write to a %s that is called off ends within a second, its connection with it',
    async (mode) => {
      const { sink } = await open({ mode })
      const connections = async () => /connected_clients:(\d+)/.exec(await client.info('clients'))?.[1]
      const stop = new AbortController()
      proxy.pauseReplies()
      const outcome = failureOf(sink.write(makeBatch(2000, { messageBytes: 1000 }), delivery(stop.signal)))
      await sleep(50)
      const at = performance.now()
      stop.abort()
      expect(['in-doubt', 'unavailable']).toContain(await outcome)
      expect(performance.now() - at).toBeLessThan(1000)
      for (const end = Date.now() + 1000; (await connections()) !== '1'; await sleep(20))
        if (Date.now() > end) throw new Error(`${await connections()} connections`)
      proxy.resumeReplies()
    },
  )

  it('X2: 1,000 batches against a server that stalls leave no more in memory than one', async () => {
    const { sink } = await open()
    proxy.pauseReplies()
    const before = process.memoryUsage()
    for (let n = 0; n < 1000; n++) {
      const stop = new AbortController()
      const outcome = failureOf(
        sink.write(makeBatch(20, { first: 1 + n * 20, messageBytes: 3000 }), delivery(stop.signal)),
      )
      await sleep(0)
      stop.abort()
      await outcome
    }
    const { external, arrayBuffers } = process.memoryUsage()
    // Of 70 MB that were offered.
    expect(external + arrayBuffers - before.external - before.arrayBuffers).toBeLessThan(25e6)
    proxy.resumeReplies()
    await ship(sink, makeBatch(20))
  })

  it('R4: SCRIPT FLUSH is not noticed by anybody', async () => {
    const { sink, host } = await open()
    const batches = [1, 11, 21].map((first) => makeBatch(10, { first }))
    for (const batch of batches) {
      expect(await sink.write(batch, delivery())).toBe('delivered')
      await client.script('FLUSH')
    }
    expect(firstDifference(await listRecords(client), textsOf(...batches))).toBeUndefined()
    expect(host.lines).toEqual([])
  })

  it('R4: a restart with its data goes on, without its scripts', async () => {
    const own = await startRedis('plain')
    const before = connect(own.port)
    try {
      const { sink, host } = await openSink({ url: `redis://127.0.0.1:${own.port}` }, SOURCE)
      const [first, second] = [makeBatch(10), makeBatch(10, { first: 11 })]
      await sink.write(first, delivery())
      await before.save()
      own.stop()
      own.start()
      await ship(sink, second)
      const after = connect(own.port)
      expect(firstDifference(await listRecords(after), textsOf(first, second))).toBeUndefined()
      expect(host.lines).toEqual([])
      after.disconnect()
      await sink.close(NEVER)
    } finally {
      before.disconnect()
      own.remove()
    }
  })

  it('R10: a restart without persistence is told from a deleted key: no position, a warning, no hold', async () => {
    const own = await startRedis('plain')
    try {
      const { sink, host } = await openSink({ url: `redis://127.0.0.1:${own.port}` }, SOURCE)
      await sink.write(makeBatch(10), delivery())
      own.stop()
      own.start()
      const second = makeBatch(10, { first: 11 })
      await sleep(50)
      expect(await failureOf(sink.write(second, delivery()))).toBe('in-doubt')
      expect(await lastDelivered(sink, SOURCE)).toBeUndefined()
      expect(host.lines.map(({ text }) => text).join()).toContain('has lost the position and its data')
      expect(sink.traits.rewindMs).toBe(600_000)
      expect(await ship(sink, second)).toEqual([])
      await sink.close(NEVER)
    } finally {
      own.remove()
    }
  })

  it('R12: a replica is unavailable, never refused, and gets nothing, whatever its position says', async () => {
    const { sink } = await open()
    await sink.write(makeBatch(10), delivery())
    const replica = await startRedis('plain')
    try {
      replica.cli(['replicaof', '127.0.0.1', String(server.port)])
      while (!replica.cli(['info', 'replication']).includes('master_link_status:up')) await sleep(50)
      for (const atomic of ['script', 'multi']) {
        const { sink: lost } = await makeSink({ url: `redis://127.0.0.1:${replica.port}`, atomic })
        await lost.open(NEVER)
        const { failure, message } = await failing(lost.lastDelivered!(SOURCE, NEVER))
        expect(failure).toBe('unavailable')
        expect(message).toContain('it is a replica')
        expect(await failureOf(lost.write(makeBatch(10, { first: 11 }), delivery()))).toBe('unavailable')
        await lost.close(NEVER)
      }
      expect(replica.cli(['llen', 'logs'])).toBe('10\n')
    } finally {
      replica.remove()
    }
  })

  it('R12: too few replicas are waited for, and nothing is written meanwhile', async () => {
    const { sink } = await open()
    await sink.write(makeBatch(10), delivery())
    await client.config('SET', 'min-replicas-to-write', '2')
    try {
      expect(await failureOf(sink.write(makeBatch(10, { first: 11 }), delivery()))).toBe('unavailable')
      expect(await client.llen('logs')).toBe(10)
    } finally {
      await client.config('SET', 'min-replicas-to-write', '0')
    }
    await ship(sink, makeBatch(10, { first: 11 }))
    expect(firstDifference(await listRecords(client), textsOf(makeBatch(20)))).toBeUndefined()
  })

  it('waits for replicas before a batch counts as delivered, and does not push it twice', async () => {
    const { sink } = await open({ replicas: { count: 1, timeout: '100ms' } })
    expect(sink.traits.delivered).toBe('stored')
    const first = makeBatch(10)
    const { failure, message } = await failing(sink.write(first, delivery()))
    expect(failure).toBe('unavailable')
    expect(message).toContain('0 of 1 replicas have the last batch')
    expect(await failing(sink.lastDelivered!(SOURCE, NEVER))).toMatchObject({ failure: 'unavailable' })
    const replica = await startRedis('plain')
    try {
      replica.cli(['replicaof', '127.0.0.1', String(server.port)])
      await ship(sink, first)
      expect(replica.cli(['llen', 'logs'])).toBe('10\n')
      expect(firstDifference(await listRecords(client), textsOf(first))).toBeUndefined()
    } finally {
      replica.remove()
    }
  })

  it('R15: without scripts, a type that changes in between takes the position back', async () => {
    const { sink } = await open({ atomic: 'multi' })
    await sink.write(makeBatch(5), delivery())
    const { position } = await positionIn(client)
    await betweenLookAndExec(
      async () => void (await client.set('logs', 'text')),
      sink.write(makeBatch(5, { first: 6 }), delivery()),
      'refused',
    )
    expect((await positionIn(client)).position).toBe(position)
    await client.del('logs')
    expect(await ship(sink, makeBatch(5, { first: 6 }))).toEqual([])
    expect(firstDifference(await listRecords(client), textsOf(makeBatch(5, { first: 6 })))).toBeUndefined()
  })

  it('R15: without scripts, a lost race writes nothing', async () => {
    const { sink } = await open({ atomic: 'multi' })
    await sink.write(makeBatch(5), delivery())
    const { key } = await positionIn(client)
    await betweenLookAndExec(
      async () => void (await client.set(key, 'somebody.1 elsewhere')),
      sink.write(makeBatch(5, { first: 6 }), delivery()),
      'in-doubt',
    )
    expect(await client.get(key)).toBe('somebody.1 elsewhere')
    expect(await client.llen('logs')).toBe(5)
    expect(await failing(sink.lastDelivered!(SOURCE, NEVER))).toMatchObject({ failure: 'refused' })
  })

  /** Does something after the sink has looked and before it writes. */
  async function betweenLookAndExec(
    work: () => Promise<void>,
    write: Promise<unknown>,
    failure: string,
  ): Promise<void> {
    proxy.pauseReplies()
    const outcome = failureOf(write)
    await sleep(50)
    await work()
    proxy.resumeReplies()
    expect(await outcome).toBe(failure)
  }

  it('R14: an entry that nobody hears is unavailable, then retried alone; one that is heard is delivered', async () => {
    for (const atomic of ['script', 'multi']) {
      const options = { url: url(), mode: 'channel', atomic, key: 'logs:${PRIORITY}' }
      const { sink } = await makeSink(options)
      await sink.open(NEVER)
      expect(sink.traits).toMatchObject({ delivered: 'sent', holdsPosition: false })
      const { failure, message } = await failing(sink.write(makeBatch(16), delivery()))
      expect(failure).toBe('unavailable')
      expect(message).toContain('nobody listens to "logs:1", "logs:2", "logs:3" and 5 more channels')
      const ear = connect(server.port)
      const heard: string[] = []
      ear.on('messageBuffer', (_channel: Buffer, element: Buffer) => void heard.push(element.toString('latin1')))
      await ear.subscribe('logs:0', 'logs:1', 'logs:2', 'logs:3', 'logs:4', 'logs:6', 'logs:7')
      expect(await sink.write(makeBatch(16), delivery())).toEqual({ delivered: 14, retry: [4, 12], rejected: [] })
      await sleep(50)
      expect(heard).toHaveLength(14)
      await sink.close(NEVER)
      const { sink: careless } = await makeSink({ ...options, require_subscribers: false })
      await careless.open(NEVER)
      expect(await careless.write(makeBatch(16), delivery())).toBe('delivered')
      await careless.close(NEVER)
      ear.disconnect()
    }
  })

  it('sends entries to lists by their fields, beside one position', async () => {
    const { sink } = await open({ key: '{logs}:${PRIORITY:-none}' })
    expect(sink.traits.fields).toEqual(['PRIORITY'])
    const batches = [makeBatch(100), makeBatch(100, { first: 101 })]
    for (const batch of batches) await sink.write(batch, delivery())
    expect((await client.keys('{logs}:?')).sort()).toEqual(Array.from({ length: 8 }, (_, n) => `{logs}:${n}`))
    const wanted = textsOf(...batches).filter((text) => text.includes('"PRIORITY":"3"'))
    expect(firstDifference(await listRecords(client, '{logs}:3'), wanted)).toBeUndefined()
    expect((await positionIn(client)).position).toBe(batches[1]!.after)
    await client.set('{logs}:5', 'text')
    expect(await failing(sink.write(makeBatch(100, { first: 201 }), delivery()))).toMatchObject({ failure: 'refused' })
    expect(firstDifference(await listRecords(client, '{logs}:3'), wanted)).toBeUndefined()
  })

  it('keeps about so many entries of a stream, under the field that was asked for', async () => {
    const { sink } = await open({ mode: 'stream', field: 'event', trim: 1000 })
    for (let first = 1; first < 6000; first += 500) await sink.write(makeBatch(500, { first }), delivery())
    const length = await client.xlen('logs')
    expect(length).toBeGreaterThanOrEqual(1000)
    expect(length).toBeLessThan(1500)
    expect(await streamRecords(client, 'logs', 'event')).toHaveLength(length)
  })

  it('warns where Redis may throw away what it holds, and `validate --live` says it, too', async () => {
    await client.config('SET', 'maxmemory-policy', 'allkeys-lru')
    try {
      const { sink, host } = await open()
      expect(host.lines).toMatchObject([{ level: 'warn', fields: { policy: 'allkeys-lru' } }])
      const lines = await sink.check!(NEVER)
      expect(lines.map(({ ok }) => ok)).toEqual([true, true, true, false])
      expect(lines[1]?.text).toBe('the list "logs" is not there yet; the first entry makes it')
    } finally {
      await client.config('SET', 'maxmemory-policy', 'noeviction')
    }
  })

  it('a dry test stores nothing and names what is wrong', async () => {
    const { sink } = await makeSink({ url: url() })
    expect((await sink.check!(NEVER)).every(({ ok }) => ok)).toBe(true)
    expect(await client.dbsize()).toBe(0)
    await client.set('logs', 'x')
    expect(await sink.check!(NEVER)).toMatchObject([{ ok: true }, { ok: false }, { ok: true }])
    await proxy.refuse()
    const lines = await sink.check!(NEVER)
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatchObject({ ok: false })
  })

  it('ships into another database, and refuses one that is not there', async () => {
    const { sink } = await open({ url: `${url()}/3` })
    await sink.write(makeBatch(2), delivery())
    expect(await client.llen('logs')).toBe(0)
    await client.select(3)
    expect(await client.llen('logs')).toBe(2)
    await client.select(0)
    const { sink: lost } = await makeSink({ url: `${url()}/99` })
    const { failure, message } = await failing(lost.open(NEVER))
    expect(failure).toBe('refused')
    expect(message).toContain('DB index is out of range')
  })

  describe('users', () => {
    const page = readFileSync(join(import.meta.dirname, '../../../docs/sinks/redis.md'), 'utf8')
    afterAll(() => client.call('ACL', 'DELUSER', 'logferry', 'noscripts', 'otherkeys'))

    it('R5: the rules of the documentation suffice, and less is refused with a hint, the position unchanged', async () => {
      const rules = /ACL SETUSER logferry (.*)$/m.exec(page)?.[1]?.replaceAll('logstash', 'logs').split(' ') ?? []
      await client.call('ACL', 'SETUSER', 'logferry', ...rules.map((rule) => rule.replace(/^>.*/, '>p4ss:word')))
      const { sink, host } = await open({ user: 'logferry', password: 'p4ss:word', congestion: { length: 1000 } })
      expect(await sink.write(makeBatch(10), delivery())).toBe('delivered')
      expect((await sink.check!(NEVER)).filter(({ ok }) => !ok)).toEqual([])
      expect(host.lines).toEqual([])
      const { position } = await positionIn(client)

      await client.call('ACL', 'SETUSER', 'noscripts', 'on', '>p', '~*', '+@all', '-@scripting')
      const { sink: noScripts } = await makeSink({ url: url(), user: 'noscripts', password: 'p' })
      await noScripts.open(NEVER)
      const refused = await failing(noScripts.lastDelivered!(SOURCE, NEVER))
      expect(refused.failure).toBe('refused')
      expect(refused.message).toContain('docs/sinks/redis.md')

      await client.call('ACL', 'SETUSER', 'otherkeys', 'on', '>p', '~other:*', '+@all')
      const { sink: otherKeys } = await makeSink({ url: url(), user: 'otherkeys', password: 'p' })
      expect(await failing(otherKeys.open(NEVER))).toMatchObject({ failure: 'refused' })
      const { sink: templated } = await makeSink({
        url: url(),
        user: 'otherkeys',
        password: 'p',
        key: '{logs}${PRIORITY}',
      })
      await templated.open(NEVER)
      expect(await failing(templated.lastDelivered!(SOURCE, NEVER))).toMatchObject({ failure: 'refused' })
      expect((await positionIn(client)).position).toBe(position)
    })

    it('R5, X3: a wrong password is refused, and is nowhere in what is said', async () => {
      const password = 'quite-secret-77'
      const { sink, host } = await makeSink({ url: url(), user: 'logferry', password })
      const error = await sink.open(NEVER).then(
        () => undefined,
        (caught: unknown) => caught as Error & { failure: string },
      )
      expect(error?.failure).toBe('refused')
      expect(error?.message).toContain('WRONGPASS')
      const { inspect } = await import('node:util')
      expect(
        inspect({ error, lines: host.lines, checks: await sink.check!(NEVER) }, { depth: 20, showHidden: true }),
      ).not.toContain(password)
    })

    it('R5: a server that wants a password and gets none is refused with a hint', async () => {
      const own = await startRedis('acl')
      try {
        const { sink } = await makeSink({ url: `redis://127.0.0.1:${own.port}` })
        const { failure, message } = await failing(sink.open(NEVER))
        expect(failure).toBe('refused')
        expect(message).toContain('NOAUTH')
        expect(message).toContain('set `password`')
        const known = await makeSink({
          url: `redis://127.0.0.1:${own.port}`,
          key: 'lf:x',
          user: 'logferry',
          password: 'secret',
        })
        await known.sink.open(NEVER)
        expect(await failing(known.sink.lastDelivered!(SOURCE, NEVER))).toMatchObject({ failure: 'refused' })
        await known.sink.close(NEVER)
      } finally {
        own.remove()
      }
    })
  })

  it('speaks TLS, with a client certificate, and trusts nobody else', async () => {
    const own = await startRedis('tls')
    try {
      const address = `rediss://127.0.0.1:${own.port}`
      const ca = join(own.dir, 'ca.crt')
      const tls = { ca, cert: join(own.dir, 'client.crt'), key: join(own.dir, 'client.key') }
      const { sink } = await openSink({ url: address, tls }, SOURCE)
      const batches = [makeBatch(3000), makeBatch(3000, { first: 3001 })]
      for (const batch of batches) expect(await sink.write(batch, delivery())).toBe('delivered')
      await sink.close(NEVER)
      const { sink: suspicious } = await makeSink({ url: address })
      const { failure, message } = await failing(suspicious.open(NEVER))
      expect(failure).toBe('refused')
      expect(message).toContain('cannot be trusted')
      const { sink: misled } = await makeSink({ url: address, tls: { ca, server_name: 'elsewhere.example' } })
      expect(await failing(misled.open(NEVER))).toMatchObject({ failure: 'refused' })
      const { sink: plain } = await makeSink({ url: `redis://127.0.0.1:${own.port}` })
      expect(await failing(plain.open(NEVER))).toMatchObject({ failure: 'unavailable' })
      const { sink: lost } = await makeSink({ url: address, tls: { ca: '/no/such/file' } })
      expect(await failing(lost.open(NEVER))).toMatchObject({ failure: 'refused' })
    } finally {
      own.remove()
    }
  })

  it('ships through a Unix socket', async () => {
    const own = await startRedis('plain')
    try {
      const path = join(own.dir, 'redis.sock')
      execFileSync('redis-cli', ['-p', String(own.port), 'shutdown', 'nosave'])
      execFileSync('redis-server', [
        '--port',
        String(own.port),
        '--unixsocket',
        path,
        '--save',
        '',
        '--daemonize',
        'yes',
        '--pidfile',
        join(own.dir, 'redis.pid'),
      ])
      await sleep(200)
      const { sink } = await openSink({ url: `unix:${path}` }, SOURCE)
      expect(await sink.write(makeBatch(10), delivery())).toBe('delivered')
      expect(own.cli(['llen', 'logs'])).toBe('10\n')
      await sink.close(NEVER)
    } finally {
      own.remove()
    }
  })
})
