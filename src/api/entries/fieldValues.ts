// The distinct values of a field, from the files' indexes. Whoever sees only a part of the journal gets those values that occur in it.

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { JournalSet } from '../../journal/directory.ts'
import { JournalFile } from '../../journal/file/file.ts'
import { andMatches, type Match } from '../../journal/match.ts'
import { JournalReader } from '../../journal/reader.ts'

/** More values are not listed: the field is none to choose from. */
export const VALUES_MAX = 10_000

/** Up to VALUES_MAX values, in no particular order. */
export async function fieldValues(set: JournalSet, field: string, sees: Match): Promise<string[]> {
  set.rescan()
  const found = new Set<string>()
  for (const known of [...set.files]) {
    if (known.gone) continue
    let file: JournalFile
    try {
      file = JournalFile.open(known.path, set.memory)
    } catch {
      continue // Removed or renamed a moment ago; its values are in no file any more, or in one that comes.
    }
    try {
      for (const value of file.fieldValues(field)) {
        if (found.size >= VALUES_MAX) break
        found.add(value.toString('utf8'))
      }
    } finally {
      file.close()
    }
    await nextTurn()
  }
  return sees.length === 0 ? [...found] : await visible(set, field, sees, found)
}

async function visible(set: JournalSet, field: string, sees: Match, values: Iterable<string>): Promise<string[]> {
  const found: string[] = []
  for (const value of values) {
    const reader = new JournalReader(set, { match: andMatches([[{ field, values: [value] }]], sees), reverse: true })
    try {
      reader.seekTail()
      if (reader.next() !== undefined) found.push(value)
    } finally {
      reader.close()
    }
    await nextTurn()
  }
  return found
}
