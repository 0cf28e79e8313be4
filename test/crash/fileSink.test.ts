// The file sink killed at every single call that it makes of the file system, and started again: each entry is in the files once.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import type { FileConfig } from '../../sinks/file/options.ts'
import fileSink, { FileSink } from '../../sinks/file.ts'
import type { Position } from '../../src/sink.ts'
import { delivery, entryBefore, makeBatch, positionAt, recordsOf, SOURCE, testHost } from '../contract/sinkContract.ts'
import { MortalDisk, randomOf } from './mortalDisk.ts'

const NEVER = new AbortController().signal
const OTHER = 'e'.repeat(32)
const RUN = 3

interface Plan {
  readonly options: Partial<Record<'rotate' | 'compress' | 'sync', unknown>>
  readonly sources: readonly string[]
  readonly entries: number
  /** At least so many files are rotated. */
  readonly rotated: number
}

/** The pipeline's part: positions per source, moved when a batch is delivered, and what the sink answered last. */
class Shipment {
  readonly #plan: Plan
  readonly #path: string
  readonly #random: () => number
  readonly #stored = new Map<string, { position: Position; answer: Position | undefined }>()
  boot = 1

  constructor(plan: Plan, path: string, random: () => number) {
    this.#plan = plan
    this.#path = path
    this.#random = random
  }

