import { describe, expect, it } from 'vitest'
import { GroupTable } from '../../src/journal/encode/watch.ts'
import { groupEntries } from '../../src/pipeline/groups.ts'
import type { Chunk, Part } from '../../src/pipeline/walk/chunk.ts'
import { entries, makeChunk } from './fakes.ts'

/** A chunk whose entries have these texts as the fields that are asked for. */
function bytesChunk(texts: readonly string[]): Chunk {
  let end = 0
  const ends = Uint32Array.from(texts, (text) => {
    end += text.length
    return end
  })
  return { ...chunkOf(texts.length), fields: { bytes: new Uint8Array(Buffer.from(texts.join(''))), ends } }
}

/** A chunk whose entries are of these groups of a table. */
function tableChunk(table: GroupTable, groups: readonly number[]): Chunk {
  return { ...chunkOf(groups.length), groups: { at: Uint32Array.from(groups), table } }
}

function chunkOf(count: number): Chunk {
  return makeChunk('source', entries(count), 0, count)
}

function tableOf(...values: readonly string[]): { table: GroupTable; groups: number[] } {
  const table = new GroupTable(['F'])
  const groups = values.map((value) => table.step(0, table.number(0, Buffer.from(value), 0, value.length)))
  return { table, groups }
}

function group(...parts: Part[]): { at: number[]; first: number[]; tokens: readonly object[] | undefined } {
  const count = parts.reduce((sum, { from, to }) => sum + to - from, 0)
  const { at, first, tokens } = groupEntries(parts, count)
  return { at: [...at], first: [...first], tokens }
}

describe('the groups of a batch', () => {
  it('are one where nothing is asked for', () => {
    expect(group({ chunk: chunkOf(4), from: 1, to: 4 })).toMatchObject({ at: [0, 0, 0], first: [0] })
    expect(group()).toMatchObject({ at: [], first: [] })
  })

  it('are told by the bytes of the fields, over several chunks', () => {
    const one = bytesChunk(['aa', 'b', 'aa', 'a'])
    const other = bytesChunk(['a', '', 'b', 'c'])
    expect(group({ chunk: one, from: 1, to: 4 }, { chunk: other, from: 0, to: 3 })).toEqual({
      at: [0, 1, 2, 2, 3, 0],
      first: [0, 1, 2, 4],
      tokens: undefined,
    })
  })

  it('are right for many entries', () => {
    const texts = Array.from({ length: 3000 }, (_, n) => `F=${(n * 7919) % 613}\n\n`)
    const { at, first } = group({ chunk: bytesChunk(texts), from: 0, to: 3000 })
    expect(first.length).toBe(613)
    expect(texts.every((text, n) => texts[first[at[n]!]!] === text)).toBe(true)
  })

  it('are those that the walk noted, numbered by the batch', () => {
    const { table, groups } = tableOf('x', 'y', 'z')
    const [x, y, z] = groups as [number, number, number]
    const one = tableChunk(table, [x, z, z])
    const { at, first, tokens } = group(
      { chunk: one, from: 1, to: 3 },
      { chunk: tableChunk(table, [y, z, 0]), from: 0, to: 3 },
    )
    expect([at, first]).toEqual([
      [0, 0, 1, 0, 2],
      [0, 2, 4],
    ])
    expect(tokens).toHaveLength(3)
  })

  it('have tokens that come again in other batches, with the same values', () => {
    const { table, groups } = tableOf('x', 'y')
    const [x, y] = groups as [number, number]
    const first = group({ chunk: tableChunk(table, [x, y]), from: 0, to: 2 })
    const second = group({ chunk: tableChunk(table, [y, x, x]), from: 0, to: 3 })
    expect(second.tokens?.[0]).toBe(first.tokens?.[1])
    expect(second.tokens?.[1]).toBe(first.tokens?.[0])
    expect(first.tokens?.[0]).not.toBe(first.tokens?.[1])
    const other = tableOf('x')
    expect(group({ chunk: tableChunk(other.table, other.groups), from: 0, to: 1 }).tokens?.[0]).not.toBe(
      first.tokens?.[0],
    )
  })

  it('of two tables are not mixed up', () => {
    const [one, other] = [tableOf('x', 'y'), tableOf('y')]
    const { at, first } = group(
      { chunk: tableChunk(one.table, one.groups), from: 0, to: 2 },
      { chunk: tableChunk(other.table, other.groups), from: 0, to: 1 },
    )
    expect([at, first]).toEqual([
      [0, 1, 2],
      [0, 1, 2],
    ])
  })
})
