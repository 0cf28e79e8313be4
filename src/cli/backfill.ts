// `logferry backfill`: ships a range of the journal to one sink, once. The literal arguments are the job: the same command goes on
// with what a kill or a signal left undone. Progress goes to stderr, the summary to stdout.
import { join, resolve } from 'node:path'
import { type Config, loadConfig } from '../config/load.ts'
import { formatMistake } from '../config/mistakes.ts'
import { EXIT, problem } from '../errors.ts'
import { JournalSet } from '../journal/directory.ts'
import { andMatches } from '../journal/match.ts'
import { MemoryBudget } from '../journal/memory.ts'
import { type BackfillProgress, type BackfillSummary, backfill as ship } from '../pipeline/backfill.ts'
import type { SinkSpec } from '../pipeline/settings.ts'
import { systemClock } from '../telemetry/clock.ts'
import { createLog, type Log } from '../telemetry/log.ts'
import { parseTime } from '../time.ts'
import { DURATION_FORM, formatCount, formatDuration, formatSize, parseDuration } from '../units.ts'
import { thisNode } from './daemon/node.ts'
import { complain, print } from './output.ts'
import { openProgress } from './progress.ts'
import { Complaints } from './query/complaints.ts'
import { buildMatch, type FilterOptions } from './query/filters.ts'
import { type PlaceOptions, parsePlace } from './query/place.ts'
import { unitNames } from './query/unitNames.ts'
import { stopOnSignals } from './signals.ts'

export interface BackfillOptions extends FilterOptions, PlaceOptions {
  readonly config: string
  readonly sink: string
  readonly state?: string
  readonly since?: string
  readonly until?: string
  readonly patience: string
  readonly json?: boolean
}

/** Runs the command; resolves with the exit status. */
export async function backfill(matches: readonly string[], options: BackfillOptions): Promise<number> {
  const stop = stopOnSignals()
  const nowUs = Date.now() * 1000
  const sinceUs = options.since === undefined ? undefined : parseTime(options.since, nowUs)
  const untilUs = options.until === undefined ? undefined : parseTime(options.until, nowUs)
  if (sinceUs !== undefined && untilUs !== undefined && sinceUs > untilUs) {
    throw problem('LF_USAGE', { text: '--since is later than --until', hint: 'see logferry backfill --help' })
  }
  const config = await loadConfig(options.config, process.env)
  for (const warning of config.warnings) complain(`logferry: warning: ${formatMistake(warning)}`)
  const sink = findSink(config, options.sink)
  const memory = new MemoryBudget(config.memory)
  const set = JournalSet.open(placeOf(config, options), memory)
  new Complaints(set).tellProblems()
  const narrowed = buildMatch(options, matches, undefined, () => unitNames(set))
  if (narrowed === undefined) {
    complain(`logferry: no unit fits ${options.unit?.join(', ')}`)
    return EXIT.ok
  }
  const progress = await openProgress()
  const patience = new Patience(parsePatience(options.patience))
  const state = options.state === undefined ? config.state : resolve(options.state)
  const summary = await ship(
    {
      state,
      spec: { ...sink, settings: { ...sink.settings, match: andMatches(sink.settings.match, narrowed) } },
      args: jobOf(matches, options),
      set,
      sinceUs,
      untilUs,
      writes: sink.writes ?? [],
      memory,
      labels: config.node.labels,
      node: thisNode(),
      log: await openLog(config),
      clock: systemClock,
      shutdownTimeoutMs: config.shutdownTimeoutMs,
      onProgress(now) {
        progress.show(now)
        patience.note(now, systemClock.monotonic())
      },
    },
    AbortSignal.any([stop.signal, patience.signal]),
  )
  progress.end()
  set.close()
  if (options.json) print(`${JSON.stringify({ sink: sink.name, ...summary })}\n`)
  else complain(describe(sink.name, summary))
  if (summary.rejected > 0) complain(`rejected entries are kept in ${join(state, sink.name, 'dead')}`)
  if (summary.status === 'finished') return EXIT.ok
  if (patience.signal.aborted) throw problem('LF_BACKFILL_UNAVAILABLE', { sink: sink.name, why: patience.trouble })
  complain('the same command goes on from here')
  return stop.status() ?? EXIT.ok
}

/** Ends a backfill whose destination has been away for too long: nobody may be there to see it wait. */
class Patience {
  readonly #end = new AbortController()
  readonly #ms: number
  #settled = -1
  #since: number | undefined
  trouble = ''

  constructor(ms: number) {
    this.#ms = ms
  }

  get signal(): AbortSignal {
    return this.#end.signal
  }

  note(progress: BackfillProgress, nowMs: number): void {
    const settled = progress.delivered + progress.rejected
    const isStuck = progress.trouble !== undefined && settled === this.#settled
    this.#settled = settled
    this.#since = isStuck ? (this.#since ?? nowMs) : undefined
    if (this.#since === undefined || nowMs - this.#since < this.#ms) return
    this.trouble = progress.trouble ?? ''
    this.#end.abort()
  }
}

function parsePatience(text: string): number {
  if (text === 'forever') return Number.POSITIVE_INFINITY
  const ms = parseDuration(text)
  if (ms === undefined) throw problem('LF_USAGE', { text: `--patience ${text}: expected ${DURATION_FORM}, or forever` })
  return ms
}

function findSink(config: Config, name: string): SinkSpec {
  const sink = config.sinks.find((spec) => spec.name === name)
  if (sink !== undefined) return sink
  const hint = `${config.file} has ${config.sinks.map((spec) => spec.name).join(', ')}`
  throw problem('LF_USAGE', { text: `--sink ${name}: there is no such sink`, hint })
}

/** The directories of the configuration, unless the command line names others. */
function placeOf({ journal }: Config, options: BackfillOptions) {
  if (options.directory !== undefined || options.file !== undefined) return parsePlace(options)
  const { directories, machineId, namespaces } = journal
  return { machineId, namespaces, ...(directories === undefined ? {} : { directories }) }
}

/** Beside a progress bar only what is wrong is worth a line, and a person reads it. */
function openLog({ log: { level, format } }: Config): Promise<Log> {
  return createLog({ level: level === 'info' ? 'warn' : level, format: format === 'auto' ? 'text' : format })
}

/** What makes the job: everything that says which entries are meant, as it was written. The order of options does not matter. */
function jobOf(matches: readonly string[], options: BackfillOptions): string[] {
  const { since, until, priority, unit, identifier, directory, file } = options
  const one = { since, until, priority }
  const many = {
    unit,
    identifier,
    directory: directory?.map((path) => resolve(path)),
    file: file?.map((path) => resolve(path)),
  }
  return [
    ...Object.entries(one).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}=${value}`])),
    ...Object.entries(many).flatMap(([name, values]) => (values ?? []).map((value) => `--${name}=${value}`)),
    ...matches,
  ]
}

function describe(sink: string, summary: BackfillSummary): string {
  const { read, delivered, rejected, gaps, bytes, seconds, isResumed, status } = summary
  const lines = [
    `${status === 'finished' ? 'Finished' : 'Interrupted'}: ${sink}${isResumed ? ' (went on with an earlier run)' : ''}`,
    `  read       ${formatCount(read)}`,
    `  delivered  ${formatCount(delivered)} (${formatSize(bytes)})`,
    `  rejected   ${formatCount(rejected)}`,
    `  gaps       ${formatCount(gaps)}`,
    `  time       ${formatDuration(seconds * 1000)}`,
  ]
  return lines.join('\n')
}
