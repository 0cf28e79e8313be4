// Posts batches as NDJSON or a JSON array to any service that takes logs over HTTP: Datadog, New Relic, Sumo Logic, LogScale, Better Stack,
// Axiom and the like. Delivered is what the service has answered with a 2xx; what the other answers mean stands in parts/intake.ts.

import {
  type Batch,
  type CheckLine,
  type Delivery,
  defineSink,
  type PartialReceipt,
  type Receipt,
  type Sink,
  SinkError,
} from '../src/sink.ts'
import { readAxiom } from './http/axiom.ts'
import { Bodies } from './http/body.ts'
import { type HttpConfig, httpConfig } from './http/options.ts'
import { partition } from './http/partition.ts'
import { Intake } from './parts/intake.ts'

export default defineSink<HttpConfig>({
  name: 'http',
  summary: 'Posts entries as NDJSON or JSON array to an HTTP address, such as the intakes of hosted log services.',
  config: httpConfig,
  needs: { undici: 'the connections' },
  create: (config) => new HttpSink(config),
})

export class HttpSink implements Sink {
  readonly traits
  readonly #config: HttpConfig
  readonly #bodies: Bodies
  readonly #intake: Intake

  constructor(config: HttpConfig) {
    const { url, method, format, envelope, before, after, entry_headers, max_entry_bytes } = config
    this.#config = config
    this.#bodies = new Bodies({ format, envelope, before, after })
    const type =
      config.content_type ?? (format === 'array' || before !== '' ? 'application/json' : 'application/x-ndjson')
    this.#intake = new Intake(url, config, { 'content-type': type, accept: 'application/json, */*;q=0.5' }, method)
    this.traits = {
      delivered: 'accepted',
      idempotent: false,
      holdsPosition: false,
      ordered: false,
      encoding: 'json',
      fields: [...new Set(Object.values(entry_headers).flatMap(({ fields }) => fields))],
      limits: max_entry_bytes === undefined ? {} : { entryBytes: max_entry_bytes },
    } as const
  }

  open(signal: AbortSignal): Promise<void> {
    return this.#intake.open(signal)
  }

  check(signal: AbortSignal): Promise<readonly CheckLine[]> {
    return this.#intake.check(this.#bodies.empty(), signal)
  }

  close(): Promise<void> {
    return this.#intake.close()
  }

  async write(batch: Batch, { signal }: Delivery): Promise<Receipt> {
    const requests = partition(batch, this.#config.entry_headers)
    const only = requests[0]
    if (requests.length === 1 && only !== undefined) return this.#send(batch, undefined, only.headers, signal)
    let delivered = 0
    const rejected: PartialReceipt['rejected'][number][] = []
    for (const [at, { indexes, headers }] of requests.entries()) {
      try {
        const receipt = await this.#send(batch, indexes, headers, signal)
        if (receipt === 'delivered') delivered += indexes.length
        else {
          delivered += receipt.delivered
          for (const one of receipt.rejected) rejected.push({ ...one, index: indexes[one.index] as number })
          if (receipt.unknown !== undefined) {
            const rest = requests.slice(at + 1).flatMap((later) => later.indexes)
            return { delivered, retry: rest, rejected, unknown: receipt.unknown }
          }
        }
      } catch (error) {
        // As long as nothing is settled, the batch as a whole has failed.
        if (!(error instanceof SinkError) || delivered + rejected.length === 0) throw error
        const isDoubtful = error.failure === 'in-doubt'
        const rest = requests.slice(isDoubtful ? at + 1 : at).flatMap((later) => later.indexes)
        return {
          delivered,
          retry: rest,
          rejected,
          ...(isDoubtful ? { doubtful: indexes } : {}),
          ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
        }
      }
    }
    return { delivered, retry: [], rejected }
  }

  async #send(
    batch: Batch,
    indexes: readonly number[] | undefined,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Receipt> {
    const entries = indexes?.length ?? batch.ends.length
    const answer = await this.#intake.post(this.#bodies.build(batch, indexes), signal, headers)
    const verdict = this.#intake.judge(answer)
    if (verdict.kind === 'failed') throw verdict.error
    if (verdict.kind === 'invalid') return this.#intake.invalid(verdict.reason, entries)
    this.#intake.taken()
    return this.#config.answer === 'axiom' ? readAxiom(answer.body, entries, this.#intake) : 'delivered'
  }
}
