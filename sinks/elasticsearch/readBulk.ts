// The answer to a bulk request as a receipt. Invariant: every entry of the request is accounted for exactly once, and nothing counts
// as delivered before there is an item for each entry.

import { type PartialReceipt, type Rejection, SinkError } from '../../src/sink.ts'
import { type BulkItem, judge, plainType, type Sent, type Verdict } from './itemErrors.ts'

/** What the items of an answer say. Indexes are those of the request. */
export interface BulkReading {
  readonly delivered: number
  /** Of the delivered ones, those of which an earlier copy was there. */
  readonly again: number
  /** Of the delivered ones, those in the failure store. */
  readonly diverted: number
  readonly retry: readonly number[]
  readonly rejected: readonly Rejection[]
  /** Of `retry`: fail by themselves, perhaps for ever. */
  readonly suspects: readonly Rejection[]
  /** The server asks for less at a time. */
  readonly isPressed: boolean
  /** Some of `retry` may have been stored. */
  readonly isDoubtful: boolean
  /** What a person must see to before the entries of `retry` can pass; undefined when nothing. */
  readonly obstacle: string | undefined
}

/** A reading without any outcome. */
export const NOTHING_YET: BulkReading = {
  delivered: 0,
  again: 0,
  diverted: 0,
  retry: [],
  rejected: [],
  suspects: [],
  isPressed: false,
  isDoubtful: false,
  obstacle: undefined,
}

/** From so many entries on it says something that all of them were refused for one reason. */
const MANY = 10
/** Reasons quote the entry; more than this of it helps nobody. */
const REASON_LENGTH = 2000

/**
 * Reads the items of a bulk answer, of which there is one for each entry. Throws `refused` when a person has to act for all entries, and
 * `too-large` when they are too many for the server's memory.
 */
export function readItems(items: readonly BulkItem[], sent: Sent): BulkReading {
  const verdicts = items.map((item) => judge(item, sent))
  const isForAll = (holds: (verdict: Verdict) => boolean): boolean => items.length > 0 && verdicts.every(holds)
  if (items.length > 1 && isForAll(({ kind }) => kind === 'too-large')) {
    throw new SinkError('too-large', `the server has not the memory for so much at once: ${wordsOf(items[0])}`)
  }
  const limited = verdicts.filter(({ kind }) => kind === 'field-limit').length
  const isLimitForMany = 2 * limited >= items.length
  const isHeldTogether = items.length >= MANY && isForAll((verdict) => 'heldWhenAll' in verdict)
  const isHeld = ({ kind }: Verdict): boolean =>
    kind === 'held' || isHeldTogether || (kind === 'field-limit' && isLimitForMany)
  if (isForAll(isHeld)) throw new SinkError('refused', wordsOf(items[0]))

  const tally = { delivered: 0, again: 0, diverted: 0, isPressed: false, isDoubtful: false }
  const retry: number[] = []
  const rejected: Rejection[] = []
  const suspects: Rejection[] = []
  let obstacle: string | undefined
  for (const [index, verdict] of verdicts.entries()) {
    const item = items[index] as BulkItem
    switch (verdict.kind) {
      case 'delivered':
        tally.delivered++
        if (verdict.again) tally.again++
        if (verdict.diverted) tally.diverted++
        break
      case 'retry':
        retry.push(index)
        if (verdict.pressed) tally.isPressed = true
        if (verdict.mayBeStored) tally.isDoubtful = true
        if (verdict.isPoison) suspects.push({ index, code: 'server_error', reason: reasonOf(item) })
        break
      case 'too-large':
        retry.push(index)
        tally.isPressed = true
        if (items.length === 1) suspects.push({ index, code: 'too_large', reason: reasonOf(item) })
        break
      case 'rejected':
        rejected.push({ index, code: verdict.code, reason: reasonOf(item) })
        break
      case 'field-limit':
        if (!isLimitForMany) {
          rejected.push({ index, code: 'field_limit', reason: reasonOf(item) })
          break
        }
        retry.push(index)
        obstacle ??= wordsOf(item)
        break
      case 'held':
        // Once the others are settled these are all that is left, and then the sink is held.
        retry.push(index)
        obstacle ??= wordsOf(item)
        break
    }
  }
  return { ...tally, retry, rejected, suspects, obstacle }
}

/** The same as a receipt, without what takes a memory of earlier attempts. */
export function readBulk(items: readonly BulkItem[], sent: Sent): PartialReceipt {
  const { delivered, retry, rejected, diverted } = readItems(items, sent)
  return { delivered, retry, rejected, ...(diverted > 0 ? { diverted } : {}) }
}

/** The target's own words, for the dead letters: they may quote the entry. */
function reasonOf({ status, error }: BulkItem): string {
  const reason = typeof error?.reason === 'string' ? error.reason : ''
  const type = plainType(error?.type)
  return `${status} ${type}${reason === '' ? '' : `: ${reason}`}`.slice(0, REASON_LENGTH)
}

// Reasons of these speak of indexes, permissions and settings; others quote the entry and are not for the log.
const SAFE =
  /^(?:index_not_found|resource_not_found|index_closed|aliases_not_found|cluster_block|security|validation|invalid_index_name|strict_dynamic_mapping|rejected_execution)_exception$/
const SAFE_REASON =
  /pipeline with id \[[^\]]*\] does not exist|op_type of create|no write index is defined for alias \[[^\]]*\]|Limit of total fields \[\d+\] has been exceeded/

/** What may be said of an error in the log: its type, and its reason where that does not quote the entry. */
export function wordsOf(item: BulkItem | undefined): string {
  const { status, error } = item ?? {}
  const type = plainType(error?.type)
  const reason = typeof error?.reason === 'string' ? error.reason : ''
  if (SAFE.test(type) && reason !== '') return `${type}: ${reason.slice(0, 500)}`
  const found = SAFE_REASON.exec(reason)?.[0]
  if (found !== undefined) return `${type}: ${found}`
  if (/_id must be unset or set to/.test(reason)) return 'the target is a time series, which takes no ids of others'
  return `${type} (status ${String(status)})`
}
