// Sends batches in the forward protocol: to Fluentd, Fluent Bit, or an OpenTelemetry collector. Delivered is what the server has
// acknowledged, chunk by chunk; each chunk that was sent and not acknowledged is in doubt and sent again.

import {
  type Batch,
  type CheckLine,
  type Delivery,
  defineSink,
  type Receipt,
  type Rejection,
  type Sink,
  SinkError,
  type SinkHost,
} from '../src/sink.ts'
import { type Chunk, cutChunks, Framer, groupChunks, suspectOf } from './fluentd/chunks.ts'
import { Connection, type ConnectionOptions, type Flight, type Loss } from './fluentd/connection.ts'
import { endpointsOf, type FluentdConfig, fluentdConfig } from './fluentd/options.ts'
import { Servers } from './fluentd/servers.ts'
import { Suspects, type Verdict } from './fluentd/suspects.ts'

/** How long to wait for a server before there is a connection, milliseconds. */
export interface Waits {
  readonly connectTimeoutMs: number
  /** For each message of the handshake. */
  readonly handshakeTimeoutMs: number
  /** In a check: a server that wants a key says so at once. */
  readonly heloWithinMs: number
}

const WAITS: Waits = { connectTimeoutMs: 10_000, handshakeTimeoutMs: 5000, heloWithinMs: 500 }

export default defineSink<FluentdConfig>({
  name: 'fluentd',
  summary: 'Sends entries in the forward protocol, to Fluentd, Fluent Bit or an OpenTelemetry collector.',
  config: fluentdConfig,
  needs: { '@fluent-org/logger': 'the handshake with a shared key' },
  create: (config, host) => new FluentdSink(config, host),
})

/** What became of a chunk. */
type Outcome =
  | { readonly kind: 'acknowledged' }
  | { readonly kind: 'failed'; readonly error: SinkError }
  /** The server does not take it, although it takes others. */
  | { readonly kind: 'poison' }

const ACKNOWLEDGED: Outcome = { kind: 'acknowledged' }
const POISON: Outcome = { kind: 'poison' }
const UNSENT: Outcome = { kind: 'failed', error: new SinkError('unavailable', 'it was not sent') }
const NOT_TAKEN = 'the server closes the connection or does not acknowledge it, again and again, and takes others'

export class FluentdSink implements Sink {
  readonly traits
  readonly #config: FluentdConfig
  readonly #host: SinkHost
  readonly #waits: Waits
  readonly #framer: Framer
  readonly #servers: Servers
  readonly #suspects = new Suspects()

