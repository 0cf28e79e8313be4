import { describe, expect, it } from 'vitest'
import { isProblem } from '../../../src/errors.ts'
import { JournalFile } from '../../../src/journal/file/file.ts'
import { MemoryBudget } from '../../../src/journal/memory.ts'
import { openFixture, UNDAMAGED } from '../../support/fixtures.ts'
import { itemOffsets, openAll, parseExport, readAll, readEntry } from '../oracle.ts'

const PLAIN = ['compact', 'regular', 'unkeyed', 'uncompressed', 'lz4-regular', 'xz-compact', 'multi-boot', 'clock-jump']

function openOne(name: string, file = 'a.journal', memory = new MemoryBudget(64 << 20)): JournalFile {
  return JournalFile.open(`${openFixture(name).dir}/${file}`, memory)
}

describe('reading undamaged files', () => {
  it.each(UNDAMAGED)('gives what journalctl gives: %s', (name) => {
    const fixture = openFixture(name)
    const oracle = parseExport(fixture.oracle('export'))
    const places = new Map(oracle.map((entry, place) => [entry.cursor, place]))
    const { files } = openAll(fixture.dir)
    const seen = new Set<string>()
    for (const file of files) {
      let last = -1
      const entries = readAll(file)
      expect(entries.length).toBe(file.entryCount)
      expect(entries).toEqual(entries.map((entry) => oracle[places.get(entry.cursor)!]))
      for (const { cursor } of entries) {
        expect(places.get(cursor)).toBeGreaterThan(last)
        last = places.get(cursor)!
        seen.add(cursor)
      }
      expect(file.damage).toEqual({ badItems: 0, lostEntries: 0, lostFields: 0, lostBytes: 0 })
      file.close()
    }
    expect(seen.size).toBe(oracle.length)
  })

  it.each(UNDAMAGED)('gives the same backwards, in reverse: %s', (name) => {
    for (const file of openAll(openFixture(name).dir).files) {
      const forwards = readAll(file)
      const backwards = []
      file.index = file.entryCount
      while (file.previous()) backwards.push(readEntry(file))
      expect(backwards.reverse()).toEqual(forwards)
      expect(file.index).toBe(forwards.length > 0 ? 0 : file.entryCount)
      file.close()
    }
  })

  it.each(PLAIN)('gives the same entry by index in any order: %s', (name) => {
    const file = openOne(name)
    const forwards = readAll(file)
    // 7919 is prime to the counts, so that every index comes once.
    for (let k = 0; k < forwards.length; k++) {
      const index = (k * 7919) % forwards.length
      expect(file.load(index)).toBe(true)
      expect(readEntry(file)).toEqual(forwards[index])
      expect(file.index).toBe(index)
    }
    expect(file.load(-1)).toBe(false)
    expect(file.load(forwards.length)).toBe(false)
    file.close()
  })

  it('stays at the last entry when there is no next one', () => {
    const file = openOne('kernel')
    expect(file.index).toBe(-1)
    expect(file.previous()).toBe(false)
    while (file.next()) {}
    expect(file.index).toBe(file.entryCount - 1)
    const last = readEntry(file)
    expect(file.next()).toBe(false)
    expect(readEntry(file)).toEqual(last)
    file.close()
  })

  it('gives plain payloads as aligned words, decompressed ones without', () => {
    const file = openOne('compact')
    let plain = 0
    let decompressed = 0
    const wrong: number[] = []
    while (file.next()) {
      for (const offset of itemOffsets(file)) {
        if (!file.payload(offset) || file.bytes[file.equals] !== 0x3d) wrong.push(offset)
        if (file.words === undefined) {
          decompressed++
          continue
        }
        plain++
        const word = file.words[file.start >>> 2]
        if (file.start % 8 !== 0 || word !== file.bytes.readUInt32LE(file.start)) wrong.push(offset)
      }
    }
    expect(wrong).toEqual([])
    expect(plain).toBeGreaterThan(1000)
    expect(decompressed).toBeGreaterThan(10)
    file.close()
  })

  it('says which payloads several entries share', () => {
    const file = openOne('compact')
    const counts = new Map<number, number>()
    while (file.next()) for (const offset of itemOffsets(file)) counts.set(offset, (counts.get(offset) ?? 0) + 1)
    const shared = [...counts.keys()].filter((offset) => file.payload(offset) && file.shared)
    expect(shared).toEqual([...counts.keys()].filter((offset) => counts.get(offset)! > 1))
    file.close()
  })
})

