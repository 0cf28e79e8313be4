// `logferry read`: shows the journal as journalctl of systemd 252 does, byte for byte in its text forms.
// The encoder's buffer is the output buffer: nothing is copied between an entry and write(2), and never more than one buffer waits.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { EXIT } from '../errors.ts'
import { formatCursor, parseCursor } from '../journal/cursor.ts'
import { JournalSet } from '../journal/directory.ts'
import type { Match } from '../journal/match.ts'
import { MemoryBudget } from '../journal/memory.ts'
import { JournalReader } from '../journal/reader.ts'
import { complain, openOutput } from './output.ts'
import { currentBoot, findBoot } from './query/boots.ts'
import { Complaints } from './query/complaints.ts'
import { buildMatch } from './query/filters.ts'
import { Printer } from './query/printer.ts'
import { parseReadRequest, type ReadOptions, type ReadRequest } from './query/request.ts'
import { unitNames } from './query/unitNames.ts'
import { endOnSignals } from './signals.ts'

const MEMORY = 64 << 20
// Following: how long one wait may last. Only a backstop, as the set wakes when a file grows.
const WAIT_MS = 60_000

/** Runs the command; resolves with the exit status. */
export async function read(matches: readonly string[], options: ReadOptions): Promise<number> {
  const request = parseReadRequest(matches, options, Date.now() * 1000)
  endOnSignals()
  const memory = new MemoryBudget(MEMORY)
  const set = JournalSet.open(request.place, memory)
  const complaints = new Complaints(set)
  complaints.tellProblems()
  const output = await openOutput()
  try {
    const printer = new Printer(output, request, memory)
    const match = filter(set, request)
    if (match === undefined) complain(`logferry: no unit fits ${request.filters.unit?.join(', ')}`)
    else await show(set, match, request, printer, complaints)
    await printer.end()
    complaints.tellDamage()
  } finally {
    output.close()
    set.close()
  }
  return EXIT.ok
}

async function show(
  set: JournalSet,
  match: Match,
  request: ReadRequest,
  printer: Printer,
  complaints: Complaints,
): Promise<void> {
  const reader = new JournalReader(set, { match, reverse: request.reverse })
  try {
    seek(reader, set, match, request)
    const showNext = (limit: number) => pass(reader, request, printer, complaints, limit)
    let more = await showNext(request.lines)
    const never = new AbortController().signal
    while (request.follow && more) {
      await printer.flush()
      await reader.changed(WAIT_MS, never)
      reader.refresh()
      complaints.tellProblems()
      more = await showNext(Number.POSITIVE_INFINITY)
    }
  } finally {
    reader.close()
  }
}

/** Shows entries until the journal's end for now, the end of the range or `limit` entries. False: what comes later is out of range. */
async function pass(
  reader: JournalReader,
  { reverse, since, until }: ReadRequest,
  printer: Printer,
  complaints: Complaints,
  limit: number,
): Promise<boolean> {
  for (let shown = 0; shown < limit; shown++) {
    const file = reader.next()
    if (file === undefined) return true
    if (reverse ? file.realtime < since : file.realtime > until) return false
    complaints.note(file)
    printer.entry(file, reader.ordinal)
    if (printer.isFull) {
      await printer.flush()
      // A signal is seen between two turns of the event loop only.
      await nextTurn()
    }
  }
  return true
}

function seek(reader: JournalReader, set: JournalSet, match: Match, request: ReadRequest): void {
  const { start } = request
  if (start.kind === 'head') reader.seekHead()
  else if (start.kind === 'realtime') reader.seekRealtime(start.us)
  else if (start.kind === 'cursor') reader.seekCursor(start.cursor, start.after)
  else if (request.reverse || start.entries === 0) reader.seekTail()
  else seekBack(reader, set, match, start.entries)
}

/** Puts the reader before the last `entries` entries that match, found by going backwards from the end. */
function seekBack(reader: JournalReader, set: JournalSet, match: Match, entries: number): void {
  const backwards = new JournalReader(set, { match, reverse: true })
  try {
    backwards.seekTail()
    let oldest: string | undefined
    for (let left = entries; left > 0; left--) {
      const file = backwards.next()
      if (file === undefined) break
      if (left === 1) oldest = formatCursor(file)
    }
    if (oldest === undefined) reader.seekHead()
    else reader.seekCursor(parseCursor(oldest), false)
  } finally {
    backwards.close()
  }
}

function filter(set: JournalSet, request: ReadRequest): Match | undefined {
  return buildMatch(request.filters, request.matches, bootOf(set, request), () => unitNames(set))
}

/** This machine's own journal and offset 0 need no search: the running kernel says which boot that is. */
function bootOf(set: JournalSet, { boot, place }: ReadRequest): string | undefined {
  if (boot === undefined) return undefined
  const own = place.machineId === 'local' && boot.id === undefined && boot.offset === 0
  return (own ? currentBoot() : undefined) ?? findBoot(set, boot)
}
