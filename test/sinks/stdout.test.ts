import { execFileSync, spawn } from 'node:child_process'
import { constants, fstatSync, openSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { leadsIntoJournal } from '../../sinks/stdout/output.ts'
import { formatCat, formatShort } from '../../sinks/stdout/text.ts'
import stdoutSink, { StdoutSink } from '../../sinks/stdout.ts'
import { delivery, failureOf, makeBatch, testSink } from '../contract/sinkContract.ts'
import { tempDir } from '../support/tempDir.ts'

/** A pipe, and everything that was read from it. */
class Pipe {
  /** The end that a program has as its standard output, as Node would open it. */
  readonly fd: number
  readonly writer: Socket
  readonly #reader: Socket
  #text = ''

  constructor() {
    const path = join(tempDir(), 'pipe')
    execFileSync('mkfifo', [path])
    const reading = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    this.fd = openSync(path, constants.O_WRONLY)
    this.writer = new Socket({ fd: this.fd, readable: false, writable: true })
    this.#reader = new Socket({ fd: reading, readable: true, writable: false })
    this.#reader.setEncoding('utf8').on('data', (text) => {
      this.#text += text
    })
  }

  get text(): string {
    return this.#text
  }

  pause(): void {
    this.#reader.pause()
  }

  resume(): void {
    this.#reader.resume()
  }

  /** The reader goes away. */
  leave(): Promise<void> {
    return closed(this.#reader)
  }

  async close(): Promise<void> {
    await closed(this.writer)
    await closed(this.#reader)
  }
}

function closed(socket: Socket): Promise<void> {
  return socket.closed ? Promise.resolve() : new Promise((resolve) => socket.once('close', resolve).destroy())
}

function sinkOn(pipe: Pipe, format: 'json' | 'short' | 'cat' = 'json'): StdoutSink {
  return new StdoutSink({ format }, { fd: pipe.fd, stream: () => pipe.writer })
}

testSink<Pipe>({
  name: 'stdout',
  module: stdoutSink,
  example: { format: 'short' },
  target: async () => new Pipe(),
  stop: (pipe) => pipe.close(),
  create: (pipe) => sinkOn(pipe),
  received: (pipe) =>
    pipe.text
      .split('\n')
      .slice(0, -1)
      .map((line) => Buffer.from(line)),
  refuse: 'a stream takes everything',
  outage: 'a reader that has gone does not come back',
  loseAnswer: 'a stream does not answer',
  takeAtMost: 'a stream has no limit',
  stall: { begin: (pipe) => pipe.pause(), end: (pipe) => pipe.resume() },
})

function formatted(format: (record: Record<string, unknown>) => string, records: readonly object[]): string {
  return records.map((record) => format({ ...record })).join('')
}

// In local time, whichever it is here.
const TIME = new Date(2026, 10, 4, 9, 5, 3, 123)
const HEAD = { __REALTIME_TIMESTAMP: String(TIME.getTime() * 1000), _HOSTNAME: 'node-1' }

describe('the text of an entry', () => {
  it('is, in the form `short`, what journalctl prints', () => {
    const text = formatted(formatShort(), [
      { ...HEAD, SYSLOG_IDENTIFIER: 'cron', _PID: '77', MESSAGE: 'one line' },
      { ...HEAD, SYSLOG_IDENTIFIER: 'cron', SYSLOG_PID: '78', MESSAGE: 'two\nlines\n' },
      { ...HEAD, _COMM: 'kthread', MESSAGE: '' },
      { ...HEAD, MESSAGE: 'coloured \u001b[31mred' },
      { ...HEAD, MESSAGE: 'bad \ufffd', 'logferry.base64.MESSAGE': 'YmFkIP8=' },
      { ...HEAD, MESSAGE: `\u0000${'x'.repeat(1300)}` },
      { ...HEAD, SYSLOG_IDENTIFIER: 'silent' },
      { ...HEAD, SYSLOG_IDENTIFIER: ['first', 'second'], MESSAGE: [104, 105] },
    ])
    expect(text).toBe(
      [
        'Nov 04 09:05:03 node-1 cron[77]: one line',
        'Nov 04 09:05:03 node-1 cron[78]: two',
        '                                 lines',
        'Nov 04 09:05:03 node-1 kthread: ',
        'Nov 04 09:05:03 node-1 unknown: [17B blob data]',
        'Nov 04 09:05:03 node-1 unknown: [5B blob data]',
        'Nov 04 09:05:03 node-1 unknown: [1.2K blob data]',
        'Nov 04 09:05:03 node-1 first: hi',
        '',
      ].join('\n'),
    )
  })

  it('is the same for shape `ecs`', () => {
    const text = formatted(formatShort(), [
      {
        '@timestamp': TIME.toISOString(),
        host: { hostname: 'node-1' },
        log: { syslog: { appname: 'cron' } },
        process: { pid: 77 },
        message: 'nested',
      },
      {
        '@timestamp': TIME.toISOString(),
        'host.hostname': 'node-1',
        'process.name': 'cron',
        message: 'dotted',
      },
    ])
    expect(text).toBe('Nov 04 09:05:03 node-1 cron[77]: nested\nNov 04 09:05:03 node-1 cron: dotted\n')
  })

  it('is, in the form `cat`, the message as it is', () => {
    const text = formatted(formatCat(), [{ ...HEAD, MESSAGE: 'a\u001b[1mb\nc' }, HEAD, { MESSAGE: '' }])
    expect(text).toBe('a\u001b[1mb\nc\n\n')
  })
})

describe('the stdout sink', () => {
  it('writes whole batches as text', async () => {
    const pipe = new Pipe()
    const sink = sinkOn(pipe, 'short')
    await sink.open()
    await sink.write(makeBatch(2), delivery())
    await expect.poll(() => pipe.text.split('\n').length).toBe(3)
    expect(pipe.text).toMatch(/^Sep 2\d \d\d:\d\d:20 node-1 made-up\[1001\]: message 1 "quoted" \\ ü € \.+\n/)
    await sink.close()
    await pipe.close()
  })

  it('is refused when its reader has gone', async () => {
    const pipe = new Pipe()
    const sink = sinkOn(pipe)
    await sink.open()
    await sink.write(makeBatch(1), delivery())
    await pipe.leave()
    for (let n = 0; n < 2; n++) expect(await failureOf(sink.write(makeBatch(1), delivery()))).toBe('refused')
    await expect(sink.open()).rejects.toThrow('nobody reads standard output any more')
    await sink.close()
    await pipe.close()
  })

  it('is refused when standard output leads back into the journal', async () => {
    const pipe = new Pipe()
    const { dev, ino } = fstatSync(pipe.fd, { bigint: true })
    expect(leadsIntoJournal(pipe.fd, `${dev}:${ino}`)).toBe(true)
    expect(leadsIntoJournal(pipe.fd, `${dev}:${ino + 1n}`)).toBe(false)
    expect(leadsIntoJournal(pipe.fd, undefined)).toBe(false)
    process.env['JOURNAL_STREAM'] = `${dev}:${ino}`
    const opening = sinkOn(pipe).open()
    await expect(opening).rejects.toMatchObject({ failure: 'refused' })
    await expect(opening).rejects.toThrow('would come back as a new one')
    delete process.env['JOURNAL_STREAM']
    await pipe.close()
  })

  it('does not stop the program when its reader stands still', async () => {
    const script = `
      const { default: stdout } = await import(${JSON.stringify(join(import.meta.dirname, '../../sinks/stdout.ts'))})
      const { makeBatch, testHost } = await import(${JSON.stringify(join(import.meta.dirname, '../contract/batches.ts'))})
      const sink = stdout.create({ format: 'json' }, testHost())
      await sink.open()
      const stop = new AbortController()
      setTimeout(() => stop.abort(), 50)
      const batch = makeBatch(1000, { messageBytes: 1000 })
      console.error(await sink.write(batch, { signal: stop.signal, sent() {} }).catch((error) => error.failure))
      await sink.close()
      process.exit(0)
    `
    const child = spawn(process.execPath, ['--input-type=module-typescript', '--eval', script], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let text = ''
    child.stderr.on('data', (chunk) => {
      text += chunk
    })
    const code = await new Promise((resolve) => child.once('exit', resolve))
    expect([code, text]).toEqual([0, 'in-doubt\n'])
  })
})
