// Posts bodies to a service that takes logs over HTTP, and says what its answers mean for a batch. Shared by the sinks http, otlp and
// loki. Invariant: no text that leaves this file holds a header, a credential, or more of an address than its host.

import { promisify } from 'node:util'
import { gzip, zstdCompress } from 'node:zlib'
import * as z from 'zod'
import { type CheckLine, type Receipt, SinkError } from '../../src/sink.ts'
import { type Answer, HttpClient, patience } from './http.ts'
import { proxyOption, type TlsOptions, tlsOptions } from './tls.ts'

const gzipped = promisify(gzip)
const zstdCompressed = promisify(zstdCompress)
/** Above that a request only gains in size. */
const GZIP_LEVEL = 1
/** Longer than any deadline of a write: that one counts. */
const ANSWER_MS = 24 * 3600_000
/** As many as there can be writes at once. */
const CONNECTIONS = 64
/** So much of what a server says is repeated. */
const REASON_CHARACTERS = 300
/** So many entries may be refused alone before the first was taken: more say that it is the request that is wrong. */
const MOST_UNTRIED = 5
/** Shorter values are not looked for in texts: they occur by chance. */
const SHORTEST_SECRET = 8
/** A part of a path that is as long as this may be a key. */
const LONG_PATH_PART = 20

const URL_FORM = 'expected an address such as https://logs.example.org/path'
/** Those that the request itself needs, and that would contradict it. */
const OWN_HEADERS = /^(?:content-length|transfer-encoding|connection|host|content-encoding)$/i

/** The schema of an address; `isBase`: something is put behind it. */
export function address(isBase: boolean) {
  return z
    .string({ error: URL_FORM })
    .refine((text) => isAddress(text, isBase), isBase ? `${URL_FORM}, without query` : URL_FORM)
    .refine((text) => {
      const url = URL.parse(text)
      return url === null || (url.username === '' && url.password === '')
    }, 'expected no user or password in the address: use `user` and `password`')
}

function isAddress(text: string, isBase: boolean): boolean {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol) || url.hash !== '') return false
  return !isBase || url.search === ''
}

const secret = () => z.string().min(1).meta({ writeOnly: true })

/** Options of every such sink: who we are, and how to get there. To be spread into its schema. */
export function intakeOptions() {
  return {
    token: secret().optional().meta({ writeOnly: true, description: 'Bearer token.' }),
    user: z.string().min(1).optional().meta({ description: 'User for basic authentication.' }),
    password: secret().optional().meta({ writeOnly: true, description: 'Password of the user.' }),
    headers: z
      .record(
        z
          .string()
          .regex(/^[\w!#$%&'*+.^`|~-]+$/, 'expected the name of a header')
          .refine((name) => !OWN_HEADERS.test(name), 'this header belongs to the request itself'),
        z
          .string()
          .regex(/^[\t\x20-\x7e\x80-\xff]*$/, 'expected the value of a header, without line breaks')
          .meta({ writeOnly: true }),
      )
      .default({})
      .meta({
        title: 'name: text',
        description: 'Further headers, e.g. `{ DD-API-KEY: { file: /run/secrets/datadog } }`.',
      }),
    tls: tlsOptions().optional(),
    proxy: proxyOption(),
  }
}

/** What is wrong with the credentials; for `superRefine`. */
export function checkCredentials(
  { token, user, password }: { token?: string | undefined; user?: string | undefined; password?: string | undefined },
  context: z.RefinementCtx,
): void {
  const issue = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message })
  if ((user === undefined) !== (password === undefined))
    issue(user === undefined ? 'password' : 'user', 'expected `user` and `password` together')
  if (token !== undefined && user !== undefined) issue('token', 'expected either `token`, or `user` and `password`')
}

export type Compression = 'none' | 'gzip' | 'zstd'

export interface IntakeConfig {
  readonly token?: string | undefined
  readonly user?: string | undefined
  readonly password?: string | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly tls?: TlsOptions | undefined
  readonly proxy?: string | undefined
  readonly compress: Compression
}

/** What an answer says about the batch. */
export type Verdict =
  | { readonly kind: 'taken' }
  /** The target will never take this body as it is; others it may. */
  | { readonly kind: 'invalid'; readonly reason: string }
  | { readonly kind: 'failed'; readonly error: SinkError }

