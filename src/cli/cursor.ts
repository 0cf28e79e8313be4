// `logferry cursor`: where the sinks stand, and a person's choice of another place. Positions change only while no daemon runs
// the sink. Invariant: what is not chosen stays as it is, and a chosen place counts also where the target holds a position.
import { EXIT, isProblem, type Problem, problem } from '../errors.ts'
import { type CursorParts, parseCursor } from '../journal/cursor.ts'
import type { JournalSet } from '../journal/directory.ts'
import { MemoryBudget } from '../journal/memory.ts'
import { PositionState, type Start } from '../journal/position.ts'
import { JournalReader } from '../journal/reader.ts'
import { findWriter } from '../pipeline/backfill.ts'
import { readFailure } from '../pipeline/delivery/receipt.ts'
import { chooseStart } from '../pipeline/lane.ts'
import type { SinkSpec, StoredPosition } from '../pipeline/settings.ts'
import { PositionStore } from '../pipeline/state/positionStore.ts'
import { lockHolder, nameHolder, StateLock } from '../pipeline/state/stateLock.ts'
import { comparePositions, lagOf } from '../pipeline/walk/ground.ts'
import type { Position } from '../sink.ts'
import { systemClock } from '../telemetry/clock.ts'
import { parseTime } from '../time.ts'
import { formatDuration } from '../units.ts'
import { type Configured, findSink, loadConfigured, makeSink, openConfiguredJournal } from './configured.ts'
import { complain, print } from './output.ts'
import { Complaints } from './query/complaints.ts'
import { describeError } from './report.ts'
import { endOnSignals } from './signals.ts'

export interface CursorOptions {
  readonly config: string
  readonly state?: string
  /** Only this source. */
  readonly source?: string
  readonly json?: boolean
}

/** Positions by source. */
type Positions = ReadonlyMap<string, StoredPosition>

/** Everything that the three commands work with. */
interface Open extends Configured {
  readonly set: JournalSet
  readonly store: PositionStore
}

async function open(options: CursorOptions): Promise<Open> {
  endOnSignals()
  const configured = await loadConfigured(options)
  const set = openConfiguredJournal(configured, new MemoryBudget(configured.config.memory))
  new Complaints(set).tellProblems()
  const { source } = options
  if (source !== undefined && !set.sources().includes(source)) {
    const hint = `there are ${set.sources().join(', ')}`
    throw problem('LF_USAGE', { text: `--source ${source}: the journal has no such source`, hint })
  }
  const { state, log } = configured
  return { ...configured, set, store: new PositionStore({ state, log, clock: systemClock }) }
}

/** Where one sink stands in one source, as `--json` prints it. */
interface Standing {
  readonly sink: string
  readonly source: string
  /** The last entry that is settled; null when none is. */
  readonly cursor: string | null
  /** When that entry was logged, ISO 8601; without one, the time that it begins at; null: at the first entry, or not begun. */
  readonly time: string | null
  /** Null: it has not begun. */
  readonly lagEntries: number | null
  readonly lagSeconds: number | null
}

/**
 * `cursor show`: one line per sink and source. Sinks whose position cannot be read are told on stderr and give the exit
 * status (65); they do not keep the others from being shown.
 */
export async function show(name: string | undefined, options: CursorOptions): Promise<number> {
  const opened = await open(options)
  const { config, set, store } = opened
  const specs = name === undefined ? config.sinks : [findSink(config, name)]
  const found: Standing[] = []
  const wrong: { sink: string; problem: Problem }[] = []
  for (const { name: sink } of specs) {
    try {
      const stored = store.load(sink)
      const sources = new Set([...stored.keys(), ...set.sources()])
      for (const source of [...sources].filter((one) => options.source === undefined || one === options.source)) {
        found.push(standingOf(set, sink, source, stored.get(source)))
      }
    } catch (error) {
      if (!isProblem(error)) throw error
      wrong.push({ sink, problem: error })
    }
  }
  set.close()
  if (options.json) {
    const problems = wrong.map(({ sink, problem: { code, message, hint } }) => ({ sink, code, message, hint }))
    print(`${JSON.stringify({ positions: found, problems }, undefined, 2)}\n`)
  } else {
    print(table(found))
    for (const { problem: known } of wrong) complain(describeError(known, false))
  }
  return wrong[0]?.problem.exit ?? EXIT.ok
}

