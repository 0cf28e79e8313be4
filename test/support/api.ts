// The logging API in this process, with settings from the real configuration schema, and a client that sees every byte.

import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { startApi } from '../../src/api/server.ts'
import { apiMistakes, toApiSettings, toMesosSettings } from '../../src/config/api.ts'
import { apiOptions, mesosOptions } from '../../src/config/apiOptions.ts'
import { JournalSet } from '../../src/journal/directory.ts'
import { MemoryBudget } from '../../src/journal/memory.ts'
import { systemClock } from '../../src/telemetry/clock.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { Metrics } from '../../src/telemetry/metrics.ts'

export interface TestApiOptions {
  /** Directory with journal files. */
  readonly dir: string
  /** What stands under `api:`; it listens on a free port of loopback unless it says something else. */
  readonly api?: Record<string, unknown>
  /** What stands under `mesos:`. */
  readonly mesos?: Record<string, unknown>
  readonly node?: { readonly role?: 'master' | 'agent' | 'agent_public'; readonly ip?: string }
}

export interface TestApi {
  readonly address: string
  readonly port: number
  readonly metrics: Metrics
  readonly routes: readonly string[]
  /** The log as text so far. */
  log(): string
  close(): Promise<void>
}

/** Starts it. Throws what a wrong option makes of it. */
export async function startTestApi({ dir, api = {}, mesos, node = {} }: TestApiOptions): Promise<TestApi> {
  const options = apiOptions.parse({ listen: '127.0.0.1:0', ...api })
  const [mistake] = apiMistakes(options)
  if (mistake !== undefined) throw new Error(mistake.message)
  const memory = new MemoryBudget(32 << 20)
  const set = JournalSet.open({ directories: [dir], machineId: 'any', mayBeEmpty: true }, memory)
  const metrics = new Metrics()
  let lines = ''
  const target = {
    write(line: string) {
      lines += line
    },
  }
  const log = await createLog({ level: 'debug', format: 'json', target })
  const server = await startApi({
    settings: toApiSettings(options),
    mesos: mesos === undefined ? undefined : toMesosSettings(mesosOptions.parse(mesos)),
    node: { role: node.role, ip: node.ip },
    set,
    memory,
    metrics,
    clock: systemClock,
    log,
    version: '0.0.0',
    pageFolder: join(import.meta.dirname, '../../page'),
  })
  return {
    address: server.address,
    port: Number(/:(\d+)$/.exec(server.address)?.[1] ?? 0),
    metrics,
    routes: server.routes,
    log: () => lines,
    async close() {
      await server.close()
      set.close()
    },
  }
}

export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  readonly text: string
}

export interface GetOptions {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly socketPath?: string
  readonly body?: string
}

/** Sends one request and waits for the whole answer. The path goes out as it stands. */
export async function get(port: number, path: string, options: GetOptions = {}): Promise<Reply> {
  const stream = await open(port, path, options)
  await stream.ended
  return { status: stream.status, headers: stream.headers, body: stream.body(), text: stream.body().toString() }
}

export interface OpenReply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** What has come so far. */
  body(): Buffer
  readonly message: IncomingMessage
  readonly ended: Promise<void>
  isEnded(): boolean
  close(): void
}

/** Sends one request and gives its answer as soon as its head is there. */
export function open(port: number, path: string, options: GetOptions = {}): Promise<OpenReply> {
  const { method = 'GET', headers = {}, socketPath, body } = options
  return new Promise((resolve, reject) => {
    const place = socketPath === undefined ? { host: '127.0.0.1', port } : { socketPath }
    const request = httpRequest({ ...place, path, method, headers, agent: false }, (message) => {
      const chunks: Buffer[] = []
      let isEnded = false
      message.on('data', (chunk: Buffer) => chunks.push(chunk))
      const ended = new Promise<void>((done) => {
        const end = () => {
          isEnded = true
          done()
        }
        message.once('end', end)
        message.once('close', end)
        message.once('error', end)
      })
      resolve({
        status: message.statusCode ?? 0,
        headers: message.headers,
        body: () => Buffer.concat(chunks),
        message,
        ended,
        isEnded: () => isEnded,
        close: () => void request.destroy(),
      })
    })
    request.once('error', reject)
    request.end(body)
  })
}

/** The events of a body, without comments. */
export function eventsOf(body: Buffer | string): { id: string | undefined; data: string }[] {
  return body
    .toString()
    .split('\n\n')
    .flatMap((block) => {
      const data = /^data: (.*)$/m.exec(block)?.[1]
      return data === undefined ? [] : [{ id: /^id: (.*)$/m.exec(block)?.[1], data }]
    })
}
