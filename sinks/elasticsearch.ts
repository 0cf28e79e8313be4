// Indexes entries into Elasticsearch or OpenSearch by bulk requests. The id of a document is the entry's key and an existing one is never
// written again, so that an entry is there once, however often it was sent. What the answers mean stands in elasticsearch/itemErrors.ts.

import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import {
  type Batch,
  type CheckLine,
  type Delivery,
  defineSink,
  type PartialReceipt,
  type Receipt,
  type Rejection,
  type Sink,
  SinkError,
  type SinkHost,
  type SinkTraits,
} from '../src/sink.ts'
import { Addresses } from './elasticsearch/addresses.ts'
import { FILTER, failureOfBulk, readItems200, tooLargeAlone, unknownParameter } from './elasticsearch/answer.ts'
import { BulkBodies } from './elasticsearch/bulkBody.ts'
import { checkTarget } from './elasticsearch/check.ts'
import { parseIndexName } from './elasticsearch/indexName.ts'
import { memoryOf } from './elasticsearch/itemErrors.ts'
import { findStored, mayLook, NotAllowed } from './elasticsearch/lookUp.ts'
import { authorizationOf, type ElasticsearchConfig, elasticsearchConfig } from './elasticsearch/options.ts'
import { PoisonGuard } from './elasticsearch/poison.ts'
import { type BulkReading, NOTHING_YET, readItems } from './elasticsearch/readBulk.ts'
import { plainBatch } from './elasticsearch/stringify.ts'
import { askFacts, askHealth, judgeFacts, type Target } from './elasticsearch/target.ts'
import { installTemplate, templateOf } from './elasticsearch/template.ts'
import { makeTransport, type Reply, type Transport } from './elasticsearch/transport.ts'

const compress = promisify(gzip)
/** Above that a request only gains in size. */
const GZIP_LEVEL = 1
const KEY_BYTES = 34
/** Waits after the server asked for less at a time, without saying how long: between these, doubling. */
const PRESSED_MIN_MS = 500
const PRESSED_MAX_MS = 10_000
/** A sentence about entries that wait for a person, so often. */
const WARN_EVERY_MS = 30_000
/** So many names fit into the line of a request. */
const MOST_NAMES = 20
const DEFAULT_INDEX = 'journald-{yyyy.MM.dd}'

export default defineSink<ElasticsearchConfig>({
  name: 'elasticsearch',
  summary: 'Indexes entries into Elasticsearch or OpenSearch, each once.',
  config: elasticsearchConfig,
  // An index has 1 000 fields; journald and ECS have less than 200.
  defaults: { max_custom: 500 },
  needs: { '@elastic/elasticsearch': 'the connections to the cluster', undici: 'the connections to OpenSearch' },
  create: (config, host) => new ElasticsearchSink(config, host),
})

export class ElasticsearchSink implements Sink {
  readonly #config: ElasticsearchConfig
  readonly #host: SinkHost
  readonly #target: Target
  readonly #addresses: Addresses
  readonly #bodies = new BulkBodies()
  readonly #guard = new PoisonGuard()
  readonly #hasIds: boolean
  readonly #dataStream: Pick<SinkTraits, 'dataStream'>
  // Batches that may be stored, by their ids, and when they were sent.
  readonly #doubts = new Map<string, number>()
  #transport: Transport | undefined
  #isRolling: boolean
  #mayLook = true
  #requiresStream: boolean
  /** A request as large as twice this was too large once. */
  #mostBytes = Number.POSITIVE_INFINITY
  #warnedAt = 0
  #alreadyThere = 0

  constructor(config: ElasticsearchConfig, host: SinkHost) {
    this.#config = config
    this.#host = host
    const { data_stream, index } = config
    this.#target =
      data_stream === undefined
        ? { kind: 'index', name: index ?? parseIndexName(DEFAULT_INDEX) }
        : { kind: 'data stream', name: data_stream }
    this.#hasIds = config.ids === 'entry'
    this.#dataStream = data_stream === undefined ? {} : partsOf(data_stream)
    this.#addresses = new Addresses(this.#target.name, config.routing, this.#hasIds)
    this.#isRolling = data_stream !== undefined
    this.#requiresStream = data_stream !== undefined
  }

