// The job of a backfill, in <state>/backfill/<sink>@<hash of its arguments>.json: the range that was resolved when it first
// began. As long as the file is there, the same command goes on; when all is done it is removed.
// Invariant: the file never changes after it was written; where the job stands is kept beside it, by a name of its own.

import { createHash, randomBytes } from 'node:crypto'
import { readdirSync, rmSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { makeFolder, readIfThere, replaceFile, syncFolder } from '../atomicFile.ts'
import { isProblem, problem } from '../errors.ts'
import type { KnownFile } from '../journal/directory.ts'
import { JournalFile } from '../journal/file/file.ts'
import type { MemoryBudget } from '../journal/memory.ts'
import { PositionState } from '../journal/position.ts'
import type { Position } from '../sink.ts'
import { sinkFolder, stateProblem } from './state/statePath.ts'

const VERSION = 1

/** From where to where, in one source. */
export interface Range {
  readonly start: Position
  /** Nothing behind it is read. */
  readonly end: Position
}

/** What is kept of a job. */
export interface JobFacts {
  readonly sink: string
  readonly args: readonly string[]
  /** The name under which the sink's target keeps the job's position; another one each time the job begins anew. */
  readonly run: string
  readonly ranges: ReadonlyMap<string, Range>
  /** Entries in the ranges, as the files say; copies count twice. */
  readonly entries: number
}

/** Names of the things of one job. */
export class BackfillJob {
  readonly sink: string
  readonly args: readonly string[]
  /** Of the arguments, 12 hex digits. */
  readonly hash: string
  /** The sink and the hash. */
  readonly name: string
  /** <state>/backfill. */
  readonly folder: string

  /** @param args the arguments as they were written: the same ones make the same job */
  constructor(state: string, sink: string, args: readonly string[]) {
    this.sink = sink
    this.args = args
    this.folder = join(state, 'backfill')
    this.hash = createHash('sha256').update(JSON.stringify(args)).digest('hex').slice(0, 12)
    this.name = `${sink}@${this.hash}`
    // Throws for a name that would lead out of the folder.
    sinkFolder(this.folder, this.name)
  }

  get lockName(): string {
    return `${this.name}.lock`
  }

  get #path(): string {
    return join(this.folder, `${this.name}.json`)
  }

  /** The job as it was begun; undefined when it was not, or is done. Throws LF_BACKFILL_DAMAGED. */
  read(): JobFacts | undefined {
    let content: Buffer | undefined
    try {
      content = readIfThere(this.#path)
    } catch (error) {
      throw stateProblem(this.#path, error)
    }
    return content === undefined ? undefined : this.#parse(content.toString('utf8'))
  }

  /** Begins the job: durable when it resolves. Rejects with LF_STATE_IO or LF_STATE_NO_ACCESS. */
  async begin(ranges: ReadonlyMap<string, Range>, entries: number): Promise<JobFacts> {
    const run = `${this.name}.${randomBytes(3).toString('hex')}`
    const facts = { sink: this.sink, args: this.args, run, ranges, entries }
    try {
      makeFolder(this.folder)
      await replaceFile(this.#path, formatFacts(facts), true)
    } catch (error) {
      throw stateProblem(this.#path, error)
    }
    return facts
  }

  /** The job is done: the same command begins anew from now on. Durable when it resolves. */
  async end(): Promise<void> {
    try {
      unlinkSync(this.#path)
      await syncFolder(this.folder)
      this.removeRemains(undefined)
    } catch (error) {
      throw stateProblem(this.#path, error)
    }
  }

  /** Removes what earlier runs of this job left, except for `run`. */
  removeRemains(run: string | undefined): void {
    for (const name of readdirSync(this.folder)) {
      if (!name.startsWith(`${this.name}.`) || !/^\.[0-9a-f]{6}$/.test(name.slice(this.name.length))) continue
      if (name !== run) rmSync(join(this.folder, name), { recursive: true, force: true })
    }
  }

  /** For what is kept beside the job file and cannot be used. */
  damaged(why: string, cause?: unknown) {
    return problem('LF_BACKFILL_DAMAGED', { path: this.#path, why }, cause)
  }

  #parse(text: string): JobFacts {
    let parsed: unknown
    try {
      parsed = JSON.parse(text)
    } catch (error) {
      throw this.damaged('it is not whole', error)
    }
    const { checksum: found, ...body } = Object(parsed) as Record<string, unknown>
    if (typeof body['version'] === 'number' && body['version'] > VERSION) {
      throw this.damaged(`it was written by a newer logferry, version ${body['version']}`)
    }
    if (found !== checksum(body)) throw this.damaged('its checksum is wrong')
    const { sink, args, run, entries, ranges } = body as unknown as ReturnType<typeof bodyOf>
    if (sink !== this.sink || JSON.stringify(args) !== JSON.stringify(this.args)) {
      throw this.damaged('it belongs to another command')
    }
    return { sink, args, run, entries, ranges: new Map(ranges.map(({ source, ...range }) => [source, range])) }
  }
}

function bodyOf(facts: JobFacts) {
  const ranges = Array.from(facts.ranges, ([source, { start, end }]) => ({ source, start, end }))
  return { version: VERSION, sink: facts.sink, args: facts.args, run: facts.run, entries: facts.entries, ranges }
}

function formatFacts(facts: JobFacts): string {
  const body = bodyOf(facts)
  return `${JSON.stringify({ ...body, checksum: checksum(body) })}\n`
}

function checksum(body: object): string {
  return createHash('sha256').update(JSON.stringify(body)).digest('hex')
}

/**
 * The end of a range in one source: behind the last entry of every file that is not younger than `untilUs`, as the files
 * are now. Also counts the entries from `sinceUs` on. Files that cannot be read are left out; the set says why.
 * @param untilUs microseconds since 1970, inclusive; undefined: all there is
 */
export function endOf(
  files: Iterable<KnownFile>,
  source: string,
  sinceUs: number | undefined,
  untilUs: number | undefined,
  memory: MemoryBudget,
  nowUs: number,
): { readonly end: Position; readonly entries: number } {
  // What an id that is met later holds is young: it lies behind this floor.
  const end = PositionState.empty({ realtime: untilUs === undefined ? nowUs : untilUs + 1 })
  let entries = 0
  for (const known of files) {
    if (known.source !== source) continue
    const file = openOrNone(known, memory)
    if (file === undefined) continue
    try {
      const from = sinceUs === undefined ? 0 : file.findRealtime(sinceUs)
      const to = untilUs === undefined ? file.entryCount : file.findRealtime(untilUs + 1)
      entries += Math.max(0, to - from)
      let last = to - 1
      while (last >= 0 && !file.load(last)) last--
      // Several files of one id come in any order; a position does not go back.
      if (last >= 0 && file.seqnum > (end.ids.get(file.seqnumId)?.seqnum ?? 0)) end.take(file)
    } finally {
      file.close()
    }
  }
  return { end: end.toString(), entries }
}

function openOrNone(known: KnownFile, memory: MemoryBudget): JournalFile | undefined {
  try {
    return JournalFile.open(known.path, memory)
  } catch (error) {
    if (isProblem(error)) return undefined
    throw error
  }
}
