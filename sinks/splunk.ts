// Sends entries to Splunk's HTTP Event Collector. With acknowledgements a batch is delivered once the indexers have stored it; each
// event carries cursor and key as indexed fields, so that one which was sent twice can be told.

import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import {
  type Batch,
  type CheckLine,
  type Delivery,
  defineSink,
  type Receipt,
  type Sink,
  SinkError,
  type SinkHost,
  type SinkTraits,
} from '../src/sink.ts'
import { ACK_TIMING, type AckTiming } from './splunk/acks.ts'
import { Envelopes } from './splunk/envelope.ts'
import { Hec } from './splunk/hec.ts'
import { type SplunkConfig, splunkConfig } from './splunk/options.ts'
import { Server } from './splunk/server.ts'

export default defineSink<SplunkConfig>({
  name: 'splunk',
  summary: "Sends entries to Splunk's HTTP Event Collector, with acknowledgement by the indexers.",
  config: splunkConfig,
  // A batch waits for its acknowledgement, mostly for seconds and up to `ack_timeout`, while others are sent.
  defaults: { timeout: '330s', in_flight: 32 },
  create: (config, host) => new SplunkSink(config, host),
})

/** What an envelope has about besides its record, and the share of a request that records get. */
const ENVELOPE_BYTES = 400
const RECORDS_SHARE = 0.72
/** Splunk disregards an event above `maxEventSize`, 5 MB. */
const MOST_ENTRY_BYTES = 4_000_000
// Level 6 takes more than twice the processor time for a seventh fewer bytes.
const GZIP_LEVEL = 1

const compress = promisify(gzip) as (bytes: Uint8Array, options: { level: number }) => Promise<Buffer>

export class SplunkSink implements Sink {
  readonly traits: SinkTraits
  readonly #config: SplunkConfig
  readonly #log: SinkHost['log']
  readonly #timing: AckTiming
  readonly #envelopes: Envelopes
  #hec: Hec | undefined
  #servers = new Map<string, Server>()

  /** @param timing a test has less patience */
  constructor(config: SplunkConfig, { log }: SinkHost, timing: Partial<AckTiming> = {}) {
    const { ack, ack_timeout: timeoutMs, max_content_length: most } = config
    this.#config = config
    this.#log = log
    this.#timing = { ...ACK_TIMING, timeoutMs, ...timing }
    this.#envelopes = new Envelopes({
      ...config,
      index: config.index,
      indexed: new Map(Object.entries(config.indexed)),
    })
    this.traits = {
      delivered: ack ? 'stored' : 'accepted',
      idempotent: false,
      holdsPosition: false,
      ordered: false,
      encoding: 'json',
      fields: this.#envelopes.fields,
      // A body is a copy.
      releases: true,
      limits: {
        entries: Math.max(1, Math.floor((most * (1 - RECORDS_SHARE)) / ENVELOPE_BYTES)),
        bytes: Math.floor(most * RECORDS_SHARE),
        entryBytes: MOST_ENTRY_BYTES,
      },
    }
  }

  async open(signal: AbortSignal): Promise<void> {
    const hec = await Hec.make(this.#config)
    const servers = this.#serversOf(hec)
    try {
      const probes = await Promise.allSettled(servers.map((server) => server.probe(signal)))
      const failed = probes.flatMap((probe) => (probe.status === 'rejected' ? [probe.reason] : []))
      // One that cannot be reached may be back before its turn comes; what a person must mend is not to be overlooked.
      const refused = failed.find((error) => error.failure === 'refused')
      if (refused !== undefined) throw refused
      if (failed.length === servers.length) throw notSent(failed[0])
      for (const { message } of failed) this.#log.warn(message)
    } catch (error) {
      for (const server of servers) server.close()
      await hec.close()
      throw error
    }
    this.#hec = hec
    this.#servers = new Map(servers.map((server) => [server.url, server]))
  }

  async write(batch: Batch, delivery: Delivery): Promise<Receipt> {
    const server = this.#servers.get(this.#hec?.next() ?? '')
    if (server === undefined) throw new SinkError('unavailable', 'the sink is not open')
    const { signal } = delivery
    if (signal.aborted) throw new SinkError('unavailable', 'given up before the write began')
    const entries = batch.ends.length
    const body = this.#envelopes.build(batch)
    this.#requireSize(body, entries)
    const isGzip = this.#config.compress === 'gzip'
    const bytes = isGzip ? await this.#pack(body) : body
    if (signal.aborted) throw new SinkError('unavailable', 'given up before the write began')
    const onRead = () => {
      if (!isGzip) this.#envelopes.giveBack(body)
    }
    return server.send({ bytes, isGzip, size: body.length, entries, onRead }, delivery)
  }

  async flush(): Promise<void> {
    for (const server of this.#servers.values()) server.hurry()
  }

  async check(signal: AbortSignal): Promise<readonly CheckLine[]> {
    const hec = await Hec.make(this.#config)
    try {
      const lines = await Promise.all(this.#serversOf(hec).map((server) => server.check(signal)))
      return lines.flat()
    } finally {
      await hec.close()
    }
  }

  async close(): Promise<void> {
    for (const server of this.#servers.values()) server.close()
    this.#servers.clear()
    await this.#hec?.close()
    this.#hec = undefined
  }

  #serversOf(hec: Hec): Server[] {
    return hec.urls.map((url) => new Server(hec, url, this.#config, this.#timing))
  }

  /** Where templates are longer than foreseen. An event alone may be larger than a request should be: some servers take it. */
  #requireSize(body: Buffer, entries: number): void {
    const { max_content_length: most } = this.#config
    if (body.length <= most || entries === 1) return
    this.#envelopes.giveBack(body)
    throw new SinkError('too-large', `a request of ${body.length} bytes, the limit is ${most}`)
  }

  async #pack(body: Buffer): Promise<Buffer> {
    const packed = await compress(body, { level: GZIP_LEVEL })
    this.#envelopes.giveBack(body)
    return packed
  }
}

/** Of a probe, which sends nothing that could be stored. */
function notSent(error: unknown): unknown {
  if (!(error instanceof SinkError) || error.failure !== 'in-doubt') return error
  return new SinkError('unavailable', error.message, { cause: error })
}
