import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { afterEach, describe, expect, it } from 'vitest'
import { LokiAnswers } from '../../sinks/loki/answer.ts'
import { lokiConfig, pushUrl } from '../../sinks/loki/options.ts'
import lokiModule, { LokiSink } from '../../sinks/loki.ts'
import { Intake } from '../../sinks/parts/intake.ts'
import { type Batch, type Receipt, SinkError } from '../../src/sink.ts'
import { delivery, makeBatch, type TestHost, testHost, testSink } from '../contract/sinkContract.ts'
import { FakeIntake, type FakeReply, type TakenRequest } from './http/fakeIntake.ts'

const NEVER = new AbortController().signal

type Labels = Readonly<Record<string, string>>
interface Stream {
  readonly stream: Labels
  readonly values: [ns: string, line: string, metadata?: Labels][]
}

function streamsOf({ body }: TakenRequest): Stream[] {
  return (JSON.parse(body.toString()) as { streams: Stream[] }).streams
}

/** What Loki would show: of equal lines at the same time of one stream there is one. */
function linesOf(taken: readonly TakenRequest[]): Buffer[] {
  const lines = new Map<string, string>()
  for (const { stream, values } of taken.flatMap(streamsOf))
    for (const [ns, line] of values) lines.set(JSON.stringify([stream, ns, line]), line)
  return [...lines.values()].map((line) => Buffer.from(line))
}

testSink<FakeIntake>({
  name: 'X2: loki',
  module: lokiModule,
  example: {
    url: 'https://logs-prod-eu-west-0.grafana.net',
    user: '12345',
    password: 'glc_key',
    tenant: 'ops',
    labels: { job: 'journald', host: '${_HOSTNAME}', unit: '${_SYSTEMD_UNIT:-${SYSLOG_IDENTIFIER}}' },
    metadata: ['PRIORITY', '_PID'],
    line: 'message',
    max_streams: 500,
    max_line_bytes: '64KiB',
  },
  target: () => new FakeIntake().start(),
  stop: (intake) => {
    intake.letGo()
    return intake.stop()
  },
  create: ({ url }, host) => new LokiSink(lokiConfig.parse({ url }), host),
  received: ({ taken }) => linesOf(taken),
  refuse: 'a request is halved until the entry is alone',
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
})

const intakes: FakeIntake[] = []
afterEach(async () => {
  for (const intake of intakes.splice(0)) await intake.stop()
})

async function begin(
  options: object = {},
  host: TestHost = testHost(),
): Promise<{ intake: FakeIntake; sink: LokiSink; host: TestHost }> {
  const intake = await new FakeIntake().start()
  intakes.push(intake)
  intake.answer = () => ({ status: 204 })
  const sink = new LokiSink(lokiConfig.parse({ url: intake.url, ...options }), host)
  await sink.open(NEVER)
  return { intake, sink, host }
}

async function outcomeOf(sink: LokiSink, batch: Batch): Promise<Receipt | string> {
  try {
    return await sink.write(batch, delivery())
  } catch (error) {
    if (!(error instanceof SinkError)) throw error
    return `${error.failure}: ${error.message.replace(/127\.0\.0\.1:\d+/, 'HOST')}`
  }
}

/** The streams that a batch arrives as. */
async function arriving(batch: Batch, options: object = {}, host?: TestHost): Promise<Stream[]> {
  const { intake, sink } = await begin(options, host)
  expect(await sink.write(batch, delivery())).toBe('delivered')
  await sink.close()
  return streamsOf(intake.taken[0] as TakenRequest)
}

