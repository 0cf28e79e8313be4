import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import type { FileConfig } from '../../sinks/file/options.ts'
import { type FileHandle, type FileSystem, type Machine, nodeFileSystem, thisMachine } from '../../sinks/file/system.ts'
import fileSink, { FileSink } from '../../sinks/file.ts'
import type { Batch, Sink } from '../../src/sink.ts'
import {
  delivery,
  failureOf,
  makeBatch,
  recordsOf,
  SOURCE,
  type TestHost,
  testHost,
  testSink,
} from '../contract/sinkContract.ts'
import { describeWith } from '../support/needs.ts'
import { tempDir } from '../support/tempDir.ts'

const NEVER = new AbortController().signal

function configOf(options: object): FileConfig {
  const result = fileSink.config['~standard'].validate(options)
  if (result instanceof Promise || result.issues !== undefined) throw new Error(JSON.stringify(result))
  return result.value
}

function mistakesOf(options: object): string[] {
  const result = fileSink.config['~standard'].validate(options)
  if (result instanceof Promise) throw new Error('validates at once')
  return (result.issues ?? []).map(({ path = [], message }) => `${path.join('.')}: ${message}`)
}

/** A disk that a test can fill up, and whose writes it can hold. */
class TroubledDisk {
  isFull = false
  answersAfterMs = 0
  #held: Promise<void> | undefined
  #release: (() => void) | undefined

  hold(): void {
    this.#held = new Promise((resolve) => {
      this.#release = resolve
    })
  }

  letGo(): void {
    this.#release?.()
    this.#held = undefined
  }

  readonly fs: FileSystem = {
    ...nodeFileSystem,
    open: async (path, flags, mode) => {
      if (this.isFull && (Number(flags) & 0o100) !== 0) throw noSpace()
      return this.#watched(await nodeFileSystem.open(path, flags, mode), String(path))
    },
  }

  #watched(handle: FileHandle, path: string): FileHandle {
    const isNote = path.includes('.logferry')
    const write = handle.write.bind(handle)
    const troubled = async (bytes: Uint8Array, from: number, length: number, position: number | null) => {
      if (isNote) return write(bytes, from, length, position)
      await this.#held
      if (this.isFull) {
        // As a file system does: what fits is written, the next call fails.
        if (length > 100) return write(bytes, from, 100, position)
        throw noSpace()
      }
      const result = await write(bytes, from, length, position)
      if (this.answersAfterMs > 0) await sleep(this.answersAfterMs)
      return result
    }
    return Object.assign(handle, { write: troubled }) as FileHandle
  }
}

function noSpace(): Error {
  return Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
}

interface Target {
  readonly path: string
  readonly disk: TroubledDisk
}

testSink<Target>({
  name: 'file',
  module: fileSink,
  example: {
    path: '/var/log/ship/journal.ndjson',
    rotate: { size: '100MiB', every: '1d', keep: 14 },
    compress: 'zstd',
    mode: '0640',
    group: 'adm',
  },
  target: async () => ({ path: join(tempDir(), 'journal.ndjson'), disk: new TroubledDisk() }),
  create: ({ path, disk }, host) =>
    new FileSink(configOf({ path }), host, { ...thisMachine, fs: disk.fs, open: new Set() }),
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
  takeAtMost: 'a file has no limit',
  stall: {
    begin: ({ disk }) => disk.hold(),
    end: ({ disk }) => disk.letGo(),
  },
})

function linesOf(path: string): string[] {
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : []
}

void [
  execFileSync,
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  gunzipSync,
  zstdDecompressSync,
  describe,
  expect,
  it,
  delivery,
  failureOf,
  makeBatch,
  recordsOf,
  SOURCE,
  describeWith,
  NEVER,
  mistakesOf,
]
export type X = [Batch, Sink, TestHost, Machine]
