// Receivers that only count, to measure what shipping costs the shipper: each in a process of its own, whose time is not counted. They
// say what a willing server says: bulk items, HEC acknowledgements, chunk acks, replies to the redis sink's scripts.
import { type ChildProcess, fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'

export type ReceiverKind = 'http' | 'redis' | 'forward'

export interface Counts {
  /** Documents, events, elements or records; of a request of unknown form one for each line. */
  readonly entries: number
  /** As they came, compressed or not. */
  readonly bytes: number
  readonly requests: number
}

export interface Receiver {
  readonly port: number
  /** What has come since it was started or last asked. */
  counts(): Promise<Counts>
  stop(): Promise<void>
}

/** Paths of PEM files. */
export interface ReceiverTls {
  readonly cert: string
  readonly key: string
}

/** Starts a receiver in a process of its own, on a free port of 127.0.0.1. */
export async function startReceiver(kind: ReceiverKind, tls?: ReceiverTls): Promise<Receiver> {
  const files = tls === undefined ? [] : [tls.cert, tls.key]
  const child = fork(import.meta.filename, [kind, ...files], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const { port } = await answerOf<{ port: number }>(child)
  return {
    port,
    counts: () => {
      const answer = answerOf<Counts>(child)
      child.send('counts')
      return answer
    },
    stop: () =>
      new Promise((resolve) => {
        child.once('exit', () => resolve())
        child.kill('SIGKILL')
      }),
  }
}

function answerOf<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null) => reject(new Error(`the receiver ended: ${code}`))
    child.once('exit', ended)
    child.once('message', (message) => {
      child.off('exit', ended)
      resolve(message as T)
    })
  })
}

// ── in the process of the receiver ──

const counted = { entries: 0, bytes: 0, requests: 0 }
const NEWLINE = 10

function count(entries: number, bytes: number): void {
  counted.entries += entries
  counted.bytes += bytes
  counted.requests++
}

function linesIn(body: Buffer): number {
  let lines = 0
  for (let at = body.indexOf(NEWLINE); at >= 0; at = body.indexOf(NEWLINE, at + 1)) lines++
  return lines
}

async function receiveHttp(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  const raw = Buffer.concat(parts)
  const { pathname } = new URL(request.url ?? '/', 'http://localhost')
  const encoding = request.headers['content-encoding']
  const body = encoding === 'gzip' ? gunzipSync(raw) : encoding === 'zstd' ? zstdDecompressSync(raw) : raw
  response.setHeader('content-type', 'application/json')
  // What the official Elasticsearch client looks for.
  response.setHeader('x-elastic-product', 'Elasticsearch')
  response.end(answerHttp(request.method ?? 'GET', pathname, body, raw.length))
}

let acknowledgement = 0

function answerHttp(method: string, path: string, body: Buffer, bytes: number): string {
  if (path.endsWith('/_bulk')) {
    const entries = linesIn(body) / 2
    count(entries, bytes)
    return `{"errors":false,"items":[${'{"create":{"status":201}},'.repeat(entries).slice(0, -1)}]}`
  }
  if (path.endsWith('/collector/ack')) {
    const { acks = [] } = JSON.parse(body.toString()) as { acks?: number[] }
    return JSON.stringify({ acks: Object.fromEntries(acks.map((id) => [id, true])) })
  }
  if (method !== 'POST' || path.startsWith('/_')) return '{}'
  // Events of HEC follow each other with or without newlines; each has one `"event":` outside of strings.
  const isHec = path.includes('/collector')
  count(isHec ? occurrences(body, '"event":') : linesIn(body), bytes)
  return isHec ? JSON.stringify({ text: 'Success', code: 0, ackId: acknowledgement++ }) : '{}'
}

function occurrences(body: Buffer, text: string): number {
  let found = 0
  for (let at = body.indexOf(text); at >= 0; at = body.indexOf(text, at + text.length)) found++
  return found
}

/** Commands as RESP arrays; of long ones only the beginning is kept. */
function receiveRedis(socket: Socket): void {
  let rest: Buffer = Buffer.alloc(0)
  // Of the command under way: arguments still to come, and the first of those that have come.
  let missing = 0
  let first: string[] = []
  let bytes = 0
  socket.on('data', (piece: Buffer) => {
    rest = rest.length === 0 ? piece : Buffer.concat([rest, piece])
    let at = 0
    for (;;) {
      const end = rest.indexOf('\r\n', at)
      if (end < 0) break
      const size = Number(rest.toString('latin1', at + 1, end))
      if (missing === 0) {
        missing = size
        first = []
        bytes = 0
        at = end + 2
        continue
      }
      if (rest.length < end + 2 + size + 2) break
      if (first.length < 4096) first.push(rest.toString('latin1', end + 2, end + 2 + Math.min(size, 5000)))
      bytes += size
      at = end + 2 + size + 2
      if (--missing === 0) socket.write(replyTo(first, bytes))
    }
    rest = rest.subarray(at)
  })
}

const stored = new Map<string, string>()
const bulk = (text: string | undefined): string =>
  text === undefined ? '$-1\r\n' : `$${Buffer.byteLength(text)}\r\n${text}\r\n`

