// What the tests of the redis sink share: sinks for a real server, and a look at what the server has.
import { mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis as Client } from 'ioredis'
import redis from '../../../sinks/redis.ts'
import type { Batch, Sink, SinkFailure } from '../../../src/sink.ts'
import { recordsOf, type TestHost, testHost } from '../../contract/batches.ts'
import { delivery, failureOf } from '../../contract/sinkContract.ts'
import { journalctl } from '../../support/journals.ts'
import { type Arrived, exact } from './fluentdKit.ts'

export const NEVER = new AbortController().signal

export interface Opened {
  readonly sink: Sink
  readonly host: TestHost
}

/** A sink, not opened. `options` as they stand in a configuration. */
export async function makeSink(options: object, host: TestHost = testHost('queue')): Promise<Opened> {
  const config = await redis.config['~standard'].validate({ key: 'logs', ...options })
  if (config.issues !== undefined) throw new Error(JSON.stringify(config.issues))
  return { sink: redis.create(config.value, host), host }
}

/** A sink that has been opened and asked where it stands, as the pipeline does. */
export async function openSink(options: object, source: string, host?: TestHost): Promise<Opened> {
  const opened = await makeSink(options, host)
  await opened.sink.open(NEVER)
  await opened.sink.lastDelivered?.(source, NEVER)
  return opened
}

export function connect(port: number): Client {
  return new Client(port, '127.0.0.1')
}

/** What went wrong, and its words. */
export async function failing(call: Promise<unknown>): Promise<{ failure: SinkFailure | undefined; message: string }> {
  let message = ''
  const failure = await failureOf(
    call.catch((error: unknown) => {
      message = (error as Error).message
      throw error
    }),
  )
  return { failure, message }
}

