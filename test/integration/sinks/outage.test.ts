// Six sinks in one run while entries keep coming: their destinations stop, answer that they are busy, reset, hang, take half. Elasticsearch,
// Redis and the collector are real ones behind proxies; the file has no outage and shows that nobody waits for the others.
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis as Client } from 'ioredis'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { makeEntries } from '../../support/entries.ts'
import { type Fault, FaultyHttp, type Passed } from '../../support/faultyHttp.ts'
import { writeJournal } from '../../support/journals.ts'
import { describeWith } from '../../support/needs.ts'
import { type Running, standstill, startLogferry } from '../../support/program.ts'
import {
  type Collector,
  type Elasticsearch,
  type Redis,
  startCollector,
  startElasticsearch,
  startRedis,
} from '../../support/services.ts'
import { compare, cursorsOf, lastCursor, shippedLines } from '../../support/shipment.ts'
import { startTcpProxy, type TcpProxy } from '../../support/tcpProxy.ts'
import { tempDir } from '../../support/tempDir.ts'
import { storedIn } from './elasticsearchKit.ts'
import { arrivedAt, counterOf } from './fluentdKit.ts'
import { connect, cursorsIn, cursorsOfJournal, elementsIn } from './redisKit.ts'
import { eventsAt } from './splunkKit.ts'

const STOPPED_MS = 60_000
const FAULT_MS = 10_000
/** Entries flow again so soon after a destination is back. */
const BACK_MS = 10_000
/** By then the backlog of the long outage is delivered. */
const CAUGHT_UP_MS = 25_000
/** Entries that are logged each second, and for how long at most. */
const RATE = 250
const MOST_SECONDS = 280
/**
 * What the process may grow by while everything is away, and over all the shorter outages. What is kept to be fast fills up at first, and
 * catching up takes all of `memory` for batches under way for the first time.
 */
const FLAT_BYTES = 20e6
const SETTLED_BYTES = 50e6
const NEEDS = ['mvn', 'go', 'redis-server', 'redis-cli', 'systemd-journal-remote', 'journalctl']

