import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { journalOf, LOGFERRY } from './data.ts'
import { best, measure, type Usage } from './measure.ts'
import { startReceiver } from './receivers.ts'
import type { Bench } from './run.ts'

const ENTRIES = 400_000

export default {
  question:
    'what does the redis sink cost end to end, against only reading and printing? (backfill, dcos-node, 400 k, 5 files)',
  async run(rounds) {
    const dir = await journalOf('dcos-node', ENTRIES, 5)
    const read = await best(rounds, () =>
      measure(process.execPath, [LOGFERRY, 'read', '--directory', dir, '--output', 'json']),
    )
    const unsent = await best(rounds, () => ship(dir, () => "{ type: 'null', encoding: json }"))
    const list = await best(rounds, () => ship(dir, toRedis('key: logstash')))
    const byUnit = await best(rounds, () => ship(dir, toRedis('key: "{logs}:${_SYSTEMD_UNIT:-none}"')))
    const stream = await best(rounds, () => ship(dir, toRedis('key: logs, mode: stream')))
    const rate = (cpu: number) => `${Math.round(ENTRIES / cpu / 1000)} k/s`
    const row = (what: string, { cpu }: Usage) => ({ what, figure: rate(cpu), ratio: read.cpu / cpu })
    return [
      { what: 'read -o json', figure: rate(read.cpu) },
      row('the same entries to nobody (null sink)', unsent),
      { ...row('redis list, against read -o json', list), goal: 0.55 },
      row('a list for each unit', byUnit),
      row('stream', stream),
      { what: 'redis sink, resident', figure: `${Math.round(list.rss / 1e6)} MB` },
    ]
  },
} satisfies Bench

const toRedis = (options: string) => (port: number) => `{ type: redis, url: "redis://127.0.0.1:${port}", ${options} }`

/** Ships the journal to a receiver that only counts, and checks that all of it came. */
async function ship(dir: string, sink: (port: number) => string): Promise<Usage> {
  const receiver = await startReceiver('redis')
  const home = mkdtempSync(join(tmpdir(), 'lf-bench-'))
  const config = join(home, 'logferry.yaml')
  const text = sink(receiver.port)
  writeFileSync(config, `state: ${home}/state\nsinks:\n  out: ${text}\n`)
  try {
    const args = [LOGFERRY, 'backfill', '--config', config, '--sink', 'out', '--directory', dir]
    const usage = await measure(process.execPath, args)
    const { entries } = await receiver.counts()
    if (text.includes('redis') && entries !== ENTRIES) throw new Error(`${entries} of ${ENTRIES} entries arrived`)
    return usage
  } finally {
    await receiver.stop()
    rmSync(home, { recursive: true })
  }
}
