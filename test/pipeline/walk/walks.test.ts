import { copyFileSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { JournalSet } from '../../../src/journal/directory.ts'
import { MemoryBudget } from '../../../src/journal/memory.ts'
import { PositionState } from '../../../src/journal/position.ts'
import { CutBatch } from '../../../src/pipeline/walk/batch.ts'
import type { Part, Stream, StreamSpec, Want } from '../../../src/pipeline/walk/chunk.ts'
import { countEntries, splitParts } from '../../../src/pipeline/walk/cut.ts'
import { Walks } from '../../../src/pipeline/walk/walks.ts'
import type { Position } from '../../../src/sink.ts'
import { Metrics } from '../../../src/telemetry/metrics.ts'
import { openFixture } from '../../support/fixtures.ts'
import { tempDir } from '../../support/tempDir.ts'

const RECORD = {
  format: 'record',
  encoding: 'json',
  shape: 'journal',
  fields: {},
  labels: {},
  binary: 'base64',
} as const

const open: JournalSet[] = []
afterEach(() => {
  for (const set of open.splice(0)) set.close()
})

function walksOver(dir: string, memoryBytes = 64 * 2 ** 20): { walks: Walks; metrics: Metrics; set: JournalSet } {
  const memory = new MemoryBudget(memoryBytes)
  const set = JournalSet.open({ directories: [dir], machineId: 'any', namespaces: ['*'] }, memory)
  open.push(set)
  const metrics = new Metrics()
  return { walks: new Walks({ set, memory, metrics }), metrics, set }
}

function specOf(source: string, more: Partial<StreamSpec> = {}): StreamSpec {
  return { source, match: [], encoder: RECORD, fields: [], ...more }
}

function drain(stream: Stream, look = false, want?: Want): Part[] {
  const parts: Part[] = []
  for (let part = stream.next(look, want); part !== undefined; part = stream.next(look, want)) parts.push(part)
  return parts
}

function cursorsOf(parts: readonly Part[]): string[] {
  return parts.flatMap(({ chunk, from, to }) =>
    Array.from({ length: to - from }, (_, index) => chunk.cursor(from + index)),
  )
}

function oldest(walks: Walks, source: string): Position {
  return walks.startPosition(source, { kind: 'oldest' })
}

function readEntries(metrics: Metrics): number {
  return metrics.read().find(({ name }) => name === 'logferry_read_entries_total')?.value ?? 0
}

interface OracleEntry {
  readonly __CURSOR: string
  readonly __REALTIME_TIMESTAMP: string
  readonly MESSAGE: unknown
  readonly PRIORITY?: string | readonly string[]
}

function oracleOf(name: string): OracleEntry[] {
  const lines = openFixture(name).oracle('json').toString().trim().split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as OracleEntry)
}

/** All values of a field that may occur several times. */
function prioritiesOf({ PRIORITY = [] }: OracleEntry): readonly string[] {
  return typeof PRIORITY === 'string' ? [PRIORITY] : PRIORITY
}

