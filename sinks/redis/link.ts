// The connection: one server, the primary that Sentinels name, or a cluster. ioredis speaks the protocol and finds servers; it
// neither reconnects nor repeats anything by itself, since only the pipeline knows what may be sent again.
// Invariant: a call that is given up takes its connection along, so that nothing of it stays in a buffer.

import type { Cluster, Redis, RedisOptions } from 'ioredis'
import { SinkError } from '../../src/sink.ts'
import { connectionOptions } from '../parts/tls.ts'
import { unlessAborted } from '../parts/turns.ts'
import { isEncrypted, type RedisConfig } from './options.ts'
import { failureOfConnecting, RedisReply, wordsOf } from './replies.ts'

/** A command. */
export interface Request {
  readonly name: string
  /** Without what `bytes` holds; a cluster finds the node by the keys among them. */
  readonly args: readonly string[]
  /** The command as it goes over the wire, for one with many or large arguments. */
  readonly bytes?: { readonly head: string; readonly body: Uint8Array }
  /** A cluster sends a command without keys to the node that has this one. */
  readonly near?: string
}

/** Strings, numbers, null, arrays of these; inside the answer to EXEC also errors. */
export type Reply = string | number | null | RedisReply | readonly Reply[]

type Client = Redis | Cluster
type Library = Pick<typeof import('ioredis'), 'Cluster' | 'Command' | 'Redis'>

const CONNECT_MS = 10_000
const SENTINEL_MS = 3000

export class Link {
  /** The server, for people. */
  readonly place: string
  readonly #config: RedisConfig
  readonly #name: string
  #library: Library | undefined
  #client: Client | undefined
  #version: string | undefined
  /** Nodes of the cluster that were seen, by address: when those of the configuration are gone. */
  readonly #nodes = new Map<string, { host: string; port: number }>()

  /** @param name whose connection it is, for CLIENT LIST */
  constructor(config: RedisConfig, name: string) {
    this.#config = config
    this.#name = name
    this.place = placeOf(config)
  }

  get isCluster(): boolean {
    return this.#config.cluster !== undefined
  }

  /** The server's version, where it can be asked for. */
  get version(): string | undefined {
    return this.#version
  }

  /** Connects, unless there is a connection. Rejects with a SinkError and leaves nothing behind then. */
  async connect(signal: AbortSignal): Promise<void> {
    if (this.#client !== undefined) return
    this.#library ??= await import('ioredis')
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(CONNECT_MS)])
    let client: Client
    try {
      client = this.#make(this.#library)
    } catch (cause) {
      // A certificate that cannot be read.
      throw new SinkError('refused', `redis ${this.place}: ${String((cause as Error).message)}`)
    }
    let failure: Error | undefined
    client.on('error', (error: Error) => {
      failure = (error as { lastNodeError?: Error }).lastNodeError ?? error
    })
    client.on('sentinelError', (error: Error) => {
      failure ??= error
    })
    client.on('node error', (error: Error) => {
      failure ??= error
    })
    try {
      await unlessAborted(client.connect(), deadline)
      // A database that is not there is reported beside a connection that works.
      if (!this.isCluster && failure?.name === 'ReplyError') throw failure
      this.#client = client
      client.on('end', () => this.#ended(client))
      await this.#greet(deadline)
    } catch (error) {
      this.#client = undefined
      end(client)
      throw this.#connectFailure(failure ?? error, deadline)
    }
  }

  /** One command. Rejects with a RedisReply when the server refuses it, otherwise with a SinkError. */
  async run(request: Request, signal: AbortSignal): Promise<Reply> {
    const [reply] = await this.burst([request], signal)
    if (reply instanceof RedisReply) throw reply
    return reply ?? null
  }

  /** Commands behind each other in one write; answers all replies, those that are errors, too. Not for a cluster. */
  async burst(requests: readonly Request[], signal: AbortSignal): Promise<Reply[]> {
    const client = this.#client
    if (client === undefined) throw new SinkError('unavailable', `redis ${this.place}: not connected`)
    if (signal.aborted) throw new SinkError('unavailable', 'given up before it was sent', { cause: signal.reason })
    const replies = requests.map((request) => this.#send(client, request))
    // Also those that nobody waits for any more.
    for (const reply of replies) reply.catch(() => undefined)
    try {
      return await unlessAborted(Promise.all(replies), signal)
    } catch (error) {
      if (client === this.#client) this.drop()
      if (signal.aborted)
        throw new SinkError('in-doubt', `redis ${this.place}: no answer in time`, { cause: signal.reason })
      throw new SinkError('in-doubt', `redis ${this.place}: ${wordsOf(error)}`)
    }
  }

  /** Ends the connection at once. The next `connect` makes another one. */
  drop(): void {
    const client = this.#client
    this.#client = undefined
    if (client !== undefined) end(client)
  }

  #send(client: Client, { name, args, bytes, near }: Request): Promise<Reply> {
    const { Command } = this.#library as Library
    const command = new Command(name, [...args], { replyEncoding: 'utf8' })
    if (bytes !== undefined) {
      const { head, body } = bytes
      command.toWritable = (socket) => {
        // One packet and one system call for both.
        const stream = socket as NodeJS.WritableStream & { cork(): void; uncork(): void }
        stream.cork()
        stream.write(head)
        process.nextTick(() => stream.uncork())
        return body as Buffer
      }
    }
    const isBesideKey = near !== undefined && 'nodes' in client
    const node = isBesideKey ? { slot: this.#slotOf(near), redis: undefined } : undefined
    const sent = 'nodes' in client ? client.sendCommand(command, undefined, node) : client.sendCommand(command)
    return (sent as Promise<unknown>).then(asReply, (error: Error) => {
      // ioredis notes the arguments in the error, a password among them: only the words get out.
      if (error.name === 'ReplyError' || /^Too many Cluster redirections/.test(error.message))
        return this.#checkPrimary(new RedisReply(error.message.replace(/^.*Last error: (?:ReplyError: )?/, '')))
      throw error
    })
  }

  #checkPrimary(reply: RedisReply): RedisReply {
    // Sentinels and the cluster are asked again where the primary is.
    if (reply.isFromReplica) this.drop()
    return reply
  }

  #slotOf(key: string): number | null {
    const { Command } = this.#library as Library
    return new Command('get', [key]).getSlot()
  }

