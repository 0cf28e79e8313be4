import { backfill } from './backfill.ts'
import { journalOf, LOGFERRY } from './data.ts'
import { bestOfEach, measure } from './measure.ts'
import type { Bench } from './run.ts'

const ENTRIES = 400_000

export default {
  question:
    'what does the file sink cost end to end, against only reading and printing? (backfill, dcos-node, 400 k, 5 files)',
  async run(rounds) {
    const dir = await journalOf('dcos-node', ENTRIES, 5)
    const { read, file } = await bestOfEach(rounds, {
      read: () => measure(process.execPath, [LOGFERRY, 'read', '--directory', dir, '--output', 'json']),
      file: () => backfill(dir, (home) => `{ type: file, path: ${home}/out.ndjson }`),
    })
    const rate = (cpu: number) => `${Math.round(ENTRIES / cpu / 1000)} k/s`
    return [
      { what: 'read -o json', figure: rate(read.cpu) },
      { what: 'file sink, against read -o json', figure: rate(file.cpu), ratio: read.cpu / file.cpu, goal: 0.6 },
      { what: 'file sink, resident', figure: `${Math.round(file.rss / 1e6)} MB` },
    ]
  },
} satisfies Bench
