import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createEncoder } from '../../../../src/journal/encode/encoder.ts'
import { JournalFile } from '../../../../src/journal/file/file.ts'
import { MemoryBudget } from '../../../../src/journal/memory.ts'
import { FIXTURES, openFixture, UNDAMAGED } from '../../../support/fixtures.ts'
import { journalctl } from '../../../support/journals.ts'
import { parseExport } from '../../oracle.ts'
import { encodeDir, encodeFiles, sortedJson, writeEntries } from '../encoding.ts'

const lines = (bytes: Buffer): string[] =>
  bytes
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '')

describe('journalctl -o export', () => {
  it.each(UNDAMAGED)('is byte for byte the same for %s', (name) => {
    const fixture = openFixture(name)
    expect(Buffer.concat(encodeDir(fixture.dir, { format: 'export' })).equals(fixture.oracle('export'))).toBe(true)
  })

  it.each(FIXTURES.filter((name) => !UNDAMAGED.includes(name)))(
    'gives nothing foreign and nothing twice for %s',
    (name) => {
      const fixture = openFixture(name)
      const before = new Map(parseExport(fixture.oracle('undamaged')).map((entry) => [entry.cursor, entry]))
      const ours = parseExport(Buffer.concat(encodeDir(fixture.dir, { format: 'export' })))
      expect(new Set(ours.map((entry) => entry.cursor)).size).toBe(ours.length)
      for (const entry of ours)
        expect(before.get(entry.cursor)?.fields).toEqual(expect.arrayContaining([...entry.fields]))
      const cursors = new Set(ours.map((entry) => entry.cursor))
      for (const entry of parseExport(fixture.oracle('export'))) expect(cursors).toContain(entry.cursor)
    },
  )

  it('gives just the fields asked for, without a head', async () => {
    const dir = await writeEntries([
      [
        ['MESSAGE', 'one'],
        ['PRIORITY', '6'],
        ['TAG', 'a'],
        ['TAG', 'b'],
      ],
      [['PRIORITY', '5']],
    ])
    const records = encodeDir(dir, { format: 'export', only: ['MESSAGE', 'TAG'] }).map(String)
    expect(records).toEqual(['MESSAGE=one\nTAG=a\nTAG=b\n\n', '\n'])
  })
})

describe.each([
  ['json', false],
  ['json --all', true],
] as const)('journalctl -o %s', (_, all) => {
  it.each(UNDAMAGED)('says the same for %s', (name) => {
    const fixture = openFixture(name)
    const ours = encodeDir(fixture.dir, { format: 'json', all }).map((record) => sortedJson(record.toString('utf8')))
    expect(ours).toEqual(lines(fixture.oracle(all ? 'all' : 'json')).map(sortedJson))
  })
})

describe('journalctl -o json-pretty', () => {
  // The oracle's order of members is that of a hash table: members are compared as sorted blocks of lines.
  const blocks = (text: string): string[] =>
    text
      .split(/^\}\n/m)
      .filter((entry) => entry !== '')
      .map((entry) =>
        entry
          .replace(/^\{\n/, '')
          .trimEnd()
          .split(/,\n(?=\t")/)
          .sort()
          .join(',\n'),
      )

  it.each(['regular', 'compact', 'uncompressed'])('is the same but for the order of members for %s', (name) => {
    const fixture = openFixture(name)
    for (const all of [false, true]) {
      const ours = Buffer.concat(encodeDir(fixture.dir, { format: 'json-pretty', all })).toString('utf8')
      const oracle = journalctl([`--directory=${fixture.dir}`, '-o', 'json-pretty', ...(all ? ['--all'] : [])])
      expect(blocks(ours)).toEqual(blocks(oracle.toString('utf8')))
    }
  })
})

describe('caches', () => {
  const SPECS = [{ format: 'export' }, { format: 'json', all: false }, { format: 'json', all: true }] as const

  it.each(SPECS)('change nothing: %o', (spec) => {
    for (const name of ['regular', 'machines']) {
      const { dir } = openFixture(name)
      const first = Buffer.concat(encodeDir(dir, spec))
      // So small that they are dropped in the middle of entries.
      for (const budget of [1, 40_000]) expect(Buffer.concat(encodeDir(dir, spec, budget)).equals(first)).toBe(true)
    }
  })

  it('serve a second reading of the same file, also one that starts again', () => {
    const { dir } = openFixture('compact')
    const memory = new MemoryBudget(64 << 20)
    const encoder = createEncoder({ format: 'json', all: true }, memory)
    const file = JournalFile.open(join(dir, 'a.journal'), memory)
    const read = (): string => {
      encoder.reset()
      file.index = -1
      while (file.next()) encoder.encode(file, 0)
      return encoder.out.toString('latin1', 0, encoder.length)
    }
    const first = read()
    expect(read()).toBe(first)
    encoder.close()
    expect(file.encoderCaches.size).toBe(0)
    expect(read()).toBe(first)
    file.close()
  })

  it('are given back: the budget holds nothing when all is closed', () => {
    const { dir } = openFixture('rotated')
    const memory = new MemoryBudget(64 << 20)
    const encoder = createEncoder({ format: 'export' }, memory)
    encodeFiles(dir, encoder, memory)
    encoder.close()
    expect(memory.used).toBe(0)
  })
})
