// Server CPU for whole answers, against systemd-journal-gatewayd over the same files; idle streams; many streams with an entry a second; and the first
// byte of the newest entries of a large journal.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ApiJournal, entryAt } from '../test/support/apiJournal.ts'
import { journalOf, LOGFERRY, rotatedJournalOf } from './data.ts'
import type { Bench, Row } from './run.ts'

const ENTRIES = 500_000
const GATEWAYD = '/lib/systemd/systemd-journal-gatewayd'
const TICKS = 100
const IDLE_STREAMS = 200
const IDLE_S = 20
const STREAMS = 1000
const LIVE_ENTRIES = 10

interface Served {
  readonly port: number
  readonly child: ChildProcess
  stop(): Promise<void>
}

/** User and system CPU seconds of a process so far. */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS
}

function residentOf(pid: number): number {
  return 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
}

/** A program that takes its socket as systemd passes it, on loopback. */
async function serve(command: string, args: readonly string[]): Promise<Served> {
  const listener = createServer()
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const { port } = listener.address() as { port: number }
  const { fd } = (listener as unknown as { _handle: { fd: number } })._handle
  const script = 'export LISTEN_FDS=1 LISTEN_PID=$$; exec "$0" "$@"'
  const child = spawn('sh', ['-c', script, command, ...args], { stdio: ['ignore', 'ignore', 'inherit', fd] })
  listener.close()
  const ended = new Promise((resolve) => child.once('exit', resolve))
  return {
    port,
    child,
    async stop() {
      child.kill()
      await ended
    },
  }
}

async function serveLogferry(dir: string): Promise<Served & { readonly home: string }> {
  const home = mkdtempSync(join(tmpdir(), 'lf-bench-'))
  const limits = `{ streams: 10000, connections: 10000 }`
  writeFileSync(
    join(home, 'c.yaml'),
    `journal: { directories: [${dir}] }\nstate: ./state\nlog: { level: error }\napi: { listen: systemd, auth: none, limits: ${limits} }\n`,
  )
  const served = await serve(process.execPath, [LOGFERRY, 'run', '-c', join(home, 'c.yaml')])
  return {
    ...served,
    home,
    async stop() {
      await served.stop()
      rmSync(home, { recursive: true, force: true })
    },
  }
}

