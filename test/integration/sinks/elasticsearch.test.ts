// What a real Elasticsearch does to bulk requests, row by row, and what the sink makes of it.
import { createHash } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { ElasticsearchSink } from '../../../sinks/elasticsearch.ts'
import type { Batch, CheckLine, PartialReceipt } from '../../../src/sink.ts'
import { delivery, makeBatch, recordsOf, testHost } from '../../contract/sinkContract.ts'
import { writeJournal } from '../../support/journals.ts'
import { describeWith } from '../../support/needs.ts'
import { startLogferry } from '../../support/program.ts'
import { type Elasticsearch, type Service, startElasticsearch, startNginx } from '../../support/services.ts'
import { startTcpProxy, type TcpProxy } from '../../support/tcpProxy.ts'
import { tempDir } from '../../support/tempDir.ts'
import { countIn, deliver, NEVER, openSink, outcomeOf, sinkFor, storedIn } from './elasticsearchKit.ts'

const CODEC = { template: { settings: { 'index.codec': 'default' } } }

function digest(documents: readonly Uint8Array[]): string {
  const sum = createHash('sha256')
  for (const text of documents.map((document) => Buffer.from(document).toString('latin1')).sort()) sum.update(text)
  return sum.digest('hex')
}

describeWith(['mvn', 'nginx'], 'the elasticsearch sink and a real server', () => {
  let server: Elasticsearch
  let proxy: TcpProxy
  const open: ElasticsearchSink[] = []

  beforeAll(async () => {
    server = await startElasticsearch('cluster.max_shards_per_node: 200')
    proxy = await startTcpProxy(server.port)
  })
  afterAll(async () => {
    await proxy.close()
    await server.remove()
  })
  afterEach(async () => {
    for (const sink of open.splice(0)) await sink.close()
  })

  async function sinkTo(options: object, host = testHost(), url = server.url): Promise<ElasticsearchSink> {
    const sink = await openSink([url], options, host)
    open.push(sink)
    return sink
  }

  const viaProxy = () => `http://127.0.0.1:${proxy.port}`

  async function settings(index: string, change: object): Promise<void> {
    const { status } = await server.ask('PUT', `/${index}/_settings`, change)
    expect(status).toBe(200)
  }

  async function cluster(change: object): Promise<void> {
    const { status } = await server.ask('PUT', '/_cluster/settings', { persistent: change })
    expect(status).toBe(200)
  }

  async function expectStored(index: string, batches: readonly Batch[]): Promise<void> {
    const stored = await storedIn(server, index)
    expect(stored.length).toBe(batches.reduce((sum, { ends }) => sum + ends.length, 0))
    expect(new Set(stored.map(({ id }) => id)).size).toBe(stored.length)
    expect(digest(stored.map(({ source }) => source))).toBe(digest(batches.flatMap((batch) => recordsOf(batch))))
  }

  describe.each(['elasticsearch', 'opensearch'])('flavour %s', (flavour) => {
    const named = (name: string) => `${name}-${flavour}`

    it.each(['none', 'gzip'])(
      'E1: batches of 1, 1 000 and the largest arrive byte for byte, compress: %s',
      async (compress) => {
        const index = named(`e1-${compress}`)
        const sink = await sinkTo({ flavour, index, compress })
        const batches = [
          makeBatch(1),
          makeBatch(1000, { first: 2 }),
          makeBatch(5000, { first: 1002, messageBytes: 400 }),
        ]
        for (const batch of batches) expect(await outcomeOf(sink, batch)).toBe('delivered')
        await expectStored(index, batches)
      },
    )

    it('E2: a body without its last byte leaves the batch in doubt, and later each entry is there once', async () => {
      const [first, second] = [makeBatch(50), makeBatch(50, { first: 51 })]
      const index = named('e2')
      const sink = await sinkTo({ flavour, index }, testHost(), viaProxy())
      const before = proxy.passed.request
      expect(await outcomeOf(sink, first)).toBe('delivered')
      const cut = proxy.cutAfter(proxy.passed.request - before - 1, 'request')
      expect(await outcomeOf(sink, second)).toMatch(/^in-doubt/)
      await cut
      await deliver(sink, second, /^in-doubt|^unavailable/)
      await expectStored(index, [first, second])
    })

    it('E3: a batch of new, old, unfit and limited entries has a receipt that adds up, each refusal with its reason', async () => {
      const index = named('e3')
      await server.ask('PUT', `/${index}`, { mappings: { properties: { SIZE: { type: 'long' } } } })
      const sink = await sinkTo({ flavour, index })
      expect(await outcomeOf(sink, makeBatch(10, { fields: () => ({ SIZE: '1' }) }))).toBe('delivered')
      const { body } = await server.ask('GET', `/${index}/_mapping/field/*?filter_path=*.mappings`)
      const fields = Object.keys((body[index] as { mappings: object }).mappings).filter((name) => !/^_[a-z]/.test(name))
      await settings(index, { 'index.mapping.total_fields.limit': fields.length })
      const mixed = makeBatch(20, {
        fields: (n) => ({ SIZE: n === 13 ? 'large' : '1', ...(n === 17 ? { NEW: 'x' } : {}) }),
      })
      const receipt = (await outcomeOf(sink, mixed)) as PartialReceipt
      expect(receipt).toMatchObject({ delivered: 18, retry: [] })
      expect(receipt.rejected.map(({ index: at, code }) => [at, code])).toEqual([
        [12, 'mapping'],
        [16, 'field_limit'],
      ])
      expect(receipt.rejected[0]?.reason).toMatch(/^400 document_parsing_exception: .*\[SIZE\] of type \[long\]/)
      expect(await countIn(server, index)).toBe(18)
    })

    it('E4: the same batch twice leaves one copy, and the second counts as delivered', async () => {
      const index = named('e4')
      const host = testHost()
      const sink = await openSink([server.url], { flavour, index }, host)
      const batch = makeBatch(100)
      for (const _ of [1, 2]) expect(await outcomeOf(sink, batch)).toBe('delivered')
      await expectStored(index, [batch])
      await sink.close()
      expect(host.lines.at(-1)).toMatchObject({ text: 'entries that had been stored before', fields: { entries: 100 } })
    })

    it('E5: a rollover between a lost answer and the next attempt leaves one copy', async () => {
      const stream = `logs-${flavour}-e5`
      await server.ask('PUT', `/_component_template/logs-${flavour}@custom`, CODEC)
      const sink = await sinkTo(
        { flavour, data_stream: stream, template: true, server_timeout: '1s' },
        testHost(),
        viaProxy(),
      )
      const [first, second] = [makeBatch(20), makeBatch(20, { first: 21 })]
      expect(await outcomeOf(sink, first)).toBe('delivered')
      const lost = proxy.dropNextReply()
      expect(await outcomeOf(sink, second)).toMatch(/^in-doubt/)
      await lost
      const { body } = await server.ask('POST', `/${stream}/_rollover`)
      expect(body['rolled_over']).toBe(true)
      await deliver(sink, second, /^unavailable/)
      await expectStored(stream, [first, second])
      // Both are of one index: without the look, the second would be there twice.
      expect(new Set((await storedIn(server, stream)).map(({ index }) => index)).size).toBe(1)
      // And it goes on in the new one.
      await deliver(sink, makeBatch(5, { first: 41 }), /^unavailable/)
      expect(new Set((await storedIn(server, stream)).map(({ index }) => index)).size).toBe(2)
    })

    it('E6: a full disk is waited for', async () => {
      const index = named('e6')
      const sink = await sinkTo({ flavour, index })
      expect(await outcomeOf(sink, makeBatch(5))).toBe('delivered')
      await settings(index, { 'index.blocks.read_only_allow_delete': true })
      const batch = makeBatch(5, { first: 6 })
      expect(await outcomeOf(sink, batch)).toMatchObject({ delivered: 0, retry: [0, 1, 2, 3, 4], rejected: [] })
      await settings(index, { 'index.blocks.read_only_allow_delete': null })
      expect(await outcomeOf(sink, batch)).toBe('delivered')
    })

    it('E7: an index or a cluster that is not to be written to holds the sink until it may be again', async () => {
      const index = named('e7')
      const sink = await sinkTo({ flavour, index })
      expect(await outcomeOf(sink, makeBatch(5))).toBe('delivered')
      const batch = makeBatch(5, { first: 6 })
      await settings(index, { 'index.blocks.write': true })
      expect(await outcomeOf(sink, batch)).toBe(
        `refused: cluster_block_exception: index [${index}] blocked by: [FORBIDDEN/8/index write (api)];`,
      )
      await settings(index, { 'index.blocks.write': null })
      await cluster({ 'cluster.blocks.read_only': true })
      expect(await outcomeOf(sink, batch)).toMatch(
        /^refused: .* answers 403 cluster_block_exception: .*cluster read-only/,
      )
      await cluster({ 'cluster.blocks.read_only': null })
      expect(await outcomeOf(sink, batch)).toBe('delivered')
    })

    it('E8: an index that may not be made, or is no data stream, holds the sink and is named', async () => {
      await cluster({ 'action.auto_create_index': 'false' })
      const missing = await sinkTo({ flavour, index: named('e8-missing') })
      expect(await outcomeOf(missing, makeBatch(3))).toMatch(
        new RegExp(`^refused: index_not_found_exception: no such index \\[${named('e8-missing')}\\]`),
      )
      await cluster({ 'action.auto_create_index': null })
      const plain = await sinkTo({ flavour, data_stream: named('e8-plain') })
      expect(await outcomeOf(plain, makeBatch(3))).toMatch(
        new RegExp(
          `^refused: index_not_found_exception: no such index \\[${named('e8-plain')}\\].*requires a data stream`,
        ),
      )
      expect(await countIn(server, named('e8-*'))).toBe(0)
    })

    it('E9: a closed index, a missing pipeline, an alias without write index, too many shards: each holds the sink', async () => {
      const refusal = async (options: object) => outcomeOf(await sinkTo({ flavour, ...options }), makeBatch(3))
      await server.ask('PUT', `/${named('e9-closed')}`)
      await server.ask('POST', `/${named('e9-closed')}/_close`)
      expect(await refusal({ index: named('e9-closed') })).toBe('refused: index_closed_exception: closed')
      expect(await refusal({ index: named('e9-pipeline'), pipeline: 'nope' })).toBe(
        'refused: illegal_argument_exception: pipeline with id [nope] does not exist',
      )
      for (const name of ['e9-one', 'e9-two']) {
        await server.ask('PUT', `/${named(name)}`)
        await server.ask('POST', '/_aliases', { actions: [{ add: { index: named(name), alias: named('e9-alias') } }] })
      }
      expect(await refusal({ index: named('e9-alias') })).toBe(
        `refused: illegal_argument_exception: no write index is defined for alias [${named('e9-alias')}]`,
      )
      expect(await refusal({ index: named('e9-no-alias'), require_alias: true })).toMatch(
        /^refused: .* is not an alias/,
      )
      await cluster({ 'cluster.max_shards_per_node': 1 })
      expect(await refusal({ index: named('e9-shards') })).toMatch(
        /^refused: validation_exception: .*would add \[\d\] shards/,
      )
      await cluster({ 'cluster.max_shards_per_node': null })
      const byField = await sinkTo({ flavour, index: '${PLACE:-none}' })
      const places = ['e9-good', 'e9/bad', 'e9-good']
      const receipt = await outcomeOf(byField, makeBatch(3, { fields: (n) => ({ PLACE: places[n - 1] ?? '' }) }))
      expect(receipt).toMatchObject({ delivered: 2, retry: [], rejected: [{ index: 1, code: 'index_name' }] })
    })

    it('E11: an entry that the server has no memory for is rejected alone, and others pass', async () => {
      const index = named('e11')
      const sink = await sinkTo({ flavour, index })
      const huge = makeBatch(1, { messageBytes: 25_000_000 })
      for (let attempt = 1; attempt < 5; attempt++)
        expect(await outcomeOf(sink, { ...huge, attempt })).toMatchObject({ delivered: 0, retry: [0], rejected: [] })
      expect(await outcomeOf(sink, huge)).toMatchObject({ retry: [], rejected: [{ index: 0, code: 'too_large' }] })
      expect(await outcomeOf(sink, makeBatch(2, { first: 10, messageBytes: 13_000_000 }))).toMatch(/^too-large/)
      expect(await outcomeOf(sink, makeBatch(10, { first: 20 }))).toBe('delivered')
    })

    it('E12: a shard without a place is waited for', async () => {
      const index = named('e12')
      const nowhere = { 'index.routing.allocation.require._name': 'nobody' }
      await server.ask('PUT', `/${index}?wait_for_active_shards=0`, { settings: nowhere })
      const sink = await sinkTo({ flavour, index, server_timeout: '1s' })
      const batch = makeBatch(3)
      expect(await outcomeOf(sink, batch)).toMatchObject({ delivered: 0, retry: [0, 1, 2], rejected: [] })
      await settings(index, { 'index.routing.allocation.require._name': null })
      await deliver(sink, batch, /^unavailable/)
      await expectStored(index, [batch])
    })

    it('X1: an aborted write ends within a second and leaves no connection', async () => {
      const sink = await sinkTo({ flavour, index: named('x1') }, testHost(), viaProxy())
      proxy.pauseReplies()
      const stop = new AbortController()
      const outcome = sink
        .write(makeBatch(100), delivery(stop.signal))
        .catch((error: { failure: string }) => error.failure)
      await sleep(100)
      const began = performance.now()
      stop.abort()
      expect(await outcome).toBe('in-doubt')
      expect(performance.now() - began).toBeLessThan(1000)
      proxy.resumeReplies()
      await sink.close()
      await sleep(50)
      expect(proxy.open).toBe(0)
    })
  })

  it('E16: a server that is killed in the midst of it has every entry once in the end, and a node that is down is left alone', async () => {
    const sink = await openSink([server.url, 'http://127.0.0.1:1'], { index: 'e16', server_timeout: '2s' })
    open.push(sink)
    const batches = Array.from({ length: 40 }, (_, at) => makeBatch(500, { first: at * 500 + 1 }))
    const shipping = batches.map(async (batch, at) => {
      await sleep(at * 20)
      await deliver(sink, batch, /^in-doubt|^unavailable/)
    })
    const shipped = Promise.all(shipping)
    await sleep(400)
    await server.stop('SIGKILL')
    await Promise.all([shipped, server.start()])
    await expectStored('e16', batches)
  })

  it('a pattern that is a data stream by a template of the cluster is seen, and a time series is refused', async () => {
    const body = { index_patterns: ['seen-*'], data_stream: {}, priority: 300 }
    await server.ask('PUT', '/_index_template/seen', body)
    const host = testHost()
    await sinkTo({ index: 'seen-x' }, host)
    expect(host.lines.map(({ text }) => text)).toEqual([expect.stringMatching(/^seen-x is a data stream: say so/)])
    const series = {
      settings: { 'index.mode': 'time_series', 'index.routing_path': ['h'] },
      mappings: { properties: { h: { type: 'keyword', time_series_dimension: true } } },
    }
    await server.ask('PUT', '/_index_template/series', { ...body, index_patterns: ['series-*'], template: series })
    await expect(openSink([server.url], { data_stream: 'series-x-y' })).rejects.toMatchObject({
      failure: 'refused',
      message: expect.stringContaining('series-x-y is a time series'),
    })
  })

  it('a template of somebody else is not written over, and ours is installed once', async () => {
    await server.ask('PUT', '/_index_template/theirs', { index_patterns: ['theirs-*'], priority: 300 })
    await expect(openSink([server.url], { index: 'theirs-{yyyy}', template: true })).rejects.toMatchObject({
      failure: 'refused',
      message: expect.stringContaining('there is an index template theirs that is not of logferry'),
    })
    await server.ask('PUT', '/_component_template/ours@custom', CODEC)
    const installed: unknown[] = []
    for (const flavour of ['elasticsearch', 'opensearch', 'elasticsearch']) {
      const host = testHost()
      await sinkTo({ flavour, index: 'ours-{yyyy}', template: true }, host)
      installed.push(host.lines.filter(({ text }) => text === 'installed the index template').length)
    }
    expect(installed).toEqual([1, 0, 0])
    await expect(
      openSink([server.url], { index: 'life-{yyyy}', template: true, lifecycle: 'x' }),
    ).rejects.toMatchObject({
      failure: 'refused',
      message: expect.stringContaining('unknown setting [index.lifecycle.name]'),
    })
  })

  describe('checked before anything is shipped', () => {
    const check = async (options: object): Promise<string[]> => {
      const lines: readonly CheckLine[] = await sinkFor([server.url], options).check(NEVER)
      return lines.map(({ ok, text, hint }) => `${ok ? 'ok' : 'no'} ${text}${hint === undefined ? '' : ` (${hint})`}`)
    }

    it('a target says what is there, and what would be in the way', async () => {
      const host = `127.0.0.1:${server.port}`
      expect(await check({ index: 'check-a' })).toEqual([
        expect.stringMatching(`^ok ${host} answers, the cluster is (green|yellow)$`),
        `ok ${host} takes bulk requests`,
        'ok check-a will be made by the first entry',
      ])
      expect((await check({ data_stream: 'check-b-c' })).slice(2)).toEqual([
        'no no index template makes check-b-c a data stream (say template: true, or install a template with data_stream: {} for check-b-*)',
      ])
      expect((await check({ index: 'check-a', pipeline: 'nope' })).slice(3)).toEqual([
        'no there is no ingest pipeline nope (make it, or mend its name)',
      ])
      const strict = { index_patterns: ['check-strict*'], template: { mappings: { dynamic: 'strict' } } }
      await server.ask('PUT', '/_index_template/check-strict', strict)
      expect((await check({ index: 'check-strict' })).slice(3)).toEqual([
        expect.stringMatching(/^no the mapping is strict/),
      ])
      expect(await countIn(server, 'check-*')).toBe(0)
    })

    it('a server that is not there is said to be not there', async () => {
      expect(await sinkFor(['http://127.0.0.1:1'], {}).check(NEVER)).toEqual([
        { ok: false, text: expect.stringContaining('cannot reach 127.0.0.1:1') },
      ])
    })
  })

  describe('behind TLS and a password', () => {
    let nginx: Service
    beforeAll(async () => {
      nginx = await startNginx(server.port)
    })
    afterAll(() => nginx.remove())

    it.each(['elasticsearch', 'opensearch'])(
      'E13: delivers, or is held with a clear word and no secret (flavour %s)',
      async (flavour) => {
        const host = testHost()
        const url = `https://127.0.0.1:${nginx.port + 1}`
        const tls = { ca: join(nginx.dir, 'tls.crt') }
        const user = { user: 'logferry', password: 'secret' }
        const index = `e13-${flavour}`
        // nginx says 502 when it finds that the server has closed a connection.
        let good: ElasticsearchSink | undefined
        while (good === undefined) good = await openSink([url], { flavour, index, tls, ...user }, host).catch(only502)
        open.push(good)
        await deliver(good, makeBatch(10), /answers 502$/)
        await expectStored(index, [makeBatch(10)])
        const failureOf = async (options: object): Promise<string> => {
          try {
            await openSink([url], { flavour, index, ...options }, host)
            return 'open'
          } catch (error) {
            if (String(error).endsWith('answers 502')) return await failureOf(options)
            expect(inspect(error, { depth: 10 })).not.toMatch(/hunter2|secret|bG9nZmVycnk/)
            const { failure, message } = error as { failure: string; message: string }
            return `${failure}: ${message.replaceAll(String(nginx.port + 1), 'PORT')}`
          }
        }
        expect(await failureOf({ tls, user: 'logferry', password: 'hunter2' })).toBe(
          'refused: 127.0.0.1:PORT answers 401: it does not know the user or key',
        )
        expect(await failureOf(user)).toMatch(/^refused: 127.0.0.1:PORT cannot be trusted: .*self-signed/)
        expect(await failureOf({ tls: { ...tls, server_name: 'elsewhere' }, ...user })).toMatch(
          /^refused: 127.0.0.1:PORT cannot be trusted: .*(altnames|does not match)/,
        )
        // Never over plain HTTP instead, and nothing of the password in what is said.
        expect(inspect(host.lines, { depth: 10 })).not.toMatch(/hunter2|secret/)
      },
    )
  })
})

