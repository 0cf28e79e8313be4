// The servers of a sink and the connection to each: which one gets the next batch, and when one that failed is tried again.
// Invariant: while any server can be reached, no write waits for one that cannot.

import { SinkError, type SinkHost } from '../../src/sink.ts'
import { unlessAborted } from '../parts/turns.ts'
import type { Connection } from './connection.ts'
import type { Endpoint } from './options.ts'

const REST_MIN_MS = 1000
const REST_MAX_MS = 30_000
const TRIAL_MS = 60_000

export interface ServersOptions {
  readonly endpoints: readonly Endpoint[]
  readonly mode: 'failover' | 'balance'
  readonly log: SinkHost['log']
  connect(endpoint: Endpoint, signal: AbortSignal): Promise<Connection>
}

/** A server: away after a failure, until a connection to it succeeds again. */
interface Server {
  readonly endpoint: Endpoint
  /** In a row. A connection alone does not end them: a server may take connections and no data. */
  failures: number
  isAway: boolean
  /** Back from failures it gets one batch, and others when that is acknowledged or this time has come. */
  trialUntil: number
  lastAckAt: number
  connection: Connection | undefined
  opening: Opening | undefined
  probe: NodeJS.Timeout | undefined
  /** What it is owed, in smooth weighted round robin. */
  credit: number
}

export class Servers {
  readonly #servers: readonly Server[]
  readonly #options: ServersOptions
  readonly #blamed = new WeakSet<Connection>()
  readonly #claimed = new WeakSet<Connection>()

