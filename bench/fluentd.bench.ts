import { backfillTo } from './backfill.ts'
import { journalOf, LOGFERRY } from './data.ts'
import { best, measure, type Usage } from './measure.ts'
import type { Bench } from './run.ts'

const ENTRIES = 400_000

export default {
  question:
    'what does the fluentd sink cost end to end, against only reading and printing? (backfill, dcos-node, 400 k, 5 files)',
  async run(rounds) {
    const dir = await journalOf('dcos-node', ENTRIES, 5)
    const read = await best(rounds, () =>
      measure(process.execPath, [LOGFERRY, 'read', '--directory', dir, '--output', 'json']),
    )
    const plain = await best(rounds, () => ship(dir, ''))
    const byUnit = await best(rounds, () => ship(dir, ', tag: "journal.${_SYSTEMD_UNIT:-none}"'))
    const gzip = await best(rounds, () => ship(dir, ', compress: gzip'))
    const rate = (cpu: number) => `${Math.round(ENTRIES / cpu / 1000)} k/s`
    const row = (what: string, { cpu }: Usage) => ({ what, figure: rate(cpu), ratio: read.cpu / cpu })
    return [
      { what: 'read -o json', figure: rate(read.cpu) },
      { ...row('fluentd sink, against read -o json', plain), goal: 0.55 },
      row('a tag for each unit', byUnit),
      row('gzip', gzip),
      { what: 'fluentd sink, resident', figure: `${Math.round(plain.rss / 1e6)} MB` },
    ]
  },
} satisfies Bench

function ship(dir: string, options: string): Promise<Usage> {
  return backfillTo('forward', dir, ENTRIES, (port) => `{ type: fluentd, host: 127.0.0.1, port: ${port}${options} }`)
}