describeWith(NEEDS, 'six sinks in one run', () => {
  const home = tempDir()
  const journal = join(home, 'journal')
  const file = join(home, 'out.ndjson')
  let search: Elasticsearch
  let redis: Redis
  let client: Client
  let collector: Collector
  let intake: { server: Server; lines: string[] }
  let http: Record<'elasticsearch' | 'splunk' | 'http', FaultyHttp>
  let tcp: Record<'elasticsearch' | 'splunk' | 'http' | 'redis' | 'fluentd', TcpProxy>
  let run: Running
  let fed = 0
  let isFeeding = true
  let feeding: Promise<unknown>
  let counts: Record<string, () => Promise<number> | number>
  const memory: { readonly at: number; readonly bytes: number }[] = []
  let stoppedAt = 0
  let sampling: NodeJS.Timeout

  beforeAll(async () => {
    search = await startElasticsearch()
    await search.ask('PUT', '/journal', {
      mappings: { dynamic: false },
      settings: { 'index.refresh_interval': '-1', 'index.translog.durability': 'async', number_of_replicas: 0 },
    })
    redis = await startRedis('plain')
    client = connect(redis.port)
    collector = await startCollector()
    intake = await startIntake()
    http = {
      elasticsearch: await FaultyHttp.start({ upstream: search.port, ...BULK }),
      splunk: await FaultyHttp.start({ upstream: collector.port, ...HEC }),
      http: await FaultyHttp.start({ upstream: (intake.server.address() as AddressInfo).port, ...LINES }),
    }
    tcp = {
      elasticsearch: await startTcpProxy(http.elasticsearch.port),
      splunk: await startTcpProxy(http.splunk.port),
      http: await startTcpProxy(http.http.port),
      redis: await startTcpProxy(redis.port),
      fluentd: await startTcpProxy(collector.forwardPort),
    }
    const events = counterOf(collector, 'hec')
    const records = counterOf(collector, 'fwd')
    counts = {
      elasticsearch: async () => {
        const { body } = await search.ask(
          'GET',
          '/journal/_stats/indexing?filter_path=_all.primaries.indexing.index_total',
        )
        return (body as { _all: { primaries: { indexing: { index_total: number } } } })._all.primaries.indexing
          .index_total
      },
      splunk: events,
      http: () => intake.lines.length,
      redis: () => client.llen('logs'),
      fluentd: records,
    }
    feeding = writeJournal(journal, 'live', feed())
    while (!existsSync(join(journal, 'live.journal'))) await sleep(20)
    run = startLogferry(['run', '--config', configuration()])
    sampling = setInterval(() => memory.push({ at: Date.now(), bytes: residentOf(run.child.pid ?? 0) }), 500)
  })
  afterAll(async () => {
    clearInterval(sampling)
    isFeeding = false
    run?.kill('SIGKILL')
    await feeding
    client?.disconnect()
    for (const proxy of Object.values(tcp ?? {})) await proxy.close()
    for (const proxy of Object.values(http ?? {})) await proxy.close()
    intake?.server.close()
    redis?.remove()
    await Promise.all([search?.remove(), collector?.remove()])
  })

  /** Entries as they are logged: some pieces of a fraction of a second each. */
  async function* feed(): AsyncGenerator<Buffer> {
    const begun = Date.now()
    for (const piece of makeEntries({ entries: RATE * MOST_SECONDS, profile: 'dcos-node', seed: 41 })) {
      if (!isFeeding) return
      fed += piece.toString('latin1').split('\n__REALTIME_TIMESTAMP=').length
      yield piece
      await sleep(Math.max(0, begun + (fed / RATE) * 1000 - Date.now()))
    }
  }

  function configuration(): string {
    const at = (name: keyof typeof tcp) => `http://127.0.0.1:${tcp[name].port}`
    const path = join(home, 'logferry.yaml')
    writeFileSync(
      path,
      `state: ${home}/state
journal: { directories: [${journal}], start: oldest }
log: { level: warn }
sinks:
  elasticsearch: { type: elasticsearch, nodes: ["${at('elasticsearch')}"], index: journal }
  splunk: { type: splunk, url: "${at('splunk')}", token: hush-token, compress: none }
  http: { type: http, url: "${at('http')}/in" }
  redis: { type: redis, url: "redis://127.0.0.1:${tcp.redis.port}", key: logs }
  fluentd: { type: fluentd, host: 127.0.0.1, port: ${tcp.fluentd.port} }
  file: { type: file, path: ${file} }
`,
    )
    return path
  }

  async function allCounts(): Promise<Record<string, number>> {
    return Object.fromEntries(
      await Promise.all(Object.entries(counts).map(async ([name, count]) => [name, await count()])),
    )
  }

  /** All have more than `before` within `ms`. How long each took. */
  async function flow(before: Readonly<Record<string, number>>, ms: number): Promise<Record<string, number>> {
    const since = Date.now()
    const took: Record<string, number> = {}
    for (;;) {
      for (const [name, count] of Object.entries(await allCounts()))
        if (count > (before[name] ?? 0)) took[name] ??= Date.now() - since
      if (Object.keys(before).every((name) => name in took)) return took
      if (Date.now() - since > ms)
        throw new Error(`after ${ms} ms entries flow only to ${Object.keys(took)}\n${run.stderr()}`)
      await sleep(50)
    }
  }

  /** The file gets what is logged now. */
  async function fileGoesOn(): Promise<void> {
    const before = lastCursor(file)
    const size = statSync(file).size
    await sleep(3000)
    expect(lastCursor(file)).not.toBe(before)
    expect(statSync(file).size).toBeGreaterThan(size)
  }

  it('all get entries at first', async () => {
    await flow(await allCounts(), 30_000)
    await sleep(3000)
  })

  it(`stopped for ${STOPPED_MS / 1000} s: the file goes on, and all others within ${BACK_MS / 1000} s of their return`, async () => {
    for (const proxy of Object.values(tcp)) await proxy.refuse()
    stoppedAt = Date.now()
    await sleep(STOPPED_MS - 3000)
    await fileGoesOn()
    // What was under way when the connections ended has arrived by now.
    const before = await allCounts()
    for (const proxy of Object.values(tcp)) await proxy.accept()
    await flow(before, BACK_MS)
  })

  /** What the others do who have no words for it: they are away, reset, hang, break off in the middle. */
  function disturb(fault: Fault): () => void {
    const others = [tcp.redis, tcp.fluentd]
    if (fault === 'hang') {
      for (const proxy of others) proxy.pauseReplies()
      return () => {
        for (const proxy of others) proxy.resumeReplies()
      }
    }
    if (fault === 'half' || fault === 'reset') {
      const timer = setInterval(() => {
        for (const proxy of others) {
          if (fault === 'reset') proxy.cutAll()
          proxy.forgetCuts()
          if (fault === 'half') void proxy.cutAfter(20_000, 'request')
        }
      }, 500)
      return () => {
        clearInterval(timer)
        for (const proxy of others) proxy.forgetCuts()
      }
    }
    for (const proxy of others) void proxy.refuse()
    return () => {
      for (const proxy of others) void proxy.accept()
    }
  }

  it.each(['busy', 'limited', 'reset', 'hang', 'half'] as const)(`for ${FAULT_MS / 1000} s each: %s`, async (fault) => {
    const known = Object.values(http).map(({ met }) => met[fault])
    for (const proxy of Object.values(http)) proxy.become(fault)
    const end = disturb(fault)
    await Promise.all([fileGoesOn(), sleep(FAULT_MS)])
    const met = Object.values(http).map((proxy, n) => proxy.met[fault] - (known[n] ?? 0))
    expect(
      met.every((requests) => requests > 0),
      `met by ${met} requests`,
    ).toBe(true)
    const before = await allCounts()
    for (const proxy of Object.values(http)) proxy.become('none')
    end()
    await flow(before, BACK_MS)
  })

  it('nothing was lost, nothing doubled where that is promised, and memory stayed flat', async () => {
    isFeeding = false
    await feeding
    const expected = cursorsOfJournal(journal)
    expect(expected.length).toBeGreaterThan(20_000)
    const missing = async () => {
      const found = await arrived()
      return Object.entries(found)
        .filter(([, cursors]) => compare(cursors, expected).lost > 0)
        .map(([name]) => name)
    }
    const deadline = Date.now() + 90_000
    do await standstill(async () => JSON.stringify(await allCounts()))
    while ((await missing()).length > 0 && Date.now() < deadline)
    expect(await missing()).toEqual([])
    run.kill('SIGTERM')
    expect(await run.ended, run.stderr()).toBe(0)
    const found = await arrived()
    const outcome = (name: string) => compare(found[name] ?? [], expected)
    const exact = { lost: 0, repeated: 0, foreign: 0, ordered: true }
    expect(outcome('file')).toEqual(exact)
    expect(outcome('redis')).toEqual(exact)
    expect(outcome('elasticsearch')).toMatchObject({ lost: 0, repeated: 0, foreign: 0 })
    for (const name of ['splunk', 'fluentd', 'http']) expect(outcome(name)).toMatchObject({ lost: 0, foreign: 0 })
    // No entry was given up.
    for (const name of Object.keys(found)) expect(existsSync(join(home, 'state', name, 'dead'))).toBe(false)
    const peak = (from: number, to: number) =>
      Math.max(...memory.filter(({ at }) => at >= from && at <= to).map(({ bytes }) => bytes))
    const half = stoppedAt + STOPPED_MS / 2
    const back = stoppedAt + STOPPED_MS
    const [early, late] = [peak(stoppedAt, half), peak(half, back)]
    expect(late - early, `${early} bytes, then ${late}`).toBeLessThan(FLAT_BYTES)
    const [caughtUp, end] = [peak(back, back + CAUGHT_UP_MS), peak(back, Infinity)]
    expect(end - caughtUp, `${caughtUp} bytes, then ${end}`).toBeLessThan(SETTLED_BYTES)
  })

  async function arrived(): Promise<Record<string, string[]>> {
    const cursor = /"__CURSOR":"([^"]*)"/
    return {
      elasticsearch: (await storedIn(search, 'journal')).map(({ source }) => cursor.exec(source.toString())?.[1] ?? ''),
      splunk: eventsAt(collector).map((event) => event.cursor),
      http: intake.lines.map((line) => cursor.exec(line)?.[1] ?? ''),
      redis: cursorsIn(await elementsIn(client, 'list', 'logs')),
      fluentd: arrivedAt(collector).map((record) => record.cursor),
      file: cursorsOf(shippedLines(file)),
    }
  }
})

