import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { afterEach, describe, expect, it } from 'vitest'
import elasticsearchSink, { ElasticsearchSink } from '../../sinks/elasticsearch.ts'
import type { Batch, Entry, Receipt, SinkError } from '../../src/sink.ts'
import { delivery, makeBatch, SOURCE, type TestHost, testHost, testSink } from '../contract/sinkContract.ts'
import { configOf } from './elasticsearch/config.ts'
import { FakeCluster } from './elasticsearch/fakeCluster.ts'

for (const flavour of ['elasticsearch', 'opensearch'] as const) {
  testSink<FakeCluster>({
    name: `X2: elasticsearch (flavour ${flavour})`,
    module: elasticsearchSink,
    example: {
      nodes: ['https://es-1.example.org:9200', 'https://es-2.example.org:9200'],
      flavour,
      data_stream: 'logs-journald-default',
      template: true,
      lifecycle: 'logs',
      api_key: 'aWQ6a2V5',
      tls: { ca: '/etc/ssl/es.pem' },
      compress: 'gzip',
      on_mapping_error: 'stringify',
      server_timeout: '30s',
    },
    target: () => new FakeCluster().start(),
    stop: (cluster) => {
      cluster.letGo()
      return cluster.stop()
    },
    create: ({ url }, host) => new ElasticsearchSink(configOf({ nodes: [url], flavour, index: 'tested' }), host),
    received: ({ documents }) => documents.map(({ source }) => source),
    refuse: (cluster, batch, indexes) => {
      const ids = new Set(indexes.map((index) => batch.entries[index]?.key))
      const error = { type: 'document_parsing_exception', reason: 'failed to parse field [x]' }
      cluster.outcome = (id) => (ids.has(id) ? { status: 400, error } : undefined)
    },
    outage: {
      down: async (cluster) => {
        await cluster.stop()
        // A request on a connection of which nobody has noticed that it is gone is in doubt.
        await sleep(20)
      },
      up: async (cluster) => void (await cluster.start()),
    },
    loseAnswer: (cluster) => {
      cluster.losesAnswers = 1
    },
    takeAtMost: (cluster, bytes) => {
      cluster.mostBytes = bytes
    },
    stall: { begin: (cluster) => cluster.hold(), end: (cluster) => cluster.letGo() },
  })
}

const NEVER = new AbortController().signal
const clusters: FakeCluster[] = []
afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop()
})

async function startCluster(): Promise<FakeCluster> {
  const cluster = await new FakeCluster().start()
  clusters.push(cluster)
  return cluster
}

async function openSink(cluster: FakeCluster, options: object = {}, host: TestHost = testHost()) {
  const sink = new ElasticsearchSink(configOf({ nodes: [cluster.url], index: 'tested', ...options }), host)
  await sink.open(NEVER)
  return sink
}

/** One write: its receipt, or the failure and what it says. */
async function outcomeOf(sink: ElasticsearchSink, batch: Batch): Promise<Receipt | string> {
  try {
    return await sink.write(batch, delivery())
  } catch (error) {
    const { failure, message } = error as SinkError
    return `${failure}: ${message}`
  }
}

const error = (type: string, reason = '') => ({ type, reason })

