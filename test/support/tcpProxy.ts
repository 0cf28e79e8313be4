// A TCP proxy before a real server, which cuts, delays and holds what passes. Requests are bytes towards the target, replies those
// that come back. Without orders it changes nothing, half-closed connections included.
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

export type Direction = 'request' | 'reply'

/** Where the proxy leads: a port of 127.0.0.1, or the path of a Unix socket. */
export type ProxyTarget = number | string

export interface TcpProxy {
  readonly port: number
  /** Connections that are open now. */
  readonly open: number
  /** Bytes that have been passed on. */
  readonly passed: { readonly request: number; readonly reply: number }
  /**
   * Passes on `bytes` more in one direction, over all connections together, and then cuts the connection on which the next byte
   * comes. Once; resolves when it has happened. With 0 bytes and `reply` the target gets its request and the client no answer.
   */
  cutAfter(bytes: number, direction: Direction): Promise<void>
  /** Takes back the cuts that have not happened yet. */
  forgetCuts(): void
  /** The target answers the next request, and the client never learns it: its connection is reset. Resolves when it has happened. */
  dropNextReply(): Promise<void>
  /** Replies are kept back, on connections to come, too. */
  pauseReplies(): void
  /** Those kept back are passed on. */
  resumeReplies(): void
  /** Nothing more is read from clients: their sockets fill up. */
  pauseRequests(): void
  resumeRequests(): void
  /** Every piece is passed on so many milliseconds later; 0 ends that. */
  delay(ms: number): void
  /** Resets every open connection. */
  cutAll(): void
  /** Connections are refused, and open ones reset: the target is down, as far as clients see. */
  refuse(): Promise<void>
  /** The opposite of `refuse`, on the same port. */
  accept(): Promise<void>
  /** The target of connections to come. */
  redirect(target: ProxyTarget): void
  close(): Promise<void>
}

interface Cut {
  readonly direction: Direction
  left: number
  readonly done: () => void
}

/** Starts a proxy on a free port of 127.0.0.1. */
export async function startTcpProxy(target: ProxyTarget): Promise<TcpProxy> {
  const proxy = new CuttingProxy(target)
  await proxy.accept()
  return proxy
}

class CuttingProxy implements TcpProxy {
  port = 0
  readonly passed = { request: 0, reply: 0 }
  readonly #links = new Set<Link>()
  readonly #paused = { request: false, reply: false }
  #target: ProxyTarget
  #server: Server | undefined
  #cuts: Cut[] = []
  #delayMs = 0

  constructor(target: ProxyTarget) {
    this.#target = target
  }

  get open(): number {
    return this.#links.size
  }

