// Requests to one or several equal servers over undici: keep-alive, TLS, proxy, deadline, and which failure means what.
// A request that certainly did not arrive is `unavailable`; one that may have arrived is `in-doubt`.

import type { Dispatcher } from 'undici'
import { SinkError } from '../../src/sink.ts'
import { connectionOptions, isTlsProblem, type TlsConnection, type TlsOptions } from './tls.ts'

export interface HttpOptions {
  /** Base addresses of equal servers, tried in turn. */
  readonly urls: readonly string[]
  readonly tls?: TlsOptions | undefined
  /** Address of an HTTP proxy. */
  readonly proxy?: string | undefined
  /** Longest wait for an answer, milliseconds. The write deadline of the pipeline may be shorter. */
  readonly timeoutMs: number
  /** Connections to each server. */
  readonly connections: number
}

export interface Request {
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'PUT'
  /** Path and query, put behind the base address. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array | string
  readonly signal: AbortSignal
  /** The only server that may be asked, for what belongs to one of them. */
  readonly url?: string
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
  /** Which server answered. */
  readonly url: string
}

/** Larger answers are cut off: no answer that we read is of this size. */
const MAX_ANSWER_BYTES = 64 * 2 ** 20
const REST_MIN_MS = 1000
const REST_MAX_MS = 60_000

interface Server {
  readonly url: string
  readonly dispatcher: Dispatcher
  readonly base: string
  failures: number
  restUntil: number
}

export class HttpClient {
  readonly #servers: readonly Server[]
  readonly #timeoutMs: number
  #turn = 0

  private constructor(servers: readonly Server[], timeoutMs: number) {
    this.#servers = servers
    this.#timeoutMs = timeoutMs
  }

  /** Connects to nothing yet. Throws `refused` when a certificate file cannot be read. */
  static async make({ urls, tls, proxy, timeoutMs, connections }: HttpOptions): Promise<HttpClient> {
    const { Pool, ProxyAgent } = await import('undici')
    let connect: TlsConnection
    try {
      connect = connectionOptions(tls)
    } catch (cause) {
      throw new SinkError('refused', `cannot read the certificates: ${messageOf(cause)}`, { cause })
    }
    const options = {
      connections,
      pipelining: 1,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      maxResponseSize: MAX_ANSWER_BYTES,
    }
    const servers = urls.map((url) => {
      const { origin, pathname } = new URL(url)
      const dispatcher =
        proxy === undefined
          ? new Pool(origin, { ...options, connect: { ...connect, timeout: 10_000 } })
          : new ProxyAgent({ ...options, uri: proxy, requestTls: { ...connect, timeout: 10_000 } })
      return { url, dispatcher, base: pathname.replace(/\/$/, ''), failures: 0, restUntil: 0 }
    })
    return new HttpClient(servers, timeoutMs)
  }

  /** The server whose turn it is, for requests that belong together: give it as their `url`. */
  next(): string {
    return this.#pick(undefined).url
  }

  /** Sends a request to the next server that is not resting. Rejects with a SinkError when there is no answer. */
  async send(request: Request): Promise<Answer> {
    const server = this.#pick(request.url)
    try {
      const answer = await this.#exchange(server, request)
      if (answer.status === PROXY_REFUSES) throw refusedByProxy()
      // A server that is there but cannot serve rests, too: another one may.
      if (answer.status >= 502 && answer.status <= 504) this.#failed(server)
      else this.#answered(server)
      return answer
    } catch (error) {
      this.#failed(server)
      throw error instanceof SinkError ? error : failureOf(error, server.url)
    }
  }

