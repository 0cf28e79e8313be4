import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { afterEach, describe, expect, it } from 'vitest'
import { type HttpConfig, httpConfig } from '../../sinks/http/options.ts'
import httpModule, { HttpSink } from '../../sinks/http.ts'
import { type Batch, type Receipt, SinkError } from '../../src/sink.ts'
import { accountsFor, delivery, makeBatch, type SinkKit, testSink } from '../contract/sinkContract.ts'
import { FakeIntake, type TakenRequest } from './http/fakeIntake.ts'

const NEVER = new AbortController().signal

function configOf(options: object): HttpConfig {
  return httpConfig.parse(options)
}

function kit(name: string, options: object, recordsOf: (request: TakenRequest) => Buffer[]): SinkKit<FakeIntake> {
  return {
    name: `X2: http (${name})`,
    module: httpModule,
    example: {
      url: 'https://http-intake.logs.datadoghq.eu/api/v2/logs?ddsource=journald',
      headers: { 'DD-API-KEY': 'key' },
      format: 'array',
      envelope: '{"service":"x",%{members}',
      entry_headers: { 'X-Unit': '${_SYSTEMD_UNIT:-none}' },
      max_entry_bytes: '1MB',
      compress: 'zstd',
      tls: { ca: '/etc/ssl/ca.pem' },
      proxy: 'http://proxy.example.org:3128',
    },
    target: () => new FakeIntake().start(),
    stop: (intake) => {
      intake.letGo()
      return intake.stop()
    },
    create: ({ url }) => new HttpSink(configOf({ url: `${url}/logs`, ...options })),
    received: ({ taken }) => taken.flatMap(recordsOf),
    refuse: 'a request is taken or refused as a whole',
    outage: {
      down: async (intake) => {
        await intake.stop()
        // A request on a connection of which nobody has noticed that it is gone is in doubt.
        await sleep(20)
      },
      up: async (intake) => void (await intake.start()),
    },
    loseAnswer: (intake) => {
      intake.losesAnswers = 1
    },
    takeAtMost: (intake, bytes) => {
      intake.mostBytes = bytes
    },
    stall: { begin: (intake) => intake.hold(), end: (intake) => intake.letGo() },
  }
}

const lines = ({ body }: TakenRequest) =>
  body
    .toString()
    .split('\n')
    .slice(0, -1)
    .map((line) => Buffer.from(line))
const enveloped = ({ body }: TakenRequest) =>
  (JSON.parse(body.toString()) as { logs: { e: object }[] }).logs.map(({ e }) => Buffer.from(JSON.stringify(e)))

testSink(kit('NDJSON', {}, lines))
testSink(
  kit(
    'array in an envelope, gzip',
    {
      format: 'array',
      envelope: '{"t":%{nanoseconds},"e":%{record}}',
      before: '{"logs":',
      after: '}',
      compress: 'gzip',
    },
    enveloped,
  ),
)

const intakes: FakeIntake[] = []
afterEach(async () => {
  for (const intake of intakes.splice(0)) await intake.stop()
})

async function begin(options: object = {}): Promise<{ intake: FakeIntake; sink: HttpSink }> {
  const intake = await new FakeIntake().start()
  intakes.push(intake)
  const sink = new HttpSink(configOf({ url: `${intake.url}/logs`, ...options }))
  await sink.open(NEVER)
  return { intake, sink }
}

/** One write: its receipt, or the failure and what it says. */
async function outcomeOf(sink: HttpSink, batch: Batch): Promise<Receipt | string> {
  try {
    return await sink.write(batch, delivery())
  } catch (error) {
    if (!(error instanceof SinkError)) throw error
    const wait = error.retryAfterMs === undefined ? '' : ` (${error.retryAfterMs} ms)`
    return `${error.failure}: ${error.message.replace(/127\.0\.0\.1:\d+/, 'HOST')}${wait}`
  }
}

