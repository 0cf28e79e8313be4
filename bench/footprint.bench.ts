import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { builtLogferry, journalOf } from './data.ts'
import { best, measure } from './measure.ts'
import type { Bench } from './run.ts'

const ENTRIES = 1_000_000

export default {
  question: 'how little does it take: to start, and to run with the file sink over 1 M entries?',
  async run(rounds) {
    const program = builtLogferry()
    const version = await best(rounds, () => measure(process.execPath, [program, '--version']))
    const dir = await journalOf('dcos-node', ENTRIES, 10)
    const home = mkdtempSync(join(tmpdir(), 'lf-bench-'))
    const out = join(home, 'out.ndjson')
    const config = join(home, 'logferry.yaml')
    writeFileSync(
      config,
      `journal: { directories: [${dir}], start: oldest }\nstate: ${home}/state\nsinks:\n  out: { type: file, path: ${out} }\n`,
    )
    // The daemon follows for ever: it is ended once the file has not grown for two seconds.
    let size = 0
    let since = Date.now()
    const until = () => {
      const now = statSync(out, { throwIfNoEntry: false })?.size ?? 0
      if (now !== size) since = Date.now()
      size = now
      return size > 0 && Date.now() - since > 2000
    }
    try {
      const run = await measure(process.execPath, [program, 'run', '--config', config], { until })
      return [
        {
          what: 'logferry --version, CPU milliseconds',
          figure: `${Math.round(version.cpu * 1000)} ms`,
          ratio: version.cpu * 1000,
          most: 150,
        },
        {
          what: 'run with the file sink, resident MB',
          figure: `${Math.round(run.rss / 1e6)} MB`,
          ratio: run.rss / 1e6,
          most: 150,
        },
        { what: 'run with the file sink', figure: `${Math.round(ENTRIES / run.cpu / 1000)} k/s` },
      ]
    } finally {
      rmSync(home, { recursive: true })
    }
  },
} satisfies Bench
