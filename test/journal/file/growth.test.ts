import { closeSync, copyFileSync, ftruncateSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import { JournalFile } from '../../../src/journal/file/file.ts'
import { MemoryBudget } from '../../../src/journal/memory.ts'
import { openFixture } from '../../support/fixtures.ts'
import { tempDir } from '../../support/tempDir.ts'
import { type OracleEntry, parseExport, readAll, readEntry } from '../oracle.ts'
import { Replay } from '../replay.ts'

const NONE = { badItems: 0, lostEntries: 0, lostFields: 0, lostBytes: 0 }
const dir = tempDir()
let made = 0

function start(name: string, entries: number, suffix = '.journal') {
  const fixture = openFixture(name)
  const replay = new Replay(`${fixture.dir}/a.journal`, join(dir, `${made++}${suffix}`))
  replay.show(entries)
  const file = JournalFile.open(replay.path, new MemoryBudget(64 << 20))
  onTestFinished(() => {
    file.close()
    replay.close()
  })
  return { replay, file, oracle: parseExport(fixture.oracle('export')) }
}

function drain(file: JournalFile, into: OracleEntry[]): void {
  while (file.next()) into.push(readEntry(file))
}

describe('following a file that is being written', () => {
  it.each(['compact', 'regular', 'lz4-compact', 'multi-boot'])(
    'gives each entry once, whole, in any steps: %s',
    (name) => {
      const fixture = openFixture(name)
      const oracle = parseExport(fixture.oracle('export'))
      fc.assert(
        fc.property(fc.array(fc.integer({ min: 0, max: 90 }), { minLength: 4, maxLength: 12 }), (steps) => {
          const { replay, file } = start(name, steps[0]!)
          const entries: OracleEntry[] = []
          let shown = steps[0]!
          drain(file, entries)
          for (const step of [...steps.slice(1), replay.offsets.length]) {
            const before = shown
            shown = Math.min(replay.offsets.length, shown + step)
            replay.show(shown)
            expect(file.refresh()).toBe(shown > before ? 'grown' : 'same')
            expect(file.entryCount).toBe(shown)
            drain(file, entries)
            expect(entries.length).toBe(shown)
          }
          expect(entries).toEqual(oracle)
          expect(file.damage).toEqual(NONE)
        }),
        { numRuns: 6 },
      )
    },
  )

  it('does not serve bytes that were read before the writer had filled them', () => {
    const { replay, file, oracle } = start('compact', 100)
    const entries: OracleEntry[] = []
    for (let n = 100; n < 200; n++) {
      // The objects of the next entry are there with their sizes, but their content is not; the header knows them already.
      const { end } = replay.extent(n)
      const next = replay.offsets[n]!
      for (let at = end; at <= next; at += (Number(replay.whole.readBigUInt64LE(at + 8)) + 7) & ~7) {
        replay.whole.copy(replay.bytes, at, at, at + 16)
      }
      replay.u64(136, next)
      replay.flush()
      file.refresh()
      drain(file, entries)
      expect(entries.length).toBe(n)
      replay.show(n + 1)
      expect(file.refresh()).toBe('grown')
    }
    drain(file, entries)
    expect(entries).toEqual(oracle.slice(0, 200))
    expect(file.damage).toEqual(NONE)
  })

  it.each(['its item', 'its object'])('takes an entry for not yet there while %s is zero at the very end', (what) => {
    const { replay, file, oracle } = start('compact', 99)
    const entries: OracleEntry[] = []
    drain(file, entries)
    replay.show(100)
    const at = what === 'its item' ? replay.itemPlace(99) : replay.offsets[99]!
    replay.bytes.fill(0, at, at + 4)
    replay.flush()
    expect(file.refresh()).toBe('grown')
    for (let k = 0; k < 3; k++) {
      drain(file, entries)
      expect(file.index).toBe(98)
      expect(file.refresh()).toBe('same')
    }
    expect(file.load(99)).toBe(false)
    expect(file.findSeqnum(1e9)).toBe(file.entryCount)
    // Completed without any change of the header.
    replay.show(100)
    expect(file.refresh()).toBe('grown')
    drain(file, entries)
    expect(entries).toEqual(oracle.slice(0, 100))
    expect(file.damage).toEqual(NONE)
  })

  it('calls it damage when a later entry is complete', () => {
    const { replay, file, oracle } = start('compact', 98)
    const entries: OracleEntry[] = []
    drain(file, entries)
    replay.show(100)
    replay.bytes.fill(0, replay.offsets[98]!, replay.offsets[98]! + 16)
    replay.flush()
    file.refresh()
    drain(file, entries)
    expect(entries).toEqual([...oracle.slice(0, 98), oracle[99]])
    expect(file.damage).toEqual({ ...NONE, lostEntries: 1 })
  })

  it('calls it damage when the writer is done', () => {
    const { replay, file } = start('compact', 100)
    replay.bytes.fill(0, replay.offsets[99]!, replay.offsets[99]! + 16)
    replay.flush()
    while (file.next()) {}
    expect([file.index, file.damage.lostEntries]).toEqual([98, 0])
    replay.bytes[16] = 2
    replay.flush()
    expect(file.refresh()).toBe('same')
    expect(file.next()).toBe(false)
    expect([file.index, file.damage.lostEntries]).toEqual([98, 1])
  })

  it('calls it damage at once in a file that journald put aside', () => {
    const { replay, file } = start('compact', 100, '.journal~')
    replay.bytes.fill(0, replay.offsets[99]!, replay.offsets[99]! + 16)
    replay.flush()
    while (file.next()) {}
    expect([file.index, file.damage.lostEntries]).toEqual([98, 1])
  })

  it('follows by scanning when the chain of arrays is broken, never past the commit point', () => {
    const { replay, file, oracle } = start('compact', 100)
    const broken = replay.arrays.findIndex(({ first }) => first > 20)
    const entries: OracleEntry[] = []
    for (let n = 100; n <= 200; n += 7) {
      replay.show(n)
      // The next entry lies in the file already, not committed.
      replay.whole.copy(replay.bytes, replay.extent(n).end, replay.extent(n).end, replay.extent(n + 1).end)
      replay.bytes[replay.arrays[broken]!.offset] = 2
      replay.flush()
      file.refresh()
      expect(file.entryCount).toBe(n)
      drain(file, entries)
      expect(entries).toEqual(oracle.slice(0, n))
    }
    const backwards: OracleEntry[] = []
    file.index = file.entryCount
    while (file.previous()) backwards.push(readEntry(file))
    expect(backwards.reverse()).toEqual(entries)
    for (const [index, entry] of entries.entries()) {
      const seqnum = Number.parseInt(/i=([0-9a-f]+)/.exec(entry.cursor)![1]!, 16)
      expect(file.findSeqnum(seqnum)).toBe(index)
      expect(file.findRealtime(entry.realtime)).toBe(index)
      expect(file.findMonotonic(entry.bootId, entry.monotonic)).toBe(index)
    }
    expect(file.damage.lostEntries).toBe(0)
  })

  it('goes on after its file was renamed', () => {
    const { replay, file, oracle } = start('compact', 50)
    const entries: OracleEntry[] = []
    drain(file, entries)
    renameSync(replay.path, `${replay.path}.archived`)
    replay.show(120)
    expect(file.refresh()).toBe('grown')
    drain(file, entries)
    expect(entries).toEqual(oracle.slice(0, 120))
  })

  it('finds DATA that came after the last look', () => {
    const { replay, file, oracle } = start('compact', 0)
    const fields = oracle.map((entry) =>
      Buffer.from(entry.fields.find((field) => field.startsWith('MESSAGE='))!, 'latin1'),
    )
    for (let n = 1; n <= fields.length; n++) {
      if (n % 10 !== 0) continue
      replay.show(n)
      file.refresh()
      expect(file.findData(fields[n - 1]!)).toBeGreaterThan(0)
    }
  })
})

describe('a file that goes away', () => {
  it.each(['truncated', 'punched'])('is vacuumed, not damaged, when it was deleted and %s', (how) => {
    const path = join(dir, `vacuum-${how}.journal`)
    copyFileSync(`${openFixture('multi-boot').dir}/a.journal`, path)
    const file = JournalFile.open(path, new MemoryBudget(64 << 20))
    file.load(10)
    const fd = openSync(path, 'r+')
    unlinkSync(path)
    expect(file.refresh()).toBe('same')
    expect(file.load(11)).toBe(true)
    if (how === 'truncated') ftruncateSync(fd)
    else writeSync(fd, Buffer.alloc(8 << 20), 0, 8 << 20, 0)
    expect(file.load(200)).toBe(false)
    expect(file.vacuumed).toBe(true)
    expect(file.next()).toBe(false)
    expect(file.previous()).toBe(false)
    expect(file.refresh()).toBe('vacuumed')
    expect(file.entryCount - file.index - 1).toBe(400 - 12)
    expect(file.damage).toEqual(NONE)
    file.close()
    closeSync(fd)
  })

  it('is vacuumed, not damaged, when that happened before anything was read', () => {
    const path = join(dir, 'vacuum-early.journal')
    copyFileSync(`${openFixture('multi-boot').dir}/a.journal`, path)
    const file = JournalFile.open(path, new MemoryBudget(64 << 20))
    const fd = openSync(path, 'r+')
    unlinkSync(path)
    ftruncateSync(fd)
    closeSync(fd)
    expect(file.next()).toBe(false)
    expect([file.vacuumed, file.entryCount]).toEqual([true, 400])
    expect(file.damage).toEqual(NONE)
    file.close()
  })

  it('is replaced when its entries went back or its id changed', () => {
    const { replay, file } = start('compact', 100)
    while (file.next()) {}
    replay.show(90)
    expect(file.refresh()).toBe('replaced')
    expect(file.refresh()).toBe('replaced')
    expect(file.load(0)).toBe(false)
    const other = start('compact', 100)
    other.replay.bytes[24]! ^= 1
    other.replay.flush()
    expect(other.file.refresh()).toBe('replaced')
    expect(readAll(other.file)).toEqual([])
  })
})
