import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import fluentd from '../../sinks/fluentd.ts'
import { accountsFor, delivery, failureOf, recordsOf, testSink } from '../contract/sinkContract.ts'
import { ForwardServer, type Received } from '../support/forwardServer.ts'
import { messageOf, NEVER, openSink, partial, recordTexts, startServer, texts, until } from './fluentd/kit.ts'
import { mistakesOf, packed, sinkFor } from './fluentd/sinks.ts'

testSink<ForwardServer>({
  name: 'fluentd',
  module: fluentd,
  example: {
    servers: [{ host: 'fluentd-1' }, { host: 'fluentd-2', port: 24225, weight: 30 }],
    mode: 'balance',
    tag: 'journal.${_SYSTEMD_UNIT:-none}',
    shared_key: 'secret',
    user: 'logferry',
    password: 'secret',
    compress: 'gzip',
    tls: { ca: '/etc/logferry/ca.pem' },
  },
  target: () => ForwardServer.start(),
  stop: (server) => server.close(),
  create: ({ port }, host) => sinkFor({ host: '127.0.0.1', port, ack_timeout: '4s' }, host),
  received: (server) => server.records(),
  refuse: 'a server says nothing about single entries',
  outage: {
    down: async (server) => {
      await server.close()
      // The end of the connection has to arrive.
      await sleep(20)
    },
    up: (server) => server.listen(),
  },
  loseAnswer: (server) => {
    server.take = (message) => {
      server.take = (next) => next.acknowledge()
      message.reset()
    }
  },
  takeAtMost: 'the protocol has no such answer; see F8',
  stall: {
    begin: (server) => {
      server.pause()
    },
    end: (server) => {
      server.resume()
    },
  },
})