  async #greet(signal: AbortSignal): Promise<void> {
    const [info] = await this.burst([{ name: 'info', args: ['server'] }], signal)
    if (info instanceof RedisReply && info.code !== 'NOPERM') throw info
    this.#version = typeof info === 'string' ? /redis_version:(\S+)/.exec(info)?.[1] : undefined
    const client = this.#client
    if (client === undefined || !('nodes' in client)) return
    for (const { options } of client.nodes()) {
      const { host, port } = options
      if (host !== undefined && port !== undefined) this.#nodes.set(`${host}:${port}`, { host, port })
    }
  }

  #make({ Redis, Cluster }: Library): Client {
    const { url, sentinel, cluster, user, password, tls } = this.#config
    const secure = isEncrypted(this.#config) ? { tls: connectionOptions(tls) } : {}
    const common = {
      ...(user === undefined ? {} : { username: user }),
      ...(password === undefined ? {} : { password }),
      ...secure,
      // Older servers and proxies understand it, and nothing here needs RESP3.
      protocol: 2,
      connectionName: `logferry:${this.#name.replace(/[^\x21-\x7e]/g, '_')}`,
      disableClientInfo: true,
      connectTimeout: CONNECT_MS,
      // What is not sent yet when a connection is dropped must not be sent.
      disconnectTimeout: 0,
      enableReadyCheck: false,
      autoResendUnfulfilledCommands: false,
      autoResubscribe: false,
      maxRetriesPerRequest: null,
      lazyConnect: true,
    } satisfies RedisOptions
    if (cluster !== undefined) {
      const known = new Map(cluster.nodes.map((node) => [`${node.host}:${node.port}`, node]))
      return new Cluster([...new Map([...known, ...this.#nodes]).values()], {
        redisOptions: common,
        lazyConnect: true,
        clusterRetryStrategy: () => null,
        retryDelayOnFailover: 0,
        retryDelayOnClusterDown: 0,
        // Names stay names, which certificates are made for.
        dnsLookup: (host, callback) => callback(null, host),
      })
    }
    const alone = { ...common, enableOfflineQueue: false, retryStrategy: null }
    if (sentinel !== undefined) {
      const { user: sentinelUser, password: sentinelPassword, tls: isSentinelEncrypted } = sentinel
      return new Redis({
        ...alone,
        sentinels: [...sentinel.nodes],
        name: sentinel.name,
        db: sentinel.db,
        ...(sentinelUser === undefined ? {} : { sentinelUsername: sentinelUser }),
        ...(sentinelPassword === undefined ? {} : { sentinelPassword }),
        ...(isSentinelEncrypted ? { sentinelTLS: connectionOptions(tls) } : {}),
        ...('tls' in secure ? { enableTLSForSentinelMode: true } : {}),
        sentinelRetryStrategy: () => null,
        sentinelCommandTimeout: SENTINEL_MS,
      })
    }
    return new Redis({ ...alone, ...url?.address, db: url?.db ?? 0 })
  }

  #ended(client: Client): void {
    if (client === this.#client) this.#client = undefined
  }

  #connectFailure(error: unknown, deadline: AbortSignal): SinkError {
    if (deadline.aborted && error === deadline.reason)
      return new SinkError('unavailable', `redis ${this.place} does not answer`, { cause: deadline.reason })
    const { sentinel } = this.#config
    const words = wordsOf(error)
    if (sentinel !== undefined && /invalid reply|No such master/.test(words))
      return new SinkError('refused', `redis ${this.place}: the Sentinels know no primary of that name`)
    return failureOfConnecting(error, this.place)
  }
}

function placeOf({ url, sentinel, cluster }: RedisConfig): string {
  const text = ({ host, port }: { host: string; port: number }) =>
    host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  if (url !== undefined) return 'path' in url.address ? url.address.path : text(url.address)
  if (sentinel !== undefined) return `"${sentinel.name}" of Sentinel ${sentinel.nodes.map(text).join(', ')}`
  return `cluster ${cluster?.nodes.map(text).join(', ')}`
}

function end(client: Client): void {
  // What is still awaited fails now; whoever waits knows already.
  client.on('error', () => undefined)
  client.disconnect()
}

function asReply(value: unknown): Reply {
  if (Array.isArray(value)) return value.map(asReply)
  if (value instanceof Error) return new RedisReply(value.message)
  return value as Reply
}