function replyTo([name = '', ...args]: readonly string[], bytes: number): string {
  switch (name.toLowerCase()) {
    case 'info':
      return bulk('redis_version:7.0.15\r\nrun_id:0\r\nloading:0\r\nrole:master\r\nmaxmemory_policy:noeviction\r\n')
    case 'get':
      return bulk(stored.get(args[0] ?? ''))
    case 'type':
      return '+none\r\n'
    case 'llen':
    case 'xlen':
      return ':0\r\n'
    case 'rpush':
    case 'lpush':
      count(1, bytes)
      return ':1\r\n'
    case 'hello':
      return "-ERR unknown command 'HELLO'\r\n"
    case 'eval':
    case 'evalsha':
      return replyToScript(args, bytes)
    default:
      return '+OK\r\n'
  }
}

/** The scripts of the redis sink, told by their arguments: the look, the swap, and the push with its counts of elements. */
function replyToScript([, keyCount = '0', ...rest]: readonly string[], bytes: number): string {
  const keys = rest.slice(0, Number(keyCount))
  const args = rest.slice(keys.length)
  const [position = ''] = keys
  if (args.length === 0) return `*2\r\n${bulk(stored.get(position))}${bulk('0')}`
  stored.set(position, args[1] ?? '')
  if (keys.length > 1)
    count(
      args.slice(5, 4 + keys.length).reduce((sum, text) => sum + Number(text), 0),
      bytes,
    )
  return ':1\r\n'
}

/**
 * PackedForward: arrays of a tag, packed entries, and options with their number and the chunk's id, which is the ack. The entries are skipped
 * as they come: a receiver that copies them takes the memory's time from the shipper.
 */
function receiveForward(socket: Socket): void {
  let rest: Buffer = Buffer.alloc(0)
  // Of the packed entries: their size, and how much of them is still to come.
  let packedBytes = 0
  let missing = 0
  let isInOptions = false
  socket.on('data', (piece: Buffer) => {
    let bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece])
    while (bytes.length > 0) {
      if (missing > 0) {
        const skipped = Math.min(missing, bytes.length)
        missing -= skipped
        bytes = bytes.subarray(skipped)
        continue
      }
      const reader = new Reader(bytes)
      if (isInOptions) {
        const options = reader.value() as ReadonlyMap<unknown, unknown>
        if (reader.isShort) break
        count(Number(options.get('size') ?? 0), packedBytes)
        const chunk = options.get('chunk')
        if (typeof chunk === 'string')
          socket.write(Buffer.concat([Buffer.of(0x81, 0xa3), Buffer.from('ack'), packed(chunk)]))
      } else {
        missing = packedBytes = reader.beginForward()
        if (reader.isShort) {
          missing = 0
          break
        }
      }
      isInOptions = !isInOptions
      bytes = bytes.subarray(reader.at)
    }
    rest = bytes
  })
}

function packed(text: string): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.of(0xd9, bytes.length), bytes])
}

/** As much of MessagePack as forward messages are made of; bytes are skipped. */
class Reader {
  at = 0
  isShort = false
  readonly #bytes: Buffer

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  /** An array's head, a tag, and the head of the packed entries, whose size it answers. */
  beginForward(): number {
    this.#number(1)
    this.value()
    this.#number(1)
    return this.#number(4)
  }

  value(): unknown {
    const type = this.#number(1)
    if (type < 0x80) return type
    if (type < 0x90) return this.#map(type & 15)
    if (type < 0xa0) return this.#array(type & 15)
    if (type < 0xc0) return this.#text(type & 31)
    switch (type) {
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#skip(this.#number(1 << (type - 0xc4)))
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#number(1 << (type - 0xcc))
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(this.#number(1 << (type - 0xd9)))
      case 0xdc:
        return this.#array(this.#number(2))
      default:
        return undefined
    }
  }

  #number(size: number): number {
    this.at += size
    if (this.at <= this.#bytes.length && !this.isShort) return this.#bytes.readUIntBE(this.at - size, size)
    this.isShort = true
    return 0
  }

  #skip(size: number): undefined {
    this.at += size
    if (this.at > this.#bytes.length) this.isShort = true
    return undefined
  }

  #text(size: number): string {
    const start = this.at
    this.#skip(size)
    return this.isShort ? '' : this.#bytes.toString('utf8', start, this.at)
  }

  #array(size: number): unknown[] {
    return Array.from({ length: size }, () => this.value())
  }

  #map(size: number): Map<unknown, unknown> {
    return new Map(Array.from({ length: size }, () => [this.value(), this.value()]))
  }
}

function listen(kind: string, cert: string | undefined, key: string | undefined): Server {
  const tls = cert === undefined || key === undefined ? undefined : { cert: readFileSync(cert), key: readFileSync(key) }
  if (kind === 'redis' || kind === 'forward') {
    const receive = kind === 'redis' ? receiveRedis : receiveForward
    return tls === undefined ? createServer(receive) : createTlsServer(tls, receive)
  }
  const receive = (request: IncomingMessage, response: ServerResponse) => {
    receiveHttp(request, response).catch(() => response.destroy())
  }
  return tls === undefined ? createHttpServer(receive) : createHttpsServer(tls, receive)
}

if (process.argv[1] === import.meta.filename) {
  const [, , kind = 'http', cert, key] = process.argv
  const server = listen(kind, cert, key)
  server.on('connection', (socket: Socket) => socket.on('error', () => undefined))
  server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }))
  process.on('message', () => {
    process.send?.({ ...counted })
    Object.assign(counted, { entries: 0, bytes: 0, requests: 0 })
  })
  process.on('disconnect', () => process.exit())
}
