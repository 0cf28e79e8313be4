import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { expect, it } from 'vitest'
import { type Note, NoteFile, notePath } from '../../../sinks/file/note.ts'
import { nodeFileSystem } from '../../../sinks/file/system.ts'
import { tempDir } from '../../support/tempDir.ts'

function newPath(): string {
  return join(tempDir(), 'journal.ndjson')
}

function noteOf(length: number, held: Note['held'] = []): Note {
  return { boot: 'boot', inode: '1', length, began: 0, held }
}

function notesAt(path: string): NoteFile {
  return new NoteFile(nodeFileSystem, path)
}

it('stands beside the file, hidden', () => {
  expect(notePath('/var/log/ship/journal.ndjson')).toBe('/var/log/ship/.journal.ndjson.logferry')
})

it('answers the newest note and the newest one that was synced', async () => {
  const path = newPath()
  const notes = notesAt(path)
  expect(await notes.read()).toBeUndefined()
  await notes.writeSynced(noteOf(1))
  for (let length = 2; length <= 9; length++) await notes.write(noteOf(length))
  expect(await notesAt(path).read()).toEqual({ newest: noteOf(9), synced: noteOf(1) })
  await notes.writeSynced(noteOf(10))
  expect(await notesAt(path).read()).toEqual({ newest: noteOf(10), synced: noteOf(10) })
  await notes.close()
})

it('does not take a note for the newest that was synced late, beside newer ones', async () => {
  const path = newPath()
  const notes = notesAt(path)
  await notes.writeSynced(noteOf(1))
  const stamp = notes.stamp()
  await notes.write(noteOf(3))
  await notes.writeSynced(noteOf(2), stamp)
  expect(await notesAt(path).read()).toEqual({ newest: noteOf(3), synced: noteOf(2) })
  await notes.close()
})

it('answers the note before one that was torn, wherever it was torn', async () => {
  const path = newPath()
  const notes = notesAt(path)
  await notes.writeSynced(noteOf(1))
  await notes.write(noteOf(2))
  const before = readFileSync(notePath(path))
  await notes.write(noteOf(3))
  const after = readFileSync(notePath(path))
  await notes.close()
  const differences = [...after.keys()].filter((at) => after[at] !== before[at])
  const [first = 0] = differences
  const last = differences.at(-1) ?? 0
  for (let torn = first; torn <= last; torn++) {
    writeFileSync(notePath(path), Buffer.concat([after.subarray(0, torn), before.subarray(torn)]))
    expect((await notesAt(path).read())?.newest).toEqual(noteOf(2))
  }
})

it('grows with the number of sources, and is read again as it was', async () => {
  const path = newPath()
  const notes = notesAt(path)
  await notes.writeSynced(noteOf(1))
  const held = Array.from({ length: 40 }, (_, n) => ({
    name: 'ship',
    source: `source ${n}`,
    position: 'p'.repeat(500),
  }))
  await notes.write(noteOf(2, held))
  await notes.write(noteOf(3, held.slice(1)))
  const again = notesAt(path)
  expect(await again.read()).toEqual({ newest: noteOf(3, held.slice(1)), synced: noteOf(1) })
  await again.write(noteOf(4))
  expect((await notesAt(path).read())?.newest).toEqual(noteOf(4))
  await notes.close()
  await again.close()
})

it('is refused when no line of it is whole, or a newer version wrote it', async () => {
  const path = newPath()
  for (const text of ['', 'x', '{"crc32":"00000000","slot":{"logferry":1}}\n']) {
    writeFileSync(notePath(path), text)
    await expect(notesAt(path).read()).rejects.toMatchObject({ failure: 'refused' })
  }
  const slot = '{"logferry":2,"sequence":1}'
  writeFileSync(notePath(path), `{"crc32":"${crc32(slot).toString(16).padStart(8, '0')}","slot":${slot}}\n`)
  await expect(notesAt(path).read()).rejects.toThrow('written by a newer logferry (format 2)')
})
