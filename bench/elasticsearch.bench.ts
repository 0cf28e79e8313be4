import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeCertificates } from '../test/support/certificates.ts'
import { backfillTo } from './backfill.ts'
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
    'what does the elasticsearch sink cost end to end, against reading and printing, rsyslog, and journalctl with curl? (dcos-node, 400 k, 5 files)',
  async run(rounds) {
    const dir = await journalOf('dcos-node', ENTRIES, 5)
    const small = await journalOf('dcos-node', FEWER, 5)
    const home = mkdtempSync(join(tmpdir(), 'lf-bench-'))
    try {
      const { ca, server } = makeCertificates(home)
      const read = await best(rounds, () =>
        measure(process.execPath, [LOGFERRY, 'read', '--directory', dir, '--output', 'json']),
      )
      const plain = await best(rounds, () => ship(dir, ''))
      const ecs = await best(rounds, () => ship(dir, 'shape: ecs'))
      const gzip = await best(rounds, () => ship(dir, 'compress: gzip'))
      const tls = await best(rounds, () => ship(dir, `tls: { ca: ${ca} }`, server))
      const rate = ENTRIES / plain.cpu
      const row = (what: string, { cpu }: Usage): Row => ({
        what,
        figure: perSecond(ENTRIES / cpu),
        ratio: read.cpu / cpu,
      })
      const against = (what: string, other: number | undefined, goal: number): Row =>
        other === undefined
          ? { what, figure: 'not measured' }
          : { what, figure: perSecond(other), ratio: rate / other, goal }
      const rsyslog = hasRsyslog('imjournal', 'omelasticsearch') ? await best(1, () => byRsyslog(small)) : undefined
      const curl = await best(1, () => byCurl(small))
      return [
        { what: 'read -o json', figure: perSecond(ENTRIES / read.cpu) },
        { ...row('elasticsearch sink, against read -o json', plain), goal: 0.55 },
        row('shape ecs', ecs),
        row('gzip', gzip),
        row('TLS', tls),
        against('elasticsearch sink, against rsyslog', rsyslog && FEWER / rsyslog.cpu, 7),
        against('elasticsearch sink, against journalctl | curl', FEWER / curl.cpu, 8),
        { what: 'elasticsearch sink, resident', figure: `${Math.round(plain.rss / 1e6)} MB` },
      ]
    } finally {
      rmSync(home, { recursive: true })
    }
  },
} satisfies Bench

const perSecond = (rate: number): string => `${Math.round(rate / 1000)} k/s`

function ship(dir: string, options: string, tls?: ReceiverTls): Promise<Usage> {
  const more = options === '' ? '' : `, ${options}`
  const sink = (port: number) => {
    const url = tls === undefined ? `http://127.0.0.1:${port}` : `https://localhost:${port}`
    return `{ type: elasticsearch, nodes: ["${url}"], index: logs${more} }`
  }
  return backfillTo('http', dir, ENTRIES, sink, tls)
}

async function byRsyslog(dir: string): Promise<Usage> {
  const receiver = await startReceiver('http')
  const action = `module(load="omelasticsearch")
action(type="omelasticsearch" server="127.0.0.1" serverport="${receiver.port}" searchIndex="logs" searchType="" bulkmode="on" maxbytes="5m" template="entry")`
  try {
    return await rsyslogCosts(dir, action, receiver, FEWER)
  } finally {
    await receiver.stop()
  }
}

/** The simplest client: lines of journalctl, an action before each, some thousand a request. */
async function byCurl(dir: string): Promise<Usage> {
  const receiver = await startReceiver('http')
  const url = `http://127.0.0.1:${receiver.port}/logs/_bulk`
  const post = `sed 's/^/{"create":{}}\\n/' | curl -sS -o /dev/null -H content-type:application/x-ndjson --data-binary @- ${url}`
  try {
    const script = 'journalctl -D "$0" -o json --no-pager | split -l 2000 --filter="$1"'
    const usage = await measure('bash', ['-c', script, dir, post])
    const { entries } = await receiver.counts()
    if (entries !== FEWER) throw new Error(`journalctl | curl: ${entries} of ${FEWER} entries arrived`)
    return usage
  } finally {
    await receiver.stop()
  }
}