function standingOf(set: JournalSet, sink: string, source: string, stored: StoredPosition | undefined): Standing {
  if (stored === undefined) return { sink, source, cursor: null, time: null, lagEntries: null, lagSeconds: null }
  const state = PositionState.parse(stored.position)
  const { entries, realtime } = lagOf(set.files, source, state)
  const seconds = realtime === undefined ? null : Math.max(0, Date.now() / 1000 - realtime / 1e6)
  return {
    sink,
    source,
    cursor: state.lastCursor() ?? null,
    time: realtime === undefined ? null : new Date(realtime / 1000).toISOString(),
    lagEntries: entries,
    lagSeconds: entries === 0 ? 0 : seconds,
  }
}

function table(standings: readonly Standing[]): string {
  const rows = standings.map((one) => [
    one.sink,
    one.source,
    one.lagEntries === null ? '-' : String(one.lagEntries),
    one.lagSeconds === null ? '-' : formatDuration(Math.round(one.lagSeconds) * 1000),
    describePlace(one),
  ])
  const all = [['SINK', 'SOURCE', 'ENTRIES BEHIND', 'TIME BEHIND', 'LAST SETTLED ENTRY'], ...rows]
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  return all.map((row) => `${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ')}\n`).join('')
}

function describePlace({ cursor, time, lagEntries }: Standing): string {
  if (cursor !== null) return cursor
  if (lagEntries === null) return '(no position yet)'
  return time === null ? '(none: from the first entry on)' : `(none: from ${time} on)`
}

/**
 * `cursor set`: the sink goes on behind the entry of a cursor, at the journal's end (`now`), at its first entry (`oldest`), or
 * at a time. Also over a position file that cannot be read. Rejects with LF_CURSOR_SINK_RUNS, LF_SINK_UNAVAILABLE (the target
 * holds a position and cannot be asked), LF_CURSOR_INVALID, LF_TIME_INVALID or LF_STATE_*.
 */
export async function set(name: string, place: string, options: CursorOptions): Promise<number> {
  const opened = await open(options)
  const target = readPlace(place)
  return await change(opened, name, options, (stored) => {
    const { set: journal } = opened
    const own = target.kind === 'cursor' ? ownerOf(journal, target.cursor) : undefined
    const chosen = new Map<string, Position>()
    for (const source of journal.sources()) {
      if (options.source !== undefined && source !== options.source) continue
      // The other sources keep their places, unless these cannot be read: then all go to the cursor's place in time.
      if (options.source === undefined && own !== undefined && source !== own && stored !== undefined) continue
      const reader = new JournalReader(journal, { source })
      const position = target.kind === 'cursor' ? reader.positionAt(target.cursor) : reader.startPosition(target.start)
      chosen.set(source, position.toString())
      reader.close()
    }
    return chosen
  })
}

/**
 * `cursor skip`: the sink goes on at the journal's end, or leaves out its next `count` entries, those that its match lets through.
 * Rejects as `set` does; with a count also when the position cannot be read, since nobody knows then what is next.
 */
export async function skip(name: string, count: string | undefined, options: CursorOptions): Promise<number> {
  if (count === undefined) return await set(name, 'now', options)
  if (!/^[1-9]\d{0,14}$/.test(count)) {
    const hint = 'without a number everything up to now is skipped'
    throw problem('LF_USAGE', { text: `${count} is not a number of entries`, hint })
  }
  const opened = await open(options)
  const sources = opened.set.sources().filter((source) => options.source === undefined || source === options.source)
  if (sources.length > 1) {
    const text = 'the journal has several sources: say with --source in which one entries are skipped'
    throw problem('LF_USAGE', { text, hint: `there are ${sources.join(', ')}` })
  }
  const spec = findSink(opened.config, name)
  return await change(opened, name, options, (stored) => {
    if (stored === undefined) opened.store.load(name) // Throws the Problem that tells why it cannot be read.
    const source = sources[0] ?? ''
    const reader = new JournalReader(opened.set, { source, match: spec.settings.match })
    const position = stored?.get(source)?.position
    const start = spec.settings.start ?? opened.config.journal.start
    reader.seekPosition(position === undefined ? reader.startPosition(start) : PositionState.parse(position))
    let skipped = 0
    while (skipped < Number(count) && reader.next() !== undefined) skipped++
    if (skipped < Number(count)) complain(`there were only ${skipped} entries to skip`)
    const chosen = new Map([[source, reader.position().toString()]])
    reader.close()
    return chosen
  })
}

type Target =
  | { readonly kind: 'cursor'; readonly cursor: CursorParts }
  | { readonly kind: 'start'; readonly start: Start }

function readPlace(text: string): Target {
  if (text === 'now' || text === 'oldest') return { kind: 'start', start: { kind: text } }
  if (/^[sibmtx]=/.test(text)) return { kind: 'cursor', cursor: parseCursor(text) }
  return { kind: 'start', start: { kind: 'since', realtimeUs: parseTime(text) } }
}

