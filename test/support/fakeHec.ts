// An HTTP Event Collector for what no receiver here can be made to do: Splunk's own answers, indexers behind a balancer, lost answers.
// It answers as Splunk 10 was seen to: events before a bad one are stored, a number per channel and indexer, `true` once for each.
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { gunzipSync } from 'node:zlib'

export interface FakeHecOptions {
  readonly token?: string
  /** Of the token: requests need a channel and get a number. */
  readonly useAck?: boolean
  /** Several stand behind a balancer that deals requests out in turn, */
  readonly indexers?: number
  /** unless a cookie says where to go. */
  readonly isSticky?: boolean
  /** What it calls itself. */
  readonly server?: string | undefined
  /** Milliseconds until events are acknowledged. */
  readonly ackMs?: number
  /** Milliseconds that a request with events takes. */
  readonly postMs?: number
}

/** An event as it arrived. */
export interface ReceivedEvent {
  readonly envelope: Readonly<Record<string, unknown>>
  /** The bytes of the value of `event`. */
  readonly event: Buffer
  readonly channel: string | undefined
  readonly indexer: number
}

/** What a request is answered with instead of what would be right. `hang`: nothing; `reset`: the connection is cut. */
export type Scripted =
  | { readonly status: number; readonly body: string; readonly headers?: Readonly<Record<string, string>> }
  | 'hang'
  | 'reset'
  /** The events are taken, and then the connection is cut. */
  | 'take and reset'

interface Indexer {
  readonly numbers: Map<string, number>
  /** When a number of a channel is acknowledged. */
  readonly acks: Map<string, Map<number, number>>
}

export class FakeHec {
  readonly events: ReceivedEvent[] = []
  readonly counts = { posts: 0, polls: 0, gzip: 0, largest: 0 }
  /** Numbers of each poll. */
  readonly asked: number[][] = []
  readonly channels = new Set<string>()
  /** Answers of requests with events that go out next, in this order. */
  readonly script: Scripted[] = []
  /** The same for polls. */
  readonly pollScript: Scripted[] = []
  /** What the health address answers. */
  health: Scripted = { status: 200, body: '{"text":"HEC is healthy","code":17}' }
  /** The code of an event that is refused; undefined: it is fine. */
  refuse: (envelope: Readonly<Record<string, unknown>>, event: Buffer) => number | undefined = () => undefined
  /** Larger requests are refused with a page. */
  maxContentLength = Number.POSITIVE_INFINITY
  /** Nothing is acknowledged any more. */
  isStalled = false
  port = 0
  readonly #options: Required<FakeHecOptions>
  readonly #indexers: Indexer[]
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined
  #turn = 0
  #frozen: PromiseWithResolvers<void> | undefined

