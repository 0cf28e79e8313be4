import { expect, it } from 'vitest'
import { Turns, unlessAborted } from '../../../sinks/parts/turns.ts'
import { failureOf } from '../../contract/sinkContract.ts'

function gate(): { work: () => Promise<string>; open(): void; begun: boolean } {
  const { promise, resolve } = Promise.withResolvers<string>()
  const made = {
    begun: false,
    work: () => {
      made.begun = true
      return promise
    },
    open: () => resolve('done'),
  }
  return made
}

it('runs one after another, in the order of asking, also after a failure', async () => {
  const turns = new Turns()
  const [first, second] = [gate(), gate()]
  const outcomes = [turns.take(first.work), turns.take(() => Promise.reject(new Error('bad'))), turns.take(second.work)]
  await Promise.resolve()
  expect([first.begun, second.begun]).toEqual([true, false])
  first.open()
  await expect(outcomes[1]).rejects.toThrow('bad')
  second.open()
  expect(await outcomes[0]).toBe('done')
  expect(await outcomes[2]).toBe('done')
})

it('is in doubt about what has begun, and lets the next one wait for its end', async () => {
  const turns = new Turns()
  const [first, second] = [gate(), gate()]
  const stop = new AbortController()
  const given = failureOf(turns.take(first.work, stop.signal))
  const next = turns.take(second.work)
  await Promise.resolve()
  stop.abort()
  expect(await given).toBe('in-doubt')
  expect(second.begun).toBe(false)
  first.open()
  second.open()
  expect(await next).toBe('done')
})

it('never begins what was given up while it waited, or before', async () => {
  const turns = new Turns()
  const [first, second, third] = [gate(), gate(), gate()]
  const stop = new AbortController()
  const running = turns.take(first.work)
  const waiting = failureOf(turns.take(second.work, stop.signal))
  stop.abort()
  expect(await waiting).toBe('unavailable')
  expect(await failureOf(turns.take(third.work, AbortSignal.abort()))).toBe('unavailable')
  first.open()
  expect(await running).toBe('done')
  await turns.take(async () => undefined)
  expect([second.begun, third.begun]).toEqual([false, false])
})

it('gives up waiting with the reason of the signal', async () => {
  const never = new Promise(() => undefined)
  await expect(unlessAborted(never, AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough')
  await expect(unlessAborted(never, AbortSignal.timeout(1))).rejects.toThrow('timeout')
  expect(await unlessAborted(Promise.resolve(1), new AbortController().signal)).toBe(1)
})
