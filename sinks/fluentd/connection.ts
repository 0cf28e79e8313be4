// One connection to a server: opened and shaken hands on, then chunks go out one after another and acknowledgements come back, matched
// by id. Invariant: each chunk given to `deliver` ends exactly once, and when the connection breaks all that are open end at once.

import { connect as connectSocket, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { SinkError } from '../../src/sink.ts'
import { connectionOptions, isTlsProblem, type TlsOptions } from '../parts/tls.ts'
import { Turns } from '../parts/turns.ts'
import { type Channel, type Credentials, greet, isHelo } from './handshake.ts'
import type { Endpoint } from './options.ts'
import { type Value, ValueReader } from './values.ts'

/** How all connections of a sink are made. */
export interface ConnectionOptions {
  readonly credentials: Credentials
  readonly tls: TlsOptions | undefined
  /** Chunks are acknowledged. */
  readonly ack: boolean
  readonly ackTimeoutMs: number
  readonly connectTimeoutMs: number
  /** For each message of the handshake. */
  readonly handshakeTimeoutMs: number
}

/** Why a chunk was not acknowledged. */
export interface Loss {
  readonly error: SinkError
  /** It was this chunk that the server was busy with: servers take them in order. */
  readonly isSuspect: boolean
}

/** Chunks on their way. No promise rejects; `undefined` is success. */
export interface Flight {
  /** All bytes are with the system. */
  readonly written: Promise<void>
  /** Of each chunk: acknowledged, or without acknowledgements: written. */
  readonly settled: readonly Promise<Loss | undefined>[]
}

interface Open {
  readonly id: string
  readonly written: () => void
  readonly settle: (loss: Loss | undefined) => void
  timer: NodeJS.Timeout | undefined
}

export class Connection implements Channel {
  readonly name: string
  /** For those who write several chunks in a row. */
  readonly turns = new Turns()
  /** False: the server closes after each chunk. */
  keepalive = true
  /** Resolves when it is closed, whatever the reason. */
  readonly closed: Promise<void>
  readonly #socket: Socket
  readonly #options: ConnectionOptions
  readonly #reader = new ValueReader()
  readonly #open = new Map<string, Open>()
  // Of the handshake: what came and is not taken yet, and who waits.
  #inbox: Value[] = []
  #waiting: { resolve(value: Value | undefined): void; reject(error: SinkError): void } | undefined
  #isReady = false
  #hasSpoken = false
  #broken: SinkError | undefined

  private constructor(socket: Socket, endpoint: Endpoint, options: ConnectionOptions) {
    this.#socket = socket
    this.#options = options
    this.name = endpoint.name
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
    socket.on('data', (piece: Buffer) => this.#take(piece))
    socket.on('end', () => this.#fail(new SinkError('in-doubt', `${this.name} closed the connection`), true))
    socket.on('error', (error) => this.#fail(breakOf(error, this.name), true))
    socket.on('close', () => this.#fail(new SinkError('in-doubt', `the connection to ${this.name} is closed`), true))
  }

  /** Connects and shakes hands. Rejects with a SinkError and leaves nothing behind. */
  static async open(endpoint: Endpoint, options: ConnectionOptions, signal: AbortSignal): Promise<Connection> {
    const socket = await openSocket(endpoint, options, signal)
    const connection = new Connection(socket, endpoint, options)
    const giveUp = () => connection.fail(new SinkError('unavailable', `given up while connecting to ${endpoint.name}`))
    signal.addEventListener('abort', giveUp, { once: true })
    try {
      if (options.credentials.sharedKey !== undefined) {
        const { keepalive } = await greet(connection, options.credentials)
        connection.keepalive = keepalive
      }
      connection.#becomeReady()
      if (connection.#broken !== undefined) throw connection.#broken
      return connection
    } catch (error) {
      // Nothing was sent yet that could be in doubt.
      const failure = error instanceof SinkError && error.failure === 'in-doubt' ? 'unavailable' : undefined
      connection.fail(new SinkError('unavailable', `the handshake with ${endpoint.name} failed`))
      throw failure === undefined ? error : new SinkError(failure, (error as SinkError).message, { cause: error })
    } finally {
      signal.removeEventListener('abort', giveUp)
    }
  }

  get isOpen(): boolean {
    return this.#broken === undefined
  }

  /** Sends the messages with these ids, none of which is open here. To be called in a turn, one after another. */
  deliver(ids: readonly string[], bytes: Uint8Array): Flight {
    const broken = this.#broken
    if (broken !== undefined) {
      const error = new SinkError('unavailable', broken.message, { cause: broken })
      return { written: Promise.resolve(), settled: ids.map(async () => ({ error, isSuspect: false })) }
    }
    const written = Promise.withResolvers<void>()
    const opened: Open[] = []
    const settled = ids.map((id) => {
      const { promise, resolve } = Promise.withResolvers<Loss | undefined>()
      const open: Open = { id, written: written.resolve, settle: resolve, timer: undefined }
      opened.push(open)
      this.#open.set(id, open)
      return promise
    })
    this.#socket.write(bytes, () => {
      // An acknowledgement may be there before this.
      for (const open of opened) if (this.#open.get(open.id) === open) this.#sent(open)
      written.resolve()
    })
    return { written: written.promise, settled }
  }

  /** Nobody waits for this chunk any more. Its acknowledgement would come too late, so the connection ends, if it is still open. */
  giveUp(id: string): void {
    if (this.#open.has(id)) this.fail(new SinkError('in-doubt', `given up before ${this.name} acknowledged it`))
  }

  /** Waits `ms` for what a server says unasked; rejects when it wants a key or hangs up. For checks. */
  async listen(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, ms)
    await Promise.race([promise, this.closed])
    clearTimeout(timer)
    if (this.#broken !== undefined) throw this.#broken
  }

  /** Ends it when all bytes are sent; resolves when it is closed. */
  async end(signal: AbortSignal): Promise<void> {
    const giveUp = () => this.#socket.destroy()
    if (signal.aborted) giveUp()
    signal.addEventListener('abort', giveUp, { once: true })
    // The reset that some servers answer with is no news any more.
    this.#broken ??= new SinkError('unavailable', 'closed')
    this.#socket.destroySoon()
    await this.closed
    signal.removeEventListener('abort', giveUp)
  }

  /** Breaks it off: all open chunks end with this error, and none of them is to blame. */
  fail(error: SinkError): void {
    this.#fail(error, false)
  }

  #fail(error: SinkError, isByServer: boolean): void {
    if (this.#broken !== undefined) return
    this.#broken = error
    this.#waiting?.reject(error)
    this.#waiting = undefined
    this.#socket.destroy()
    // Servers take chunks in order: the first that is open is the one that it was busy with.
    let isSuspect = isByServer && error.failure === 'in-doubt'
    for (const { written, settle, timer } of this.#open.values()) {
      clearTimeout(timer)
      written()
      settle({ error, isSuspect })
      isSuspect = false
    }
    this.#open.clear()
  }

  // ── the handshake ──

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes)
  }

  async receive(): Promise<Value | undefined> {
    if (this.#inbox.length > 0) return this.#inbox.shift()
    if (this.#broken !== undefined) throw this.#broken
    const { promise, resolve, reject } = Promise.withResolvers<Value | undefined>()
    this.#waiting = { resolve, reject }
    const timer = setTimeout(() => {
      this.#waiting = undefined
      resolve(undefined)
    }, this.#options.handshakeTimeoutMs)
    return promise.finally(() => clearTimeout(timer))
  }

  #becomeReady(): void {
    this.#isReady = true
    for (const value of this.#inbox.splice(0)) this.#hear(value)
  }

  // ── what the server says ──

  #take(piece: Buffer): void {
    let values: Value[]
    try {
      values = this.#reader.push(piece)
    } catch (cause) {
      this.#failForeign(cause)
      return
    }
    for (const value of values) this.#hear(value)
  }

  #hear(value: Value): void {
    if (this.#broken !== undefined) return
    if (!this.#isReady) {
      const waiting = this.#waiting
      this.#waiting = undefined
      if (waiting === undefined) this.#inbox.push(value)
      else waiting.resolve(value)
      return
    }
    const ack = value instanceof Map ? value.get('ack') : undefined
    if (Buffer.isBuffer(ack)) this.#acknowledge(ack.toString())
    else if (isHelo(value)) this.fail(new SinkError('refused', `${this.name} wants a shared key: give \`shared_key\``))
    else this.#failForeign(undefined)
  }

  #acknowledge(id: string): void {
    this.#hasSpoken = true
    const open = this.#open.get(id)
    if (open === undefined) {
      // Whatever it means, what is acknowledged on this connection can no longer be trusted.
      this.fail(new SinkError('in-doubt', `${this.name} acknowledges a chunk that is not open: ${printable(id)}`))
      return
    }
    this.#settle(open)
  }

  /** Not the forward protocol: nothing that was sent was understood, unless the server did speak it before. */
  #failForeign(cause: unknown): void {
    const text = `${this.name} does not speak the forward protocol, or wants TLS`
    this.fail(new SinkError(this.#hasSpoken ? 'in-doubt' : 'refused', text, { cause }))
  }

  #sent(open: Open): void {
    const { ack, ackTimeoutMs } = this.#options
    if (!ack) {
      this.#settle(open)
      return
    }
    // After a pause of this process the acknowledgement may be there and not read yet, so it is looked for before.
    open.timer = setTimeout(() => setImmediate(() => this.#expire(open)), ackTimeoutMs)
  }

  #expire(open: Open): void {
    if (this.#open.get(open.id) !== open) return
    const text = `${this.name} has not acknowledged a chunk within ${this.#options.ackTimeoutMs / 1000} s`
    const error = new SinkError('in-doubt', text)
    // The one that is late need not be the first: it is the one to suspect.
    this.#open.delete(open.id)
    open.settle({ error, isSuspect: true })
    this.fail(error)
  }

  #settle(open: Open): void {
    this.#open.delete(open.id)
    clearTimeout(open.timer)
    open.settle(undefined)
  }
}

/** Texts of a server may hold anything. */
function printable(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}

function openSocket(endpoint: Endpoint, options: ConnectionOptions, signal: AbortSignal): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>()
  const { address, name } = endpoint
  let socket: Socket
  try {
    socket = dial(endpoint, options)
  } catch (cause) {
    return Promise.reject(new SinkError('refused', `cannot read the certificates: ${messageOf(cause)}`, { cause }))
  }
  const end = (error?: SinkError) => {
    clearTimeout(timer)
    signal.removeEventListener('abort', giveUp)
    socket.off('error', onError)
    socket.off('close', onClose)
    if (error === undefined) {
      resolve(socket)
      return
    }
    socket.on('error', () => undefined)
    socket.destroy()
    reject(error)
  }
  const onError = (error: Error) => end(connectFailure(error, name))
  const onClose = () => end(new SinkError('unavailable', `${name} closed the connection at once`))
  const giveUp = () => end(new SinkError('unavailable', `given up while connecting to ${name}`))
  const timer = setTimeout(
    () =>
      end(new SinkError('unavailable', `cannot reach ${name}: no answer within ${options.connectTimeoutMs / 1000} s`)),
    options.connectTimeoutMs,
  )
  socket.once('error', onError)
  socket.once('close', onClose)
  socket.once(options.tls !== undefined && address.path === undefined ? 'secureConnect' : 'connect', () => end())
  if (signal.aborted) giveUp()
  else signal.addEventListener('abort', giveUp, { once: true })
  return promise
}

function dial({ address }: Endpoint, { tls }: ConnectionOptions): Socket {
  if (address.path !== undefined) return connectSocket({ path: address.path })
  const { host, port } = address
  const common = { host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 }
  if (tls === undefined) return connectSocket(common)
  const name = isIP(host) === 0 ? { servername: host } : {}
  return connectTls({ ...common, ...name, ...connectionOptions(tls) })
}

/** A connection that did not come about: nothing was sent. */
function connectFailure(error: Error, name: string): SinkError {
  // A name with several addresses fails with one error for each.
  const first: Error = error instanceof AggregateError ? error.errors[0] : error
  const { code } = first as NodeJS.ErrnoException
  if (isTlsProblem(first))
    return new SinkError('refused', `${name} cannot be trusted: ${first.message}`, { cause: error })
  const failure = code === 'EACCES' || code === 'EPERM' ? 'refused' : 'unavailable'
  return new SinkError(failure, `cannot reach ${name}: ${first.message}`, { cause: error })
}

function breakOf(error: Error, name: string): SinkError {
  // A client certificate is refused only after the handshake (TLS 1.3).
  if (isTlsProblem(error))
    return new SinkError('refused', `${name} ended the TLS connection: ${error.message}`, { cause: error })
  return new SinkError('in-doubt', `the connection to ${name} broke: ${error.message}`, { cause: error })
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