  constructor(options: ServersOptions) {
    this.#options = options
    this.#servers = options.endpoints.map((endpoint) => ({
      endpoint,
      failures: 0,
      isAway: false,
      trialUntil: 0,
      lastAckAt: 0,
      connection: undefined,
      opening: undefined,
      probe: undefined,
      credit: 0,
    }))
  }

  /** The connection for the next batch. Rejects with a SinkError when no server can be reached. */
  pick(signal: AbortSignal): Promise<Connection> {
    return this.#firstOf(async (server) => {
      const { connection } = server
      const found = connection?.isOpen === true ? connection : await this.#share(server, signal)
      if (server.failures > 0) server.trialUntil = performance.now() + TRIAL_MS
      if (found.keepalive) return found
      // The server closes it after one chunk.
      server.connection = undefined
      if (this.#claimed.has(found)) return this.#options.connect(server.endpoint, signal)
      this.#claimed.add(found)
      return found
    })
  }

  /** A connection of its own for one chunk, to the server that would get the next batch. */
  pickFresh(signal: AbortSignal): Promise<Connection> {
    return this.#firstOf((server) => this.#options.connect(server.endpoint, signal))
  }

  /** A connection of its own to a certain server. */
  connectTo(name: string, signal: AbortSignal): Promise<Connection> {
    return this.#options.connect(this.#serverOf({ name }).endpoint, signal)
  }

  /** When the server behind a connection last acknowledged a chunk, on the clock of `performance.now`; 0: never. */
  lastAckAt(connection: Connection): number {
    return this.#serverOf(connection).lastAckAt
  }

  /** A chunk was acknowledged. */
  succeeded(connection: Connection): void {
    const server = this.#serverOf(connection)
    server.failures = 0
    server.trialUntil = 0
    server.lastAckAt = performance.now()
  }

  /** A connection that chunks share broke, or did not acknowledge. Counts once for all chunks that were lost with it. */
  broke(connection: Connection, error: SinkError): void {
    if (this.#blamed.has(connection)) return
    this.#blamed.add(connection)
    const server = this.#serverOf(connection)
    if (server.connection === connection) server.connection = undefined
    this.#failed(server, error)
  }

  /** Each server by itself, for a check. */
  tryAll<T>(signal: AbortSignal, look: (connection: Connection) => Promise<T>): Promise<PromiseSettledResult<T>[]> {
    return Promise.allSettled(
      this.#servers.map(async ({ endpoint }) => {
        const connection = await this.#options.connect(endpoint, signal)
        try {
          return await look(connection)
        } finally {
          await connection.end(signal)
        }
      }),
    )
  }

  /** Ends all connections and attempts. May be used again afterwards. */
  async close(signal: AbortSignal): Promise<void> {
    const connections = this.#servers.flatMap((server) => {
      const { connection, opening, probe } = server
      clearTimeout(probe)
      const fresh = { probe: undefined, opening: undefined, connection: undefined, failures: 0, isAway: false }
      Object.assign(server, fresh)
      opening?.abort()
      return connection === undefined ? [] : [connection]
    })
    await Promise.all(connections.map((connection) => connection.end(signal)))
  }

  #serverOf({ name }: Pick<Connection, 'name'>): Server {
    const server = this.#servers.find(({ endpoint }) => endpoint.name === name)
    if (server === undefined) throw new Error(`no server ${name}`)
    return server
  }

  /** Tries servers in the order of preference; those that are away only when the others fail. */
  async #firstOf(attempt: (server: Server) => Promise<Connection>): Promise<Connection> {
    const errors: SinkError[] = []
    for (const server of this.#inOrder()) {
      try {
        return await attempt(server)
      } catch (error) {
        if (!(error instanceof SinkError)) throw error
        errors.push(error)
        this.#failed(server, error)
      }
    }
    throw summary(errors)
  }

  #inOrder(): readonly Server[] {
    if (this.#servers.length === 1) return this.#servers
    const now = performance.now()
    const isUsable = (server: Server) => !server.isAway && server.trialUntil <= now
    const usable = this.#servers.filter(isUsable)
    const others = this.#servers.filter((server) => !isUsable(server))
    return [...(this.#options.mode === 'balance' ? this.#byCredit(usable) : usable), ...others]
  }

  #byCredit(servers: readonly Server[]): readonly Server[] {
    const weighted = servers.filter(({ endpoint }) => endpoint.weight > 0)
    for (const server of weighted) server.credit += server.endpoint.weight
    const order = weighted.toSorted((a, b) => b.credit - a.credit)
    const [next] = order
    if (next !== undefined) next.credit -= weighted.reduce((sum, { endpoint }) => sum + endpoint.weight, 0)
    return [...order, ...servers.filter(({ endpoint }) => endpoint.weight === 0)]
  }

  /** One attempt at a time for each server; it ends when nobody waits for it any more. */
  #share(server: Server, signal: AbortSignal): Promise<Connection> {
    if (server.opening !== undefined) return server.opening.wait(signal)
    const opening = new Opening((stop) => this.#options.connect(server.endpoint, stop))
    server.opening = opening
    opening.connection.then(
      (connection) => {
        if (server.opening === opening) this.#arrived(server, connection)
        else connection.fail(new SinkError('unavailable', 'closed'))
      },
      () => {
        if (server.opening === opening) server.opening = undefined
      },
    )
    return opening.wait(signal)
  }

  #arrived(server: Server, connection: Connection): void {
    clearTimeout(server.probe)
    const wasAway = server.isAway
    Object.assign(server, { opening: undefined, probe: undefined, connection, isAway: false })
    if (!wasAway) return
    server.credit = 0
    this.#options.log.info(`${server.endpoint.name} can be reached again`)
  }

  /** Of several servers it rests, and is looked after in the background. One alone is tried with the next batch. */
  #failed(server: Server, error: SinkError): void {
    server.failures++
    server.trialUntil = 0
    if (this.#servers.length === 1 || server.probe !== undefined) return
    if (!server.isAway) this.#options.log.warn(`${error.message}; using the other servers`)
    server.isAway = true
    const rest = Math.min(REST_MAX_MS, REST_MIN_MS * 2 ** Math.min(10, server.failures - 1))
    server.probe = setTimeout(() => {
      server.probe = undefined
      this.#share(server, new AbortController().signal).catch((reason: unknown) => {
        if (server.isAway) this.#failed(server, reason instanceof SinkError ? reason : error)
      })
    }, rest).unref()
  }
}

/** An attempt to connect that several may wait for. */
class Opening {
  readonly connection: Promise<Connection>
  readonly #stop = new AbortController()
  #waiting = 0

  constructor(connect: (signal: AbortSignal) => Promise<Connection>) {
    this.connection = connect(this.#stop.signal)
  }

  async wait(signal: AbortSignal): Promise<Connection> {
    this.#waiting++
    try {
      return await unlessAborted(this.connection, signal)
    } catch (error) {
      if (signal.aborted && !(error instanceof SinkError))
        throw new SinkError('unavailable', 'given up before the server answered', { cause: error })
      throw error
    } finally {
      if (--this.#waiting === 0) this.#stop.abort()
    }
  }

  abort(): void {
    this.#stop.abort()
  }
}

/** Of the failures of all servers the one to act on: if one may come back by itself, nobody has to act yet. */
function summary(errors: readonly SinkError[]): SinkError {
  const [first] = errors
  if (errors.length === 1 && first !== undefined) return first
  const failure = errors.every((error) => error.failure === 'refused') ? 'refused' : 'unavailable'
  return new SinkError(failure, errors.map(({ message }) => message).join('; '))
}