  constructor(options: FakeHecOptions = {}) {
    this.#options = {
      token: '11111111-2222-3333-4444-555555555555',
      useAck: true,
      indexers: 1,
      isSticky: false,
      server: 'Splunkd',
      ackMs: 0,
      postMs: 0,
      ...options,
    }
    this.#indexers = Array.from({ length: this.#options.indexers }, newIndexer)
  }

  get token(): string {
    return this.#options.token
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  get sockets(): number {
    return this.#sockets.size
  }

  async start(): Promise<this> {
    const server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => response.destroy(error as Error))
    })
    server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
    this.#server = server
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve))
    this.port = (server.address() as AddressInfo).port
    return this
  }

  /** Connections are refused from now on; what was stored stays. */
  async stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    this.thaw()
    for (const socket of this.#sockets) socket.destroy()
    if (server !== undefined) await new Promise((resolve) => server.close(resolve))
  }

  /** Requests are not read, until `thaw`. */
  freeze(): void {
    this.#frozen = Promise.withResolvers()
  }

  thaw(): void {
    this.#frozen?.resolve()
    this.#frozen = undefined
  }

  /** As after a restart: numbers begin again, and nothing of before is ever acknowledged. Connections go on. */
  forget(indexer = 0): void {
    this.#indexers[indexer] = newIndexer()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? '', 'http://x').pathname
    await this.#frozen?.promise
    let packed: Buffer
    try {
      packed = Buffer.concat(await request.toArray())
    } catch {
      return // The client has given up.
    }
    const isGzip = request.headers['content-encoding'] === 'gzip'
    if (isGzip) this.counts.gzip++
    const body = isGzip ? gunzipSync(packed) : packed
    if (this.#options.server !== undefined) response.setHeader('server', this.#options.server)
    if (path === '/services/collector/health') return answer(response, this.health)
    if (body.length > this.maxContentLength)
      return answer(response, {
        status: 413,
        body: '<!doctype html><p>Content-Length too large',
        headers: { 'content-type': 'text/html' },
      })
    const authorization = request.headers.authorization
    if (authorization === undefined) return reply(response, 401, { text: 'Token is required', code: 2 })
    if (authorization !== `Splunk ${this.#options.token}`)
      return reply(response, 403, { text: 'Invalid token', code: 4 })
    const indexer = this.#route(request, response)
    const channel = request.headers['x-splunk-request-channel']
    const name = typeof channel === 'string' ? channel : undefined
    if (path === '/services/collector/ack') return this.#poll(body, name, indexer, response)
    if (path !== '/services/collector/event')
      return reply(response, 404, { text: 'The requested URL was not found on this server.', code: 404 })
    if (body.length === 0) return reply(response, 400, { text: 'No data', code: 5 })
    this.counts.posts++
    await this.#take(body, name, indexer, response)
  }

  #route(request: IncomingMessage, response: ServerResponse): number {
    const { indexers, isSticky } = this.#options
    const asked = /(?:^|; )place=(\d+)/.exec(request.headers.cookie ?? '')?.[1]
    if (isSticky && asked !== undefined) return Number(asked)
    const indexer = this.#turn++ % indexers
    if (isSticky) response.setHeader('set-cookie', `place=${indexer}; Path=/; HttpOnly`)
    return indexer
  }

  async #take(body: Buffer, channel: string | undefined, at: number, response: ServerResponse): Promise<void> {
    this.counts.largest = Math.max(this.counts.largest, body.length)
    const scripted = this.script.shift()
    if (scripted !== undefined && scripted !== 'take and reset') return answer(response, scripted)
    const { useAck, postMs } = this.#options
    if (useAck && channel === undefined) return reply(response, 400, { text: 'Data channel is missing', code: 10 })
    if (channel !== undefined && !/^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$/i.test(channel))
      return reply(response, 400, { text: 'Invalid data channel', code: 11 })
    if (postMs > 0) await new Promise((resolve) => setTimeout(resolve, postMs))
    let number = 0
    for (const { envelope, event } of splitEnvelopes(body)) {
      const code = badness(envelope) ?? this.refuse(envelope, event)
      if (code !== undefined)
        return reply(response, 400, { text: TEXTS[code] ?? 'refused', code, 'invalid-event-number': number })
      this.events.push({ envelope, event, channel, indexer: at })
      number++
    }
    const ackId = useAck && channel !== undefined ? this.#number(channel, at) : undefined
    if (scripted === 'take and reset') {
      response.socket?.resetAndDestroy()
      return
    }
    reply(response, 200, { text: 'Success', code: 0, ...(ackId === undefined ? {} : { ackId }) })
  }

  #number(channel: string, at: number): number {
    const { numbers, acks } = this.#indexers[at] as Indexer
    const id = numbers.get(channel) ?? 0
    numbers.set(channel, id + 1)
    this.channels.add(channel)
    const times = acks.get(channel) ?? new Map<number, number>()
    acks.set(channel, times)
    times.set(id, Date.now() + this.#options.ackMs)
    return id
  }

  #poll(body: Buffer, channel: string | undefined, at: number, response: ServerResponse): void {
    const refused = this.#pollRefused(body, channel)
    if (refused !== undefined) {
      reply(response, 400, refused)
      return
    }
    const ids = (JSON.parse(body.toString()) as { acks: number[] }).acks
    this.counts.polls++
    this.asked.push(ids)
    const times = this.#indexers[at]?.acks.get(channel ?? '')
    const acks: Record<string, boolean> = {}
    for (const id of ids) {
      const time = times?.get(id)
      acks[id] = !this.isStalled && time !== undefined && time <= Date.now()
      if (acks[id] === true) times?.delete(id)
    }
    const scripted = this.pollScript.shift()
    if (scripted !== undefined) answer(response, scripted)
    else reply(response, 200, { acks })
  }

  #pollRefused(body: Buffer, channel: string | undefined): object | undefined {
    if (!this.#options.useAck) return { text: 'ACK is disabled', code: 14 }
    if (channel === undefined) return { text: 'Data channel is missing', code: 10 }
    const { acks } = JSON.parse(body.toString()) as { acks: number[] }
    return acks.length === 0 ? { text: 'Invalid data format', code: 6 } : undefined
  }
}