describe('requests of the http sink', () => {
  it('are NDJSON, an array, or what the envelope says', async () => {
    const batch = makeBatch(2)
    const [a, b] = batch.entries.map(({ record }) => Buffer.from(record).toString())
    const key = batch.entries[0]?.key
    const cases: [object, string, string][] = [
      [{}, 'application/x-ndjson', `${a}\n${b}\n`],
      [{ format: 'array' }, 'application/json', `[${a},${b}]`],
      [{ format: 'array', content_type: 'text/json' }, 'text/json', `[${a},${b}]`],
      [{ format: 'array', before: '[{"logs":', after: '}]' }, 'application/json', `[{"logs":[${a},${b}]}]`],
      [
        { envelope: '{"time":%{seconds},"event":%{record}}' },
        'application/x-ndjson',
        `{"time":1790000000.000100,"event":${a}}\n{"time":1790000000.000200,"event":${b}}\n`,
      ],
    ]
    for (const [options, type, body] of cases) {
      const { intake, sink } = await begin(options)
      expect(await sink.write(batch, delivery())).toBe('delivered')
      expect([intake.taken[0]?.headers['content-type'], intake.taken[0]?.body.toString()]).toEqual([type, body])
      await sink.close()
    }
    const { intake, sink } = await begin({
      envelope: '{"dt":"%{time}","ms":%{milliseconds},"ns":"%{nanoseconds}","id":"%{key}",%{members}',
    })
    await sink.write(makeBatch(1), delivery())
    expect(JSON.parse(intake.taken[0]?.body.toString() ?? '')).toMatchObject({
      dt: '2026-09-21T14:13:20.000100Z',
      ms: 1790000000000,
      ns: '1790000000000100000',
      id: key,
      PRIORITY: '1',
    })
    await sink.close()
  })

  it('carry the credentials and headers, and keep path and query', async () => {
    const { intake, sink } = await begin({ token: 'abcdefgh', headers: { 'X-Team': 'ops', Accept: 'text/plain' } })
    await sink.write(makeBatch(1), delivery())
    expect(intake.taken[0]?.headers).toMatchObject({
      authorization: 'Bearer abcdefgh',
      'x-team': 'ops',
      accept: 'text/plain',
    })
    await sink.close()
    const other = new HttpSink(configOf({ url: `${intake.url}/in?type=x`, method: 'PUT', user: 'u', password: 'p' }))
    await other.open(NEVER)
    await other.write(makeBatch(1), delivery())
    expect(intake.taken[1]).toMatchObject({
      method: 'PUT',
      path: '/in?type=x',
      headers: { authorization: 'Basic dTpw' },
    })
    await other.close()
  })

  it('are compressed with zstd', async () => {
    const { intake, sink } = await begin({ compress: 'zstd' })
    await sink.write(makeBatch(3), delivery())
    expect(intake.taken[0]?.headers['content-encoding']).toBe('zstd')
    expect(lines(intake.taken[0] as TakenRequest)).toHaveLength(3)
    await sink.close()
  })

  it('have headers made of fields, entries with different ones apart', async () => {
    const fields = (n: number) => ({ TEAM: n % 2 === 0 ? 'even\r\nX-Evil: 1' : '' })
    const { intake, sink } = await begin({ entry_headers: { 'X-Team': '${TEAM}' }, format: 'array' })
    expect(sink.traits.fields).toEqual(['TEAM'])
    expect(await sink.write(makeBatch(5, { fields }), delivery())).toEqual({ delivered: 5, retry: [], rejected: [] })
    const seen = intake.taken.map(({ headers, body }) => [headers['x-team'], JSON.parse(body.toString()).length])
    expect(seen).toEqual([
      [undefined, 3],
      ['even??X-Evil: 1', 2],
    ])
    await sink.close()
  })

  it('leave a batch of several requests in which one fails with the outcome of each entry', async () => {
    const fields = (n: number) => ({ TEAM: String(n % 3) })
    const { intake, sink } = await begin({ entry_headers: { 'X-Team': '${TEAM}' } })
    const batch = makeBatch(6, { fields })
    const answers: [number, object][] = [
      [503, { delivered: 2, retry: [1, 4, 2, 5] }],
      [500, { delivered: 2, retry: [2, 5], doubtful: [1, 4] }],
      [400, { delivered: 2, retry: [1, 4, 2, 5] }],
    ]
    for (const [status, expected] of answers) {
      intake.answer = ({ headers }) => (headers['x-team'] === '2' ? { status } : undefined)
      const receipt = await sink.write(batch, delivery())
      expect(receipt).toMatchObject(expected)
      expect(accountsFor(receipt, 6)).toEqual([])
    }
    await sink.close()
  })
})

