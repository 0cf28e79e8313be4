// One address of a HEC: probed at the start, sent bodies to, and what its answers come to for a batch.
// Invariant: with acknowledgements on, a body counts as delivered only by a `true` for its number; status 200 alone never does.

import { type CheckLine, type Delivery, type PartialReceipt, type Receipt, SinkError } from '../../src/sink.ts'
import type { Answer } from '../parts/http.ts'
import { AckLine, type AckTiming, isBroken } from './acks.ts'
import { type Asked, codeOf, failureOfAnswer, type Reading, readAnswer, receiptOf } from './answer.ts'
import type { Post } from './channel.ts'
import type { Hec } from './hec.ts'
import type { SplunkConfig } from './options.ts'

/** A request's body. */
export interface Body {
  readonly bytes: Uint8Array
  readonly isGzip: boolean
  /** Before compression. */
  readonly size: number
  readonly entries: number
  /** Nobody reads `bytes` any more. */
  readonly onRead: () => void
}

/** A request that was answered. */
interface Sent {
  /** Undefined without acknowledgements. */
  readonly post: Post | undefined
  readonly answer: Answer
  readonly reading: Reading
}

const BUSY_BASE_MS = 500
const BUSY_CAP_MS = 10_000
/** Codes of a server that is there and has no room, or is going down. */
const UNHEALTHY: readonly (number | undefined)[] = [9, 18, 19, 20, 23]
const BAD_TOKEN: readonly (number | undefined)[] = [1, 2, 3, 4, 16, 21, 22]

export class Server {
  readonly url: string
  readonly #hec: Hec
  readonly #config: SplunkConfig
  readonly #index: Asked['index']
  readonly #line: AckLine | undefined
  /** See `Asked`. */
  #keepsPrefix: boolean
  #takenBytes = 0
  // Answers in a row that say it is busy.
  #busy = 0

  constructor(hec: Hec, url: string, config: SplunkConfig, timing: AckTiming) {
    this.url = url
    this.#hec = hec
    this.#config = config
    this.#index = indexOf(config)
    this.#keepsPrefix = config.compatible === 'yes'
    if (!config.ack) return
    this.#line = new AckLine(new URL(url).host, timing, (channel, ids, signal) => hec.acks(url, channel, ids, signal))
  }

  /** Whether it is healthy, takes the token, and acknowledges if it is to. Rejects with a SinkError. */
  async probe(signal: AbortSignal): Promise<void> {
    const health = await this.#hec.health(this.url, signal)
    const code = codeOf(health)
    if (health.status === 503 || UNHEALTHY.includes(code) || BAD_TOKEN.includes(code)) throw failureOfAnswer(health)
    if (this.#config.compatible === 'auto') this.#keepsPrefix = code === 17 && isSplunk(health)
    await this.#authenticate(signal)
  }

  /** What would keep events from being stored, line by line. Stores nothing. */
  async check(signal: AbortSignal): Promise<readonly CheckLine[]> {
    const { host } = new URL(this.url)
    try {
      await this.probe(signal)
    } catch (error) {
      if (!(error instanceof SinkError)) throw error
      const [text = '', hint] = error.message.split('; ')
      return [{ ok: false, text, ...(hint === undefined ? {} : { hint }) }]
    }
    const acks = this.#config.ack ? 'and acknowledges' : 'acknowledgements are off'
    return [{ ok: true, text: `${host} takes the token, ${acks}` }]
  }

  /** Sends a body of events. Rejects with a SinkError. */
  async send(body: Body, delivery: Delivery): Promise<Receipt> {
    // Two steps, so that nothing of the body is kept while the acknowledgement is waited for.
    const { entries } = body
    return this.#post(body, delivery.signal).then((sent) => this.#settle(sent, entries, delivery))
  }

  async #post(body: Body, signal: AbortSignal): Promise<Sent> {
    const { bytes, isGzip, size, entries } = body
    const post = this.#line?.begin()
    let answer: Answer
    try {
      answer = await this.#hec.post(this.url, { body: bytes, isGzip, channel: post?.channel }, signal)
    } catch (error) {
      if (post !== undefined) this.#lost(post, error)
      throw error
    }
    // An answer before the end of the request may leave its rest with the socket.
    if (answer.status === 200) body.onRead()
    const reading = readAnswer(answer, {
      entries,
      bytes: size,
      takenBytes: this.#takenBytes,
      ack: this.#config.ack,
      keepsPrefix: this.#keepsPrefix,
      index: this.#index,
    })
    if (reading.kind === 'taken') this.#takenBytes = Math.max(this.#takenBytes, size)
    return { post, answer, reading }
  }

