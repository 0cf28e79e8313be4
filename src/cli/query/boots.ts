// Which boots a journal holds, and which one `-b` means. Hops from boot to boot by a match on _BOOT_ID, so it reads two
// entries a boot, however long it was.
import { readFileSync } from 'node:fs'
import { problem } from '../../errors.ts'
import { formatCursor, parseCursor } from '../../journal/cursor.ts'
import type { JournalSet } from '../../journal/directory.ts'
import type { JournalFile } from '../../journal/file/file.ts'
import { JournalReader } from '../../journal/reader.ts'

export interface Boot {
  readonly id: string
  /** Realtime of its first and last entry, µs. Seen from the end of the journal, `first` is the later one. */
  readonly first: number
  readonly last: number
}

/** What `-b` was given: `all` is undefined; an id, an offset, or both. */
export interface BootChoice {
  /** As it was written. */
  readonly text: string
  readonly id: string | undefined
  readonly offset: number
}

/** Reads `all`, `ID`, `-1`, `+2` or `ID-1`. Throws Problem LF_USAGE. */
export function parseBoot(text: string): BootChoice | undefined {
  if (text === 'all') return undefined
  const parts = /^([0-9a-f]{32})?([+-]?\d+)?$/i.exec(text)
  if (parts === null || text === '') {
    const hint = 'write an id of 32 hex digits, an offset such as -1, or both'
    throw problem('LF_USAGE', { text: `--boot: "${text}" is no boot`, hint })
  }
  return { text, id: parts[1]?.toLowerCase(), offset: Number(parts[2] ?? 0) }
}

/** The boot id of this machine now, 32 hex digits; undefined where the kernel does not say. */
export function currentBoot(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim().replaceAll('-', '')
  } catch {
    return undefined // No /proc: the newest boot in the journal has to do.
  }
}

/**
 * The boot that is meant: offset 0 and below count from the newest (or from the given id) backwards, above 0 from the
 * oldest (or from the given id) forwards. Throws Problem LF_BOOT_UNKNOWN.
 */
export function findBoot(set: JournalSet, choice: BootChoice): string {
  const backwards = choice.offset <= 0
  // Without an id, 0 is the newest boot and 1 the oldest: the walk's first find stands for 0 or 1.
  let left = Math.abs(choice.offset) - (choice.id === undefined && !backwards ? 1 : 0)
  for (const boot of boots(set, backwards, choice.id)) if (left-- === 0) return boot.id
  throw problem('LF_BOOT_UNKNOWN', { boot: choice.text })
}

/** The boots of the journal from its oldest or newest, or from a boot of it, each once. Ends at a boot seen before: clocks jumped. */
export function* boots(set: JournalSet, backwards: boolean, from?: string): Generator<Boot> {
  const seen = new Set<string>()
  let file = edge(set, backwards, from)
  while (file !== undefined && !seen.has(file.bootId())) {
    const id = file.bootId()
    const first = file.realtime
    seen.add(id)
    const end = edge(set, !backwards, id)
    if (end === undefined) return
    const cursor = formatCursor(end)
    yield { id, first, last: end.realtime }
    file = after(set, backwards, cursor, id)
  }
}

/** The first entry in the direction of reading, of one boot or of all. */
function edge(set: JournalSet, backwards: boolean, bootId?: string): JournalFile | undefined {
  const match = bootId === undefined ? [] : [[{ field: '_BOOT_ID', values: [bootId] }]]
  const reader = new JournalReader(set, { reverse: backwards, match })
  try {
    if (backwards) reader.seekTail()
    else reader.seekHead()
    return reader.next()
  } finally {
    reader.close()
  }
}

/** The next entry of another boot behind a cursor: per-boot indexes may be shorter than the journal, so entries of it may follow. */
function after(set: JournalSet, backwards: boolean, cursor: string, bootId: string): JournalFile | undefined {
  const reader = new JournalReader(set, { reverse: backwards })
  try {
    reader.seekCursor(parseCursor(cursor), true)
    let file = reader.next()
    while (file !== undefined && file.bootId() === bootId) file = reader.next()
    return file
  } finally {
    reader.close()
  }
}
