// The example files, started as they stand by the real program: addresses and secrets come through their variables, and only what names
// folders, or a port of this machine, is replaced. What is in the journal before the start stays there, what is logged afterwards arrives.
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type EventTime, FluentServer } from '@fluent-org/logger'
import type { Redis as Client } from 'ioredis'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { type Certificates, makeCertificates, serverOptions } from '../../support/certificates.ts'
import { journalctl, writeJournal } from '../../support/journals.ts'
import { describeWith } from '../../support/needs.ts'
import { type Running, startLogferry, until } from '../../support/program.ts'
import {
  type Collector,
  type Elasticsearch,
  freePorts,
  type Redis,
  type Service,
  startBento,
  startCollector,
  startElasticsearch,
  startNginx,
  startRedis,
} from '../../support/services.ts'
import { compare } from '../../support/shipment.ts'
import { tempDir } from '../../support/tempDir.ts'
import { storedIn } from './elasticsearchKit.ts'
import { connect } from './redisKit.ts'
import { eventsAt } from './splunkKit.ts'

const ENTRIES = 2000
const EXAMPLES = join(import.meta.dirname, '../../../config/examples')
const NEEDS = ['mvn', 'go', 'nginx', 'openssl', 'redis-server', 'redis-cli', 'systemd-journal-remote', 'journalctl']

interface Started {
  readonly run: Running
  /** journalctl's entries of the part that was logged after the start. */
  readonly logged: readonly Readonly<Record<string, string>>[]
}