describe('messages', () => {
  it('F1: entries carry their time as EventTime with exact nanoseconds, and their records as they are', async () => {
    const server = await startServer()
    const sink = await openSink(server.port)
    const batch = packed(100, { messageBytes: 300 })
    expect(await sink.write(batch, delivery())).toBe('delivered')
    const entries = server.received.flatMap((message) => message.entries)
    expect(texts(entries.map(({ record }) => record))).toEqual(recordTexts(batch))
    expect(entries.map(({ time }) => BigInt(time.seconds) * 1_000_000_000n + BigInt(time.ns))).toEqual(
      Array.from(batch.realtimes, (us) => BigInt(us) * 1000n),
    )
  })

  it.each(['gzip', 'zstd'] as const)('F1: %s', async (compress) => {
    const server = await startServer()
    const sink = await openSink(server.port, { compress })
    const batch = packed(500)
    expect(await sink.write(batch, delivery())).toBe('delivered')
    expect(texts(server.records())).toEqual(recordTexts(batch))
    expect(server.received[0]?.option).toMatchObject({ compressed: compress, size: 500 })
    expect(server.received[0]?.raw.length).toBeLessThan(batch.records.length / 2)
  })

  it('F6: a message is tag, entries as bin 32, and options with `chunk` as text: no nil, no metadata', async () => {
    const server = await startServer()
    const sink = await openSink(server.port, { tag: 'a.b' })
    const batch = packed(2)
    await sink.write(batch, delivery())
    const { raw, id } = server.received[0] as Received
    expect(id).toBe(`${batch.id}/0`)
    const head = Buffer.from('93a3612e62c6', 'hex')
    const [first, second] = recordsOf(batch, 'msgpack')
    const packedBytes = 22 + (first?.length ?? 0) + (second?.length ?? 0)
    expect(raw.subarray(0, 6).equals(head)).toBe(true)
    expect(raw.readUInt32BE(6)).toBe(packedBytes)
    // Two entries: array of two, extension type 0 of eight bytes, the record.
    expect(raw.subarray(10, 13).toString('hex')).toBe('92d700')
    const at = 10 + 11 + (first?.length ?? 0)
    expect(raw.subarray(at, at + 3).toString('hex')).toBe('92d700')
    const chunk = Buffer.from(`${batch.id}/0`)
    const tail = Buffer.concat([
      Buffer.from('82a473697a6502a56368756e6b', 'hex'),
      Buffer.of(0xa0 | chunk.length),
      chunk,
    ])
    expect(raw.subarray(10 + packedBytes).toString('hex')).toBe(tail.toString('hex'))
    expect(raw.includes(0xc0, 0) && raw.indexOf(0xc0) < 10).toBe(false)
  })

  it('wraps entries as str for old servers', async () => {
    const server = await startServer()
    const sink = await openSink(server.port, { entries: 'str' })
    const batch = packed(10)
    await sink.write(batch, delivery())
    expect(server.received[0]?.raw[1 + 8]).toBe(0xdb)
    expect(texts(server.records())).toEqual(recordTexts(batch))
  })

  it('cuts a large batch into messages below `chunk_size`, an entry above it alone, in order', async () => {
    const server = await startServer()
    const sink = await openSink(server.port, { chunk_size: '20kB' })
    const batch = packed(50, { fields: (n) => ({ MESSAGE: 'x'.repeat(n === 25 ? 50_000 : 1000) }) })
    expect(await sink.write(batch, delivery())).toBe('delivered')
    expect(texts(server.records())).toEqual(recordTexts(batch))
    expect(server.received.length).toBeGreaterThan(4)
    const sizes = server.received.map(({ raw, entries }) => (entries.length > 1 ? raw.length : 0))
    expect(Math.max(...sizes)).toBeLessThan(20_500)
    expect(server.received.map(({ id }) => id)).toEqual(server.received.map((_, n) => `${batch.id}/${n}`))
  })

  it('takes the tag from fields, one message for each', async () => {
    const server = await startServer()
    const sink = await openSink(server.port, { tag: 'journal.${UNIT:-none}' })
    expect(sink.traits.fields).toEqual(['UNIT'])
    const units = ['ssh@1.service', 'cron.service', undefined]
    const batch = packed(9, {
      fields: (n): Record<string, string> => {
        const unit = units[n % 3]
        return unit === undefined ? {} : { UNIT: unit }
      },
    })
    expect(await sink.write(batch, delivery())).toBe('delivered')
    const tags = server.received.map(({ tag, entries }) => [tag, entries.length])
    expect(tags).toEqual([
      ['journal.cron.service', 3],
      ['journal.none', 3],
      ['journal.ssh_1.service', 3],
    ])
    expect(texts(server.records()).sort()).toEqual(recordTexts(batch).sort())
  })

  it('without acknowledgements a batch is delivered when it is sent', async () => {
    const server = await startServer({ take: () => undefined })
    const sink = await openSink(server.port, { ack: false })
    expect(sink.traits.delivered).toBe('sent')
    const batch = packed(20)
    expect(await sink.write(batch, delivery())).toBe('delivered')
    await until('the message', () => server.received.length === 1)
    expect(server.received[0]?.option).toEqual({ size: 20 })
  })
})

