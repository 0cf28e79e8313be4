import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { formatCursor, parseCursor } from '../../src/journal/cursor.ts'
import { PositionState } from '../../src/journal/position.ts'
import { JournalReader } from '../../src/journal/reader.ts'
import { FIXTURES, openFixture, UNDAMAGED } from '../support/fixtures.ts'
import { tempDir } from '../support/tempDir.ts'
import { forge } from './forge.ts'
import { openSet, oracleCursors, readDir, rest, restKeys, take } from './reading.ts'

const MERGED = ['rotated', 'users', 'machines', 'overlap', 'duplicate', 'unclean', 'multi-boot', 'clock-jump']
const DAMAGED = FIXTURES.filter((name) => !UNDAMAGED.includes(name))

/** A step that visits about so many places of a list, the first one included. */
function stride(list: readonly unknown[], visits = 7): number {
  return Math.ceil(list.length / visits)
}

function withReader<T>(name: string, body: (reader: JournalReader) => T, reverse = false): T {
  const set = openSet(openFixture(name).dir)
  const reader = new JournalReader(set, { reverse })
  try {
    return body(reader)
  } finally {
    reader.close()
    set.close()
  }
}

describe('order of entries', () => {
  it.each(UNDAMAGED)('is that of journalctl, forwards and backwards: %s', (name) => {
    const { dir } = openFixture(name)
    const oracle = oracleCursors(openFixture(name))
    expect(readDir(dir)).toEqual(oracle)
    expect(readDir(dir, { reverse: true })).toEqual([...oracle].reverse())
  })

  it.each(DAMAGED)('holds in damaged files, which give at least what journalctl gives: %s', (name) => {
    const fixture = openFixture(name)
    const whole = oracleCursors(fixture, 'undamaged')
    const got = readDir(fixture.dir)
    expect(new Set(got).size).toBe(got.length)
    expect(got.map((cursor) => whole.indexOf(cursor))).toEqual(
      got.map((cursor) => whole.indexOf(cursor)).sort((a, b) => a - b),
    )
    expect(got.every((cursor) => whole.includes(cursor))).toBe(true)
    for (const cursor of oracleCursors(fixture)) expect(got).toContain(cursor)
    expect(readDir(fixture.dir, { reverse: true })).toEqual([...got].reverse())
  })

  it('keeps sources apart when one is asked for', () => {
    const dir = tempDir()
    const stamps = (from: number) => Array.from({ length: 20 }, (_, i) => ({ seqnum: i + 1, monotonic: from + 2 * i }))
    forge(join(dir, 'one.journal'), stamps(100), { id: '1', machine: '1' })
    forge(join(dir, 'two.journal'), stamps(101), { id: '2', machine: '2' })
    const set = openSet(dir)
    expect(set.sources()).toEqual(['1'.repeat(32), '2'.repeat(32)])
    const all = set.sources().map((source) => {
      const reader = new JournalReader(set, { source })
      reader.seekHead()
      const cursors = rest(reader)
      reader.close()
      return cursors
    })
    set.close()
    expect(all.map((cursors) => cursors.length)).toEqual([20, 20])
    for (const [i, cursors] of all.entries()) expect(cursors.every((one) => one.startsWith(`s=${i + 1}`))).toBe(true)
    expect(readDir(dir).map((cursor) => cursor[2])).toEqual(Array.from({ length: 40 }, (_, i) => String(1 + (i % 2))))
  })

  it('shows no gap where nothing is lost, also with an id per user', () => {
    for (const name of MERGED) {
      const gap = withReader(name, (reader) => {
        reader.seekHead()
        rest(reader)
        return reader.seqnumGap
      })
      expect([name, gap]).toEqual([name, 0])
    }
  })
})

