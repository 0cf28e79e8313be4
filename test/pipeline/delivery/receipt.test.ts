import { describe, expect, it } from 'vitest'
import { readFailure, readReceipt } from '../../../src/pipeline/delivery/receipt.ts'
import { type PartialReceipt, SinkError } from '../../../src/sink.ts'

const whole: PartialReceipt = { delivered: 3, retry: [], rejected: [] }

describe('readReceipt', () => {
  it('takes a receipt that adds up', () => {
    expect(readReceipt('delivered', 3)).toEqual({ kind: 'delivered' })
    const parts: PartialReceipt = {
      delivered: 1,
      retry: [0],
      doubtful: [4],
      rejected: [{ index: 2, code: 'mapping', reason: 'no' }],
      unknown: { count: 2, reason: 'some' },
      diverted: 1,
    }
    expect(readReceipt(parts, 6)).toEqual({ kind: 'partial', receipt: parts })
  })

  const wrong: readonly [what: string, receipt: unknown, says: string][] = [
    ['too few entries', { ...whole, delivered: 2 }, 'accounts for 2 of 3 entries'],
    ['too many', { ...whole, retry: [0] }, 'accounts for 4 of 3 entries'],
    ['an index twice', { delivered: 1, retry: [1, 1], rejected: [] }, 'index 1 occurs twice'],
    ['an index in two lists', { delivered: 1, retry: [1], rejected: [{ index: 1 }] }, 'index 1 occurs twice'],
    ['an index outside', { delivered: 2, retry: [3], rejected: [] }, 'index 3 of 3'],
    ['an index that is no number', { delivered: 2, retry: ['0'], rejected: [] }, 'index 0 of 3'],
    ['a negative count', { delivered: -1, retry: [0, 1, 2], rejected: [] }, 'delivered is -1'],
    ['a count that is none', { delivered: Number.NaN, retry: [], rejected: [] }, 'delivered is NaN'],
    ['more diverted than delivered', { ...whole, diverted: 4 }, 'diverted is 4 of 3'],
    ['no lists', { delivered: 3 }, 'a list is missing'],
    ['nothing', undefined, 'it is undefined'],
    ['another word', 'ok', 'it is ok'],
  ]
  it.each(wrong)('takes a receipt with %s for a bug and the batch for in-doubt', (_what, receipt, says) => {
    const outcome = readReceipt(receipt as PartialReceipt, 3)
    expect(outcome).toMatchObject({ kind: 'failed', failure: 'in-doubt' })
    expect(outcome.kind === 'failed' && outcome.bug?.message).toContain(says)
  })
})

describe('readFailure', () => {
  it('knows a SinkError by name and failure, also from another copy of the class', () => {
    expect(readFailure(new SinkError('refused', 'wrong token'))).toMatchObject({ failure: 'refused', bug: undefined })
    const foreign = Object.assign(new Error('full'), { name: 'SinkError', failure: 'unavailable', retryAfterMs: 70 })
    expect(readFailure(foreign)).toMatchObject({
      failure: 'unavailable',
      message: 'full',
      retryAfterMs: 70,
      bug: undefined,
    })
  })

  it('takes anything else for a bug that leaves the batch in doubt', () => {
    const error = new TypeError('x is not a function')
    expect(readFailure(error)).toMatchObject({ failure: 'in-doubt', bug: error })
    expect(readFailure('no')).toMatchObject({ failure: 'in-doubt', message: 'no' })
    expect(readFailure(undefined)).toMatchObject({ failure: 'in-doubt', message: 'undefined' })
    const unknown = Object.assign(new Error('?'), { name: 'SinkError', failure: 'tired' })
    expect(readFailure(unknown)).toMatchObject({ failure: 'in-doubt', bug: unknown })
  })

  it('takes an abort after the deadline for no bug', () => {
    const deadline = new AbortController()
    deadline.abort(new DOMException('no answer within 30s', 'TimeoutError'))
    const aborted = new DOMException('This operation was aborted', 'AbortError')
    expect(readFailure(aborted, deadline.signal)).toMatchObject({
      failure: 'in-doubt',
      message: 'no answer within 30s',
      bug: undefined,
    })
    expect(readFailure(aborted, new AbortController().signal).bug).toBe(aborted)
  })
})
