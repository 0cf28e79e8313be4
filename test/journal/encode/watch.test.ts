import { describe, expect, it } from 'vitest'
import { createEncoder, type EncoderSpec } from '../../../src/journal/encode/encoder.ts'
import { GroupTable } from '../../../src/journal/encode/watch.ts'
import { MemoryBudget } from '../../../src/journal/memory.ts'
import { JournalReader } from '../../../src/journal/reader.ts'
import { readExport } from '../../../src/pipeline/walk/batch.ts'
import { FIXTURES, openFixture } from '../../support/fixtures.ts'
import { journalctl, writeJournal } from '../../support/journals.ts'
import { describeWith } from '../../support/needs.ts'
import { tempDir } from '../../support/tempDir.ts'
import { openSet } from '../reading.ts'
import { recordSpec } from './encoding.ts'

interface Seen {
  /** Of each entry, as `NAME=value` in latin1, by the watch and by an encoder of nothing but these fields. */
  readonly watched: string[][]
  readonly encoded: string[][]
  readonly tables: Set<GroupTable>
  readonly groups: number[]
}

/** @param chunk entries between two resets */
function watchDir(
  dir: string,
  spec: EncoderSpec,
  fields: readonly string[],
  chunk = 1000,
  memoryBytes = 64 << 20,
): Seen {
  const memory = new MemoryBudget(memoryBytes)
  const set = openSet(dir)
  const reader = new JournalReader(set)
  const encoder = createEncoder(spec, memory)
  const only = createEncoder({ format: 'export', only: fields }, memory)
  const watch = encoder.watch(fields)
  const seen: Seen = { watched: [], encoded: [], tables: new Set(), groups: [] }
  if (watch === undefined) throw new Error('it cannot watch')
  reader.seekHead()
  for (let file = reader.next(); file !== undefined; file = reader.next()) {
    encoder.encode(file, reader.ordinal)
    only.encode(file, reader.ordinal)
    seen.watched.push(textsOf(watch.table.bytesOf(watch.group)))
    seen.encoded.push(textsOf(only.out.subarray(0, only.length)))
    seen.tables.add(watch.table)
    seen.groups.push(watch.group)
    only.reset()
    if (seen.groups.length % chunk === 0) encoder.reset()
  }
  encoder.close()
  only.close()
  reader.close()
  set.close()
  return seen
}

function textsOf(bytes: Uint8Array): string[] {
  return Array.from(readExport(bytes), ([name, value]) => `${name}=${Buffer.from(value).toString('latin1')}`)
}

const FIELDS = ['_HOSTNAME', '_SYSTEMD_UNIT', 'SYSLOG_IDENTIFIER', 'MESSAGE', 'PRIORITY', 'NO_SUCH_FIELD']
const SPECS: readonly EncoderSpec[] = [
  recordSpec(),
  recordSpec({ encoding: 'msgpack' }),
  recordSpec({ encoding: 'journal-export' }),
  recordSpec({
    fields: { exclude: ['_HOSTNAME', 'MESSAGE'], rename: { PRIORITY: 'level', SYSLOG_IDENTIFIER: 'level' } },
  }),
  { format: 'json', all: true },
]

describe('an encoder that watches fields', () => {
  it.each(FIXTURES)('sees in %s what an encoder of these fields alone writes', (name) => {
    const { dir } = openFixture(name)
    // The rare ones are about the record, not about the file.
    for (const spec of name === 'rotated' ? SPECS : SPECS.slice(0, 1)) {
      const { watched, encoded } = watchDir(dir, spec, FIELDS)
      expect(watched).toEqual(encoded)
    }
  })

  it('has none where it cannot watch', () => {
    const memory = new MemoryBudget(1 << 20)
    expect(createEncoder(recordSpec({ shape: 'ecs' }), memory).watch(['A'])).toBeUndefined()
  })
})

describeWith(['journalctl', 'systemd-journal-remote'], 'watching a larger journal', () => {
  const dir = tempDir()
  const made = writeJournal(dir, 'a', { entries: 3000, profile: 'mixed', seed: 7 })

  it('gives equal numbers to equal values, and few of them', async () => {
    await made
    const { watched, encoded, groups, tables } = watchDir(dir, recordSpec(), FIELDS.slice(0, 3))
    expect(watched).toEqual(encoded)
    expect(groups.length).toBe(
      journalctl(['-D', dir, '-o', 'export', '--output-fields=PRIORITY']).toString().split('\n\n').length - 1,
    )
    const byNumber = new Map<number, string>()
    for (const [index, group] of groups.entries()) {
      const text = String(watched[index])
      expect(byNumber.get(group) ?? text).toBe(text)
      byNumber.set(group, text)
    }
    expect(byNumber.size).toBeLessThan(500)
    expect(tables.size).toBe(1)
  })

  it('begins a new table when one is full, and is right in each', async () => {
    await made
    const { watched, encoded, tables } = watchDir(dir, recordSpec(), ['_HOSTNAME', '_PID', 'MESSAGE', '__NONE'], 100)
    expect(watched).toEqual(encoded)
    const { watched: again, tables: many } = watchDir(dir, recordSpec(), ['_SYSTEMD_UNIT', 'MESSAGE'], 50, 1 << 18)
    expect(again.length).toBe(watched.length)
    expect(tables.size).toBeGreaterThan(1)
    expect(many.size).toBeGreaterThan(0)
  })
})

describe('a table of groups', () => {
  it('tells values, fields and orders apart', () => {
    const table = new GroupTable(['A', 'B'])
    const number = (field: number, text: string) => table.number(field, Buffer.from(text), 0, text.length)
    const ab = table.step(table.step(0, number(0, 'x')), number(1, 'x'))
    const ba = table.step(table.step(0, number(1, 'x')), number(0, 'x'))
    expect(table.step(table.step(0, number(0, 'x')), number(1, 'x'))).toBe(ab)
    expect(ba).not.toBe(ab)
    expect([ab, ba, 0].map((group) => textsOf(table.bytesOf(group)))).toEqual([['A=x', 'B=x'], ['B=x', 'A=x'], []])
    expect(table.bytesOf(ab)).toBe(table.bytesOf(ab))
  })

  it('keeps values of several lines, and bytes that are no text', () => {
    const table = new GroupTable(['A'])
    for (const value of [Buffer.from('a\nb\n'), Buffer.of(255, 0, 10), Buffer.alloc(0), Buffer.from('=')]) {
      const group = table.step(0, table.number(0, value, 0, value.length))
      expect(textsOf(table.bytesOf(group))).toEqual([`A=${value.toString('latin1')}`])
    }
  })
})