describe('pushes of the loki sink', () => {
  it('have one stream for each set of labels, and entries in order', async () => {
    const fields = (n: number): Record<string, string> => (n === 3 ? {} : { _SYSTEMD_UNIT: `${n % 2}.service` })
    const streams = await arriving(makeBatch(4, { fields }))
    const found = streams.map(({ stream, values }) => [stream, values.map(([ns]) => ns)])
    expect(found).toEqual([
      [{ job: 'journald', host: 'node-1', unit: '1.service' }, ['1790000000000100001']],
      [{ job: 'journald', host: 'node-1', unit: '0.service' }, ['1790000000000200002', '1790000000000400004']],
      [{ job: 'journald', host: 'node-1' }, ['1790000000000300003']],
    ])
    const [, line, metadata] = streams[0]?.values[0] ?? []
    expect(line).toBe(Buffer.from(makeBatch(1, { fields }).entries[0]?.record ?? []).toString())
    expect(metadata).toEqual({ priority: '1', syslog_identifier: 'made-up', pid: '1001' })
  })

  it('L1: keep apart entries that are equal in all but their number, the same way each time', async () => {
    const batch = makeBatch(4, { run: 4, first: 997 })
    const [stream] = await arriving(batch)
    const times = stream?.values.map(([ns]) => ns)
    expect(times?.map((ns) => ns.slice(-3))).toEqual(['997', '998', '999', '000'])
    expect(new Set(times).size).toBe(4)
    const [again] = await arriving({ ...batch, attempt: 2 })
    expect(again).toEqual(stream)
  })

  it('have the message alone, the other members as metadata', async () => {
    const [stream] = await arriving(makeBatch(1, { fields: () => ({ EMPTY: '', 'host.x': 'y' }) }), { line: 'message' })
    const [, line, metadata] = stream?.values[0] ?? []
    expect(line).toMatch(/^message 1 "quoted" \\ ü € /)
    expect(Object.keys(metadata ?? {}).sort()).toEqual(
      ['boot_id', 'cursor', 'host_x', 'hostname', 'machine_id', 'pid', 'priority', 'syslog_identifier'].sort(),
    )
  })

  it('have no metadata where it is not wanted, and never more than Loki takes', async () => {
    const [plain] = await arriving(makeBatch(1), { metadata: [] })
    expect(plain?.values[0]).toHaveLength(2)
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`F${n}`, 'x']))
    const [full] = await arriving(makeBatch(1, { fields: () => many }), { metadata: ['*'] })
    expect(Object.keys(full?.values[0]?.[2] ?? {})).toHaveLength(120)
    const [large] = await arriving(makeBatch(1, { fields: () => ({ A: 'x'.repeat(1e5) }) }), {
      metadata: ['_PID', 'A'],
    })
    expect(large?.values[0]?.[2]).toEqual({ pid: '1001' })
  })

  it('never have more streams than allowed', async () => {
    const host = testHost()
    const options = { labels: { job: 'j', app: '${APP}' }, max_streams: 2 }
    const streams = await arriving(makeBatch(6, { fields: (n) => ({ APP: `app-${n}` }) }), options, host)
    expect(streams.map(({ stream, values }) => [stream, values.length])).toEqual([
      [{ job: 'j', app: 'app-1' }, 1],
      [{ job: 'j', app: 'app-2' }, 1],
      [{ job: 'j', overflow: 'true' }, 4],
    ])
    expect(host.lines).toHaveLength(1)
  })

  it('cut long values of labels between two characters', async () => {
    const options = { labels: { app: '${APP}' } }
    const [stream] = await arriving(makeBatch(1, { fields: () => ({ APP: `x${'ü'.repeat(3000)}` }) }), options)
    expect(stream?.stream['app']).toBe(`x${'ü'.repeat(1023)}`)
  })

  it('go into streams of their own in a backfill', async () => {
    const host = testHost('archive/backfill/1')
    expect((await arriving(makeBatch(1), {}, host))[0]?.stream).toEqual({ job: 'journald-backfill', host: 'node-1' })
    const [other] = await arriving(makeBatch(1), { labels: { host: '${_HOSTNAME}' } }, host)
    expect(other?.stream).toEqual({ job: 'journald-backfill', host: 'node-1' })
  })

  it('name the tenant, and go to the path for pushing', async () => {
    const { intake, sink } = await begin({ tenant: 'ops', token: 't' })
    await sink.write(makeBatch(1), delivery())
    expect(intake.taken[0]).toMatchObject({
      path: '/loki/api/v1/push',
      headers: { 'x-scope-orgid': 'ops', authorization: 'Bearer t', 'content-encoding': 'gzip' },
    })
    await sink.close()
    expect(['http://l:3100', 'http://l:3100/', 'http://v/insert/loki/api/v1/push'].map(pushUrl)).toEqual([
      'http://l:3100/loki/api/v1/push',
      'http://l:3100/loki/api/v1/push',
      'http://v/insert/loki/api/v1/push',
    ])
  })
})

const PARTLY =
  "entry with timestamp 2026-09-21 14:13:20 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp is: x',\n" +
  'user \'fake\', total ignored: 1 out of 2 for stream: {job="journald"}'

