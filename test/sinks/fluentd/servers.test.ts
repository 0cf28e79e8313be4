import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { FluentdSink } from '../../../sinks/fluentd.ts'
import type { Batch } from '../../../src/sink.ts'
import { delivery, failureOf, type TestHost, testHost } from '../../contract/sinkContract.ts'
import { ForwardServer, type ForwardServerOptions } from '../../support/forwardServer.ts'
import { tempDir } from '../../support/tempDir.ts'
import { cleanups, NEVER, startServer } from './kit.ts'
import { packed, sinkFor } from './sinks.ts'

async function start(...options: ForwardServerOptions[]): Promise<ForwardServer[]> {
  return Promise.all(options.map(startServer))
}

function sinkTo(
  servers: readonly ForwardServer[],
  options: object = {},
  weights: readonly number[] = [],
  host: TestHost = testHost(),
): FluentdSink {
  const sink = sinkFor(
    {
      servers: servers.map(({ port }, n) => ({
        host: '127.0.0.1',
        port,
        ...(weights[n] === undefined ? {} : { weight: weights[n] }),
      })),
      ...options,
    },
    host,
  )
  cleanups.push(() => sink.close(NEVER))
  return sink
}

let first = 1
function next(): Batch {
  const batch = packed(2, { first })
  first += 2
  return batch
}

async function ship(sink: FluentdSink, batches: number): Promise<void> {
  for (let n = 0; n < batches; n++) expect(await sink.write(next(), delivery())).toBe('delivered')
}

const counts = (servers: readonly ForwardServer[]) => servers.map(({ received }) => received.length)

describe('several servers, failover', () => {
  it('sends all to the first, to the second while the first is down, and to the first again', async () => {
    const servers = await start({}, {})
    const [one, two] = servers as [ForwardServer, ForwardServer]
    const host = testHost()
    const sink = sinkTo(servers, {}, [], host)
    await sink.open(NEVER)
    await ship(sink, 3)
    expect(counts(servers)).toEqual([3, 0])
    await one.close()
    await sleep(20)
    await ship(sink, 3)
    expect(counts(servers)).toEqual([3, 3])
    await one.listen()
    const began = performance.now()
    while (one.received.length === 3) {
      if (performance.now() - began > 5000) throw new Error('the first server is not used again')
      await ship(sink, 1)
      await sleep(20)
    }
    const used = two.received.length
    await ship(sink, 5)
    expect(two.received.length).toBe(used)
    expect(host.lines.map(({ level }) => level)).toEqual(['warn', 'info'])
    expect(host.lines[0]?.text).toMatch(/^cannot reach 127\.0\.0\.1:\d+: .*; using the other servers$/)
    expect(host.lines[1]?.text).toMatch(/can be reached again$/)
  })

  it('gives one batch, not all, to a server that is back from taking no data', async () => {
    const servers = await start({ take: () => undefined }, {})
    const sink = sinkTo(servers, { ack_timeout: '100ms' })
    expect(await failureOf(sink.write(next(), delivery()))).toBe('in-doubt')
    await ship(sink, 1)
    // The rest is over; the server takes connections, and still acknowledges nothing.
    await sleep(1100)
    const writes = Array.from({ length: 4 }, () =>
      sink.write(next(), delivery()).then(
        () => true,
        () => false,
      ),
    )
    expect((await Promise.all(writes)).filter((isDelivered) => !isDelivered)).toHaveLength(1)
  })

  it('opens with any of the servers, and says why none can be used', async () => {
    const [up, locked] = (await start({}, { security: { sharedKey: 'k' } })) as [ForwardServer, ForwardServer]
    const down = await ForwardServer.start()
    await down.close()
    const key = { shared_key: 'wrong' }
    await sinkTo([down, up]).open(NEVER)
    const refused = sinkTo([up, locked], key).open(NEVER)
    expect(await failureOf(refused)).toBe('refused')
    await expect(refused).rejects.toThrow(/no <security>.*; .*shared_key mismatch/)
    // It may be enough to wait for the one that is down.
    expect(await failureOf(sinkTo([down, locked], key).open(NEVER))).toBe('unavailable')
  })

  it('checks each server', async () => {
    const [up, locked] = (await start({}, { security: { sharedKey: 'k' } })) as [ForwardServer, ForwardServer]
    const sink = sinkTo([up, locked])
    expect(await sink.check(NEVER)).toEqual([
      { ok: true, text: `127.0.0.1:${up.port} can be reached` },
      { ok: false, text: expect.stringContaining('wants a shared key') },
    ])
    expect(counts([up, locked])).toEqual([0, 0])
  })
})

describe('several servers, balance', () => {
  it('shares batches by weight, and needs those of weight 0 only when the others are away', async () => {
    const servers = await start({}, {}, {})
    const sink = sinkTo(servers, { mode: 'balance' }, [60, 20, 0])
    await ship(sink, 40)
    expect(counts(servers)).toEqual([30, 10, 0])
    await servers[0]?.close()
    await sleep(20)
    await ship(sink, 4)
    expect(counts(servers)).toEqual([30, 14, 0])
    await servers[1]?.close()
    await sleep(20)
    await ship(sink, 4)
    expect(counts(servers)).toEqual([30, 14, 4])
  })
})

describe('one server', () => {
  it('can be a Unix socket', async () => {
    const path = `${tempDir()}/forward.sock`
    const [server] = (await start({ path })) as [ForwardServer]
    const sink = sinkFor({ path })
    cleanups.push(() => sink.close(NEVER))
    await sink.open(NEVER)
    await ship(sink, 2)
    expect(server.received).toHaveLength(2)
    expect(await sinkFor({ path: `${path}.no` }).check(NEVER)).toEqual([
      { ok: false, text: expect.stringMatching(/^cannot reach .*forward\.sock\.no: .*ENOENT/) },
    ])
  })

  it('is connected to once, whoever asks at the same time', async () => {
    const [server] = (await start({ security: { sharedKey: 'k' } })) as [ForwardServer]
    const sink = sinkFor({ host: '127.0.0.1', port: server.port, shared_key: 'k' })
    cleanups.push(() => sink.close(NEVER))
    await Promise.all(Array.from({ length: 10 }, () => sink.write(next(), delivery())))
    expect(server.connections).toBe(1)
  })

  it('is given up at once when it does not answer and nobody waits any more', async () => {
    const [server] = (await start({})) as [ForwardServer]
    server.pause()
    const sink = sinkFor({ host: '127.0.0.1', port: server.port, shared_key: 'k' }, testHost(), {
      connectTimeoutMs: 60_000,
      handshakeTimeoutMs: 60_000,
      heloWithinMs: 100,
    })
    const began = performance.now()
    expect(await failureOf(sink.write(next(), delivery(AbortSignal.timeout(100))))).toBe('unavailable')
    expect(performance.now() - began).toBeLessThan(1000)
    server.resume()
    while (server.open > 0) await sleep(5)
  })
})