/** The source that a cursor's entry is of; undefined when no file has its seqnum id any more. */
function ownerOf(journal: JournalSet, cursor: CursorParts): string | undefined {
  for (const file of journal.files) if (file.seqnumId === cursor.seqnumId) return file.source
  return undefined
}

/**
 * Replaces positions while nobody runs the sink.
 * @param choose gets what counts at present, undefined when it cannot be read, and gives the sources that change
 */
async function change(
  opened: Open,
  name: string,
  options: CursorOptions,
  choose: (stored: Positions | undefined) => ReadonlyMap<string, Position>,
): Promise<number> {
  const { config, state, set: journal, store } = opened
  const spec = findSink(config, name)
  await using _lock = await keepOthersOut(state, spec)
  const stored = readStored(store, name)
  const held = await askTarget(opened, spec)
  const chosen = choose(stored && effective(stored, held))
  if (stored === undefined && options.source !== undefined && journal.sources().length > 1) {
    const text = 'the stored position cannot be read, so every source needs a place: leave out --source'
    throw problem('LF_USAGE', { text })
  }
  const next = new Map(stored)
  for (const [source, position] of chosen) next.set(source, { position, target: held?.get(source) })
  await store.replace(name, next)
  await store.close()
  journal.close()
  for (const [source, position] of chosen) print(`${name} in ${source} goes on ${describe(position)}\n`)
  return EXIT.ok
}

/** Holds the state folder's lock while it is free. A daemon that has it may run, as long as it does not run this sink. */
async function keepOthersOut(state: string, spec: SinkSpec): Promise<AsyncDisposable | undefined> {
  const writer = await findWriter(state, spec.writes ?? [])
  const holder = await lockHolder(state, 'lock')
  if (holder === undefined) {
    if (writer !== undefined) throw problem('LF_BACKFILL_SHARED_FILE', writer)
    const describe = () => ({ sinks: [spec.name], writes: spec.writes ?? [] })
    return await StateLock.acquire(state, 'lock', { describe })
  }
  // Who does not say what it runs may run it.
  if (holder.pid !== 0 && !holder.sinks.includes(spec.name) && writer === undefined) return undefined
  throw problem('LF_CURSOR_SINK_RUNS', { sink: spec.name, holder: writer?.holder ?? nameHolder(holder) })
}

/** Undefined when there is something that cannot be read; what is wrong with it is told. */
function readStored(store: PositionStore, name: string): Positions | undefined {
  try {
    return store.load(name)
  } catch (error) {
    if (!isProblem(error) || error.exit !== EXIT.data) throw error
    complain(`logferry: ${error.message}`)
    return undefined
  }
}

/**
 * The positions that the target itself holds: a chosen place is stored as following them, else the daemon would go back to
 * them at its start. Undefined for a sink whose target holds none.
 */
async function askTarget(opened: Open, spec: SinkSpec): Promise<Map<string, Position> | undefined> {
  const { set: journal, log } = opened
  const sink = makeSink(spec, log)
  if (!sink.traits.holdsPosition) return undefined
  const held = new Map<string, Position>()
  const deadline = (): AbortSignal => AbortSignal.timeout(spec.settings.timeoutMs)
  try {
    await sink.open(deadline())
    for (const source of journal.sources()) {
      const position = await sink.lastDelivered?.(source, deadline())
      if (position !== undefined) held.set(source, position)
    }
    await sink.close(deadline())
  } catch (error) {
    throw problem('LF_SINK_UNAVAILABLE', { sink: spec.name, why: readFailure(error).message })
  }
  return held
}

/** What the daemon would go on from: the target's position where that counts. */
function effective(stored: Positions, held: ReadonlyMap<string, Position> | undefined): Positions {
  if (held === undefined) return stored
  const compare = (a: Position, b: Position) => comparePositions(PositionState.parse(a), PositionState.parse(b))
  const all = new Map<string, StoredPosition>()
  for (const source of new Set([...stored.keys(), ...held.keys()])) {
    const start = chooseStart(stored.get(source), held.get(source), compare)
    if (start !== undefined) all.set(source, start)
  }
  return all
}

function describe(position: Position): string {
  const state = PositionState.parse(position)
  const cursor = state.lastCursor()
  if (cursor !== undefined) return `behind ${cursor}`
  const { realtime } = state.floor
  return realtime === 0 ? 'from the first entry on' : `from ${new Date(realtime / 1000).toISOString()} on`
}
