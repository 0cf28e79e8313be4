import { describe, expect, it } from 'vitest'
import { Places } from '../../src/pipeline/places.ts'
import { turns } from './fakes.ts'

const never = new AbortController().signal

describe('Places', () => {
  it('gives as many as there are, then in the order of asking', async () => {
    const places = new Places(2, 1000)
    const [a, b] = [await places.take(never), await places.take(never)]
    const order: string[] = []
    for (const name of ['c', 'd']) void places.take(never).then(() => order.push(name))
    await turns(2)
    expect(order).toEqual([])
    b?.free()
    await turns(2)
    expect(order).toEqual(['c'])
    a?.free()
    a?.free()
    await turns(2)
    expect(order).toEqual(['c', 'd'])
    expect(places.taken).toBe(2)
  })

  it('gives none beyond the bytes but the first', async () => {
    const places = new Places(8, 100)
    const first = await places.take(never)
    first?.weigh(5000)
    let second = false
    void places.take(never).then(() => {
      second = true
    })
    await turns(2)
    expect(second).toBe(false)
    first?.free()
    await turns(2)
    expect(second).toBe(true)
    expect(places.weight).toBe(0)
  })

  it('forgets who no longer waits', async () => {
    const places = new Places(1, 100)
    const first = await places.take(never)
    const stop = new AbortController()
    const waiting = places.take(stop.signal)
    stop.abort()
    expect(await waiting).toBeUndefined()
    expect(await places.take(stop.signal)).toBeUndefined()
    first?.free()
    expect(places.taken).toBe(0)
  })
})
