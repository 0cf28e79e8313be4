import { inspect } from 'node:util'
import { afterEach, describe, expect, it } from 'vitest'
import { ADD, PUBLISH, PUSH } from '../../sinks/redis/scripts.ts'
import redis from '../../sinks/redis.ts'
import type { Sink } from '../../src/sink.ts'
import { makeBatch, SOURCE, testHost } from '../contract/batches.ts'
import { delivery, failureOf } from '../contract/sinkContract.ts'
import { type FakeRedis, type FakeRedisOptions, startFakeRedis } from '../support/fakeRedis.ts'

const NEVER = new AbortController().signal
const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function begin(options: object = {}, fake: FakeRedisOptions = {}) {
  const server = await startFakeRedis(fake)
  cleanups.push(() => server.close())
  const { sink, host } = await make(server, options)
  return { server, sink, host }
}

async function make(server: Pick<FakeRedis, 'port'>, options: object = {}) {
  const result = await redis.config['~standard'].validate({
    url: `redis://127.0.0.1:${server.port}`,
    key: 'logs',
    ...options,
  })
  if (result.issues !== undefined) throw new Error(JSON.stringify(result.issues))
  const host = testHost('queue')
  const sink: Sink = redis.create(result.value, host)
  cleanups.push(() => sink.close(NEVER))
  return { sink, host }
}

/** Answers the nth command of a name in another way. */
function nth(name: string, n: number, answer: string) {
  let seen = 0
  return (command: readonly string[]) => (command[0]?.toUpperCase() === name && ++seen === n ? answer : undefined)
}

