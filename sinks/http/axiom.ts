// Axiom answers 200 also when it has dropped entries, and says in the body how many: `{"ingested":8,"failed":2,"failures":[…]}`.

import { type Receipt, SinkError } from '../../src/sink.ts'
import type { Intake } from '../parts/intake.ts'

interface AxiomAnswer {
  readonly ingested?: unknown
  readonly failed?: unknown
  readonly failures?: readonly { readonly error?: unknown }[]
}

/** The receipt for `entries` entries. Throws `in-doubt` when the answer is not Axiom's. */
export function readAxiom(body: Buffer, entries: number, intake: Intake): Receipt {
  let answer: AxiomAnswer
  try {
    answer = JSON.parse(body.toString()) as AxiomAnswer
  } catch (cause) {
    throw new SinkError('in-doubt', `${intake.host}: the answer is no JSON`, { cause })
  }
  const { failed, failures } = answer ?? {}
  if (typeof failed !== 'number')
    throw new SinkError('in-doubt', `${intake.host}: the answer does not say how many entries failed`)
  const count = Math.min(entries, failed)
  if (count <= 0) return 'delivered'
  const first = failures?.[0]?.error
  const reason = typeof first === 'string' ? intake.shorten(first) : 'the answer gives no reason'
  if (count < entries) return { delivered: entries - count, retry: [], rejected: [], unknown: { count, reason } }
  const rejected = Array.from({ length: entries }, (_, index) => ({ index, code: 'invalid', reason }))
  return { delivered: 0, retry: [], rejected }
}