describe('acknowledgements', () => {
  it('F2: many chunks are under way at once, on one connection and in order', async () => {
    const held: Received[] = []
    const server = await startServer({ take: (message) => held.push(message) })
    const sink = await openSink(server.port)
    const batches = Array.from({ length: 50 }, (_, n) => packed(10, { first: 1 + 10 * n }))
    let sent = 0
    const writes = batches.map((batch) => sink.write(batch, { signal: NEVER, sent: () => void sent++ }))
    await until('all on the wire', () => held.length === 50 && sent === 50)
    expect(server.connections).toBe(1)
    for (const message of held) message.acknowledge()
    expect(new Set(await Promise.all(writes))).toEqual(new Set(['delivered']))
    expect(texts(server.records())).toEqual(recordTexts(...batches))
  })

  it('F3: an acknowledgement counts for its own batch, in whatever order it comes', async () => {
    const held: Received[] = []
    const server = await startServer({ take: (message) => held.push(message) })
    const sink = await openSink(server.port)
    const settled: number[] = []
    const writes = [1, 2, 3].map((n) =>
      sink.write(packed(5, { first: 10 * n }), delivery()).then((receipt) => {
        settled.push(n)
        return receipt
      }),
    )
    await until('three messages', () => held.length === 3)
    held[2]?.acknowledge()
    await until('the third', () => settled.length === 1)
    held[0]?.acknowledge()
    await until('the first', () => settled.length === 2)
    held[1]?.acknowledge()
    expect(await Promise.all(writes)).toEqual(['delivered', 'delivered', 'delivered'])
    expect(settled).toEqual([3, 1, 2])
  })

  it('F3: after an unknown acknowledgement the connection is closed, and what was open is in doubt', async () => {
    const server = await startServer({ take: (message) => message.acknowledge('somebody/0') })
    const sink = await openSink(server.port)
    const failure = await messageOf(sink.write(packed(5), delivery()))
    expect(failure).toContain('acknowledges a chunk that is not open: "somebody/0"')
    await until('the end of the connection', () => server.open === 0)
    server.take = (message) => message.acknowledge()
    expect(await sink.write(packed(5), delivery())).toBe('delivered')
  })

  it('F3: the same acknowledgement twice closes the connection', async () => {
    const server = await startServer({
      take: (message) => {
        message.acknowledge()
        message.acknowledge()
      },
    })
    const sink = await openSink(server.port)
    expect(await sink.write(packed(5), delivery())).toBe('delivered')
    await until('the end of the connection', () => server.open === 0)
  })

  it('F3: without acknowledgement a batch is in doubt when its time is over, and the connection is not used again', async () => {
    const server = await startServer({ take: () => undefined })
    const sink = await openSink(server.port, { ack_timeout: '150ms' })
    const began = performance.now()
    expect(await failureOf(sink.write(packed(5), delivery()))).toBe('in-doubt')
    expect(performance.now() - began).toBeGreaterThan(140)
    await until('the end of the connection', () => server.open === 0)
    server.take = (message) => message.acknowledge()
    expect(await sink.write(packed(5), delivery())).toBe('delivered')
    expect(server.connections).toBeGreaterThan(1)
  })

  it.each(['close', 'reset'] as const)('F3: all that is open is in doubt at once after a %s', async (end) => {
    const held: Received[] = []
    const server = await startServer({ take: (message) => held.push(message) })
    const sink = await openSink(server.port)
    const writes = [1, 2, 3].map((n) => failureOf(sink.write(packed(5, { first: 10 * n }), delivery())))
    await until('three messages', () => held.length === 3)
    const began = performance.now()
    held[0]?.[end]()
    expect(await Promise.all(writes)).toEqual(['in-doubt', 'in-doubt', 'in-doubt'])
    expect(performance.now() - began).toBeLessThan(500)
  })

  it('F3: what is acknowledged before the connection ends is delivered', async () => {
    const held: Received[] = []
    const server = await startServer({ take: (message) => held.push(message) })
    const sink = await openSink(server.port)
    const writes = [1, 2].map((n) => sink.write(packed(5, { first: 10 * n }), delivery()))
    await until('two messages', () => held.length === 2)
    held[0]?.acknowledge()
    held[0]?.close()
    expect(await writes[0]).toBe('delivered')
    expect(await failureOf(writes[1] as Promise<unknown>)).toBe('in-doubt')
  })

  it('F7: the receipt of a batch over 12 tags covers each entry when one chunk is never acknowledged', async () => {
    const server = await startServer({
      take: (message) => {
        if (message.tag !== 'unit.u7') message.acknowledge()
      },
    })
    const sink = await openSink(server.port, { tag: 'unit.${UNIT}', ack_timeout: '400ms' })
    const batch = packed(120, { fields: (n) => ({ UNIT: `u${n % 12}` }) })
    const receipt = partial(await sink.write(batch, delivery()))
    expect(accountsFor(receipt, 120)).toEqual([])
    expect(receipt).toMatchObject({ delivered: 110, retry: [], rejected: [] })
    // The batch begins with entry 1.
    expect(receipt.doubtful).toEqual(Array.from({ length: 10 }, (_, n) => 12 * n + 6))
  })

  it('closes after each chunk where the server says so', async () => {
    const server = await startServer({
      security: { sharedKey: 'k', keepalive: false },
      take: (message) => {
        message.acknowledge()
        message.close()
      },
    })
    const sink = await openSink(server.port, { shared_key: 'k', tag: 'unit.${UNIT}' })
    const batches = [1, 2, 3].map((n) => packed(4, { first: 10 * n, fields: (m) => ({ UNIT: `u${m % 2}` }) }))
    expect(await Promise.all(batches.map((batch) => sink.write(batch, delivery())))).toEqual(
      batches.map(() => 'delivered'),
    )
    expect(new Set(server.received.map(({ connection }) => connection)).size).toBe(6)
  })
})

