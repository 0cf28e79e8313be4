import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Windows } from '../../../src/journal/file/window.ts'
import { MemoryBudget } from '../../../src/journal/memory.ts'
import { tempDir } from '../../support/tempDir.ts'

const dir = tempDir()
let made = 0

/** Every word of the file holds its own offset, so that a wrong byte shows. */
function make(size: number, limit = 64 << 20) {
  const bytes = Buffer.alloc(size)
  for (let at = 0; at < size; at += 4) bytes.writeUInt32LE(at, at)
  const path = join(dir, `${made++}`)
  writeFileSync(path, bytes)
  const fd = openSync(path, 'r+')
  const memory = new MemoryBudget(limit)
  const windows = new Windows(fd, memory, () => {})
  windows.end = size
  onTestFinished(() => {
    windows.close()
    closeSync(fd)
  })
  const put = (offset: number, value: number) => writeSync(fd, new Uint32Array([value]), 0, 4, offset)
  return { windows, memory, put, fd }
}

function firstAndLast({ words, at }: Windows, need: number): number[] {
  return [words[at >>> 2]!, words[(at + need - 4) >>> 2]!]
}

describe('windows', () => {
  it('give the right bytes, or none, for every place and size', () => {
    const size = 3 << 20
    const { windows } = make(size, 2 << 20)
    const place = fc.integer({ min: -2, max: size / 8 + 2 }).map((k) => k * 8)
    const need = fc.oneof(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 30_000 })).map((k) => k * 4)
    fc.assert(
      fc.property(place, need, fc.constantFrom('locate', 'fresh', 'slide', 'grow', 'release'), (offset, bytes, how) => {
        if (how === 'slide' && offset >= 0) windows.slide(offset)
        if (how === 'grow') windows.grow(Math.max(0, offset))
        if (how === 'release') windows.release()
        const inside = offset >= 0 && offset + bytes <= size
        expect(how === 'fresh' ? windows.fresh(offset, bytes) : windows.locate(offset, bytes)).toBe(inside)
        if (inside) expect(firstAndLast(windows, bytes)).toEqual([offset, offset + bytes - 4])
      }),
      { numRuns: 2000 },
    )
  })

  it('give nothing at or past the end, though the file goes on', () => {
    const { windows } = make(64 << 10)
    windows.end = 20_000
    expect(windows.locate(19_992, 8)).toBe(true)
    expect(windows.locate(19_992, 16)).toBe(false)
    expect(windows.locate(20_000, 8)).toBe(false)
    windows.slide(0)
    expect(windows.to).toBe(20_000)
    expect(windows.locate(19_992, 16)).toBe(false)
  })

  it('give nothing at odd places', () => {
    const { windows } = make(64 << 10)
    for (const offset of [1, 4, 12, -8, Number.NaN, 0.5, 2 ** 53]) expect(windows.locate(offset, 8)).toBe(false)
    windows.slide(0)
    for (const offset of [1, 4, 12]) expect(windows.locate(offset, 8)).toBe(false)
  })

  it('read again what may have been half written before the growth, and links always', () => {
    for (const how of ['side', 'main']) {
      const { windows, put } = make(64 << 10)
      if (how === 'main') windows.slide(0)
      const value = (offset: number, method: 'locate' | 'fresh') => {
        windows[method](offset, 8)
        return windows.words[windows.at >>> 2]
      }
      for (const offset of [800, 8000]) value(offset, 'locate')
      put(800, 1)
      put(8000, 2)
      expect([value(800, 'locate'), value(8000, 'locate')]).toEqual([800, 8000])
      windows.grow(4000)
      expect([value(800, 'fresh'), value(8000, 'locate')]).toEqual([1, 2])
      put(800, 3)
      expect(value(800, 'fresh')).toBe(1)
      windows.expireLinks()
      expect(value(800, 'fresh')).toBe(3)
    }
  })

  it('share the budget, and get smaller as there are more of them', () => {
    const { windows, memory, fd } = make(3 << 20, 8 << 20)
    windows.slide(0)
    expect(windows.reach).toBe(1 << 20)
    const others = Array.from({ length: 15 }, () => {
      const other = new Windows(fd, memory, () => {})
      other.end = 3 << 20
      other.slide(0)
      other.locate(2 << 20, 8)
      return other
    })
    expect(windows.reach).toBe(128 << 10)
    windows.slide(0)
    expect(windows.to).toBe(128 << 10)
    expect(memory.used).toBeLessThan(8 << 20)
    for (const other of others) other.drop()
    expect(windows.reach).toBe(1 << 20)
    windows.drop()
    expect(memory.used).toBe(0)
  })

  it('do not copy the preallocated space behind the last object', () => {
    const { windows } = make(3 << 20)
    windows.tail = 100_000
    windows.slide(90_000)
    expect(windows.to).toBe(100_000 + 8192)
    expect(windows.locate(2 << 20, 8)).toBe(true)
  })

  it('keep the reason when the system cannot read', () => {
    const windows = new Windows(-1, new MemoryBudget(1 << 20), () => {})
    windows.end = 1000
    expect(windows.locate(0, 8)).toBe(false)
    expect(windows.readError).toMatch(/EBADF|out of range/)
  })
})