describe('requests of the elasticsearch sink', () => {
  it('name the index, ask for no more than is read, and carry no version', async () => {
    const cluster = await startCluster()
    const sink = await openSink(cluster, { pipeline: 'p', require_alias: true, server_timeout: '20s' })
    await sink.write(makeBatch(2), delivery())
    const [bulk] = cluster.bulks
    expect(bulk?.path).toBe('/tested/_bulk')
    expect(Object.fromEntries(bulk?.query ?? [])).toEqual({
      filter_path: 'errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.failure_store',
      timeout: '20000ms',
      pipeline: 'p',
      require_alias: 'true',
    })
    expect(bulk?.headers).toMatchObject({ 'content-type': 'application/x-ndjson', accept: 'application/json' })
    await sink.close()
  })

  it('put the day of each entry into its index', async () => {
    const cluster = await startCluster()
    const sink = await openSink(cluster, { index: undefined })
    const batch = makeBatch(4)
    // Entries two and three lie on the other side of midnight.
    const times = [0, 30 * 3600e6, 31 * 3600e6, 0].map((us) => 1_790_000_000_000_000 + us)
    const entries = batch.entries.map((entry, index) => entryAt(entry, times[index] ?? 0))
    expect(await sink.write({ ...batch, entries, realtimes: Float64Array.from(times) }, delivery())).toBe('delivered')
    expect(cluster.documents.map(({ index }) => index)).toEqual(
      ['2026.09.21', '2026.09.22', '2026.09.22', '2026.09.21'].map((day) => `journald-${day}`),
    )
    await sink.write(makeBatch(3, { first: 9 }), delivery())
    expect(cluster.bulks.map(({ path }) => path)).toEqual(['/_bulk', '/journald-2026.09.21/_bulk'])
    await sink.close()
  })

  it('put fields into names and routing', async () => {
    const cluster = await startCluster()
    const sink = await openSink(cluster, { index: 'logs-${UNIT}', routing: '${_MACHINE_ID}' })
    expect(sink.traits.fields).toEqual(['UNIT', '_MACHINE_ID'])
    await sink.write(makeBatch(2, { fields: (n) => ({ UNIT: `Unit "${n}"` }) }), delivery())
    expect(cluster.bulks[0]?.actions).toMatchObject([
      { _index: 'logs-unit "1"', routing: SOURCE },
      { _index: 'logs-unit "2"', routing: SOURCE },
    ])
    await sink.close()
  })

  it('E1: are the same bytes when they are compressed', async () => {
    const cluster = await startCluster()
    for (const compress of ['none', 'gzip']) {
      const sink = await openSink(cluster, { compress, index: compress })
      expect(await sink.write(makeBatch(1000), delivery())).toBe('delivered')
      await sink.close()
    }
    const [plain, packed] = cluster.bulks
    expect(packed?.headers['content-encoding']).toBe('gzip')
    expect(plain?.body.equals(packed?.body as Buffer)).toBe(true)
    expect(plain?.body.at(-1)).toBe(10)
  })

  it.each(['elasticsearch', 'opensearch'])('X3: show credentials to the cluster alone (%s)', async (flavour) => {
    const cluster = await startCluster()
    const host = testHost()
    const sink = await openSink(cluster, { flavour, api_key: 'id:hunter2' }, host)
    await sink.write(makeBatch(1), delivery())
    const header = `ApiKey ${Buffer.from('id:hunter2').toString('base64')}`
    expect(cluster.bulks[0]?.headers.authorization).toBe(header)
    const answers = [
      { status: 401, body: JSON.stringify({ error: error('security_exception', 'unable to authenticate') }) },
      { status: 500, body: 'oops' },
      { body: 'no JSON' },
    ]
    for (const answer of answers) {
      cluster.next = [answer]
      const caught: unknown = await sink.write(makeBatch(1), delivery()).catch((cause: unknown) => cause)
      expect(inspect(caught, { depth: 10 })).not.toMatch(/hunter2|aWQ6/)
    }
    await cluster.stop()
    const caught: unknown = await sink.write(makeBatch(1), delivery()).catch((cause: unknown) => cause)
    expect(inspect(caught, { depth: 10 })).not.toMatch(/hunter2|aWQ6/)
    expect(inspect(host.lines, { depth: 10 })).not.toMatch(/hunter2|aWQ6/)
    await sink.close()
  })
})

function entryAt(entry: Entry, realtime: number): Entry {
  return {
    cursor: entry.cursor,
    realtime,
    key: entry.key,
    record: entry.record,
    get: (field) => entry.get(field),
    fields: () => entry.fields(),
  }
}

