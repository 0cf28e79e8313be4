// `npm run bench [-- NAME …] [--rounds N] [--check] [--accept]`: asks the questions in this folder and prints one table.
// Every figure is of whole processes and every ratio of the same run. --check fails where a goal is missed or a ratio is 20 % worse than
// bench/accepted.json; --accept writes that file.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

/** One line of the table. */
export interface Row {
  readonly what: string
  /** The figure as people read it, for example `231 k/s`. */
  readonly figure: string
  /** What is compared, if anything: the larger the better. */
  readonly ratio?: number
  /** The least ratio (or, with `most`, the largest value) that counts as reached. */
  readonly goal?: number
  readonly most?: number
}

export interface Bench {
  readonly question: string
  run(rounds: number): Promise<Row[]>
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    check: { type: 'boolean', default: false },
    accept: { type: 'boolean', default: false },
  },
})
const ACCEPTED = join(import.meta.dirname, 'accepted.json')
const accepted = JSON.parse(readFileSync(ACCEPTED, 'utf8')) as {
  machine: string
  rows: Record<string, { figure: string; ratio?: number }>
}
const names = readdirSync(import.meta.dirname)
  .filter((name) => name.endsWith('.bench.ts'))
  .sort()
const kept: Record<string, { figure: string; ratio?: number }> = { ...accepted.rows }
let worse = false

for (const name of names) {
  const short = name.replace('.bench.ts', '')
  if (positionals.length > 0 && !positionals.includes(short)) continue
  const bench = ((await import(join(import.meta.dirname, name))) as { default: Bench }).default
  console.log(`\n${short}: ${bench.question}`)
  for (const row of await bench.run(Number(values.rounds))) {
    const key = `${short}: ${row.what}`
    const before = accepted.rows[key]
    const missed =
      (row.goal !== undefined && (row.ratio ?? 0) < row.goal) ||
      (row.most !== undefined && (row.ratio ?? Infinity) > row.most)
    const slower =
      row.goal !== undefined && row.ratio !== undefined && before?.ratio !== undefined && row.ratio < before.ratio * 0.8
    if (missed || slower) worse = true
    const goal = row.goal !== undefined ? `goal ≥ ${row.goal}` : row.most !== undefined ? `goal ≤ ${row.most}` : ''
    const last = before === undefined ? '' : `accepted ${before.ratio?.toFixed(2) ?? before.figure}`
    console.log(
      `  ${row.what.padEnd(58)} ${row.figure.padStart(14)} ${(row.ratio?.toFixed(2) ?? '').padStart(8)}  ${goal.padEnd(12)} ${last}${missed ? '  MISSED' : slower ? '  SLOWER' : ''}`,
    )
    kept[key] =
      row.ratio === undefined ? { figure: row.figure } : { figure: row.figure, ratio: Number(row.ratio.toFixed(3)) }
  }
}
if (values.accept) {
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}`
  writeFileSync(ACCEPTED, `${JSON.stringify({ machine, rows: kept }, null, 2)}\n`)
}
if (values.check && worse) process.exitCode = 1
