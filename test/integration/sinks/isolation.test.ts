// Four sinks, one of which hangs for ever: the others deliver everything, and memory stays what it is. The receivers only count, so that
// nothing but logferry is the limit; that they get the right entries is shown elsewhere.
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Receiver, startReceiver } from '../../../bench/receivers.ts'
import { writeJournal } from '../../support/journals.ts'
import { describeWith } from '../../support/needs.ts'
import { startLogferry } from '../../support/program.ts'
import { tempDir } from '../../support/tempDir.ts'

const ENTRIES = 60_000
const SINKS = ['elasticsearch', 'redis', 'splunk', 'fluentd'] as const
/** What the process may still grow by after the others are done, while the one hangs. */
const FLAT_BYTES = 10e6
const WATCH_MS = 4000

type Name = (typeof SINKS)[number]

describeWith(['systemd-journal-remote'], 'four sinks, one of which hangs for ever', () => {
  const home = tempDir()
  const journal = join(home, 'journal')
  const sockets = new Set<Socket>()
  let hung: Server
  let hungPort = 0

  beforeAll(async () => {
    await writeJournal(journal, 'a', { entries: ENTRIES, profile: 'dcos-node', seed: 51 })
    // Takes connections and whatever comes, and never says a word.
    hung = createServer((socket) => {
      sockets.add(socket)
      socket.on('error', () => undefined).resume()
    })
    await new Promise<void>((resolve) => hung.listen(0, '127.0.0.1', resolve))
    const address = hung.address()
    if (typeof address === 'object' && address !== null) hungPort = address.port
  })
  afterAll(() => {
    for (const socket of sockets) socket.destroy()
    hung.close()
  })

  function configuration(ports: Readonly<Record<Name, number>>): string {
    const dir = mkdtempSync(join(home, 'run-'))
    const path = join(dir, 'logferry.yaml')
    writeFileSync(
      path,
      `state: ${dir}/state
journal: { directories: [${journal}], start: oldest }
log: { level: warn }
sinks:
  elasticsearch: { type: elasticsearch, nodes: ["http://127.0.0.1:${ports.elasticsearch}"], index: logs }
  redis: { type: redis, url: "redis://127.0.0.1:${ports.redis}", key: logs }
  splunk: { type: splunk, url: "http://127.0.0.1:${ports.splunk}", token: hush, ack: false }
  fluentd: { type: fluentd, host: 127.0.0.1, port: ${ports.fluentd} }
`,
    )
    return path
  }

  it.each(SINKS)('%s hangs: the other three get every entry, and memory stays flat', async (name) => {
    const receivers: Record<Name, Receiver> = {
      elasticsearch: await startReceiver('http'),
      redis: await startReceiver('redis'),
      splunk: await startReceiver('http'),
      fluentd: await startReceiver('forward'),
    }
    const ports = Object.fromEntries(SINKS.map((one) => [one, one === name ? hungPort : receivers[one].port]))
    const run = startLogferry(['run', '--config', configuration(ports as Record<Name, number>)])
    try {
      const others = SINKS.filter((one) => one !== name)
      const counted = new Map<Name, number>(others.map((one) => [one, 0]))
      for (const end = Date.now() + 60_000; [...counted.values()].some((count) => count < ENTRIES); await sleep(100)) {
        for (const one of others) counted.set(one, (counted.get(one) ?? 0) + (await receivers[one].counts()).entries)
        if (Date.now() > end) throw new Error(`${JSON.stringify([...counted])}\n${run.stderr()}`)
      }
      expect([...counted.values()]).toEqual(others.map(() => ENTRIES))
      const settled = residentOf(run.child.pid)
      await sleep(WATCH_MS)
      expect(residentOf(run.child.pid) - settled).toBeLessThan(FLAT_BYTES)
      expect(run.child.exitCode, run.stderr()).toBeNull()
    } finally {
      run.kill('SIGKILL')
      await run.ended
      for (const receiver of Object.values(receivers)) await receiver.stop()
    }
  })
})

function residentOf(pid: number | undefined): number {
  return 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
}
