// What happens to the files while somebody reads them: growth, rotation, flush, vacuum, a power cut.
import { mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { parseCursor } from '../../src/journal/cursor.ts'
import type { JournalSet } from '../../src/journal/directory.ts'
import { JournalFile } from '../../src/journal/file/file.ts'
import { PositionState } from '../../src/journal/position.ts'
import { JournalReader } from '../../src/journal/reader.ts'
import { tempDir } from '../support/tempDir.ts'
import { ARCHIVED, forge, type Stamp, setState, setTail, show } from './forge.ts'
import { keyOf, openSet, rest, restKeys } from './reading.ts'

function stamps(from: number, to: number, every = 1): Stamp[] {
  const list: Stamp[] = []
  for (let n = from; n <= to; n += every) list.push({ seqnum: n, monotonic: n * 10 })
  return list
}

function seqnums(cursors: readonly string[]): number[] {
  return cursors.map((cursor) => parseCursor(cursor).seqnum!)
}

function reader(set: JournalSet, position?: PositionState): JournalReader {
  const made = new JournalReader(set)
  if (position === undefined) made.seekHead()
  else made.seekPosition(PositionState.parse(position.toString()))
  return made
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

afterEach(() => vi.restoreAllMocks())

describe('growth and rotation', () => {
  it('are taken up at refresh', () => {
    const dir = tempDir()
    const active = forge(join(dir, 'system.journal'), stamps(1, 50), { visible: 10 })
    const set = openSet(dir)
    const one = reader(set)
    expect(seqnums(rest(one))).toEqual(range(1, 10))
    expect(one.refresh()).toBe(false)
    show(active, 30)
    expect(one.next()).toBeUndefined()
    expect(one.refresh()).toBe(true)
    expect(seqnums(rest(one))).toEqual(range(11, 30))
    // The writer goes on in the old file until the moment of the rotation.
    show(active, 50)
    renameSync(active, join(dir, 'system@a-1.journal'))
    setState(join(dir, 'system@a-1.journal'), ARCHIVED)
    const next = forge(join(dir, 'system.journal'), stamps(51, 80), { visible: 5 })
    expect(one.refresh()).toBe(true)
    expect(seqnums(rest(one))).toEqual(range(31, 55))
    show(next, 30)
    one.refresh()
    expect(seqnums(rest(one))).toEqual(range(56, 80))
    expect(one.seqnumGap).toBe(0)
    one.close()
    set.close()
  })

  it('of an empty file, as one stands there right after a rotation', () => {
    const dir = tempDir()
    forge(join(dir, 'system@a-1.journal'), stamps(1, 5), { state: ARCHIVED })
    const active = forge(join(dir, 'system.journal'), stamps(6, 9), { visible: 0 })
    const set = openSet(dir)
    const one = reader(set)
    expect(seqnums(rest(one))).toEqual(range(1, 5))
    show(active, 4)
    one.refresh()
    expect(seqnums(rest(one))).toEqual(range(6, 9))
    one.close()
    set.close()
  })

  it('go on in a file whose name was removed', () => {
    const dir = tempDir()
    const active = forge(join(dir, 'system.journal'), stamps(1, 50), { visible: 10 })
    const set = openSet(dir)
    const one = reader(set)
    rest(one)
    show(active, 20)
    rmSync(active)
    forge(join(dir, 'system.journal'), stamps(21, 30))
    one.refresh()
    expect(seqnums(rest(one))).toEqual(range(11, 30))
    one.close()
    set.close()
  })

  it('leave a reader that never reached a vacuumed file with a gap, and no damage', () => {
    const dir = tempDir()
    const old = forge(join(dir, 'system@a-1.journal'), stamps(1, 40), { state: ARCHIVED })
    const middle = forge(join(dir, 'system@a-2.journal'), stamps(41, 60), { state: ARCHIVED })
    forge(join(dir, 'system.journal'), stamps(61, 80))
    const set = openSet(dir)
    const one = reader(set)
    const first = [one.next()?.seqnum, one.next()?.seqnum]
    expect(first).toEqual([1, 2])
    rmSync(middle)
    expect(seqnums(rest(one))).toEqual([...range(3, 40), ...range(61, 80)])
    one.refresh()
    rest(one)
    expect(one.seqnumGap).toBe(20)
    // The file that is being read goes as well: journald punches a hole into it.
    const two = reader(set)
    const file = two.next()
    expect(file?.seqnum).toBe(1)
    rmSync(old)
    one.close()
    two.close()
    set.close()
  })

  it('count what was vacuumed while nobody read, but not what was gone at the first start', () => {
    const dir = tempDir()
    const old = forge(join(dir, 'system@a-1.journal'), stamps(11, 40), { state: ARCHIVED })
    forge(join(dir, 'system.journal'), stamps(41, 60))
    const set = openSet(dir)
    const first = reader(set)
    for (let n = 11; n <= 20; n++) expect(first.next()?.seqnum).toBe(n)
    const position = first.position()
    rest(first)
    expect(first.seqnumGap).toBe(0)
    first.close()
    set.close()
    rmSync(old)
    const later = openSet(dir)
    const second = reader(later, position)
    expect(seqnums(rest(second))).toEqual(range(41, 60))
    expect(second.seqnumGap).toBe(20)
    second.close()
    later.close()
  })
})

describe('ids that share a counter', () => {
  it('fill the holes of each other', () => {
    const dir = tempDir()
    const all = stamps(1, 60)
    forge(
      join(dir, 'system.journal'),
      all.filter(({ seqnum }) => seqnum % 3 !== 0),
      { id: '1' },
    )
    forge(
      join(dir, 'user-1.journal'),
      all.filter(({ seqnum }) => seqnum % 3 === 0 && seqnum !== 30),
      { id: '2' },
    )
    const set = openSet(dir)
    const one = reader(set)
    expect(seqnums(rest(one))).toEqual(range(1, 60).filter((n) => n !== 30))
    expect(one.seqnumGap).toBe(1)
    const position = one.position()
    const again = reader(set, position)
    expect(rest(again)).toEqual([])
    expect(again.seqnumGap).toBe(0)
    one.close()
    again.close()
    set.close()
  })
})

describe('several growing files', () => {
  // The writer is one thread: it appends an entry to one file, the next to another. A reader's looks fall in between.
  const owners = fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 20, maxLength: 100 })
  const pace = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 400, maxLength: 400 })

  function readWhileWriting(ids: readonly string[], order: readonly number[], steps: readonly number[]): number[] {
    const dir = tempDir()
    const paths = ['system.journal', 'user-1.journal', 'user-2.journal'].map((name) => join(dir, name))
    for (const [k, path] of paths.entries()) {
      const own = order.flatMap((owner, i) => (owner === k ? [{ seqnum: i + 1, monotonic: 10 * i + 10 }] : []))
      forge(path, own, { visible: 0, id: ids[k]! })
    }
    const counts = [0, 0, 0]
    let written = 0
    let at = 0
    const write = () => {
      for (let n = steps[at++ % steps.length]!; n > 0 && written < order.length; n--) {
        const owner = order[written++]!
        show(paths[owner]!, ++counts[owner]!)
      }
    }
    const set = openSet(dir)
    const { refresh } = JournalFile.prototype
    vi.spyOn(JournalFile.prototype, 'refresh').mockImplementation(function (this: JournalFile) {
      write()
      return refresh.call(this)
    })
    let one = reader(set)
    const got: number[] = []
    for (let rounds = 0; got.length < order.length; rounds++) {
      expect(rounds).toBeLessThan(400)
      write()
      got.push(...seqnums(rest(one)))
      if (rounds % 5 === 4) {
        const position = one.position()
        one.close()
        one = reader(set, position)
      } else one.refresh()
    }
    expect(one.seqnumGap).toBe(0)
    vi.restoreAllMocks()
    one.close()
    set.close()
    return got
  }

  it('of one id are read without passing over an entry, wherever the looks fall', () => {
    fc.assert(
      fc.property(owners, pace, (order, steps) => {
        expect(readWhileWriting(['a', 'a', 'a'], order, steps)).toEqual(range(1, order.length))
      }),
      { numRuns: 20 },
    )
  })

  it('of an id each lose nothing and show no gap', () => {
    fc.assert(
      fc.property(owners, pace, (order, steps) => {
        const got = readWhileWriting(['a', 'b', 'c'], order, steps)
        expect(got.sort((a, b) => a - b)).toEqual(range(1, order.length))
      }),
      { numRuns: 20 },
    )
  })

  it('give the last entry of a header that was not finished when the writer died', () => {
    const dir = tempDir()
    forge(join(dir, 'system.journal'), stamps(1, 20), { visible: 19 })
    const user = forge(join(dir, 'user-1.journal'), stamps(21, 22))
    // The count says two entries, the last seqnum is still that of the first.
    setTail(user, 21)
    const set = openSet(dir)
    const one = reader(set)
    const got = seqnums(rest(one))
    expect(got).toEqual([...range(1, 19), 21])
    expect(one.refresh()).toBe(true)
    expect(seqnums(rest(one))).toEqual([22])
    one.close()
    set.close()
  })
})

