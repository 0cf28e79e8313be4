// The files that were rotated away: their names, compressing them, removing the oldest. All of it can be repeated at any time:
// a compressed form gets its name only when it is whole and on disk, and only then is the plain form removed.

import { constants } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip, createZstdCompress } from 'node:zlib'
import type { SinkHost } from '../../src/sink.ts'
import { unlessAborted } from '../parts/turns.ts'
import { absent, codeOf, type FileHandle, type FileSystem, syncFolder, writeAll } from './system.ts'

export type Compression = 'none' | 'gzip' | 'zstd'

const ENDING: Readonly<Record<Exclude<Compression, 'none'>, string>> = { gzip: '.gz', zstd: '.zst' }
const CHUNK_BYTES = 256 * 1024

export interface RotationRules {
  readonly compress: Compression
  /** So many rotated files stay; undefined: all. */
  readonly keep: number | undefined
  /** Older ones go; undefined: none for its age. */
  readonly maxAgeMs: number | undefined
}

/** `20261124T134413042Z`: sorts as the times do. */
function stampOf(ms: number): string {
  return new Date(ms).toISOString().replaceAll(/[-:.]/g, '')
}

function timeOf(stamp: string): number {
  const [, y, mo, d, h, mi, s, ms] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z$/.exec(stamp) ?? []
  return Date.parse(`${y}-${mo}-${d}T${h}:${mi}:${s}.${ms}Z`)
}

/** One rotated file, in whichever forms it exists. */
interface Rotated {
  readonly stamp: string
  plain: string | undefined
  compressed: string | undefined
}

export class RotatedFiles {
  readonly #fs: FileSystem
  readonly #folder: string
  readonly #name: string
  readonly #rules: RotationRules
  readonly #log: SinkHost['log']
  readonly #now: () => number
  #working: Promise<void> | undefined
  #again = false
  #isSwept = false
  #stop = new AbortController()

  constructor(fs: FileSystem, path: string, rules: RotationRules, log: SinkHost['log'], now: () => number) {
    this.#fs = fs
    this.#folder = dirname(path)
    this.#name = basename(path)
    this.#rules = rules
    this.#log = log
    this.#now = now
  }

  /** The path that the current file gets: behind all others also when the clock was set back. */
  async nextPath(): Promise<string> {
    const last = (await this.#list()).at(-1)
    const ms = last === undefined ? this.#now() : Math.max(this.#now(), timeOf(last.stamp) + 1)
    return join(this.#folder, `${this.#name}.${stampOf(ms)}`)
  }

  /** Removes what is too much or too old, and starts to compress the rest in the background. Failures are logged, and tried again then. */
  async tidy(): Promise<void> {
    if (!this.#isSwept) await this.#sweep().catch((error: unknown) => this.#complain('remove temporary files', error))
    await this.#prune().catch((error: unknown) => this.#complain('remove old files', error))
    this.#again = true
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined
    })
  }

  /** Waits for the background work; aborted, it stops it: what was not compressed is at the next start. */
  async stop(signal: AbortSignal): Promise<void> {
    const working = this.#working
    if (working === undefined) return
    await unlessAborted(working, signal).catch(() => this.#stop.abort())
    await working
    this.#stop = new AbortController()
  }

  /** Removes what a kill in the middle of compressing left; once, before there are temporaries of our own. */
  async #sweep(): Promise<void> {
    this.#isSwept = true
    for (const name of await this.#fs.readdir(this.#folder)) {
      if (!name.startsWith(`.${this.#name}.`) || !name.endsWith('.tmp')) continue
      await this.#fs.unlink(join(this.#folder, name)).catch(absent)
    }
  }

  async #work(): Promise<void> {
    while (this.#again && !this.#stop.signal.aborted) {
      this.#again = false
      const rotated = await this.#list().catch((error: unknown) => this.#complain('list the folder', error))
      for (const { plain, compressed } of rotated ?? []) {
        if (this.#stop.signal.aborted) return
        if (plain !== undefined) {
          await this.#finish(plain, compressed).catch((error: unknown) => this.#complain(`compress ${plain}`, error))
        }
      }
    }
  }

  #complain(what: string, error: unknown): undefined {
    // Aborted because the sink closes, or removed meanwhile as too many or too old.
    if (this.#stop.signal.aborted || codeOf(error) === 'ENOENT') return
    const why = error instanceof Error ? error.message : String(error)
    this.#log.warn(`cannot ${what}, will try again at the next rotation: ${why}`, { folder: this.#folder })
  }

  async #finish(plain: string, compressed: string | undefined): Promise<void> {
    // Killed between giving the compressed form its name and removing the plain one.
    if (compressed !== undefined) await this.#fs.unlink(join(this.#folder, plain))
    else if (this.#rules.compress !== 'none') await this.#compress(plain, this.#rules.compress)
  }

  async #list(): Promise<Rotated[]> {
    const found = new Map<string, Rotated>()
    const start = `${this.#name}.`
    for (const name of await this.#fs.readdir(this.#folder)) {
      const match = name.startsWith(start) ? /^(\d{8}T\d{9}Z)(\.gz|\.zst)?$/.exec(name.slice(start.length)) : null
      if (match === null) continue
      const [, stamp = '', ending] = match
      const rotated = found.get(stamp) ?? { stamp, plain: undefined, compressed: undefined }
      if (ending === undefined) rotated.plain = name
      else rotated.compressed = name
      found.set(stamp, rotated)
    }
    return [...found.values()].sort((a, b) => (a.stamp < b.stamp ? -1 : 1))
  }