describe('a reader that stalls', () => {
  it('X2: `sent` is said, and the next message begins, only when the socket has taken the last one', async () => {
    const server = await startServer()
    const sink = await openSink(server.port)
    server.pause()
    let sent = 0
    const stop = new AbortController()
    const writes = Array.from({ length: 20 }, (_, n) =>
      failureOf(
        sink.write(packed(500, { first: 1 + 500 * n, messageBytes: 1500 }), {
          signal: stop.signal,
          sent: () => void sent++,
        }),
      ),
    )
    await sleep(300)
    // 20 MB were offered; the buffers between two sockets of one machine take some of it.
    expect(sent).toBeLessThan(20)
    const began = performance.now()
    stop.abort()
    const failures = await Promise.all(writes)
    expect(performance.now() - began).toBeLessThan(1000)
    expect(failures.every((failure) => failure === 'in-doubt' || failure === 'unavailable')).toBe(true)
    expect(failures.at(-1)).toBe('unavailable')
    await until('the end of the connection', () => {
      server.resume()
      return server.open === 0
    })
  })

  it('X1: a write that is called off ends the connection that others share', async () => {
    const held: Received[] = []
    const server = await startServer({ take: (message) => held.push(message) })
    const sink = await openSink(server.port)
    const stop = new AbortController()
    const mine = failureOf(sink.write(packed(5), delivery(stop.signal)))
    const other = failureOf(sink.write(packed(5, { first: 6 }), delivery()))
    await until('both messages', () => held.length === 2)
    stop.abort()
    expect([await mine, await other]).toEqual(['in-doubt', 'in-doubt'])
    await until('the end of the connection', () => server.open === 0)
  })

  it('X1: calling off a write that is settled harms nobody', async () => {
    const server = await startServer()
    const sink = await openSink(server.port)
    const stop = new AbortController()
    await sink.write(packed(5), delivery(stop.signal))
    stop.abort()
    await sink.write(packed(5, { first: 6 }), delivery())
    expect(server.connections).toBe(1)
  })
})

describe('the configuration of the fluentd sink', () => {
  it.each([
    [{}, ['expected `host`, `path` or `servers`']],
    [{ host: 'a', path: '/b' }, ['path: expected only one of `host`, `path` and `servers`']],
    [{ host: 'a', tag: 'my tag' }, ['tag: expected letters, digits, `_`, `-` and single dots around the fields']],
    [{ host: 'a', tag: '${UNIT}.' }, ['tag: expected letters, digits, `_`, `-` and single dots around the fields']],
    [
      { host: 'a', user: 'u' },
      [
        'password: expected `user` and `password` together',
        'user: a server asks for a user only where it has a key: expected `shared_key`, too',
      ],
    ],
    [{ path: '/a', tls: {} }, ['tls: a Unix socket has no TLS']],
    [{ servers: [{ port: 1 }] }, ['servers.0: expected either `host` or `path`']],
    [{ host: 'a', tag: 'x.${A}.${B:-c}' }, []],
  ])('%j', (options, mistakes) => {
    expect(mistakesOf(options)).toEqual(mistakes)
  })
})
