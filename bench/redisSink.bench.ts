import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeCertificates } from '../test/support/certificates.ts'
import { backfill, backfillTo } from './backfill.ts'
import { journalOf, LOGFERRY } from './data.ts'
import { best, measure, type Usage } from './measure.ts'
import { type ReceiverTls, startReceiver } from './receivers.ts'
import { hasRsyslog, rsyslogCosts } from './rsyslog.ts'
import type { Bench, Row } from './run.ts'

const ENTRIES = 400_000
/** For what is several times slower: its rate is the same with more. */
const FEWER = 100_000

export default {
  question:
    'what does the redis sink cost end to end, against only reading and printing, and against rsyslog? (dcos-node, 400 k, 5 files)',
  async run(rounds) {
    const dir = await journalOf('dcos-node', ENTRIES, 5)
    const read = await best(rounds, () =>
      measure(process.execPath, [LOGFERRY, 'read', '--directory', dir, '--output', 'json']),
    )
    const unsent = await best(rounds, () => backfill(dir, () => "{ type: 'null', encoding: json }"))
    const list = await best(rounds, () => ship(dir, toRedis('key: logstash')))
    const byUnit = await best(rounds, () => ship(dir, toRedis('key: "{logs}:${_SYSTEMD_UNIT:-none}"')))
    const stream = await best(rounds, () => ship(dir, toRedis('key: logs, mode: stream')))
    const secure = await best(rounds, () => shipOverTls(dir))
    const rsyslog = hasRsyslog('imjournal', 'omhiredis') ? await byRsyslog() : undefined
    const other: Row =
      rsyslog === undefined
        ? { what: 'redis list, against rsyslog', figure: 'not measured' }
        : {
            what: 'redis list, against rsyslog',
            figure: `${Math.round(FEWER / rsyslog.cpu / 1000)} k/s`,
            ratio: ENTRIES / list.cpu / (FEWER / rsyslog.cpu),
            goal: 5,
          }
    const rate = (cpu: number) => `${Math.round(ENTRIES / cpu / 1000)} k/s`
    const row = (what: string, { cpu }: Usage) => ({ what, figure: rate(cpu), ratio: read.cpu / cpu })
    return [
      { what: 'read -o json', figure: rate(read.cpu) },
      row('the same entries to nobody (null sink)', unsent),
      { ...row('redis list, against read -o json', list), goal: 0.55 },
      row('a list for each unit', byUnit),
      row('stream', stream),
      row('list over TLS', secure),
      other,
      { what: 'redis sink, resident', figure: `${Math.round(list.rss / 1e6)} MB` },
    ]
  },
} satisfies Bench

const toRedis = (options: string) => (port: number) => `{ type: redis, url: "redis://127.0.0.1:${port}", ${options} }`

async function shipOverTls(dir: string): Promise<Usage> {
  const home = mkdtempSync(join(tmpdir(), 'lf-bench-'))
  try {
    const { ca, server } = makeCertificates(home)
    const sink = (port: number) => `{ type: redis, url: "rediss://localhost:${port}", key: logs, tls: { ca: ${ca} } }`
    return await ship(dir, sink, server)
  } finally {
    rmSync(home, { recursive: true })
  }
}

async function byRsyslog(): Promise<Usage> {
  const dir = await journalOf('dcos-node', FEWER, 5)
  const receiver = await startReceiver('redis')
  const action = `module(load="omhiredis")
action(type="omhiredis" server="127.0.0.1" serverport="${receiver.port}" mode="queue" key="logs" userpush="on" template="entry")`
  try {
    return await rsyslogCosts(dir, action, receiver, FEWER)
  } finally {
    await receiver.stop()
  }
}

function ship(dir: string, sink: (port: number) => string, tls?: ReceiverTls): Promise<Usage> {
  return backfillTo('redis', dir, ENTRIES, sink, tls)
}
