import { describe, expect, it } from 'vitest'
import { Pace } from '../../../src/pipeline/delivery/pace.ts'

const MB = 1_000_000

describe('Pace', () => {
  it('halves parallel writes under pressure and lets them grow back one at a time', () => {
    const pace = new Pace(8, MB)
    pace.pressed()
    pace.pressed()
    expect(pace.concurrency).toBe(2)
    let writes = 0
    for (; pace.concurrency < 8; writes++) pace.taken(MB, writes)
    expect(writes).toBeGreaterThan(15)
    expect(writes).toBeLessThan(40)
    for (let more = 0; more < 100; more++) pace.taken(MB, more)
    expect(pace.concurrency).toBe(8)
    expect(pace.bytes).toBe(MB)
  })

  it('never stops altogether', () => {
    const pace = new Pace(4, MB)
    for (let times = 0; times < 50; times++) pace.pressed()
    expect(pace.concurrency).toBe(1)
    expect(pace.bytes).toBeGreaterThanOrEqual(60_000)
  })

  it('stays below a size that was too large', () => {
    const pace = new Pace(1, MB)
    pace.tooLarge(MB, 0)
    expect(pace.bytes).toBe(MB / 2)
    for (let now = 0; now < 200_000; now += 1000) pace.taken(pace.bytes, now)
    expect(pace.bytes).toBe(0.9 * MB)
    for (let now = 300_001; now < 400_000; now += 1000) pace.taken(pace.bytes, now)
    expect(pace.bytes).toBe(MB)
  })

  it('does not shrink for an entry that a target calls too large in a batch of a size that it takes', () => {
    const pace = new Pace(1, MB)
    pace.taken(MB, 0)
    pace.tooLarge(MB, 1)
    pace.tooLarge(MB / 2, 2)
    pace.taken(MB / 4, 3)
    pace.taken(MB / 2, 4)
    expect(pace.bytes).toBe(MB)
  })

  it('recovers after a search for a bad entry in the first batch of all', () => {
    const pace = new Pace(1, MB)
    for (let bytes = MB; bytes > 1000; bytes /= 2) pace.tooLarge(bytes, 0)
    for (let bytes = 1000; bytes <= MB / 2; bytes *= 2) pace.taken(bytes, 1)
    expect(pace.bytes).toBeGreaterThanOrEqual(0.25 * MB)
    for (let writes = 0; writes < 40; writes++) pace.taken(pace.bytes, 2)
    expect(pace.bytes).toBe(MB)
  })
})
