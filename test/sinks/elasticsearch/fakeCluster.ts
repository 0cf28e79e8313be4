// A server in this process that answers bulk requests as Elasticsearch does, for what the real one cannot be made to do: lost and late
// answers, faults by order. Ids are unique in each index; nothing else of a cluster is there.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'

export interface Outcome {
  readonly status: number
  readonly error?: { readonly type: string; readonly reason?: string }
  readonly failure_store?: string
}

/** A bulk request as it came. */
export interface Bulk {
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  /** Uncompressed. */
  readonly body: Buffer
  readonly actions: readonly Readonly<Record<string, string>>[]
}

/** Instead of the ordinary answer. */
export interface Answer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export class FakeCluster {
  port = 0
  /** Documents in the order in which they were taken. */
  readonly documents: { readonly index: string; readonly id: string; readonly source: Buffer }[] = []
  readonly bulks: Bulk[] = []
  /** Requests that were no bulk requests: `METHOD /path`. */
  readonly asked: string[] = []
  /** What becomes of a document; undefined: it is taken. */
  outcome: (id: string, source: Buffer, index: string) => Outcome | undefined = () => undefined
  /** The answer to the next bulk request, instead of taking it. */
  next: Answer[] = []
  /** Changes the answers to bulk requests. */
  change: (text: string) => Answer | undefined = () => undefined
  /** Answers to other requests, by `METHOD /path`. */
  other: (question: string, query: URLSearchParams, body: string) => Answer | undefined = () => undefined
  headers: Readonly<Record<string, string>> = { 'x-elastic-product': 'Elasticsearch' }
  /** Bulk requests are taken, and the connection is closed without an answer. */
  losesAnswers = 0
  mostBytes = Number.POSITIVE_INFINITY
  readonly #ids = new Set<string>()
  #server: Server | undefined
  #held: { promise: Promise<void>; resolve: () => void } | undefined

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  async start(): Promise<this> {
    const server = createServer((request, response) => {
      this.#handle(request, response).catch(() => response.destroy())
    })
    this.#server = server
    server.listen(this.port, '127.0.0.1')
    await once(server, 'listening')
    this.port = (server.address() as AddressInfo).port
    return this
  }

  async stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (server === undefined) return
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }

  /** Requests are not taken until `letGo`. */
  hold(): void {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#held = { promise, resolve }
  }

  letGo(): void {
    this.#held?.resolve()
    this.#held = undefined
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const isBulk = new URL(request.url ?? '/', this.url).pathname.endsWith('/_bulk')
    const closed = once(response, 'close')
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    if (isBulk && this.#held !== undefined) {
      await Promise.race([this.#held.promise, closed])
      if (response.destroyed) return
    }
    const raw = Buffer.concat(parts)
    const { pathname, searchParams } = new URL(request.url ?? '/', this.url)
    if (!isBulk) {
      const question = `${request.method} ${pathname}`
      this.asked.push(question)
      const answer = this.other(question, searchParams, raw.toString()) ?? this.#ordinary(question)
      this.#send(response, answer)
      return
    }
    const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw
    const bulk = { path: pathname, query: searchParams, headers: request.headers, body, ...readLines(body) }
    this.bulks.push(bulk)
    if (body.length > this.mostBytes) return this.#send(response, { status: 413, body: '' })
    const instead = this.next.shift()
    if (instead !== undefined) return this.#send(response, instead)
    const text = JSON.stringify(this.#take(bulk))
    if (this.losesAnswers > 0) {
      this.losesAnswers--
      await sleep(20)
      response.destroy()
      return
    }
    this.#send(response, this.change(text) ?? { body: text })
  }

  #ordinary(question: string): Answer {
    if (question === 'GET /_cluster/health') return { body: '{"status":"green"}' }
    if (question.endsWith('/_refresh')) return { body: '{"_shards":{"failed":0}}' }
    if (question.endsWith('/_search')) return { body: '{"timed_out":false,"_shards":{"failed":0},"hits":{"hits":[]}}' }
    return { body: '{}' }
  }

  #send(response: ServerResponse, { status = 200, headers, body = '' }: Answer): void {
    response.writeHead(status, { ...this.headers, 'content-type': 'application/json', ...headers })
    response.end(body)
  }

  #take({ path, actions, body }: Bulk & { sources?: readonly Buffer[] }): object {
    const { sources } = readLines(body)
    let errors = false
    const items = actions.map((action, at) => {
      const index = action['_index'] ?? path.split('/')[1] ?? ''
      const id = action['_id'] ?? `auto-${this.documents.length}`
      const source = sources[at] ?? Buffer.alloc(0)
      const ordered = this.outcome(id, source, index)
      const unique = `${index} ${id}`
      const outcome =
        ordered ??
        (this.#ids.has(unique)
          ? { status: 409, error: { type: 'version_conflict_engine_exception', reason: `[${id}]: version conflict` } }
          : { status: 201 })
      if (outcome.status < 300 && !this.#ids.has(unique)) {
        this.#ids.add(unique)
        this.documents.push({ index, id, source })
      }
      if (outcome.error !== undefined) errors = true
      return { create: outcome }
    })
    return { errors, items }
  }
}

function readLines(body: Buffer): { actions: Record<string, string>[]; sources: Buffer[] } {
  const actions: Record<string, string>[] = []
  const sources: Buffer[] = []
  let at = 0
  while (at < body.length) {
    const middle = body.indexOf(10, at)
    const end = body.indexOf(10, middle + 1)
    // As the server does: what has no newline at its end is not there.
    if (middle < 0 || end < 0) break
    const line = JSON.parse(body.toString('utf8', at, middle)) as { create: Record<string, string> }
    actions.push(line.create)
    sources.push(body.subarray(middle + 1, end))
    at = end + 1
  }
  return { actions, sources }
}
