import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Outcome, readFailure, readReceipt } from '../../../src/pipeline/delivery/receipt.ts'
import { backoffMs, planNext } from '../../../src/pipeline/delivery/retry.ts'
import { SinkError, type SinkFailure } from '../../../src/sink.ts'

function fails(failure: SinkFailure): Outcome {
  return readFailure(new SinkError(failure, failure))
}

describe('planNext', () => {
  it('sends only what failed again', () => {
    const outcome = readReceipt(
      { delivered: 1, retry: [4, 0], doubtful: [2], rejected: [{ index: 1, code: 'mapping', reason: 'no' }] },
      5,
    )
    expect(planNext(outcome, 5)).toMatchObject({
      delivered: 1,
      again: [0, 2, 4],
      doubtful: 1,
      dead: [{ index: 1, code: 'mapping', reason: 'no' }],
    })
  })

  it('halves a batch that is too large, and rejects an entry that is so alone', () => {
    expect(planNext(fails('too-large'), 2)).toMatchObject({ again: 'all', halve: true, dead: [] })
    expect(planNext(fails('too-large'), 1)).toMatchObject({
      again: [],
      dead: [{ index: 0, code: 'too_large', reason: 'too-large' }],
    })
  })

  it('keeps the whole batch as suspects when the target does not say which entries it refused', () => {
    const outcome = readReceipt({ delivered: 3, retry: [], rejected: [], unknown: { count: 2, reason: 'bad' } }, 5)
    expect(planNext(outcome, 5)).toMatchObject({ delivered: 3, again: [], suspects: 'bad' })
  })

  it('brings every entry to exactly one end, however the target answers', () => {
    // Answers are chosen by numbers; after them the target takes everything.
    const answers = fc.array(fc.array(fc.nat(9), { minLength: 1, maxLength: 40 }), { maxLength: 12 })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), answers, (count, script) => {
        const ends = new Map<number, number>()
        const end = (entry: number): void => {
          ends.set(entry, (ends.get(entry) ?? 0) + 1)
        }
        const work = [Array.from({ length: count }, (_, entry) => entry)]
        for (let call = 0; work.length > 0; call++) {
          expect(call).toBeLessThan(2000)
          const job = work[0]!
          const choices = script[call] ?? []
          const { outcome, delivered } = answer(job.length, choices)
          const plan = planNext(outcome, job.length)
          for (const index of delivered) end(job[index]!)
          for (const { index } of plan.dead) end(job[index]!)
          expect(plan.delivered).toBe(delivered.length)
          const again = plan.again === 'all' ? job : plan.again.map((index) => job[index]!)
          const middle = again.length >> 1
          const parts = plan.halve ? [again.slice(0, middle), again.slice(middle)] : [again]
          work.splice(0, 1, ...parts.filter((part) => part.length > 0))
        }
        expect(ends.size).toBe(count)
        expect([...ends.values()].every((times) => times === 1)).toBe(true)
      }),
    )
  })
})

function answer(length: number, choices: readonly number[]): { outcome: Outcome; delivered: readonly number[] } {
  const all = Array.from({ length }, (_, index) => index)
  const [first] = choices
  if (first === undefined) return { outcome: readReceipt('delivered', length), delivered: all }
  if (first === 9) return { outcome: fails('too-large'), delivered: [] }
  if (first === 8) return { outcome: fails('unavailable'), delivered: [] }
  const kind = (index: number): number => (choices[index % choices.length] ?? 0) % 4
  const of = (wanted: number): number[] => all.filter((index) => kind(index) === wanted)
  const delivered = of(0)
  const receipt = {
    delivered: delivered.length,
    retry: of(1).reverse(),
    doubtful: of(2),
    rejected: of(3).map((index) => ({ index, code: 'mapping', reason: 'no' })),
  }
  return { outcome: readReceipt(receipt, length), delivered }
}

describe('backoffMs', () => {
  const retry = { baseMs: 500, capMs: 30_000 }

  it('doubles up to the cap, with full jitter', () => {
    const ceilings = [1, 2, 3, 7, 100, 5000].map((failures) => backoffMs(failures, retry, undefined, () => 1))
    expect(ceilings).toEqual([500, 1000, 2000, 30_000, 30_000, 30_000])
    expect(backoffMs(3, retry, undefined, () => 0)).toBe(0)
    expect(backoffMs(3, retry, undefined, () => 0.25)).toBe(500)
  })

  it('obeys what the target asked for', () => {
    expect(backoffMs(1, retry, 120_000, () => 0.5)).toBe(120_000)
    expect(backoffMs(9, retry, 0, () => 0.5)).toBe(0)
  })
})