function residentOf(pid: number): number {
  try {
    return 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
  } catch {
    return 0 // it has ended
  }
}

/** A receiver that keeps lines. */
async function startIntake(): Promise<{ server: Server; lines: string[] }> {
  const lines: string[] = []
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    lines.push(
      ...Buffer.concat(parts)
        .toString()
        .split('\n')
        .filter((line) => line !== ''),
    )
    response.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { server, lines }
}

const json = (status: number, body: string): Passed => ({
  status,
  headers: { 'content-type': 'application/json', 'x-elastic-product': 'Elasticsearch' },
  body: Buffer.from(body),
})

/** Half of a bulk request is stored, the rest refused for the time being, item by item. */
const BULK = {
  busy: {
    headers: { 'x-elastic-product': 'Elasticsearch' },
    body: '{"error":{"type":"es_rejected_execution_exception"},"status":429}',
  },
  halve: (path: string, body: Buffer) => {
    const lines = body.toString('latin1').split('\n').slice(0, -1)
    if (!path.includes('_bulk') || lines.length < 4) return undefined
    const kept = Math.floor(lines.length / 4) * 2
    return { first: Buffer.from(`${lines.slice(0, kept).join('\n')}\n`, 'latin1'), left: (lines.length - kept) / 2 }
  },
  answerHalf: ({ status, body }: Passed, left: number) => {
    const { items } = JSON.parse(body.toString()) as { items: object[] }
    const error = { type: 'es_rejected_execution_exception', reason: 'rejected execution of coordinating operation' }
    const refused = Array.from({ length: left }, () => ({ create: { status: 429, error } }))
    return json(status, JSON.stringify({ errors: true, items: [...items, ...refused] }))
  },
}

/** The server has taken some events and then says that it is busy (code 9), so nobody knows which. */
const HEC = {
  busy: { body: '{"text":"Server is busy","code":9}' },
  halve: (path: string, body: Buffer) => {
    const events = body.toString('latin1').split(/(?<=\})\s*(?=\{"time":)/)
    if (!path.endsWith('/event') || events.length < 2) return undefined
    const kept = Math.floor(events.length / 2)
    return { first: Buffer.from(events.slice(0, kept).join(''), 'latin1'), left: events.length - kept }
  },
  answerHalf: () => json(503, '{"text":"Server is busy","code":9}'),
}

const LINES = {
  busy: { body: 'later' },
  halve: (_path: string, body: Buffer) => {
    const lines = body.toString('latin1').split('\n').slice(0, -1)
    if (lines.length < 2) return undefined
    const kept = Math.floor(lines.length / 2)
    return { first: Buffer.from(`${lines.slice(0, kept).join('\n')}\n`, 'latin1'), left: lines.length - kept }
  },
  answerHalf: () => json(503, 'later'),
}