describe('a flush', () => {
  /** Lines of one write have one stamp; some are equal. */
  const lines = fc.array(fc.record({ step: fc.constantFrom(0, 0, 0, 5), xor: fc.integer({ min: 1, max: 3 }) }), {
    minLength: 5,
    maxLength: 60,
  })
  const scenario = fc.record({
    before: lines,
    after: lines,
    /** Percent of the old entries that rotation has put into an archive. */
    archived: fc.nat(100),
    /** Entries read before the flush, and after it until a restart. */
    cut: fc.nat(59),
    secondCut: fc.nat(59),
    /** Of the old files; a flush removes them one after another. */
    removed: fc.constantFrom('nothing', 'archive', 'all'),
    restart: fc.boolean(),
    /** An earlier boot left a file in /var, whose id the flush goes on with. */
    hasEarlier: fc.boolean(),
    /** Positions are made by PositionState.take instead of the reader. */
    byTake: fc.boolean(),
  })

  function toStamps(list: readonly { step: number; xor: number }[], from: number): Stamp[] {
    let monotonic = 1000
    return list.map(({ step, xor }, i) => {
      monotonic += step
      return { seqnum: from + i, monotonic, xor }
    })
  }

  it('repeats and loses nothing, wherever reading stood, with and without the old files, in the same reader or a new one', () => {
    fc.assert(
      fc.property(scenario, ({ before, after, archived, cut, secondCut, removed, restart, hasEarlier, byTake }) => {
        const root = tempDir()
        const dirs = { run: join(root, '0'.repeat(32)), var: join(root, 'a'.repeat(32)) }
        for (const dir of Object.values(dirs)) mkdirSync(dir)
        const old = toStamps(before, 1)
        let half = Math.floor((old.length * archived) / 100)
        // With the first lines of a write gone, nothing can tell the numbers of the others.
        while (removed === 'archive' && old[half]?.monotonic === old[half - 1]?.monotonic && half > 0) half--
        forge(join(dirs.run, 'system@r-1.journal'), old.slice(0, half), { id: 'b', state: ARCHIVED })
        forge(join(dirs.run, 'system.journal'), old.slice(half), { id: 'b' })
        const earlier = hasEarlier ? [{ seqnum: 1000, monotonic: 5, realtime: 1e14 }] : []
        if (hasEarlier) forge(join(dirs.var, 'system@v-0.journal'), earlier, { id: 'c', state: ARCHIVED })

        const set = openSet(root)
        const taken = PositionState.empty({ realtime: 0 })
        let one = reader(set)
        const got: string[] = []
        const read = (count: number) => {
          for (let left = count; left > 0; left--) {
            const file = one.next()
            if (file === undefined) return
            got.push(keyOf(file, one.ordinal))
            taken.take(file)
          }
        }
        const begin = () => {
          const position = byTake ? taken : one.position()
          one.close()
          one = reader(set, position)
        }
        read(cut)
        const added = after.map((line, i) => (i === 0 ? { ...line, step: 7 } : line))
        const copies = toStamps([...before, ...added], (hasEarlier ? 1000 : 0) + 1)
        forge(join(dirs.var, 'system@v-1.journal'), copies.slice(0, 20), { id: 'c', state: ARCHIVED })
        forge(join(dirs.var, 'system.journal'), copies.slice(20), { id: 'c' })
        if (removed === 'archive') rmSync(join(dirs.run, 'system@r-1.journal'))
        if (removed === 'all') rmSync(dirs.run, { recursive: true })
        if (restart) begin()
        else one.refresh()
        read(secondCut)
        begin()
        read(Number.POSITIVE_INFINITY)
        one.refresh()
        read(Number.POSITIVE_INFINITY)
        begin()
        expect(rest(one)).toEqual([])
        one.close()
        expect(got.length).toBe(copies.length + earlier.length)
        expect(new Set(got).size).toBe(got.length)
        set.close()
        rmSync(root, { recursive: true })
      }),
      { numRuns: 60 },
    )
  })
})