  get traits(): SinkTraits {
    return {
      delivered: 'stored',
      idempotent: this.#hasIds && (!this.#isRolling || this.#mayLook),
      holdsPosition: false,
      ordered: false,
      encoding: 'json',
      ...this.#dataStream,
      fields: this.#addresses.fields,
      // The body of a request is a copy.
      releases: true,
      limits: {},
    }
  }

  async open(signal: AbortSignal): Promise<void> {
    const transport = await this.#connect()
    try {
      await askHealth(transport, signal)
      if (this.#config.template)
        await installTemplate(transport, templateOf(this.#target, this.#config.lifecycle), this.#host.log, signal)
      const facts = await askFacts(transport, this.#target, signal)
      judgeFacts(facts, this.#target, this.#host.log)
      this.#isRolling = facts.isRolling
      if (facts.isRolling && this.#hasIds) {
        const { constant, pattern } = this.#target.name
        // What begins with a field may be anything: that is found out when it matters.
        this.#mayLook =
          pattern.startsWith('*') || (await mayLook(transport, encodeURIComponent(constant ?? pattern), signal))
        if (!this.#mayLook) this.#warnUnseen()
      }
    } catch (error) {
      await transport.close()
      throw error
    }
    await this.#transport?.close()
    this.#transport = transport
  }

  async check(signal: AbortSignal): Promise<readonly CheckLine[]> {
    const transport = await this.#connect()
    try {
      return await checkTarget(transport, this.#target, this.#config, signal)
    } finally {
      await transport.close()
    }
  }

  async close(): Promise<void> {
    const transport = this.#transport
    this.#transport = undefined
    await transport?.close()
    if (this.#alreadyThere > 0)
      this.#host.log.info('entries that had been stored before', { entries: this.#alreadyThere })
    this.#alreadyThere = 0
  }

  async write(batch: Batch, { signal }: Delivery): Promise<Receipt> {
    if (signal.aborted) throw new SinkError('unavailable', 'given up before the write began')
    const transport = this.#transport
    if (transport === undefined) throw new SinkError('unavailable', 'the sink is closed')
    const stored = await this.#findStored(transport, batch, signal)
    const indexes = stored.size === 0 ? undefined : Array.from(batch.ends.keys()).filter((index) => !stored.has(index))
    if (indexes?.length === 0) return 'delivered'
    const sentAt = Date.now()
    try {
      const reading = await this.#bulk(transport, batch, indexes, signal)
      this.#doubts.delete(batch.id)
      if (reading.isDoubtful) this.#doubt(batch, sentAt)
      const settled = await this.#settle(transport, batch, indexes, reading, signal)
      const delivered = settled.delivered + stored.size
      return delivered === batch.ends.length && settled.diverted === undefined ? 'delivered' : { ...settled, delivered }
    } catch (error) {
      if (error instanceof SinkError && error.failure === 'in-doubt') this.#doubt(batch, sentAt)
      throw error
    }
  }

  async #connect(): Promise<Transport> {
    const { nodes, cloud_id, tls, proxy, flavour } = this.#config
    const options = { nodes: nodes ?? [cloud_id ?? ''], tls, proxy, authorization: authorizationOf(this.#config) }
    return makeTransport(flavour, options)
  }

  // ── one request ──

  async #bulk(
    transport: Transport,
    batch: Batch,
    indexes: readonly number[] | undefined,
    signal: AbortSignal,
  ): Promise<BulkReading> {
    const entries = indexes?.length ?? batch.ends.length
    const { name, lines } = this.#addresses.of(batch)
    const body = this.#bodies.build(batch, lines, indexes)
    if (body.length > this.#mostBytes && entries > 1) {
      this.#bodies.giveBack(body)
      throw new SinkError('too-large', `a request of ${body.length} bytes, and ${this.#mostBytes} is the most`)
    }
    const reply = await this.#post(transport, name, body, signal)
    const alone = entries === 1 ? tooLargeAlone(reply, body.length) : undefined
    if (alone !== undefined) return { ...NOTHING_YET, retry: [0], suspects: [alone], isPressed: true }
    if (reply.status !== 200) throw this.#failure(reply, batch, entries, body.length)
    const answer = readItems200(reply, entries)
    // There is an outcome for its last line: the server has read it.
    this.#bodies.giveBack(body)
    if (answer === 'all-created') return { ...NOTHING_YET, delivered: entries }
    const sent = { hasIds: this.#hasIds, namesFromFields: this.#target.name.fields.length > 0 }
    return readItems(answer, { ...sent, memory: memoryOf(body.length, entries) })
  }

  async #post(transport: Transport, name: string | undefined, body: Buffer, signal: AbortSignal): Promise<Reply> {
    const { compress: compression, pipeline, require_alias, server_timeout } = this.#config
    const isGzip = compression === 'gzip'
    const sent = isGzip ? await compress(body, { level: GZIP_LEVEL }) : body
    const reply = await transport.send({
      method: 'POST',
      path: name === undefined ? '/_bulk' : `/${encodeURIComponent(name)}/_bulk`,
      query: {
        filter_path: FILTER,
        timeout: `${server_timeout}ms`,
        ...(pipeline === undefined ? {} : { pipeline }),
        ...(require_alias ? { require_alias: 'true' } : {}),
        ...(this.#requiresStream ? { require_data_stream: 'true' } : {}),
      },
      body: sent,
      type: 'ndjson',
      isGzip,
      signal,
    })
    if (!this.#requiresStream || unknownParameter(reply) !== 'require_data_stream') return reply
    this.#requiresStream = false
    this.#host.log.warn('the server cannot be told to write into data streams only; a wrong name makes a plain index')
    return this.#post(transport, name, body, signal)
  }

  #failure(reply: Reply, batch: Batch, entries: number, bytes: number): SinkError {
    const failure = failureOfBulk(reply, entries, bytes)
    if (reply.status === 413) this.#mostBytes = Math.min(this.#mostBytes, Math.floor(bytes / 2))
    if (reply.status !== 429 || failure.failure !== 'unavailable') return failure
    const retryAfterMs = failure.retryAfterMs ?? pressedFor(batch.attempt)
    return new SinkError('unavailable', failure.message, { retryAfterMs })
  }

  // ── what came back ──

  async #settle(
    transport: Transport,
    batch: Batch,
    indexes: readonly number[] | undefined,
    reading: BulkReading,
    signal: AbortSignal,
  ): Promise<PartialReceipt> {
    const inBatch = (index: number): number => indexes?.[index] ?? index
    if (reading.delivered > 0) this.#guard.delivered()
    this.#alreadyThere += reading.again
    if (reading.obstacle !== undefined) this.#warn(reading.obstacle, reading.retry.length)
    const convicted = this.#guard.convict(reading.suspects, (index) => keyOf(batch, inBatch(index)))
    const isConvicted = new Set(convicted.map(({ index }) => index))
    const rejected = [...reading.rejected, ...convicted].map((one) => ({ ...one, index: inBatch(one.index) }))
    const receipt: PartialReceipt = {
      delivered: reading.delivered,
      retry: reading.retry.filter((index) => !isConvicted.has(index)).map(inBatch),
      rejected,
      ...(reading.diverted > 0 ? { diverted: reading.diverted } : {}),
      ...(reading.isPressed ? { retryAfterMs: pressedFor(batch.attempt) } : {}),
    }
    return this.#config.on_mapping_error === 'stringify' ? this.#stringify(transport, batch, receipt, signal) : receipt
  }

  /** Sends what does not fit the mapping once more, as a document that fits any. */
  async #stringify(
    transport: Transport,
    batch: Batch,
    receipt: PartialReceipt,
    signal: AbortSignal,
  ): Promise<PartialReceipt> {
    const misfits = receipt.rejected.filter(({ code }) => code === 'mapping')
    if (misfits.length === 0) return receipt
    const plain = plainBatch(batch, misfits)
    const others = receipt.rejected.filter(({ code }) => code !== 'mapping')
    try {
      const again = await this.#bulk(transport, plain.batch, undefined, signal)
      const back = (index: number): number => plain.indexes[index] ?? 0
      return {
        ...receipt,
        delivered: receipt.delivered + again.delivered,
        retry: [...receipt.retry, ...again.retry.map(back)],
        // The first reason is the one that says what is wrong with the entry.
        rejected: [...others, ...again.rejected.map(({ index }) => misfits[index] as Rejection)],
      }
    } catch (error) {
      if (!(error instanceof SinkError)) throw error
      if (error.failure === 'too-large' || error.failure === 'refused') return receipt
      // They are tried again from the beginning, and found if they are there.
      return { ...receipt, retry: [...receipt.retry, ...misfits.map(({ index }) => index)], rejected: others }
    }
  }

  #warn(obstacle: string, entries: number): void {
    const now = Date.now()
    if (now - this.#warnedAt < WARN_EVERY_MS) return
    this.#warnedAt = now
    this.#host.log.warn(`some entries wait for a person: ${obstacle}`, { entries })
  }

  // ── what may be there already ──

  #doubt({ id }: Batch, sentAt: number): void {
    if (this.#isRolling && this.#hasIds && this.#mayLook) this.#doubts.set(id, sentAt)
  }

  /** The indexes of entries that an earlier attempt has stored, where the server would not notice. */
  async #findStored(transport: Transport, batch: Batch, signal: AbortSignal): Promise<ReadonlySet<number>> {
    const sentAt = this.#doubts.get(batch.id)
    if (sentAt === undefined) return new Set()
    // Until then the server may still be at it, and a look would come too early.
    const wait = sentAt + this.#config.server_timeout - Date.now()
    try {
      if (wait > 0) await sleep(wait, undefined, { signal })
      const names = this.#addresses.namesOf(batch).map(encodeURIComponent)
      const stored = new Set<number>()
      for (let from = 0; from < names.length; from += MOST_NAMES) {
        const some = names.slice(from, from + MOST_NAMES).join(',')
        for (const index of await findStored(transport, some, batch, signal)) stored.add(index)
      }
      return stored
    } catch (error) {
      if (error instanceof NotAllowed) {
        this.#mayLook = false
        this.#doubts.clear()
        this.#warnUnseen()
        return new Set()
      }
      if (error instanceof SinkError && error.failure === 'refused') throw error
      throw new SinkError('unavailable', `what is stored already cannot be seen: ${String(error)}`, { cause: error })
    }
  }

  #warnUnseen(): void {
    this.#host.log.warn(
      'the target may not be read: after a lost connection entries may be stored twice, when it goes over to another index just then',
    )
  }
}

/** A data stream's name is TYPE-DATASET-NAMESPACE, and documents in ECS repeat that. Other names, or one for each entry, have no parts. */
function partsOf({ constant = '' }: Target['name']): Pick<SinkTraits, 'dataStream'> {
  const [, type, dataset, namespace] = /^([^-]+)-([^-]+)-([^-]+)$/.exec(constant) ?? []
  if (type === undefined || dataset === undefined || namespace === undefined) return {}
  return { dataStream: { type, dataset, namespace } }
}

function pressedFor(attempt: number): number {
  const most = Math.min(PRESSED_MAX_MS, PRESSED_MIN_MS * 2 ** Math.min(attempt - 1, 10))
  return most * (0.5 + Math.random() / 2)
}

function keyOf({ keys }: Batch, index: number): string {
  return Buffer.from(keys.buffer, keys.byteOffset + index * KEY_BYTES, KEY_BYTES).toString('latin1')
}
