// The journal that `run` ships: that of the configuration, or, only where the configuration asks for it, the bundled sample.
// The sample is for trying things out, so it is shipped anew at each start and keeps away from the positions of real journals.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import type { Config } from '../../config/load.ts'
import { isProblem } from '../../errors.ts'
import { DEFAULT_DIRECTORIES, type JournalPlace, JournalSet } from '../../journal/directory.ts'
import type { MemoryBudget } from '../../journal/memory.ts'
import { retainedFolders } from '../../pipeline/retention/retainedFolder.ts'
import type { Log } from '../../telemetry/log.ts'
import { packageFolder } from '../version.ts'

export interface DaemonJournal {
  readonly set: JournalSet
  /** The same without what is retained: what is served. */
  readonly place: JournalPlace
  /** As the set was opened with; none for the sample, of which nothing need be retained. */
  readonly directories: readonly string[]
  /** Where positions are kept. */
  readonly state: string
}

/** Opens it. `state` is the state folder, whose lock is held. Throws the Problems of JournalSet.open. */
export function openDaemonJournal(config: Config, state: string, memory: MemoryBudget, log: Log): DaemonJournal {
  if (config.journal.sample === 'always') return openSample(state, memory)
  try {
    return openConfigured(config, state, memory)
  } catch (error) {
    if (config.journal.sample === 'never' || !isProblem(error)) throw error
    const mend = error.hint === undefined ? '' : `; ${error.hint}`
    log.warn(`${error.message}${mend}. Shipping the bundled sample journal instead`)
    return openSample(state, memory)
  }
}

function openConfigured({ journal, sinks }: Config, state: string, memory: MemoryBudget): DaemonJournal {
  const directories = journal.directories ?? DEFAULT_DIRECTORIES
  const { machineId, namespaces } = journal
  // An API with nothing to ship may come up before journald's first file.
  const place = { directories, machineId, namespaces, mayBeEmpty: sinks.length === 0 }
  const retained = sinks.length === 0 ? [] : retainedFolders(state, directories)
  return { set: JournalSet.open({ ...place, retained }, memory), place, directories, state }
}

function openSample(state: string, memory: MemoryBudget): DaemonJournal {
  const home = join(state, 'sample')
  const directory = join(home, 'journal')
  rmSync(home, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const packed = readFileSync(join(packageFolder(), 'config/sample/sample.journal.gz'))
  writeFileSync(join(directory, 'sample.journal'), gunzipSync(packed), { mode: 0o600 })
  const place: JournalPlace = { directories: [directory], machineId: 'any' }
  const set = JournalSet.open(place, memory)
  return { set, place, directories: [], state: join(home, 'state') }
}
