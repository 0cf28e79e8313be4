// Pushes entries to Grafana Loki. An entry that is sent again is the same line at the same nanosecond of the same stream, of which Loki
// keeps one; so whatever is in doubt, and the stored part of a request that was refused, is simply sent again.

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
import { LokiAnswers } from './loki/answer.ts'
import { type LokiConfig, lokiConfig, pushUrl } from './loki/options.ts'
import { Pushes } from './loki/push.ts'
import { Streams } from './loki/streams.ts'
import { Intake } from './parts/intake.ts'

export default defineSink<LokiConfig>({
  name: 'loki',
  summary: 'Pushes entries to Grafana Loki, or to what takes its push requests.',
  config: lokiConfig,
  needs: { undici: 'the connections' },
  create: (config, host) => new LokiSink(config, host),
})

export class LokiSink implements Sink {
  readonly traits
  readonly #streams: Streams
  readonly #pushes: Pushes
  readonly #intake: Intake
  readonly #answers: LokiAnswers

  constructor(config: LokiConfig, host: SinkHost) {
    const { url, tenant, labels, max_streams, line, max_line_bytes } = config
    this.#streams = new Streams(labels, max_streams, host)
    this.#pushes = new Pushes(config)
    this.#intake = new Intake(pushUrl(url), config, {
      'content-type': 'application/json',
      ...(tenant === undefined ? {} : { 'x-scope-orgid': tenant }),
    })
    this.#answers = new LokiAnswers(this.#intake)
    this.traits = {
      delivered: 'accepted',
      idempotent: true,
      holdsPosition: false,
      // A stream takes what is not much older than its newest entry.
      ordered: true,
      encoding: 'json',
      fields: this.#streams.fields,
      // A message is smaller than its record, so that one only the server can judge.
      limits: line === 'record' ? { entryBytes: max_line_bytes } : {},
    } as const
  }

  open(signal: AbortSignal): Promise<void> {
    return this.#intake.open(signal)
  }

  check(signal: AbortSignal): Promise<readonly CheckLine[]> {
    return this.#intake.check(Buffer.from('{"streams":[]}'), signal)
  }

  close(): Promise<void> {
    return this.#intake.close()
  }

  async write(batch: Batch, { signal }: Delivery): Promise<Receipt> {
    if (signal.aborted) throw new SinkError('unavailable', 'given up before the write began', { cause: signal.reason })
    const body = this.#pushes.build(batch, this.#streams.of(batch))
    return this.#answers.read(await this.#intake.post(body, signal), batch.ends.length)
  }
}
