// An HTTP server before another one, which on demand answers in its place, hangs, resets, or lets through only half of a request.
import { once } from 'node:events'
import { createServer, type IncomingMessage, request as requestTo, type Server, type ServerResponse } from 'node:http'

/** What is wrong with it: `busy` and `limited` answer 503 and 429, `half` passes on the first half of a request and refuses the rest. */
export type Fault = 'none' | 'busy' | 'limited' | 'reset' | 'hang' | 'half'

export interface Passed {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

export interface FaultyHttpOptions {
  /** Port of 127.0.0.1 where requests go. */
  readonly upstream: number
  /** The first half of a body, and how many entries are behind it; undefined where a request has no halves. */
  halve(path: string, body: Buffer): { readonly first: Buffer; readonly left: number } | undefined
  /** What the client hears when the first half was taken and the rest was not. */
  answerHalf(taken: Passed, left: number): Passed
  readonly busy: { readonly headers?: Readonly<Record<string, string>>; readonly body: string }
}

export class FaultyHttp {
  port = 0
  #fault: Fault = 'none'
  /** How often each fault was met by a request. */
  readonly met: Record<Fault, number> = { none: 0, busy: 0, limited: 0, reset: 0, hang: 0, half: 0 }
  readonly #options: FaultyHttpOptions
  readonly #held = new Set<ServerResponse>()
  #server: Server | undefined

  private constructor(options: FaultyHttpOptions) {
    this.#options = options
  }

  static async start(options: FaultyHttpOptions): Promise<FaultyHttp> {
    const proxy = new FaultyHttp(options)
    const server = createServer((request, response) => {
      proxy.#serve(request, response).catch(() => response.destroy())
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (typeof address === 'object' && address !== null) proxy.port = address.port
    proxy.#server = server
    return proxy
  }

  /** Requests that hang are never answered: their connections end with the fault, as when a server is started again. */
  become(fault: Fault): void {
    this.#fault = fault
    for (const response of this.#held) response.destroy()
    this.#held.clear()
  }

  async close(): Promise<void> {
    this.become('none')
    this.#server?.closeAllConnections()
    this.#server?.close()
    if (this.#server !== undefined) await once(this.#server, 'close')
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const body = Buffer.concat(parts)
    const fault = this.#fault
    this.met[fault]++
    switch (fault) {
      case 'busy':
      case 'limited':
        return answer(response, {
          status: fault === 'busy' ? 503 : 429,
          headers: { 'content-type': 'application/json', ...this.#options.busy.headers },
          body: Buffer.from(this.#options.busy.body),
        })
      case 'reset':
        request.socket.resetAndDestroy()
        return
      case 'hang':
        this.#held.add(response)
        return
      case 'half': {
        const halves = this.#options.halve(request.url ?? '/', body)
        if (halves === undefined) return answer(response, await this.#pass(request, body))
        const taken = await this.#pass(request, halves.first)
        return answer(response, this.#options.answerHalf(taken, halves.left))
      }
      default:
        return answer(response, await this.#pass(request, body))
    }
  }

  async #pass({ method, url, headers }: IncomingMessage, body: Buffer): Promise<Passed> {
    const { 'transfer-encoding': _, connection: __, ...kept } = headers
    const passed = requestTo({
      host: '127.0.0.1',
      port: this.#options.upstream,
      method,
      path: url,
      headers: { ...kept, 'content-length': body.length },
    })
    passed.end(body)
    const [reply] = (await once(passed, 'response')) as [IncomingMessage]
    const parts: Buffer[] = []
    for await (const part of reply) parts.push(part as Buffer)
    return { status: reply.statusCode ?? 502, headers: reply.headers, body: Buffer.concat(parts) }
  }
}

function answer(response: ServerResponse, { status, headers, body }: Passed): void {
  const { 'transfer-encoding': _, connection: __, 'content-length': ___, ...kept } = headers
  response.writeHead(status, { ...kept, 'content-length': body.length })
  response.end(body)
}