  /** Undici's `request` makes streams and signals for each call; all that is needed here is the body, when it is complete. */
  #exchange({ url, base, dispatcher }: Server, request: Request): Promise<Answer> {
    const { method = 'POST', path, headers = {}, body = null, signal } = request
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const parts: Buffer[] = []
    let status = 0
    let answerHeaders: Answer['headers'] = {}
    let controller: Dispatcher.DispatchController | undefined
    let reason: unknown
    const abort = (why: unknown) => {
      reason ??= why
      // Undici drops the connection, and with it whatever is under way.
      controller?.abort(why instanceof Error ? why : new Error(String(why)))
      reject(why)
    }
    const giveUp = () => abort(signal.reason)
    const timer = setTimeout(() => abort(new DOMException('no answer in time', 'TimeoutError')), this.#timeoutMs)
    const handler: Dispatcher.DispatchHandler = {
      onRequestStart(started) {
        controller = started
        if (reason !== undefined) abort(reason)
      },
      onResponseStart(_, statusCode, received) {
        status = statusCode
        answerHeaders = received
      },
      onResponseData(_, part) {
        parts.push(part)
      },
      onResponseEnd() {
        resolve({ status, headers: answerHeaders, body: Buffer.concat(parts), url })
      },
      onResponseError(_, error) {
        reject(reason ?? error)
      },
    }
    if (signal.aborted) giveUp()
    else {
      signal.addEventListener('abort', giveUp, { once: true })
      const { origin } = new URL(url)
      try {
        dispatcher.dispatch({ origin, method, path: base + path, headers, body }, handler)
      } catch (error) {
        reject(error)
      }
    }
    return promise.finally(() => {
      clearTimeout(timer)
      signal.removeEventListener('abort', giveUp)
    })
  }

  async close(): Promise<void> {
    await Promise.all(this.#servers.map(({ dispatcher }) => dispatcher.destroy()))
  }

  #pick(url: string | undefined): Server {
    const now = Date.now()
    let soonest: Server | undefined
    for (let i = 0; i < this.#servers.length; i++) {
      const server = this.#servers[(this.#turn + i) % this.#servers.length] as Server
      if (url !== undefined && server.url !== url) continue
      if (server.restUntil <= now) {
        this.#turn = (this.#turn + i + 1) % this.#servers.length
        return server
      }
      if (soonest === undefined || server.restUntil < soonest.restUntil) soonest = server
    }
    if (soonest === undefined) throw new Error(`no server ${url}`)
    return soonest
  }

  #failed(server: Server): void {
    server.restUntil = Date.now() + Math.min(REST_MAX_MS, REST_MIN_MS * 2 ** server.failures)
    server.failures++
  }

  #answered(server: Server): void {
    server.failures = 0
    server.restUntil = 0
  }
}

/** Codes of attempts that did not get as far as sending. */
const NOT_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
])

/** Status of a proxy that wants to know who asks. */
export const PROXY_REFUSES = 407

/** The failure for an answer with that status. */
export function refusedByProxy(): SinkError {
  return new SinkError(
    'refused',
    'the proxy wants a user and a password, or others: proxy: http://USER:PASSWORD@HOST:PORT',
  )
}

/** The status with which a proxy refused a tunnel; undefined when it was something else. Undici has it in words alone. */
function tunnelStatus(error: unknown): number | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const status = /^Proxy (?:response|Authentication Required) \((\d+)\)/.exec(at.message)?.[1]
    if (status !== undefined) return Number(status)
  }
  return undefined
}

/** What a failed request means for the batch. */
export function failureOf(error: unknown, url: string): SinkError {
  const { host } = new URL(url)
  const refusal = tunnelStatus(error)
  if (refusal === PROXY_REFUSES) return refusedByProxy()
  // Nothing goes into a tunnel that was not made.
  if (refusal !== undefined)
    return new SinkError('unavailable', `the proxy cannot reach ${host}: it answers ${refusal}`)
  // A name with several addresses fails with one error for each.
  const first = error instanceof AggregateError ? error.errors[0] : error
  const { code } = first as { code?: string }
  if (isTlsProblem(first))
    return new SinkError('refused', `${host} cannot be trusted: ${messageOf(first)}`, { cause: error })
  if (code !== undefined && NOT_SENT.has(code))
    return new SinkError('unavailable', `cannot reach ${host}: ${messageOf(first)}`, { cause: error })
  return new SinkError('in-doubt', `no answer from ${host}: ${messageOf(first)}`, { cause: error })
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** `Retry-After` in milliseconds: seconds or an HTTP date (RFC 9110, 10.2.3). Not more than an hour. */
export function retryAfterMs({ headers }: Pick<Answer, 'headers'>, now: number = Date.now()): number | undefined {
  const value = headers['retry-after']
  if (typeof value !== 'string') return undefined
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - now) / 1000
  if (!Number.isFinite(seconds)) return undefined
  return Math.min(3600, Math.max(0, seconds)) * 1000
}

/** The options of a SinkError that carries the server's wish to wait. */
export function patience(answer: Answer): { retryAfterMs: number } | Record<never, never> {
  const ms = retryAfterMs(answer)
  return ms === undefined ? {} : { retryAfterMs: ms }
}
