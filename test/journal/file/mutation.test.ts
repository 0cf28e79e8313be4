// Random damage: whatever the bytes are, a file opens with a Problem or reads to its end, and nothing outside it is looked at.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { isProblem } from '../../../src/errors.ts'
import { JournalFile } from '../../../src/journal/file/file.ts'
import { MemoryBudget } from '../../../src/journal/memory.ts'
import { openFixture } from '../../support/fixtures.ts'
import { tempDir } from '../../support/tempDir.ts'
import { itemOffsets } from '../oracle.ts'
import { Replay } from '../replay.ts'

const reads = vi.hoisted(() => ({ count: 0, furthest: 0, backwards: false }))
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>()
  const readSync = (fd: number, into: Buffer, at: number, length: number, position: number): number => {
    reads.count++
    reads.furthest = Math.max(reads.furthest, position + length)
    if (position < 0 || at < 0 || at + length > into.length) reads.backwards = true
    return fs.readSync(fd, into, at, length, position)
  }
  return { ...fs, readSync }
})

const dir = tempDir()

beforeEach(() => {
  reads.count = reads.furthest = 0
  reads.backwards = false
})

/** Everything a reader can be asked for. Returns the number of entries given. */
function exercise(path: string): number {
  const file = JournalFile.open(path, new MemoryBudget(2 << 20))
  try {
    let entries = 0
    while (file.next()) {
      entries++
      for (const offset of itemOffsets(file)) {
        if (!file.payload(offset)) continue
        if (file.start > file.equals || file.equals >= file.end || file.end > file.bytes.length)
          throw new Error('payload')
      }
      if (entries % 64 === 0) {
        file.findSeqnum(file.seqnum)
        file.findMonotonic(file.bootId(), file.monotonic)
        file.indexOfOffset(file.offset)
      }
    }
    let back = 0
    file.index = file.entryCount
    while (file.previous()) back++
    expect(back).toBe(entries)
    file.findSeqnum(150)
    file.findRealtime(1.7e15)
    for (const name of file.fieldNames()) {
      let values = 0
      for (const value of file.fieldValues(name)) {
        if (values++ > 20) break
        const found = file.findData(Buffer.concat([Buffer.from(`${name}=`), value]))
        if (found !== 0) {
          const list = file.dataEntries(found)
          for (let i = 0; i < Math.min(50, list.count); i++) list.at(i)
        }
      }
    }
    file.refresh()
    file.load(file.entryCount - 1)
    return entries
  } finally {
    file.close()
  }
}

describe('a file with random damage', () => {
  it.each(['compact', 'regular', 'unkeyed', 'lz4-compact', 'kernel'])(
    'is read without an exception or a loop: %s',
    (name) => {
      const replay = new Replay(`${openFixture(name).dir}/a.journal`, join(dir, `${name}.journal`))
      replay.close()
      const { whole, offsets, arrays } = replay
      const size = whole.length
      // Where a change matters most: the header, the heads of entries and arrays, and the rest at random.
      const place = fc.oneof(
        fc.integer({ min: 8, max: 271 }),
        fc.tuple(fc.constantFrom(...offsets), fc.nat(79)).map(([offset, k]) => offset + k),
        fc.tuple(fc.constantFrom(...arrays), fc.nat(63)).map(([{ offset }, k]) => offset + k),
        fc.nat(size - 1),
      )
      const byte = fc.oneof(fc.constantFrom(0, 1, 3, 6, 0x7f, 0xff), fc.nat(255))
      const change = fc.oneof(
        fc.record({ at: place, bytes: fc.array(byte, { minLength: 1, maxLength: 8 }) }),
        // A lost page.
        fc.record({
          at: fc.nat(size >>> 12).map((page) => page << 12),
          bytes: fc.constant(new Array<number>(4096).fill(0)),
        }),
      )
      const cut = fc.oneof({ weight: 4, arbitrary: fc.constant(size) }, { weight: 1, arbitrary: fc.nat(size) })
      let most = 0
      fc.assert(
        fc.property(fc.array(change, { minLength: 1, maxLength: 12 }), cut, (changes, length) => {
          const bytes = Buffer.from(whole)
          for (const { at, bytes: to } of changes)
            for (let k = 0; k < to.length && at + k < size; k++) bytes[at + k] = to[k]!
          const path = join(dir, `${name}-mutated.journal`)
          writeFileSync(path, bytes.subarray(0, length))
          reads.count = reads.furthest = 0
          try {
            most = Math.max(most, exercise(path))
          } catch (error) {
            if (!isProblem(error)) throw error
          }
          // The header is asked for in full, at most 272 bytes of it; everything else stays inside.
          expect(reads.furthest).toBeLessThanOrEqual(Math.max(272, length))
          expect(reads.backwards).toBe(false)
          expect(reads.count).toBeLessThan(50_000)
        }),
        { numRuns: 25 },
      )
      expect(most).toBeGreaterThan(offsets.length / 2)
    },
  )
})
