import {
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  unlinkSync,
  utimesSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { JournalSet, type KnownFile } from '../../../src/journal/directory.ts'
import { MemoryBudget } from '../../../src/journal/memory.ts'
import { PositionState } from '../../../src/journal/position.ts'
import type { JournaldLimits } from '../../../src/pipeline/retention/journaldLimits.ts'
import { retainedFolders } from '../../../src/pipeline/retention/retainedFolder.ts'
import { type Need, Retention, type RetentionOptions } from '../../../src/pipeline/retention/retention.ts'
import { type Clock, systemClock } from '../../../src/telemetry/clock.ts'
import { type Log, silentLog } from '../../../src/telemetry/log.ts'
import { openFixture } from '../../support/fixtures.ts'
import { describeWith } from '../../support/needs.ts'
import { smallDisk } from '../../support/smallDisk.ts'
import { tempDir } from '../../support/tempDir.ts'

const NO_LIMITS: JournaldLimits = {
  system: () => ({ keepFree: 0, maxUse: 1e12, maxFiles: 100, maxAgeSeconds: 1e9 }),
  runtime: () => ({ keepFree: 0, maxUse: 1e12, maxFiles: 100, maxAgeSeconds: 1e9 }),
}

interface Place {
  readonly root: string
  readonly journal: string
  /** The folder of the machine's files. */
  readonly machine: string
  readonly state: string
  readonly set: JournalSet
  readonly lines: string[]
  readonly folder: string
  open(options?: Partial<RetentionOptions>): Retention
}

const sets: JournalSet[] = []
afterEach(() => {
  for (const set of sets.splice(0)) set.close()
})

/** A journal directory with the files of a fixture. */
function place(fixture = 'rotated', root = tempDir()): Place {
  const { dir } = openFixture(fixture)
  const journal = join(root, 'journal')
  const state = join(root, 'state')
  const first = join(dir, readdirSync(dir)[0]!)
  const machineId = readFileSync(first).toString('hex', 40, 56)
  const machine = join(journal, machineId)
  mkdirSync(journal, { recursive: true })
  cpSync(dir, machine, { recursive: true })
  const [folder = ''] = retainedFolders(state, [journal])
  const open = { directories: [journal], machineId: 'any', retained: [folder] } as const
  const set = JournalSet.open(open, new MemoryBudget(1 << 20))
  sets.push(set)
  const lines: string[] = []
  const log: Log = { ...silentLog, warn: (text) => void lines.push(text) }
  const base = { state, directories: [journal], maxBytes: 1e9, clock: systemClock, limits: NO_LIMITS, log }
  return {
    root,
    journal,
    machine,
    state,
    set,
    lines,
    folder,
    open: (options) => new Retention({ ...base, ...options }),
  }
}

/** Files oldest first. */
function byAge({ set }: Place): KnownFile[] {
  return [...set.files].sort((a, b) => a.header.headRealtime - b.header.headRealtime)
}

/** A position behind all entries of these files. */
function past(files: readonly KnownFile[]): string {
  const state = PositionState.empty({ realtime: 0 })
  const words = { boot0: 1, boot1: 2, boot2: 3, boot3: 4, xorHigh: 5, xorLow: 6 }
  for (const { seqnumId, header } of files) {
    const { tailSeqnum, tailRealtime, tailMonotonic } = header
    state.take({ seqnumId, seqnum: tailSeqnum, realtime: tailRealtime, monotonic: tailMonotonic, ...words })
  }
  return state.toString()
}

function need(at: Place, position: string | undefined, more: Partial<Need> = {}): Need {
  const source = at.set.sources()[0]!
  return {
    sink: 'search',
    positions: new Map(position === undefined ? [] : [[source, position]]),
    rewinds: false,
    ...more,
  }
}

function names(at: Place): string[] {
  if (!existsSync(at.folder)) return []
  return readdirSync(at.folder).flatMap((machine) => readdirSync(join(at.folder, machine)))
}

const inodes = (paths: readonly string[]) => paths.map((path) => statSync(path).ino).sort()

it('links what a sink still needs and the file that is being written, and nothing else', () => {
  const at = place()
  const files = byAge(at)
  expect(files).toHaveLength(5)
  const retention = at.open()
  retention.pass(at.set.files, [need(at, past(files.slice(0, 2)))])
  const linked = names(at).map((name) => join(at.folder, readdirSync(at.folder)[0]!, name))
  expect(inodes(linked)).toEqual(inodes(files.slice(2).map((file) => file.path)))
  expect(retention.retained).toEqual({ bytes: 0, files: 0 })
  expect(statSync(at.folder).mode & 0o777).toBe(0o700)
})

it('keeps the content of a file whose own name is gone, and the reader goes on with the same file', () => {
  const at = place()
  const [oldest] = byAge(at) as [KnownFile]
  const content = readFileSync(oldest.path)
  const retention = at.open()
  retention.pass(at.set.files, [need(at, undefined)])
  unlinkSync(oldest.path)
  at.set.rescan()
  expect(oldest.gone).toBe(false)
  expect(oldest.path.startsWith(at.folder)).toBe(true)
  expect(readFileSync(oldest.path).equals(content)).toBe(true)
  expect([...at.set.files]).toHaveLength(5)
  retention.pass(at.set.files, [need(at, undefined)])
  expect(retention.retained).toEqual({ bytes: statSync(oldest.path).blocks * 512, files: 1 })
})

it('frees a file as soon as the last sink is past it', () => {
  const at = place()
  const files = byAge(at)
  const retention = at.open()
  const slow = (position: string) => need(at, position, { sink: 'slow' })
  retention.pass(at.set.files, [need(at, past(files)), slow(past([]))])
  for (const file of files.slice(0, 4)) unlinkSync(file.path)
  at.set.rescan()
  retention.pass(at.set.files, [need(at, past(files)), slow(past(files.slice(0, 1)))])
  expect(retention.retained.files).toBe(3)
  retention.pass(at.set.files, [need(at, past(files)), slow(past(files.slice(0, 4)))])
  expect(retention.retained.files).toBe(0)
  // The one that is being written to.
  expect(names(at)).toHaveLength(1)
})

it('looks at the file itself before it frees one, as entries may have come since the reader looked', () => {
  const at = place()
  const files = byAge(at)
  const stale = files.map((file, index) => (index > 0 ? file : { ...file, header: { ...file.header, tailSeqnum: 5 } }))
  const retention = at.open()
  const position = PositionState.empty({ realtime: 0 })
  const words = { boot0: 1, boot1: 2, boot2: 3, boot3: 4, xorHigh: 5, xorLow: 6 }
  position.take({ seqnumId: files[0]!.seqnumId, seqnum: 7, realtime: 1, monotonic: 1, ...words })
  retention.pass(at.set.files, [need(at, undefined)])
  retention.pass(stale, [need(at, position.toString())])
  expect(names(at)).toHaveLength(5)
})

it('keeps everything of a source for which a sink has no position, or one that cannot be read', () => {
  for (const position of [undefined, 'nonsense']) {
    const at = place()
    at.open().pass(at.set.files, [need(at, past(byAge(at)), { sink: 'other' }), need(at, position)])
    expect(names(at)).toHaveLength(5)
  }
})

it('does not keep what lies before the floor of a position', () => {
  const at = place()
  const files = byAge(at)
  const floor = { realtime: files[2]!.header.headRealtime }
  at.open().pass(at.set.files, [need(at, PositionState.empty(floor).toString())])
  expect(names(at)).toHaveLength(3)
})

it('finds its links again after a restart, and frees them when they are no longer needed', () => {
  const at = place()
  const files = byAge(at)
  at.open().pass(at.set.files, [need(at, undefined)])
  unlinkSync(files[0]!.path)
  at.set.rescan()
  const next = at.open()
  next.pass(at.set.files, [need(at, undefined)])
  expect(next.retained.files).toBe(1)
  next.pass(at.set.files, [need(at, past(files))])
  expect(names(at)).toHaveLength(1)
})

it('frees the oldest first beyond retain.max_size, and says which sinks lose entries', () => {
  const at = place()
  const files = byAge(at)
  const size = statSync(files[0]!.path).blocks * 512
  const retention = at.open({ maxBytes: 2.5 * size })
  retention.pass(at.set.files, [need(at, undefined)])
  for (const file of files.slice(0, 4)) unlinkSync(file.path)
  at.set.rescan()
  retention.pass(at.set.files, [need(at, undefined)])
  expect(retention.retained.files).toBe(2)
  at.set.rescan()
  expect(byAge(at).map((file) => file.fileId)).toEqual(files.slice(2).map((file) => file.fileId))
  expect(at.lines).toHaveLength(2)
  expect(at.lines[0]).toMatch(/^a journal file is given up although sinks still need it: retain.max_size is /)
})

it('keeps what a target may go back to, for ten minutes', () => {
  const at = place()
  const files = byAge(at)
  let now = 0
  const clock: Clock = { ...systemClock, monotonic: () => now }
  const retention = at.open({ clock })
  const pass = (position: string) => retention.pass(at.set.files, [need(at, position, { rewinds: true })])
  pass(past(files.slice(0, 1)))
  for (; now <= 9 * 60_000; now += 20_000) pass(past(files))
  expect(names(at)).toHaveLength(4)
  now += 4 * 60_000
  pass(past(files))
  expect(names(at)).toHaveLength(1)
  // It went back to before everything that was noted.
  pass(past([]))
  expect(names(at)).toHaveLength(5)
})

it('does not link another file that took the name meanwhile', () => {
  const at = place()
  const active = byAge(at).at(-1)!
  renameSync(active.path, join(at.machine, 'system@moved.journal'))
  cpSync(join(at.machine, 'system@moved.journal'), active.path)
  at.open().pass([active], [need(at, undefined)])
  expect(names(at)).toEqual([])
})

it('leaves the links of another logferry alone, until that one has not been seen for a week', () => {
  const at = place()
  const other = join(at.journal, '.logferry/0123456789abcdef/machine')
  mkdirSync(other, { recursive: true })
  linkSync(byAge(at)[0]!.path, join(other, 'system@x.journal'))
  at.open().pass(at.set.files, [need(at, past(byAge(at)))])
  expect(existsSync(join(other, 'system@x.journal'))).toBe(true)
  const longAgo = Date.now() / 1000 - 8 * 86_400
  utimesSync(join(other, '..'), longAgo, longAgo)
  at.open().pass(at.set.files, [need(at, past(byAge(at)))])
  expect(existsSync(join(other, '..'))).toBe(false)
  expect(existsSync(at.folder)).toBe(true)
})

it('gives up the link of a file that the reader does not know, after a while', () => {
  const at = place()
  let now = 0
  const clock: Clock = { ...systemClock, monotonic: () => now }
  const retention = at.open({ clock })
  retention.pass(at.set.files, [need(at, undefined)])
  retention.pass([], [need(at, undefined)])
  expect(names(at)).toHaveLength(5)
  now += 11 * 60_000
  retention.pass([], [need(at, undefined)])
  expect(names(at)).toHaveLength(0)
})

it('takes up with names that somebody removed', () => {
  const at = place()
  const retention = at.open()
  retention.pass(at.set.files, [need(at, undefined)])
  rmSync(at.folder, { recursive: true })
  retention.pass(at.set.files, [need(at, undefined)])
  retention.pass(at.set.files, [need(at, undefined)])
  expect(names(at)).toHaveLength(5)
})

it('does without where there is no directory', () => {
  const at = place()
  const missing = join(at.root, 'missing')
  const retention = at.open({ directories: [missing, at.journal] })
  retention.pass(at.set.files, [need(at, undefined)])
  expect(at.lines).toEqual([])
  expect(existsSync(missing)).toBe(false)
})

it('guesses when journald will remove what a sink needs', () => {
  const at = place()
  const files = byAge(at)
  const used = files.reduce((sum, file) => sum + statSync(file.path).blocks * 512, 0)
  const limits = (maxUse: number): JournaldLimits => ({
    ...NO_LIMITS,
    system: () => ({ keepFree: 0, maxUse, maxFiles: 100, maxAgeSeconds: Number.POSITIVE_INFINITY }),
  })
  const seconds = (retention: Retention, position: string | undefined) =>
    retention.vacuumSeconds(at.set.files, need(at, position))
  const full = at.open({ limits: limits(used) })
  expect(seconds(full, undefined)).toBe(0)
  expect(seconds(full, past(files))).toBeUndefined()
  const later = seconds(full, past(files.slice(0, 2)))
  expect(later).toBeGreaterThan(0)
  expect(seconds(at.open({ limits: limits(2 * used) }), past(files.slice(0, 2)))).toBeGreaterThan(later!)
})

describeWith(['root'], 'on other mounts', () => {
  it('says once that a bind mount cannot have links, and goes on', async () => {
    const { execFileSync } = await import('node:child_process')
    const at = place()
    execFileSync('mount', ['--bind', at.machine, at.machine])
    try {
      const retention = at.open()
      retention.pass(at.set.files, [need(at, undefined)])
      retention.pass(at.set.files, [need(at, undefined)])
      expect(names(at)).toEqual([])
      expect(at.lines).toHaveLength(1)
      expect(at.lines[0]).toMatch(/^cannot keep files of .*cross-device link not permitted; what journald removes/)
    } finally {
      execFileSync('umount', [at.machine])
    }
  })

  it('frees its files before journald would have to free its own for want of space', () => {
    const disk = smallDisk(48 << 20)
    const at = place('rotated', disk.dir)
    const files = byAge(at)
    let keepFree = 0
    const limits: JournaldLimits = { ...NO_LIMITS, system: () => ({ ...NO_LIMITS.system(0), keepFree }) }
    const retention = at.open({ limits })
    retention.pass(at.set.files, [need(at, undefined)])
    for (const file of files.slice(0, 4)) unlinkSync(file.path)
    at.set.rescan()
    retention.pass(at.set.files, [need(at, undefined)])
    expect(retention.retained.files).toBe(4)
    const { bavail, bsize } = statfsSync(disk.dir)
    const size = statSync(files[0]!.path).blocks * 512
    // An eighth more than journald keeps free is kept free: half a file is lacking.
    keepFree = ((bavail * bsize + size / 2) * 8) / 9
    retention.pass(at.set.files, [need(at, undefined)])
    retention.pass(at.set.files, [need(at, undefined)])
    expect(retention.retained.files).toBe(3)
    expect(at.lines).toHaveLength(1)
    expect(at.lines[0]).toContain('journald wants the space')
  })
})