describe('a stream over real journals', () => {
  it.each(['compact', 'machines', 'overlap', 'duplicate', 'users', 'rotated', 'unclean'])(
    'gives every entry of the fixture %s once, with a key of its own',
    (name) => {
      const { walks } = walksOver(openFixture(name).dir)
      const cursors: string[] = []
      const keys = new Set<string>()
      for (const source of walks.sources()) {
        const stream = walks.open(specOf(source), oldest(walks, source))
        const parts = drain(stream)
        cursors.push(...cursorsOf(parts))
        if (parts.length > 0) {
          const batch = CutBatch.of(parts, stream.cut(parts))
          for (const { key } of batch.entries) keys.add(`${source} ${key}`)
        }
        stream.close()
      }
      const wanted = oracleOf(name).map((entry) => entry.__CURSOR)
      expect([...cursors].sort()).toEqual([...wanted].sort())
      expect(keys.size).toBe(wanted.length)
      expect(walks.size).toBe(0)
    },
  )

  it('has the records that the encoder makes, one line each', () => {
    const { walks } = walksOver(openFixture('compact').dir)
    const source = walks.sources()[0]!
    const stream = walks.open(specOf(source), oldest(walks, source))
    const parts = drain(stream)
    const batch = CutBatch.of(parts, stream.cut(parts))
    const lines = Buffer.from(batch.records).toString().split('\n')
    const wanted = oracleOf('compact')
    expect(lines.pop()).toBe('')
    expect(lines.map((line) => (JSON.parse(line) as OracleEntry).__CURSOR)).toEqual(
      wanted.map((entry) => entry.__CURSOR),
    )
    expect(batch.entries.map(({ record }) => Buffer.from(record).toString())).toEqual(lines)
    expect(batch.entries.map(({ realtime }) => String(realtime))).toEqual(
      wanted.map((entry) => entry.__REALTIME_TIMESTAMP),
    )
    expect(Math.max(...lines.map((line) => Buffer.byteLength(line)))).toBe(batch.largestBound)
    stream.close()
  })

  it('gives the fields that a sink asks for, in any encoding', () => {
    const wanted = oracleOf('regular')
    for (const encoding of ['json', 'msgpack', 'journal-export'] as const) {
      const { walks } = walksOver(openFixture('regular').dir)
      const source = walks.sources()[0]!
      const spec = specOf(source, { encoder: { ...RECORD, encoding }, fields: ['PRIORITY'] })
      const stream = walks.open(spec, oldest(walks, source))
      const parts = drain(stream)
      const batch = CutBatch.of(parts, stream.cut(parts))
      expect(batch.entries.map((entry) => entry.get('PRIORITY'))).toEqual(wanted.map((entry) => prioritiesOf(entry)[0]))
      expect(batch.entries[0]?.get('MESSAGE')).toBeUndefined()
      const sizes = batch.entries.map(({ record }) => record.length)
      expect(Math.min(...sizes)).toBeGreaterThan(50)
      expect(sizes.reduce((sum, size) => sum + size)).toBe(batch.bytes - (encoding === 'json' ? batch.length : 0))
      stream.close()
    }
  })

  it('makes no records for a sink that wants none', () => {
    const { walks } = walksOver(openFixture('regular').dir)
    const source = walks.sources()[0]!
    const stream = walks.open(specOf(source, { encoder: undefined, fields: undefined }), oldest(walks, source))
    const parts = drain(stream)
    const batch = CutBatch.of(parts, stream.cut(parts))
    expect([batch.length, batch.bytes]).toEqual([300, 0])
    expect(batch.entries[7]?.get('PRIORITY')).toBe(prioritiesOf(oracleOf('regular')[7]!)[0])
    expect([...batch.entries[7]!.fields()].some(([name]) => name.startsWith('__'))).toBe(false)
    stream.close()
  })

  it.each(['users', 'rotated', 'duplicate', 'overlap', 'multi-boot', 'clock-jump'])(
    'resumes at every position of the fixture %s without losing or repeating an entry',
    (name) => {
      const { walks } = walksOver(openFixture(name).dir)
      for (const source of walks.sources()) {
        const whole = walks.open(specOf(source, { encoder: undefined }), oldest(walks, source))
        const parts = drain(whole)
        const all = cursorsOf(parts)
        const cut = whole.cut(parts)
        whole.close()
        const step = Math.max(1, Math.floor(all.length / 20))
        for (let count = 1; count <= all.length; count += step) {
          const position = cut.at(count)
          const rest = walks.open(specOf(source, { encoder: undefined }), position)
          expect(rest.position).toBe(position)
          expect([...all.slice(0, count), ...cursorsOf(drain(rest))].sort()).toEqual([...all].sort())
          rest.close()
        }
        expect(walks.cursorOf(cut.at(all.length))).toBe(all.at(-1))
      }
    },
  )

  it('cuts batches whose positions follow each other, whatever their sizes', () => {
    const { walks } = walksOver(openFixture('users').dir)
    const source = walks.sources()[0]!
    const stream = walks.open(specOf(source, { encoder: undefined }), oldest(walks, source))
    let parts = drain(stream)
    const total = countEntries(parts)
    let before: Position = stream.position
    for (let size = 1; parts.length > 0; size = (size * 7) % 23) {
      const { head, tail } = splitParts(parts, Math.min(size, countEntries(parts)))
      const cut = stream.cut(head)
      expect(cut.before).toBe(before)
      expect(cut.at(countEntries(head))).toBe(tail.length === 0 ? cut.at(countEntries(head)) : cut.after)
      before = cut.after
      parts = tail
    }
    expect(total).toBe(246)
    stream.close()
  })

  it('moves over entries that the match leaves out', () => {
    const { walks } = walksOver(openFixture('regular').dir)
    const source = walks.sources()[0]!
    const wanted = oracleOf('regular')
    const end = wanted.at(-1)!.__CURSOR
    for (const values of [['3'], ['no such priority']]) {
      const spec = specOf(source, { match: [[{ field: 'PRIORITY', values }]] })
      const stream = walks.open(spec, oldest(walks, source))
      const parts = drain(stream)
      const kept = wanted.filter((entry) => prioritiesOf(entry).some((value) => values.includes(value)))
      expect(cursorsOf(parts)).toEqual(kept.map((entry) => entry.__CURSOR))
      const { after } = stream.cut(parts)
      expect(walks.cursorOf(after)).toBe(end)
      expect(walks.lag(source, after)?.entries).toBe(0)
      stream.close()
    }
  })

  it('knows how far a position is from the end', () => {
    const { walks } = walksOver(openFixture('rotated').dir)
    const source = walks.sources()[0]!
    const position = oldest(walks, source)
    expect(walks.lag(source, position)?.entries).toBe(1546)
    const stream = walks.open(specOf(source), position)
    const { head } = splitParts(drain(stream), 1000)
    expect(walks.lag(source, stream.cut(head).after)).toMatchObject({ entries: 546 })
    stream.close()
    expect(walks.lag(source, walks.startPosition(source, { kind: 'now' }))?.entries).toBe(0)
  })
})

