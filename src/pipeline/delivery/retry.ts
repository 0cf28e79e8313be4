// What happens to a batch after a write: pure planning and waiting times, no clock and no sink.
// Invariant: every entry of the batch is in exactly one of delivered, again, dead or suspects.

import type { Rejection } from '../../sink.ts'
import type { Outcome } from './receipt.ts'

/** The next steps for the entries of one write. Indexes are those of the batch that was written. */
export interface Plan {
  readonly delivered: number
  /** To send again, ascending. `'all'`: the whole batch. */
  readonly again: 'all' | readonly number[]
  /** Send `again` as two halves. */
  readonly halve: boolean
  readonly dead: readonly Rejection[]
  /** The target refused some of the batch and did not say which: all its entries are kept, with this reason. */
  readonly suspects: string | undefined
  /** Entries sent again which may be there already. */
  readonly doubtful: number
  readonly diverted: number
}

const NOTHING: Plan = {
  delivered: 0,
  again: [],
  halve: false,
  dead: [],
  suspects: undefined,
  doubtful: 0,
  diverted: 0,
}

/** The code of an entry that is too large even alone. */
export const TOO_LARGE = 'too_large'

/** Plans what follows an outcome for a batch of `entries`. Whether `in-doubt` may repeat entries is for the caller to say. */
export function planNext(outcome: Outcome, entries: number): Plan {
  if (outcome.kind === 'delivered') return { ...NOTHING, delivered: entries }
  if (outcome.kind === 'failed') {
    if (outcome.failure !== 'too-large') return { ...NOTHING, again: 'all' }
    if (entries > 1) return { ...NOTHING, again: 'all', halve: true }
    return { ...NOTHING, dead: [{ index: 0, code: TOO_LARGE, reason: outcome.message }] }
  }
  const { delivered, retry, rejected, doubtful = [], unknown, diverted = 0 } = outcome.receipt
  return {
    delivered,
    again: [...retry, ...doubtful].sort((a, b) => a - b),
    halve: false,
    dead: rejected,
    suspects: unknown !== undefined && unknown.count > 0 ? unknown.reason : undefined,
    doubtful: doubtful.length,
    diverted,
  }
}

/**
 * How long to wait before attempt `failures + 1`: full jitter, between 0 and min(cap, base · 2ⁿ), where n counts from 0
 * at the first failure; or what the target asked for.
 */
export function backoffMs(
  failures: number,
  retry: { readonly baseMs: number; readonly capMs: number },
  retryAfterMs: number | undefined,
  random: () => number,
): number {
  if (retryAfterMs !== undefined) return retryAfterMs
  const ceiling = Math.min(retry.capMs, retry.baseMs * 2 ** Math.min(Math.max(0, failures - 1), 40))
  return random() * ceiling
}