describeWith(NEEDS, 'an example file, started', () => {
  const home = tempDir()
  let certificates: Certificates
  let search: Elasticsearch
  let front: Service
  let redis: Redis
  let client: Client
  let collectors: readonly Collector[]
  let fluentd: FluentServer
  let runs: Running[] = []
  /** What Fluentd has got. */
  let fluentdRecords: { tag: string; record: Record<string, string> }[] = []
  let env: Record<string, string>

  beforeAll(async () => {
    certificates = makeCertificates(home)
    search = await startElasticsearch()
    front = await startNginx(search.port)
    redis = await startRedis('plain')
    client = connect(redis.port)
    const hecTls = certificates.server
    collectors = await Promise.all([startCollector({ hecTls }), startCollector({ hecTls })])
    fluentd = new FluentServer({
      listenOptions: { port: 0, host: '127.0.0.1' },
      tlsOptions: serverOptions(certificates),
      security: { serverHostname: 'server', sharedKey: 'hush-key', authorize: false, userDict: {} },
    })
    fluentd.on('entry', (tag: string, _time: EventTime, record: Record<string, string>) =>
      fluentdRecords.push({ tag, record }),
    )
    await fluentd.listen()
    // This Elasticsearch lacks the native library that the template's codec needs: overridden as people do it, by a component of their own.
    for (const name of ['logs-journald', 'kernel'])
      await search.ask('PUT', `/_component_template/${name}@custom`, {
        template: { settings: { 'index.codec': 'default' } },
      })
    // The user of docs/sinks/redis.md, with no more permissions than it says there.
    const page = readFileSync(join(import.meta.dirname, '../../../docs/sinks/redis.md'), 'utf8')
    const user = /^ACL SETUSER (.*)$/m.exec(page)?.[1]?.replace('PASSWORD', 'hush-redis')
    redis.cli(['ACL', 'SETUSER', ...(user ?? '').split(' ')])
    // Authorities of one's own, as an operator gives them to the service: the examples rely on those of the system.
    const authorities = join(home, 'authorities.pem')
    writeFileSync(
      authorities,
      [certificates.ca, join(front.dir, 'tls.crt')].map((path) => readFileSync(path, 'utf8')).join(''),
    )
    env = {
      NODE_EXTRA_CA_CERTS: authorities,
      ES: `https://localhost:${front.port + 1}`,
      ES_PASSWORD: 'secret',
      REDIS_URL: `redis://127.0.0.1:${redis.port}`,
      REDIS_PASSWORD: 'hush-redis',
      SPLUNK_1: 'localhost',
      SPLUNK_2: '127.0.0.1',
      SPLUNK_URL: `https://localhost:${collectors[0]?.port}`,
      SPLUNK_TOKEN: 'hush-token',
      FLUENTD_1: 'localhost',
      FLUENTD_2: 'localhost',
      FLUENTD_HOST: 'localhost',
      FLUENTD_PORT: String(fluentd.port),
      FLUENTD_SHARED_KEY: 'hush-key',
      CLUSTER: 'test',
    }
  })
  afterEach(async () => {
    for (const run of runs) {
      run.kill('SIGKILL')
      await run.ended
    }
    runs = []
    fluentdRecords = []
    await client.del('logstash')
  })
  afterAll(async () => {
    await fluentd?.close()
    client?.disconnect()
    redis?.remove()
    await Promise.all([front?.remove(), search?.remove(), ...(collectors ?? []).map((collector) => collector.remove())])
  })

  /** Starts an example on a journal of its own, and logs something once all its sinks are open. */
  async function start(name: string, replacements: readonly (readonly [string, string])[] = []): Promise<Started> {
    const dir = mkdtempSync(join(home, `${name}-`))
    const journal = join(dir, 'journal')
    // Longer ago than any example goes back.
    await writeJournal(journal, 'before', { entries: 100, seed: 1, start: (Date.now() - 86_400_000) * 1000 })
    const text = readFileSync(join(EXAMPLES, `${name}.yaml`), 'utf8')
    const metrics = await freePorts(1)
    const adapted = [
      ['journal:\n', `journal:\n  directories: [${journal}]\n`],
      ['/var/lib/logferry', join(dir, 'state')],
      ['127.0.0.1:9105', `127.0.0.1:${metrics}`],
      ...replacements,
    ].reduce((yaml, [from = '', to = '']) => {
      expect(yaml).toContain(from)
      return yaml.replaceAll(from, to)
    }, text)
    const path = join(dir, `${name}.yaml`)
    writeFileSync(path, adapted)
    const run = startLogferry(['run', '--config', path], { env })
    runs.push(run)
    const sinks = (text.match(/^ {4}type:/gm) ?? []).length
    await until(
      'open sinks',
      () => run.child.exitCode !== null || (run.stderr().match(/is open/g) ?? []).length >= sinks,
    )
    expect(run.child.exitCode, run.stderr()).toBeNull()
    expect((await fetch(`http://127.0.0.1:${metrics}/health/ready`)).status).toBe(200)
    const now = await writeJournal(journal, 'now', { entries: ENTRIES, seed: 2, start: Date.now() * 1000 })
    const lines = journalctl(['--file', now, '-o', 'json', '--all']).toString().trimEnd().split('\n')
    return { run, logged: lines.map((line) => JSON.parse(line) as Record<string, string>) }
  }

  /** SIGTERM: it ends in good order, and has shown no secret. */
  async function stop({ run }: Started): Promise<void> {
    run.kill('SIGTERM')
    expect(await run.ended, run.stderr()).toBe(0)
    expect(run.stderr() + run.stdout()).not.toMatch(/hush/)
  }

  async function eventually(what: string, count: () => Promise<number> | number, wanted: number): Promise<void> {
    for (const end = Date.now() + 60_000; ; await sleep(100)) {
      const found = await count()
      if (found >= wanted) return
      if (Date.now() > end)
        throw new Error(`${found} of ${wanted} ${what}\n${runs.map((run) => run.stderr()).join('')}`)
    }
  }

  const indexed = async (index: string) => {
    await search.ask('POST', `/${index}/_refresh?ignore_unavailable=true`)
    return Number((await search.ask('GET', `/${index}/_count?ignore_unavailable=true`)).body['count'] ?? 0)
  }
  const documentsOf = async (index: string) =>
    (await storedIn(search, index)).map(({ source }) => JSON.parse(source.toString()) as Document)
  const cursorsOf = (logged: readonly Readonly<Record<string, string>>[]) =>
    logged.map((entry) => entry['__CURSOR'] ?? '')
  const eachOnce = (found: readonly string[], logged: readonly Readonly<Record<string, string>>[]) => {
    const { lost, repeated, foreign } = compare(found, cursorsOf(logged))
    expect({ lost, repeated, foreign }).toEqual({ lost: 0, repeated: 0, foreign: 0 })
  }
  const events = () => collectors.flatMap(eventsAt)
  /** Those of one journal: each start has its own. */
  const eventsOf = (logged: Started['logged']) => {
    const cursors = new Set(cursorsOf(logged))
    return events().filter(({ cursor }) => cursors.has(cursor))
  }

  interface Document {
    readonly message: string
    readonly host: { readonly name: string }
    readonly event: { readonly id: string }
    readonly journald: { readonly cursor: string }
    readonly log: { readonly level: string }
  }

  it('ELK: elk.yaml, behind TLS and a password, into a data stream and an index for the kernel', async () => {
    const started = await start('elk')
    const kernel = started.logged.filter((entry) => entry['_TRANSPORT'] === 'kernel')
    const others = started.logged.filter((entry) => entry['_TRANSPORT'] !== 'kernel')
    expect(kernel.length).toBeGreaterThan(10)
    await eventually('documents', () => indexed('logs-journald-default'), others.length)
    await eventually('documents', () => indexed('kernel-*'), kernel.length)
    await stop(started)
    const documents = await documentsOf('logs-journald-default')
    eachOnce(
      documents.map(({ journald }) => journald.cursor),
      others,
    )
    eachOnce(
      (await documentsOf('kernel-*')).map(({ journald }) => journald.cursor),
      kernel,
    )
    const messages = new Map(started.logged.map((entry) => [entry['__CURSOR'], entry['MESSAGE']]))
    expect(documents.filter(({ journald, message }) => messages.get(journald.cursor) !== message)).toEqual([])
    // Without the template there would be no data stream, and `log.level` would be text.
    const { body } = await search.ask(
      'GET',
      '/logs-journald-default/_field_caps?fields=@timestamp,log.level,process.pid',
    )
    expect(body['fields']).toMatchObject({
      '@timestamp': { date_nanos: {} },
      'log.level': { keyword: {} },
      'process.pid': { long: {} },
    })
  })

  it('ELK behind Redis: redis-elk.yaml into the list, a consumer from the list into Elasticsearch', async () => {
    const started = await start('redis-elk')
    await eventually('elements', () => client.llen('logstash'), ENTRIES)
    await stop(started)
    const elements = await client.lrange('logstash', 0, -1)
    // A list keeps the journal's order.
    expect(elements.map((element) => (JSON.parse(element) as Document).journald.cursor)).toEqual(
      cursorsOf(started.logged),
    )
    expect(JSON.parse(elements[0] ?? '')).toMatchObject({ '@version': '1', '@metadata': { _id: expect.any(String) } })
    await search.ask('PUT', '/from-redis', { mappings: { dynamic: false } })
    const bento = await startBento(`redis://127.0.0.1:${redis.port}`, 'list', 'logstash', search.url, 'from-redis')
    try {
      await eventually('documents', () => indexed('from-redis'), ENTRIES)
      const documents = await storedIn(search, 'from-redis')
      const parsed = documents.map(({ source }) => JSON.parse(source.toString()) as Document)
      eachOnce(
        parsed.map(({ journald }) => journald.cursor),
        started.logged,
      )
      expect(documents.map(({ id }) => id)).toEqual(parsed.map(({ event }) => event.id))
    } finally {
      await bento.remove()
    }
  })

  it('Splunk: splunk.yaml, two indexers over TLS with acknowledgements', async () => {
    // One name and one port for each indexer.
    const started = await start('splunk', [
      ['splunk-1.example.org}:8088', `}:${collectors[0]?.port}`],
      ['splunk-2.example.org}:8088', `}:${collectors[1]?.port}`],
      ['/etc/logferry/splunk-ca.pem', certificates.ca],
    ])
    await eventually('events', () => eventsOf(started.logged).length, ENTRIES)
    await stop(started)
    const found = eventsOf(started.logged)
    eachOnce(
      found.map(({ cursor }) => cursor),
      started.logged,
    )
    expect(new Set(found.map(({ index, sourcetype }) => `${index} ${sourcetype}`))).toEqual(
      new Set(['journal journald']),
    )
    expect(found.filter(({ fields }) => fields.has('_CAP_EFFECTIVE') || !fields.has('MESSAGE'))).toEqual([])
  })

  it('Fluentd: fluentd.yaml, over TLS with a shared key, while the second server is away', async () => {
    const nobody = await freePorts(1)
    const started = await start('fluentd', [
      ['fluentd-1}", port: 24224', `}", port: ${fluentd.port}`],
      ['fluentd-2}", port: 24224', `}", port: ${nobody}`],
    ])
    await eventually('records', () => fluentdRecords.length, ENTRIES)
    await stop(started)
    eachOnce(
      fluentdRecords.map(({ record }) => record['__CURSOR'] ?? ''),
      started.logged,
    )
    const wanted = new Map(started.logged.map((entry) => [entry['__CURSOR'], entry]))
    const wrong = fluentdRecords.filter(({ tag, record }) => {
      const entry = wanted.get(record['__CURSOR'] ?? '')
      return record['message'] !== entry?.['MESSAGE'] || !tag.startsWith('journal.') || 'MESSAGE' in record
    })
    expect(wrong).toEqual([])
  })

  it('all four at once: all-four.yaml', async () => {
    // Those of the first example.
    const known = await indexed('logs-journald-default')
    const started = await start('all-four')
    const billed = started.logged.filter((entry) => entry['_TRANSPORT'] !== 'kernel')
    await eventually('documents', () => indexed('logs-journald-default'), known + ENTRIES)
    await eventually('elements', () => client.llen('logstash'), ENTRIES)
    await eventually('records', () => fluentdRecords.length, ENTRIES)
    await eventually('events', () => eventsOf(billed).length, billed.length)
    await stop(started)
    const cursors = (await documentsOf('logs-journald-default')).map(({ journald }) => journald.cursor)
    expect(cursors).toHaveLength(known + ENTRIES)
    const own = new Set(cursorsOf(started.logged))
    eachOnce(
      cursors.filter((cursor) => own.has(cursor)),
      started.logged,
    )
    const elements = (await client.lrange('logstash', 0, -1)).map((element) => JSON.parse(element) as Document)
    expect(elements.map(({ journald }) => journald.cursor)).toEqual(cursorsOf(started.logged))
    eachOnce(
      fluentdRecords.map(({ record }) => record['__CURSOR'] ?? ''),
      started.logged,
    )
    eachOnce(
      eventsOf(started.logged).map(({ cursor }) => cursor),
      billed,
    )
    expect(fluentdRecords[0]?.record).toMatchObject({ 'labels.cluster': 'test' })
  })
})