describe('sharing', () => {
  it('encodes once for two sinks of equal settings, in whatever order they ask', () => {
    const { walks, metrics } = walksOver(openFixture('rotated').dir)
    const source = walks.sources()[0]!
    const start = oldest(walks, source)
    const [a, b] = [walks.open(specOf(source), start), walks.open(specOf(source), start)]
    const taken = { a: [] as string[], b: [] as string[] }
    for (let turn = 0; turn < 100; turn++) {
      const ahead = turn % 5 < 2 ? (['a', 'b'] as const) : (['b', 'a'] as const)
      for (const name of ahead) {
        const part = (name === 'a' ? a : b).next()
        if (part !== undefined) taken[name].push(...cursorsOf([part]))
      }
    }
    expect(taken.a).toHaveLength(1546)
    expect(taken.b).toEqual(taken.a)
    expect(readEntries(metrics)).toBe(1546)
    expect(walks.size).toBe(1)
    for (const stream of [a, b]) stream.close()
  })

  it('does not share between sinks of other settings', () => {
    const { walks, metrics } = walksOver(openFixture('regular').dir)
    const source = walks.sources()[0]!
    const specs = [
      specOf(source),
      specOf(source, { encoder: { ...RECORD, binary: 'array' } }),
      specOf(source, { match: [[{ field: 'PRIORITY', values: ['3'] }]] }),
      specOf(source, { fields: ['MESSAGE'] }),
    ]
    const streams = specs.map((spec) => walks.open(spec, oldest(walks, source)))
    for (const stream of streams) drain(stream)
    expect(readEntries(metrics)).toBe(1200)
    for (const stream of streams) stream.close()
  })

  it('lets a sink join inside a chunk, and also one with a later floor', () => {
    const { walks, metrics } = walksOver(openFixture('compact').dir)
    const source = walks.sources()[0]!
    const first = walks.open(specOf(source), oldest(walks, source))
    const other = walks.open(specOf(source), oldest(walks, source))
    const parts = drain(first)
    const positions = [
      first.cut(splitParts(parts, 120).head).after,
      walks.startPosition(source, { kind: 'last', entries: 40 }),
    ]
    const all = cursorsOf(parts)
    for (const [index, position] of positions.entries()) {
      const late = walks.open(specOf(source), position)
      expect(cursorsOf(drain(late))).toEqual(all.slice(index === 0 ? 120 : 260))
      late.close()
    }
    expect(readEntries(metrics)).toBe(300)
    for (const stream of [first, other]) stream.close()
  })

  it('gives a sink that fell behind a walk of its own, and lets it join at the end', () => {
    const fixture = openFixture('rotated')
    const { walks } = walksOver(fixture.dir, 200_000)
    const source = walks.sources()[0]!
    const [fast, slow] = [0, 1].map(() => walks.open(specOf(source), oldest(walks, source))) as [Stream, Stream]
    const want = { entries: 50, bytes: 1e6 }
    const firstOfSlow = slow.next(false, want)!
    const ahead = cursorsOf(drain(fast, false, want))
    expect(ahead).toHaveLength(1546)
    const rest = cursorsOf([firstOfSlow, slow.next(false, want)!])
    expect(walks.size).toBe(2)
    rest.push(...cursorsOf(drain(slow, false, want)))
    expect(rest).toEqual(ahead)
    expect(slow.next(true)).toBeUndefined()
    expect(walks.size).toBe(1)
    for (const stream of [fast, slow]) stream.close()
  })

  it('keeps to the memory budget and goes on when its chunks are released', () => {
    const { walks, set } = walksOver(openFixture('rotated').dir, 1_000_000)
    const source = walks.sources()[0]!
    const streams = Array.from({ length: 5 }, () => walks.open(specOf(source), oldest(walks, source)))
    const [leader, ...others] = streams as [Stream, ...Stream[]]
    const all = cursorsOf(drain(leader))
    set.memory.use({ release: () => undefined }, 900_000)
    for (const stream of others) expect(cursorsOf(drain(stream))).toEqual(all)
    expect(set.memory.used).toBeLessThan(2_000_000)
    for (const stream of streams) stream.close()
  })

  it('uses the memory of a chunk again when all who took it are done, and not before', () => {
    const { walks } = walksOver(openFixture('rotated').dir)
    const source = walks.sources()[0]!
    const [a, b] = [0, 1].map(() => walks.open(specOf(source), oldest(walks, source))) as [Stream, Stream]
    const want = { entries: 200, bytes: 1e6 }
    const taken: { part: Part; copy: Buffer }[] = []
    const buffers = new Set<ArrayBuffer>()
    for (let turn = 0; turn < 7; turn++) {
      const part = a.next(false, want)!
      expect(b.next(false, want)?.chunk).toBe(part.chunk)
      taken.push({ part, copy: Buffer.from(part.chunk.records) })
      buffers.add(part.chunk.records.buffer)
    }
    for (const { part } of taken) part.chunk.done?.(part.to - part.from)
    walks.open(specOf(source), oldest(walks, source)).close()
    // One taker and the ring still want them.
    for (const { part, copy } of taken) expect(copy.equals(part.chunk.records)).toBe(true)
    expect(buffers.size).toBe(7)
    for (const stream of [a, b]) stream.close()

    const alone = walks.open(specOf(source), oldest(walks, source))
    const memories = new Set<ArrayBuffer>()
    for (let part = alone.next(false, want); part !== undefined; part = alone.next(false, want)) {
      memories.add(part.chunk.records.buffer)
      part.chunk.done?.(part.to - part.from)
    }
    expect(memories.size).toBeLessThan(4)
    alone.close()
  })

  it('lets files go while a sink rests and goes on where it was', () => {
    const { walks } = walksOver(openFixture('rotated').dir)
    const source = walks.sources()[0]!
    const stream = walks.open(specOf(source), oldest(walks, source))
    const parts = [stream.next()!]
    stream.rest()
    expect(walks.size).toBe(0)
    parts.push(...drain(stream))
    expect(cursorsOf(parts)).toHaveLength(1546)
    stream.seek(stream.cut(splitParts(parts, 1000).head).after)
    expect(cursorsOf(drain(stream))).toEqual(cursorsOf(parts).slice(1000))
    stream.close()
  })
})