/** Writes as the pipeline does: asks after a doubt, repeats while it is unavailable. Gives the failures that came before success. */
export async function ship(sink: Sink, batch: Batch, tries = 200): Promise<SinkFailure[]> {
  const failures: SinkFailure[] = []
  for (let n = 0; n < tries; n++) {
    const failure = await failureOf(sink.write(batch, delivery(AbortSignal.timeout(20_000))))
    if (failure === undefined) return failures
    failures.push(failure)
    if (failure === 'refused') break
    if (failure === 'in-doubt') {
      const answer = await lastDelivered(sink, batch.source)
      if (answer === batch.after) return failures
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`not delivered: ${failures.join(', ')}`)
}

export async function lastDelivered(sink: Sink, source: string): Promise<string | undefined> {
  for (let n = 0; n < 200; n++) {
    try {
      return await sink.lastDelivered?.(source, AbortSignal.timeout(20_000))
    } catch (error) {
      if ((error as { failure?: SinkFailure }).failure === 'refused') throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  throw new Error('no answer to where the target stands')
}

const METADATA = /^\{"@version":"1","@metadata":\{"_id":"[-0-9A-Z_a-z]{34}"(?:,"pipeline":"[^"]*")?\},/

/** Elements without what the sink put in front. */
export function recordsIn(elements: readonly Buffer[]): string[] {
  return elements.map((element) => element.toString('latin1').replace(METADATA, '{'))
}

export async function listRecords(client: Client, key = 'logs'): Promise<string[]> {
  return recordsIn(await client.lrangeBuffer(key, 0, -1))
}

export async function streamRecords(client: Client, key = 'logs', field = 'message'): Promise<string[]> {
  const entries = await client.xrangeBuffer(key, '-', '+')
  return recordsIn(
    entries.map(([, fields]) => {
      if (fields[0]?.toString() !== field || fields.length !== 2) throw new Error(`fields ${fields.join()}`)
      return fields[1] as Buffer
    }),
  )
}

export function textsOf(...batches: readonly Batch[]): string[] {
  return batches.flatMap((batch) => recordsOf(batch).map((record) => Buffer.from(record).toString('latin1')))
}

/** Equal, without printing thousands of lines when not. */
export function firstDifference(found: readonly string[], wanted: readonly string[]): string | undefined {
  if (found.length !== wanted.length) return `${found.length} instead of ${wanted.length}`
  const at = wanted.findIndex((text, index) => text !== found[index])
  return at < 0 ? undefined : `${at}: ${found[at]} instead of ${wanted[at]}`
}

/** The only position key, and its value. */
export async function positionIn(client: Client): Promise<{ key: string; epoch: string; position: string }> {
  const keys = await client.keys('*:logferry:*')
  if (keys.length !== 1) throw new Error(`position keys: ${keys.join()}`)
  const key = keys[0] as string
  const [epoch = '', position = ''] = ((await client.get(key)) ?? '').split(' ')
  return { key, epoch, position }
}

/** Cursors of elements in shape `journal`, in their order. */
export function cursorsIn(elements: readonly Buffer[]): string[] {
  return elements.map((element) => {
    const cursor = /"__CURSOR":"([^"]+)"/.exec(element.toString('latin1'))?.[1]
    if (cursor === undefined) throw new Error(`no element of ours: ${element.toString().slice(0, 200)}`)
    return cursor
  })
}

/** Everything in a list or stream, read in pieces. */
export async function elementsIn(client: Client, mode: 'list' | 'stream', key: string): Promise<Buffer[]> {
  const all: Buffer[] = []
  const piece = 5000
  if (mode === 'list') {
    for (let from = 0; ; from += piece) {
      const part = await client.lrangeBuffer(key, from, from + piece - 1)
      all.push(...part)
      if (part.length < piece) return all
    }
  }
  for (let from = '-'; ; ) {
    const part = await client.xrangeBuffer(key, from, '+', 'COUNT', piece)
    for (const [, fields] of part) all.push(fields[1] as Buffer)
    const last = part.at(-1)
    if (part.length < piece || last === undefined) return all
    from = `(${last[0].toString()}`
  }
}

export function lengthOf(client: Client, mode: 'list' | 'stream', key: string): Promise<number> {
  return mode === 'list' ? client.llen(key) : client.xlen(key)
}

/** An element or a document as its fields' bytes, without what only Logstash reads; the sink has `binary: array`. */
export function arrivedIn(record: Record<string, unknown>): Arrived {
  const { '@version': _version, '@metadata': _metadata, ...entry } = record
  const fields = new Map(Object.entries(entry).map(([name, value]) => [name, bytesOf(value).map(exact)]))
  return { cursor: String(entry['__CURSOR']), ns: `${entry['__REALTIME_TIMESTAMP']}000`, tag: '', fields }
}

/** Text, an array of byte numbers, or an array of those where the field repeats. */
function bytesOf(value: unknown): Buffer[] {
  if (typeof value === 'string') return [Buffer.from(value)]
  if (!Array.isArray(value)) throw new Error(`a value that is ${JSON.stringify(value)}`)
  if (typeof value[0] === 'number') return [Buffer.from(value as number[])]
  return value.flatMap(bytesOf)
}

/** The cursors of a journal, in its order. */
export function cursorsOfJournal(dir: string): string[] {
  const all = journalctl(['-D', dir, '-o', 'export', '--output-fields=MESSAGE']).toString('latin1')
  return all.match(/^__CURSOR=.*$/gm)?.map((line) => line.slice(9)) ?? []
}

/** Writes a configuration with one sink, `out`, and a state folder of its own. Returns its path. */
export function writeConfig(home: string, journal: string, sink: string): string {
  const dir = mkdtempSync(join(home, 'run-'))
  const path = join(dir, 'logferry.yaml')
  const lines = [
    `state: ${dir}/state`,
    `journal: { directories: [${journal}], start: oldest }`,
    'log: { level: warn }',
    `sinks:\n  out: ${sink}`,
  ]
  writeFileSync(path, `${lines.join('\n')}\n`)
  return path
}
