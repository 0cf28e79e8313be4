// One process at a time: a Unix socket in the state folder that its holder listens on as long as it lives. Whoever can
// connect knows that it is taken; "connection refused" means that the holder is dead. Holds between containers that share
// the folder, where a pid says nothing, and a crash of any kind frees it.
// Invariant: a socket listens before it has a name that others look at, and a name that answers is never taken away.

import { randomBytes } from 'node:crypto'
import { type BigIntStats, chmodSync, linkSync, readdirSync, renameSync, statSync, unlinkSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeFolder, systemCode } from '../../atomicFile.ts'
import { isProblem, problem } from '../../errors.ts'
import { type Call, call } from './lockCall.ts'
import { ShortPaths } from './shortPaths.ts'
import { describeSystemError, stateProblem } from './statePath.ts'

/** What the holder of a lock says of itself. */
export interface LockHolder {
  readonly pid: number
  readonly host: string
  /** When it took the lock, ISO 8601. */
  readonly since: string
  /** The sinks that it runs. */
  readonly sinks: readonly string[]
  /** Absolute paths of the files that its sinks write, as configured. */
  readonly writes: readonly string[]
}

export interface LockOptions {
  /** What it runs and writes; asked again for every caller, as a reload changes it. */
  readonly describe?: () => { readonly sinks: readonly string[]; readonly writes: readonly string[] }
  /** Answers requests other than `who`, `status` for one: a value for JSON, or undefined when it does not know the word. */
  readonly answer?: (request: string) => unknown
  /** Gives up after so long when others take it over at the same time, ms. Default 10 s. */
  readonly patienceMs?: number
}

/** A request is one word; nobody needs more. */
const REQUEST_BYTES = 256
/** A caller that says nothing is let go. */
const IDLE_MS = 5000

/** A lock that is held. Ends with the process, or by `release`. */
export class StateLock {
  readonly #paths: ShortPaths
  readonly #name: string
  readonly #server: Server
  readonly #callers = new Set<Socket>()
  readonly #identity: string

  private constructor(paths: ShortPaths, name: string, server: Server, callers: Set<Socket>) {
    this.#paths = paths
    this.#name = name
    this.#server = server
    this.#callers = callers
    this.#identity = identityOf(paths, name) ?? ''
  }

  /**
   * Takes the lock `name` in `folder`, which is made where it is missing. Rejects with LF_STATE_LOCKED, which names who
   * has it, LF_STATE_NO_ACCESS or LF_STATE_IO (a file system without sockets or hard links).
   */
  static async acquire(folder: string, name: string, options: LockOptions = {}): Promise<StateLock> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await StateLock.#acquire(folder, name, options)
      } catch (error) {
        if (isProblem(error)) throw error
        // Another's sweep can meet our socket in the moment before it listens, and then its name is gone.
        if (systemCode(error) === 'ENOENT' && attempt < 3) continue
        // EPERM is no matter of permissions here: the file system has no sockets or no hard links.
        if (systemCode(error) === 'EACCES') throw problem('LF_STATE_NO_ACCESS', { path: folder }, error)
        throw problem('LF_STATE_IO', { path: join(folder, name), why: describeSystemError(error) }, error)
      }
    }
  }

  static async #acquire(folder: string, name: string, options: LockOptions): Promise<StateLock> {
    makeFolder(folder)
    const paths = new ShortPaths(folder)
    // The socket gets its first name where nobody looks. Its other names are links to it.
    const own = `${name}.${randomBytes(4).toString('hex')}`
    const callers = new Set<Socket>()
    let server: Server | undefined
    try {
      server = await listen(paths.of(own), callers, holderOf(options), options.answer)
      chmodSync(paths.of(own), 0o600)
      await takeName(paths, own, name, options.patienceMs ?? 10_000)
      unlinkIfThere(paths.of(own))
      await sweep(paths, name)
      return new StateLock(paths, name, server, callers)
    } catch (error) {
      server?.close()
      unlinkIfThere(paths.of(own))
      paths.close()
      throw error
    }
  }

  /** Gives the lock back. The name goes first: once it refuses, another may take it over at any moment. */
  async release(): Promise<void> {
    if (!this.#server.listening) return
    if (identityOf(this.#paths, this.#name) === this.#identity) unlinkIfThere(this.#paths.of(this.#name))
    for (const caller of this.#callers) caller.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
    this.#paths.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release()
  }
}

/**
 * Asks the holder of a lock: `who` gives its LockHolder, other words what its `answer` gives. Undefined when nobody
 * holds it. Rejects with LF_STATE_NO_ACCESS or LF_STATE_IO when that cannot be known.
 */
export async function askLock(folder: string, name: string, request = 'who'): Promise<unknown> {
  let paths: ShortPaths | undefined
  try {
    paths = new ShortPaths(folder)
    const result = await call(paths.of(name), request)
    return result.kind === 'alive' ? (result.answer ?? {}) : undefined
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw stateProblem(`${folder}/${name}`, error)
  } finally {
    paths?.close()
  }
}

/** The holder of a lock, or undefined when it is free. Parts that the holder did not say are empty. */
export async function lockHolder(folder: string, name: string): Promise<LockHolder | undefined> {
  const answer = await askLock(folder, name)
  return answer === undefined ? undefined : readHolder(answer)
}

/** A holder in words: `another logferry (pid 12 on host a1, since 2026-01-01T00:00:00.000Z)`. */
export function nameHolder(holder: LockHolder): string {
  if (holder.pid === 0) return 'another logferry, which does not answer'
  return `another logferry (pid ${holder.pid} on host ${holder.host}, since ${holder.since})`
}

function readHolder(answer: unknown): LockHolder {
  const said = typeof answer === 'object' && answer !== null ? (answer as Record<string, unknown>) : {}
  const texts = (value: unknown): string[] =>
    Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : []
  return {
    pid: typeof said['pid'] === 'number' ? said['pid'] : 0,
    host: typeof said['host'] === 'string' ? said['host'] : 'unknown',
    since: typeof said['since'] === 'string' ? said['since'] : 'unknown',
    sinks: texts(said['sinks']),
    writes: texts(said['writes']),
  }
}

function holderOf(options: LockOptions): () => LockHolder {
  const since = new Date().toISOString()
  return () => ({ pid: process.pid, host: hostname(), since, sinks: [], writes: [], ...options.describe?.() })
}

function listen(
  path: string,
  callers: Set<Socket>,
  holder: () => LockHolder,
  answer: LockOptions['answer'],
): Promise<Server> {
  const server = createServer((caller) => {
    callers.add(caller)
    caller.unref()
    caller.setTimeout(IDLE_MS, () => caller.destroy())
    caller.on('close', () => callers.delete(caller))
    // A caller that went away needs no answer.
    caller.on('error', () => {})
    let heard = ''
    caller.setEncoding('utf8').on('data', (text: string) => {
      heard += text
      if (heard.length > REQUEST_BYTES) caller.destroy()
      const end = heard.indexOf('\n')
      if (end < 0) return
      const request = heard.slice(0, end)
      caller.removeAllListeners('data')
      const said = request === 'who' ? holder() : answer?.(request)
      void Promise.resolve(said)
        .catch((error: unknown) => ({ error: error instanceof Error ? error.message : String(error) }))
        .then((value) => caller.end(`${JSON.stringify(value ?? { error: `unknown request "${request}"` })}\n`))
    })
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject)
      // The lock must not keep a process alive that has nothing else to do.
      server.unref()
      resolve(server)
    })
  })
}

