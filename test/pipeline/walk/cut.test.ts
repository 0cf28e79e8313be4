import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Part } from '../../../src/pipeline/walk/chunk.ts'
import { chooseCut, countEntries, splitParts } from '../../../src/pipeline/walk/cut.ts'
import { entries, type FakeEntry, makeChunk, stamped } from '../fakes.ts'

function partsOf(all: readonly FakeEntry[], ...cuts: readonly number[]): Part[] {
  const ends = [...cuts, all.length]
  return ends.map((end, index) => {
    const chunk = makeChunk('s', all, ends[index - 1] ?? 0, end)
    return { chunk, from: 0, to: chunk.count }
  })
}

const LIMITS = { entries: 4, bytes: 1e6, hardEntries: 1000, hardBytes: 1e6 }

describe('chooseCut', () => {
  it('takes all that there is when no limit is reached', () => {
    expect(chooseCut(partsOf(entries(3)), LIMITS, true)).toEqual({ count: 3, full: false })
    expect(chooseCut([], LIMITS, true)).toBeUndefined()
  })

  it('cuts at the number of entries and at the number of bytes', () => {
    expect(chooseCut(partsOf(entries(9), 2), LIMITS, true)).toEqual({ count: 4, full: true })
    // "entry N\n" has 8 bytes.
    expect(chooseCut(partsOf(entries(9), 2), { ...LIMITS, bytes: 25 }, true)).toEqual({ count: 3, full: true })
    expect(chooseCut(partsOf(entries(9), 2), { ...LIMITS, bytes: 1 }, true)).toEqual({ count: 1, full: true })
  })

  it('never ends between lines of one write', () => {
    expect(chooseCut(partsOf(stamped('abccc')), LIMITS, true)).toEqual({ count: 2, full: true })
    expect(chooseCut(partsOf(stamped('abccc'), 3), LIMITS, true)).toEqual({ count: 2, full: true })
    expect(chooseCut(partsOf(stamped('abccd')), LIMITS, true)).toEqual({ count: 4, full: true })
  })

  it('takes a run that is longer than the soft limits whole', () => {
    expect(chooseCut(partsOf(stamped('aaaaaaab')), LIMITS, true)).toEqual({ count: 7, full: true })
  })

  it('asks for more when the end of a run is not to be seen yet', () => {
    expect(chooseCut(partsOf(stamped('ab')), LIMITS, false)).toBeUndefined()
    expect(chooseCut(partsOf(stamped('aaaaaaa')), LIMITS, false)).toBeUndefined()
    expect(chooseCut(partsOf(stamped('aaaaaaa')), LIMITS, true)).toEqual({ count: 7, full: true })
  })

  it('cuts a run at a hard limit', () => {
    expect(chooseCut(partsOf(stamped('aaaaaaa')), { ...LIMITS, hardEntries: 5 }, false)).toEqual({
      count: 5,
      full: true,
    })
    expect(chooseCut(partsOf(stamped('aaaaaaa')), { ...LIMITS, hardBytes: 16 }, true)).toEqual({ count: 5, full: true })
  })

  it('keeps to the hard limits, makes progress, and splits a run only at a hard limit', () => {
    const shape = fc.record({
      runs: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 8 }),
      cut: fc.nat(20),
      soft: fc.integer({ min: 1, max: 8 }),
      hard: fc.integer({ min: 8, max: 12 }),
      endIsSafe: fc.boolean(),
    })
    fc.assert(
      fc.property(shape, ({ runs, cut, soft, hard, endIsSafe }) => {
        const all = stamped(runs.map((length, index) => String.fromCharCode(97 + index).repeat(length)).join(''))
        const parts = cut > 0 && cut < all.length ? partsOf(all, cut) : partsOf(all)
        const choice = chooseCut(parts, { entries: soft, bytes: 1e6, hardEntries: hard, hardBytes: 1e6 }, endIsSafe)
        if (choice === undefined) {
          expect(endIsSafe).toBe(false)
          return
        }
        expect(choice.count).toBeGreaterThan(0)
        expect(choice.count).toBeLessThanOrEqual(hard)
        const [last, next] = [all[choice.count - 1], all[choice.count]]
        const splits = next === undefined ? !endIsSafe : last?.stamp === next.stamp
        if (splits) expect(choice.count).toBe(hard)
      }),
    )
  })
})

describe('splitParts', () => {
  it('keeps the order and every entry', () => {
    const parts = partsOf(entries(10), 3, 3, 7)
    for (let count = 0; count <= 10; count++) {
      const { head, tail } = splitParts(parts, count)
      expect(countEntries(head)).toBe(count)
      expect(countEntries(tail)).toBe(10 - count)
    }
  })
})
