// Whole journals through the real program into a real Elasticsearch: killed and cut at any moment, every field as it was, awkward
// values, too many names, and entries that the mapping refuses.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exportField } from '../../support/entries.ts'
import { journalctl, writeJournal } from '../../support/journals.ts'
import { describeWith } from '../../support/needs.ts'
import { logferry, startLogferry } from '../../support/program.ts'
import { type Elasticsearch, startElasticsearch } from '../../support/services.ts'
import { compare } from '../../support/shipment.ts'
import { startTcpProxy, type TcpProxy } from '../../support/tcpProxy.ts'
import { tempDir } from '../../support/tempDir.ts'
import { type Stored, storedIn } from './elasticsearchKit.ts'
import { type Arrived, bytesOf, differences, exact, expectedOf } from './fluentdKit.ts'

const ENTRIES = 100_000
const KILLS = 30
const CUTS = 10
const MIXED = 50_000

/** Quick to index: what is looked at is `_source`, and who has it. */
const PLAIN = {
  mappings: { dynamic: false },
  settings: { 'index.refresh_interval': '-1', 'index.translog.durability': 'async', 'index.number_of_replicas': 0 },
}

type Entry = Readonly<Record<string, string | Buffer | readonly (string | Buffer)[]>>

/** A journal with these entries, one second apart from a given time. */
async function journalOf(dir: string, entries: readonly Entry[], start = 1_700_000_000_123_456): Promise<void> {
  const boot = '0123456789abcdef0123456789abcdef'
  const stream = entries.map((entry, n) =>
    Buffer.concat([
      Buffer.from(`__REALTIME_TIMESTAMP=${start + n * 1_000_000}\n__MONOTONIC_TIMESTAMP=${n + 1}\n_BOOT_ID=${boot}\n`),
      ...Object.entries(entry).flatMap(([name, value]) => [value].flat().map((one) => exportField(name, one))),
      Buffer.from('\n'),
    ]),
  )
  await writeJournal(dir, 'a', stream)
}

