import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { journalOf, LOGFERRY } from './data.ts'
import { bestOfEach, measure } from './measure.ts'
import type { Bench } from './run.ts'

const ENTRIES = 400_000

export default {
  question:
    'what does the file sink cost end to end, against only reading and printing? (backfill, dcos-node, 400 k, 5 files)',
  async run(rounds) {
    const dir = await journalOf('dcos-node', ENTRIES, 5)
    const backfill = async () => {
      const home = mkdtempSync(join(tmpdir(), 'lf-bench-'))
      const config = join(home, 'logferry.yaml')
      writeFileSync(config, `state: ${home}/state\nsinks:\n  out: { type: file, path: ${home}/out.ndjson }\n`)
      const args = ['backfill', '--config', config, '--sink', 'out', '--directory', dir]
      try {
        return await measure(process.execPath, [LOGFERRY, ...args])
      } finally {
        rmSync(home, { recursive: true })
      }
    }
    const { read, file } = await bestOfEach(rounds, {
      read: () => measure(process.execPath, [LOGFERRY, 'read', '--directory', dir, '--output', 'json']),
      file: backfill,
    })
    const rate = (cpu: number) => `${Math.round(ENTRIES / cpu / 1000)} k/s`
    return [
      { what: 'read -o json', figure: rate(read.cpu) },
      { what: 'file sink, against read -o json', figure: rate(file.cpu), ratio: read.cpu / file.cpu, goal: 0.6 },
      { what: 'file sink, resident', figure: `${Math.round(file.rss / 1e6)} MB` },
    ]
  },
} satisfies Bench
