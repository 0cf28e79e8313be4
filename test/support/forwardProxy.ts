// A forward proxy as companies have it: requests for http: addresses come whole, those for https: as tunnels. It lets clients in
// by user and password, and counts what went through.
import { once } from 'node:events'
import { createServer, type IncomingMessage, request as requestTo, type Server, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'

export interface ForwardProxyOptions {
  /** `user:password`; undefined: everybody may. */
  readonly credentials?: string
}

export class ForwardProxy {
  port = 0
  /** `host:port` of each tunnel, and the address of each request that came whole. */
  readonly tunnels: string[] = []
  readonly requests: string[] = []
  /** Clients that were sent away. */
  refused = 0
  readonly #wanted: string | undefined
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined

  constructor({ credentials }: ForwardProxyOptions = {}) {
    this.#wanted = credentials === undefined ? undefined : `Basic ${Buffer.from(credentials).toString('base64')}`
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  async start(): Promise<this> {
    const server = createServer((request, response) => this.#pass(request, response))
    server.on('connect', (request: IncomingMessage, client: Socket, head: Buffer) =>
      this.#tunnel(request, client, head),
    )
    server.on('connection', (socket: Socket) => this.#keep(socket))
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
    for (const socket of this.#sockets) socket.destroy()
    if (server === undefined) return
    server.close()
    await once(server, 'close')
  }

  #isAllowed({ headers }: IncomingMessage): boolean {
    if (this.#wanted === undefined || headers['proxy-authorization'] === this.#wanted) return true
    this.refused++
    return false
  }

  #tunnel(request: IncomingMessage, client: Socket, head: Buffer): void {
    if (!this.#isAllowed(request)) {
      client.end(
        'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\ncontent-length: 0\r\n\r\n',
      )
      return
    }
    this.tunnels.push(request.url ?? '')
    const [host = '', port = ''] = (request.url ?? '').split(':')
    const target = connect(Number(port), host, () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      target.write(head)
      target.pipe(client)
      client.pipe(target)
    })
    this.#keep(target)
    target.on('error', () => client.destroy())
    client.on('error', () => target.destroy())
    client.on('close', () => target.destroy())
  }

  #pass(request: IncomingMessage, response: ServerResponse): void {
    if (!this.#isAllowed(request)) {
      response.writeHead(407, { 'proxy-authenticate': 'Basic realm="x"' }).end()
      return
    }
    this.requests.push(request.url ?? '')
    const { 'proxy-authorization': _, 'proxy-connection': __, ...headers } = request.headers
    const passed = requestTo(request.url ?? '', { method: request.method, headers }, (reply) => {
      response.writeHead(reply.statusCode ?? 502, reply.headers)
      reply.pipe(response)
    })
    passed.on('error', () => response.writeHead(502).end())
    request.pipe(passed)
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => this.#sockets.delete(socket))
  }
}