  constructor(config: FluentdConfig, host: SinkHost, waits: Waits = WAITS) {
    const { ack, tls, shared_key, user, password, hostname, mode } = config
    this.#config = config
    this.#host = host
    this.#waits = waits
    this.#framer = new Framer(config)
    const options: ConnectionOptions = {
      credentials: { sharedKey: shared_key, user, password, hostname: hostname ?? `${host.node.hostname}-logferry` },
      tls,
      ack,
      ackTimeoutMs: config.ack_timeout,
      connectTimeoutMs: waits.connectTimeoutMs,
      handshakeTimeoutMs: waits.handshakeTimeoutMs,
    }
    this.#servers = new Servers({
      endpoints: endpointsOf(config),
      mode,
      log: host.log,
      connect: (endpoint, signal) => Connection.open(endpoint, options, signal),
    })
    this.traits = {
      delivered: ack ? 'accepted' : 'sent',
      idempotent: false,
      holdsPosition: false,
      ordered: false,
      encoding: 'msgpack',
      fields: config.tag.fields,
      releases: true,
      limits: {},
    } as const
  }

  async open(signal: AbortSignal): Promise<void> {
    try {
      const connection = await this.#servers.pick(signal)
      if (!connection.keepalive) await connection.end(signal)
    } catch (error) {
      await this.#servers.close(signal)
      throw error
    }
  }

  async write(batch: Batch, { signal, sent }: Delivery): Promise<Receipt> {
    if (signal.aborted) throw new SinkError('unavailable', 'given up before the write began', { cause: signal.reason })
    const chunks = cutChunks(batch, this.#config.tag, this.#config.chunk_size)
    const attempt = new Attempt(batch, signal)
    try {
      const verdicts = chunks.map((chunk) => this.#verdict(batch, chunk))
      const together = chunks.filter((_, index) => verdicts[index] === 'clear')
      const alone = chunks.filter((_, index) => verdicts[index] === 'alone')
      for (const [index, chunk] of chunks.entries()) if (verdicts[index] === 'poison') attempt.end(chunk, POISON)
      await Promise.all([this.#sendTogether(attempt, together), ...alone.map((one) => this.#sendAlone(attempt, one))])
      sent()
      return this.#receipt(batch, await attempt.outcomes(chunks))
    } finally {
      attempt.close()
    }
  }

  async check(signal: AbortSignal): Promise<readonly CheckLine[]> {
    const { shared_key } = this.#config
    const results = await this.#servers.tryAll(signal, async (connection) => {
      if (shared_key === undefined) await connection.listen(this.#waits.heloWithinMs)
      return `${connection.name} can be reached${shared_key === undefined ? '' : ', and has the shared key'}`
    })
    return results.map((result) => {
      if (result.status === 'fulfilled') return { ok: true, text: result.value }
      return { ok: false, text: result.reason instanceof Error ? result.reason.message : String(result.reason) }
    })
  }

  close(signal: AbortSignal): Promise<void> {
    return this.#servers.close(signal)
  }

  #verdict(batch: Batch, chunk: Chunk): Verdict {
    return this.#suspects.any ? this.#suspects.verdict(suspectOf(batch, chunk)) : 'clear'
  }

  /** One after another on the connection that all batches share. Resolves when all are on the wire. */
  async #sendTogether(attempt: Attempt, chunks: readonly Chunk[]): Promise<void> {
    let rest = chunks
    while (rest.length > 0) {
      let some = rest
      try {
        const connection = await this.#servers.pick(attempt.signal)
        if (!connection.keepalive) some = rest.slice(0, 1)
        const inTurn = some
        await connection.turns.take(() => this.#sendInTurn(attempt, connection, inTurn), attempt.signal)
      } catch (error) {
        for (const chunk of some) attempt.end(chunk, failed(error))
      }
      rest = rest.slice(some.length)
    }
  }

  async #sendInTurn(attempt: Attempt, connection: Connection, chunks: readonly Chunk[]): Promise<void> {
    for (const group of groupChunks(chunks, this.#config.chunk_size)) {
      const { written, settled } = await this.#launch(attempt, connection, group)
      for (const [n, chunk] of group.entries())
        attempt.follow(chunk, this.#followShared(attempt, connection, chunk, settled[n]))
      await written
    }
  }

  async #followShared(
    attempt: Attempt,
    connection: Connection,
    chunk: Chunk,
    settled: Promise<Loss | undefined>,
  ): Promise<Outcome> {
    const loss = await settled
    if (!connection.keepalive) void connection.end(attempt.signal)
    if (loss === undefined) {
      this.#servers.succeeded(connection)
      return ACKNOWLEDGED
    }
    this.#servers.broke(connection, loss.error)
    // Called off, the batch's memory may be in use for another one already.
    if (loss.isSuspect && !attempt.signal.aborted) this.#suspects.suspect(suspectOf(attempt.batch, chunk))
    return failed(loss.error)
  }

  /** On a connection of its own: this chunk was lost before, perhaps by its own fault. Resolves when it is on the wire. */
  async #sendAlone(attempt: Attempt, chunk: Chunk): Promise<void> {
    try {
      const connection = await this.#servers.pickFresh(attempt.signal)
      const { written, settled } = await this.#launch(attempt, connection, [chunk])
      const outcome = this.#followAlone(attempt, connection, chunk, settled[0])
      attempt.follow(
        chunk,
        outcome.finally(() => connection.end(attempt.signal)),
      )
      await written
    } catch (error) {
      attempt.end(chunk, failed(error))
    }
  }

  async #followAlone(
    attempt: Attempt,
    connection: Connection,
    chunk: Chunk,
    settled: Promise<Loss | undefined>,
  ): Promise<Outcome> {
    const suspect = suspectOf(attempt.batch, chunk)
    const lastAckAt = this.#servers.lastAckAt(connection)
    const loss = await settled
    if (loss === undefined) {
      this.#servers.succeeded(connection)
      this.#suspects.forget(suspect)
      return ACKNOWLEDGED
    }
    if (!loss.isSuspect) return failed(loss.error)
    const probe = () => this.#probe(attempt, connection, chunk)
    if ((await this.#suspects.strike(suspect, lastAckAt, probe)) !== 'poison') return failed(loss.error)
    if (suspect.entries > 1)
      this.#host.log.warn('the server takes other entries but not these, they are sent in smaller parts', {
        server: connection.name,
        chunk: chunk.id,
        entries: suspect.entries,
      })
    return POISON
  }

  /** Whether a server acknowledges a message without entries, at this moment and with this tag. */
  async #probe(attempt: Attempt, { name }: Connection, { tag, id }: Chunk): Promise<boolean> {
    try {
      const connection = await this.#servers.connectTo(name, attempt.signal)
      const probe = `${id}/probe`
      const { settled } = connection.deliver([probe], this.#framer.probe(tag, probe))
      attempt.watch(connection, probe)
      const loss = await settled[0]
      await connection.end(attempt.signal)
      return loss === undefined
    } catch (error) {
      if (error instanceof SinkError) return false
      throw error
    }
  }

  async #launch(attempt: Attempt, connection: Connection, chunks: readonly Chunk[]): Promise<Flight> {
    // Called off, the batch's memory may be in use for another one already.
    attempt.throwIfGivenUp()
    const frame = await this.#framer.frame(attempt.batch, chunks)
    attempt.throwIfGivenUp()
    const ids = chunks.map(({ id }) => id)
    const flight = connection.deliver(ids, frame.bytes)
    for (const id of ids) attempt.watch(connection, id)
    void flight.written.then(() => {
      // A broken connection may still have its hands on the bytes.
      if (connection.isOpen) this.#framer.done(frame)
    })
    return flight
  }

  #receipt(batch: Batch, ends: readonly { readonly chunk: Chunk; readonly outcome: Outcome }[]): Receipt {
    let delivered = 0
    const retry: number[] = []
    const doubtful: number[] = []
    const rejected: Rejection[] = []
    const errors: SinkError[] = []
    for (const { chunk, outcome } of ends) {
      const { indexes } = chunk
      if (outcome.kind === 'acknowledged') delivered += indexes.length
      else if (outcome.kind === 'failed') {
        errors.push(outcome.error)
        const list = outcome.error.failure === 'in-doubt' ? doubtful : retry
        for (const index of indexes) list.push(index)
      } else if (indexes.length === 1) {
        rejected.push({ index: indexes[0] ?? 0, code: 'invalid', reason: NOT_TAKEN })
        this.#suspects.forget(suspectOf(batch, chunk))
      } else for (const index of indexes) retry.push(index)
    }
    if (delivered === batch.ends.length) return 'delivered'
    if (delivered > 0 || rejected.length > 0) return { delivered, retry, doubtful, rejected }
    throw worst(errors) ?? new SinkError('too-large', `${batch.ends.length} entries: ${NOT_TAKEN}`)
  }
}