describe('an id that comes late', () => {
  it('is read from its own beginning, however old its entries are', () => {
    const dir = tempDir()
    forge(
      join(dir, 'system.journal'),
      stamps(1, 60).filter(({ seqnum }) => seqnum % 4 !== 0),
      { id: '1' },
    )
    const set = openSet(dir)
    const one = reader(set)
    expect(rest(one)).toHaveLength(45)
    forge(join(dir, 'user-1.journal'), stamps(4, 60, 4), { id: '2' })
    one.refresh()
    expect(seqnums(rest(one))).toEqual(range(1, 60).filter((n) => n % 4 === 0))
    one.close()
    set.close()
  })

  it('is read from the floor of a sink that began later', () => {
    const dir = tempDir()
    forge(join(dir, 'system.journal'), stamps(1, 30), { id: '1' })
    const set = openSet(dir)
    const one = reader(set)
    const position = one.startPosition({ kind: 'now' })
    // The first entries were written before the sink began.
    forge(join(dir, 'user-1.journal'), stamps(21, 40), { id: '2' })
    const two = reader(set, position)
    expect(seqnums(rest(two))).toEqual(range(31, 40))
    one.close()
    two.close()
    set.close()
  })

  it('is forgotten by a position once nothing on disk is as old', () => {
    const dir = tempDir()
    const gone = forge(join(dir, 'user-1.journal'), stamps(1, 5), { id: '1' })
    forge(join(dir, 'system@s-1.journal'), stamps(3, 9), { id: '2', state: ARCHIVED })
    forge(join(dir, 'system.journal'), stamps(10, 20), { id: '2' })
    const set = openSet(dir)
    const one = reader(set)
    rest(one)
    const position = one.position()
    expect(one.prune(position)).toBe(false)
    rmSync(gone)
    one.refresh()
    expect(one.prune(position)).toBe(false)
    rmSync(join(dir, 'system@s-1.journal'))
    one.refresh()
    expect(one.prune(position)).toBe(true)
    expect([...position.ids.keys()]).toEqual(['2'.repeat(32)])
    one.close()
    set.close()
  })
})

