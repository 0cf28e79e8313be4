// The sinks for hosted services against real receivers: an OpenTelemetry Collector (OTLP, and HEC for the http sink) and VictoriaLogs (push
// requests of Loki, and NDJSON for the http sink). A proxy stands in between where the target has to fail.
import { closeSync, existsSync, openSync, readSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { httpConfig } from '../../../sinks/http/options.ts'
import httpModule, { HttpSink } from '../../../sinks/http.ts'
import { lokiConfig } from '../../../sinks/loki/options.ts'
import lokiModule, { LokiSink } from '../../../sinks/loki.ts'
import { otlpConfig } from '../../../sinks/otlp/options.ts'
import otlpModule, { OtlpSink } from '../../../sinks/otlp.ts'
import type { Batch, Sink, SinkError } from '../../../src/sink.ts'
import { delivery, makeBatch, SOURCE, testHost, testSink } from '../../contract/sinkContract.ts'
import { journalctl, writeJournal } from '../../support/journals.ts'
import { describeWith } from '../../support/needs.ts'
import { startLogferry } from '../../support/program.ts'
import { type Collector, type Service, startCollector, startVictoriaLogs } from '../../support/services.ts'
import { startTcpProxy, type TcpProxy } from '../../support/tcpProxy.ts'
import { tempDir } from '../../support/tempDir.ts'

const NEVER = new AbortController().signal
const ENTRIES = 50_000

interface Pair {
  readonly key: string
  readonly value: AnyValue
}
interface AnyValue {
  readonly stringValue?: string
  readonly intValue?: string
  readonly bytesValue?: string
  readonly arrayValue?: { readonly values: AnyValue[] }
}
interface Log {
  readonly timeUnixNano: string
  readonly severityNumber?: number
  readonly severityText?: string
  readonly body?: AnyValue
  readonly attributes: Pair[]
}
interface Arrived {
  readonly resource: readonly Pair[]
  readonly log: Log
}

/** What the collector has written since. */
class CollectorFile {
  readonly #path: string
  readonly #arrived: Arrived[] = []
  #at: number

  private constructor(path: string, from: number) {
    this.#path = path
    this.#at = from
  }

  /** From when the collector has written all that it has got. */
  static async of({ dir }: Collector, receiver: 'otlp' | 'hec'): Promise<CollectorFile> {
    const path = join(dir, `${receiver}.ndjson`)
    const size = () => (existsSync(path) ? statSync(path).size : 0)
    let from = -1
    while (from !== size()) {
      from = size()
      // It writes every 100 ms.
      await sleep(250)
    }
    return new CollectorFile(path, from)
  }

  /** All of it so far; what was read once is kept. */
  read(): readonly Arrived[] {
    if (!existsSync(this.#path)) return []
    const bytes = Buffer.alloc(statSync(this.#path).size - this.#at)
    const fd = openSync(this.#path, 'r')
    readSync(fd, bytes, 0, bytes.length, this.#at)
    closeSync(fd)
    // What stands behind the last newline is still being written.
    const complete = bytes.subarray(0, bytes.lastIndexOf(10) + 1)
    this.#at += complete.length
    interface Line {
      resourceLogs?: { resource: { attributes?: Pair[] }; scopeLogs: { logRecords: Log[] }[] }[]
    }
    for (const line of complete.toString().split('\n').slice(0, -1)) {
      for (const { resource, scopeLogs } of (JSON.parse(line) as Line).resourceLogs ?? []) {
        const logs = scopeLogs.flatMap(({ logRecords }) => logRecords)
        this.#arrived.push(...logs.map((log) => ({ resource: resource.attributes ?? [], log })))
      }
    }
    return this.#arrived
  }
}

/** The members of a record of `makeBatch`, in its order. */
const MEMBERS = Object.keys(JSON.parse(Buffer.from(makeBatch(1).entries[0]?.record ?? []).toString()) as object)

function recordFrom(fields: Readonly<Record<string, unknown>>): Buffer {
  const us = Number(fields['__REALTIME_TIMESTAMP'])
  const time = `${new Date(us / 1000).toISOString().slice(0, 19)}.${String(us % 1e6).padStart(6, '0')}Z`
  return Buffer.from(JSON.stringify(Object.fromEntries(MEMBERS.map((name) => [name, fields[name] ?? time]))))
}

const RESOURCE: Readonly<Record<string, string>> = {
  'host.name': '_HOSTNAME',
  'host.id': '_MACHINE_ID',
  'service.name': 'SYSLOG_IDENTIFIER',
  'process.pid': '_PID',
  'process.executable.name': '_COMM',
  'process.executable.path': '_EXE',
  'process.command_line': '_CMDLINE',
}
const ATTRIBUTES: Readonly<Record<string, string>> = {
  'journald.cursor': '__CURSOR',
  'syslog.facility.code': 'SYSLOG_FACILITY',
  'syslog.pid': 'SYSLOG_PID',
  'code.file.path': 'CODE_FILE',
  'code.line.number': 'CODE_LINE',
  'code.function.name': 'CODE_FUNC',
}
const SEVERITIES = [21, 19, 18, 17, 13, 10, 9, 5]

/** The values of journal fields that a log record holds, as bytes in latin1. */
function fieldsOf({ resource, log }: Arrived): Map<string, string[]> {
  const fields = new Map<string, string[]>()
  const us = log.timeUnixNano.slice(0, -3)
  fields.set('__REALTIME_TIMESTAMP', [us])
  if (log.body !== undefined) fields.set('MESSAGE', bytesOf(log.body))
  const priority = SEVERITIES.indexOf(log.severityNumber ?? 0)
  if (priority >= 0) fields.set('PRIORITY', [String(priority)])
  for (const { key, value } of resource) {
    const name = RESOURCE[key]
    if (name !== undefined) fields.set(name, bytesOf(value))
  }
  for (const { key, value } of log.attributes) {
    const name = ATTRIBUTES[key] ?? key.replace(/^journald\./, '')
    if (/^[A-Z0-9_]+$/.test(name)) fields.set(name, bytesOf(value))
  }
  return fields
}

function bytesOf(value: AnyValue): string[] {
  if (value.arrayValue !== undefined) return (value.arrayValue.values ?? []).flatMap(bytesOf)
  if (value.bytesValue !== undefined) return [Buffer.from(value.bytesValue, 'base64').toString('latin1')]
  return [Buffer.from(value.stringValue ?? value.intValue ?? '').toString('latin1')]
}

/** The same of a line of `journalctl -o json --all`. */
function fieldsOfJournal(line: string): Map<string, string[]> {
  const bytes = (value: unknown): string[] => {
    if (!Array.isArray(value)) return [Buffer.from(String(value)).toString('latin1')]
    if (value.every((one) => typeof one === 'number')) return [Buffer.from(value as number[]).toString('latin1')]
    return value.flatMap(bytes)
  }
  return new Map(
    Object.entries(JSON.parse(line) as object).map(([name, value]) => [name, bytes(value)] as [string, string[]]),
  )
}

const sorted = (fields: Map<string, string[]>) => JSON.stringify([...fields].sort(([a], [b]) => (a < b ? -1 : 1)))

async function until(what: string, check: () => boolean | Promise<boolean>, timeoutMs = 60_000): Promise<void> {
  const end = Date.now() + timeoutMs
  while (!(await check())) {
    if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms for: ${what}`)
    await sleep(200)
  }
}

interface Target {
  readonly proxy: TcpProxy
  received(): Promise<Buffer[]> | Buffer[]
  /** A label that only this target's entries have. */
  readonly job: string
}
const broken = {
  outage: {
    down: async ({ proxy }: Target) => {
      await proxy.refuse()
      // A request on a connection of which nobody has noticed that it is gone is in doubt.
      await sleep(20)
    },
    up: ({ proxy }: Target) => proxy.accept(),
  },
  loseAnswer: ({ proxy }: Target) => void proxy.dropNextReply(),
  stall: {
    begin: ({ proxy }: Target) => proxy.pauseReplies(),
    end: ({ proxy }: Target) => proxy.resumeReplies(),
  },
  stop: ({ proxy }: Target) => proxy.close(),
}

function sockets(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length
}

/** The server does not answer, and the write is aborted. */
async function expectAbortable(service: Service, sink: Sink): Promise<void> {
  const before = sockets()
  await sink.open(NEVER)
  service.freeze()
  const stop = new AbortController()
  const outcome = sink.write(makeBatch(1000), delivery(stop.signal)).catch((error: SinkError) => error.failure)
  await sleep(100)
  const aborted = performance.now()
  stop.abort()
  expect(await outcome).toBe('in-doubt')
  await sink.close(NEVER)
  await sleep(100)
  expect(sockets()).toBeLessThanOrEqual(before)
  expect(performance.now() - aborted).toBeLessThan(1000)
  service.thaw()
}

describeWith(['go'], 'the otlp sink and a collector', () => {
  let collector: Collector
  beforeAll(async () => {
    collector = await startCollector()
  })
  afterAll(() => collector.remove())

  testSink<Target>({
    name: 'otlp, to a collector',
    module: otlpModule,
    example: { url: 'http://collector:4318' },
    target: async () => {
      const file = await CollectorFile.of(collector, 'otlp')
      const record = (arrived: Arrived) => {
        const fields = fieldsOf(arrived)
        const one = Object.fromEntries(
          MEMBERS.map((name) => [name, Buffer.from(fields.get(name)?.[0] ?? '', 'latin1').toString()]),
        )
        return recordFrom({ ...one, '@timestamp': undefined })
      }
      return { proxy: await startTcpProxy(collector.otlpPort), job: '', received: () => file.read().map(record) }
    },
    create: ({ proxy }, host) => new OtlpSink(otlpConfig.parse({ url: `http://127.0.0.1:${proxy.port}` }), host),
    received: (target) => target.received(),
    refuse: 'a collector takes whatever is well-formed',
    takeAtMost: 'a collector takes 20 MiB',
    ...broken,
  })

  async function sent(options: object, batch: Batch): Promise<readonly Arrived[]> {
    const file = await CollectorFile.of(collector, 'otlp')
    const url = `http://127.0.0.1:${collector.otlpPort}`
    const sink = new OtlpSink(otlpConfig.parse({ url, ...options }), testHost())
    await sink.open(NEVER)
    expect(await sink.write(batch, delivery())).toBe('delivered')
    await sink.close()
    await until('the collector to write', () => file.read().length >= batch.ends.length)
    return file.read()
  }

  it('O1: JSON and protobuf arrive as equal log records, in every compression', async () => {
    const batch = makeBatch(20, {
      fields: (n) => ({
        N: String(n),
        CODE_LINE: `-${n}`,
        BIG: 'ä'.repeat(n * 1000),
        SYSLOG_FACILITY: '10',
        EMPTY: '',
      }),
    })
    const forms: (readonly Arrived[])[] = []
    for (const protocol of ['json', 'protobuf'])
      for (const compress of ['none', 'gzip', 'zstd']) forms.push(await sent({ protocol, compress }, batch))
    const plain = (arrived: readonly Arrived[]) =>
      arrived.map((one) => JSON.stringify({ ...one, log: { ...one.log, observedTimeUnixNano: 0 } }))
    for (const form of forms.slice(1)) expect(plain(form)).toEqual(plain(forms[0] ?? []))
    expect(forms[0]).toHaveLength(20)
  })

  it('S5: priorities arrive as severities', async () => {
    const arrived = await sent(
      {},
      makeBatch(9, { fields: (n) => (n === 9 ? { PRIORITY: '' } : { PRIORITY: `${n - 1}` }) }),
    )
    expect(arrived.map(({ log }) => [log.severityNumber ?? 0, log.severityText ?? ''])).toEqual([
      [21, 'emerg'],
      [19, 'alert'],
      [18, 'crit'],
      [17, 'err'],
      [13, 'warning'],
      [10, 'notice'],
      [9, 'info'],
      [5, 'debug'],
      [0, ''],
    ])
  })

  it('O3: a form that the receiver does not know holds the sink', async () => {
    const url = `http://127.0.0.1:${collector.otlpPort}`
    for (const [options, status] of [
      [{ headers: { 'Content-Type': 'text/plain' } }, 415],
      [{ url: `${url}/elsewhere` }, 404],
    ] as const) {
      const sink = new OtlpSink(otlpConfig.parse({ url, ...options }), testHost())
      await sink.open(NEVER)
      const error = await sink.write(makeBatch(1), delivery()).catch((error: SinkError) => error)
      expect(error).toMatchObject({ failure: 'refused', message: expect.stringContaining(`answers ${status}`) })
      expect((await sink.check(NEVER))[0]?.ok).toBe(false)
      await sink.close()
    }
    const sink = new OtlpSink(otlpConfig.parse({ url }), testHost())
    expect(await sink.check(NEVER)).toEqual([
      { ok: true, text: `127.0.0.1:${collector.otlpPort} takes requests (it answers 200 to an empty one)` },
    ])
  })

  it('O3: a body that is no request is halved, then a dead letter with what the receiver says', async () => {
    const sink = new OtlpSink(
      // JSON that says it is protobuf.
      otlpConfig.parse({
        url: `http://127.0.0.1:${collector.otlpPort}`,
        protocol: 'json',
        headers: { 'content-type': 'application/x-protobuf' },
      }),
      testHost(),
    )
    await sink.open(NEVER)
    await expect(sink.write(makeBatch(2), delivery())).rejects.toMatchObject({ failure: 'too-large' })
    const receipt = await sink.write(makeBatch(1), delivery())
    expect(receipt).toMatchObject({
      rejected: [{ code: 'invalid', reason: expect.stringMatching(/answers 400: proto/) }],
    })
    await sink.close()
  })

  it('X1: a write of the otlp sink ends within a second of an abort, and leaves no socket', async () => {
    const url = `http://127.0.0.1:${collector.otlpPort}`
    await expectAbortable(collector, new OtlpSink(otlpConfig.parse({ url }), testHost()))
  })

  it('the http sink delivers into its HEC receiver, in an envelope', async () => {
    const file = await CollectorFile.of(collector, 'hec')
    const sink = new HttpSink(
      httpConfig.parse({
        url: `http://127.0.0.1:${collector.port}/services/collector/event?channel=11111111-2222-3333-4444-555555555555`,
        envelope: '{"time":%{seconds},"source":"journald","event":%{record}}',
        headers: { Authorization: 'Splunk token' },
        compress: 'gzip',
      }),
    )
    await sink.open(NEVER)
    const batch = makeBatch(500)
    expect(await sink.write(batch, delivery())).toBe('delivered')
    await until('500 entries', () => file.read().length === 500)
    // Its own clock is a float: exact to a microsecond, not below.
    const times = file.read().map(({ log }) => Math.round(Number(log.timeUnixNano) / 1000))
    expect(times).toEqual([...batch.realtimes])
    await sink.close()
  })

  describeWith(['systemd-journal-remote', 'journalctl'], 'and the whole program', () => {
    it('ships a mixed journal, all fields byte for byte, and repeats after a kill no more than was under way', async () => {
      const dir = tempDir()
      const journal = await writeJournal(join(dir, 'journal'), 'mixed', { entries: ENTRIES, profile: 'mixed', seed: 5 })
      const config = join(dir, 'logferry.yaml')
      const proxy = await startTcpProxy(collector.otlpPort)
      writeFileSync(
        config,
        `journal: { directories: [${join(dir, 'journal')}], start: oldest }\nstate: ./state\nlog: { format: json }\n` +
          `sinks:\n  hosted: { type: otlp, url: "http://127.0.0.1:${proxy.port}", batch: { entries: 500 } }\n`,
      )
      const file = await CollectorFile.of(collector, 'otlp')
      const args = ['run', '-c', config]
      // Slowly, so that it is killed with requests under way.
      proxy.delay(50)
      const first = startLogferry(args)
      await until('some entries', () => proxy.passed.request > 100_000)
      first.kill('SIGKILL')
      await first.ended
      expect(file.read().length).toBeLessThan(ENTRIES)
      proxy.delay(0)
      // And then an answer is lost, the one to the second request or to one soon after.
      const cut = proxy.cutAfter(500, 'reply')
      const second = startLogferry(args)
      const oracle = journalctl(['--file', journal, '-o', 'json', '--all']).toString().split('\n').slice(0, -1)
      const cursorOf = (fields: Map<string, string[]>) => fields.get('__CURSOR')?.[0] ?? ''
      const arrived = new Map<string, string>()
      let seen = 0
      await until(
        'all entries',
        () => {
          const all = file.read()
          for (; seen < all.length; seen++) {
            const fields = fieldsOf(all[seen] as Arrived)
            arrived.set(cursorOf(fields), sorted(fields))
          }
          return arrived.size >= oracle.length
        },
        90_000,
      )
      await cut
      second.kill('SIGTERM')
      expect(await second.ended).toBe(0)
      await proxy.close()
      let different = 0
      for (const line of oracle) {
        const fields = fieldsOfJournal(line)
        if (arrived.get(cursorOf(fields)) === sorted(fields)) continue
        if (different++ === 0) expect(arrived.get(cursorOf(fields))).toBe(sorted(fields))
      }
      expect([oracle.length, arrived.size]).toEqual([ENTRIES, ENTRIES])
      // Two writes of 500 at once, twice in doubt.
      expect(file.read().length - ENTRIES).toBeLessThanOrEqual(2000)
    })
  })
})

describeWith(['go'], 'the loki and http sinks and VictoriaLogs', () => {
  let service: Service
  let targets = 0
  beforeAll(async () => {
    service = await startVictoriaLogs()
  })
  afterAll(() => service.remove())

  type Row = Readonly<Record<string, string>>

  async function ask(query: string): Promise<Row[]> {
    // It would else show what it has within some seconds.
    await fetch(`http://127.0.0.1:${service.port}/internal/force_flush`)
    const answer = await fetch(`http://127.0.0.1:${service.port}/select/logsql/query`, {
      method: 'POST',
      body: new URLSearchParams({ query, limit: '100000' }),
    })
    const lines = (await answer.text()).split('\n').filter((line) => line !== '')
    return lines.map((line) => JSON.parse(line) as Row)
  }

  const target = async (): Promise<Target> => {
    const job = `job-${++targets}`
    // The message of an NDJSON line is in a field of the server's own.
    const record = (row: Row) => recordFrom({ ...row, MESSAGE: row['MESSAGE'] ?? row['_msg'] })
    const received = async () => (await ask(`{job="${job}"} | sort by (_time)`)).map(record)
    return { proxy: await startTcpProxy(service.port), job, received }
  }
  const largest = { entries: 2000, messageBytes: 500 }

  testSink<Target>({
    name: 'loki, to VictoriaLogs',
    module: lokiModule,
    example: { url: 'http://loki:3100' },
    target,
    create: ({ proxy, job }, host) =>
      new LokiSink(
        lokiConfig.parse({ url: `http://127.0.0.1:${proxy.port}/insert/loki/api/v1/push`, labels: { job } }),
        host,
      ),
    received: (at) => at.received(),
    largest,
    refuse: 'it takes whatever is well-formed',
    takeAtMost: 'it takes 64 MB',
    ...broken,
    loseAnswer: 'it keeps what was sent twice, which Loki does not',
  })

  testSink<Target>({
    name: 'http, to VictoriaLogs',
    module: httpModule,
    example: { url: 'http://victorialogs:9428/insert/jsonline' },
    target,
    create: ({ proxy, job }) => {
      const query = `_stream_fields=job&_time_field=@timestamp&_msg_field=MESSAGE&extra_fields=job=${job}`
      return new HttpSink(
        httpConfig.parse({
          url: `http://127.0.0.1:${proxy.port}/insert/jsonline?${query}`,
          envelope: `{"job":"${job}",%{members}`,
        }),
      )
    },
    received: (at) => at.received(),
    largest,
    refuse: 'it takes whatever is well-formed',
    takeAtMost: 'it takes 64 MB',
    ...broken,
  })

  it('L1: lines of equal time and text stay two, and the same line sent again has the same time', async () => {
    const { proxy, job } = await target()
    const sink = new LokiSink(
      lokiConfig.parse({
        url: `http://127.0.0.1:${proxy.port}/insert/loki/api/v1/push`,
        labels: { job, host: '${_HOSTNAME}' },
        line: 'message',
      }),
      testHost(),
    )
    await sink.open(NEVER)
    const batch = makeBatch(2, { run: 2 })
    expect(await sink.write(batch, delivery())).toBe('delivered')
    const query = `{job="${job}"} | sort by (_time)`
    await until('two lines', async () => (await ask(query)).length === 2)
    const rows = await ask(query)
    expect(rows.map(({ _time }) => _time)).toEqual(['2026-09-21T14:13:20.000100001Z', '2026-09-21T14:13:20.000100002Z'])
    expect(rows[0]).toMatchObject({ host: 'node-1', pid: '1001', machine_id: SOURCE, priority: '1' })
    expect(rows[0]?.['_msg']).toBe(rows[1]?.['_msg'])
    expect(await sink.write({ ...batch, attempt: 2 }, delivery())).toBe('delivered')
    await until('four lines', async () => (await ask(query)).length === 4)
    // Loki keeps one of each: they are equal in all that it looks at.
    expect(
      new Set((await ask(query)).map(({ _time, _stream, _msg }) => JSON.stringify([_time, _stream, _msg]))).size,
    ).toBe(2)
    expect((await sink.check(NEVER))[0]?.ok).toBe(true)
    await sink.close()
    await proxy.close()
  })

  it('X1: writes of the loki and http sinks end within a second of an abort, and leave no socket', async () => {
    const url = `http://127.0.0.1:${service.port}/insert`
    await expectAbortable(service, new LokiSink(lokiConfig.parse({ url: `${url}/loki/api/v1/push` }), testHost()))
    await expectAbortable(service, new HttpSink(httpConfig.parse({ url: `${url}/jsonline` })))
  })
})
