import { execFileSync, spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { notePath } from '../../sinks/file/note.ts'
import { type Machine, thisMachine } from '../../sinks/file/system.ts'
import fileSink, { FileSink } from '../../sinks/file.ts'
import type { Batch } from '../../src/sink.ts'
import {
  delivery,
  failureOf,
  makeBatch,
  positionAt,
  SOURCE,
  type TestHost,
  testHost,
  testSink,
} from '../contract/sinkContract.ts'
import { describeWith } from '../support/needs.ts'
import { tempDir } from '../support/tempDir.ts'
import { configOf, mistakesOf } from './file/config.ts'
import { TroubledDisk } from './file/troubledDisk.ts'

const NEVER = new AbortController().signal

interface Target {
  readonly path: string
  readonly disk: TroubledDisk
}

testSink<Target>({
  name: 'file',
  module: fileSink,
  example: {
    path: '/var/log/ship/journal.ndjson',
    rotate: { size: '100MiB', every: '1d', keep: 14, max_age: '30d' },
    compress: 'zstd',
    sync: 'batch',
    mode: '0640',
    group: 'adm',
  },
  target: async () => ({ path: newPath(), disk: new TroubledDisk() }),
  create: ({ path, disk }, host) => new FileSink(configOf({ path }), host, { ...machine(), fs: disk.fs }),
  received: ({ path }) => linesOf(path).map((line) => Buffer.from(line)),
  refuse: 'a file takes every line',
  outage: {
    down: ({ disk }) => {
      disk.isFull = true
    },
    up: ({ disk }) => {
      disk.isFull = false
    },
  },
  loseAnswer: ({ disk }) => {
    disk.answersAfterMs = 300
  },
  answerWithinMs: 100,
  takeAtMost: 'a file has no limit of its own',
  stall: {
    begin: ({ disk }) => disk.hold(),
    end: ({ disk }) => disk.letGo(),
  },
})

function newPath(): string {
  return join(tempDir(), 'journal.ndjson')
}

/** This machine, but with sinks of other tests, and those that were killed, out of the way. */
function machine(more: Partial<Machine> = {}): Machine {
  return { ...thisMachine, open: new Set(), ...more }
}

function linesOf(path: string): string[] {
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : []
}

function textOf(...batches: Batch[]): string {
  return batches.map(({ records }) => Buffer.from(records).toString()).join('')
}

async function openSink(path: string, options: object = {}, more: Partial<Machine> = {}, host: TestHost = testHost()) {
  const sink = new FileSink(configOf({ path, ...options }), host, machine(more))
  await sink.open(NEVER)
  return sink
}

/** Ten entries each, one behind the other. */
function batchNumber(n: number): Batch {
  return makeBatch(10, { first: 10 * n + 1 })
}

function rotatedOf(path: string): string[] {
  const names = readdirSync(dirname(path)).filter((name) => name.startsWith(`${basename(path)}.`))
  return names.sort().map((name) => join(dirname(path), name))
}

function contentOf(path: string): string {
  const bytes = readFileSync(path)
  if (path.endsWith('.gz')) return gunzipSync(bytes).toString()
  return (path.endsWith('.zst') ? zstdDecompressSync(bytes) : bytes).toString()
}

describe('the file sink', () => {
  it('makes a file that only its user can read, unless told otherwise', async () => {
    const path = newPath()
    const sink = await openSink(path)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(notePath(path)).mode & 0o777).toBe(0o600)
    await sink.close(NEVER)
    const other = newPath()
    const open = await openSink(other, { mode: '0664', group: process.getgid?.() ?? 0 })
    expect(statSync(other).mode & 0o777).toBe(0o664)
    await open.close(NEVER)
  })

  it('says which group it does not know', async () => {
    const sink = new FileSink(configOf({ path: newPath(), group: 'no-such-group' }), testHost(), machine())
    await expect(sink.open(NEVER)).rejects.toThrow('there is no group "no-such-group"')
    expect(await sink.check()).toMatchObject([{ ok: false }])
  })

  it('appends to a file that was there, on a line of its own', async () => {
    const path = newPath()
    writeFileSync(path, 'written by hand')
    const sink = await openSink(path)
    await sink.write(batchNumber(0), delivery())
    await sink.close(NEVER)
    expect(readFileSync(path, 'utf8')).toBe(`written by hand\n${textOf(batchNumber(0))}`)
  })

  it('is refused where there is no folder, and says so', async () => {
    const path = join(tempDir(), 'missing', 'journal.ndjson')
    const sink = new FileSink(configOf({ path }), testHost(), machine())
    const opening = sink.open(NEVER)
    await expect(opening).rejects.toMatchObject({ failure: 'refused' })
    await expect(opening).rejects.toThrow(`${path}: there is no such folder; create it`)
    expect(await sink.check()).toMatchObject([{ ok: false }])
    mkdirSync(dirname(path))
    await sink.open(NEVER)
    expect(await sink.check()).toEqual([{ ok: true, text: `${path} can be written` }])
    await sink.close(NEVER)
  })

  it('is refused for what is no regular file', async () => {
    const path = newPath()
    execFileSync('mkfifo', [path])
    const sink = new FileSink(configOf({ path }), testHost(), machine())
    await expect(sink.open(NEVER)).rejects.toThrow('is not a regular file')
    await expect(sink.open(NEVER)).rejects.toMatchObject({ failure: 'refused' })
  })

  it('is refused a file that another sink of this process writes', async () => {
    const path = newPath()
    const open = new Set<string>()
    const first = await openSink(path, {}, { open })
    const second = new FileSink(configOf({ path }), testHost('second'), machine({ open }))
    await expect(second.open(NEVER)).rejects.toThrow('another sink writes into this file')
    await first.close(NEVER)
    await second.open(NEVER)
    await second.close(NEVER)
  })

  it('is held when another program writes into its file, and goes on behind those lines', async () => {
    const path = newPath()
    const sink = await openSink(path)
    await sink.write(batchNumber(0), delivery())
    writeFileSync(path, 'foreign', { flag: 'a' })
    expect(await failureOf(sink.write(batchNumber(1), delivery()))).toBe('refused')
    await sink.write(batchNumber(1), delivery())
    await sink.close(NEVER)
    expect(readFileSync(path, 'utf8')).toBe(`${textOf(batchNumber(0))}foreign\n${textOf(batchNumber(1))}`)
  })

  it('forces each batch to disk before it is delivered, where `sync` is `batch`', async () => {
    const path = newPath()
    const disk = new TroubledDisk()
    const sink = await openSink(path, { sync: 'batch' }, { fs: disk.fs })
    expect(sink.traits.delivered).toBe('stored')
    await sink.write(batchNumber(0), delivery())
    expect(disk.lengthSynced(path)).toBe(statSync(path).size)
    await sink.close(NEVER)
  })

  it('forces lines to disk in the background, where `sync` is a time', async () => {
    const path = newPath()
    const disk = new TroubledDisk()
    const sink = await openSink(path, { sync: '10ms' }, { fs: disk.fs })
    expect(sink.traits.delivered).toBe('accepted')
    await sink.write(batchNumber(0), delivery())
    await expect.poll(() => disk.lengthSynced(path)).toBe(statSync(path).size)
    await sink.close(NEVER)
  })
})