describe('the redis sink', () => {
  it('says what it can: positions held by lists and streams, and not by channels', async () => {
    const { sink } = await begin()
    expect(sink.traits).toMatchObject({
      delivered: 'accepted',
      holdsPosition: true,
      ordered: true,
      releases: true,
      rewindMs: 600_000,
    })
    const { sink: channel } = await begin({ mode: 'channel' })
    expect(channel.traits).toMatchObject({ delivered: 'sent', holdsPosition: false, ordered: true })
    expect(channel.lastDelivered).toBeUndefined()
  })

  it('sends a batch as one command, its key and its position first', async () => {
    const { server, sink } = await begin({ congestion: { length: 5000 } })
    await sink.open(NEVER)
    await sink.lastDelivered?.(SOURCE, NEVER)
    server.commands.length = 0
    const batch = makeBatch(2000)
    expect(await sink.write(batch, delivery())).toBe('delivered')
    expect(server.commands).toHaveLength(1)
    const [name, sha, keys, position, list, expected, next, most, verb, , count] = server.commands[0]!
    expect([name, sha, keys, list, most, verb, count]).toEqual([
      'evalsha',
      PUSH.sha,
      '2',
      'logs',
      '5000',
      'RPUSH',
      '2000',
    ])
    expect(position).toBe(`{logs}:logferry:${SOURCE}:queue:${SOURCE}`)
    expect(next).toBe(`${expected}${batch.after}`)
    expect(server.got.elements).toBe(2000)
  })

  it('goes to the stream, the field and the channel that were named', async () => {
    const { server, sink } = await begin({ mode: 'stream', field: 'event', trim: 9 })
    await sink.open(NEVER)
    await sink.write(makeBatch(3), delivery())
    expect(server.commands.at(-1)?.slice(1, 11)).toMatchObject(
      [ADD.sha, '2', /x/, 'logs', /x/, /x/, '0', 'event', '9', '3'].map((part) =>
        typeof part === 'string' ? part : expect.any(String),
      ),
    )
    const { server: other, sink: channel } = await begin({ mode: 'channel', key: 'c:${PRIORITY}' })
    await channel.open(NEVER)
    await channel.write(makeBatch(2), delivery())
    expect(other.commands.at(-1)?.slice(1, 8)).toEqual([PUBLISH.sha, '0', '2', 'c:1', '1', 'c:2', '1'])
  })

  it('sends the text of a script that the server does not have, with the same arguments', async () => {
    const { server, sink, host } = await begin(
      {},
      { answer: nth('EVALSHA', 3, '-NOSCRIPT No matching script. Please use EVAL.\r\n') },
    )
    await sink.open(NEVER)
    await sink.lastDelivered?.(SOURCE, NEVER)
    expect(await sink.write(makeBatch(10), delivery())).toBe('delivered')
    const [byHash, byText] = server.commands.slice(-2)
    expect([byHash?.[0], byText?.[0]]).toEqual(['evalsha', 'eval'])
    expect(byText?.[1]).toBe(PUSH.text.slice(0, 200))
    expect(byText?.slice(2)).toEqual(byHash?.slice(2))
    expect(host.lines).toEqual([])
  })

  it('takes a lost connection for a doubt, and a new one for the next write', async () => {
    const { server, sink } = await begin({}, { answer: nth('EVALSHA', 3, 'close') })
    await sink.open(NEVER)
    await sink.lastDelivered?.(SOURCE, NEVER)
    expect(await failureOf(sink.write(makeBatch(10), delivery()))).toBe('in-doubt')
    expect(await sink.write(makeBatch(10), delivery())).toBe('delivered')
    // The claim before the second attempt shuts out what the first connection may still bring.
    expect(server.commands.slice(-3).map(([, sha]) => sha === PUSH.sha)).toEqual([false, false, true])
  })

  it('takes an answer that it does not know for a doubt', async () => {
    const { sink } = await begin({}, { answer: nth('EVALSHA', 3, '-ERR the moon is in the wrong place\r\n') })
    await sink.open(NEVER)
    await sink.lastDelivered?.(SOURCE, NEVER)
    expect(await failureOf(sink.write(makeBatch(10), delivery()))).toBe('in-doubt')
  })

  it('asks for a smaller batch when an element is larger than the server takes', async () => {
    const { sink } = await begin({}, { answer: nth('EVALSHA', 3, '-ERR Protocol error: invalid bulk length\r\n') })
    await sink.open(NEVER)
    await sink.lastDelivered?.(SOURCE, NEVER)
    expect(await failureOf(sink.write(makeBatch(10), delivery()))).toBe('too-large')
  })

  it.each([
    ['LOADING Redis is loading the dataset in memory', 'unavailable'],
    ['ERR max number of clients reached', 'unavailable'],
    ['NOAUTH Authentication required.', 'refused'],
    ['DENIED Redis is running in protected mode', 'refused'],
  ])('cannot be opened while the server says %s', async (text, failure) => {
    const { server, sink } = await begin(
      {},
      { answer: (command) => (command[0] === 'info' ? `-${text}\r\n` : undefined) },
    )
    expect(await failureOf(sink.open(NEVER))).toBe(failure)
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(server.open).toBe(0)
  })

  it('works for a user who may not ask for INFO', async () => {
    const { sink, host } = await begin(
      {},
      { answer: (command) => (command[0] === 'info' ? '-NOPERM no\r\n' : undefined) },
    )
    await sink.open(NEVER)
    expect(await sink.write(makeBatch(3), delivery())).toBe('delivered')
    expect(host.lines).toEqual([])
  })

  it('does not wait for ever for a server that takes connections and says nothing', async () => {
    const { server, sink } = await begin({}, { answer: () => '' })
    expect(await failureOf(sink.open(AbortSignal.timeout(50)))).toBe('in-doubt')
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(server.open).toBe(0)
  })

  it('refuses a server without scripts, and names the way out, which works', async () => {
    const answer = (command: readonly string[]) => {
      const name = command[0]?.toUpperCase()
      if (name?.startsWith('EVAL')) return `-ERR unknown command '${name}'\r\n`
      if (name === 'GET') return '$-1\r\n'
      if (name === 'EXEC') return replies
      return name === 'RPUSH' || name === 'SET' ? '+QUEUED\r\n' : undefined
    }
    let replies = '*1\r\n+OK\r\n'
    const { server, sink } = await begin({}, { answer })
    await sink.open(NEVER)
    const error = await sink.lastDelivered!(SOURCE, NEVER).catch(
      (caught: unknown) => caught as Error & { failure: string },
    )
    expect(error).toMatchObject({ failure: 'refused', message: expect.stringContaining('`atomic: multi`') })
    const { sink: multi } = await make(server, { atomic: 'multi' })
    await multi.open(NEVER)
    await multi.lastDelivered!(SOURCE, NEVER)
    expect(server.commands.slice(-3).map(([name]) => name)).toEqual(['multi', 'set', 'exec'])
    replies = '*2\r\n:3\r\n+OK\r\n'
    // Its GET never shows what was set, so the write finds another position than it expects.
    expect(await failureOf(multi.write(makeBatch(3), delivery()))).toBe('in-doubt')
  })

  it('says nothing of passwords or entries, neither in its words nor in what hangs on them', async () => {
    const secret = 'geheim-123'
    const { sink, host } = await begin(
      { password: secret },
      { answer: (command) => (command[0] === 'auth' ? '-WRONGPASS invalid username-password pair\r\n' : undefined) },
    )
    const error = await sink.open(NEVER).catch((caught: unknown) => caught)
    expect(inspect({ error, lines: host.lines }, { depth: 30, showHidden: true })).not.toContain(secret)
    expect(error).toMatchObject({ failure: 'refused' })

    const { sink: other } = await begin({ password: secret }, { answer: nth('EVALSHA', 3, '-ERR odd\r\n') })
    await other.open(NEVER)
    await other.lastDelivered?.(SOURCE, NEVER)
    const failed = await other.write(makeBatch(5), delivery()).catch((caught: unknown) => caught)
    const shown = inspect(failed, { depth: 30, showHidden: true })
    expect(shown).not.toContain(secret)
    expect(shown).not.toContain('message 1')
  })
})