function only502(error: Error): undefined {
  if (!error.message.endsWith('answers 502')) throw error
  return undefined
}

describeWith(['mvn', 'systemd-journal-remote'], 'the elasticsearch sink and a server with little room', () => {
  let server: Elasticsearch
  beforeAll(async () => {
    server = await startElasticsearch('indexing_pressure.memory.limit: 50kb\nhttp.max_content_length: 1mb')
  })
  afterAll(() => server.remove())

  it('E10: asks for less at a time, by request and by memory, and nothing is lost', async () => {
    const sink = await openSink([server.url], { index: 'e10' })
    expect(await outcomeOf(sink, makeBatch(1500, { messageBytes: 700 }))).toMatch(/^too-large: .* answers 413/)
    // More than half of that is not even tried again.
    expect(await outcomeOf(sink, makeBatch(1000, { messageBytes: 700 }))).toMatch(/^too-large: a request of \d+ bytes/)
    expect(await outcomeOf(sink, makeBatch(200, { messageBytes: 700 }))).toMatch(/^too-large: .* answers 429/)
    const small = makeBatch(20, { messageBytes: 100 })
    await deliver(sink, small, /^unavailable/)
    expect(await outcomeOf(sink, makeBatch(1, { messageBytes: 60_000 }))).toMatchObject({ retry: [0] })
    expect(await countIn(server, 'e10')).toBe(20)
    await sink.close()
  })

  it('E10: the real program brings a whole journal in, by smaller and smaller batches', async () => {
    const home = tempDir()
    await writeJournal(join(home, 'journal'), 'a', { entries: 3000, profile: 'dcos-node', seed: 41 })
    const config = join(home, 'logferry.yaml')
    const sink = `{ type: elasticsearch, nodes: ["${server.url}"], index: e10-program, retry: { base: 50ms, cap: 200ms } }`
    writeFileSync(config, `state: ${home}/state\nsinks:\n  out: ${sink}\n`)
    const run = startLogferry(['backfill', '-c', config, '--sink', 'out', '-D', join(home, 'journal')])
    expect(await run.ended, run.stderr()).toBe(0)
    expect(await countIn(server, 'e10-program')).toBe(3000)
    expect(existsSync(join(home, 'state/out/dead'))).toBe(false)
  })
})
