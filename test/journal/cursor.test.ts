import { describe, expect, it } from 'vitest'
import { isProblem } from '../../src/errors.ts'
import { bootIdOf, bootWordsOf, formatCursor, isAtCursor, parseCursor } from '../../src/journal/cursor.ts'
import { openFixture, UNDAMAGED } from '../support/fixtures.ts'
import { oracleCursors } from './reading.ts'

const S = '0123456789abcdef0123456789abcdef'
const B = 'fedcba9876543210fedcba9876543210'
const WHOLE = `s=${S};i=1a;b=${B};m=ff;t=60e014ddd56b;x=8000000000000001`

function entryOf(text: string) {
  const { seqnumId, seqnum, bootId, monotonic, realtime, xor } = parseCursor(text)
  const words = { xorHigh: Number(xor! >> 32n), xorLow: Number(xor! & 0xffffffffn) }
  return {
    seqnumId: seqnumId!,
    seqnum: seqnum!,
    monotonic: monotonic!,
    realtime: realtime!,
    ...bootWordsOf(bootId!),
    ...words,
  }
}

describe('cursors', () => {
  it('are read in whole', () => {
    const parts = {
      seqnumId: S,
      seqnum: 26,
      bootId: B,
      monotonic: 255,
      realtime: 0x60e014ddd56b,
      xor: 0x8000000000000001n,
    }
    expect(parseCursor(WHOLE)).toEqual(parts)
  })

  it('may have any order, unknown keys, upper-case ids and missing parts', () => {
    expect(parseCursor(`q=whatever;t=10;`)).toEqual({ realtime: 16 })
    expect(parseCursor(`m=1;b=${B.toUpperCase()}`)).toEqual({ bootId: B, monotonic: 1 })
  })

  it.each(UNDAMAGED)('are written as journalctl writes them: %s', (name) => {
    for (const cursor of oracleCursors(openFixture(name)).slice(0, 50))
      expect(formatCursor(entryOf(cursor))).toBe(cursor)
  })

  it('write small hashes without leading zeroes', () => {
    const cursor = WHOLE.replace(/x=.*/, 'x=a0')
    expect(formatCursor(entryOf(cursor))).toBe(cursor)
    expect(formatCursor(entryOf(WHOLE.replace(/x=.*/, 'x=100000001')))).toMatch(/;x=100000001$/)
  })

  it.each([
    ['', 'names no place'],
    [`s=${S}`, 'names no place'],
    ['i=1;m=2', 'names no place'],
    ['t', 'not of the form'],
    [`s=12;i=1`, 'not an id'],
    ['t=xyz', 'not a number'],
    ['t=11112222333344445', 'not a number'],
  ])('that are wrong are refused: %s', (text, why) => {
    const attempt = () => parseCursor(text)
    expect(attempt).toThrow(why)
    try {
      attempt()
    } catch (error) {
      expect(isProblem(error, 'LF_CURSOR_INVALID')).toBe(true)
    }
  })

  it('fit an entry when every part that is given fits', () => {
    const entry = entryOf(WHOLE)
    expect(isAtCursor(entry, parseCursor(WHOLE))).toBe(true)
    expect(isAtCursor(entry, parseCursor('t=60e014ddd56b'))).toBe(true)
    expect(isAtCursor(entry, parseCursor(WHOLE.replace('i=1a', 'i=1b')))).toBe(false)
    expect(isAtCursor(entry, parseCursor('t=60e014ddd56b;x=1'))).toBe(false)
  })

  it('keep boot ids through words', () => {
    expect(bootIdOf(bootWordsOf(B))).toBe(B)
  })
})