  async #prune(): Promise<void> {
    const { keep, maxAgeMs } = this.#rules
    const all = await this.#list()
    const surplus = keep === undefined ? 0 : all.length - keep
    for (const [index, { stamp, plain, compressed }] of all.entries()) {
      const tooOld = maxAgeMs !== undefined && timeOf(stamp) < this.#now() - maxAgeMs
      if (index >= surplus && !tooOld) continue
      for (const name of [plain, compressed]) {
        if (name !== undefined) await this.#fs.unlink(join(this.#folder, name)).catch(absent)
      }
    }
  }

  async #compress(name: string, compression: Exclude<Compression, 'none'>): Promise<void> {
    const plain = join(this.#folder, name)
    const final = `${plain}${ENDING[compression]}`
    const temporary = join(this.#folder, `.${basename(final)}.tmp`)
    const source = await this.#fs.open(plain, constants.O_RDONLY)
    try {
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC
      const target = await this.#fs.open(temporary, flags, 0o600)
      try {
        const { mode, uid, gid } = await source.stat()
        // Not ours to give away when another program made the file: then the copy stays with this user and its group.
        await target.chown(uid, gid).catch(() => undefined)
        await target.chmod(mode & 0o777)
        const packer = compression === 'gzip' ? createGzip() : createZstdCompress()
        const write = async (packed: AsyncIterable<Buffer>) => {
          for await (const chunk of packed) await writeAll(target, chunk, null)
        }
        await pipeline(Readable.from(chunksOf(source)), packer, write, { signal: this.#stop.signal })
        await target.sync()
      } finally {
        await target.close()
      }
      // Removed meanwhile, as too many or too old: then it shall not come back compressed.
      await this.#fs.access(plain)
      await this.#fs.rename(temporary, final)
    } catch (error) {
      await this.#fs.unlink(temporary).catch(() => undefined)
      throw error
    } finally {
      await source.close()
    }
    await syncFolder(this.#fs, this.#folder)
    await this.#fs.unlink(plain)
  }
}

async function* chunksOf(handle: FileHandle): AsyncGenerator<Buffer> {
  for (;;) {
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, null)
    if (bytesRead === 0) return
    yield buffer.subarray(0, bytesRead)
  }
}