/** One write: what its chunks come to, and what has to end when it is called off. */
class Attempt {
  readonly batch: Batch
  readonly signal: AbortSignal
  readonly #outcomes = new Map<Chunk, Promise<Outcome>>()
  readonly #watched: { readonly connection: Connection; readonly id: string }[] = []
  readonly #giveUp = () => {
    for (const { connection, id } of this.#watched) connection.giveUp(id)
  }

  constructor(batch: Batch, signal: AbortSignal) {
    this.batch = batch
    this.signal = signal
    signal.addEventListener('abort', this.#giveUp, { once: true })
  }

  /** A message is under way: ends its connection when the write is called off before it is acknowledged. */
  watch(connection: Connection, id: string): void {
    this.#watched.push({ connection, id })
    if (this.signal.aborted) connection.giveUp(id)
  }

  throwIfGivenUp(): void {
    if (this.signal.aborted) throw new SinkError('unavailable', 'given up before it was sent')
  }

  follow(chunk: Chunk, outcome: Promise<Outcome>): void {
    this.#outcomes.set(chunk, outcome)
  }

  /** For a chunk that is followed already nothing changes. */
  end(chunk: Chunk, outcome: Outcome): void {
    if (!this.#outcomes.has(chunk)) this.#outcomes.set(chunk, Promise.resolve(outcome))
  }

  outcomes(chunks: readonly Chunk[]): Promise<{ chunk: Chunk; outcome: Outcome }[]> {
    return Promise.all(chunks.map(async (chunk) => ({ chunk, outcome: (await this.#outcomes.get(chunk)) ?? UNSENT })))
  }

  close(): void {
    this.signal.removeEventListener('abort', this.#giveUp)
  }
}

function failed(error: unknown): Outcome {
  if (error instanceof SinkError) return { kind: 'failed', error }
  throw error
}

/** Of the failures of a batch the one that says what to do. */
function worst(errors: readonly SinkError[]): SinkError | undefined {
  for (const failure of ['in-doubt', 'refused', 'unavailable']) {
    const found = errors.find((error) => error.failure === failure)
    if (found !== undefined) return found
  }
  return undefined
}
