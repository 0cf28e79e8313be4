import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { afterEach, describe, expect, it } from 'vitest'
import { logsUrl, otlpConfig } from '../../sinks/otlp/options.ts'
import otlpModule, { OtlpSink } from '../../sinks/otlp.ts'
import { type Batch, type Receipt, SinkError } from '../../src/sink.ts'
import { delivery, makeBatch, SOURCE, type TestHost, testHost, testSink } from '../contract/sinkContract.ts'
import { FakeIntake, type FakeReply, type TakenRequest } from './http/fakeIntake.ts'
import { decodeRequest } from './otlp/decode.ts'

const NEVER = new AbortController().signal

interface Pair {
  readonly key: string
  readonly value: Readonly<Record<string, unknown>>
}
interface Log {
  readonly timeUnixNano: string
  readonly severityNumber?: number
  readonly severityText?: string
  readonly body?: Readonly<Record<string, unknown>>
  readonly attributes: Pair[]
}
interface Request {
  readonly resourceLogs?: { readonly resource: { attributes?: Pair[] }; readonly scopeLogs: { logRecords: Log[] }[] }[]
}

function requestOf({ body, headers }: TakenRequest): Request {
  const isJson = headers['content-type'] === 'application/json'
  return (isJson ? JSON.parse(body.toString()) : decodeRequest(body)) as Request
}

function logsOf(request: Request): { resource: Pair[]; log: Log }[] {
  return (request.resourceLogs ?? []).flatMap(({ resource, scopeLogs }) =>
    scopeLogs.flatMap(({ logRecords }) => logRecords.map((log) => ({ resource: resource.attributes ?? [], log }))),
  )
}

/** The record that a log record of `makeBatch` was made from. */
function recordOf({ resource, log }: { resource: Pair[]; log: Log }): Buffer {
  const text = (pairs: Pair[], name: string) => {
    const value = pairs.find(({ key }) => key === name)?.value
    return String(value?.['stringValue'] ?? value?.['intValue'])
  }
  const us = log.timeUnixNano.slice(0, -3)
  const priority = [21, 19, 18, 17, 13, 10, 9, 5].indexOf(log.severityNumber ?? 0)
  return Buffer.from(
    JSON.stringify({
      '@timestamp': `${new Date(Number(us) / 1000).toISOString().slice(0, -1)}${us.slice(-3)}Z`,
      __CURSOR: text(log.attributes, 'journald.cursor'),
      __REALTIME_TIMESTAMP: us,
      __MONOTONIC_TIMESTAMP: text(log.attributes, 'journald.__MONOTONIC_TIMESTAMP'),
      _BOOT_ID: text(log.attributes, 'journald._BOOT_ID'),
      PRIORITY: String(priority),
      SYSLOG_IDENTIFIER: text(resource, 'service.name'),
      _PID: text(resource, 'process.pid'),
      _HOSTNAME: text(resource, 'host.name'),
      _MACHINE_ID: text(resource, 'host.id'),
      MESSAGE: log.body?.['stringValue'],
    }),
  )
}