describe('answers to the elasticsearch sink', () => {
  it('E14: counts what went into a failure store as delivered elsewhere, although the answer has no errors', async () => {
    const cluster = await startCluster()
    const sink = await openSink(cluster)
    const batch = makeBatch(3)
    cluster.outcome = (id) => (id === batch.entries[1]?.key ? { status: 201, failure_store: 'used' } : undefined)
    expect(await outcomeOf(sink, batch)).toEqual({ delivered: 3, retry: [], rejected: [], diverted: 1 })
    await sink.close()
  })

  it('E15: each kind of item has its outcome, whatever the others have', async () => {
    const cluster = await startCluster()
    const sink = await openSink(cluster)
    const batch = makeBatch(6)
    const outcomes = [
      undefined,
      { status: 403, error: error('security_exception', 'is unauthorized') },
      { status: 429, error: error('circuit_breaking_exception') },
      { status: 503, error: error('process_cluster_event_timeout_exception') },
      { status: 418, error: error('teapot_exception', 'short and stout') },
      { status: 507, error: error('teapot_exception') },
    ]
    cluster.outcome = (id) => outcomes[batch.entries.findIndex(({ key }) => key === id)]
    expect(await outcomeOf(sink, batch)).toEqual({
      delivered: 1,
      retry: [1, 2, 3, 5],
      rejected: [{ index: 4, code: 'invalid', reason: '418 teapot_exception: short and stout' }],
      retryAfterMs: expect.any(Number),
    })
    await sink.close()
  })

  it('E15: an entry that the server stumbles over every time is rejected in the end, and only that', async () => {
    const cluster = await startCluster()
    const sink = await openSink(cluster)
    const poison = makeBatch(1)
    cluster.outcome = (id) =>
      id === poison.entries[0]?.key ? { status: 500, error: error('null_pointer_exception') } : undefined
    for (let attempt = 1; attempt < 20; attempt++) {
      expect(await outcomeOf(sink, { ...poison, attempt })).toMatchObject({ delivered: 0, retry: [0], rejected: [] })
      expect(await outcomeOf(sink, makeBatch(2, { first: 10 * attempt }))).toBe('delivered')
    }
    expect(await outcomeOf(sink, poison)).toMatchObject({ retry: [], rejected: [{ index: 0, code: 'server_error' }] })
    await sink.close()
  })

  it('E17: is in doubt about a page, a cut answer, and one with too few items', async () => {
    const cluster = await startCluster()
    for (const flavour of ['elasticsearch', 'opensearch']) {
      const sink = await openSink(cluster, { flavour })
      const page = { headers: { 'content-type': 'text/html', 'x-elastic-product': '' }, body: '<html>Welcome</html>' }
      const answers = [page, { body: '{"errors":false,"items":[{"cre' }, { body: '{"errors":false,"items":[]}' }]
      for (const answer of answers) {
        cluster.next = [answer]
        expect(await outcomeOf(sink, makeBatch(2))).toMatch(/^in-doubt: /)
      }
      await sink.close()
    }
  })

  it('E18: OpenSearch says no product, names types its own way, and knows fewer parameters', async () => {
    const cluster = await startCluster()
    cluster.headers = {}
    const options = { index: undefined, data_stream: 'logs-a-b' }
    await expect(openSink(cluster, options)).rejects.toThrow('flavour: opensearch')
    const host = testHost()
    const sink = await openSink(cluster, { ...options, flavour: 'opensearch' }, host)
    const reason = 'request [/logs-a-b/_bulk] contains unrecognized parameter: [require_data_stream]'
    cluster.next = [{ status: 400, body: JSON.stringify({ error: error('illegal_argument_exception', reason) }) }]
    cluster.change = (text) => ({ body: text.replaceAll('{"status"', '{"_type":"_doc","status"') })
    expect(await outcomeOf(sink, makeBatch(2))).toBe('delivered')
    expect(cluster.bulks.map(({ query }) => query.get('require_data_stream'))).toEqual(['true', null])
    expect(host.lines.filter(({ level }) => level === 'warn')).toHaveLength(1)
    const batch = makeBatch(2, { first: 10 })
    const types = ['mapper_parsing_exception', 'rejected_execution_exception']
    cluster.outcome = (id) => {
      const at = batch.entries.findIndex(({ key }) => key === id)
      return { status: at === 0 ? 400 : 429, error: error(types[at] ?? '') }
    }
    expect(await outcomeOf(sink, batch)).toMatchObject({
      delivered: 0,
      retry: [1],
      rejected: [{ index: 0, code: 'mapping' }],
    })
    await sink.close()
  })

  it('slows down when it is asked to, for longer each time', async () => {
    const cluster = await startCluster()
    const sink = await openSink(cluster)
    const waits: number[] = []
    for (const attempt of [1, 3, 9]) {
      cluster.next = [{ status: 429 }]
      const caught: unknown = await sink
        .write({ ...makeBatch(2), attempt }, delivery())
        .catch((cause: unknown) => cause)
      waits.push((caught as SinkError).retryAfterMs ?? 0)
    }
    for (const [at, most] of [500, 2000, 10_000].entries()) {
      expect(waits[at]).toBeGreaterThanOrEqual(most / 2)
      expect(waits[at]).toBeLessThanOrEqual(most)
    }
    cluster.next = [{ status: 429, headers: { 'retry-after': '3' } }]
    await expect(sink.write(makeBatch(2), delivery())).rejects.toMatchObject({
      failure: 'unavailable',
      retryAfterMs: 3000,
    })
    await sink.close()
  })

  it('E10: never sends again what is more than half of what was too large', async () => {
    const cluster = await startCluster()
    const sink = await openSink(cluster)
    cluster.mostBytes = 10_000
    const large = makeBatch(30, { messageBytes: 700 })
    expect(await outcomeOf(sink, large)).toMatch(/^too-large/)
    cluster.mostBytes = Number.POSITIVE_INFINITY
    const sent = cluster.bulks.length
    expect(await outcomeOf(sink, makeBatch(20, { messageBytes: 700 }))).toMatch(/^too-large/)
    expect(cluster.bulks).toHaveLength(sent)
    expect(await outcomeOf(sink, makeBatch(8, { messageBytes: 700 }))).toBe('delivered')
    // Alone it may pass all the same.
    expect(await outcomeOf(sink, makeBatch(1, { messageBytes: 50_000 }))).toBe('delivered')
    await sink.close()
  })

  it('E16: goes on with the other nodes while one is down, and does not ask that one each time', async () => {
    const [one, two] = [await startCluster(), await startCluster()]
    for (const flavour of ['elasticsearch', 'opensearch']) {
      const sink = await openSink(one, { flavour, nodes: [one.url, two.url] })
      await one.stop()
      await sleep(20)
      const outcomes: unknown[] = []
      for (let n = 0; n < 6; n++) outcomes.push(await outcomeOf(sink, makeBatch(1, { first: n + 1 })))
      expect(outcomes.filter((outcome) => outcome !== 'delivered').length).toBeLessThanOrEqual(1)
      await one.start()
      await sink.close()
    }
  })
})