  /** Ships until everything is delivered, or the disk dies. True when all is delivered. */
  async run(disk: MortalDisk): Promise<boolean> {
    const config = configOf({ path: this.#path, ...this.#plan.options })
    const machine = { fs: disk.fs, now: clock(), bootId: async () => `boot ${this.boot}`, open: new Set<string>() }
    const sink = new FileSink(config, testHost(), machine)
    try {
      await sink.open(NEVER)
      const open = new Map<string, number>()
      for (const source of this.#plan.sources) open.set(source, entryBefore(await this.#start(sink, source)))
      while (open.size > 0) {
        for (const [source, done] of [...open]) {
          if (done >= this.#plan.entries) open.delete(source)
          else open.set(source, await this.#ship(sink, source, done))
        }
      }
      await sink.close(NEVER)
      // It may be the compressing that died.
      return !disk.isDead
    } catch (error) {
      if (!disk.isDead) throw error
      return false
    } finally {
      await disk.bury()
    }
  }

  async #start(sink: FileSink, source: string): Promise<Position> {
    const stored = this.#stored.get(source) ?? { position: positionAt(source, 0), answer: undefined }
    const answer = await sink.lastDelivered(source, NEVER)
    const position = answer === undefined || answer === stored.answer ? stored.position : answer
    this.#stored.set(source, { position, answer })
    return position
  }

  async #ship(sink: FileSink, source: string, done: number): Promise<number> {
    // Whole runs, of another number after each start.
    const wanted = RUN * (1 + Math.floor(this.#random() * 5))
    const length = Math.min(wanted, this.#plan.entries - done)
    const batch = makeBatch(length, { source, first: done + 1, run: RUN })
    await sink.write(batch, delivery())
    // A kill may come before the position is stored.
    if (this.#random() < 0.7) this.#stored.set(source, { position: batch.after, answer: batch.after })
    return done + length
  }
}

/** Each look at the clock is a minute later. */
function clock(): () => number {
  let now = Date.UTC(2026, 0, 1)
  return () => {
    now += 60_000
    return now
  }
}

function configOf(options: object): FileConfig {
  const result = fileSink.config['~standard'].validate(options)
  if (result instanceof Promise || result.issues !== undefined) throw new Error(JSON.stringify(result))
  return result.value
}

/** All lines, oldest file first. Fails on a rotated file in two forms, and on leftovers. */
function linesIn(path: string): string[] {
  const names = readdirSync(dirname(path)).filter((name) => name.startsWith(basename(path)))
  const rotated = names.filter((name) => name !== basename(path)).sort()
  const stamps = rotated.map((name) => name.replace(/\.(gz|zst)$/, ''))
  expect(new Set(stamps).size).toBe(stamps.length)
  const texts = [...rotated, basename(path)].map((name) => {
    const bytes = readFileSync(join(dirname(path), name))
    if (name.endsWith('.gz')) return gunzipSync(bytes)
    return name.endsWith('.zst') ? zstdDecompressSync(bytes) : bytes
  })
  const lines = Buffer.concat(texts).toString().split('\n')
  expect(lines.pop()).toBe('')
  return lines
}

function expectEachOnce(path: string, plan: Plan): void {
  const lines = linesIn(path)
  for (const source of plan.sources) {
    const wanted = recordsOf(makeBatch(plan.entries, { source, run: RUN })).map((record) =>
      Buffer.from(record).toString(),
    )
    expect(lines.filter((line) => line.includes(source))).toEqual(wanted)
  }
  expect(lines.length).toBe(plan.entries * plan.sources.length)
}

async function inFolder(body: (path: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'lf-'))
  try {
    await body(join(folder, 'journal.ndjson'))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** How many calls a whole shipment makes. */
async function callsOf(plan: Plan): Promise<number> {
  let calls = 0
  await inFolder(async (path) => {
    const disk = new MortalDisk(Number.POSITIVE_INFINITY, randomOf(0))
    expect(await new Shipment(plan, path, randomOf(0)).run(disk)).toBe(true)
    expectEachOnce(path, plan)
    expect(readdirSync(dirname(path)).length - 2).toBeGreaterThanOrEqual(plan.rotated)
    calls = disk.calls
  })
  return calls
}

const PLANS: Readonly<Record<string, Plan>> = {
  'in one file': { options: { sync: '1ms' }, sources: [SOURCE], entries: 60, rotated: 0 },
  'rotating by size, with gzip, synced with every batch': {
    options: { rotate: { size: '12kB', keep: 100 }, compress: 'gzip', sync: 'batch' },
    sources: [SOURCE],
    entries: 60,
    rotated: 2,
  },
  'rotating by time, with zstd, never synced, from two sources': {
    options: { rotate: { every: '5m', keep: 100 }, compress: 'zstd', sync: 'never' },
    sources: [SOURCE, OTHER],
    entries: 39,
    rotated: 2,
  },
}

describe('killed at any call, the file sink neither loses nor repeats a line', () => {
  for (const [name, plan] of Object.entries(PLANS)) {
    it(name, async () => {
      const calls = await callsOf(plan)
      for (let killAt = 1; killAt <= calls; killAt++) {
        await inFolder(async (path) => {
          const random = randomOf(killAt)
          const shipment = new Shipment(plan, path, random)
          let runs = 0
          // Often killed again soon after its start, while it recovers.
          for (let at = killAt; !(await shipment.run(new MortalDisk(at, random))); runs++) at = nextKill(random, runs)
          expectEachOnce(path, plan)
        })
      }
    })
  }
})

function nextKill(random: () => number, runs: number): number {
  return runs < 4 && random() < 0.7 ? 1 + Math.floor(random() * 25) : Number.POSITIVE_INFINITY
}

describe('after a power cut the file sink neither loses nor repeats a line that the journal still has', () => {
  for (const [name, plan] of Object.entries(PLANS)) {
    it(name, async () => {
      const calls = await callsOf(plan)
      for (let killAt = 1; killAt <= calls; killAt++) {
        await inFolder(async (path) => {
          const random = randomOf(killAt)
          const shipment = new Shipment(plan, path, random)
          const disk = new MortalDisk(killAt, random)
          if (!(await shipment.run(disk))) {
            disk.cutPower(currentFiles(path))
            shipment.boot++
            expect(await shipment.run(new MortalDisk(Number.POSITIVE_INFINITY, random))).toBe(true)
          }
          expectEachOnce(path, plan)
        })
      }
    })
  }
})

/** The file and its note: the others are on disk before they get their names. */
function currentFiles(path: string): string[] {
  const wanted = [basename(path), `.${basename(path)}.logferry`]
  return readdirSync(dirname(path)).flatMap((name) => (wanted.includes(name) ? join(dirname(path), name) : []))
}