describe('searching', () => {
  it.each(PLAIN)('finds seqnums and times as a linear search does: %s', (name) => {
    const file = openOne(name)
    const entries: { seqnum: number; realtime: number; monotonic: number; boot: string }[] = []
    while (file.next()) {
      entries.push({ seqnum: file.seqnum, realtime: file.realtime, monotonic: file.monotonic, boot: file.bootId() })
    }
    const first = (test: (entry: (typeof entries)[0]) => boolean) => {
      const index = entries.findIndex(test)
      return index < 0 ? file.entryCount : index
    }
    const sorted = entries.every((entry, i) => i === 0 || entry.realtime >= entries[i - 1]!.realtime)
    expect(sorted).toBe(name !== 'clock-jump')
    for (let k = 0; k < entries.length; k += 7) {
      const { seqnum, realtime, monotonic, boot } = entries[k]!
      for (const d of [-1, 0, 1]) {
        expect(file.findSeqnum(seqnum + d)).toBe(first((entry) => entry.seqnum >= seqnum + d))
        if (sorted) expect(file.findRealtime(realtime + d)).toBe(first((entry) => entry.realtime >= realtime + d))
        const after = entries.findLastIndex((entry) => entry.boot === boot) + 1
        const found = entries.findIndex((entry) => entry.boot === boot && entry.monotonic >= monotonic + d)
        expect(file.findMonotonic(boot, monotonic + d)).toBe(found < 0 ? after : found)
      }
    }
    expect(file.findSeqnum(0)).toBe(0)
    expect(file.findSeqnum(Number.MAX_SAFE_INTEGER)).toBe(file.entryCount)
    expect(file.findRealtime(0)).toBe(0)
    expect(file.findRealtime(Number.MAX_SAFE_INTEGER)).toBe(file.entryCount)
    expect(file.findMonotonic('0123456789abcdef0123456789abcdef', 0)).toBeUndefined()
    file.close()
  })

  it.each(PLAIN)('finds every payload, its entries and its field: %s', (name) => {
    const file = openOne(name)
    const entriesOf = new Map<string, number[]>()
    const offsetOf = new Map<string, number>()
    while (file.next()) {
      for (const offset of itemOffsets(file)) {
        file.payload(offset)
        const text = file.bytes.toString('latin1', file.start, file.end)
        offsetOf.set(text, offset)
        const list = entriesOf.get(text) ?? []
        list.push(file.offset)
        entriesOf.set(text, list)
      }
    }
    const valuesOf = new Map<string, Set<string>>()
    const wrong: string[] = []
    for (const [text, offset] of offsetOf) {
      if (file.findData(Buffer.from(text, 'latin1')) !== offset) wrong.push(text)
      const entries = file.dataEntries(offset)
      const offsets = Array.from({ length: entries.count }, (_, i) => entries.at(i))
      if (!entries.complete || offsets.join() !== entriesOf.get(text)?.join()) wrong.push(text)
      const field = text.slice(0, text.indexOf('='))
      const values = valuesOf.get(field) ?? new Set()
      valuesOf.set(field, values.add(text.slice(field.length + 1)))
    }
    expect(wrong).toEqual([])
    expect(new Set(file.fieldNames())).toEqual(new Set(valuesOf.keys()))
    for (const [field, values] of valuesOf) {
      expect(new Set(Array.from(file.fieldValues(field), (value) => value.toString('latin1')))).toEqual(values)
    }
    expect(file.findData(Buffer.from('MESSAGE=not in any journal'))).toBe(0)
    expect([...file.fieldValues('NO_SUCH_FIELD')]).toEqual([])
    file.close()
  })

  it('finds the index of an entry by its offset', () => {
    const file = openOne('multi-boot')
    const offsets: number[] = []
    while (file.next()) offsets.push(file.offset)
    for (const [index, offset] of offsets.entries()) expect(file.indexOfOffset(offset)).toBe(index)
    expect(file.indexOfOffset(offsets[0]! + 8)).toBe(-1)
    expect(file.indexOfOffset(1e12)).toBe(-1)
    file.close()
  })

  it('leaves the loaded entry as it is', () => {
    const file = openOne('multi-boot')
    for (let k = 0; k < 50; k++) file.next()
    const loaded = readEntry(file)
    file.findSeqnum(300)
    file.findRealtime(loaded.realtime + 1)
    file.findMonotonic(loaded.bootId, 0)
    file.indexOfOffset(file.offset)
    expect(readEntry(file)).toEqual(loaded)
    file.close()
  })
})

