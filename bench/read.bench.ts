import { journalOf, LOGFERRY, yardstick } from './data.ts'
import { best, measure } from './measure.ts'
import type { Bench, Row } from './run.ts'

const ENTRIES = 400_000

export default {
  question:
    'how many entries does one CPU second read and print, against journalctl and a C program on libsystemd? (dcos-node, 400 k, 5 files)',
  async run(rounds) {
    const dir = await journalOf('dcos-node', ENTRIES, 5)
    const cost = (command: string, args: string[]) => best(rounds, () => measure(command, args))
    const ours = (format: string) => cost(process.execPath, [LOGFERRY, 'read', '--directory', dir, '--output', format])
    const theirs = (format: string) =>
      best(1, () => measure('journalctl', ['--directory', dir, '--output', format, '--no-pager']))
    const rate = (cpu: number) => `${Math.round(ENTRIES / cpu / 1000)} k/s`
    const rows: Row[] = []
    for (const [format, goal] of [
      ['json', 9],
      ['export', 2.5],
      ['short', 1],
    ] as const) {
      const mine = await ours(format)
      const other = await theirs(format)
      rows.push({ what: `journalctl -o ${format}`, figure: rate(other.cpu) })
      rows.push({
        what: `read -o ${format}, against journalctl`,
        figure: rate(mine.cpu),
        ratio: other.cpu / mine.cpu,
        goal,
      })
      if (format !== 'json') continue
      const program = yardstick()
      if (program === undefined) {
        rows.push({ what: 'C on libsystemd (needs cc and libsystemd-dev)', figure: 'not measured' })
      } else {
        const c = await cost(program, [dir])
        rows.push({ what: 'C on libsystemd, JSON', figure: rate(c.cpu) })
        rows.push({ what: 'read -o json, against C', figure: rate(mine.cpu), ratio: c.cpu / mine.cpu, goal: 1 })
      }
      rows.push({ what: 'read -o json, resident', figure: `${Math.round(mine.rss / 1e6)} MB` })
    }
    return rows
  },
} satisfies Bench
