// What logs on this node: units and tasks with their newest entry and how much they logged by priority, over a window of time. Read from the newest entry
// backwards, so that an answer which ran out of time is right for the part it names.

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { JournalSet } from '../../journal/directory.ts'
import type { Match } from '../../journal/match.ts'
import { JournalReader } from '../../journal/reader.ts'
import { FieldPicker } from './picker.ts'

const TURN = 2048
/** Names that are told apart; what comes beyond them is counted as truncated. */
const NAMES_MAX = 10_000
const FIELDS = ['_SYSTEMD_UNIT', 'PRIORITY', 'CONTAINER_ID', 'FRAMEWORK_ID', 'EXECUTOR_ID', 'AGENT_ID']

interface Counted {
  /** µs since 1970 of its newest entry. */
  readonly last: number
  entries: number
  /** By priority, 0 to 7; entries without one are in none. */
  readonly priorities: Record<string, number>
}

export interface Unit extends Counted {
  readonly name: string
}

export interface Task extends Counted {
  readonly container_id: string
  readonly framework_id: string
  readonly executor_id: string
  readonly agent_id: string
}

export interface Components {
  /** µs since 1970: what is counted begins here. */
  readonly since: number
  /** The time or the room ran out before the wanted window was through; `since` says how far it came. */
  readonly truncated: boolean
  /** The newest first. */
  readonly units: readonly Unit[]
  readonly tasks: readonly Task[]
}

/** Counts what the match has since a time (µs). Takes no longer than `limitMs` of reading. */
export async function listComponents(
  set: JournalSet,
  match: Match,
  since: number,
  limitMs: number,
  signal: AbortSignal,
): Promise<Components> {
  const units = new Map<string, Unit>()
  const tasks = new Map<string, Task>()
  const picker = new FieldPicker(FIELDS, 1024)
  const reader = new JournalReader(set, { match, reverse: true })
  let spent = 0
  let reached = since
  let truncated = false
  try {
    reader.seekTail()
    let began = performance.now()
    for (let looked = 1; ; looked++) {
      const file = reader.next()
      if (file === undefined || file.realtime < since) break
      const { realtime } = file
      const [unit, priority, container, framework = '', executor = '', agent = ''] = picker.pick(file)
      if (container !== undefined) {
        const make = (): Task => ({
          container_id: container,
          framework_id: framework,
          executor_id: executor,
          agent_id: agent,
          ...newCount(realtime),
        })
        if (!count(tasks, container, priority, make)) truncated = true
      } else if (unit !== undefined && !count(units, unit, priority, () => ({ name: unit, ...newCount(realtime) }))) {
        truncated = true
      }
      if (looked % TURN !== 0) continue
      spent += performance.now() - began
      if (spent > limitMs) {
        truncated = true
        reached = realtime
        break
      }
      await nextTurn()
      signal.throwIfAborted()
      began = performance.now()
    }
  } finally {
    reader.close()
  }
  return { since: reached, truncated, units: newestFirst(units), tasks: newestFirst(tasks) }
}

function newCount(last: number): Counted {
  return { last, entries: 0, priorities: {} }
}

function count<T extends Counted>(
  all: Map<string, T>,
  name: string,
  priority: string | undefined,
  make: () => T,
): boolean {
  let one = all.get(name)
  if (one === undefined) {
    if (all.size >= NAMES_MAX) return false
    one = make()
    all.set(name, one)
  }
  one.entries++
  if (priority !== undefined && /^[0-7]$/.test(priority)) one.priorities[priority] = (one.priorities[priority] ?? 0) + 1
  return true
}

function newestFirst<T extends Counted>(all: ReadonlyMap<string, T>): T[] {
  return [...all.values()].sort((a, b) => b.last - a.last)
}
