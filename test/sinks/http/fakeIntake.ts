// A service that takes logs over HTTP, for what real ones cannot be made to do: it answers what it is told, late, or not at all.
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'

export interface TakenRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** As it was before it was compressed. */
  readonly body: Buffer
}

export interface FakeReply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
}

export class FakeIntake {
  /** Those with a body whose answer was a 2xx. */
  readonly taken: TakenRequest[] = []
  /** All that were read, in order, but no HEAD. */
  readonly asked: TakenRequest[] = []
  /** What to answer; undefined: 200 and nothing else. */
  answer: (request: TakenRequest) => FakeReply | undefined = () => undefined
  /** So many answers never come: their connections are cut. */
  losesAnswers = 0
  mostBytes = Number.POSITIVE_INFINITY
  port = 0
  #server: Server | undefined
  #held: Set<() => void> | undefined

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  async start(): Promise<this> {
    const server = createServer((request, response) => {
      const pieces: Buffer[] = []
      request.on('data', (piece: Buffer) => void pieces.push(piece))
      request.on('end', () => {
        const { method = '', url = '', headers } = request
        const taken = { method, path: url, headers, body: decoded(Buffer.concat(pieces), headers['content-encoding']) }
        const held = method === 'HEAD' ? undefined : this.#held
        const reply = () => this.#reply(taken, response)
        if (held === undefined) return reply()
        held.add(reply)
        // Nobody waits for it any more.
        response.on('close', () => held.delete(reply))
      })
    })
    server.listen(this.port, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (typeof address === 'object' && address !== null) this.port = address.port
    this.#server = server
    return this
  }

  async stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (server === undefined) return
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }

  /** Takes requests and keeps its answers to itself. */
  hold(): void {
    this.#held ??= new Set()
  }

  letGo(): void {
    const held = this.#held ?? new Set()
    this.#held = undefined
    for (const reply of held) reply()
  }

  #reply(request: TakenRequest, response: ServerResponse): void {
    if (response.destroyed) return
    if (request.method === 'HEAD') {
      response.writeHead(405).end()
      return
    }
    this.asked.push(request)
    const reply = request.body.length > this.mostBytes ? { status: 413 } : (this.answer(request) ?? { status: 200 })
    if (reply.status < 300) this.taken.push(request)
    if (this.losesAnswers > 0) {
      this.losesAnswers--
      response.destroy()
      return
    }
    response.writeHead(reply.status, { ...reply.headers }).end('body' in reply ? reply.body : undefined)
  }
}

function decoded(body: Buffer, encoding: string | undefined): Buffer {
  if (encoding === 'gzip') return gunzipSync(body)
  return encoding === 'zstd' ? zstdDecompressSync(body) : body
}
