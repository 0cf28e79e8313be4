import { open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { Note, Notes } from '../../../sinks/file/note.ts'
import { cursorOf, linesOf, type Recovered, recover } from '../../../sinks/file/recovery.ts'
import { cursorAt, makeBatch, positionAt, SOURCE, testHost } from '../../contract/sinkContract.ts'
import { tempDir } from '../../support/tempDir.ts'

const OTHER = 'e'.repeat(32)
const held = (n: number, source = SOURCE) => ({ name: 'tested', source, position: positionAt(source, n) })

function noteOf(more: Partial<Note>): Note {
  return { boot: 'boot', inode: '1', length: 0, began: 0, held: [], ...more }
}

/** Mends a file with this content; answers what recover does and the file afterwards. */
async function recovered(content: Uint8Array, notes: Notes, boot = 'boot'): Promise<Recovered & { text: string }> {
  const path = join(tempDir(), 'file')
  await writeFile(path, content)
  const handle = await open(path, 'a+')
  try {
    const result = await recover(handle, notes, boot, testHost())
    return { ...result, text: await readFile(path, 'utf8') }
  } finally {
    await handle.close()
  }
}

it('reads complete lines only, also such that span several reads', async () => {
  const path = join(tempDir(), 'file')
  const long = 'x'.repeat(600_000)
  await writeFile(path, `a\n\n${long}\nb\ntorn`)
  const handle = await open(path, 'r')
  const lines: [string, number][] = []
  for await (const { text, end } of linesOf(handle, 0, 600_011)) lines.push([text.toString(), end])
  await handle.close()
  expect(lines).toEqual([
    ['a', 2],
    ['', 3],
    [long, 600_004],
    ['b', 600_006],
  ])
})

it.each([
  [{ __CURSOR: cursorAt(SOURCE, 1) }, true],
  [{ journald: { cursor: cursorAt(SOURCE, 1) } }, true],
  [{ 'journald.cursor': cursorAt(SOURCE, 1) }, true],
  [{ MESSAGE: cursorAt(SOURCE, 1) }, false],
  [{ __CURSOR: 'masked' }, false],
  [{ __CURSOR: null, journald: null }, false],
  [[], false],
  [null, false],
])('finds the cursor of a record: %j', (record, has) => {
  expect(cursorOf(Buffer.from(JSON.stringify(record)))).toBe(has ? cursorAt(SOURCE, 1) : undefined)
})

it('finds no cursor in half a record or in zeros', () => {
  const line = Buffer.from(JSON.stringify({ __CURSOR: cursorAt(SOURCE, 1) }))
  expect(cursorOf(line.subarray(0, -3))).toBeUndefined()
  expect(cursorOf(Buffer.alloc(50))).toBeUndefined()
})

it('moves over thousands of lines, and stops before the run of the last one', async () => {
  const batch = makeBatch(5000, { run: 4 })
  const { bytes, before, after } = { ...batch, bytes: batch.records.length }
  const newest = noteOf({ pending: { name: 'tested', source: SOURCE, before, after, bytes } })
  // Within the fourth line of a run.
  const torn = batch.records.subarray(0, (batch.ends[4098] as number) + 5)
  const result = await recovered(torn, { newest, synced: undefined })
  expect(result.held).toEqual([held(4096)])
  expect(result.text.split('\n').length - 1).toBe(4096)
  expect(result.length).toBe(Buffer.byteLength(result.text))
})

it('answers the end of the batch when all of it is there, and its beginning when nothing is', async () => {
  const batch = makeBatch(10, { first: 11 })
  const { before, after } = batch
  const newest = noteOf({
    held: [held(10)],
    pending: { name: 'tested', source: SOURCE, before, after, bytes: batch.records.length },
  })
  expect((await recovered(batch.records, { newest, synced: undefined })).held).toEqual([held(20)])
  expect((await recovered(Buffer.alloc(0), { newest, synced: undefined })).held).toEqual([held(10)])
})

it('counts what the synced note does not know of after a power cut, where one source wrote it', async () => {
  const [first, second] = [makeBatch(10), makeBatch(10, { first: 11 })]
  const synced = noteOf({ held: [held(0)] })
  const newest = noteOf({ length: first.records.length + second.records.length, held: [held(20)] })
  const zeros = Buffer.concat([first.records, second.records.subarray(0, second.ends[4]), Buffer.alloc(3000)])
  const result = await recovered(zeros, { newest, synced }, 'another boot')
  expect(result.held).toEqual([held(13)])
  expect(result.text.split('\n').length - 1).toBe(13)
})

it('goes back to the synced length after a power cut, where several sources wrote behind it', async () => {
  const [first, second] = [makeBatch(10), makeBatch(10, { source: OTHER })]
  const synced = noteOf({ held: [held(0), held(0, OTHER)] })
  const newest = noteOf({ length: 1_000_000, held: [held(10), held(500, OTHER)] })
  const result = await recovered(Buffer.concat([first.records, second.records]), { newest, synced }, 'another boot')
  expect(result).toEqual({ length: 0, held: synced.held, text: '' })
})

it('leaves another program’s lines where it was closed before they came', async () => {
  const newest = noteOf({ length: 4, held: [held(7)], closed: true })
  const result = await recovered(Buffer.from('abc\nforeign'), { newest, synced: newest }, 'another boot')
  expect(result).toEqual({ length: 12, held: [held(7)], text: 'abc\nforeign\n' })
})
