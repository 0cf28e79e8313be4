import { describe, expect, it } from 'vitest'
import { Hold, PROBE_MS } from '../../../src/pipeline/delivery/hold.ts'
import { FakeClock, turns } from '../fakes.ts'

const never = new AbortController().signal

describe('Hold', () => {
  it('lets everybody through while nothing is wrong', async () => {
    expect(await new Hold(new FakeClock()).permit(never)).toBe(true)
  })

  it('lets one at a time through as a probe, and all once it is mended', async () => {
    const clock = new FakeClock()
    const hold = new Hold(clock)
    hold.hold('wrong token')
    const through: number[] = []
    for (const who of [1, 2, 3]) void hold.permit(never).then(() => through.push(who))
    await clock.advance(PROBE_MS - 1)
    expect(through).toEqual([])
    await clock.advance(1)
    expect(through).toEqual([1])
    await clock.advance(PROBE_MS * 3)
    expect(through).toEqual([1])
    hold.hold('still wrong')
    expect(hold.message).toBe('still wrong')
    await clock.advance(PROBE_MS)
    expect(through).toEqual([1, 2])
    expect(hold.release()).toBe(true)
    await turns()
    expect(through).toEqual([1, 2, 3])
    expect(hold.message).toBeUndefined()
  })

  it('passes the probe on when the one who should have made it stops', async () => {
    const clock = new FakeClock()
    const hold = new Hold(clock)
    hold.hold('wrong token')
    const stop = new AbortController()
    const first = hold.permit(stop.signal)
    const second = hold.permit(never)
    await turns()
    stop.abort()
    expect(await first).toBe(false)
    await clock.advance(PROBE_MS)
    expect(await second).toBe(true)
  })
})
