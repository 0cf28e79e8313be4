// Requests to HTTP Event Collectors: paths, headers, the token, and nothing of what an answer means for a batch.
// Invariant: the token goes into the header and nowhere else, also where a server repeats it.

import { SinkError } from '../../src/sink.ts'
import { type Answer, HttpClient } from '../parts/http.ts'
import type { AckAnswer } from './acks.ts'
import { failureOfAnswer } from './answer.ts'
import type { Channel } from './channel.ts'
import type { SplunkConfig } from './options.ts'

/** As many are made as there are requests under way. */
const CONNECTIONS = 64

/** A body with events, or none, which asks whether the token is right. */
export interface Events {
  readonly body: Uint8Array
  readonly isGzip: boolean
  readonly channel: Channel | undefined
}

export class Hec {
  readonly urls: readonly string[]
  readonly #client: HttpClient
  readonly #token: string

  private constructor(urls: readonly string[], client: HttpClient, token: string) {
    this.urls = urls
    this.#client = client
    this.#token = token
  }

  /** Connects to nothing yet. */
  static async make(config: SplunkConfig): Promise<Hec> {
    const { url, urls = url === undefined ? [] : [url], token, tls, proxy, request_timeout: timeoutMs } = config
    const client = await HttpClient.make({ urls, tls, proxy, timeoutMs, connections: CONNECTIONS })
    return new Hec(urls, client, token)
  }

  /** The address whose turn it is. */
  next(): string {
    return this.#client.next()
  }

  post(url: string, { body, isGzip, channel }: Events, signal: AbortSignal): Promise<Answer> {
    const headers = {
      'content-type': 'application/json',
      ...(isGzip ? { 'content-encoding': 'gzip' } : {}),
      ...channelHeaders(channel),
    }
    return this.#send(url, { path: '/services/collector/event', headers, body, signal })
  }

  /** Asks which of these numbers are acknowledged. Rejects with a SinkError when it is not answered. */
  async acks(url: string, channel: Channel, ids: readonly number[], signal: AbortSignal): Promise<AckAnswer> {
    const headers = { 'content-type': 'application/json', ...channelHeaders(channel) }
    const body = JSON.stringify({ acks: ids })
    const answer = await this.#send(url, { path: '/services/collector/ack', headers, body, signal })
    const acks = answer.status === 200 ? acksOf(answer) : undefined
    if (acks === undefined) {
      const error = failureOfAnswer(answer)
      throw new SinkError(error.failure, `acknowledgements: ${error.message}`, { cause: error })
    }
    return { acks, cookies: answer.headers['set-cookie'] }
  }

  health(url: string, signal: AbortSignal): Promise<Answer> {
    return this.#send(url, { method: 'GET', path: '/services/collector/health', signal })
  }

  /** At once, whatever is under way. */
  close(): Promise<void> {
    return this.#client.close()
  }

  async #send(url: string, request: Omit<Parameters<HttpClient['send']>[0], 'url'>): Promise<Answer> {
    const headers = { ...request.headers, authorization: `Splunk ${this.#token}` }
    const answer = await this.#client.send({ ...request, headers, url })
    if (!answer.body.includes(this.#token)) return answer
    return { ...answer, body: Buffer.from(answer.body.toString().replaceAll(this.#token, '***')) }
  }
}

function channelHeaders(channel: Channel | undefined): Record<string, string> {
  if (channel === undefined) return {}
  const cookie = channel.cookies.header
  return { 'x-splunk-request-channel': channel.guid, ...(cookie === undefined ? {} : { cookie }) }
}

function acksOf({ body }: Answer): Readonly<Record<string, unknown>> | undefined {
  try {
    const { acks } = JSON.parse(body.toString()) as { acks?: unknown }
    return typeof acks === 'object' && acks !== null ? (acks as Record<string, unknown>) : undefined
  } catch {
    return undefined // Not of a HEC; what it means is read from its status.
  }
}