  #settle({ post, answer, reading }: Sent, entries: number, { signal, sent }: Delivery): Receipt | Promise<Receipt> {
    this.#busy = reading.kind !== 'taken' && reading.isBusy ? this.#busy + 1 : 0
    if (reading.kind !== 'taken') {
      if (post !== undefined) this.#refused(post, answer, reading)
      return this.#outcome(reading)
    }
    const receipt = receiptOf(entries, reading.isPressed)
    if (post === undefined) return receipt
    sent()
    return this.#acknowledged(post, answer, reading.ackId, signal).then(() => receipt)
  }

  /** Asks for acknowledgements now. */
  hurry(): void {
    this.#line?.hurry()
  }

  close(): void {
    this.#line?.close()
  }

  async #authenticate(signal: AbortSignal): Promise<void> {
    const line = this.#line
    if (line !== undefined) {
      // Never an empty list: that is refused. The balancer's cookie comes along.
      const { cookies } = await this.#hec.acks(this.url, line.channel, [0], signal)
      line.adopt(cookies)
      return
    }
    const answer = await this.#hec.post(this.url, { body: NOTHING, isGzip: false, channel: undefined }, signal)
    // The token comes first: with a right one it is the missing data that is refused (code 5).
    if (codeOf(answer) === 5 || answer.status === 200) return
    const error = failureOfAnswer(answer)
    if (error.failure === 'refused' || error.failure === 'unavailable') throw error
  }

  async #acknowledged(post: Post, { headers }: Answer, ackId: number | undefined, signal: AbortSignal): Promise<void> {
    const cookies = headers['set-cookie']
    if (ackId !== undefined) return this.#line?.taken(post, ackId, cookies, signal)
    this.#line?.answered(post, cookies)
    const { host } = new URL(this.url)
    throw new SinkError(
      'refused',
      `${host}: it took the events, but gave no number to ask for; useACK is off for this token: turn it on there, or set \`ack: false\``,
    )
  }

  #lost(post: Post, error: unknown): void {
    const failure = error instanceof SinkError ? error : undefined
    const isCut = failure !== undefined && isBroken(failure)
    this.#line?.lost(post, { isBroken: isCut, mayBeTaken: failure?.failure !== 'unavailable' })
  }

  #refused(post: Post, answer: Answer, reading: Reading): void {
    const isUnclear = reading.kind === 'failed' && reading.error.failure === 'in-doubt'
    if (isUnclear) this.#line?.lost(post, { isBroken: false, mayBeTaken: true })
    else this.#line?.answered(post, answer.headers['set-cookie'])
    // The channel has too many open: those that are done make room.
    if (codeOf(answer) === 27) this.hurry()
  }

  /** What is not taken: a receipt, or a failure to throw. A busy server gets a pause, and fewer writes at once. */
  #outcome(reading: Exclude<Reading, { kind: 'taken' }>): PartialReceipt {
    const pauseMs = reading.isBusy ? this.#pauseMs() : undefined
    if (reading.kind === 'partial') {
      return pauseMs === undefined ? reading.receipt : { ...reading.receipt, retryAfterMs: pauseMs }
    }
    const { error } = reading
    if (pauseMs === undefined || error.retryAfterMs !== undefined) throw error
    throw new SinkError(error.failure, error.message, { cause: error, retryAfterMs: pauseMs })
  }

  #pauseMs(): number {
    return Math.random() * Math.min(BUSY_CAP_MS, BUSY_BASE_MS * 2 ** Math.min(this.#busy - 1, 20))
  }
}

const NOTHING = new Uint8Array(0)

function indexOf({ index }: SplunkConfig): Asked['index'] {
  if (index === undefined) return { kind: 'token' }
  return index.constant === undefined ? { kind: 'fields' } : { kind: 'fixed', name: index.constant }
}

/** Other servers answer with code 17, too, but keep nothing of a body that has a bad event in it. */
function isSplunk({ headers }: Answer): boolean {
  const { server } = headers
  return typeof server === 'string' && /splunk/i.test(server)
}
