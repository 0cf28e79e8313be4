// What commands beside the daemon need of its configuration: the file, the state folder, the journal, one sink brought to life.
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Config, loadConfig } from '../config/load.ts'
import { formatMistake } from '../config/mistakes.ts'
import { problem } from '../errors.ts'
import { DEFAULT_DIRECTORIES, JournalSet } from '../journal/directory.ts'
import type { MemoryBudget } from '../journal/memory.ts'
import { PositionState } from '../journal/position.ts'
import { retainedFolders } from '../pipeline/retention/retainedFolder.ts'
import type { SinkSpec } from '../pipeline/settings.ts'
import { advancePosition } from '../pipeline/walk/ground.ts'
import type { Sink } from '../sink.ts'
import { createLog, type Log } from '../telemetry/log.ts'
import { thisNode } from './daemon/node.ts'
import { complain } from './output.ts'

export interface ConfiguredOptions {
  readonly config: string
  readonly state?: string
}

export interface Configured {
  readonly config: Config
  /** The state folder, absolute. It may not be there yet. */
  readonly state: string
  /** For what the sinks and the state folder's keepers have to say: warnings, as a person reads them. */
  readonly log: Log
}

/** Reads the configuration and says its warnings. Throws as `loadConfig`. */
export async function loadConfigured(options: ConfiguredOptions): Promise<Configured> {
  const config = await loadConfig(options.config, process.env)
  for (const warning of config.warnings) complain(`logferry: warning: ${formatMistake(warning)}`)
  const { level, format } = config.log
  const log = await createLog({
    level: level === 'info' ? 'warn' : level,
    format: format === 'auto' ? 'text' : format,
  })
  const state = options.state === undefined ? config.state : resolve(options.state)
  return { config, state, log }
}

/** The sink called `name`. Throws Problem LF_USAGE, which names those that there are. */
export function findSink(config: Config, name: string): SinkSpec {
  const sink = config.sinks.find((spec) => spec.name === name)
  if (sink !== undefined) return sink
  const hint = `${config.file} has ${config.sinks.map((spec) => spec.name).join(', ')}`
  throw problem('LF_USAGE', { text: `there is no sink "${name}"`, hint })
}

/** The journal that the daemon ships, what it retains of it included. Throws the Problems of JournalSet.open. */
export function openConfiguredJournal({ config, state }: Configured, memory: MemoryBudget): JournalSet {
  const { machineId, namespaces, directories = DEFAULT_DIRECTORIES } = config.journal
  // Only looked at: the id of a state folder that nobody has used yet is for the daemon to choose.
  const isUsed = existsSync(join(state, 'retention.id'))
  const retained = isUsed ? retainedFolders(state, directories) : []
  return JournalSet.open({ directories, machineId, namespaces, retained }, memory)
}

/** Makes a sink, not yet open. `name` is whose positions its target keeps; see SinkHost. */
export function makeSink(spec: SinkSpec, log: Log, name: string = spec.name): Sink {
  const own = log.child({ sink: spec.name })
  return spec.create({
    name,
    node: thisNode(),
    log: { info: (text, fields) => own.info(text, fields), warn: (text, fields) => own.warn(text, fields) },
    advance: (position, cursors) => advancePosition(PositionState.parse(position), cursors),
  })
}
