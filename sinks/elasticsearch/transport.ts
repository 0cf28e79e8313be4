// How requests reach the cluster: over the official client (its connections, and its check that this is Elasticsearch), or over plain HTTP
// for OpenSearch and old servers. Both try equal nodes in turn, repeat nothing by themselves, and say what a failure means for a batch.

import type { BaseConnection, ClientOptions, Client as ElasticClient } from '@elastic/elasticsearch'
import { SinkError } from '../../src/sink.ts'
import { failureOf, HttpClient, PROXY_REFUSES, refusedByProxy } from '../parts/http.ts'
import { connectionOptions, type TlsOptions } from '../parts/tls.ts'

export interface Ask {
  readonly method: 'GET' | 'POST' | 'PUT'
  /** Without query. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly body?: Buffer | string
  /** Of the body; `json` by default. */
  readonly type?: 'json' | 'ndjson'
  /** The body is compressed. */
  readonly isGzip?: boolean
  /** Of one request at a time. */
  readonly signal: AbortSignal
}

export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  /** Host and port of the node that answered. */
  readonly host: string
}

export interface Transport {
  /** Resolves with whatever was answered, whatever its status. Rejects with a SinkError. */
  send(ask: Ask): Promise<Reply>
  /** At once, whatever is under way. */
  close(): Promise<void>
}

export interface TransportOptions {
  readonly nodes: readonly string[]
  /** Header `Authorization`. */
  readonly authorization: string | undefined
  readonly tls: TlsOptions | undefined
  readonly proxy: string | undefined
}

/** Connections to a node; as many are made as there are writes under way. */
const CONNECTIONS = 64
const CONNECT_MS = 10_000
/** Longer than any write may take: it is the pipeline that loses patience. */
const ANSWER_MS = 24 * 3600_000
const REST_MIN_MS = 1000
const REST_MAX_MS = 60_000

const TYPES = { json: 'application/json', ndjson: 'application/x-ndjson' } as const

function headersOf({ body, type = 'json', isGzip = false }: Ask): Record<string, string> {
  return {
    // Never with `compatible-with`: a server of another major version refuses that.
    accept: 'application/json',
    ...(body === undefined ? {} : { 'content-type': TYPES[type] }),
    ...(isGzip ? { 'content-encoding': 'gzip' } : {}),
  }
}

/** Over the official client, or over plain HTTP. */
export async function makeTransport(
  flavour: 'elasticsearch' | 'opensearch',
  options: TransportOptions,
): Promise<Transport> {
  const { send, close } = await (flavour === 'opensearch' ? plainTransport(options) : elasticTransport(options))
  return {
    close,
    send: async (ask) => {
      for (let left = options.nodes.length; ; left--) {
        try {
          const reply = await send(ask)
          if (reply.status === PROXY_REFUSES) throw refusedByProxy()
          return reply
        } catch (error) {
          // What has not arrived anywhere can be sent to the next node at once.
          const isUnsent = error instanceof SinkError && error.failure === 'unavailable'
          if (!isUnsent || left <= 1 || ask.signal.aborted) throw error
        }
      }
    },
  }
}

async function plainTransport({ nodes, authorization, tls, proxy }: TransportOptions): Promise<Transport> {
  const client = await HttpClient.make({ urls: nodes, tls, proxy, timeoutMs: ANSWER_MS, connections: CONNECTIONS })
  return {
    send: async (ask) => {
      const { method, path, query, body, signal } = ask
      const search = query === undefined ? '' : `?${new URLSearchParams(query)}`
      const {
        status,
        headers,
        body: answer,
        url,
      } = await client.send({
        method,
        path: path + search,
        headers: { ...headersOf(ask), ...(authorization === undefined ? {} : { authorization }) },
        ...(body === undefined ? {} : { body }),
        signal,
      })
      return { status, headers, text: answer.toString(), host: new URL(url).host }
    },
    close: () => client.close(),
  }
}

type Elastic = typeof import('@elastic/elasticsearch')

async function elasticTransport(options: TransportOptions): Promise<Transport> {
  const elastic = await import('@elastic/elasticsearch')
  const attempts: Attempts = new WeakMap()
  const client = new elastic.Client({
    nodes: [...options.nodes],
    Connection: nodeClass(elastic, attempts),
    ConnectionPool: poolClass(elastic) as NonNullable<ClientOptions['ConnectionPool']>,
    Serializer: serializerClass(elastic),
    // The pipeline repeats, and counts.
    maxRetries: 0,
    // Its errors stay here, so there is nothing to hide, and hiding means to copy the request byte by byte.
    redaction: { type: 'off' },
    tls: { ...tlsOf(options.tls), timeout: CONNECT_MS } as NonNullable<ClientOptions['tls']>,
    ...(options.proxy === undefined ? {} : { agent: await proxyAgent(options.proxy, options.tls) }),
    headers: options.authorization === undefined ? {} : { authorization: options.authorization },
  })
  return {
    send: (ask) => sendOver(client, ask, attempts),
    close: () => client.close(),
  }
}

/** By its signal: which node a request went to, and why it failed there. The client's own errors have this no more. */
type Attempts = WeakMap<AbortSignal, { readonly node: BaseConnection; error: unknown }>

