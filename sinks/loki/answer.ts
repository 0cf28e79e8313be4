// What Loki's answers mean. Their texts are for people (grafana/loki, pkg/validation/validate.go), so only well-known words are looked for.

import { type Receipt, SinkError } from '../../src/sink.ts'
import { type Answer, patience } from '../parts/http.ts'
import type { Intake } from '../parts/intake.ts'

/** So long too many streams are waited out: they go when they are idle. Then a person has to look at the labels. */
const STREAMS_PATIENCE_MS = 600_000

export class LokiAnswers {
  readonly #intake: Intake
  // Since when there are too many streams, milliseconds.
  #crowdedSince: number | undefined

  constructor(intake: Intake) {
    this.#intake = intake
  }

  /** The receipt for a batch of `entries`. Throws a SinkError when it failed. */
  read(answer: Answer, entries: number, now = Date.now()): Receipt {
    const text = answer.body.toString()
    const verdict = this.#intake.judge(answer)
    const reason = this.#intake.reasonOf(answer)
    const says = `${this.#intake.host} answers ${answer.status}: ${reason}`
    if (!/maximum active stream limit|stream_limit/i.test(text)) this.#crowdedSince = undefined
    // A policy that drops what it does not want, under a status of success (also a configured one, such as 429).
    if (answer.status === 260 || (answer.status >= 300 && /blocked_ingestion|ingestion blocked/i.test(text)))
      throw new SinkError('refused', `${says}; this tenant may not write`)
    if (verdict.kind === 'taken') return 'delivered'
    if (/disallowed_structured_metadata|structured metadata.*(?:not allowed|schema|disabled)/i.test(text))
      throw new SinkError(
        'refused',
        `${says}; say \`metadata: []\`, or give Loki schema v13 and allow_structured_metadata`,
      )
    if (answer.status === 500 && /larger than max|ResourceExhausted/i.test(text)) throw new SinkError('too-large', says)
    if (answer.status === 429 && /maximum active stream limit|stream_limit/i.test(text)) {
      this.#crowdedSince ??= now
      if (now - this.#crowdedSince >= STREAMS_PATIENCE_MS)
        throw new SinkError('refused', `${says}; there are too many streams: look at \`labels\``)
      throw new SinkError('unavailable', says, patience(answer))
    }
    if (verdict.kind === 'failed') throw verdict.error
    // Which entries it means is not told in full, and those that it does not mean are stored: they are taken for what they are.
    if (entries > 1) throw new SinkError('too-large', `${says}; trying fewer entries at once`)
    return { delivered: 0, retry: [], rejected: [{ index: 0, code: codeOf(text), reason: says }] }
  }
}

/** A label for metrics, of what Loki refuses an entry for. */
function codeOf(text: string): string {
  if (/too_long|too long|max entry size|line size|too_large|exceeds.*bytes/i.test(text)) return 'too_large'
  if (/too far behind|too old|out of order|greater_than_max_sample_age|timestamp|too_far_in_future|too new/i.test(text))
    return 'time'
  return 'invalid'
}