describe('seqnums', () => {
  it('that were given to two entries of an id give both, and resume between them', () => {
    const dir = tempDir()
    forge(join(dir, 'system@1.journal~'), stamps(1, 20))
    forge(
      join(dir, 'system.journal'),
      stamps(16, 30).map((stamp) => ({ ...stamp, monotonic: stamp.monotonic + 3, xor: 1 })),
    )
    const set = openSet(dir)
    const one = reader(set)
    const all = rest(one)
    expect(seqnums(all)).toEqual([...range(1, 15), ...range(16, 20).flatMap((n) => [n, n]), ...range(21, 30)])
    one.seekHead()
    for (let k = 0; k < all.length; k++) {
      one.next()
      const two = reader(set, one.position())
      expect(rest(two)).toEqual(all.slice(k + 1))
      two.close()
    }
    one.close()
    set.close()
  })

  it('that are given out again after a power cut took the end of the journal hide no new entry', () => {
    const dir = tempDir()
    const active = forge(join(dir, 'system.journal'), stamps(1, 50))
    let set = openSet(dir)
    let one = reader(set)
    rest(one)
    const position = one.position()
    one.close()
    set.close()
    // 31 to 50 never reached the disk; the next boot counts on from 30. Its clock is behind, as without a battery.
    show(active, 30)
    renameSync(active, join(dir, 'system@1.journal~'))
    const boot = { boot: 'b'.repeat(32) }
    forge(
      join(dir, 'system.journal'),
      stamps(31, 60).map((stamp) => ({ ...stamp, realtime: 9e14 + stamp.seqnum, ...boot })),
      { visible: 10 },
    )
    set = openSet(dir)
    one = reader(set, position)
    expect(one.position().toString()).toBe(position.toString())
    const got = seqnums(rest(one))
    expect(got).toEqual(range(31, 40))
    const again = reader(set, one.position())
    expect(rest(again)).toEqual([])
    show(join(dir, 'system.journal'), 30)
    again.refresh()
    one.refresh()
    expect(seqnums(rest(again))).toEqual(range(41, 60))
    expect(seqnums(rest(one))).toEqual(range(41, 60))
    again.close()
    one.close()
    set.close()
  })

  it('that vanish for a moment from the listing are not read again', () => {
    const dir = tempDir()
    forge(join(dir, 'system@1.journal'), stamps(1, 30), { state: ARCHIVED })
    const active = forge(join(dir, 'system.journal'), stamps(31, 60))
    let set = openSet(dir)
    let one = reader(set)
    rest(one)
    const position = one.position()
    one.close()
    set.close()
    renameSync(active, join(dir, 'elsewhere'))
    set = openSet(dir)
    one = reader(set, position)
    expect(rest(one)).toEqual([])
    renameSync(join(dir, 'elsewhere'), active)
    one.refresh()
    expect(rest(one)).toEqual([])
    one.close()
    set.close()
  })
})

describe('lines of one write', () => {
  it('are numbered over files and cuts, and found again after a flush', () => {
    const dir = tempDir()
    const lines = Array.from({ length: 200 }, (_, i) => ({ seqnum: i + 1, monotonic: 5000, xor: 7 + (i % 2) }))
    forge(join(dir, 'system@1.journal'), lines.slice(0, 70), { state: ARCHIVED })
    forge(join(dir, 'system.journal'), lines.slice(70))
    const set = openSet(dir)
    const one = reader(set)
    const keys = restKeys(one)
    expect(new Set(keys).size).toBe(200)
    one.seekHead()
    for (let k = 0; k < 200; k++) {
      one.next()
      expect(one.ordinal).toBe(Math.floor(k / 2))
      if (k % 17 !== 0) continue
      const two = reader(set, one.position())
      expect(restKeys(two)).toEqual(keys.slice(k + 1))
      two.close()
    }
    one.close()
    set.close()
  })
})
