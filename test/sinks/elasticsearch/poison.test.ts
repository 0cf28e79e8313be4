import { describe, expect, it } from 'vitest'
import { PoisonGuard } from '../../../sinks/elasticsearch/poison.ts'

const one = [{ index: 0, code: 'server_error', reason: '500 null_pointer_exception' }]
const key = (index: number) => `key ${index}`

describe('the guard against poisonous entries', () => {
  it('convicts an entry that failed 20 times while others were delivered', () => {
    const guard = new PoisonGuard()
    for (let tries = 1; tries < 20; tries++) {
      expect(guard.convict(one, key)).toEqual([])
      guard.delivered()
    }
    expect(guard.convict(one, key)).toEqual(one)
    // Should it come again, it begins anew.
    expect(guard.convict(one, key)).toEqual([])
  })

  it('convicts nobody while nothing is delivered at all', () => {
    const guard = new PoisonGuard()
    for (let tries = 0; tries < 100; tries++) expect(guard.convict(one, key)).toEqual([])
    guard.delivered()
    expect(guard.convict(one, key)).toEqual(one)
  })

  it('convicts nobody where many fail together', () => {
    const guard = new PoisonGuard()
    const many = Array.from({ length: 11 }, (_, index) => ({ ...(one[0] as (typeof one)[0]), index }))
    for (let tries = 0; tries < 100; tries++) {
      expect(guard.convict(many, key)).toEqual([])
      guard.delivered()
    }
  })

  it('gives up on what is too large after 5 tries, whatever happens to others', () => {
    const guard = new PoisonGuard()
    const large = [{ index: 0, code: 'too_large', reason: '429' }]
    for (let tries = 1; tries < 5; tries++) expect(guard.convict(large, key)).toEqual([])
    expect(guard.convict(large, key)).toEqual(large)
  })
})