describe('opening', () => {
  it.each([
    ['zero.journal', 'it is empty'],
    ['short.journal', 'it ends within the header, after 68 bytes'],
    ['garbage.journal', 'it has no LPKSHHRH at its start'],
  ])('refuses %s: %s', (name, why) => {
    const { dir } = openFixture('empty')
    let thrown: unknown
    try {
      JournalFile.open(`${dir}/${name}`, new MemoryBudget(1 << 20))
    } catch (error) {
      thrown = error
    }
    expect(isProblem(thrown, 'LF_JOURNAL_NOT_A_JOURNAL')).toBe(true)
    expect((thrown as Error).message).toContain(why)
  })

  it('names an incompatible flag that it does not know', () => {
    expect(() => openOne('unknown-flag', 'b.journal')).toThrow(/incompatible flag 1048576/)
    try {
      openOne('unknown-flag', 'b.journal')
    } catch (error) {
      expect(isProblem(error, 'LF_JOURNAL_UNKNOWN_FLAG')).toBe(true)
    }
  })

  it('takes a journal without entries', () => {
    const file = openOne('empty', 'none.journal')
    expect(file.entryCount).toBe(0)
    expect(file.next()).toBe(false)
    expect(file.previous()).toBe(false)
    expect(file.findSeqnum(1)).toBe(0)
    file.close()
  })

  it('says what the system says when there is no such file, or when it is none', () => {
    const memory = new MemoryBudget(1 << 20)
    expect(() => JournalFile.open('/nonexistent/a.journal', memory)).toThrow(/cannot read .*ENOENT/)
    expect(() => JournalFile.open('/dev/null', memory)).toThrow(/not a regular file/)
    expect(() => JournalFile.open('/', memory)).toThrow(/not a regular file/)
  })

  it('identifies a file by device and inode', () => {
    const one = openOne('compact')
    const two = openOne('regular')
    expect(one.id).toMatch(/^\d+:\d+$/)
    expect(one.id).not.toBe(two.id)
    one.close()
    two.close()
  })
})

describe('memory', () => {
  it('takes none before an entry is read, and a few small windows for the first ones', () => {
    const memory = new MemoryBudget(64 << 20)
    const file = openOne('compact', 'a.journal', memory)
    expect(memory.used).toBe(0)
    file.load(0)
    file.load(file.entryCount - 1)
    expect(memory.used).toBeGreaterThan(0)
    expect(memory.used).toBeLessThan(256 << 10)
    while (file.next()) {}
    file.index = -1
    while (file.next()) {}
    expect(memory.used).toBeGreaterThan(1 << 20)
    file.close()
    expect(memory.used).toBe(0)
  })

  it('reads the same when windows are taken away at any time', () => {
    const fixture = openFixture('multi-boot')
    const memory = new MemoryBudget(64 << 20)
    const file = openOne('multi-boot', 'a.journal', memory)
    const other = { release() {} }
    const entries = []
    while (file.next()) {
      if (entries.length % 3 === 0) {
        memory.use(other, 64 << 20)
        memory.forget(other)
        expect(memory.used).toBe(0)
      }
      if (entries.length % 5 === 0) file.releaseWindows()
      entries.push(readEntry(file))
    }
    expect(entries).toEqual(parseExport(fixture.oracle('export')))
    file.close()
  })

  it('takes smaller windows when many files are read or the budget is small', () => {
    const memory = new MemoryBudget(4 << 20)
    const files = Array.from({ length: 20 }, () => openOne('multi-boot', 'a.journal', memory))
    const counts = files.map(() => 0)
    for (let round = 0; round < 400; round++) {
      for (const [k, file] of files.entries()) if (file.next()) counts[k]!++
      expect(memory.used).toBeLessThanOrEqual(4 << 20)
    }
    expect(counts.every((count) => count === 400)).toBe(true)
    for (const file of files) file.close()
    expect(memory.used).toBe(0)
  })

  it('gives the caches of encoders back on close', () => {
    const memory = new MemoryBudget(1 << 20)
    const file = openOne('compact', 'a.journal', memory)
    let released = 0
    const cache = { release: () => void released++ }
    file.encoderCaches.set({}, cache)
    memory.use(cache, 1000)
    file.close()
    file.close()
    expect([released, memory.used, file.encoderCaches.size]).toEqual([1, 0, 0])
    expect(file.next()).toBe(false)
    expect(file.load(0)).toBe(false)
    expect(file.refresh()).toBe('same')
  })
})