describe('answers to the loki sink', () => {
  it('L1: a refused request is halved, what was stored of it is sent again, and the entry alone is a dead letter', async () => {
    const { intake, sink } = await begin()
    intake.answer = () => ({ status: 400, body: PARTLY })
    expect(await outcomeOf(sink, makeBatch(2))).toMatch(/^too-large: HOST answers 400: entry with timestamp/)
    expect(await outcomeOf(sink, makeBatch(1))).toEqual({
      delivered: 0,
      retry: [],
      rejected: [{ index: 0, code: 'time', reason: expect.stringContaining('entry too far behind') }],
    })
    intake.answer = () => ({ status: 400, body: 'Max entry size 262144 bytes exceeded for stream' })
    expect(await outcomeOf(sink, makeBatch(1))).toMatchObject({ rejected: [{ code: 'too_large' }] })
    expect(sink.traits.idempotent).toBe(true)
    await sink.close()
  })

  it('L1: each status and well-known text has its class', async () => {
    const { intake, sink } = await begin()
    const cases: [FakeReply, RegExp][] = [
      [{ status: 200 }, /^delivered$/],
      [{ status: 204 }, /^delivered$/],
      [{ status: 260, body: 'blocked by policy' }, /^refused: .*may not write$/],
      [{ status: 429, body: 'Ingestion rate limit exceeded for user fake' }, /^unavailable/],
      [{ status: 429, body: 'ingestion blocked for user fake until 2027' }, /^refused/],
      [{ status: 429, body: 'Maximum active stream limit exceeded' }, /^unavailable/],
      [
        { status: 400, body: 'stream has structured metadata but the schema does not allow it' },
        /^refused: .*metadata: \[\]/,
      ],
      [{ status: 413 }, /^too-large/],
      [{ status: 500, body: 'rpc error: trying to send message larger than max (5 vs. 4)' }, /^too-large/],
      [{ status: 500, body: 'empty ring' }, /^in-doubt/],
      [{ status: 503 }, /^unavailable/],
      [{ status: 401, body: 'no org id' }, /^refused/],
    ]
    for (const [reply, expected] of cases) {
      intake.answer = () => reply
      expect(await outcomeOf(sink, makeBatch(2))).toMatch(expected)
    }
    await sink.close()
  })

  it('too many streams hold the sink when it lasts', () => {
    const answers = new LokiAnswers(
      new Intake('http://l:3100/push', { headers: {}, compress: 'none' }, { 'content-type': 'application/json' }),
    )
    const crowded = { status: 429, headers: {}, body: Buffer.from('Maximum active stream limit exceeded'), url: '' }
    const read = (now: number, answer = crowded) => {
      try {
        return answers.read(answer, 1, now)
      } catch (error) {
        return (error as SinkError).failure
      }
    }
    expect([read(0), read(599_999), read(600_000)]).toEqual(['unavailable', 'unavailable', 'refused'])
    read(600_001, { ...crowded, status: 204, body: Buffer.alloc(0) })
    expect(read(1_300_000)).toBe('unavailable')
  })
})

describe('the configuration of the loki sink', () => {
  it.each([
    [{ labels: {} }, 'at least one label'],
    [{ labels: { 'a-b': 'x' } }, 'expected the name of a label'],
    [{ labels: { __a: 'x' } }, 'expected the name of a label'],
    [{ labels: { pid: '${_PID}' } }, '_PID has too many values'],
    [{ labels: { unit: '${_SYSTEMD_UNIT:-${_BOOT_ID}}' } }, '_BOOT_ID has too many values'],
    [{ labels: { c: '${__CURSOR}' } }, '__CURSOR has too many values'],
    [{ labels: Object.fromEntries(Array.from({ length: 15 }, (_, n) => [`l${n}`, 'x'])) }, 'at most 14 labels'],
    [{ tenant: 'a', headers: { 'x-scope-orgid': 'b' } }, 'stands in `headers`, too'],
    [{ compress: 'zstd' }, 'Invalid option'],
  ])('%j is a mistake', (options, message) => {
    const { error } = lokiConfig.safeParse({ url: 'http://loki:3100', ...options })
    expect(JSON.stringify(error?.issues)).toContain(message)
  })
})

it('X3: the loki sink shows no secret in what it says', async () => {
  const { intake, sink, host } = await begin({ token: 'token-0123456789' })
  const said: unknown[] = []
  for (const status of [260, 400, 401, 429, 500]) {
    intake.answer = ({ headers }) => ({ status, body: `${headers.authorization}` })
    said.push(await sink.write(makeBatch(1), delivery()).catch((error: unknown) => error))
  }
  said.push(await sink.check(NEVER), host.lines)
  const text = inspect(said, { depth: 10 })
  expect(text).toContain('***')
  expect(text).not.toContain('0123456789')
  await sink.close()
})