  cutAfter(bytes: number, direction: Direction): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#cuts.push({ direction, left: bytes, done: resolve })
    return promise
  }

  forgetCuts(): void {
    this.#cuts = []
  }

  dropNextReply(): Promise<void> {
    return this.cutAfter(0, 'reply')
  }

  pauseReplies(): void {
    this.#pause('reply', true)
  }

  resumeReplies(): void {
    this.#pause('reply', false)
  }

  pauseRequests(): void {
    this.#pause('request', true)
  }

  resumeRequests(): void {
    this.#pause('request', false)
  }

  delay(ms: number): void {
    this.#delayMs = ms
  }

  cutAll(): void {
    for (const link of this.#links) link.reset()
  }

  async refuse(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    this.cutAll()
    if (server === undefined) return
    server.close()
    await once(server, 'close')
  }

  async accept(): Promise<void> {
    if (this.#server !== undefined) return
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#connect(client))
    this.#server = server
    server.listen(this.port, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (typeof address === 'object' && address !== null) this.port = address.port
  }

  redirect(target: ProxyTarget): void {
    this.#target = target
  }

  close(): Promise<void> {
    return this.refuse()
  }

  #connect(client: Socket): void {
    const target = this.#target
    const where = typeof target === 'number' ? { port: target, host: '127.0.0.1' } : { path: target }
    const link: Link = new Link(
      client,
      connect({ ...where, allowHalfOpen: true, noDelay: true }),
      (direction, piece) => this.#allow(direction, piece),
      (direction, bytes) => {
        this.passed[direction] += bytes
      },
      () => this.#links.delete(link),
    )
    this.#links.add(link)
    for (const direction of ['request', 'reply'] as const) if (this.#paused[direction]) link.pause(direction, true)
  }

  /** What becomes of a piece: so much of it passes, `isCut`: and then the connection ends. */
  #allow(direction: Direction, piece: Buffer): Verdict {
    const cut = this.#cuts.find((one) => one.direction === direction)
    if (cut === undefined) return { pass: piece.length, cut: undefined, delayMs: this.#delayMs }
    if (piece.length <= cut.left) {
      cut.left -= piece.length
      return { pass: piece.length, cut: undefined, delayMs: this.#delayMs }
    }
    this.#cuts = this.#cuts.filter((one) => one !== cut)
    return { pass: cut.left, cut: cut.done, delayMs: this.#delayMs }
  }

  #pause(direction: Direction, isPaused: boolean): void {
    this.#paused[direction] = isPaused
    for (const link of this.#links) link.pause(direction, isPaused)
  }
}

interface Verdict {
  readonly pass: number
  readonly cut: (() => void) | undefined
  readonly delayMs: number
}

/** A client's connection and the one to the target that belongs to it. */
class Link {
  readonly #client: Socket
  readonly #target: Socket
  readonly #paused = { request: false, reply: false }
  #isOver = false

  constructor(
    client: Socket,
    target: Socket,
    allow: (direction: Direction, piece: Buffer) => Verdict,
    count: (direction: Direction, bytes: number) => void,
    ended: () => void,
  ) {
    this.#client = client
    this.#target = target
    this.#pump('request', client, target, allow, count)
    this.#pump('reply', target, client, allow, count)
    let closed = 0
    for (const [socket, other] of [
      [client, target],
      [target, client],
    ] as const) {
      // A reset on one side is passed to the other: what failed is seen at the ends.
      socket.on('error', () => other.resetAndDestroy())
      socket.on('close', () => {
        if (++closed === 2) ended()
        else if (socket.errored !== null) other.destroy()
      })
    }
  }

  pause(direction: Direction, isPaused: boolean): void {
    this.#paused[direction] = isPaused
    const source = direction === 'request' ? this.#client : this.#target
    if (isPaused) source.pause()
    else source.resume()
  }

  reset(): void {
    this.#isOver = true
    this.#client.resetAndDestroy()
    this.#target.resetAndDestroy()
  }

  #pump(
    direction: Direction,
    from: Socket,
    to: Socket,
    allow: (direction: Direction, piece: Buffer) => Verdict,
    count: (direction: Direction, bytes: number) => void,
  ): void {
    const pass = (piece: Buffer) => {
      if (to.destroyed || piece.length === 0) return
      count(direction, piece.length)
      if (to.write(piece)) return
      from.pause()
      to.once('drain', () => {
        if (!this.#paused[direction]) from.resume()
      })
    }
    let last = Promise.resolve()
    const later = (ms: number, work: () => void) => {
      last = last.then(() => new Promise<void>((resolve) => setTimeout(resolve, ms))).then(work)
    }
    from.on('data', (piece: Buffer) => {
      if (this.#isOver) return
      const { pass: length, cut, delayMs } = allow(direction, piece)
      const head = piece.subarray(0, length)
      if (delayMs > 0) later(delayMs, () => pass(head))
      else pass(head)
      if (cut === undefined) return
      this.#isOver = true
      // The receiver must get what was let through, and then the end: a reset would take it out of its buffers.
      to.end(() => {
        to.destroy()
        from.resetAndDestroy()
        cut()
      })
    })
    from.on('end', () => void last.then(() => to.end()))
  }
}