for (const protocol of ['protobuf', 'json'] as const) {
  testSink<FakeIntake>({
    name: `X2: otlp (${protocol})`,
    module: otlpModule,
    example: {
      url: 'https://otlp-gateway.example.org/otlp',
      protocol,
      user: '12345',
      password: 'glc_key',
      resource: { 'deployment.environment.name': 'production' },
      headers: { 'X-Team': 'ops' },
    },
    target: () => new FakeIntake().start(),
    stop: (intake) => {
      intake.letGo()
      return intake.stop()
    },
    create: ({ url }, host) => new OtlpSink(otlpConfig.parse({ url, protocol }), host),
    received: ({ taken }) => taken.flatMap((request) => logsOf(requestOf(request)).map(recordOf)),
    refuse: (intake, _batch, indexes) => {
      const body = JSON.stringify({
        partialSuccess: { rejectedLogRecords: String(indexes.length), errorMessage: 'no' },
      })
      intake.answer = () => ({ status: 200, headers: { 'content-type': 'application/json' }, body })
    },
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
}

const intakes: FakeIntake[] = []
afterEach(async () => {
  for (const intake of intakes.splice(0)) await intake.stop()
})

async function begin(
  options: object = {},
  host: TestHost = testHost(),
): Promise<{ intake: FakeIntake; sink: OtlpSink; host: TestHost }> {
  const intake = await new FakeIntake().start()
  intakes.push(intake)
  const sink = new OtlpSink(otlpConfig.parse({ url: intake.url, ...options }), host)
  await sink.open(NEVER)
  return { intake, sink, host }
}

async function outcomeOf(sink: OtlpSink, batch: Batch): Promise<Receipt | string> {
  try {
    return await sink.write(batch, delivery())
  } catch (error) {
    if (!(error instanceof SinkError)) throw error
    const wait = error.retryAfterMs === undefined ? '' : ` (${Math.round(error.retryAfterMs / 1000)} s)`
    return `${error.failure}: ${error.message.replace(/127\.0\.0\.1:\d+/, 'HOST')}${wait}`
  }
}

/** A batch of records that are written out. */
function batchOf(...records: object[]): Batch {
  const batch = makeBatch(records.length)
  const texts = records.map((record) => Buffer.from(`${JSON.stringify(record)}\n`))
  let at = 0
  const ends = Uint32Array.from(texts, (text) => {
    at += text.length
    return at - 1
  })
  return { ...batch, records: new Uint8Array(Buffer.concat(texts)), ends }
}

/** What arrives of records, in both forms, which must be the same. */
async function arriving(batch: Batch, options: object = {}): Promise<Request> {
  const requests: Request[] = []
  for (const protocol of ['json', 'protobuf']) {
    const { intake, sink } = await begin({ protocol, ...options })
    expect(await sink.write(batch, delivery())).toBe('delivered')
    const text = JSON.stringify(requestOf(intake.taken[0] as TakenRequest))
    requests.push(JSON.parse(text.replace(/"observedTimeUnixNano":"\d{13}000000"/g, '"observedTimeUnixNano":"now"')))
    await sink.close()
  }
  expect(logsOf(requests[1] as Request)).toEqual(logsOf(requests[0] as Request))
  return requests[0] as Request
}

const cursor = makeBatch(1).entries[0]?.cursor
const plain = (pairs: readonly Pair[]) => Object.fromEntries(pairs.map(({ key, value }) => [key, value]))

describe('log records of the otlp sink', () => {
  it('follow the table of the data model for journald', async () => {
    const request = await arriving(
      batchOf({
        '@timestamp': '2026-09-21T14:13:20.000100Z',
        __CURSOR: cursor,
        __REALTIME_TIMESTAMP: '1790000000000100',
        MESSAGE: 'ünï',
        PRIORITY: '3',
        _HOSTNAME: 'h',
        _MACHINE_ID: SOURCE,
        SYSLOG_IDENTIFIER: 'sshd',
        _PID: '77',
        _COMM: 'sshd',
        _EXE: '/sbin/sshd',
        _CMDLINE: 'sshd -D',
        SYSLOG_FACILITY: '10',
        SYSLOG_PID: '77x',
        CODE_FILE: 'a.c',
        CODE_LINE: '-12',
        CODE_FUNC: 'main',
        _UID: '0',
        REPEATED: ['a', 'b'],
        env: 'prod',
        'logferry.truncated': ['_CMDLINE'],
      }),
      { resource: { 'service.namespace': 'infra' } },
    )
    const [{ resource, log } = { resource: [], log: undefined }] = logsOf(request)
    expect(plain(resource)).toEqual({
      'service.namespace': { stringValue: 'infra' },
      'host.name': { stringValue: 'h' },
      'host.id': { stringValue: SOURCE },
      'service.name': { stringValue: 'sshd' },
      'process.pid': { intValue: '77' },
      'process.executable.name': { stringValue: 'sshd' },
      'process.executable.path': { stringValue: '/sbin/sshd' },
      'process.command_line': { stringValue: 'sshd -D' },
    })
    expect({ ...log, attributes: plain(log?.attributes ?? []) }).toEqual({
      timeUnixNano: '1790000000000100000',
      observedTimeUnixNano: 'now',
      severityNumber: 17,
      severityText: 'err',
      body: { stringValue: 'ünï' },
      attributes: {
        'log.record.uid': { stringValue: makeBatch(1).entries[0]?.key },
        'journald.cursor': { stringValue: cursor },
        'syslog.facility.code': { intValue: '10' },
        'syslog.pid': { stringValue: '77x' },
        'code.file.path': { stringValue: 'a.c' },
        'code.line.number': { intValue: '-12' },
        'code.function.name': { stringValue: 'main' },
        'journald._UID': { stringValue: '0' },
        'journald.REPEATED': { arrayValue: { values: [{ stringValue: 'a' }, { stringValue: 'b' }] } },
        env: { stringValue: 'prod' },
        'logferry.truncated': { arrayValue: { values: [{ stringValue: '_CMDLINE' }] } },
      },
    })
  })

  it('S5: have the severity of each priority, and none without one', async () => {
    const priorities = ['0', '1', '2', '3', '4', '5', '6', '7', undefined, '8', 'x']
    const records = priorities.map((PRIORITY) => ({
      __CURSOR: cursor,
      ...(PRIORITY === undefined ? {} : { PRIORITY }),
    }))
    const logs = logsOf(await arriving(batchOf(...records)))
    expect(logs.map(({ log }) => [log.severityNumber, log.severityText])).toEqual([
      [21, 'emerg'],
      [19, 'alert'],
      [18, 'crit'],
      [17, 'err'],
      [13, 'warning'],
      [10, 'notice'],
      [9, 'info'],
      [5, 'debug'],
      [undefined, undefined],
      [undefined, undefined],
      [undefined, undefined],
    ])
    expect(plain(logs[9]?.log.attributes ?? [])['journald.PRIORITY']).toEqual({ stringValue: '8' })
  })

  it('have the exact bytes of what is not UTF-8', async () => {
    const request = await arriving(
      batchOf(
        { __CURSOR: cursor, MESSAGE: 'a\ufffd', 'logferry.base64.MESSAGE': 'Yf8=' },
        { __CURSOR: cursor, MESSAGE: [97, 255] },
        { __CURSOR: cursor, X: ['ok', '\ufffd'], 'logferry.base64.X': [null, '/w=='] },
      ),
    )
    const [first, second, third] = logsOf(request).map(({ log }) => log)
    expect([first?.body, second?.body]).toEqual([{ bytesValue: 'Yf8=' }, { bytesValue: 'Yf8=' }])
    expect(plain(third?.attributes ?? [])['journald.X']).toEqual({
      arrayValue: { values: [{ stringValue: 'ok' }, { bytesValue: '/w==' }] },
    })
  })

  it('take shape `ecs` as well', async () => {
    const request = await arriving(
      batchOf({
        '@timestamp': 'x',
        message: 'm',
        log: { syslog: { severity: { code: 4, name: 'warning' } } },
        host: { name: 'h', id: 'i' },
        process: { pid: 7, name: 'sshd', args: ['a', 'b'] },
        service: { name: 'sshd' },
        ratio: 0.5,
        'journald.cursor': 'c',
      }),
    )
    const [{ resource, log } = { resource: [], log: undefined }] = logsOf(request)
    expect(log).toMatchObject({ severityNumber: 13, severityText: 'warning', body: { stringValue: 'm' } })
    expect(plain(resource)).toEqual({
      'host.name': { stringValue: 'h' },
      'host.id': { stringValue: 'i' },
      'process.pid': { intValue: '7' },
      'process.executable.name': { stringValue: 'sshd' },
      'service.name': { stringValue: 'sshd' },
    })
    expect(plain(log?.attributes ?? [])).toMatchObject({
      'process.args': { arrayValue: { values: [{ stringValue: 'a' }, { stringValue: 'b' }] } },
      'log.syslog.severity.name': { stringValue: 'warning' },
      ratio: { doubleValue: 0.5 },
      'journald.cursor': { stringValue: 'c' },
    })
  })

  it('are grouped while their resources are equal, in the order of the batch', async () => {
    const request = await arriving(batchOf(...['a', 'a', 'b', 'a'].map((_COMM) => ({ __CURSOR: cursor, _COMM }))))
    const sizes = request.resourceLogs?.map(({ scopeLogs }) => scopeLogs[0]?.logRecords.length)
    expect(sizes).toEqual([2, 1, 1])
  })

  it('keep large values and negative numbers in protobuf', async () => {
    const MESSAGE = 'ä'.repeat(100_000)
    const logs = logsOf(await arriving(batchOf({ __CURSOR: cursor, MESSAGE }, { __CURSOR: cursor, CODE_LINE: '-1' })))
    expect(logs[0]?.log.body).toEqual({ stringValue: MESSAGE })
    expect(plain(logs[1]?.log.attributes ?? [])['code.line.number']).toEqual({ intValue: '-1' })
  })
})

/** A message of protobuf with a number as field 1 and a text as field 2. */
function message(number: number, text: string): Buffer {
  return Buffer.concat([Buffer.of(0x08, number, 0x12, text.length), Buffer.from(text)])
}
const PROTOBUF = { 'content-type': 'application/x-protobuf' }
const JSON_TYPE = { 'content-type': 'application/json' }

describe('answers to the otlp sink', () => {
  it('O2: a partial success is delivered, with suspects for what was refused', async () => {
    const { intake, sink, host } = await begin()
    const partial = (number: number, text: string) => {
      const inner = message(number, text)
      return Buffer.concat([Buffer.of(0x0a, inner.length), inner])
    }
    const json = (rejected: unknown, errorMessage = '') =>
      JSON.stringify({ partialSuccess: { rejectedLogRecords: rejected, errorMessage } })
    const some = { delivered: 7, retry: [], rejected: [], unknown: { count: 3, reason: 'too old' } }
    const cases: [FakeReply, unknown][] = [
      [{ status: 200, headers: PROTOBUF, body: partial(3, 'too old') }, some],
      [{ status: 200, headers: JSON_TYPE, body: json('3', 'too old') }, some],
      [{ status: 200, headers: JSON_TYPE, body: json(3, 'too old') }, some],
      [{ status: 200, headers: PROTOBUF, body: '' }, 'delivered'],
      [{ status: 200, headers: PROTOBUF, body: Buffer.of(0x0a, 0) }, 'delivered'],
      [{ status: 202, headers: JSON_TYPE, body: '{}' }, 'delivered'],
      [{ status: 200, headers: JSON_TYPE, body: '{"partialSuccess":{}}' }, 'delivered'],
      [{ status: 200, headers: PROTOBUF, body: partial(0, 'slow down') }, 'delivered'],
      [{ status: 200, headers: PROTOBUF, body: Buffer.of(0x0a, 9) }, /^in-doubt: .* not that of an OTLP receiver$/],
      [
        { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>' },
        /^in-doubt: .* not that of an OTLP receiver$/,
      ],
    ]
    for (const [reply, expected] of cases) {
      intake.answer = () => reply
      const outcome = await outcomeOf(sink, makeBatch(10))
      if (expected instanceof RegExp) expect(outcome).toMatch(expected)
      else expect(outcome).toEqual(expected)
    }
    expect(host.lines).toEqual([
      { level: 'warn', text: 'the receiver has taken all and warns: slow down', fields: undefined },
    ])
    intake.answer = () => ({ status: 200, headers: JSON_TYPE, body: json('10') })
    expect(await outcomeOf(sink, makeBatch(10))).toMatchObject({ delivered: 0, rejected: { length: 10 } })
    await sink.close()
  })

  it('O3: each status has its class', async () => {
    const { intake, sink } = await begin()
    await sink.write(makeBatch(1), delivery())
    const date = new Date(Date.now() + 5500).toUTCString()
    const cases: [FakeReply, RegExp][] = [
      [{ status: 429, headers: { 'retry-after': '7' } }, /^unavailable: HOST answers 429 \(7 s\)$/],
      [{ status: 429, headers: { 'retry-after': date } }, /^unavailable: HOST answers 429 \([456] s\)$/],
      [{ status: 503, headers: PROTOBUF, body: message(14, 'busy') }, /^unavailable: HOST answers 503: busy$/],
      [{ status: 500 }, /^in-doubt/],
      [{ status: 502 }, /^in-doubt/],
      [{ status: 504 }, /^in-doubt/],
      [{ status: 413 }, /^too-large: HOST answers 413$/],
      [{ status: 400, headers: JSON_TYPE, body: '{"code":3,"message":"bad"}' }, /^too-large: HOST answers 400: bad; /],
      [{ status: 401 }, /^refused/],
      [{ status: 404 }, /^refused/],
      [{ status: 415 }, /^refused/],
    ]
    for (const [reply, expected] of cases) {
      intake.answer = () => reply
      expect(await outcomeOf(sink, makeBatch(2))).toMatch(expected)
    }
    intake.answer = () => ({ status: 400, headers: PROTOBUF, body: message(3, 'bad') })
    expect(await outcomeOf(sink, makeBatch(1))).toEqual({
      delivered: 0,
      retry: [],
      rejected: [{ index: 0, code: 'invalid', reason: expect.stringMatching(/answers 400: bad$/) }],
    })
    await sink.close()
  })

  it('O3: with `strict` what is not to be repeated is rejected', async () => {
    const { intake, sink } = await begin({ strict: true })
    intake.answer = () => ({ status: 500 })
    expect(await outcomeOf(sink, makeBatch(2))).toMatchObject({ delivered: 0, rejected: { length: 2 } })
    intake.answer = () => ({ status: 502 })
    expect(await outcomeOf(sink, makeBatch(2))).toMatch(/^in-doubt/)
    await sink.close()
  })
})

it('puts the path for logs behind the address, once', () => {
  expect(['http://c:4318', 'http://c:4318/', 'http://c/otlp/v1/logs/', 'http://c/otlp'].map(logsUrl)).toEqual([
    'http://c:4318/v1/logs',
    'http://c:4318/v1/logs',
    'http://c/otlp/v1/logs',
    'http://c/otlp/v1/logs',
  ])
})

it('X3: the otlp sink shows no secret in what it says', async () => {
  const secrets = ['password-0123456789', 'header-0123456789']
  const { intake, sink, host } = await begin({ user: 'u', password: secrets[0], headers: { 'X-Key': secrets[1] } })
  const said: unknown[] = []
  for (const status of [200, 400, 401, 500]) {
    intake.answer = ({ headers }) => ({
      status,
      headers: JSON_TYPE,
      body: JSON.stringify({
        message: `${headers.authorization} ${headers['x-key']}`,
        partialSuccess: { rejectedLogRecords: 0, errorMessage: headers['x-key'] },
      }),
    })
    said.push(await sink.write(makeBatch(1), delivery()).catch((error: unknown) => error))
  }
  said.push(await sink.check(NEVER), host.lines)
  const text = inspect(said, { depth: 10 })
  expect(text).toContain('***')
  for (const secret of [...secrets, Buffer.from(`u:${secrets[0]}`).toString('base64')])
    expect(text).not.toContain(secret)
  await sink.close()
})