export class Intake {
  readonly #config: IntakeConfig
  readonly #origin: string
  readonly #path: string
  readonly #headers: Readonly<Record<string, string>>
  readonly #secrets: readonly string[]
  readonly #method: 'POST' | 'PUT'
  #client: HttpClient | undefined
  #isTried = false
  #refusedUntried = 0

  /**
   * @param url the complete address, perhaps with a query
   * @param headers those that belong to the kind of request, such as its content type
   */
  constructor(
    url: string,
    config: IntakeConfig,
    headers: Readonly<Record<string, string>>,
    method: 'POST' | 'PUT' = 'POST',
  ) {
    const { origin, pathname, search } = new URL(url)
    this.#config = config
    this.#origin = origin
    this.#path = pathname + search
    this.#method = method
    const authorization = authorizationOf(config)
    this.#headers = {
      ...headers,
      ...(config.compress === 'none' ? {} : { 'content-encoding': config.compress }),
      ...(authorization === undefined ? {} : { authorization }),
      ...lowerCased(config.headers),
    }
    const { token, password } = config
    const inPath = pathname.split('/').filter((part) => part.length >= LONG_PATH_PART)
    const inQuery = new URLSearchParams(search).values()
    const secrets = [token, password, authorization?.split(' ')[1], ...Object.values(config.headers)]
    this.#secrets = [...secrets, ...inPath, ...inQuery]
      .filter((text) => text !== undefined)
      .filter((text) => text.length >= SHORTEST_SECRET)
  }

  get host(): string {
    return new URL(this.#origin).host
  }

  /** Connects, and asks for nothing: whatever the server answers, it is there. Leaves nothing behind when it rejects. */
  async open(signal: AbortSignal): Promise<void> {
    const client = await this.#makeClient()
    try {
      await client.send({ method: 'HEAD', path: this.#path, headers: this.#without('content'), signal })
    } catch (error) {
      await client.close()
      throw error
    }
    await this.#client?.close()
    this.#client = client
  }

  async close(): Promise<void> {
    const client = this.#client
    this.#client = undefined
    await client?.close()
  }

  /** Sends a body, compressed if so configured. Rejects with a SinkError when there is no answer. */
  async post(body: Uint8Array, signal: AbortSignal, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    if (signal.aborted) throw new SinkError('unavailable', 'given up before the write began', { cause: signal.reason })
    const client = this.#client
    if (client === undefined) throw new SinkError('unavailable', 'the sink is closed')
    return this.#post(client, body, signal, headers)
  }

  /** A request of no entries over the path of a write: what stands between us and a delivery. Stores nothing. */
  async check(body: Uint8Array, signal: AbortSignal): Promise<readonly CheckLine[]> {
    const client = await this.#makeClient()
    try {
      const answer = await this.#post(client, body, signal, {})
      const verdict = this.judge(answer)
      // That it finds nothing in an empty request is no reason to worry.
      if (verdict.kind !== 'failed' || verdict.error.failure === 'too-large')
        return [{ ok: true, text: `${this.host} takes requests (it answers ${answer.status} to an empty one)` }]
      return [{ ok: false, text: verdict.error.message, ...this.#hint(answer.status) }]
    } catch (error) {
      if (!(error instanceof SinkError)) throw error
      return [{ ok: false, text: error.message }]
    } finally {
      await client.close()
    }
  }

  /** What an answer means by its status alone. */
  judge(answer: Answer): Verdict {
    const { status } = answer
    if (status >= 200 && status < 300) return { kind: 'taken' }
    const text = `${this.host} answers ${status}${this.#saying(answer)}`
    const failed = (failure: SinkError['failure'], more = ''): Verdict => ({
      kind: 'failed',
      error: new SinkError(failure, text + more, failure === 'refused' ? {} : patience(answer)),
    })
    if (status < 400) return failed('refused', '; the address has moved, redirections are not followed')
    if (status === 413) return failed('too-large')
    // 503 is said by a server that has not taken the request; other errors may come after it was worked on.
    if (status === 408 || status === 425 || status === 429 || status === 503) return failed('unavailable')
    if (status >= 500) return failed('in-doubt')
    return PERSON.has(status) ? failed('refused') : { kind: 'invalid', reason: text }
  }

  /** What to do about a body that the target will never take: fewer entries at once, until it is the one. */
  invalid(reason: string, entries: number): Receipt {
    if (entries > 1) throw new SinkError('too-large', `${reason}; trying fewer entries at once`)
    if (!this.#isTried && ++this.#refusedUntried > MOST_UNTRIED)
      throw new SinkError('refused', `${reason}; no entry has been taken yet, so it is the request that is wrong`)
    return { delivered: 0, retry: [], rejected: [{ index: 0, code: 'invalid', reason }] }
  }

  /** The target has taken entries: what it refuses from now on is the entry's fault. */
  taken(): void {
    this.#isTried = true
  }

  /** What the server says, fit for people: short, one line, without credentials. Empty when it says nothing. */
  reasonOf({ body, headers }: Answer): string {
    return this.shorten(sentenceOf(body, String(headers['content-type'] ?? '')))
  }

  /** A text of the server's, fit for people. */
  shorten(text: string): string {
    let plain = text.replace(/\s+/g, ' ').trim()
    for (const one of this.#secrets) plain = plain.replaceAll(one, '***')
    return plain.length > REASON_CHARACTERS ? `${plain.slice(0, REASON_CHARACTERS)}…` : plain
  }

  #saying(answer: Answer): string {
    const reason = this.reasonOf(answer)
    return reason === '' ? '' : `: ${reason}`
  }

  async #post(
    client: HttpClient,
    body: Uint8Array,
    signal: AbortSignal,
    headers: Readonly<Record<string, string>>,
  ): Promise<Answer> {
    return client.send({
      method: this.#method,
      path: this.#path,
      headers: { ...this.#headers, ...headers },
      body: await compressed(body, this.#config.compress),
      signal,
    })
  }

  #makeClient(): Promise<HttpClient> {
    const { tls, proxy } = this.#config
    return HttpClient.make({ urls: [this.#origin], tls, proxy, timeoutMs: ANSWER_MS, connections: CONNECTIONS })
  }

  #without(prefix: string): Record<string, string> {
    return Object.fromEntries(Object.entries(this.#headers).filter(([name]) => !name.startsWith(prefix)))
  }

  #hint(status: number): { hint: string } | Record<never, never> {
    if (status === 401 || status === 403)
      return {
        hint:
          this.#headers['authorization'] === undefined && Object.keys(this.#config.headers).length === 0
            ? 'give `token`, `user` and `password`, or the header that the service wants'
            : 'look at `token`, `user` and `password`, and `headers`',
      }
    return status === 404 || status === 405 ? { hint: 'look at the path in `url`' } : {}
  }
}

/** Answers that stay the same until a person does something: credentials, quota, address, form. */
const PERSON = new Set([401, 402, 403, 404, 405, 406, 407, 410, 411, 414, 415, 417, 421, 426, 431, 451])

function authorizationOf({ token, user, password }: IntakeConfig): string | undefined {
  if (token !== undefined) return `Bearer ${token}`
  return user === undefined ? undefined : `Basic ${Buffer.from(`${user}:${password ?? ''}`).toString('base64')}`
}

/** So that what a person gives takes the place of ours, however it is written. */
function lowerCased(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}

async function compressed(body: Uint8Array, compression: Compression): Promise<Uint8Array> {
  if (compression === 'gzip') return gzipped(body, { level: GZIP_LEVEL })
  return compression === 'zstd' ? zstdCompressed(body) : body
}

/** The sentence in an answer: of a JSON object its message, of a page its text. */
function sentenceOf(body: Buffer, type: string): string {
  const text = body.subarray(0, 64 * 1024).toString()
  if (type.includes('html')) return text.replace(/<(?:style|script)[\s\S]*?<\/(?:style|script)>|<[^>]*>/gi, ' ')
  if (!/^\s*[[{]/.test(text)) return text
  try {
    const { message, error, errors, reason } = JSON.parse(text) as Record<string, unknown>
    const found = message ?? reason ?? error ?? errors
    return typeof found === 'string' ? found : found === undefined ? text : JSON.stringify(found)
  } catch {
    return text // cut off, or no JSON after all
  }
}