describe('entries that do not fit the mapping', () => {
  it('are stored as text where that is wished, under the same ids', async () => {
    const cluster = await startCluster()
    const sink = await openSink(cluster, { on_mapping_error: 'stringify' })
    const batch = makeBatch(4)
    const misfit = batch.entries[2]
    cluster.outcome = (id, source) =>
      id === misfit?.key && !source.includes('logferry')
        ? { status: 400, error: error('document_parsing_exception', 'failed to parse field [x]') }
        : undefined
    expect(await outcomeOf(sink, batch)).toBe('delivered')
    const stored = cluster.documents.find(({ id }) => id === misfit?.key)?.source.toString() ?? ''
    expect(JSON.parse(stored)).toEqual({
      '@timestamp': JSON.parse(Buffer.from(misfit?.record ?? []).toString())['@timestamp'],
      message: misfit?.get('MESSAGE'),
      logferry: {
        raw: Buffer.from(misfit?.record ?? []).toString(),
        refused: '400 document_parsing_exception: failed to parse field [x]',
      },
    })
    await sink.close()
  })

  it('are dead letters when not even that fits, with the first reason', async () => {
    const cluster = await startCluster()
    const sink = await openSink(cluster, { on_mapping_error: 'stringify' })
    let n = 0
    cluster.outcome = () => ({ status: 400, error: error('document_parsing_exception', `reason ${++n}`) })
    expect(await outcomeOf(sink, makeBatch(1))).toEqual({
      delivered: 0,
      retry: [],
      rejected: [{ index: 0, code: 'mapping', reason: '400 document_parsing_exception: reason 1' }],
    })
    await sink.close()
  })

  it('are tried again from the beginning when the second answer is lost, and stored once', async () => {
    const cluster = await startCluster()
    const sink = await openSink(cluster, { on_mapping_error: 'stringify' })
    cluster.outcome = (_id, source) => {
      if (source.includes('logferry')) return undefined
      cluster.losesAnswers = 0
      return { status: 400, error: error('document_parsing_exception') }
    }
    cluster.change = () => {
      cluster.losesAnswers = 1
      return undefined
    }
    const batch = makeBatch(2)
    expect(await outcomeOf(sink, batch)).toEqual({ delivered: 0, retry: [0, 1], rejected: [] })
    cluster.change = () => undefined
    expect(await outcomeOf(sink, batch)).toBe('delivered')
    expect(cluster.documents).toHaveLength(2)
    await sink.close()
  })
})

