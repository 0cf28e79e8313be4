import { describe, expect, it } from 'vitest'
import {
  accountsFor,
  cursorAt,
  entryBefore,
  makeBatch,
  positionAt,
  recordsOf,
  SOURCE,
  testHost,
  undescribed,
} from './contract/sinkContract.ts'

describe('makeBatch', () => {
  it('gives equal batches for equal arguments, one behind the other', () => {
    const [first, second] = [makeBatch(10), makeBatch(5, { first: 11 })]
    expect(makeBatch(10).records).toEqual(first.records)
    expect(makeBatch(10).id).toBe(first.id)
    expect(second.before).toBe(first.after)
    expect(entryBefore(second.after)).toBe(15)
  })

  it('gives NDJSON as a whole, and records, keys, cursors that belong together', () => {
    const batch = makeBatch(20, { run: 4 })
    const lines = Buffer.from(batch.records).toString().split('\n')
    expect(lines.pop()).toBe('')
    expect(recordsOf(batch).map((record) => Buffer.from(record).toString())).toEqual(lines)
    const keys = Buffer.from(batch.keys).toString('latin1').match(/.{34}/g) ?? []
    expect(keys).toEqual(batch.entries.map(({ key }) => key))
    expect([...keys].sort()).toEqual(keys)
    expect(new Set(keys).size).toBe(20)
    for (const [index, entry] of batch.entries.entries()) {
      expect(JSON.parse(lines[index] as string)['__CURSOR']).toBe(entry.cursor)
      expect(entry.cursor).toBe(cursorAt(SOURCE, index + 1, 4))
      expect(entry.get('MESSAGE')).toBe(JSON.parse(lines[index] as string)['MESSAGE'])
    }
    // Four in a row differ in their number alone.
    expect(batch.entries.map(({ realtime }) => realtime).slice(0, 5)).toEqual(
      [0, 0, 0, 0, 400].map((us) => us + (batch.entries[0]?.realtime ?? 0)),
    )
  })

  it.each(['msgpack', 'journal-export', 'none'] as const)(
    'packs records of %s without anything between them',
    (encoding) => {
      const batch = makeBatch(3, { encoding, messageBytes: 70_000 })
      expect(batch.records.length).toBe(batch.ends[2])
      expect(recordsOf(batch, encoding).map(({ length }) => length)).toEqual(
        batch.entries.map(({ record }) => record.length),
      )
      expect(batch.entries[0]?.record.length === 0).toBe(encoding === 'none')
    },
  )
})

describe('the host of tests', () => {
  it('moves a position over cursors as the real one does: not into or behind the last run', () => {
    const { advance } = testHost()
    const cursors = (from: number, to: number) =>
      Array.from({ length: to - from + 1 }, (_, n) => cursorAt(SOURCE, from + n, 3))
    expect(advance(positionAt(SOURCE, 0), cursors(1, 8))).toEqual({ position: positionAt(SOURCE, 6), entries: 6 })
    expect(advance(positionAt(SOURCE, 0), cursors(1, 3))).toEqual({ position: positionAt(SOURCE, 0), entries: 0 })
    expect(advance(positionAt(SOURCE, 4), [])).toEqual({ position: positionAt(SOURCE, 4), entries: 0 })
    expect(() => advance(positionAt(SOURCE, 1), cursors(1, 3))).toThrow('entry 1 follows where 2 should')
  })
})

describe('what is asked of a receipt', () => {
  it('finds what does not add up', () => {
    const rejected = [{ index: 4, code: 'mapping', reason: 'no number' }]
    expect(accountsFor('delivered', 5)).toEqual([])
    expect(accountsFor({ delivered: 3, retry: [1], rejected }, 5)).toEqual([])
    expect(
      accountsFor({ delivered: 1, retry: [1], doubtful: [0], rejected, unknown: { count: 1, reason: 'x' } }, 5),
    ).toEqual([])
    expect(accountsFor({ delivered: 3, retry: [], rejected }, 5)).toEqual(['accounts for 4 of 5 entries'])
    expect(accountsFor({ delivered: 3, retry: [4], rejected }, 5)).toEqual(['names an entry twice'])
    expect(accountsFor({ delivered: 4, retry: [5], rejected: [] }, 5)).toEqual(['names no entry of the batch'])
    expect(accountsFor({ delivered: 4, retry: [], rejected: [{ index: 0, code: 'Bad One', reason: '' }] }, 5)).toEqual([
      'entry 0: the code "Bad One" is no label',
      'entry 0: no reason',
    ])
  })
})

it('finds options without description, wherever they are', () => {
  const schema = {
    properties: {
      url: { type: 'string', description: 'Where to.' },
      tls: { description: 'How.', properties: { ca: { type: 'string' } } },
      list: { description: 'Several.', items: { properties: { name: {} } } },
      either: { description: 'One.', anyOf: [{ type: 'string' }, { properties: { file: {} } }] },
    },
  }
  expect(undescribed(schema)).toEqual(['tls.ca', 'list[].name', 'either.file'])
})
