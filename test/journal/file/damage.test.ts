import { openSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
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

function open(path: string): JournalFile {
  const file = JournalFile.open(path, new MemoryBudget(64 << 20))
  onTestFinished(() => file.close())
  return file
}

/** A copy of a fixture of 300 entries or more that can be written to, finished. */
function edit(name: string, change: (replay: Replay) => void): { file: JournalFile; oracle: OracleEntry[] } {
  const fixture = openFixture(name)
  const replay = new Replay(`${fixture.dir}/a.journal`, join(dir, `${made++}.journal`))
  change(replay)
  replay.flush()
  replay.close()
  return { file: open(replay.path), oracle: parseExport(fixture.oracle('export')) }
}

function readBack(file: JournalFile): OracleEntry[] {
  const entries: OracleEntry[] = []
  file.index = file.entryCount
  while (file.previous()) entries.push(readEntry(file))
  return entries.reverse()
}

describe('the damaged fixtures', () => {
  it.each([
    ['truncated', 360, { lostEntries: 240 }],
    ['damaged-entry', 398, { badItems: 2, lostEntries: 2 }],
    ['damaged-data', 400, { lostFields: 3 }],
    ['damaged-array', 600, { lostEntries: 0, badItems: 0 }],
    ['damaged-page', 581, { lostEntries: 19 }],
  ])('gives all that is left, nothing foreign, nothing twice: %s', (name, count, damage) => {
    const fixture = openFixture(name)
    const undamaged = parseExport(fixture.oracle('undamaged'))
    const places = new Map(undamaged.map((entry, place) => [entry.cursor, place]))
    const file = open(`${fixture.dir}/a.journal`)
    const entries = readAll(file)
    expect(entries.length).toBe(count)
    expect(file.damage).toMatchObject(damage)
    let last = -1
    for (const entry of entries) {
      const place = places.get(entry.cursor)!
      expect(place).toBeGreaterThan(last)
      last = place
      const whole = undamaged[place]!
      const lost = whole.fields.length - entry.fields.length
      if (!/data|page/.test(name)) expect(lost).toBe(0)
      // What is left stands in the same order.
      const left = new Set(entry.fields)
      expect(entry.fields).toEqual(whole.fields.filter((field) => left.has(field)))
    }
    const given = new Map(entries.map((entry) => [entry.cursor, entry]))
    for (const entry of parseExport(fixture.oracle('export'))) expect(given.get(entry.cursor)).toEqual(entry)
    const counters = { ...file.damage }
    expect(readBack(file)).toEqual(entries)
    expect(readAll(file)).toEqual(entries)
    expect(file.damage).toEqual(counters)
  })

  it.each(['truncated', 'damaged-entry', 'damaged-array', 'damaged-page'])('searches over the damage: %s', (name) => {
    const file = open(`${openFixture(name).dir}/a.journal`)
    const entries: {
      index: number
      seqnum: number
      realtime: number
      monotonic: number
      boot: string
      offset: number
    }[] = []
    while (file.next()) {
      const { index, seqnum, realtime, monotonic, offset } = file
      entries.push({ index, seqnum, realtime, monotonic, boot: file.bootId(), offset })
    }
    for (const { index, seqnum, realtime, monotonic, boot, offset } of entries) {
      expect(file.findSeqnum(seqnum)).toBe(index)
      expect(file.findRealtime(realtime)).toBe(entries.find((entry) => entry.realtime >= realtime)!.index)
      expect(file.findMonotonic(boot, monotonic)).toBe(entries.find((entry) => entry.monotonic >= monotonic)!.index)
      expect(file.indexOfOffset(offset)).toBe(index)
    }
    expect(file.findSeqnum(1e9)).toBe(file.entryCount)
  })
})

describe('a broken chain of entry arrays', () => {
  it.each([
    ['the first array', (r: Replay) => r.u64(176, 8)],
    ['the first array is not in the file', (r: Replay) => r.u64(176, 2 ** 40)],
    ['an array of no items', (r: Replay) => r.u64(r.arrays[2]!.offset + 8, 24)],
    ['an array that leads back', (r: Replay) => r.u64(r.arrays[3]!.offset + 16, r.arrays[1]!.offset)],
    ['an array that leads to itself', (r: Replay) => r.u64(r.arrays[3]!.offset + 16, r.arrays[3]!.offset)],
    ['an array that leads nowhere', (r: Replay) => r.u64(r.arrays[1]!.offset + 16, 0)],
    ['an array larger than the file', (r: Replay) => r.u64(r.arrays[4]!.offset + 8, 2 ** 32)],
  ])('is replaced by a scan: %s', (_, change) => {
    for (const name of ['compact', 'regular']) {
      const { file, oracle } = edit(name, change)
      expect(readAll(file)).toEqual(oracle)
      expect(readBack(file)).toEqual(oracle)
      expect(file.damage).toMatchObject({ badItems: 0, lostEntries: 0 })
      expect(file.damage.lostBytes).toBeLessThan(10_000)
    }
  })

  it('ends where the entries end when the header has too many', () => {
    const { file, oracle } = edit('compact', (replay) => replay.u64(152, 2 ** 50))
    expect(readAll(file)).toEqual(oracle)
    expect(file.findSeqnum(1e15)).toBe(file.entryCount)
  })

  it('finds entries behind zeroes and behind noise', () => {
    for (const fill of [0, 0xff, 0x01]) {
      const { file, oracle } = edit('compact', (replay) => {
        replay.u64(176, 0)
        replay.bytes.fill(fill, replay.offsets[100]!, replay.offsets[104]! + 8)
      })
      const entries = readAll(file)
      expect(entries.map((entry) => entry.cursor)).toEqual(
        [...oracle.slice(0, 100), ...oracle.slice(105)].map((entry) => entry.cursor),
      )
      expect(file.damage.lostEntries).toBe(5)
      expect(file.damage.lostBytes).toBeGreaterThan(100)
    }
  })
})

describe('items of entry arrays that lead nowhere', () => {
  it.each([0, 4, 8, 1 << 30])('are filled from between their neighbours: item %i', (value) => {
    const { file, oracle } = edit('compact', (replay) => {
      for (const index of [0, 1, 77, 130, 131, 132, 299]) replay.bytes.writeUInt32LE(value, replay.itemPlace(index))
    })
    // Backwards first: a search must not depend on having come from before.
    expect(readBack(file)).toEqual(oracle)
    expect(file.damage).toEqual({ ...NONE, badItems: 7 })
    expect(readAll(file)).toEqual(oracle)
    expect(file.damage).toEqual({ ...NONE, badItems: 7 })
  })
})

describe('a header that cannot be believed', () => {
  it.each([
    ['its size', (r: Replay) => r.u64(88, 7)],
    ['the size of the arena', (r: Replay) => r.u64(96, 2 ** 60)],
    ['the tail object', (r: Replay) => r.u64(136, 3)],
    ['the tail object is the first', (r: Replay) => r.u64(136, 264)],
    ['the hash tables', (r: Replay) => [104, 112, 120, 128].map((at) => r.u64(at, 2 ** 52 + 8))],
    ['the last seqnum', (r: Replay) => r.u64(160, 0)],
  ])('does not keep the entries from being read: %s', (_, change) => {
    const { file, oracle } = edit('compact', change)
    expect(readAll(file)).toEqual(oracle)
    file.findData(Buffer.from('PRIORITY=6'))
    for (const name of file.fieldNames()) for (const value of file.fieldValues(name)) value.toString()
    expect(file.findMonotonic(oracle[9]!.bootId, oracle[9]!.monotonic)).toBeLessThanOrEqual(9)
  })
})

describe('fields', () => {
  it('are lost alone when their DATA is damaged, and counted once', () => {
    const { file, oracle } = edit('compact', (replay) => {
      const boot = replay.bytes.indexOf('_HOSTNAME=')
      replay.bytes[boot - 72] = 9
    })
    const entries = readAll(file)
    expect(entries.length).toBe(oracle.length)
    expect(file.damage.lostFields).toBe(1)
    readAll(file)
    expect(file.damage).toEqual({ ...NONE, lostFields: 1 })
  })

  it('are not decoded beyond 64 MiB, whatever they claim', () => {
    const path = join(dir, 'bomb.journal')
    const bytes = readFileSync(`${openFixture('lz4-compact').dir}/a.journal`)
    const file = JournalFile.open(`${openFixture('lz4-compact').dir}/a.journal`, new MemoryBudget(64 << 20))
    let offset = 0
    while (offset === 0 && file.next()) {
      for (let k = 0; k < file.itemCount; k++) {
        const at = file.itemWords[file.itemBase + k]!
        if (bytes[at + 1] === 2) offset = at
      }
    }
    file.close()
    bytes.writeBigUInt64LE(BigInt(65 << 20), offset + 72)
    writeFileSync(path, bytes)
    const bomb = open(path)
    expect(bomb.payload(offset)).toBe(false)
    bytes.writeBigUInt64LE(2n ** 40n, offset + 8)
    writeSync(openSync(path, 'r+'), bytes, 0, bytes.length, 0)
    const huge = open(path)
    expect(huge.payload(offset)).toBe(false)
    expect(huge.payload(offset + 4)).toBe(false)
    expect(huge.payload(0)).toBe(false)
    expect(huge.payload(-8)).toBe(false)
    expect(huge.payload(Number.NaN)).toBe(false)
    expect(huge.payload(2 ** 52)).toBe(false)
  })
})
