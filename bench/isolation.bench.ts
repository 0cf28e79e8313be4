import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { builtLogferry, journalOf } from './data.ts'
import { type Receiver, type ReceiverKind, startReceiver } from './receivers.ts'
import type { Bench } from './run.ts'

const ENTRIES = 400_000
/** Ticks of /proc/PID/stat in a second. */
const TICKS = 100
const PATIENCE_MS = 180_000

/** The sinks, what they speak, and their options besides the address. Each in turn is the one that hangs. */
const SINKS: Readonly<Record<string, readonly [ReceiverKind, (port: number) => string]>> = {
  elasticsearch: ['http', (port) => `type: elasticsearch, nodes: ["http://127.0.0.1:${port}"], index: logs`],
  redis: ['redis', (port) => `type: redis, url: "redis://127.0.0.1:${port}", key: logs`],
  splunk: ['http', (port) => `type: splunk, url: "http://127.0.0.1:${port}", token: x, compress: none, ack: false`],
  fluentd: ['forward', (port) => `type: fluentd, host: 127.0.0.1, port: ${port}`],
}

export default {
  question:
    'what do three sinks cost when a fourth hangs for ever, and how much memory do four take? (run, dcos-node, 400 k)',
  async run(rounds) {
    const program = builtLogferry()
    const dir = await journalOf('dcos-node', ENTRIES, 5)
    const all = await ship(program, dir, Object.keys(SINKS), undefined)
    const rows = []
    for (const hung of ['splunk', 'fluentd']) {
      const others = Object.keys(SINKS).filter((name) => name !== hung)
      const without = await least(rounds, () => ship(program, dir, others, undefined))
      const beside = await least(rounds, () => ship(program, dir, others, hung))
      rows.push({
        what: `three sinks beside a hung ${hung}, against without it`,
        figure: `${Math.round((3 * ENTRIES) / beside.cpu / 1000)} k/s`,
        ratio: without.cpu / beside.cpu,
        goal: 0.9,
      })
    }
    return [
      ...rows,
      { what: 'four sinks', figure: `${Math.round((4 * ENTRIES) / all.cpu / 1000)} k/s` },
      {
        what: 'four sinks at full speed, resident MB',
        figure: `${Math.round(all.rss / 1e6)} MB`,
        ratio: all.rss / 1e6,
        most: 200,
      },
    ]
  },
} satisfies Bench

interface Spent {
  /** Seconds until the sinks that work had everything. */
  readonly cpu: number
  /** The peak. */
  readonly rss: number
}

async function least(rounds: number, run: () => Promise<Spent>): Promise<Spent> {
  let best = await run()
  for (let round = 1; round < rounds; round++) {
    const next = await run()
    if (next.cpu < best.cpu) best = next
  }
  return best
}

/** Runs the daemon until `names` have got everything; `hung` is a sink whose server takes all and says nothing. */
async function ship(program: string, dir: string, names: readonly string[], hung: string | undefined): Promise<Spent> {
  const receivers = new Map<string, Receiver>()
  for (const name of names) receivers.set(name, await startReceiver(SINKS[name]?.[0] ?? 'http'))
  const silent = hung === undefined ? undefined : await startSilent()
  const home = mkdtempSync(join(tmpdir(), 'lf-bench-'))
  const config = join(home, 'logferry.yaml')
  const ports = [...receivers].map(([name, { port }]) => [name, port] as const)
  const sinks = [...ports, ...(hung === undefined ? [] : [[hung, silent?.port ?? 0] as const])]
  const lines = sinks.map(([name, port]) => `  ${name}: { ${SINKS[name]?.[1](port)} }\n`)
  writeFileSync(
    config,
    `state: ${home}/state\njournal: { directories: [${dir}], start: oldest }\nlog: { level: warn }\nsinks:\n${lines.join('')}`,
  )
  const child = spawn(process.execPath, [program, 'run', '--config', config], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  try {
    const counts = new Map(names.map((name) => [name, 0]))
    for (const end = Date.now() + PATIENCE_MS; [...counts.values()].some((count) => count < ENTRIES); await sleep(50)) {
      for (const [name, receiver] of receivers)
        counts.set(name, (counts.get(name) ?? 0) + (await receiver.counts()).entries)
      if (Date.now() > end) throw new Error(`after ${PATIENCE_MS} ms: ${JSON.stringify([...counts])}`)
    }
    const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
    return {
      cpu: (Number(fields[11]) + Number(fields[12])) / TICKS,
      rss: 1024 * Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0),
    }
  } finally {
    child.kill('SIGKILL')
    await ended
    for (const receiver of receivers.values()) await receiver.stop()
    silent?.close()
    rmSync(home, { recursive: true })
  }
}

async function startSilent(): Promise<{ readonly port: number; close(): void }> {
  const sockets = new Set<Socket>()
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined).resume()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    close: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}
