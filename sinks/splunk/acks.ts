// Waiting for acknowledgements of one server: its channels, and one loop that asks for all numbers that are open. An answer `true` is
// given once, so each answer is read before the next question. Invariant: a batch that waits is confirmed, given up in-doubt at its
// deadline, or refused; and while nothing waits nothing is asked and no timer runs.

import { SinkError } from '../../src/sink.ts'
import { Channel, type Post } from './channel.ts'
import { Cookies } from './cookies.ts'

/** What a question about numbers came to. */
export interface AckAnswer {
  /** By number, as text; undefined: the answer says nothing about them. */
  readonly acks: Readonly<Record<string, unknown>> | undefined
  readonly cookies: string | readonly string[] | undefined
}

/** Asks the server; rejects with a SinkError, `refused` where it will never answer otherwise. */
export type Ask = (channel: Channel, ids: readonly number[], signal: AbortSignal) => Promise<AckAnswer>

/** Milliseconds. */
export interface AckTiming {
  /** From the first open number to the first question, and after any `true`. */
  readonly firstMs: number
  /** The pause grows by this factor up to `mostMs` while nothing is confirmed. */
  readonly factor: number
  readonly mostMs: number
  /** After so long a batch is in doubt. */
  readonly timeoutMs: number
  /** So long after a lost connection. */
  readonly graceMs: number
  /** Patience with one answer. */
  readonly askMs: number
}

export const ACK_TIMING: Omit<AckTiming, 'timeoutMs'> = {
  firstMs: 1000,
  factor: 1.5,
  mostMs: 10_000,
  graceMs: 10_000,
  askMs: 10_000,
}

/** Fewer numbers are lost with a lost answer. */
const IDS_AT_ONCE = 1000
/** Splunk removes a channel that was idle for 600 s, and its numbers with it. */
const IDLE_MS = 300_000
/** A channel remembers its numbers. */
const MOST_POSTS = 10_000
/** So many batches that were never confirmed, or answers out of order, are not by chance. */
const STRIKES = 3
/** So many numbers in order on one channel: there is one indexer. */
const ORDERLY = 20

export class AckLine {
  readonly #host: string
  readonly #ask: Ask
  readonly #timing: AckTiming
  /** Of the question under way. */
  #asking: AbortController | undefined
  #isClosed = false
  #current: Channel
  /** Those that no request goes to any more, while something waits on them. */
  readonly #retired = new Set<Channel>()
  #timer: NodeJS.Timeout | undefined
  #pauseMs: number
  #isAsking = false
  #isWanted = false
  #neverConfirmed = 0
  #wentBack = 0

  /** @param host for messages */
  constructor(host: string, timing: AckTiming, ask: Ask) {
    this.#host = host
    this.#timing = timing
    this.#ask = ask
    this.#current = new Channel(Cookies.none, now())
    this.#pauseMs = timing.firstMs
  }

  /** The channel that the next request goes to. */
  get channel(): Channel {
    const current = this.#current
    if (current.answered >= MOST_POSTS) this.#renew()
    else if (current.answered > 0 && current.size === 0 && now() - current.usedAt > IDLE_MS) this.#renew()
    return this.#current
  }

  /** A request with events begins. It is to be ended by `taken`, `answered` or `lost`. */
  begin(): Post {
    return this.channel.begin(now())
  }