/** Opens an answer, trying again while the server starts. */
async function open(port: number, path: string, accept: string): Promise<IncomingMessage> {
  for (let tries = 0; ; tries++) {
    try {
      return await new Promise((resolve, reject) => {
        const asked = request({ host: '127.0.0.1', port, path, headers: { accept }, agent: false }, resolve)
        asked.once('error', reject).end()
      })
    } catch (error) {
      if (tries > 100) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

/** Reads an answer to its end; gives the bytes. */
async function drain(message: IncomingMessage): Promise<number> {
  let bytes = 0
  for await (const chunk of message) bytes += (chunk as Buffer).length
  return bytes
}

/** The least CPU of the server for one whole answer. */
async function cost({ port, child }: Served, path: string, accept: string, rounds: number): Promise<number> {
  // The server has to be up before its time is taken; gatewayd answers this at once, too.
  await drain(await open(port, '/nothing', accept))
  let least = Number.POSITIVE_INFINITY
  for (let i = 0; i < rounds; i++) {
    const before = cpuOf(child.pid as number)
    await drain(await open(port, path, accept))
    least = Math.min(least, cpuOf(child.pid as number) - before)
  }
  return least
}

async function ranges(rounds: number): Promise<Row[]> {
  const dir = await journalOf('dcos-node', ENTRIES, 5)
  const ours = await serveLogferry(dir)
  const theirs = existsSync(GATEWAYD) ? await serve(GATEWAYD, ['-D', dir]) : undefined
  const rate = (cpu: number) => `${Math.round(ENTRIES / cpu / 1000)} k/s`
  const rows: Row[] = []
  try {
    for (const [what, path, accept, goal] of [
      ['json', '/v1/range/', 'application/json', 10],
      ['events', '/v1/range/', 'text/event-stream', 10],
      ['text', '/v1/range/', 'text/plain', 3],
      ['export', '/v2/component', 'application/vnd.fdo.journal', 3],
    ] as const) {
      const mine = await cost(ours, path, accept, rounds)
      const other = theirs === undefined ? undefined : await cost(theirs, '/entries', accept, 1)
      if (other !== undefined) rows.push({ what: `journal-gatewayd, ${what}`, figure: rate(other) })
      rows.push({
        what: `API, ${what}, against journal-gatewayd`,
        figure: rate(mine),
        ...(other !== undefined && { ratio: other / mine, goal }),
      })
    }
    rows.push({
      what: 'API after that, resident',
      figure: `${Math.round(residentOf(ours.child.pid as number) / 1e6)} MB`,
    })
  } finally {
    await ours.stop()
    await theirs?.stop()
  }
  return rows
}

async function streams(): Promise<Row[]> {
  const home = mkdtempSync(join(tmpdir(), 'lf-bench-live-'))
  const journal = new ApiJournal(home, [entryAt(0, { MESSAGE: 'first' })])
  const ours = await serveLogferry(home)
  const pid = ours.child.pid as number
  const opened: IncomingMessage[] = []
  try {
    for (let i = 0; i < IDLE_STREAMS; i++)
      opened.push((await open(ours.port, '/v1/stream/?skip_prev=1', 'text/event-stream')).resume())
    await new Promise((resolve) => setTimeout(resolve, 2000))
    const before = cpuOf(pid)
    await new Promise((resolve) => setTimeout(resolve, IDLE_S * 1000))
    const idle = ((cpuOf(pid) - before) * 60) / IDLE_S
    for (const message of opened.splice(0)) message.destroy()

    let worst = 0
    let received = 0
    const written = new Map<string, number>()
    for (let i = 0; i < STREAMS; i++) {
      const message = await open(ours.port, '/v1/stream/?cursor=&skip_prev=1', 'text/event-stream')
      message.setEncoding('latin1').on('data', (text: string) => {
        for (const [, name] of text.matchAll(/"MESSAGE":"(live-\d+)"/g)) {
          received++
          worst = Math.max(worst, performance.now() - (written.get(name as string) as number))
        }
      })
      opened.push(message)
    }
    for (let i = 0; i < LIVE_ENTRIES; i++) {
      // Counted from before the writer is even started.
      written.set(`live-${i}`, performance.now())
      journal.append(entryAt(10 + i, { MESSAGE: `live-${i}` }))
      await new Promise((resolve) => setTimeout(resolve, 1000))
    }
    const memory = residentOf(pid)
    for (const message of opened) message.destroy()
    const missing = STREAMS * LIVE_ENTRIES - received
    return [
      {
        what: `${IDLE_STREAMS} idle event streams, CPU seconds a minute`,
        figure: `${idle.toFixed(2)} s`,
        ratio: idle,
        most: 0.2,
      },
      {
        what: `${STREAMS} streams, an entry a second: entries that did not come`,
        figure: String(missing),
        ratio: missing,
        most: 0,
      },
      {
        what: `${STREAMS} streams: the longest way of an entry`,
        figure: `${Math.round(worst)} ms`,
        ratio: worst / 1000,
        most: 1,
      },
      {
        what: `${STREAMS} streams, resident`,
        figure: `${Math.round(memory / 1e6)} MB`,
        ratio: memory / 1e6,
        most: 250,
      },
    ]
  } finally {
    await ours.stop()
    rmSync(home, { recursive: true, force: true })
  }
}

async function firstByte(): Promise<Row[]> {
  const dir = await rotatedJournalOf('dcos-node', ENTRIES, 500)
  const ours = await serveLogferry(dir)
  try {
    const times: number[] = []
    for (let i = 0; i < 20; i++) {
      const began = performance.now()
      const message = await open(ours.port, '/v2/component?cursor=END&skip=-100', 'application/json')
      await new Promise((resolve) => message.once('readable', resolve))
      times.push(performance.now() - began)
      await drain(message)
    }
    const median = times.slice(1).sort((a, b) => a - b)[9] as number
    return [
      {
        what: 'first byte of the newest 100 entries, 500 files',
        figure: `${median.toFixed(1)} ms`,
        ratio: median,
        most: 50,
      },
    ]
  } finally {
    await ours.stop()
  }
}

export default {
  question: 'what do answers and streams of the logging API cost? (dcos-node, 500 k entries)',
  async run(rounds) {
    return [...(await streams()), ...(await firstByte()), ...(await ranges(rounds))]
  },
} satisfies Bench