describeWith(['mvn', 'systemd-journal-remote', 'journalctl'], 'the elasticsearch sink, end to end', () => {
  const home = tempDir()
  let server: Elasticsearch
  let proxy: TcpProxy

  beforeAll(async () => {
    server = await startElasticsearch()
    proxy = await startTcpProxy(server.port)
    await writeJournal(join(home, 'large'), 'a', { entries: ENTRIES, profile: 'dcos-node', seed: 31 })
    await writeJournal(join(home, 'mixed'), 'a', { entries: MIXED, profile: 'mixed', seed: 32 })
  })
  afterAll(async () => {
    await proxy.close()
    await server.remove()
  })

  let configurations = 0
  /** A configuration with one sink, `out`; `options` are those of the sink in YAML, besides its type. */
  function configure(journal: string, options: string, url = server.url): { path: string; dir: string } {
    const dir = join(home, `run-${configurations++}`)
    const path = `${dir}.yaml`
    const sink = `{ type: elasticsearch, nodes: ["${url}"], ${options} }`
    writeFileSync(
      path,
      `state: ${dir}\njournal: { directories: [${join(home, journal)}], start: oldest }\nlog: { level: warn }\nsinks:\n  out: ${sink}\n`,
    )
    return { path, dir }
  }

  async function backfill(config: { path: string }): Promise<string> {
    const run = startLogferry(['backfill', '--config', config.path, '--sink', 'out'])
    expect(await run.ended, run.stderr()).toBe(0)
    return run.stderr()
  }

  /** Documents so far, without a refresh. */
  async function indexed(index: string): Promise<number> {
    const path = `/${index}/_stats/indexing?filter_path=_all.primaries.indexing.index_total`
    const { body } = await server.ask('GET', path)
    const { _all: all } = body as { _all?: { primaries: { indexing: { index_total: number } } } }
    return all?.primaries.indexing.index_total ?? 0
  }

  async function waitFor(index: string, atLeast: number, isOver: () => boolean): Promise<void> {
    const end = Date.now() + 120_000
    while ((await indexed(index)) < atLeast && !isOver()) {
      if (Date.now() > end) throw new Error(`waited 120 s for ${atLeast} documents`)
      await sleep(10)
    }
  }

  function expectEachOnce(documents: readonly Stored[], journal: string): void {
    const cursor = /"__CURSOR":"([^"]*)"/
    const all = journalctl(['-D', join(home, journal), '-o', 'export', '--output-fields=MESSAGE']).toString('latin1')
    const expected = all.match(/^__CURSOR=.*$/gm)?.map((line) => line.slice(9)) ?? []
    const shipped = documents.map(({ source }) => cursor.exec(source.toString('latin1'))?.[1] ?? 'none')
    const { lost, repeated, foreign } = compare(shipped, expected)
    expect({ lost, repeated, foreign }).toEqual({ lost: 0, repeated: 0, foreign: 0 })
  }

  it(`exactly once: ${KILLS} kills among ${ENTRIES} entries lose and repeat nothing`, async () => {
    await server.ask('PUT', '/killed', PLAIN)
    const { path } = configure('large', 'index: killed, batch: { entries: 400 }')
    let between = 0
    for (let kill = 0; kill < KILLS; kill++) {
      const before = await indexed('killed')
      // What is left is spread over the kills that are left, so that nearly all of them fall inside the shipment.
      const most = Math.max(1, Math.floor((1.5 * (ENTRIES - before)) / (KILLS - kill + 3)))
      const run = startLogferry(['run', '-c', path])
      await waitFor('killed', before + Math.ceil(Math.random() * most), () => run.child.exitCode !== null)
      run.kill('SIGKILL')
      expect(await run.ended, run.stderr()).toBe('SIGKILL')
      const at = await indexed('killed')
      if (at > 0 && at < ENTRIES) between++
    }
    expect(between).toBeGreaterThanOrEqual(KILLS * 0.8)
    const last = startLogferry(['run', '-c', path])
    await waitFor('killed', ENTRIES, () => last.child.exitCode !== null)
    await sleep(200)
    last.kill('SIGTERM')
    expect(await last.ended, last.stderr()).toBe(0)
    expectEachOnce(await storedIn(server, 'killed'), 'large')
    await server.ask('DELETE', '/killed')
  })

  it(`exactly once: ${CUTS} cuts in mid-request and mid-answer lose and repeat nothing`, async () => {
    await server.ask('PUT', '/cut', PLAIN)
    const options = 'index: cut, batch: { entries: 500 }, retry: { base: 50ms, cap: 100ms }, server_timeout: 2s'
    const { path } = configure('large', options, `http://127.0.0.1:${proxy.port}`)
    const run = startLogferry(['run', '-c', path])
    for (let cut = 0; cut < CUTS; cut++) {
      await waitFor('cut', Math.floor((ENTRIES / (CUTS + 2)) * cut), () => run.child.exitCode !== null)
      const direction = cut % 2 === 0 ? 'reply' : 'request'
      const bytes = Math.floor(Math.random() * (direction === 'reply' ? 500 : 400_000))
      await Promise.race([proxy.cutAfter(bytes, direction), run.ended])
      expect(run.child.exitCode, run.stderr()).toBeNull()
    }
    await waitFor('cut', ENTRIES, () => run.child.exitCode !== null)
    await sleep(200)
    run.kill('SIGTERM')
    expect(await run.ended, run.stderr()).toBe(0)
    expectEachOnce(await storedIn(server, 'cut'), 'large')
    await server.ask('DELETE', '/cut')
  })

  it.each([
    ['elasticsearch', 'none'],
    ['opensearch', 'gzip'],
  ])(
    `${MIXED} mixed entries arrive with all their fields, byte for byte (flavour %s, compress %s)`,
    async (flavour, compress) => {
      const index = `mixed-${flavour}`
      await server.ask('PUT', `/${index}`, PLAIN)
      await backfill(configure('mixed', `index: ${index}, flavour: ${flavour}, compress: ${compress}, binary: array`))
      const documents = await storedIn(server, index)
      expect(documents.every(({ id }) => /^[-0-9A-Z_a-z]{34}$/.test(id))).toBe(true)
      const expected = expectedOf(join(home, 'mixed'), exact)
      const place = new Map(expected.map(({ cursor }, at) => [cursor, at]))
      const arrived = documents
        .map(({ source }) => arrivedIn(JSON.parse(source.toString()) as Record<string, unknown>))
        .sort((a, b) => (place.get(a.cursor) ?? -1) - (place.get(b.cursor) ?? -1))
      expect(differences(arrived, expected)).toEqual([])
      // Ids begin with the time, so that sorted ids are the journal's order.
      const times = documents.toSorted((a, b) => (a.id < b.id ? -1 : 1)).map(({ source }) => timeOf(source))
      expect(times).toEqual(times.toSorted((a, b) => a - b))
      await server.ask('DELETE', `/${index}`)
    },
  )

  it('validate --live says what is there and what is not, and stores nothing', async () => {
    const live = (options: string) => {
      const { status, stdout, stderr } = logferry(['validate', '--live', '-c', configure('mixed', options).path])
      return { status, text: stdout.toString() + stderr }
    }
    const good = live('index: live-check')
    expect(good.text).toMatch(/takes bulk requests/)
    expect(good.status, good.text).toBe(0)
    const bad = live('data_stream: live-check-default')
    expect(bad.text).toMatch(/no index template makes live-check-default a data stream/)
    expect(bad.status, bad.text).toBe(1)
    expect((await server.ask('GET', '/_resolve/index/live-check*')).body).toMatchObject({
      indices: [],
      data_streams: [],
    })
  })

  it('S1: control characters, invalid UTF-8, long and repeated values are strings, none is cut, none is null', async () => {
    const invalid = Buffer.from('6f6b20ff20fe', 'hex')
    const long = 'x'.repeat(5000)
    await journalOf(join(home, 's1'), [
      { MESSAGE: '\u001b[31mred\u001b[0m', ESCAPED: 'a\tb', CARRIAGE: 'one\rtwo', LONG: long, EMPTY: '' },
      { MESSAGE: invalid, REPEATED: ['one', 'two'], SEVERAL: ['text', invalid] },
    ])
    await component('s1')
    await backfill(configure('s1', 'index: "s1-{yyyy}", template: true'))
    const documents = (await storedIn(server, 's1-*')).toSorted((a, b) => (a.id < b.id ? -1 : 1))
    const [first, second] = documents.map(({ source }) => JSON.parse(source.toString()) as Record<string, unknown>)
    expect(first).toMatchObject({
      MESSAGE: '\u001b[31mred\u001b[0m',
      ESCAPED: 'a\tb',
      CARRIAGE: 'one\rtwo',
      LONG: long,
      '@timestamp': '2023-11-14T22:13:20.123456Z',
    })
    expect(second).toMatchObject({
      MESSAGE: 'ok \ufffd \ufffd',
      REPEATED: ['one', 'two'],
      SEVERAL: ['text', 'ok \ufffd \ufffd'],
    })
    expect(second?.['logferry.base64.MESSAGE']).toBe(invalid.toString('base64'))
    expect(Object.keys(first ?? {}).filter((name) => name.startsWith('logferry'))).toEqual([])
    expect(documents.map(({ source }) => source.includes(':null'))).toEqual([false, false])
  })

  it('S2: in shape ecs numbers are numbers, and _FOO beside FOO are both kept', async () => {
    const fields = {
      MESSAGE: 'hello',
      PRIORITY: '4',
      SYSLOG_FACILITY: '3',
      SYSLOG_IDENTIFIER: 'app',
      _PID: '42',
      _UID: '1000',
      _HOSTNAME: 'node-1',
      _SYSTEMD_UNIT: 'app.service',
      CODE_LINE: '7',
      FOO: 'untrusted',
      _FOO: 'trusted',
    }
    await journalOf(join(home, 's2'), [fields])
    await component('logs-journald')
    await backfill(configure('s2', 'data_stream: logs-journald-default, template: true, shape: ecs'))
    const [document] = await storedIn(server, 'logs-journald-default')
    expect(JSON.parse(document?.source.toString() ?? '{}')).toMatchObject({
      message: 'hello',
      log: { level: 'warning', syslog: { priority: 4, facility: { code: 3 }, appname: 'app', severity: { code: 4 } } },
      process: { pid: 42 },
      user: { id: '1000' },
      host: { name: 'node-1' },
      service: { name: 'app' },
      journald: { code: { line: 7 }, custom: { foo: 'untrusted', foo_trusted: 'trusted' } },
      event: { id: document?.id, dataset: 'journald' },
    })
    const { body } = await server.ask('GET', '/logs-journald-default/_field_caps?fields=*&filter_path=fields')
    const types = Object.fromEntries(
      Object.entries(body['fields'] as Record<string, object>).map(([name, caps]) => [name, Object.keys(caps)[0]]),
    )
    expect(types).toMatchObject({
      '@timestamp': 'date_nanos',
      message: 'text',
      'log.syslog.priority': 'long',
      'process.pid': 'long',
      'journald.code.line': 'long',
      'journald.custom': 'flattened',
      'host.name': 'keyword',
      'user.id': 'keyword',
    })
  })

  it('S2: what was asked for besides: time of the sender, priority as ECS has it, parts of the stream, a limit of names', async () => {
    const sent = {
      MESSAGE: 'late',
      _SOURCE_REALTIME_TIMESTAMP: '1700000000654321',
      PRIORITY: '4',
      SYSLOG_FACILITY: '3',
    }
    await journalOf(join(home, 's2b'), [
      { ...sent, APP_ONE: '1', APP_TWO: '2' },
      { MESSAGE: 'other', APP_ONE: '1' },
    ])
    await component('logs-wishes')
    const options =
      'data_stream: logs-wishes-default, template: true, shape: ecs, timestamp: source, ecs: { priority: rfc5424 }'
    await backfill(configure('s2b', `${options}, fields: { max_custom: 1 }`))
    const documents = (await storedIn(server, 'logs-wishes-default'))
      .map(({ source }) => JSON.parse(source.toString()) as Record<string, Record<string, unknown>>)
      .toSorted((a, b) => (String(a['message']) < String(b['message']) ? -1 : 1))
    const stream = { type: 'logs', dataset: 'wishes', namespace: 'default' }
    expect(documents).toMatchObject([
      {
        '@timestamp': '2023-11-14T22:13:20.654321Z',
        log: { syslog: { priority: 28, severity: { code: 4 } } },
        data_stream: stream,
      },
      { '@timestamp': '2023-11-14T22:13:21.123456Z', data_stream: stream },
    ])
    // One name has a place of its own, the other is in the list.
    const custom = (documents[0]?.['journald']?.['custom'] ?? {}) as Record<string, string>
    expect(Object.keys(custom)).toHaveLength(1)
    expect(JSON.stringify(documents[0])).toMatch(custom['app_one'] === '1' ? /"APP_TWO=2"/ : /"APP_ONE=1"/)

    await backfill(configure('s2b', 'index: dropped, fields: { custom: drop }'))
    const [plain] = await storedIn(server, 'dropped')
    expect(plain?.source.toString()).toContain('"MESSAGE"')
    expect(plain?.source.toString()).not.toContain('APP_')
  })

  it('S3: 2 000 names of applications and a value of 40 kB are all taken, and the mapping stays small', async () => {
    const entries = Array.from({ length: 200 }, (_, n) => ({
      MESSAGE: `entry ${n}`,
      ...Object.fromEntries(Array.from({ length: 10 }, (_, k) => [`APP_FIELD_${10 * n + k}`, 'x'])),
      ...(n === 100 ? { APP_LARGE: 'y'.repeat(40_000) } : {}),
    }))
    await journalOf(join(home, 's3'), entries)
    for (const [shape, target] of [
      ['journal', 'index: "s3-{yyyy}"'],
      ['ecs', 'data_stream: logs-s3-default'],
    ] as const) {
      await component(shape === 'ecs' ? 'logs-s3' : 's3')
      const { path, dir } = configure('s3', `${target}, template: true, shape: ${shape}`)
      await backfill({ path })
      expect(lettersIn(dir)).toEqual([])
      const pattern = shape === 'ecs' ? 'logs-s3-default' : 's3-*'
      expect(await storedIn(server, pattern)).toHaveLength(200)
      const { body } = await server.ask('GET', `/${pattern}/_field_caps?fields=*&filter_path=fields`)
      const caps = Object.values(body['fields'] as Record<string, Record<string, { metadata_field: boolean }>>)
      const fields = caps.filter((types) => Object.values(types).some((type) => !type.metadata_field))
      // 500 names in shape `journal`, and journald's own.
      expect(fields.length).toBeLessThanOrEqual(shape === 'ecs' ? 200 : 600)
    }
  })

  it('S4: times keep their microseconds in what is searched and sorted', async () => {
    const start = 1_700_000_000_000_001
    await journalOf(join(home, 's4'), [{ MESSAGE: 'a' }, { MESSAGE: 'b' }, { MESSAGE: 'c' }], start)
    await component('s4')
    await backfill(configure('s4', 'index: "s4-{yyyy}", template: true'))
    await server.ask('POST', '/s4-*/_refresh')
    const { body } = await server.ask('POST', '/s4-*/_search', {
      docvalue_fields: ['@timestamp', '__REALTIME_TIMESTAMP'],
      sort: '@timestamp',
    })
    const { hits } = (body as { hits: { hits: { fields: Record<string, unknown[]> }[] } }).hits
    expect(hits.map(({ fields }) => fields['@timestamp'])).toEqual(
      [20, 21, 22].map((second) => [`2023-11-14T22:13:${second}.000001Z`]),
    )
    // A number in the mapping, though it is text in the document.
    expect(hits.map(({ fields }) => fields['__REALTIME_TIMESTAMP'])).toEqual([0, 1e6, 2e6].map((us) => [start + us]))
  })

  describe('poison: one entry in a thousand is refused by the mapping', () => {
    const entries = Array.from({ length: 5000 }, (_, n) => ({
      MESSAGE: `entry ${n}`,
      SIZE: n % 1000 === 7 ? 'large' : '1',
    }))
    beforeAll(() => journalOf(join(home, 'poison'), entries))

    it('all others are delivered, it is kept with the server’s reason, and delivered once the mapping is mended', async () => {
      await server.ask('PUT', '/poison', { mappings: { properties: { SIZE: { type: 'long' } } } })
      const { path, dir } = configure('poison', 'index: poison')
      await backfill({ path })
      expect(await storedIn(server, 'poison')).toHaveLength(4995)
      const letters = lettersIn(dir)
      expect(letters).toHaveLength(5)
      for (const letter of letters) {
        expect(letter).toContain('"mapping"')
        expect(letter).toMatch(/failed to parse field \[SIZE\] of type \[long\]/)
      }
      const mended = { properties: { SIZE: { type: 'long', ignore_malformed: true } } }
      await server.ask('PUT', '/poison/_mapping', mended)
      const replay = logferry(['dead', 'replay', '-c', path, 'out'])
      expect(replay.status, replay.stderr).toBe(0)
      expectEachOnce(await storedIn(server, 'poison'), 'poison')
      expect(logferry(['dead', 'show', '-c', path, 'out']).stdout.toString()).not.toContain('SIZE')
    })

    it('or it is stored as text, where that is wished', async () => {
      await server.ask('PUT', '/stringified', { mappings: { properties: { SIZE: { type: 'long' } } } })
      const { path, dir } = configure('poison', 'index: stringified, on_mapping_error: stringify')
      await backfill({ path })
      const documents = await storedIn(server, 'stringified')
      expect(documents).toHaveLength(5000)
      const plain = documents.filter(({ source }) => source.includes('"logferry":{"raw":'))
      expect(
        plain.map(({ source }) => (JSON.parse(source.toString()) as { message: string }).message).toSorted(),
      ).toEqual(['entry 1007', 'entry 2007', 'entry 3007', 'entry 4007', 'entry 7'])
      expect(lettersIn(dir)).toEqual([])
    })
  })

  /** The jars that the test server is made of lack the library for `best_compression`. */
  async function component(name: string): Promise<void> {
    await server.ask('PUT', `/_component_template/${name}@custom`, {
      template: { settings: { 'index.codec': 'default' } },
    })
  }
})

/** The dead letters in a state folder, as they are written. */
function lettersIn(dir: string): string[] {
  const folder = join(dir, 'out', 'dead')
  if (!existsSync(folder)) return []
  return readdirSync(folder).flatMap((name) => readFileSync(join(folder, name), 'utf8').trim().split('\n'))
}

function timeOf(source: Buffer): number {
  return Number(/"__REALTIME_TIMESTAMP":"(\d+)"/.exec(source.toString('latin1'))?.[1])
}

function arrivedIn(record: Record<string, unknown>): Arrived {
  const fields = new Map(Object.entries(record).map(([name, value]) => [name, bytesOf(value).map(exact)]))
  const us = String(record['__REALTIME_TIMESTAMP'])
  return { cursor: String(record['__CURSOR']), ns: `${us}000`, tag: '', fields }
}
