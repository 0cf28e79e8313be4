import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isProblem } from '../../src/errors.ts'
import { CompiledMatch, type Match, parseMatchArgs } from '../../src/journal/match.ts'
import { JournalReader } from '../../src/journal/reader.ts'
import { openFixture } from '../support/fixtures.ts'
import { journalctl } from '../support/journals.ts'
import { describeWith } from '../support/needs.ts'
import { tempDir } from '../support/tempDir.ts'
import { forge, show } from './forge.ts'
import { type OracleEntry, parseExport } from './oracle.ts'
import { openSet, readDir, rest } from './reading.ts'

const PLAIN = [
  'compact',
  'regular',
  'unkeyed',
  'lz4-regular',
  'multi-boot',
  'rotated',
  'users',
  'machines',
  'overlap',
  'unclean',
]

const oracles = new Map<string, OracleEntry[]>()

function oracle(name: string): OracleEntry[] {
  let entries = oracles.get(name)
  if (entries === undefined) {
    entries = parseExport(openFixture(name).oracle('export'))
    oracles.set(name, entries)
  }
  return entries
}

/** What a match means, said plainly. */
function fits(entry: OracleEntry, match: Match): boolean {
  const fields = new Set([...entry.fields, `_BOOT_ID=${entry.bootId}`])
  return (
    match.length === 0 ||
    match.some((group) => group.every(({ field, values }) => values.some((value) => fields.has(`${field}=${value}`))))
  )
}

function expected(name: string, match: Match): string[] {
  return oracle(name)
    .filter((entry) => fits(entry, match))
    .map((entry) => entry.cursor)
}

/** Values as they occur, frequent and rare ones, and some that do not. */
function termsOf(name: string) {
  const counts = new Map<string, number>()
  for (const entry of oracle(name)) {
    for (const field of entry.fields) {
      // Text only: a test's values are strings.
      if (field.length < 80 && /^[ -~]*$/.test(field)) counts.set(field, (counts.get(field) ?? 0) + 1)
    }
  }
  const all = [...counts].sort(([, a], [, b]) => a - b).map(([field]) => field)
  return fc.oneof(fc.constantFrom(...all), fc.constantFrom('PRIORITY=99', 'NOT_THERE=1', 'PRIORITY=6', 'PRIORITY=3'))
}

function matchesOf(name: string): fc.Arbitrary<Match> {
  const clause = fc.array(termsOf(name), { minLength: 1, maxLength: 3 })
  const group = fc.array(clause, { minLength: 1, maxLength: 3 })
  return fc
    .array(group, { minLength: 1, maxLength: 3 })
    .map((groups) => groups.map((clauses) => parseMatchArgs(clauses.flat())[0]!))
}

describe('matches on the command line', () => {
  it('OR values of a field, AND fields, OR groups', () => {
    expect(parseMatchArgs(['A=1', 'B=2', 'A=3', '+', 'C=', 'D=x=y'])).toEqual([
      [
        { field: 'A', values: ['1', '3'] },
        { field: 'B', values: ['2'] },
      ],
      [
        { field: 'C', values: [''] },
        { field: 'D', values: ['x=y'] },
      ],
    ])
    expect(parseMatchArgs([])).toEqual([])
  })

  it.each([
    [['+']],
    [['A=1', '+']],
    [['+', 'A=1']],
    [['A=1', '+', '+', 'B=1']],
    [['a=1']],
    [['=1']],
    [['A']],
    [['__CURSOR=1']],
    [['/bin/sh']],
  ])('are refused when they are none: %j', (args) => {
    try {
      parseMatchArgs(args)
      expect.unreachable()
    } catch (error) {
      expect(isProblem(error, 'LF_USAGE')).toBe(true)
    }
  })
})