describe('seeking', () => {
  it.each(MERGED)('to a cursor gives the rest, with and without the entry itself: %s', (name) => {
    const oracle = oracleCursors(openFixture(name))
    withReader(name, (reader) => {
      for (let k = 0; k < oracle.length; k += stride(oracle)) {
        reader.seekCursor(parseCursor(oracle[k]!), false)
        expect(rest(reader)).toEqual(oracle.slice(k))
        reader.seekCursor(parseCursor(oracle[k]!), true)
        expect(rest(reader)).toEqual(oracle.slice(k + 1))
      }
    })
  })

  it.each(MERGED)('to a cursor backwards gives what comes before: %s', (name) => {
    const oracle = oracleCursors(openFixture(name))
    withReader(
      name,
      (reader) => {
        for (let k = 0; k < oracle.length; k += stride(oracle)) {
          reader.seekCursor(parseCursor(oracle[k]!), false)
          expect(rest(reader)).toEqual(oracle.slice(0, k + 1).reverse())
          reader.seekCursor(parseCursor(oracle[k]!), true)
          expect(rest(reader)).toEqual(oracle.slice(0, k).reverse())
        }
      },
      true,
    )
  })

  it.each(['rotated', 'users', 'overlap'])('falls back to boot and monotonic time, then to realtime: %s', (name) => {
    const oracle = oracleCursors(openFixture(name))
    withReader(name, (reader) => {
      for (let k = 0; k < oracle.length; k += stride(oracle)) {
        const { seqnumId, seqnum, ...rest1 } = parseCursor(oracle[k]!)
        reader.seekCursor({ ...rest1, seqnumId: 'f'.repeat(32), seqnum: 1 }, false)
        expect(rest(reader)).toEqual(oracle.slice(k))
        reader.seekCursor({ bootId: rest1.bootId!, monotonic: rest1.monotonic! }, false)
        const first = oracle.findIndex((cursor) => cursor.includes(`;m=${rest1.monotonic!.toString(16)};`))
        expect(rest(reader)).toEqual(oracle.slice(first))
        reader.seekCursor({ realtime: rest1.realtime! }, false)
        const second = oracle.findIndex((cursor) => parseCursor(cursor).realtime! >= rest1.realtime!)
        expect(rest(reader)).toEqual(oracle.slice(second))
      }
    })
  })

  it('to a seqnum that is gone lands on the next one', () => {
    const oracle = oracleCursors(openFixture('rotated'))
    withReader('rotated', (reader) => {
      const { seqnumId } = parseCursor(oracle[0]!)
      reader.seekCursor({ seqnumId: seqnumId!, seqnum: 0 }, true)
      expect(rest(reader)).toEqual(oracle)
      reader.seekCursor({ seqnumId: seqnumId!, seqnum: 1e9 }, false)
      expect(rest(reader).length).toBeLessThanOrEqual(oracle.length)
    })
  })

  it.each(['rotated', 'users', 'machines', 'multi-boot'])('to a time gives what is not older: %s', (name) => {
    const oracle = oracleCursors(openFixture(name))
    const times = oracle.map((cursor) => parseCursor(cursor).realtime!)
    withReader(name, (reader) => {
      for (let k = 0; k < oracle.length; k += stride(oracle)) {
        for (const us of [times[k]!, times[k]! + 1]) {
          reader.seekRealtime(us)
          expect(rest(reader)).toEqual(oracle.filter((_, i) => times[i]! >= us))
        }
      }
      reader.seekRealtime(times.at(-1)! + 1)
      expect(rest(reader)).toEqual([])
    })
    withReader(
      name,
      (reader) => {
        for (let k = 0; k < oracle.length; k += stride(oracle)) {
          reader.seekRealtime(times[k]!)
          expect(rest(reader)).toEqual(oracle.filter((_, i) => times[i]! <= times[k]!).reverse())
        }
      },
      true,
    )
  })

  it('to the tail gives nothing more, and to the head everything again', () => {
    const oracle = oracleCursors(openFixture('users'))
    withReader('users', (reader) => {
      reader.seekTail()
      expect(reader.next()).toBeUndefined()
      reader.seekHead()
      expect(take(reader, 5)).toEqual(oracle.slice(0, 5))
      reader.seekHead()
      expect(rest(reader)).toEqual(oracle)
    })
  })
})