async function sendOver(client: ElasticClient, ask: Ask, attempts: Attempts): Promise<Reply> {
  const { method, path, query, body, signal } = ask
  const headers = headersOf(ask)
  attempts.delete(signal)
  try {
    const {
      statusCode = 0,
      headers: answered,
      body: text,
    } = await client.transport.request<string>(
      {
        method,
        path,
        ...(query === undefined ? {} : { querystring: { ...query } }),
        ...(body === undefined ? {} : { bulkBody: body as string }),
      },
      { headers, signal, meta: true },
    )
    return { status: statusCode ?? 0, headers: answered ?? {}, text: textOf(text), host: hostOf(attempts, signal) }
  } catch (error) {
    const { name, meta } = error as { name: string; meta?: ElasticMeta }
    const host = hostOf(attempts, signal)
    if (name === 'ResponseError')
      return { status: meta?.statusCode ?? 0, headers: meta?.headers ?? {}, text: textOf(meta?.body), host }
    if (name === 'ProductNotSupportedError') throw notElasticsearch(meta, host)
    const attempt = attempts.get(signal)
    // A node that hangs until patience is lost rests as one that is not there.
    if (signal.aborted && attempt !== undefined) client.connectionPool.markDead(attempt.node)
    if (attempt?.error !== undefined) throw failureOf(attempt.error, attempt.node.url.href)
    throw new SinkError('in-doubt', `no answer from ${host}: ${(error as Error).message}`)
  }
}

function hostOf(attempts: Attempts, signal: AbortSignal): string {
  return attempts.get(signal)?.node.url.host ?? 'the cluster'
}

interface ElasticMeta {
  readonly statusCode?: number
  readonly headers?: Record<string, string | string[] | undefined>
  readonly body?: unknown
}

function textOf(body: unknown): string {
  return typeof body === 'string' ? body : ''
}

function notElasticsearch(meta: ElasticMeta | undefined, host: string): SinkError {
  const type = String(meta?.headers?.['content-type'] ?? '')
  // A page of a proxy that took the request in the server's place.
  if (!type.includes('json')) return new SinkError('in-doubt', `${host}: the answer is no JSON`)
  const hint = 'for OpenSearch, and Elasticsearch before 7.14, say `flavour: opensearch`'
  return new SinkError('refused', `${host} does not say that it is Elasticsearch; ${hint}`)
}

/** Connections which note where a request went and why it failed, and which close at once. */
function nodeClass({ UndiciConnection }: Elastic, attempts: Attempts) {
  return class extends UndiciConnection {
    constructor(options: ConstructorParameters<typeof UndiciConnection>[0]) {
      super(options)
      const { pool } = this
      const request = pool.request.bind(pool) as (params: { signal: AbortSignal }) => Promise<unknown>
      const noting = async (params: { signal: AbortSignal }) => {
        const attempt = { node: this, error: undefined as unknown }
        attempts.set(params.signal, attempt)
        try {
          return await request(params)
        } catch (error) {
          attempt.error = error
          throw error
        }
      }
      Object.assign(pool, { request: noting })
    }

    override async close(): Promise<void> {
      await this.pool.destroy()
    }
  }
}

/** Nodes in turn; one that failed rests for a second, then twice as long each time. */
function poolClass({ BaseConnectionPool }: Elastic) {
  type Connection = InstanceType<typeof BaseConnectionPool>['connections'][number]
  return class extends BaseConnectionPool {
    readonly #rest = new Map<Connection, { failures: number; until: number }>()
    #turn = 0

    override getConnection(): Connection | null {
      const { connections } = this
      const now = Date.now()
      let soonest: Connection | null = null
      for (let i = 0; i < connections.length; i++) {
        const at = (this.#turn + i) % connections.length
        const connection = connections[at] as Connection
        const until = this.#rest.get(connection)?.until ?? 0
        if (until <= now) {
          this.#turn = (at + 1) % connections.length
          return connection
        }
        if (soonest === null || until < (this.#rest.get(soonest)?.until ?? 0)) soonest = connection
      }
      return soonest
    }

    override markAlive(connection: Connection): this {
      this.#rest.delete(connection)
      return super.markAlive(connection)
    }

    override markDead(connection: Connection): this {
      const failures = this.#rest.get(connection)?.failures ?? 0
      const until = Date.now() + Math.min(REST_MAX_MS, REST_MIN_MS * 2 ** failures)
      this.#rest.set(connection, { failures: failures + 1, until })
      return super.markDead(connection)
    }
  }
}

/** Leaves answers as text: bulk answers have a quicker reader than JSON.parse. */
function serializerClass({ Serializer }: Elastic) {
  return class extends Serializer {
    override deserialize<T>(json: string): T {
      return json as T
    }
  }
}

function tlsOf(tls: TlsOptions | undefined): object {
  try {
    return connectionOptions(tls)
  } catch (cause) {
    throw new SinkError('refused', `cannot read the certificates: ${String(cause)}`, { cause })
  }
}

/** The client's own connections know no proxies, but take those of others. */
async function proxyAgent(uri: string, tls: TlsOptions | undefined): Promise<NonNullable<ClientOptions['agent']>> {
  const { ProxyAgent } = await import('undici')
  const agent = new ProxyAgent({ uri, requestTls: { ...tlsOf(tls), timeout: CONNECT_MS } })
  return (() => agent) as unknown as NonNullable<ClientOptions['agent']>
}