describe('a journal that grows', () => {
  /** Writes the header as if only so many entries were there yet (n_entries, the state). */
  function show(path: string, entries: number, tailSeqnum: number): void {
    const file = openSync(path, 'r+')
    const number = Buffer.alloc(8)
    number.writeBigUInt64LE(BigInt(tailSeqnum))
    writeSync(file, number, 0, 8, 160)
    number.writeBigUInt64LE(BigInt(entries))
    writeSync(file, number, 0, 8, 152)
    writeSync(file, Buffer.of(1), 0, 1, 16)
  }

  it('is followed, and two sinks at its end share what comes', async () => {
    const fixture = openFixture('regular')
    const dir = tempDir()
    const path = join(dir, 'system.journal')
    copyFileSync(join(fixture.dir, readdirSync(fixture.dir)[0]!), path)
    const header = readFileSync(path).subarray(0, 272)
    const head = Number(header.readBigUInt64LE(168))
    show(path, 100, head + 99)
    const { walks, metrics } = walksOver(dir)
    const source = walks.sources()[0]!
    const oldestPosition = oldest(walks, source)
    const now = walks.startPosition(source, { kind: 'now' })
    const [a, b] = [walks.open(specOf(source), oldestPosition), walks.open(specOf(source), now)]
    expect(cursorsOf(drain(a))).toHaveLength(100)
    expect(b.next()).toBeUndefined()
    const woken = a.wait(5000, new AbortController().signal)
    show(path, 180, head + 179)
    await woken
    const [fromA, fromB] = [drain(a, true), drain(b, true)]
    expect(cursorsOf(fromA)).toHaveLength(80)
    expect(cursorsOf(fromB)).toEqual(cursorsOf(fromA))
    expect(fromA.at(-1)?.chunk.closed).toBe(false)
    expect(readEntries(metrics)).toBe(180)
    show(path, 300, head + 299)
    expect(cursorsOf(drain(b, true))).toEqual(cursorsOf(drain(a, true)))
    expect(readEntries(metrics)).toBe(300)
    const wanted = oracleOf('regular').at(-1)!.__CURSOR
    expect(walks.cursorOf(a.cut(fromA).after)).not.toBe(wanted)
    for (const stream of [a, b]) stream.close()
  })
})

