import {
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { isProblem, type Problem, type ProblemCode } from '../../src/errors.ts'
import { type JournalPlace, JournalSet, type KnownFile } from '../../src/journal/directory.ts'
import { MemoryBudget } from '../../src/journal/memory.ts'
import { JournalReader } from '../../src/journal/reader.ts'
import { openFixture } from '../support/fixtures.ts'
import { tempDir } from '../support/tempDir.ts'
import { ARCHIVED, forge, setState, show } from './forge.ts'
import { openSet, rest } from './reading.ts'

const MACHINE = '0123456789abcdef0123456789abcdef'

function open(place: JournalPlace): JournalSet {
  return JournalSet.open(place, new MemoryBudget(16 << 20))
}

function codeOf(place: JournalPlace): ProblemCode | undefined {
  try {
    open(place).close()
  } catch (error) {
    if (isProblem(error)) return error.code
    throw error
  }
  return undefined
}

function names(set: JournalSet): string[] {
  return Array.from(set.files, (file) => file.path.split('/').slice(-2).join('/')).sort()
}

function stamps(count: number) {
  return Array.from({ length: count }, (_, i) => ({ seqnum: i + 1, monotonic: i + 1 }))
}

/** A directory tree with a journal at each of these paths. */
function tree(paths: readonly string[]): string {
  const root = tempDir()
  for (const path of paths) {
    mkdirSync(join(root, path, '..'), { recursive: true })
    forge(join(root, path), stamps(2), { id: 'b', machine: 'c' })
  }
  return root
}

const within = (ms: number) => AbortSignal.timeout(ms)

describe('where journals are', () => {
  const paths = [
    'flat.journal',
    `${MACHINE}/system.journal`,
    `${MACHINE}/old@1.journal~`,
    `${MACHINE}.web/system.journal`,
    'remote/a.journal',
    `${MACHINE}/x/y.journal`,
  ]

  it('is in sub-directories named by an id, and in the directory itself', () => {
    const set = open({
      directories: [tree([...paths, `${MACHINE}/notes.txt`, `${MACHINE}/a.journal.zst`])],
      machineId: 'any',
    })
    expect(names(set).map((name) => name.split('/').at(-1))).toEqual([
      'old@1.journal~',
      'system.journal',
      'flat.journal',
    ])
    set.close()
  })

  it('is in namespaces only when they are asked for, and their sources carry the name', () => {
    const root = tree(paths)
    for (const namespaces of [['web'], ['*'], ['other', 'web']]) {
      const set = open({ directories: [root], machineId: 'any', namespaces })
      expect(set.sources()).toEqual(['c'.repeat(32), `${'c'.repeat(32)}.web`])
      set.close()
    }
    const set = open({ directories: [root], machineId: 'any', namespaces: ['other'] })
    expect(set.sources()).toEqual(['c'.repeat(32)])
    set.close()
  })

  it('is by default under the id of this machine', () => {
    const own = readFileSync('/etc/machine-id', 'utf8').trim()
    const set = open({ directories: [tree([`${own}/system.journal`, `${MACHINE}/system.journal`, 'flat.journal'])] })
    expect(names(set).some((name) => name.startsWith(own))).toBe(true)
    expect(names(set)).toHaveLength(2)
    set.close()
  })

  it('may be files, through symbolic links, each once however many names it has', () => {
    const root = tree(['one.journal'])
    symlinkSync(join(root, 'one.journal'), join(root, 'two.journal'))
    linkSync(join(root, 'one.journal'), join(root, 'three.journal'))
    symlinkSync(join(root, 'nowhere'), join(root, 'four.journal'))
    for (const place of [
      { directories: [root] },
      { files: ['one', 'two', 'three'].map((name) => join(root, `${name}.journal`)) },
    ]) {
      const set = open({ ...place, machineId: 'any' })
      expect(names(set)).toHaveLength(1)
      set.close()
    }
  })

  it('is in the retained directory for what has lost its own name', () => {
    const root = tree([`${MACHINE}/system@1.journal`, `${MACHINE}/system.journal`])
    const retained = join(root, 'kept')
    mkdirSync(retained)
    linkSync(join(root, MACHINE, 'system@1.journal'), join(retained, 'first.journal'))
    const set = openSet(root, [retained])
    expect(names(set)).toHaveLength(2)
    const known = Array.from(set.files).find((file) => file.path.includes('@'))
    rmSync(join(root, MACHINE, 'system@1.journal'))
    expect(set.rescan()).toBe(false)
    expect(known?.path).toBe(join(retained, 'first.journal'))
    rmSync(join(retained, 'first.journal'))
    expect(set.rescan()).toBe(true)
    expect(known?.gone).toBe(true)
    set.close()
  })
})

describe('problems', () => {
  it('say what is missing when nothing can be read', () => {
    const root = tempDir()
    expect(codeOf({ directories: [join(root, 'none'), join(root, 'either')] })).toBe('LF_JOURNAL_NO_DIRECTORY')
    expect(codeOf({ directories: [root] })).toBe('LF_JOURNAL_EMPTY')
    expect(codeOf({ directories: [tree([`${MACHINE}/system.journal`])] })).toBe('LF_JOURNAL_EMPTY')
    expect(codeOf({ files: [join(root, 'none.journal')] })).toBe('LF_JOURNAL_IO')
    expect(codeOf({ files: [root] })).toBe('LF_JOURNAL_NOT_A_JOURNAL')
    writeFileSync(join(root, 'text.journal'), 'hello')
    expect(codeOf({ files: [join(root, 'text.journal')] })).toBe('LF_JOURNAL_NOT_A_JOURNAL')
    expect(codeOf({ directories: [root], machineId: 'any' })).toBe('LF_JOURNAL_NOT_A_JOURNAL')
  })

  it('stand beside what can be read, each once', () => {
    const set = openSet(openFixture('empty').dir)
    expect(set.problems.map((one) => one.code)).toEqual(Array(3).fill('LF_JOURNAL_NOT_A_JOURNAL'))
    const before = set.problems
    set.rescan()
    expect(set.problems.every((one, i) => one === before[i])).toBe(true)
    expect(names(set)).toHaveLength(2)
    set.close()
    const flagged = openSet(openFixture('unknown-flag').dir)
    expect(flagged.problems.map((one) => one.code)).toEqual(['LF_JOURNAL_UNKNOWN_FLAG'])
    flagged.close()
  })

  it('end when the file becomes readable or goes away', async () => {
    const dir = tempDir()
    forge(join(dir, 'good.journal'), stamps(1))
    writeFileSync(join(dir, 'bad.journal'), '')
    writeFileSync(join(dir, 'worse.journal'), 'x')
    const set = openSet(dir)
    expect(set.problems).toHaveLength(2)
    rmSync(join(dir, 'worse.journal'))
    forge(join(dir, 'bad.journal'), stamps(1), { id: 'd' })
    expect(set.rescan()).toBe(true)
    expect(set.problems).toHaveLength(0)
    expect(names(set)).toHaveLength(2)
    set.close()
  })

  it('are not made of a file that is just being created', () => {
    const dir = tempDir()
    forge(join(dir, 'good.journal'), stamps(1))
    const set = openSet(dir)
    writeFileSync(join(dir, 'system.journal'), '')
    expect(set.rescan()).toBe(false)
    expect(set.problems).toHaveLength(0)
    // No directory changes when the header is written into it.
    forge(join(dir, 'system.journal'), stamps(1), { id: 'd' })
    expect(set.rescan()).toBe(true)
    set.close()
  })

  it('name what may not be read and the group to join', () => {
    const root = tree([`${MACHINE}/system.journal`, `${MACHINE}/user-1.journal`])
    chmodSync(root, 0o755)
    const asOther = (body: () => void) => {
      const isRoot = process.geteuid?.() === 0
      if (isRoot) process.seteuid?.(65534)
      try {
        body()
      } finally {
        if (isRoot) process.seteuid?.(0)
      }
    }
    const place = { directories: [root], machineId: 'any' } as const
    for (const [path, mode] of [
      [MACHINE, 0],
      [`${MACHINE}/user-1.journal`, 0],
      [`${MACHINE}/system.journal`, 0],
    ] as const) {
      chmodSync(join(root, path), mode)
    }
    asOther(() => expect(codeOf(place)).toBe('LF_JOURNAL_NO_ACCESS'))
    chmodSync(join(root, MACHINE), 0o755)
    asOther(() => {
      expect(() => open(place)).toThrow(/cannot read .*permission denied/)
      try {
        open(place)
      } catch (error) {
        expect((error as Problem).hint).toContain('systemd-journal')
      }
    })
    chmodSync(join(root, MACHINE, 'system.journal'), 0o644)
    asOther(() => {
      const set = open(place)
      expect(set.problems.map((one) => one.message)).toEqual([
        `cannot read ${join(root, MACHINE, 'user-1.journal')}: permission denied`,
      ])
      set.close()
    })
  })
})

describe('rescanning', () => {
  it('knows a file through rotation, and notices what came and went', () => {
    const dir = tempDir()
    forge(join(dir, 'system.journal'), stamps(3))
    const set = openSet(dir)
    const [known] = set.files as Iterable<KnownFile>
    expect(known?.live).toBe(true)
    expect(set.rescan()).toBe(false)
    renameSync(join(dir, 'system.journal'), join(dir, 'system@1.journal'))
    forge(join(dir, 'system.journal'), stamps(3), { id: 'd' })
    expect(set.rescan()).toBe(true)
    expect(known?.path).toBe(join(dir, 'system@1.journal'))
    expect(known?.live).toBe(false)
    expect(Array.from(set.files)).toHaveLength(2)
    // The writer marks it a moment later.
    setState(join(dir, 'system@1.journal'), ARCHIVED)
    set.readHeaders()
    expect(known?.header.state).toBe(ARCHIVED)
    rmSync(join(dir, 'system@1.journal'))
    expect(set.rescan()).toBe(true)
    expect(known?.gone).toBe(true)
    set.close()
  })

  it('sees a change right after the last look, within one tick of the file system', () => {
    const dir = tempDir()
    forge(join(dir, 'a.journal'), stamps(1))
    const set = openSet(dir)
    for (let i = 0; i < 30; i++) {
      forge(join(dir, `b${i}.journal`), stamps(1), { id: 'd' })
      expect(set.rescan()).toBe(true)
    }
    set.close()
  })

  it('sees directories that come later', () => {
    const root = tree([`${MACHINE}/system.journal`])
    const late = join(tempDir(), 'late')
    const set = open({ directories: [root, late], machineId: 'any' })
    mkdirSync(join(late, MACHINE), { recursive: true })
    forge(join(late, MACHINE, 'system.journal'), stamps(1), { id: 'd' })
    expect(set.rescan()).toBe(true)
    rmSync(late, { recursive: true })
    expect(set.rescan()).toBe(true)
    expect(Array.from(set.files)).toHaveLength(1)
    set.close()
  })

  it('takes another file in the place of a removed one for a new one', () => {
    const dir = tempDir()
    forge(join(dir, 'system.journal'), stamps(3))
    const set = openSet(dir)
    const [before] = set.files as Iterable<KnownFile>
    rmSync(join(dir, 'system.journal'))
    forge(join(dir, 'system.journal'), stamps(3), { id: 'd' })
    set.rescan()
    const [after] = set.files as Iterable<KnownFile>
    expect(before?.gone).toBe(true)
    expect(after?.seqnumId).toBe('d'.repeat(32))
    set.close()
  })
})

describe('waiting for a change', () => {
  it('ends at growth, new files, a deadline, an abort and close', async () => {
    const dir = tempDir()
    const path = forge(join(dir, 'system.journal'), stamps(100), { visible: 1 })
    const set = openSet(dir)
    expect(await set.changed(30, within(5000))).toBe(false)
    const growth = set.changed(5000, within(6000))
    await sleep(30)
    show(path, 2)
    expect(await growth).toBe(true)
    const arrival = set.changed(5000, within(6000))
    await sleep(30)
    forge(join(dir, 'other.journal'), stamps(1), { id: 'd' })
    expect(await arrival).toBe(true)
    const abort = new AbortController()
    const aborted = set.changed(5000, abort.signal)
    abort.abort()
    expect(await aborted).toBe(false)
    expect(await set.changed(5000, abort.signal)).toBe(false)
    const pending = set.changed(5000, within(6000))
    set.close()
    expect(await pending).toBe(false)
  })

  it('misses nothing that another reader saw first', async () => {
    const dir = tempDir()
    const path = forge(join(dir, 'system.journal'), stamps(100), { visible: 1 })
    const set = openSet(dir)
    const [one, two] = [new JournalReader(set), new JournalReader(set)]
    for (const reader of [one, two]) {
      reader.seekHead()
      rest(reader)
      reader.refresh()
    }
    show(path, 5)
    expect(one.refresh()).toBe(true)
    expect(await two.changed(5000, within(6000))).toBe(true)
    expect(two.refresh()).toBe(true)
    expect(rest(two)).toHaveLength(4)
    expect(await two.changed(30, within(6000))).toBe(false)
    one.close()
    two.close()
    set.close()
  })

  it('notices growth within a few dozen ms while something happens', async () => {
    const dir = tempDir()
    const path = forge(join(dir, 'system.journal'), stamps(100), { visible: 1 })
    const set = openSet(dir)
    const delays: number[] = []
    for (let count = 2; count < 12; count++) {
      const wait = set.changed(5000, within(6000))
      await sleep(5)
      const at = performance.now()
      show(path, count)
      expect(await wait).toBe(true)
      delays.push(performance.now() - at)
    }
    delays.sort((a, b) => a - b)
    expect(delays[5]).toBeLessThan(100)
    set.close()
  })
})

describe('many files', () => {
  it('cost a header each until they are read, and few descriptors while they are', () => {
    const dir = tempDir()
    const count = 300
    for (let i = 0; i < count; i++) {
      const own = stamps(4).map(({ seqnum }) => ({ seqnum: 4 * i + seqnum, monotonic: 4 * i + seqnum }))
      forge(join(dir, `system@${i}.journal`), own, { state: ARCHIVED })
    }
    const set = openSet(dir)
    const descriptors = () => readdirSync('/proc/self/fd').length
    const before = descriptors()
    const reader = new JournalReader(set)
    reader.seekHead()
    expect(descriptors() - before).toBeLessThan(4)
    let seen = 0
    let most = 0
    while (reader.next() !== undefined) if (++seen % 50 === 0) most = Math.max(most, descriptors() - before)
    expect(seen).toBe(4 * count)
    expect(most).toBeLessThan(40)
    reader.seekRealtime(1e15 + 1000)
    expect(reader.next()?.seqnum).toBe(1000)
    expect(descriptors() - before).toBeLessThan(6)
    reader.close()
    expect(descriptors() - before).toBe(0)
    set.close()
  })
})
