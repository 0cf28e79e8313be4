// `logferry run`: the daemon. Takes the state folder's lock, ships until it is told to stop, then drains.
// Invariant: the state folder is not touched before the lock is held, and the lock is given back last.
import { resolve } from 'node:path'
import { type Config, loadConfig } from '../config/load.ts'
import { formatMistake } from '../config/mistakes.ts'
import { EXIT, type Problem } from '../errors.ts'
import type { JournalSet } from '../journal/directory.ts'
import { MemoryBudget } from '../journal/memory.ts'
import { Pipeline } from '../pipeline/pipeline.ts'
import { StateLock } from '../pipeline/state/stateLock.ts'
import { systemClock } from '../telemetry/clock.ts'
import { createLog, type Log } from '../telemetry/log.ts'
import { Metrics } from '../telemetry/metrics.ts'
import { openNotifier } from '../telemetry/notify.ts'
import type { TelemetryServer } from '../telemetry/server.ts'
import { openApi } from './daemon/api.ts'
import { daemonHealth } from './daemon/health.ts'
import { openDaemonJournal } from './daemon/journal.ts'
import { thisNode } from './daemon/node.ts'
import { Reloads } from './daemon/reload.ts'
import { onHangup, type Stop, stopOnSignals } from './signals.ts'
import { version } from './version.ts'

export interface RunOptions {
  readonly config: string
  readonly state?: string
}

/** How often files that cannot be read are looked for, to say so. */
const LOOK_MS = 5000

/** Runs the command until a signal; resolves with the exit status. */
export async function run(options: RunOptions): Promise<number> {
  const stop = stopOnSignals()
  const config = await loadConfig(options.config, process.env)
  const state = options.state === undefined ? config.state : resolve(options.state)
  let reloads: Reloads | undefined
  let pipeline: Pipeline | undefined
  onHangup(() => void reloads?.reload(), stop.ask)
  await using _lock = await StateLock.acquire(state, 'lock', {
    describe: () => {
      const sinks = reloads?.sinks ?? config.sinks
      return { sinks: sinks.map((sink) => sink.name), writes: sinks.flatMap((sink) => sink.writes ?? []) }
    },
    answer: (request) => (request === 'status' ? { version: version(), sinks: pipeline?.health() ?? [] } : undefined),
  })
  const log = await createLog(config.log)
  for (const warning of config.warnings) log.warn(formatMistake(warning))
  const notifier = await openNotifier(process.env, log)
  const memory = new MemoryBudget(config.memory)
  const journal = openDaemonJournal(config, state, memory, log)
  const metrics = new Metrics()
  pipeline = new Pipeline({
    ...journal,
    memory,
    metrics,
    log,
    clock: systemClock,
    labels: config.node.labels,
    node: thisNode(),
    start: config.journal.start,
    sinks: config.sinks,
    shutdownTimeoutMs: config.shutdownTimeoutMs,
    retainBytes: config.retain.maxBytes,
  })
  const server = await openServer(config, journal.set, pipeline, metrics, log)
  const api = await openApi(config, journal.place, memory, metrics, log)
  const started = new Reloads({ file: options.config, config, pipeline, metrics, log, notifier })
  reloads = started

  pipeline.start()
  const stopLooking = tellProblems(journal.set, log)
  const names = config.sinks.map((sink) => sink.name).join(', ')
  const doing = names === '' ? `serving at ${api?.address}` : `shipping to ${names}`
  log.info(doing, { version: version(), sources: journal.set.sources(), state: journal.state })
  const stopWatchdog = notifier.startWatchdog(() => true)
  await notifier.ready(doing)

  await asked(stop)
  await notifier.stopping()
  log.info('stopping, waiting for what is under way')
  stopLooking()
  await started.settled()
  await Promise.all([pipeline.stop(), api?.close()])
  await server?.close()
  journal.set.close()
  stopWatchdog()
  log.info('stopped')
  return EXIT.ok
}

/** Fastify and prom-client are loaded only where they are wanted. */
async function openServer(
  config: Config,
  set: JournalSet,
  pipeline: Pipeline,
  metrics: Metrics,
  log: Log,
): Promise<TelemetryServer | undefined> {
  if (config.metrics === undefined) return undefined
  const { startTelemetryServer } = await import('../telemetry/server.ts')
  const health = daemonHealth(set, () => pipeline.health(), systemClock)
  const server = await startTelemetryServer({ listen: config.metrics.listen, metrics, health, log })
  log.info(`metrics and health at ${server.address}`)
  return server
}

/** Says what cannot be read of the journal, each thing once, also what turns up later. Returns how to stop. */
function tellProblems(set: JournalSet, log: Log): () => void {
  const told = new WeakSet<Problem>()
  const tell = (): void => {
    for (const found of set.problems) {
      if (told.has(found)) continue
      told.add(found)
      log.warn(found.message, { code: found.code, hint: found.hint })
    }
  }
  tell()
  const timer = setInterval(tell, LOOK_MS)
  return () => clearInterval(timer)
}

function asked({ signal }: Stop): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
