import { describe, expect, it } from 'vitest'
import { Abandoned, SinkCalls } from '../../../src/pipeline/delivery/calls.ts'
import { FakeClock, turns } from '../fakes.ts'

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
}

describe('SinkCalls', () => {
  it('aborts a call at its deadline and leaves no timer behind', async () => {
    const clock = new FakeClock()
    const calls = new SinkCalls(clock, () => undefined)
    const call = calls.run(5000, untilAborted)
    const failed = expect(call).rejects.toMatchObject({ name: 'TimeoutError', message: 'no answer within 5s' })
    await clock.advance(5000)
    await failed
    expect(await calls.run(5000, async () => 'done')).toBe('done')
    await turns()
    expect(clock.sleeping).toBe(0)
    expect(calls.size).toBe(0)
  })

  it('says that a call ignores its deadline, and goes on waiting', async () => {
    const clock = new FakeClock()
    const said: string[] = []
    const calls = new SinkCalls(clock, (text) => said.push(text))
    const call = calls.run(1000, () => new Promise(() => undefined))
    call.catch(() => undefined)
    await clock.advance(10_999)
    expect(said).toEqual([])
    await clock.advance(100)
    expect(said).toHaveLength(1)
    expect(calls.lateSince).toBe(1_011_000)
    calls.abandon()
    await expect(call).rejects.toBeInstanceOf(Abandoned)
    await expect(calls.run(1000, async () => 1)).rejects.toBeInstanceOf(Abandoned)
  })

  it('calls off what runs and what comes', async () => {
    const clock = new FakeClock()
    const calls = new SinkCalls(clock, () => undefined)
    const call = calls.run(1000, untilAborted)
    calls.callOff()
    await expect(call).rejects.toMatchObject({ name: 'AbortError' })
    await calls.run(1000, async (signal) => expect(signal.aborted).toBe(true))
  })
})
