// A receiver of the forward protocol in this process, for what no real one can be made to do: acknowledgements that are late, wrong or
// missing, connections that end, handshakes of all kinds. It keeps every byte that came.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { type Decoded, type EventTime, Incomplete, readValue } from './msgpack.ts'

/** A message that came. */
export interface Received {
  readonly tag: string
  readonly id: string | undefined
  readonly option: Readonly<Record<string, Decoded>>
  readonly entries: readonly { readonly time: EventTime; readonly record: Buffer }[]
  /** The whole message. */
  readonly raw: Buffer
  /** Number of the connection, from 0. */
  readonly connection: number
  /** Sends bytes back on its connection. */
  answer(bytes: Uint8Array): void
  /** Sends an acknowledgement, by default its own. */
  acknowledge(id?: string): void
  /** Ends its connection, or resets it. */
  close(): void
  reset(): void
}

export interface Security {
  readonly sharedKey: string
  readonly hostname?: string
  readonly users?: Readonly<Record<string, string>>
  /** The bytes of the nonce, and whether they are sent as str, as Fluent Bit does. */
  readonly nonce?: Buffer
  readonly asText?: boolean
  readonly keepalive?: boolean
  /** Proves another key than it has. */
  readonly liesInPong?: boolean
  /** Hangs up instead of answering a PING. */
  readonly hangsUp?: boolean
}

export interface ForwardServerOptions {
  readonly security?: Security
  readonly tls?: TlsOptions
  /** Path of a Unix socket, instead of a port. */
  readonly path?: string
  /** What it does with a message; by default it acknowledges. */
  readonly take?: (message: Received) => void
  /** Sent to each connection at once. */
  readonly greeting?: Buffer
}

export class ForwardServer {
  readonly received: Received[] = []
  readonly pings: Decoded[] = []
  /** Connections that were ever made. */
  connections = 0
  port = 0
  take: (message: Received) => void
  readonly #options: ForwardServerOptions
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined
  #isPaused = false

  private constructor(options: ForwardServerOptions) {
    this.#options = options
    this.take = options.take ?? ((message) => message.acknowledge())
  }

  static async start(options: ForwardServerOptions = {}): Promise<ForwardServer> {
    const server = new ForwardServer(options)
    await server.listen()
    return server
  }

