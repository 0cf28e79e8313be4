// Sends entries as log records of OpenTelemetry over HTTP, in protobuf or JSON, to a collector or any service with such a receiver.
// Delivered is what the receiver has taken; of those that it refuses it says how many and not which, so these batches are suspects.

import {
  type Batch,
  type CheckLine,
  type Delivery,
  defineSink,
  type Receipt,
  type Sink,
  SinkError,
  type SinkHost,
} from '../src/sink.ts'
import { readPartialSuccess, withPlainStatus } from './otlp/answer.ts'
import { jsonRequest } from './otlp/json.ts'
import { logsUrl, type OtlpConfig, otlpConfig } from './otlp/options.ts'
import { protobufRequest } from './otlp/protobuf.ts'
import { type Attribute, resourceLogs } from './otlp/records.ts'
import { Intake } from './parts/intake.ts'

/** A sentence about what the receiver warns of, so often. */
const WARN_EVERY_MS = 30_000
/** What the specification wants repeated; of the errors of the server, no others. */
const REPEATED = new Set([429, 502, 503, 504])

export default defineSink<OtlpConfig>({
  name: 'otlp',
  summary: 'Sends entries as OpenTelemetry log records over HTTP (OTLP), to a collector or a hosted service.',
  config: otlpConfig,
  needs: { undici: 'the connections' },
  create: (config, host) => new OtlpSink(config, host),
})

export class OtlpSink implements Sink {
  readonly traits = {
    delivered: 'accepted',
    idempotent: false,
    holdsPosition: false,
    ordered: false,
    encoding: 'json',
    fields: [],
    limits: {},
  } as const
  readonly #config: OtlpConfig
  readonly #host: SinkHost
  readonly #intake: Intake
  readonly #constants: readonly Attribute[]
  #warnedAt = 0

  constructor(config: OtlpConfig, host: SinkHost) {
    const type = config.protocol === 'json' ? 'application/json' : 'application/x-protobuf'
    this.#config = config
    this.#host = host
    this.#intake = new Intake(logsUrl(config.url), config, { 'content-type': type, accept: type })
    this.#constants = Object.entries(config.resource)
  }

  open(signal: AbortSignal): Promise<void> {
    return this.#intake.open(signal)
  }

  check(signal: AbortSignal): Promise<readonly CheckLine[]> {
    // A request without log records is a valid one.
    return this.#intake.check(this.#config.protocol === 'json' ? jsonRequest([], 0) : protobufRequest([], 0), signal)
  }

  close(): Promise<void> {
    return this.#intake.close()
  }

  async write(batch: Batch, { signal }: Delivery): Promise<Receipt> {
    if (signal.aborted) throw new SinkError('unavailable', 'given up before the write began', { cause: signal.reason })
    const entries = batch.ends.length
    const groups = resourceLogs(batch, this.#constants)
    const request = this.#config.protocol === 'json' ? jsonRequest : protobufRequest
    const answer = await this.#intake.post(request(groups, Date.now()), signal)
    if (answer.status >= 200 && answer.status < 300) {
      const { rejected, message } = readPartialSuccess(answer)
      this.#intake.taken()
      return this.#receipt(entries, rejected, this.#intake.shorten(message))
    }
    const plain = withPlainStatus(answer)
    const verdict = this.#intake.judge(plain)
    if (verdict.kind === 'invalid') return this.#intake.invalid(verdict.reason, entries)
    if (verdict.kind === 'taken') return 'delivered'
    if (this.#config.strict && answer.status >= 500 && !REPEATED.has(answer.status))
      return this.#rejectAll(entries, verdict.error.message)
    throw verdict.error
  }

  #receipt(entries: number, rejected: number, message: string): Receipt {
    const count = Math.min(entries, rejected)
    const reason = message === '' ? 'the receiver gives no reason' : message
    if (count > 0 && count === entries) return this.#rejectAll(entries, reason)
    if (count > 0) return { delivered: entries - count, retry: [], rejected: [], unknown: { count, reason } }
    if (message !== '') this.#warn(message)
    return 'delivered'
  }

  #rejectAll(entries: number, reason: string): Receipt {
    const rejected = Array.from({ length: entries }, (_, index) => ({ index, code: 'invalid', reason }))
    return { delivered: 0, retry: [], rejected }
  }

  #warn(message: string): void {
    const now = Date.now()
    if (now - this.#warnedAt < WARN_EVERY_MS) return
    this.#warnedAt = now
    this.#host.log.warn(`the receiver has taken all and warns: ${message}`)
  }
}