describe('answers to the http sink', () => {
  it('G1: each status has its class', async () => {
    const { intake, sink } = await begin()
    await sink.write(makeBatch(1), delivery())
    const classes: Record<string, number[]> = {
      delivered: [200, 201, 202, 204],
      unavailable: [408, 425, 429, 503],
      'in-doubt': [500, 502, 504, 507, 599],
      'too-large': [413, 400, 409, 422],
      refused: [301, 307, 401, 402, 403, 404, 405, 406, 407, 410, 415, 431],
    }
    for (const [kind, statuses] of Object.entries(classes)) {
      for (const status of statuses) {
        intake.answer = () => ({ status })
        const outcome = await outcomeOf(sink, makeBatch(2))
        expect([status, typeof outcome === 'string' ? outcome.split(':')[0] : outcome]).toEqual([status, kind])
      }
    }
    await sink.close()
  })

  it('G1: the quirks of hosted services', async () => {
    const { intake, sink } = await begin()
    const cases: [string, { status: number; headers?: Record<string, string>; body?: string }, string][] = [
      ['Datadog: taken', { status: 202, body: '{}' }, 'delivered'],
      ['Datadog: rate', { status: 429, headers: { 'retry-after': '7' } }, 'unavailable: HOST answers 429 (7000 ms)'],
      [
        'Datadog: key',
        { status: 403, body: '{"errors":[{"status":"403","title":"Forbidden"}]}' },
        'refused: HOST answers 403: [{"status":"403","title":"Forbidden"}]',
      ],
      ['New Relic: taken before it is looked at', { status: 202, body: '{"requestId":"x"}' }, 'delivered'],
      ['Sumo Logic: in time', { status: 504 }, 'in-doubt: HOST answers 504'],
      ['LogScale: taken', { status: 200, body: '{"text":"Success","code":0}' }, 'delivered'],
      ['Better Stack: quota', { status: 402, body: 'quota exceeded' }, 'refused: HOST answers 402: quota exceeded'],
      ['Better Stack: not parsed', { status: 406 }, 'refused: HOST answers 406'],
      [
        'Logz.io: lines malformed',
        { status: 400, body: '{"malformedLines":1,"oversizedLines":0}' },
        'too-large: HOST answers 400: {"malformedLines":1,"oversizedLines":0}; trying fewer entries at once',
      ],
      [
        'Azure: role',
        { status: 403, body: '{"error":{"code":"OperationFailed","message":"no role"}}' },
        'refused: HOST answers 403: {"code":"OperationFailed","message":"no role"}',
      ],
      [
        'a page of a proxy',
        {
          status: 502,
          headers: { 'content-type': 'text/html' },
          body: '<html><style>p{}</style><h1>Bad\n Gateway</h1></html>',
        },
        'in-doubt: HOST answers 502: Bad Gateway',
      ],
    ]
    for (const [name, reply, expected] of cases) {
      intake.answer = () => reply
      expect([name, await outcomeOf(sink, makeBatch(2))]).toEqual([name, expected])
    }
    await sink.close()
  })

  it('G1: Axiom says in the body how many it has dropped', async () => {
    const { intake, sink } = await begin({ answer: 'axiom' })
    const reason = 'too many fields'
    const answers: [string, unknown][] = [
      ['{"ingested":3,"failed":0,"failures":[]}', 'delivered'],
      [
        `{"ingested":1,"failed":2,"failures":[{"error":"${reason}"}]}`,
        { delivered: 1, retry: [], rejected: [], unknown: { count: 2, reason } },
      ],
      [
        '{"ingested":0,"failed":3}',
        {
          delivered: 0,
          retry: [],
          rejected: [0, 1, 2].map((index) => ({ index, code: 'invalid', reason: 'the answer gives no reason' })),
        },
      ],
      ['<html>', 'in-doubt: HOST: the answer is no JSON'],
      ['{}', 'in-doubt: HOST: the answer does not say how many entries failed'],
    ]
    for (const [body, expected] of answers) {
      intake.answer = () => ({ status: 200, body })
      expect(await outcomeOf(sink, makeBatch(3))).toEqual(expected)
    }
    await sink.close()
  })

  it('are a dead letter for an entry that is refused alone, and hold the sink when nothing was ever taken', async () => {
    const { intake, sink } = await begin()
    intake.answer = () => ({ status: 400, body: 'no such form' })
    const rejected = [{ index: 0, code: 'invalid', reason: expect.stringMatching(/answers 400: no such form$/) }]
    for (let n = 1; n <= 5; n++)
      expect(await outcomeOf(sink, makeBatch(1))).toEqual({ delivered: 0, retry: [], rejected })
    expect(await outcomeOf(sink, makeBatch(1))).toBe(
      'refused: HOST answers 400: no such form; no entry has been taken yet, so it is the request that is wrong',
    )
    intake.answer = () => undefined
    expect(await outcomeOf(sink, makeBatch(1))).toBe('delivered')
    intake.answer = () => ({ status: 400, body: 'no such form' })
    for (let n = 1; n <= 9; n++) expect(await outcomeOf(sink, makeBatch(1))).toMatchObject({ rejected })
    await sink.close()
  })
})