  /**
   * The events of a request were taken under a number. Resolves when they are stored; rejects with a SinkError at the deadline, when
   * nothing more can be learnt, or when `signal` is aborted.
   */
  taken(post: Post, id: number, cookies: string | readonly string[] | undefined, signal: AbortSignal): Promise<void> {
    const channel = this.#follow(post.channel, cookies)
    const isInOrder = channel.take(id, channel === post.channel ? post.floor : -1)
    post.end(!isInOrder)
    if (!isInOrder) return Promise.reject(this.#backwards(channel))
    if (channel.answered >= ORDERLY) this.#wentBack = 0
    return this.#wait(channel, id, signal)
  }

  /** A request was answered, and nothing waits. */
  answered(post: Post, cookies: string | readonly string[] | undefined): void {
    this.#follow(post.channel, cookies)
    post.end(false)
  }

  /** A request got no answer. `isBroken`: the connection failed; else it was called off. `mayBeTaken`: it may have arrived. */
  lost(post: Post, { isBroken, mayBeTaken }: { isBroken: boolean; mayBeTaken: boolean }): void {
    post.end(mayBeTaken)
    const { channel } = post
    if (isBroken) this.#leave(channel)
    // The numbers to come are not to be mixed up with the one that never came.
    else if (mayBeTaken && channel === this.#current) this.#renew()
    channel.fail(channel.doubtful, this.#doubt('a request got no answer, and its number may be that of another one'))
    this.#tidy()
  }

  /** Asks now, and soon again. */
  hurry(): void {
    this.#pauseMs = this.#timing.firstMs
    if (this.#isAsking) this.#isWanted = true
    else if (this.#open().length > 0) this.#schedule(0)
  }

  /** Takes note of cookies that came with an answer on the present channel. */
  adopt(cookies: string | readonly string[] | undefined): void {
    this.#follow(this.#current, cookies)
  }

  close(): void {
    this.#isClosed = true
    this.#asking?.abort()
    clearTimeout(this.#timer)
    this.#timer = undefined
    for (const channel of this.#open()) channel.fail(channel.ids, this.#doubt('closed'))
  }

  #wait(channel: Channel, id: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const giveUp = () => {
      channel.forget(id)
      this.#tidy()
      reject(new SinkError('in-doubt', `${this.#host}: called off before the acknowledgement came`))
    }
    const end = () => {
      signal.removeEventListener('abort', giveUp)
      this.#tidy()
    }
    channel.wait(id, {
      deadline: now() + this.#timing.timeoutMs,
      settle: () => {
        end()
        this.#neverConfirmed = 0
        this.#pauseMs = this.#timing.firstMs
        resolve()
      },
      fail: (error) => {
        end()
        reject(error)
      },
    })
    if (signal.aborted) giveUp()
    else signal.addEventListener('abort', giveUp, { once: true })
    if (channel !== this.#current && channel.size > 0) this.#retired.add(channel)
    if (!this.#isAsking && this.#timer === undefined && channel.size > 0) {
      this.#pauseMs = this.#timing.firstMs
      this.#schedule(this.#pauseMs)
    }
    return promise
  }

  /** The channel that an answer with these cookies belongs to. A changed cookie: the balancer has chosen another indexer. */
  #follow(channel: Channel, headers: string | readonly string[] | undefined): Channel {
    const cookies = channel.cookies.with(headers)
    // The first cookie of all only names the place.
    if (cookies.isSamePlace(channel.cookies) || (!channel.cookies.hasPlace && channel.answered === 0)) {
      channel.cookies = cookies
      return channel
    }
    if (channel === this.#current) this.#renew(cookies)
    for (const known of this.#retired) if (known.isSameAs(channel.guid, cookies)) return known
    return channel.at(cookies)
  }

  #renew(cookies: Cookies = this.#current.cookies): void {
    if (this.#current.size > 0) this.#retired.add(this.#current)
    this.#current = new Channel(cookies, now())
  }

  /** The connection failed: the indexer may have restarted, and then never confirms what it had. */
  #leave(channel: Channel): void {
    if (channel === this.#current) this.#renew()
    for (const open of this.#open()) open.hurry(now() + this.#timing.graceMs)
    if (!this.#isAsking && this.#timer !== undefined) this.#schedule(this.#pauseMs)
  }

  /** A number came that had been given before. */
  #backwards(channel: Channel): SinkError {
    channel.fail(channel.ids, this.#doubt('its numbers began again, so that it has restarted'))
    this.#leave(channel)
    this.#tidy()
    if (++this.#wentBack < STRIKES) return this.#doubt('its numbers began again, so that it has restarted')
    this.#wentBack = STRIKES - 1
    return new SinkError(
      'refused',
      `${this.#host}: the numbers of one channel come from several indexers; a load balancer must keep a channel at one of them (sticky sessions by cookie)`,
    )
  }

  #doubt(why: string): SinkError {
    return new SinkError('in-doubt', `${this.#host}: no acknowledgement: ${why}`)
  }

  #open(): Channel[] {
    const channels = [...this.#retired]
    if (this.#current.size > 0) channels.push(this.#current)
    return channels
  }

  #tidy(): void {
    for (const channel of this.#retired) if (channel.size === 0) this.#retired.delete(channel)
    if (this.#isAsking || this.#open().length > 0) return
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer)
    if (this.#isClosed) return
    const earliest = Math.min(...this.#open().map((channel) => channel.deadline))
    const wait = Math.max(0, Math.min(ms, earliest - now()))
    this.#timer = setTimeout(() => void this.#round(), wait)
  }

  async #round(): Promise<void> {
    this.#timer = undefined
    this.#isAsking = true
    this.#pauseMs = Math.min(this.#timing.mostMs, this.#pauseMs * this.#timing.factor)
    for (const channel of this.#open()) await this.#askAbout(channel)
    this.#expire()
    this.#isAsking = false
    const isWanted = this.#isWanted
    this.#isWanted = false
    if (this.#open().length > 0) this.#schedule(isWanted ? 0 : this.#pauseMs)
  }

  async #askAbout(channel: Channel): Promise<void> {
    const { ids } = channel
    try {
      for (let from = 0; from < ids.length; from += IDS_AT_ONCE) {
        const some = ids.slice(from, from + IDS_AT_ONCE)
        const { acks, cookies } = await this.#askOnce(channel, some)
        this.#follow(channel, cookies)
        // Not awaited: one that cannot be believed yet must not hold up the others.
        for (const id of some) if (acks?.[id] === true) void channel.confirm(id)
      }
    } catch (error) {
      if (!(error instanceof SinkError)) {
        channel.fail(channel.ids, new SinkError('in-doubt', `${this.#host}: ${String(error)}`, { cause: error }))
      } else if (error.failure === 'refused') channel.fail(channel.ids, error)
      else if (isBroken(error)) this.#leave(channel)
      // Otherwise it is asked again; a `true` that was in a lost answer comes to the deadline.
    }
  }

  async #askOnce(channel: Channel, ids: readonly number[]): Promise<AckAnswer> {
    const asking = new AbortController()
    this.#asking = asking
    const late = () => asking.abort(new DOMException('no answer in time', 'TimeoutError'))
    const timer = setTimeout(late, this.#timing.askMs)
    try {
      return await this.#ask(channel, ids, asking.signal)
    } finally {
      clearTimeout(timer)
    }
  }

  #expire(): void {
    for (const channel of this.#open()) {
      const overdue = channel.overdue(now())
      if (overdue.length === 0) continue
      if (!channel.hasConfirmed && !channel.isHurried) this.#neverConfirmed += overdue.length
      // Its other numbers are as doubtful, but may still come.
      if (channel === this.#current) this.#renew()
      channel.fail(overdue, this.#overdue())
    }
    this.#tidy()
  }

  #overdue(): SinkError {
    if (this.#neverConfirmed < STRIKES) return this.#doubt('it did not come in time')
    this.#neverConfirmed = STRIKES - 1
    return new SinkError(
      'refused',
      `${this.#host}: acknowledgements never arrive: is it a load balancer without stickiness? A channel must stay at one indexer`,
    )
  }
}

/** Codes of connections that ended. */
const BROKEN = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOTCONN', 'UND_ERR_SOCKET', 'UND_ERR_CLOSED'])

/** Whether a request failed with its connection, as when the server restarts. */
export function isBroken({ cause }: SinkError): boolean {
  const first = cause instanceof AggregateError ? cause.errors[0] : cause
  const { code } = (first ?? {}) as { code?: unknown }
  return typeof code === 'string' && BROKEN.has(code)
}

function now(): number {
  return performance.now()
}