const TEXTS: Readonly<Record<number, string>> = {
  6: 'Invalid data format',
  7: 'Incorrect index',
  12: 'Event field is required',
  13: 'Event field cannot be blank',
  15: 'Error in handling indexed fields',
}

function newIndexer(): Indexer {
  return { numbers: new Map(), acks: new Map() }
}

function reply(response: ServerResponse, status: number, body: object): void {
  answer(response, { status, body: JSON.stringify(body), headers: { 'content-type': 'application/json' } })
}

function answer(response: ServerResponse, scripted: Scripted): void {
  if (scripted === 'hang') return
  if (typeof scripted === 'string') {
    response.socket?.resetAndDestroy()
    return
  }
  response.writeHead(scripted.status, { ...scripted.headers })
  response.end(scripted.body)
}

/** The rules of the envelope, as Splunk has them. */
function badness(envelope: Readonly<Record<string, unknown>>): number | undefined {
  const { event, fields } = envelope
  if (event === undefined || event === null) return 12
  if (event === '') return 13
  for (const value of Object.values((fields ?? {}) as object)) {
    if (typeof value === 'object' && !Array.isArray(value)) return 15
  }
  return undefined
}

/** The envelopes of a body, which stand one behind the other, and the bytes of their events. */
export function splitEnvelopes(body: Buffer): { envelope: Record<string, unknown>; event: Buffer; raw: Buffer }[] {
  const found: { envelope: Record<string, unknown>; event: Buffer; raw: Buffer }[] = []
  let depth = 0
  let start = 0
  let isText = false
  let eventAt = -1
  let event: Buffer = Buffer.alloc(0)
  for (let at = 0; at < body.length; at++) {
    const byte = body[at]
    if (isText) {
      if (byte === 0x5c) at++
      else if (byte === 0x22) isText = false
      continue
    }
    if (byte === 0x22) {
      isText = true
      if (depth === 1 && body.toString('latin1', at, at + 8) === '"event":') eventAt = at + 8
    }
    if (byte === 0x7b || byte === 0x5b) {
      if (depth === 0) start = at
      depth++
    }
    if (byte === 0x7d || byte === 0x5d) depth--
    const isEnd = eventAt >= 0 && ((depth === 1 && byte === 0x2c) || depth === 0)
    if (isEnd) {
      event = body.subarray(eventAt, at)
      eventAt = -1
    }
    if (depth === 0 && (byte === 0x7d || byte === 0x5d)) {
      const raw = body.subarray(start, at + 1)
      found.push({ envelope: JSON.parse(raw.toString()) as Record<string, unknown>, event, raw })
      event = Buffer.alloc(0)
    }
  }
  if (depth !== 0) throw new Error('the body ends within an envelope')
  return found
}

/** A channel's name. */
export function newChannel(): string {
  return randomUUID().toUpperCase()
}
