// What /health/live and /health/ready say of the daemon: ready is a readable journal, and every sink reachable within its grace.
import { existsSync } from 'node:fs'
import type { JournalSet } from '../../journal/directory.ts'
import type { SinkHealth } from '../../pipeline/health.ts'
import type { Clock } from '../../telemetry/clock.ts'
import type { HealthProblem, HealthSource } from '../../telemetry/server.ts'

/** A destination may be away for so long, as while it restarts, before the daemon counts as not ready. */
const GRACE_MS = 30_000

/** The health of a daemon. `sinks` is asked at every request. */
export function daemonHealth(set: JournalSet, sinks: () => readonly SinkHealth[], clock: Clock): HealthSource {
  return {
    // An event loop that answers is alive. A sink's outage is no reason for a restart.
    live: () => [],
    ready: () => [...journalHealth(set), ...sinks().flatMap((sink) => sinkHealth(sink, clock.now()))],
  }
}

function journalHealth(set: JournalSet): readonly HealthProblem[] {
  for (const file of set.files) if (existsSync(file.path)) return []
  const [found] = set.problems
  const what = found?.message ?? 'there is no journal file any more'
  return [{ part: 'journal', what, fix: found?.hint ?? 'journalctl --header' }]
}

function sinkHealth(sink: SinkHealth, nowMs: number): readonly HealthProblem[] {
  const { name, state, message, hint, since } = sink
  if (message === undefined) return []
  const isLong = since !== undefined && nowMs - since >= GRACE_MS
  if (state !== 'held' && !isLong) return []
  return [{ part: name, what: message, ...(hint === undefined ? {} : { fix: hint }) }]
}