describe('positions', () => {
  it.each(MERGED)('cut anywhere give the rest in a new reader: %s', (name) => {
    const oracle = oracleCursors(openFixture(name))
    const step = stride(oracle, 15)
    const set = openSet(openFixture(name).dir)
    const reader = new JournalReader(set)
    const taken = PositionState.empty({ realtime: 0 })
    reader.seekHead()
    for (let k = 0; k < oracle.length; k++) {
      const file = reader.next()!
      taken.take(file)
      if (k % step !== 0) continue
      expect(taken.toString()).toBe(reader.position().toString())
      for (const state of [taken, reader.position()]) {
        const resumed = new JournalReader(set)
        resumed.seekPosition(PositionState.parse(state.toString()))
        expect(resumed.position().toString()).toBe(state.toString())
        expect(rest(resumed)).toEqual(oracle.slice(k + 1))
        expect(resumed.seqnumGap).toBe(0)
        expect(resumed.position().toString()).toBe(endOf(set))
        resumed.close()
        expect(state.lastCursor()).toBe(formatCursor(file))
      }
    }
    reader.close()
    set.close()
  })

  it('from the start of a sink: everything, nothing, the last few, or since a time', () => {
    for (const name of MERGED) {
      const oracle = oracleCursors(openFixture(name))
      withReader(name, (reader) => {
        const from = (state: PositionState) => {
          reader.seekPosition(PositionState.parse(state.toString()))
          return rest(reader)
        }
        expect(from(reader.startPosition({ kind: 'oldest' }))).toEqual(oracle)
        expect(from(reader.startPosition({ kind: 'now' }))).toEqual([])
        for (const entries of [0, 1, 7, oracle.length - 1, oracle.length, oracle.length + 1]) {
          const expected = entries === 0 ? [] : oracle.slice(-entries)
          expect([name, entries, from(reader.startPosition({ kind: 'last', entries }))]).toEqual([
            name,
            entries,
            expected,
          ])
        }
        if (name === 'clock-jump') return
        const realtimeUs = parseCursor(oracle[Math.floor(oracle.length / 2)]!).realtime!
        const since = oracle.filter((cursor) => parseCursor(cursor).realtime! >= realtimeUs)
        expect(from(reader.startPosition({ kind: 'since', realtimeUs }))).toEqual(since)
      })
    }
  })

  it('as an end bound what is read', () => {
    for (const name of ['users', 'rotated', 'overlap']) {
      const oracle = oracleCursors(openFixture(name))
      const set = openSet(openFixture(name).dir)
      const first = new JournalReader(set)
      first.seekHead()
      take(first, 90)
      const bounded = new JournalReader(set, { end: PositionState.parse(first.position().toString()) })
      bounded.seekHead()
      expect(rest(bounded)).toEqual(oracle.slice(0, 90))
      expect(bounded.refresh()).toBe(false)
      first.close()
      bounded.close()
      set.close()
    }
  })

  function endOf(set: ReturnType<typeof openSet>): string {
    const reader = new JournalReader(set)
    reader.seekHead()
    rest(reader)
    const text = reader.position().toString()
    reader.close()
    return text
  }
})

describe('numbers among equals', () => {
  it('make every key of a journal unique, and the same in both directions', () => {
    for (const name of UNDAMAGED) {
      const set = openSet(openFixture(name).dir)
      const [there, back] = [new JournalReader(set), new JournalReader(set, { reverse: true })]
      there.seekHead()
      back.seekTail()
      const keys = restKeys(there)
      expect(new Set(keys).size).toBe(keys.length)
      expect(restKeys(back)).toEqual(keys.reverse())
      there.close()
      back.close()
      set.close()
    }
  })
})
