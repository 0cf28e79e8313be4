// Redis-fronted ELK: the real program pushes, Bento (which is not ours) takes with the configuration of the documentation, a real
// Elasticsearch indexes, and every document is compared with the journal.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis as Client } from 'ioredis'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { writeJournal } from '../../support/journals.ts'
import { describeWith } from '../../support/needs.ts'
import { startLogferry } from '../../support/program.ts'
import { type Elasticsearch, freePorts, type Redis, startElasticsearch, startRedis } from '../../support/services.ts'
import { tempDir } from '../../support/tempDir.ts'
import { differences, exact, expectedOf } from './fluentdKit.ts'
import { arrivedIn, connect, cursorsOfJournal, writeConfig } from './redisKit.ts'

const ENTRIES = 10_000
const NEEDS = ['redis-server', 'redis-cli', 'go', 'mvn', 'systemd-journal-remote', 'journalctl']
const ROOT = join(import.meta.dirname, '../../..')
const BENTO = join(ROOT, 'test/services/bento/start.sh')

interface Bento {
  kill(signal: NodeJS.Signals): Promise<void>
}

describeWith(NEEDS, 'the redis sink in front of Bento and Elasticsearch', () => {
  const home = tempDir()
  const journal = join(home, 'journal')
  const running: ChildProcess[] = []
  let server: Redis
  let client: Client
  let search: Elasticsearch

  beforeAll(async () => {
    await writeJournal(journal, 'a', { entries: ENTRIES, profile: 'mixed', seed: 23 })
    server = await startRedis('plain')
    client = connect(server.port)
    search = await startElasticsearch()
    execFileSync('bash', [BENTO, '--install'])
  })
  afterAll(async () => {
    for (const child of running) child.kill('SIGKILL')
    client.disconnect()
    server.remove()
    await search.remove()
  })

  it('R14: from a list, and what Bento loses when killed is shipped again without doubling the rest', async () => {
    await makeIndex('from-list')
    const config = writeConfig(home, journal, sinkWith('key: elk'))
    await backfill(config)
    const first = await startBento('from-list')
    await untilIndexed('from-list', ENTRIES / 4)
    await first.kill('SIGKILL')
    const second = await startBento('from-list')
    await untilEmpty('elk')
    // It takes one element at a time, up to its own batch of 500 and those under way.
    await sleep(2500)
    expect(ENTRIES - (await countIn('from-list'))).toBeLessThan(3000)
    // The same range once more, a job of its own: documents that are there stay what they are.
    await backfill(config)
    await untilEmpty('elk')
    await untilIndexed('from-list', ENTRIES)
    await second.kill('SIGTERM')
    expect(await documentsDiffer('from-list')).toEqual([])
  })

  it('R14: from a stream, by a consumer group that is killed again and again: every document, once', async () => {
    await makeIndex('from-stream')
    await backfill(writeConfig(home, journal, sinkWith('mode: stream, key: elk-stream')))
    const input = `redis_streams: { url: "redis://127.0.0.1:${server.port}", streams: [elk-stream], body_key: message,
    consumer_group: bento, client_id: one, create_streams: true, start_from_oldest: true, limit: 500, commit_period: 100ms, timeout: 1s }`
    for (let kill = 1; kill <= 3; kill++) {
      const bento = await startBento('from-stream', input)
      await untilIndexed('from-stream', (ENTRIES * kill) / 5)
      await bento.kill('SIGKILL')
    }
    const last = await startBento('from-stream', input)
    await untilIndexed('from-stream', ENTRIES)
    await last.kill('SIGTERM')
    expect(await documentsDiffer('from-stream')).toEqual([])
  })

  const sinkWith = (options: string) =>
    `{ type: redis, url: "redis://127.0.0.1:${server.port}", binary: array, ${options} }`

  async function backfill(config: string): Promise<void> {
    const run = startLogferry(['backfill', '--config', config, '--sink', 'out'])
    expect(await run.ended, run.stderr()).toBe(0)
  }

  async function makeIndex(name: string): Promise<void> {
    // Odd names and values of all sorts: kept as they are, not mapped.
    const settings = { number_of_replicas: 0, max_result_window: ENTRIES }
    await search.ask('PUT', `/${name}`, { mappings: { dynamic: false }, settings })
  }

  async function countIn(name: string): Promise<number> {
    await search.ask('POST', `/${name}/_refresh`)
    return Number((await search.ask('GET', `/${name}/_count`)).body['count'])
  }

  async function untilIndexed(name: string, count: number): Promise<void> {
    for (const end = Date.now() + 60_000; (await countIn(name)) < count; await sleep(50))
      if (Date.now() > end) throw new Error(`${await countIn(name)} of ${count} documents`)
  }

  async function untilEmpty(key: string): Promise<void> {
    for (const end = Date.now() + 60_000; (await client.llen(key)) > 0; await sleep(50))
      if (Date.now() > end) throw new Error(`${await client.llen(key)} elements are left`)
  }

  /** The documents of an index against the journal; empty when each entry is there once with all its fields. */
  async function documentsDiffer(name: string): Promise<string[]> {
    const { body } = await search.ask('POST', `/${name}/_search`, { size: ENTRIES })
    const { hits } = body['hits'] as { hits: { _id: string; _source: Record<string, unknown> }[] }
    expect(hits.filter(({ _id }) => !/^[-0-9A-Z_a-z]{34}$/.test(_id))).toEqual([])
    const place = new Map(cursorsOfJournal(journal).map((cursor, index) => [cursor, index]))
    const arrived = hits
      .map(({ _source }) => arrivedIn(_source))
      .sort((a, b) => (place.get(a.cursor) ?? -1) - (place.get(b.cursor) ?? -1))
    return differences(arrived, expectedOf(journal, exact))
  }

  /** Bento with the configuration of docs/sinks/redis.md, at the servers of this test. */
  async function startBento(index: string, input?: string): Promise<Bento> {
    const page = readFileSync(join(ROOT, 'docs/sinks/redis.md'), 'utf8')
    const port = await freePorts(1)
    const yaml = (/## Bento\n\n```yaml\n([\s\S]*?)```/.exec(page)?.[1] ?? '')
      .replace('redis://redis.example.org:6379', `redis://127.0.0.1:${server.port}`)
      .replace('key: logstash', 'key: elk')
      .replace(/redis_list: .*/, (list) => input ?? list)
      .replace('http://es.example.org:9200', search.url)
      .replace('index: journald', `index: ${index}`)
    const path = join(home, `bento-${port}.yaml`)
    writeFileSync(path, `http: { enabled: true, address: "127.0.0.1:${port}" }\nlogger: { level: NONE }\n${yaml}`)
    const child = spawn('bash', [BENTO, '--run', path], { stdio: 'ignore' })
    running.push(child)
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    return {
      kill: (signal) => {
        child.kill(signal)
        return ended
      },
    }
  }
})
