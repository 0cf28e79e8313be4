// What the tests of readers share: open a directory, read to the end, name entries.
import { formatCursor } from '../../src/journal/cursor.ts'
import { JournalSet } from '../../src/journal/directory.ts'
import type { JournalFile } from '../../src/journal/file/file.ts'
import { KEY_LENGTH, writeKey } from '../../src/journal/key.ts'
import { MemoryBudget } from '../../src/journal/memory.ts'
import { JournalReader, type ReaderOptions } from '../../src/journal/reader.ts'
import { type Fixture, openFixture } from '../support/fixtures.ts'

export function openSet(dir: string, retained: readonly string[] = []): JournalSet {
  return JournalSet.open({ directories: [dir], machineId: 'any', retained }, new MemoryBudget(64 << 20))
}

export function keyOf(file: JournalFile, ordinal: number): string {
  const bytes = Buffer.alloc(KEY_LENGTH)
  writeKey(bytes, 0, file, ordinal)
  return bytes.toString('latin1')
}

/** Reads on to the present end. */
export function rest(reader: JournalReader): string[] {
  const cursors: string[] = []
  for (let file = reader.next(); file !== undefined; file = reader.next()) cursors.push(formatCursor(file))
  return cursors
}

export function restKeys(reader: JournalReader): string[] {
  const keys: string[] = []
  for (let file = reader.next(); file !== undefined; file = reader.next()) keys.push(keyOf(file, reader.ordinal))
  return keys
}

export function take(reader: JournalReader, count: number): string[] {
  const cursors: string[] = []
  while (cursors.length < count) {
    const file = reader.next()
    if (file === undefined) break
    cursors.push(formatCursor(file))
  }
  return cursors
}

/** Everything in a directory, from its head or, backwards, from its tail. */
export function readDir(dir: string, options: ReaderOptions = {}): string[] {
  const set = openSet(dir)
  const reader = new JournalReader(set, options)
  if (options.reverse) reader.seekTail()
  else reader.seekHead()
  const cursors = rest(reader)
  reader.close()
  set.close()
  return cursors
}

/** The cursors in one of a fixture's oracles. */
export function oracleCursors(fixture: Fixture, kind: 'export' | 'undamaged' = 'export'): string[] {
  const lines = fixture.oracle(kind).toString('latin1').split('\n')
  return lines.filter((line) => line.startsWith('__CURSOR=')).map((line) => line.slice('__CURSOR='.length))
}

export function fixtureDir(name: string): string {
  return openFixture(name).dir
}