describe('reading with a match', () => {
  it.each(PLAIN)('gives exactly the entries that fit, forwards and backwards: %s', (name) => {
    const { dir } = openFixture(name)
    fc.assert(
      fc.property(matchesOf(name), (match) => {
        const cursors = expected(name, match)
        expect(readDir(dir, { match })).toEqual(cursors)
        expect(readDir(dir, { match, reverse: true })).toEqual(cursors.reverse())
      }),
      { numRuns: 12 },
    )
  })

  it.each(PLAIN)('judges a loaded entry the same way: %s', (name) => {
    const set = openSet(openFixture(name).dir)
    const reader = new JournalReader(set)
    fc.assert(
      fc.property(matchesOf(name), (match) => {
        const compiled = new CompiledMatch(match)
        const wanted = oracle(name).map((entry) => fits(entry, match))
        reader.seekHead()
        expect(wanted.map(() => compiled.matches(reader.next()!))).toEqual(wanted)
      }),
      { numRuns: 6 },
    )
    reader.close()
    set.close()
  })

  it('takes clauses of one field in a group as they are written: all must hold', () => {
    const { dir } = openFixture('compact')
    const both: Match = [
      [
        { field: 'PRIORITY', values: ['6', '5'] },
        { field: 'PRIORITY', values: ['5', '4'] },
      ],
    ]
    const five = expected('compact', parseMatchArgs(['PRIORITY=5']))
    expect(five.length).toBeGreaterThan(0)
    expect(readDir(dir, { match: both })).toEqual(five)
  })

  it('gives everything for a match without groups, and nothing for a field without values', () => {
    const { dir } = openFixture('compact')
    expect(readDir(dir, { match: [] })).toHaveLength(300)
    expect(readDir(dir, { match: [[]] })).toHaveLength(300)
    expect(readDir(dir, { match: [[{ field: 'PRIORITY', values: [] }]] })).toHaveLength(0)
  })

  it('compares with many terms as with few', () => {
    const { dir } = openFixture('rotated')
    const values = [
      ...new Set(oracle('rotated').flatMap((entry) => entry.fields.filter((field) => field.startsWith('MESSAGE=')))),
    ]
    const match: Match = [
      [{ field: 'MESSAGE', values: values.filter((_, i) => i % 3 === 0).map((field) => field.slice(8)) }],
    ]
    const cursors = expected('rotated', match)
    expect(cursors.length).toBeGreaterThan(100)
    expect(readDir(dir, { match })).toEqual(cursors)
  })

  it('resumes from any cursor and position', () => {
    const match = parseMatchArgs(['PRIORITY=6'])
    for (const name of ['users', 'rotated']) {
      const cursors = expected(name, match)
      const set = openSet(openFixture(name).dir)
      const reader = new JournalReader(set, { match })
      reader.seekHead()
      for (let k = 0; k < cursors.length; k++) {
        expect(reader.next()).toBeDefined()
        if (k % 40 !== 0) continue
        const other = new JournalReader(set, { match })
        other.seekPosition(reader.position())
        expect(rest(other)).toEqual(cursors.slice(k + 1))
        other.close()
      }
      reader.close()
      set.close()
    }
  })

  it('finds a term that came with growth', () => {
    const dir = tempDir()
    const stamps = Array.from({ length: 300 }, (_, i) => ({ seqnum: i + 1, monotonic: i + 1 }))
    const path = forge(join(dir, 'system.journal'), stamps)
    const messages = parseExport(openFixture('kernel').oracle('export')).map(
      (entry) => entry.fields.find((field) => field.startsWith('MESSAGE='))!,
    )
    const match = parseMatchArgs([messages[200]!])
    const numbers = messages.flatMap((message, i) => (message === messages[200] ? [i + 1] : []))
    show(path, 100)
    const set = openSet(dir)
    const reader = new JournalReader(set, { match })
    reader.seekHead()
    const got: number[] = []
    for (let count = 100; count <= 300; count += 10) {
      show(path, count)
      reader.refresh()
      for (let file = reader.next(); file !== undefined; file = reader.next()) got.push(file.seqnum)
      expect(got).toEqual(numbers.filter((n) => n <= count))
    }
    reader.close()
    set.close()
  })
})

describeWith(['journalctl'], 'journalctl', () => {
  it.each(['rotated', 'compact', 'users'])('gives the same for the same matches: %s', (name) => {
    const { dir } = openFixture(name)
    fc.assert(
      fc.property(
        fc.array(fc.array(termsOf(name), { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 2 }),
        (groups) => {
          const args = groups.flatMap((group, i) => (i === 0 ? group : ['+', ...group]))
          const said = parseExport(journalctl(['-D', dir, '-o', 'export', ...args])).map((entry) => entry.cursor)
          expect(readDir(dir, { match: parseMatchArgs(args) })).toEqual(said)
        },
      ),
      { numRuns: 8 },
    )
  })

  it.each(['rotated', 'overlap', 'users', 'machines'])('takes our cursors, and gives what we give: %s', (name) => {
    const { dir } = openFixture(name)
    const cursors = readDir(dir)
    for (let k = 0; k < cursors.length; k += Math.ceil(cursors.length / 5)) {
      const said = parseExport(journalctl(['-D', dir, '-o', 'export', `--after-cursor=${cursors[k]}`])).map(
        (entry) => entry.cursor,
      )
      expect(cursors.slice(k + 1)).toEqual(said)
    }
  })
})
