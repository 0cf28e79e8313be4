import { describe, expect, it } from 'vitest'
import { CutBatch, readExport } from '../../../src/pipeline/walk/batch.ts'
import type { Chunk, Part } from '../../../src/pipeline/walk/chunk.ts'
import { splitParts } from '../../../src/pipeline/walk/cut.ts'
import { entries, FakeClock, type FakeEntry, FakeJournal, makeChunk, stamped, textsOf } from '../fakes.ts'

describe('CutBatch', () => {
  const clock = new FakeClock()

  function cutOf(all: readonly FakeEntry[], from: number, count: number, chunkEntries = 4): CutBatch {
    const journal = new FakeJournal(clock, { entries: all, chunkEntries })
    const stream = journal.open({ source: FakeJournal.source, match: [], encoder: undefined, fields: [] }, `1:${from}`)
    const parts: Part[] = []
    for (let part = stream.next(); part !== undefined; part = stream.next()) parts.push(part)
    const { head } = splitParts(parts, count)
    return CutBatch.of(head, stream.cut(head))
  }

  it('is a view into one chunk, and a copy over several', () => {
    const one = cutOf(entries(20), 2, 3)
    expect(textsOf(one)).toEqual(['entry 2', 'entry 3', 'entry 4'])
    expect(one.records.buffer.byteLength).toBeGreaterThan(one.records.byteLength)
    const several = cutOf(entries(20), 2, 9)
    expect(textsOf(several)).toEqual(entries(9, 2).map(({ text }) => text))
    expect([one.before, one.after, several.after]).toEqual(['1:2', '1:5', '1:11'])
  })

  it('moves its position over entries that were left out', () => {
    const all = entries(8).map((entry, index) => ({ ...entry, isLeftOut: index % 4 === 3 }))
    const batch = cutOf(all, 0, 3)
    expect(textsOf(batch)).toEqual(['entry 0', 'entry 1', 'entry 2'])
    expect(batch.after).toBe('1:4')
  })

  it('has the same id for the same ground, whatever the attempt', () => {
    const batch = cutOf(entries(20), 2, 5)
    expect(batch.again().id).toBe(batch.id)
    expect(batch.only([1, 3]).id).toBe(batch.id)
    expect(cutOf(entries(20), 2, 5, 7).id).toBe(batch.id)
    expect(cutOf(entries(20), 2, 6).id).not.toBe(batch.id)
  })

  it('narrows to some of its entries for the next attempt', () => {
    const batch = cutOf(entries(20), 2, 9).only([0, 1, 5, 8])
    expect(textsOf(batch)).toEqual(['entry 2', 'entry 3', 'entry 7', 'entry 10'])
    expect(batch.attempt).toBe(2)
    expect(textsOf(batch.only([1, 2]))).toEqual(['entry 3', 'entry 7'])
    expect(batch.entries.map(({ key }) => Number(key))).toEqual([2, 3, 7, 10])
    expect(batch.entries[3]?.cursor).toBe('cursor of 10')
    expect(batch.entries[2]?.realtime).toBe(7e6)
    expect([...batch.realtimes]).toEqual([2e6, 3e6, 7e6, 10e6])
    expect(Buffer.from(batch.entries[1]!.record).toString()).toBe('entry 3')
  })

  it('halves so that neither half claims an entry of the other', () => {
    const [first, second] = cutOf(entries(20), 2, 9).halves()
    expect([first.before, first.after, second.before, second.after]).toEqual(['1:2', '1:6', '1:6', '1:11'])
    expect([...textsOf(first), ...textsOf(second)]).toEqual(entries(9, 2).map(({ text }) => text))
    const [left, right] = cutOf(entries(20), 0, 9).only([1, 4, 5, 8]).halves()
    expect([left.after, right.before, right.after]).toEqual(['1:5', '1:5', '1:9'])
    expect([textsOf(left), textsOf(right)]).toEqual([
      ['entry 1', 'entry 4'],
      ['entry 5', 'entry 8'],
    ])
  })

  it('halves beside a run of lines of one write rather than inside it', () => {
    const [first] = cutOf(stamped('abbbbcd'), 0, 7).halves()
    expect(first.length).toBe(1)
    expect(cutOf(stamped('aaaa'), 0, 4).halves()[0].length).toBe(2)
  })

  it('reads fields for sinks that ask for them', () => {
    const one = Buffer.from('__CURSOR=s\nMESSAGE=hello\nPRIORITY=6\n\n')
    const length = Buffer.alloc(8)
    length.writeUInt32LE(3, 0)
    const two = Buffer.concat([Buffer.from('MESSAGE\n'), length, Buffer.from('a\nb\nMESSAGE=again\n\n')])
    const chunk: Chunk = {
      ...makeChunk('s', entries(2), 0, 2),
      fields: {
        bytes: new Uint8Array(Buffer.concat([one, two])),
        ends: Uint32Array.of(one.length, one.length + two.length),
      },
    }
    const batch = CutBatch.of([{ chunk, from: 0, to: 2 }], { before: '1:0', after: '1:2', at: () => '1:1' })
    const [a, b] = batch.entries
    expect([a?.get('MESSAGE'), a?.get('PRIORITY'), a?.get('_PID'), a?.get('__CURSOR')]).toEqual([
      'hello',
      '6',
      undefined,
      undefined,
    ])
    expect([...(b?.fields() ?? [])].map(([name, value]) => `${name}=${Buffer.from(value)}`)).toEqual([
      'MESSAGE=a\nb',
      'MESSAGE=again',
    ])
    expect(b?.get('MESSAGE')).toBe('a\nb')
    expect([...readExport(new Uint8Array(0))]).toEqual([])
  })
})