describe('advance', () => {
  it('moves a position over entries known by their cursors, but not into lines of one write', () => {
    const { walks } = walksOver(openFixture('rotated').dir)
    const source = walks.sources()[0]!
    const stream = walks.open(specOf(source, { encoder: undefined }), oldest(walks, source))
    const start = stream.position
    const parts = drain(stream)
    const all = cursorsOf(parts)
    const cut = stream.cut(parts)
    const stamps = all.map((cursor) => cursor.replace(/;i=[^;]*/, '').replace(/;x=.*/, ''))
    for (const given of [1, 2, 500, 1546]) {
      const { position, entries } = walks.advance(start, all.slice(0, given))
      // The last stamp may go on behind the last cursor.
      const wanted = stamps.slice(0, given).findLastIndex((stamp) => stamp !== stamps[given - 1]) + 1
      expect(entries).toBe(wanted)
      if (entries > 0) expect(position).toBe(cut.at(entries))
    }
    expect(() => walks.advance(start, ['s=1'])).toThrow(/cursor/)
    expect(walks.advance(start, [])).toEqual({ position: start, entries: 0 })
    stream.close()
  })
})

describe('compare', () => {
  it('knows which of two positions is older', () => {
    const { walks } = walksOver(openFixture('users').dir)
    const source = walks.sources()[0]!
    const stream = walks.open(specOf(source, { encoder: undefined }), oldest(walks, source))
    const cut = stream.cut(drain(stream))
    expect(walks.compare(cut.at(10), cut.at(20))).toBe(-1)
    expect(walks.compare(cut.at(20), cut.at(10))).toBe(1)
    expect(walks.compare(cut.at(20), cut.at(20))).toBe(0)
    const state = PositionState.parse(cut.at(200))
    const [first, second] = [...state.ids.keys()]
    const [a, b] = [state.clone(), state.clone()]
    a.ids.get(first!)!.seqnum += 1000
    b.ids.get(second!)!.seqnum += 1000
    expect(walks.compare(a.toString(), b.toString())).toBeUndefined()
    stream.close()
  })
})
