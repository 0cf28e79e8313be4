// What came back from a write, made safe to act on: receipts that add up, or a failure of a known kind.
// Invariant: whatever a sink does, the outcome is one of these, and only a receipt that adds up counts entries as delivered.

import type { PartialReceipt, Receipt, SinkFailure } from '../../sink.ts'

/** The outcome of one write. */
export type Outcome =
  | { readonly kind: 'delivered' }
  | { readonly kind: 'partial'; readonly receipt: PartialReceipt }
  | Failure

export interface Failure {
  readonly kind: 'failed'
  readonly failure: SinkFailure
  readonly message: string
  readonly retryAfterMs: number | undefined
  /** Set when the sink broke its contract; has the stack. */
  readonly bug: Error | undefined
  /** What was thrown, with its causes. */
  readonly error: unknown
}

const DELIVERED: Outcome = { kind: 'delivered' }

/** Checks a receipt against the number of entries written. One that does not add up makes the batch in-doubt, never delivered. */
export function readReceipt(receipt: Receipt, entries: number): Outcome {
  if (receipt === 'delivered') return DELIVERED
  const wrong = findFault(receipt, entries)
  if (wrong === undefined) return { kind: 'partial', receipt }
  const bug = new Error(`the receipt does not add up: ${wrong}`)
  return { kind: 'failed', failure: 'in-doubt', message: bug.message, retryAfterMs: undefined, bug, error: bug }
}

function findFault(receipt: PartialReceipt, entries: number): string | undefined {
  if (typeof receipt !== 'object' || receipt === null) return `it is ${String(receipt)}`
  const { delivered, retry, rejected, doubtful = [], unknown, diverted = 0 } = receipt
  if (!Array.isArray(retry) || !Array.isArray(rejected) || !Array.isArray(doubtful)) return 'a list is missing'
  const counts = { delivered, 'unknown.count': unknown?.count ?? 0, diverted }
  for (const [name, count] of Object.entries(counts)) {
    if (!Number.isInteger(count) || count < 0) return `${name} is ${String(count)}`
  }
  if (diverted > delivered) return `diverted is ${diverted} of ${delivered} delivered`
  const sum = delivered + retry.length + doubtful.length + rejected.length + (unknown?.count ?? 0)
  if (sum !== entries) return `it accounts for ${sum} of ${entries} entries`
  const seen = new Set<number>()
  for (const index of [...retry, ...doubtful, ...rejected.map((rejection) => rejection?.index)]) {
    if (!Number.isInteger(index) || index < 0 || index >= entries) return `index ${String(index)} of ${entries} entries`
    if (seen.has(index)) return `index ${index} occurs twice`
    seen.add(index)
  }
  return undefined
}

const FAILURES: readonly string[] = ['unavailable', 'in-doubt', 'too-large', 'refused'] satisfies SinkFailure[]

/**
 * Sorts what a sink threw. A SinkError is known by name and failure, since a package may bring its own copy of the class.
 * @param deadline aborted when the write was called off: an abort error is then no bug
 */
export function readFailure(error: unknown, deadline?: AbortSignal): Failure {
  const { name, failure, message, retryAfterMs } = (error ?? {}) as Record<string, unknown>
  const text = typeof message === 'string' && message !== '' ? message : String(error)
  if (name === 'SinkError' && FAILURES.includes(String(failure))) {
    const wait = typeof retryAfterMs === 'number' && retryAfterMs >= 0 ? retryAfterMs : undefined
    const kind = failure as SinkFailure
    return { kind: 'failed', failure: kind, message: text, retryAfterMs: wait, bug: undefined, error }
  }
  const doubt = { kind: 'failed', failure: 'in-doubt', retryAfterMs: undefined, error } as const
  const isAbort = error === deadline?.reason || name === 'AbortError' || name === 'TimeoutError'
  if (deadline?.aborted && isAbort) {
    const why = deadline.reason instanceof Error ? deadline.reason.message : text
    return { ...doubt, message: why, bug: undefined }
  }
  return { ...doubt, message: text, bug: error instanceof Error ? error : new Error(text) }
}
