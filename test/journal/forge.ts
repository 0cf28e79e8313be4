// Journal files with chosen numbers, times and ids: a fixture's file whose ENTRY heads are overwritten. What they refer to stays.
// Growth is played by moving the header's entry count, as a reader sees no more of a writer.
import { closeSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { JournalFile } from '../../src/journal/file/file.ts'
import { MemoryBudget } from '../../src/journal/memory.ts'
import { openFixture } from '../support/fixtures.ts'

export interface Stamp {
  readonly seqnum: number
  readonly monotonic: number
  /** Default: monotonic + 1e15. */
  readonly realtime?: number
  readonly xor?: number
  /** 32 hex digits; default: the fixture's. The file's index does not have another one. */
  readonly boot?: string
}

export interface ForgeOptions {
  /** Digits that the seqnum id is made of, over and over. */
  readonly id?: string
  /** Digits that the machine id is made of; default: the fixture's. */
  readonly machine?: string
  /** 0 offline, 1 online, 2 archived; default 1. */
  readonly state?: number
  /** How many of the entries the header admits; default all. */
  readonly visible?: number
}

export const ONLINE = 1
export const ARCHIVED = 2

const BASE = 'kernel'
/** So many entries a forged file can have. */
export const FORGED_MAX = 300

interface Base {
  /** Without the megabytes of zeroes that are preallocated. */
  readonly bytes: Buffer
  readonly offsets: readonly number[]
}

let base: Base | undefined

function loadBase(): Base {
  if (base !== undefined) return base
  const path = join(openFixture(BASE).dir, 'a.journal')
  const file = JournalFile.open(path, new MemoryBudget(16 << 20))
  const offsets: number[] = []
  while (file.next()) offsets.push(file.offset)
  const { headerSize, tailObjectOffset } = file.header
  file.close()
  const bytes = readFileSync(path).subarray(0, tailObjectOffset + 4096)
  bytes.writeBigUInt64LE(BigInt(bytes.length - headerSize), 96)
  base = { bytes, offsets }
  return base
}

export function realtimeOf(stamp: Stamp): number {
  return stamp.realtime ?? stamp.monotonic + 1e15
}

export function forge(path: string, stamps: readonly Stamp[], options: ForgeOptions = {}): string {
  if (stamps.length > FORGED_MAX) throw new Error('too many entries')
  const { bytes, offsets } = loadBase()
  writeFileSync(path, bytes)
  const fd = openSync(path, 'r+')
  writeSync(fd, Buffer.from((options.id ?? 'a').repeat(32).slice(0, 32), 'hex'), 0, 16, 72)
  if (options.machine !== undefined)
    writeSync(fd, Buffer.from(options.machine.repeat(32).slice(0, 32), 'hex'), 0, 16, 40)
  for (const [i, stamp] of stamps.entries()) {
    const at = offsets[i]!
    put(fd, at + 16, stamp.seqnum)
    put(fd, at + 24, realtimeOf(stamp))
    put(fd, at + 32, stamp.monotonic)
    if (stamp.boot !== undefined) writeSync(fd, Buffer.from(stamp.boot, 'hex'), 0, 16, at + 40)
    put(fd, at + 56, stamp.xor ?? stamp.seqnum * 7)
  }
  closeSync(fd)
  setState(path, options.state ?? ONLINE)
  show(path, options.visible ?? stamps.length)
  return path
}

/** Lets the header admit the first `count` entries, in the order in which a writer does it. */
export function show(path: string, count: number): void {
  const fd = openSync(path, 'r+')
  put(fd, 152, count)
  const { offsets } = loadBase()
  const [head, tail] = [offsets[0]!, offsets[count - 1]]
  if (tail !== undefined) {
    put(fd, 160, get(fd, tail + 16))
    put(fd, 168, get(fd, head + 16))
    put(fd, 184, get(fd, head + 24))
    put(fd, 192, get(fd, tail + 24))
    put(fd, 200, get(fd, tail + 32))
  } else for (const at of [160, 168, 184, 192, 200]) put(fd, at, 0)
  closeSync(fd)
}

export function setState(path: string, state: number): void {
  const fd = openSync(path, 'r+')
  writeSync(fd, Buffer.from([state]), 0, 1, 16)
  closeSync(fd)
}

/** Writes the last seqnum into the header. */
export function setTail(path: string, seqnum: number): void {
  const fd = openSync(path, 'r+')
  put(fd, 160, seqnum)
  closeSync(fd)
}

function put(fd: number, at: number, value: number): void {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  writeSync(fd, bytes, 0, 8, at)
}

function get(fd: number, at: number): number {
  const bytes = Buffer.alloc(8)
  readSync(fd, bytes, 0, 8, at)
  return Number(bytes.readBigUInt64LE())
}