/** Gives the listening socket `own` the name `name`, unless somebody who lives has it. */
async function takeName(paths: ShortPaths, own: string, name: string, patienceMs: number): Promise<void> {
  const deadline = performance.now() + patienceMs
  for (let silent = 0; ; await sleep(20)) {
    if (linkUnlessThere(paths, own, name)) return
    const found = identityOf(paths, name)
    const result = await call(paths.of(name), 'who')
    if (result.kind === 'alive') {
      // A holder that is just leaving closes without a word: look again before saying that it is locked.
      if (result.answer === undefined && !result.isSlow && ++silent < 5) continue
      throw problem('LF_STATE_LOCKED', { path: paths.folder, holder: nameHolder(readHolder(result.answer)) })
    }
    if (result.kind === 'dead' && found !== undefined && (await replaceDead(paths, own, name, found))) return
    if (performance.now() > deadline) {
      throw problem('LF_STATE_LOCKED', { path: paths.folder, holder: 'another logferry, which is just taking it over' })
    }
  }
}

/**
 * Puts `own` in the place of a dead socket. Only one may do so at a time, else the second would replace the first, so it
 * is done under a file that is made exclusively and named after the dead socket. That file is a link to the maker's own
 * socket: when its maker died over it, it refuses as well, and the next number is tried. False: look again.
 */
async function replaceDead(paths: ShortPaths, own: string, name: string, stale: string): Promise<boolean> {
  for (let number = 0; ; number++) {
    const guard = `${name}.${stale}.${number}`
    if (!linkUnlessThere(paths, own, guard)) {
      const maker: Call = await call(paths.of(guard), 'who')
      if (maker.kind === 'dead') continue
      return false
    }
    try {
      // Somebody may have been through here before: then another socket has the name, or none.
      if (identityOf(paths, name) !== stale) return false
      renameSync(paths.of(own), paths.of(name))
      return true
    } finally {
      unlinkIfThere(paths.of(guard))
    }
  }
}

/** Removes what crashes left behind: names of this lock that refuse. The holder does it, so nobody needs them any more. */
async function sweep(paths: ShortPaths, name: string): Promise<void> {
  for (const left of readdirSync(paths.folder)) {
    if (!left.startsWith(`${name}.`) || !/^\.[0-9a-z-]+(\.\d+)?$/.test(left.slice(name.length))) continue
    if (!statSync(paths.of(left), { throwIfNoEntry: false })?.isSocket()) continue
    if ((await call(paths.of(left), 'who')).kind === 'dead') unlinkIfThere(paths.of(left))
  }
}

/** What tells one socket file from all others that had or will have its name. */
function identityOf(paths: ShortPaths, name: string): string | undefined {
  const stat: BigIntStats | undefined = statSync(paths.of(name), { bigint: true, throwIfNoEntry: false })
  // Inode numbers are used again, but not with the same time: a socket file is never written to after it was made.
  return stat === undefined ? undefined : `${stat.ino.toString(36)}-${stat.mtimeNs.toString(36)}`
}

function linkUnlessThere(paths: ShortPaths, from: string, to: string): boolean {
  try {
    linkSync(paths.of(from), paths.of(to))
    return true
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false
    throw error
  }
}

function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
  }
}
