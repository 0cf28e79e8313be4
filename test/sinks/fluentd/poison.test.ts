import { describe, expect, it } from 'vitest'
import type { FluentdSink } from '../../../sinks/fluentd.ts'
import type { Batch } from '../../../src/sink.ts'
import { accountsFor, delivery, failureOf, recordsOf, testHost } from '../../contract/sinkContract.ts'
import type { Received } from '../../support/forwardServer.ts'
import { openSink, startProxy, startServer, texts } from './kit.ts'
import { packed } from './sinks.ts'

describe('poison', () => {
  /** As the pipeline does: again, in halves, or to the dead letters. Returns the indexes that were rejected. */
  async function deliver(
    sink: FluentdSink,
    first: Batch,
    cut: (indexes: readonly number[]) => Batch,
  ): Promise<{ dead: number[]; attempts: number }> {
    const work: (readonly number[])[] = [Array.from({ length: first.ends.length }, (_, n) => n)]
    const dead: number[] = []
    let attempts = 0
    for (let indexes = work.pop(); indexes !== undefined; indexes = work.pop()) {
      if (++attempts > 400) throw new Error('no end')
      try {
        const receipt = await sink.write(cut(indexes), delivery())
        if (receipt === 'delivered') continue
        expect(accountsFor(receipt, indexes.length)).toEqual([])
        const of = (list: readonly number[]) => list.map((n) => indexes[n] as number)
        dead.push(...of(receipt.rejected.map(({ index }) => index)))
        const again = of([...receipt.retry, ...(receipt.doubtful ?? [])]).sort((a, b) => a - b)
        if (again.length > 0) work.push(again)
      } catch (error) {
        const { failure } = error as { failure?: string }
        if (failure === undefined) throw error
        const half = indexes.length >> 1
        if (failure === 'too-large') work.push(indexes.slice(half), indexes.slice(0, half))
        else work.push(indexes)
      }
    }
    return { dead, attempts }
  }

  const POISONED = 67
  const isPoison = (message: Received) => message.entries.some(({ record }) => record.includes('POISON'))
  const cut = (indexes: readonly number[]) => {
    // Entries keep their keys, whatever batch they are in.
    const parts = indexes.map((index) =>
      packed(1, { first: index + 1, fields: (n) => (n === POISONED + 1 ? { MESSAGE: 'POISON' } : {}) }),
    )
    return joined(parts)
  }

  it.each(['close', 'reset'] as const)(
    'F8: an entry on which the server answers with a %s is found in halves and given up, all others arrive',
    async (end) => {
      const server = await startServer({
        take: (message) => (isPoison(message) ? message[end]() : message.acknowledge()),
      })
      const host = testHost()
      const sink = await openSink(server.port, {}, host)
      const { dead, attempts } = await deliver(sink, packed(100), cut)
      expect(dead).toEqual([POISONED])
      expect(attempts).toBeLessThan(40)
      const good = server.received.filter((message) => !isPoison(message)).flatMap(({ entries }) => entries)
      expect(new Set(good.map(({ record }) => record.toString('latin1'))).size).toBe(99)
      expect(host.lines.filter(({ level }) => level === 'warn').length).toBeGreaterThan(3)
    },
  )

  it('F8: a server that drops a chunk without a word', async () => {
    const server = await startServer({
      take: (message) => {
        if (!isPoison(message)) message.acknowledge()
      },
    })
    const sink = await openSink(server.port, { ack_timeout: '30ms' })
    const { dead } = await deliver(sink, packed(100), cut)
    expect(dead).toEqual([POISONED])
  })

  it('F8: a server with a limit gets smaller chunks, and loses nothing', async () => {
    const server = await startServer({
      take: (message) => (message.raw.length > 30_000 ? message.close() : message.acknowledge()),
    })
    const sink = await openSink(server.port)
    const large = (indexes: readonly number[]) =>
      joined(indexes.map((index) => packed(1, { first: index + 1, messageBytes: 3000 })))
    const { dead } = await deliver(sink, packed(40), large)
    expect(dead).toEqual([])
    const good = server.received.filter(({ raw }) => raw.length <= 30_000)
    expect(new Set(texts(good.flatMap(({ entries }) => entries.map(({ record }) => record)))).size).toBe(40)
  })

  it('F8: while the server takes nothing at all, nothing is poison', async () => {
    const server = await startServer({ take: (message) => message.close() })
    const sink = await openSink(server.port)
    for (let attempt = 0; attempt < 8; attempt++)
      expect(await failureOf(sink.write(packed(1), delivery()))).toBe('in-doubt')
    server.take = (message) => message.acknowledge()
    expect(await sink.write(packed(1), delivery())).toBe('delivered')
  })

  it('F8: others go on while one chunk fails again and again', async () => {
    const server = await startServer({
      take: (message) => (isPoison(message) ? message.close() : message.acknowledge()),
    })
    const sink = await openSink(server.port)
    const bad = packed(2, { fields: () => ({ MESSAGE: 'POISON' }) })
    expect(await failureOf(sink.write(bad, delivery()))).toBe('in-doubt')
    for (let round = 0; round < 2; round++) {
      const good = sink.write(packed(5, { first: 100 }), delivery())
      expect(await failureOf(sink.write(bad, delivery()))).toBe('in-doubt')
      expect(await good).toBe('delivered')
    }
    expect(await failureOf(sink.write(bad, delivery()))).toBe('too-large')
  })

  it('sends a chunk once alone after its connection was cut, and as the others from then on', async () => {
    const server = await startServer()
    const proxy = await startProxy(server.port)
    const sink = await openSink(proxy.port)
    proxy.dropNextReply()
    const batch = packed(5)
    expect(await failureOf(sink.write(batch, delivery()))).toBe('in-doubt')
    expect(await sink.write(batch, delivery())).toBe('delivered')
    expect(await sink.write(packed(5, { first: 6 }), delivery())).toBe('delivered')
    expect(await sink.write(packed(5, { first: 11 }), delivery())).toBe('delivered')
    const used = server.received.map(({ connection }) => connection)
    expect(used[2]).toBe(used[3])
  })
})

/** One batch of several, entry by entry. */
function joined(parts: readonly Batch[]): Batch {
  const records = Buffer.concat(parts.map((part) => part.records))
  let bytes = 0
  const ends = Uint32Array.from(
    parts.flatMap((part) => recordsOf(part, 'msgpack')),
    (record) => {
      bytes += record.length
      return bytes
    },
  )
  const first = parts[0] as Batch
  return {
    ...first,
    id: `${first.id}-${parts.length}`,
    entries: parts.flatMap((part) => part.entries),
    records: new Uint8Array(records),
    ends,
    keys: new Uint8Array(Buffer.concat(parts.map((part) => part.keys))),
    realtimes: Float64Array.from(parts.flatMap((part) => [...part.realtimes])),
  }
}
