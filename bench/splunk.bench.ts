import { backfillTo } from './backfill.ts'
import { journalOf, LOGFERRY } from './data.ts'
import { best, measure, type Usage } from './measure.ts'
import type { Bench } from './run.ts'

const ENTRIES = 400_000

export default {
  question:
    'what does the splunk sink cost end to end, against only reading and printing? (backfill, dcos-node, 400 k, 5 files)',
  async run(rounds) {
    const dir = await journalOf('dcos-node', ENTRIES, 5)
    const read = await best(rounds, () =>
      measure(process.execPath, [LOGFERRY, 'read', '--directory', dir, '--output', 'json']),
    )
    const plain = await best(rounds, () => ship(dir, 'compress: none, ack: false'))
    const ack = await best(rounds, () => ship(dir, 'compress: none'))
    const message = await best(rounds, () => ship(dir, 'compress: none, ack: false, event: message'))
    const gzip = await best(rounds, () => ship(dir, 'ack: false'))
    const rate = (cpu: number) => `${Math.round(ENTRIES / cpu / 1000)} k/s`
    const row = (what: string, { cpu }: Usage) => ({ what, figure: rate(cpu), ratio: read.cpu / cpu })
    return [
      { what: 'read -o json', figure: rate(read.cpu) },
      { ...row('splunk sink, against read -o json', plain), goal: 0.55 },
      row('with acknowledgements', ack),
      row('the bare message', message),
      row('gzip', gzip),
      { what: 'splunk sink, resident', figure: `${Math.round(ack.rss / 1e6)} MB` },
    ]
  },
} satisfies Bench

function ship(dir: string, options: string): Promise<Usage> {
  const sink = (port: number) => `{ type: splunk, url: "http://127.0.0.1:${port}", token: x, ${options} }`
  return backfillTo('http', dir, ENTRIES, sink)
}