  /** Takes connections (again), on the same port. */
  async listen(): Promise<void> {
    const { tls, path } = this.#options
    const server =
      tls === undefined
        ? createServer({ pauseOnConnect: true }, (socket) => this.#connect(socket))
        : createTlsServer(tls, (socket) => this.#connect(socket)).on('tlsClientError', () => undefined)
    this.#server = server
    server.listen(path === undefined ? { port: this.port, host: '127.0.0.1' } : { path })
    await once(server, 'listening')
    const address = server.address()
    if (typeof address === 'object' && address !== null) this.port = address.port
  }

  /** Ends all connections and takes no more. */
  async close(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    for (const socket of this.#sockets) socket.destroy()
    if (server === undefined) return
    server.close()
    await once(server, 'close')
  }

  get open(): number {
    return this.#sockets.size
  }

  /** Reads nothing more: the client's socket fills up. */
  pause(): void {
    this.#isPaused = true
    for (const socket of this.#sockets) socket.pause()
  }

  resume(): void {
    this.#isPaused = false
    for (const socket of this.#sockets) socket.resume()
  }

  /** The records that it has, one after another. */
  records(): Buffer[] {
    return this.received.flatMap(({ entries }) => entries.map(({ record }) => record))
  }

  #connect(socket: Socket): void {
    const connection = this.connections++
    this.#sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => this.#sockets.delete(socket))
    const { security, greeting } = this.#options
    const guard = security === undefined ? undefined : new Guard(security)
    if (greeting !== undefined) socket.write(greeting)
    if (guard !== undefined) socket.write(guard.helo())
    let rest = Buffer.alloc(0)
    socket.on('data', (piece: Buffer) => {
      rest = Buffer.concat([rest, piece])
      try {
        while (rest.length > 0) {
          const { value, end } = readMessage(rest)
          const raw = rest.subarray(0, end)
          rest = rest.subarray(end)
          if (guard?.isOpen === false) this.#check(guard, value, socket)
          else this.#keep(value, raw, connection, socket)
        }
      } catch (error) {
        if (!(error instanceof Incomplete)) socket.destroy()
      }
    })
    if (this.#isPaused) socket.pause()
    else socket.resume()
  }

  #check(guard: Guard, ping: Decoded, socket: Socket): void {
    this.pings.push(ping)
    const pong = guard.pong(ping)
    if (pong === undefined) socket.destroy()
    else if (guard.isOpen) socket.write(pong)
    else socket.end(pong)
  }

  #keep(value: Decoded, raw: Buffer, connection: number, socket: Socket): void {
    const [tag, packed, option] = value as [string, Buffer, Record<string, Decoded>]
    const { compressed } = option
    const bytes =
      compressed === 'gzip' ? gunzipSync(packed) : compressed === 'zstd' ? zstdDecompressSync(packed) : packed
    const id = option['chunk'] as string | undefined
    const message: Received = {
      tag,
      id,
      option,
      entries: readEntries(bytes),
      raw: Buffer.from(raw),
      connection,
      answer: (answer) => void socket.write(answer),
      acknowledge: (other = id) => void (other !== undefined && socket.write(packAck(other))),
      close: () => void socket.end(),
      reset: () => void socket.resetAndDestroy(),
    }
    this.received.push(message)
    this.take(message)
  }
}

/** A message; its entries may be wrapped as bin, or as a str that is no text. */
function readMessage(bytes: Buffer): { value: Decoded; end: number } {
  if (bytes[0] !== 0x93) return readValue(bytes)
  const tag = readValue(bytes, 1)
  if (bytes[tag.end] !== 0xdb) return readValue(bytes)
  const asBin = Buffer.from(bytes)
  asBin[tag.end] = 0xc6
  return readValue(asBin)
}

function readEntries(bytes: Buffer): { time: EventTime; record: Buffer }[] {
  const entries: { time: EventTime; record: Buffer }[] = []
  for (let at = 0; at < bytes.length; ) {
    if (bytes[at] !== 0x92) throw new Error(`an entry begins with 0x${bytes[at]?.toString(16)}`)
    const time = readValue(bytes, at + 1)
    const record = readValue(bytes, time.end)
    entries.push({ time: time.value as EventTime, record: bytes.subarray(time.end, record.end) })
    at = record.end
  }
  return entries
}

/** `{"ack": id}`. */
export function packAck(id: string): Buffer {
  const bytes = Buffer.from(id)
  return Buffer.concat([Buffer.of(0x81, 0xa3), Buffer.from('ack'), Buffer.of(0xd9, bytes.length), bytes])
}

/** The server's side of a handshake. */
class Guard {
  isOpen = false
  readonly #security: Security
  readonly #nonce: Buffer
  readonly #auth = Buffer.from('0123456789abcdef')

  constructor(security: Security) {
    this.#security = security
    this.#nonce = security.nonce ?? Buffer.from('fedcba9876543210')
  }

  helo(): Buffer {
    const { asText = false, users, keepalive } = this.#security
    const raw = (bytes: Buffer) =>
      Buffer.concat([asText ? Buffer.of(0xd9, bytes.length) : Buffer.of(0xc4, bytes.length), bytes])
    const text = (value: string) => Buffer.concat([Buffer.of(0xa0 | value.length), Buffer.from(value)])
    const members = [
      Buffer.concat([text('nonce'), raw(this.#nonce)]),
      Buffer.concat([text('auth'), users === undefined ? text('') : raw(this.#auth)]),
      ...(keepalive === undefined ? [] : [Buffer.concat([text('keepalive'), Buffer.of(keepalive ? 0xc3 : 0xc2)])]),
    ]
    return Buffer.concat([Buffer.of(0x92), text('HELO'), Buffer.of(0x80 | members.length), ...members])
  }

  pong(ping: Decoded): Buffer | undefined {
    const { sharedKey, hostname = 'stub', users, liesInPong = false, hangsUp = false } = this.#security
    if (hangsUp) return undefined
    const [word, client, salt, digest, user, userDigest] = ping as string[]
    const sha = (...parts: (string | Buffer | undefined)[]) => {
      const hash = createHash('sha512')
      for (const part of parts) hash.update(part ?? '')
      return hash.digest('hex')
    }
    let reason = ''
    if (word !== 'PING' || (ping as string[]).length !== 6) reason = 'no PING'
    else if (digest !== sha(salt, client, this.#nonce, sharedKey)) reason = 'shared_key mismatch'
    else if (users !== undefined && userDigest !== sha(this.#auth, user, users[user ?? ''] ?? '\0'))
      reason = 'username/password mismatch'
    this.isOpen = reason === ''
    const proof = this.isOpen ? sha(salt, hostname, this.#nonce, liesInPong ? 'another' : sharedKey) : ''
    const text = (value: string) => Buffer.concat([Buffer.of(0xd9, value.length), Buffer.from(value)])
    return Buffer.concat([
      Buffer.of(0x95),
      text('PONG'),
      Buffer.of(this.isOpen ? 0xc3 : 0xc2),
      text(reason),
      text(hostname),
      text(proof),
    ])
  }
}
