import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isProblem } from '../../src/errors.ts'
import { bootWordsOf, type EntryMark } from '../../src/journal/cursor.ts'
import { PositionState } from '../../src/journal/position.ts'

const hexId = fc.stringMatching(/^[0-9a-f]{32}$/)
const time = fc.integer({ min: 1, max: 2 ** 53 - 1 })
const floor = fc.oneof(
  fc.record({ realtime: fc.nat(2 ** 50) }),
  fc.record({ realtime: fc.nat(2 ** 50), bootId: hexId, monotonic: fc.nat(2 ** 40) }),
)
const entries = fc
  .tuple(fc.array(hexId, { minLength: 1, maxLength: 4 }), fc.array(hexId, { minLength: 1, maxLength: 3 }))
  .chain(([ids, boots]) =>
    fc.array(
      fc
        .record({
          seqnumId: fc.constantFrom(...ids),
          seqnum: time,
          realtime: time,
          monotonic: time,
          boot: fc.constantFrom(...boots),
          xorHigh: fc.nat(2 ** 32 - 1),
          xorLow: fc.nat(2 ** 32 - 1),
        })
        .map(({ boot, ...mark }): EntryMark => ({ ...mark, ...bootWordsOf(boot) })),
      { maxLength: 12 },
    ),
  )

function mark(part: Partial<EntryMark>): EntryMark {
  const words = { boot0: 1, boot1: 2, boot2: 3, boot3: 4, xorHigh: 5, xorLow: 6 }
  return { seqnumId: 'a'.repeat(32), seqnum: 1, realtime: 1000, monotonic: 10, ...words, ...part }
}

describe('positions', () => {
  it('come back from text as they were, and their text stays the same', () => {
    fc.assert(
      fc.property(floor, entries, (at, marks) => {
        const state = PositionState.empty(at)
        for (const one of marks) state.take(one)
        const text = state.toString()
        const again = PositionState.parse(text)
        expect(again.toString()).toBe(text)
        expect(again.floor).toEqual(at)
        expect(again.lastCursor()).toBe(state.lastCursor())
        expect([...again.ids.keys()].sort()).toEqual([...state.ids.keys()].sort())
        for (const [id, place] of state.ids) {
          const { seqnum, realtime, monotonic, bootId, run } = again.ids.get(id)!
          expect({ seqnum, realtime, monotonic, bootId, run }).toEqual({
            seqnum: place.seqnum,
            realtime: place.realtime,
            monotonic: place.monotonic,
            bootId: place.bootId,
            run: place.run,
          })
        }
      }),
    )
  })

  it('are equal as text when they are equal, whatever the order in which they came about', () => {
    const a = PositionState.empty({ realtime: 5 })
    const b = PositionState.empty({ realtime: 5 })
    const [one, two] = [mark({ seqnumId: '1'.repeat(32) }), mark({ seqnumId: '2'.repeat(32), realtime: 1001 })]
    a.take(one)
    a.take(two)
    b.take(two)
    b.take(one)
    b.place(two, 1)
    expect(b.toString()).toBe(a.toString())
  })

  it('fit 50 ids of as many boots into 4 kB', () => {
    const state = PositionState.empty({ realtime: 2 ** 50, bootId: 'f'.repeat(32), monotonic: 2 ** 40 })
    for (let i = 0; i < 50; i++) {
      const words = { boot0: i * 7919, boot1: 2 ** 32 - 1 - i, boot2: i, boot3: 9 }
      state.take(
        mark({
          seqnumId: Buffer.alloc(16, i + 1).toString('hex'),
          seqnum: 3e6 + i,
          realtime: 2 ** 50 + i,
          monotonic: 2 ** 40,
          ...words,
        }),
      )
    }
    expect(state.toString().length).toBeLessThan(4096)
    expect(PositionState.parse(state.toString()).ids.size).toBe(50)
  })

  it('fit 70 ids of one boot into 4 kB', () => {
    const state = PositionState.empty({ realtime: 2 ** 50 })
    for (let i = 0; i < 70; i++) {
      state.take(
        mark({
          seqnumId: Buffer.alloc(16, i + 1).toString('hex'),
          seqnum: 3e6 + i,
          realtime: 2 ** 50 + i,
          monotonic: 2 ** 40,
        }),
      )
    }
    expect(state.toString().length).toBeLessThan(4096)
  })

  it('refuse every text with a changed character, a cut or an addition', () => {
    const state = PositionState.empty({ realtime: 1234567 })
    state.take(mark({}))
    const text = state.toString()
    const refused = (bad: string) => {
      try {
        PositionState.parse(bad)
      } catch (error) {
        return isProblem(error, 'LF_POSITION_INVALID')
      }
      return false
    }
    for (let i = 0; i < text.length; i++) {
      expect(refused(text.slice(0, i))).toBe(true)
      for (const other of ['A', 'z', '-', '=']) {
        if (text[i] !== other) expect(refused(text.slice(0, i) + other + text.slice(i + 1))).toBe(true)
      }
    }
    for (const bad of ['', 'x', `${text}A`, `${text}=`, ` ${text}`]) expect(refused(bad)).toBe(true)
  })

  it('name the version of a text from a newer logferry', () => {
    expect(() => PositionState.parse('2.AAAA')).toThrow('it is of version 2, 1 is known')
  })

  it('never throw anything but a Problem', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        try {
          PositionState.parse(`1.${Buffer.from(bytes).toString('base64url')}`)
        } catch (error) {
          expect(isProblem(error)).toBe(true)
        }
      }),
    )
  })

  it('count the entries of one stamp, and forget the count with the next stamp', () => {
    const state = PositionState.empty({ realtime: 0 })
    for (const seqnum of [1, 2, 3]) state.take(mark({ seqnum }))
    expect(state.ids.get('a'.repeat(32))?.run).toBe(3)
    state.take(mark({ seqnum: 4, monotonic: 11 }))
    expect(state.ids.get('a'.repeat(32))?.run).toBe(1)
  })

  it('are not moved by a late entry, but by reused numbers of another boot', () => {
    const state = PositionState.empty({ realtime: 0 })
    state.take(mark({ seqnum: 9, monotonic: 90 }))
    state.take(mark({ seqnum: 5, monotonic: 50 }))
    expect(state.ids.get('a'.repeat(32))?.seqnum).toBe(9)
    state.take(mark({ seqnum: 6, monotonic: 1, boot0: 77 }))
    expect(state.ids.get('a'.repeat(32))?.seqnum).toBe(6)
  })

  it('forget an id and what was taken last with it', () => {
    const state = PositionState.empty({ realtime: 0 })
    const before = state.toString()
    state.take(mark({}))
    expect(state.lastCursor()).toContain('i=1;')
    state.forget('a'.repeat(32))
    expect(state.toString()).toBe(before)
    expect(state.lastCursor()).toBeUndefined()
  })

  it('copy without sharing', () => {
    const state = PositionState.empty({ realtime: 0 })
    state.take(mark({}))
    const copy = state.clone()
    copy.take(mark({ seqnum: 2 }))
    expect(state.ids.get('a'.repeat(32))?.seqnum).toBe(1)
    expect(copy.lastCursor()).toContain('i=2;')
  })
})