describe('rotation', () => {
  it('begins a new file before the size is passed, keeps the newest, and gives the compressed ones the same mode', async () => {
    const path = newPath()
    const bytes = batchNumber(1).records.length
    const rotate = { size: Math.floor(bytes * 2.5), keep: 2 }
    const sink = await openSink(path, { rotate, compress: 'gzip', mode: '0640' })
    for (let n = 1; n <= 9; n++) await sink.write(batchNumber(n), delivery())
    await sink.close(NEVER)
    const rotated = rotatedOf(path)
    expect(rotated.map((name) => name.slice(path.length))).toEqual([
      expect.stringMatching(/^\.\d{8}T\d{9}Z\.gz$/),
      expect.stringMatching(/^\.\d{8}T\d{9}Z\.gz$/),
    ])
    expect(rotated.map(contentOf)).toEqual([
      textOf(batchNumber(5), batchNumber(6)),
      textOf(batchNumber(7), batchNumber(8)),
    ])
    expect(contentOf(path)).toBe(textOf(batchNumber(9)))
    for (const name of [path, ...rotated]) expect(statSync(name).mode & 0o777).toBe(0o640)
  })

  it('begins a new file with the first batch of each period in UTC, also after a restart', async () => {
    const path = newPath()
    let now = Date.UTC(2026, 10, 24, 13, 58)
    const options = { rotate: { every: '1h', keep: 10, max_age: '2h' }, compress: 'zstd' }
    const first = await openSink(path, options, { now: () => now })
    await first.write(batchNumber(0), delivery())
    now += 60_000
    await first.write(batchNumber(1), delivery())
    await first.close(NEVER)
    now += 120_000
    const second = await openSink(path, options, { now: () => now })
    await second.write(batchNumber(2), delivery())
    await second.close(NEVER)
    expect(rotatedOf(path).map(contentOf)).toEqual([textOf(batchNumber(0), batchNumber(1))])
    expect(rotatedOf(path)).toEqual([`${path}.20261124T140100000Z.zst`])
    expect(contentOf(path)).toBe(textOf(batchNumber(2)))
    // Three hours later the rotated file is too old, and the next one is rotated.
    now += 3 * 3_600_000
    const third = await openSink(path, options, { now: () => now })
    await third.write(batchNumber(3), delivery())
    await third.close(NEVER)
    expect(rotatedOf(path).map(contentOf)).toEqual([textOf(batchNumber(2))])
  })

  it('names files in the order of their lines also when the clock was set back', async () => {
    const path = newPath()
    let now = Date.UTC(2026, 0, 2)
    const sink = await openSink(path, { rotate: { size: 1 } }, { now: () => now })
    for (let n = 0; n < 4; n++) {
      await sink.write(batchNumber(n), delivery())
      now -= 1000
    }
    await sink.close(NEVER)
    expect([...rotatedOf(path), path].map(contentOf)).toEqual([0, 1, 2, 3].map((n) => textOf(batchNumber(n))))
  })

  it('rotates the file and not the symbolic link that leads to it', async () => {
    const real = newPath()
    const link = join(tempDir(), 'link.ndjson')
    writeFileSync(real, '')
    symlinkSync(real, link)
    const sink = await openSink(link, { rotate: { size: 1 } })
    await sink.write(batchNumber(0), delivery())
    await sink.write(batchNumber(1), delivery())
    await sink.close(NEVER)
    expect(readdirSync(dirname(link))).toEqual(['link.ndjson'])
    expect([...rotatedOf(real), real].map(contentOf)).toEqual([textOf(batchNumber(0)), textOf(batchNumber(1))])
  })

  it('goes on when compressing fails, and does it at the next rotation', async () => {
    const path = newPath()
    const disk = new TroubledDisk()
    const host = testHost()
    const sink = await openSink(path, { rotate: { size: 1 }, compress: 'gzip' }, { fs: disk.fs }, host)
    disk.isFull = (name) => name.endsWith('.tmp') && name.includes('.gz')
    await sink.write(batchNumber(0), delivery())
    await sink.write(batchNumber(1), delivery())
    await expect.poll(() => host.lines.map(({ text }) => text).join()).toContain('cannot compress journal.ndjson.')
    disk.isFull = () => false
    await sink.write(batchNumber(2), delivery())
    await sink.close(NEVER)
    expect(rotatedOf(path).every((name) => name.endsWith('.gz'))).toBe(true)
    expect([...rotatedOf(path), path].map(contentOf)).toEqual([0, 1, 2].map((n) => textOf(batchNumber(n))))
    expect(readdirSync(dirname(path)).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })

  it('stops compressing when it has to close at once, and compresses at the next start', async () => {
    const path = newPath()
    const disk = new TroubledDisk()
    const options = { rotate: { size: 1 }, compress: 'gzip' }
    const sink = await openSink(path, options, { fs: disk.fs })
    await sink.write(batchNumber(0), delivery())
    disk.hold((name) => name.includes('.gz'))
    await sink.write(batchNumber(1), delivery())
    await expect(sink.close(AbortSignal.timeout(50))).rejects.toThrow()
    disk.letGo()
    await sink.close(NEVER)
    expect(rotatedOf(path).map((name) => name.endsWith('.gz'))).toEqual([false])
    await (await openSink(path, options)).close(NEVER)
    expect(rotatedOf(path).map((name) => name.endsWith('.gz'))).toEqual([true])
    expect(rotatedOf(path).map(contentOf)).toEqual([textOf(batchNumber(0))])
  })
})

describe('what others do with the file', () => {
  it('begins a new file when logrotate has moved it away, or anyone has removed it', async () => {
    const path = newPath()
    const sink = await openSink(path)
    await sink.write(batchNumber(0), delivery())
    renameSync(path, `${path}.1`)
    await sink.write(batchNumber(1), delivery())
    renameSync(path, `${path}.2`)
    writeFileSync(path, '')
    await sink.write(batchNumber(2), delivery())
    unlinkSync(path)
    await sink.write(batchNumber(3), delivery())
    await sink.close(NEVER)
    expect([`${path}.1`, `${path}.2`, path].map(contentOf)).toEqual([0, 1, 3].map((n) => textOf(batchNumber(n))))
  })

  it('goes on at the beginning after copytruncate', async () => {
    const path = newPath()
    const host = testHost()
    const sink = await openSink(path, {}, {}, host)
    await sink.write(batchNumber(0), delivery())
    truncateSync(path)
    await sink.write(batchNumber(1), delivery())
    expect(contentOf(path)).toBe(textOf(batchNumber(1)))
    expect(host.lines.map(({ text }) => text)).toEqual(['the file was cut from outside'])
    await sink.close(NEVER)
  })

  it('keeps its position when the file was moved or emptied while it was closed', async () => {
    for (const happen of [truncateSync, unlinkSync, (path: string) => renameSync(path, `${path}.1`)]) {
      const path = newPath()
      const sink = await openSink(path)
      await sink.write(batchNumber(0), delivery())
      await sink.close(NEVER)
      happen(path)
      const again = await openSink(path)
      expect(await again.lastDelivered(SOURCE, NEVER)).toBe(batchNumber(0).after)
      await again.close(NEVER)
    }
  })
})

/** As after a kill while batch 1 was written: of its lines the file has `bytes`. */
async function killedWithin(path: string, bytes: number): Promise<void> {
  const sink = await openSink(path)
  await sink.write(batchNumber(0), delivery())
  const before = statSync(path).size
  await sink.write(batchNumber(1), delivery())
  truncateSync(path, before + bytes)
}

describe('after a crash', () => {
  it('cuts off the torn line, and counts the complete ones up to the last, which may be one of several alike', async () => {
    const path = newPath()
    const batch = batchNumber(1)
    await killedWithin(path, (batch.ends[6] as number) + 20)
    const sink = await openSink(path)
    expect(await sink.lastDelivered(SOURCE, NEVER)).toBe(positionAt(SOURCE, 16))
    expect(linesOf(path).length).toBe(16)
    expect(readFileSync(path, 'utf8').endsWith('}\n')).toBe(true)
    await sink.close(NEVER)
  })

  it('counts the whole batch when all of its lines are there', async () => {
    const path = newPath()
    await killedWithin(path, batchNumber(1).records.length)
    const sink = await openSink(path)
    expect(await sink.lastDelivered(SOURCE, NEVER)).toBe(batchNumber(1).after)
    await sink.close(NEVER)
  })

  it('cuts back to the noted length when the lines carry no cursor', async () => {
    const path = newPath()
    const bare = (n: number) => makeBatch(10, { first: 10 * n + 1, fields: () => ({ __CURSOR: 'masked' }) })
    const sink = await openSink(path)
    await sink.write(bare(0), delivery())
    const before = statSync(path).size
    await sink.write(bare(1), delivery())
    truncateSync(path, before + (bare(1).ends[6] as number))
    const again = await openSink(path)
    expect(await again.lastDelivered(SOURCE, NEVER)).toBe(bare(1).before)
    expect(statSync(path).size).toBe(before)
    await again.close(NEVER)
  })

  it('finds the lines of the torn batch in a file that logrotate has moved away meanwhile', async () => {
    const path = newPath()
    await killedWithin(path, (batchNumber(1).ends[6] as number) + 20)
    renameSync(path, `${path}-20261124`)
    writeFileSync(path, '')
    const sink = await openSink(path)
    expect(await sink.lastDelivered(SOURCE, NEVER)).toBe(positionAt(SOURCE, 16))
    expect(linesOf(`${path}-20261124`).length).toBe(16)
    await sink.close(NEVER)
  })

  it('leaves it to the local position when the file with the torn batch is gone, or was emptied', async () => {
    for (const happen of [truncateSync, unlinkSync]) {
      const path = newPath()
      await killedWithin(path, 100)
      happen(path)
      const host = testHost()
      const sink = await openSink(path, {}, {}, host)
      expect(await sink.lastDelivered(SOURCE, NEVER)).toBeUndefined()
      expect(host.lines.map(({ level }) => level)).toEqual(['warn'])
      await sink.close(NEVER)
    }
  })

  it('is refused a note that cannot be understood, and says what to do', async () => {
    const path = newPath()
    await (await openSink(path)).close(NEVER)
    writeFileSync(notePath(path), 'nonsense')
    const sink = new FileSink(configOf({ path }), testHost(), machine())
    await expect(sink.open(NEVER)).rejects.toMatchObject({ failure: 'refused' })
    await expect(sink.open(NEVER)).rejects.toThrow(`${notePath(path)} is damaged`)
    unlinkSync(notePath(path))
    await sink.open(NEVER)
    expect(await sink.lastDelivered(SOURCE, NEVER)).toBeUndefined()
    await sink.close(NEVER)
  })
})

describe('a full disk', () => {
  it('takes the partial write back, and does not touch the file again before there is room', async () => {
    const path = newPath()
    const disk = new TroubledDisk()
    const sink = await openSink(path, {}, { fs: disk.fs })
    await sink.write(batchNumber(0), delivery())
    disk.isFull = true
    disk.freeBytes = 0
    const writing = sink.write(batchNumber(1), delivery())
    await expect(writing).rejects.toMatchObject({ failure: 'unavailable' })
    await expect(writing).rejects.toThrow('the disk is full')
    expect(contentOf(path)).toBe(textOf(batchNumber(0)))
    const writes = disk.writes
    expect(await failureOf(sink.write(batchNumber(1), delivery()))).toBe('unavailable')
    expect(disk.writes).toBe(writes)
    disk.isFull = false
    disk.freeBytes = 1e9
    await sink.write(batchNumber(1), delivery())
    await sink.close(NEVER)
    expect(contentOf(path)).toBe(textOf(batchNumber(0), batchNumber(1)))
  })
})

// Also root may not mount, in a container for example.
const mayMount = spawnSync('unshare', ['--mount', 'true']).status === 0

describeWith(mayMount ? ['mount'] : ['permission to mount'], 'a really full disk', () => {
  it('loses nothing and repeats nothing', async () => {
    const folder = tempDir()
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'logferry-test', folder])
    try {
      const path = join(folder, 'journal.ndjson')
      const sink = await openSink(path)
      writeFileSync(join(folder, 'ballast'), Buffer.alloc(180 * 1024))
      let n = 0
      let failure = await failureOf(sink.write(batchNumber(n), delivery()))
      for (; failure === undefined; n++) failure = await failureOf(sink.write(batchNumber(n + 1), delivery()))
      expect(failure).toBe('unavailable')
      expect(contentOf(path)).toBe(textOf(...Array.from({ length: n }, (_, index) => batchNumber(index))))
      unlinkSync(join(folder, 'ballast'))
      execFileSync('mount', ['-o', 'remount,size=16m', folder])
      await sink.write(batchNumber(n), delivery())
      expect(linesOf(path).length).toBe(10 * (n + 1))
      await sink.close(NEVER)
    } finally {
      execFileSync('umount', [folder])
    }
  })
})

describe('its configuration', () => {
  it.each([
    [{ path: '/var/log/${_SYSTEMD_UNIT}.log' }, 'path: the path is the same for all entries: it cannot hold templates'],
    [{ path: '/a', mode: 640 }, 'mode: expected the mode in quotes, e.g. "0640"'],
    [{ path: '/a', mode: 'rw-r-----' }, 'mode: expected the mode in quotes, e.g. "0640"'],
    [{ path: '/a', compress: 'gzip' }, 'compress: `compress` is about rotated files: it needs `rotate`'],
    [{ path: '/a', rotate: { keep: 3 } }, 'rotate: expected `size` or `every`, or both'],
    [{ path: '/a', rotate: { size: 'big' } }, 'rotate.size: expected a size such as 64KiB, 5MB or 2GiB'],
    [{ path: '/a', sync: 'sometimes' }, 'sync: expected `batch`, `never`, or a time such as 1s'],
  ])('refuses %j', (options, mistake) => {
    expect(mistakesOf(options)).toEqual([mistake])
  })

  it('has these defaults', () => {
    expect(configOf({ path: '/a' })).toEqual({ path: '/a', compress: 'none', sync: 1000, mode: '0600' })
  })
})