describe('the check of the http sink', () => {
  it('sends an empty request and says what stands in the way', async () => {
    const { intake, sink } = await begin({ format: 'array', headers: { 'X-Key': 'a-long-secret' } })
    const lineFor = async (status: number) => {
      intake.answer = () => ({ status })
      const [line] = await sink.check(NEVER)
      return { ...line, text: line?.text.replace(/127\.0\.0\.1:\d+/, 'HOST') }
    }
    expect(await lineFor(400)).toEqual({ ok: true, text: 'HOST takes requests (it answers 400 to an empty one)' })
    expect(intake.asked[0]?.body.toString()).toBe('[]')
    expect(await lineFor(403)).toEqual({
      ok: false,
      text: 'HOST answers 403',
      hint: 'look at `token`, `user` and `password`, and `headers`',
    })
    expect(await lineFor(404)).toMatchObject({ ok: false, hint: 'look at the path in `url`' })
    await intake.stop()
    await sleep(20)
    expect((await sink.check(NEVER))[0]).toMatchObject({ ok: false, text: expect.stringMatching(/^cannot reach/) })
    await sink.close()
  })
})

describe('the configuration of the http sink', () => {
  it.each([
    [{}, 'url'],
    [{ url: 'ftp://x/' }, 'expected an address'],
    [{ url: 'https://u:p@x/' }, 'use `user` and `password`'],
    [{ user: 'u' }, 'together'],
    [{ token: 't', user: 'u', password: 'p' }, 'either `token`'],
    [{ headers: { 'Content-Length': '1' } }, 'belongs to the request'],
    [{ headers: { 'X-A': 'a\nb' } }, 'without line breaks'],
    [{ headers: { 'x-a': '1' }, entry_headers: { 'X-A': '${F}' } }, 'stands in `headers`, too'],
    [{ envelope: '{"a":%{recrod}}' }, '%{recrod}'],
    [{ envelope: '{}' }, 'expected %{record} or %{members}'],
  ])('%j is a mistake', (options, message) => {
    const url = Object.keys(options).length === 0 ? {} : { url: 'https://x/' }
    const { error } = httpConfig.safeParse({ ...url, ...options })
    expect(JSON.stringify(error?.issues)).toContain(message)
  })
})

it('X3: the http sink shows no secret in what it says', async () => {
  const secrets = { token: 'token-0123456789', path: 'ZaVnC4dhaV0ZZZZZZZZZZZZZZZZZ', key: 'key-9876543210' }
  const intake = await new FakeIntake().start()
  intakes.push(intake)
  const url = `${intake.url}/receiver/v1/${secrets.path}?apikey=${secrets.key}`
  const sink = new HttpSink(configOf({ url, token: secrets.token }))
  await sink.open(NEVER)
  const said: unknown[] = []
  for (const status of [301, 400, 401, 413, 429, 500]) {
    intake.answer = ({ path, headers }) => ({ status, body: `${path} ${headers.authorization}` })
    said.push(await sink.write(makeBatch(1), delivery()).catch((error: unknown) => error))
  }
  said.push(await sink.check(NEVER))
  await intake.stop()
  await sleep(20)
  said.push(await sink.write(makeBatch(1), delivery()).catch((error: unknown) => error))
  said.push(await sink.open(NEVER).catch((error: unknown) => error))
  const text = inspect(said, { depth: 10 })
  expect(text).toContain('***')
  for (const secret of Object.values(secrets)) expect(text).not.toContain(secret)
  await sink.close()
})
