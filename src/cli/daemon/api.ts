// The logging API of a daemon: its own view of the journal (what is retained for sinks that are behind is not served), and its server.
import { join } from 'node:path'
import { identifies } from '../../api/settings.ts'
import type { Config } from '../../config/load.ts'
import { type JournalPlace, JournalSet } from '../../journal/directory.ts'
import type { MemoryBudget } from '../../journal/memory.ts'
import { systemClock } from '../../telemetry/clock.ts'
import type { Log } from '../../telemetry/log.ts'
import type { Metrics } from '../../telemetry/metrics.ts'
import { packageFolder, version } from '../version.ts'

export interface DaemonApi {
  readonly address: string
  close(): Promise<void>
}

/** Starts it where it is configured; Fastify is loaded only then. Throws Problem LF_LISTEN, LF_API_KEY, or those of JournalSet.open. */
export async function openApi(
  config: Config,
  place: JournalPlace,
  memory: MemoryBudget,
  metrics: Metrics,
  log: Log,
): Promise<DaemonApi | undefined> {
  const { api: settings, mesos, node } = config
  if (settings === undefined) return undefined
  const { startApi } = await import('../../api/server.ts')
  const set = JournalSet.open({ ...place, mayBeEmpty: true }, memory)
  try {
    const own = log.child({ part: 'api' })
    const pageFolder = join(packageFolder(), 'page')
    const parts = { settings, mesos, node, set, memory, metrics, clock: systemClock, version: version(), pageFolder }
    const server = await startApi({ ...parts, log: own })
    const { listen, auth } = settings
    if (auth?.mesos === true && !identifies(auth)) {
      log.warn('auth: mesos guards the routes of tasks alone; a proxy in front has to guard the others')
    }
    if (auth === undefined && listen.kind === 'tcp') log.warn('the logging API asks nobody who they are')
    log.info(`logging API at ${server.address}`)
    return {
      address: server.address,
      async close() {
        await server.close()
        set.close()
      },
    }
  } catch (error) {
    set.close()
    throw error
  }
}