describe('a target that can go over to another index', () => {
  const stream = { index: undefined, data_stream: 'logs-a-b', server_timeout: '50ms' }

  it('is asked what it has before a batch in doubt is sent again', async () => {
    const cluster = await startCluster()
    const sink = await openSink(cluster, stream)
    expect(sink.traits.idempotent).toBe(true)
    const batch = makeBatch(5)
    const stored = [1, 3].map((index) => batch.entries[index]?.key ?? '')
    cluster.other = (question) =>
      question.endsWith('/_search')
        ? {
            body: JSON.stringify({
              timed_out: false,
              _shards: { failed: 0 },
              hits: { hits: stored.map((id) => ({ _id: id })) },
            }),
          }
        : undefined
    cluster.losesAnswers = 1
    const began = performance.now()
    expect(await outcomeOf(sink, batch)).toMatch(/^in-doubt/)
    expect(await outcomeOf(sink, { ...batch, attempt: 2 })).toBe('delivered')
    // Not before the server must have given up on the first attempt.
    expect(performance.now() - began).toBeGreaterThan(50)
    expect(cluster.bulks.map(({ actions }) => actions.length)).toEqual([5, 3])
    expect(cluster.asked.slice(-2)).toEqual(['POST /logs-a-b/_refresh', 'POST /logs-a-b/_search'])
    // No doubt, no question.
    const asked = cluster.asked.length
    expect(await outcomeOf(sink, makeBatch(2, { first: 50 }))).toBe('delivered')
    expect(cluster.asked).toHaveLength(asked)
    await sink.close()
  })

  it('does not count as idempotent when it may not be read, and the log says so', async () => {
    const cluster = await startCluster()
    const host = testHost()
    cluster.other = (question) => (question.endsWith('/_refresh') ? { status: 403, body: '{}' } : undefined)
    const sink = await openSink(cluster, stream, host)
    expect(sink.traits.idempotent).toBe(false)
    expect(host.lines.map(({ level }) => level)).toEqual(['warn'])
    cluster.losesAnswers = 1
    const batch = makeBatch(2)
    expect(await outcomeOf(sink, batch)).toMatch(/^in-doubt/)
    cluster.losesAnswers = 0
    expect(await outcomeOf(sink, batch)).toBe('delivered')
    await sink.close()
  })

  it('is not written to while it cannot be asked', async () => {
    const cluster = await startCluster()
    const sink = await openSink(cluster, stream)
    cluster.losesAnswers = 1
    const batch = makeBatch(2)
    expect(await outcomeOf(sink, batch)).toMatch(/^in-doubt/)
    const sent = cluster.bulks.length
    cluster.other = (question) =>
      question.endsWith('/_search') ? { body: '{"timed_out":false,"_shards":{"failed":1}}' } : undefined
    expect(await outcomeOf(sink, batch)).toMatch(/^unavailable: what is stored already cannot be seen/)
    const stop = AbortSignal.timeout(20)
    await expect(sink.write(batch, delivery(stop))).rejects.toMatchObject({ failure: 'unavailable' })
    expect(cluster.bulks).toHaveLength(sent)
    await sink.close()
  })

  it('is held when it is a time series, which would take different entries for one', async () => {
    const cluster = await startCluster()
    cluster.other = (question) =>
      question.includes('_simulate_index')
        ? { body: '{"template":{"settings":{"index":{"mode":"time_series"}}}}' }
        : undefined
    await expect(openSink(cluster, stream)).rejects.toMatchObject({ failure: 'refused' })
  })
})

describe('opening the elasticsearch sink', () => {
  it('does not mind questions that a key for writing may not ask', async () => {
    const cluster = await startCluster()
    cluster.other = () => ({ status: 403, body: '{}' })
    const sink = await openSink(cluster)
    expect(await outcomeOf(sink, makeBatch(2))).toBe('delivered')
    await sink.close()
  })

  it.each([
    ['refused', 401],
    ['refused', 302],
    ['unavailable', 503],
    ['unavailable', 429],
    ['unavailable', 500],
  ])('is %s when the cluster answers %i', async (failure, status) => {
    const cluster = await startCluster()
    cluster.other = () => ({ status })
    await expect(openSink(cluster)).rejects.toMatchObject({ failure })
  })
})
