import { describe, expect, it } from 'vitest'
import { Cookies } from '../../../sinks/splunk/cookies.ts'

describe('cookies', () => {
  it('are sent back without their attributes', () => {
    const jar = Cookies.none.with(['route=a1; Path=/; HttpOnly', 'lb="x=y"; Secure']).with('route=b2')
    expect(jar.header).toBe('route=b2; lb="x=y"')
    expect(Cookies.none.header).toBeUndefined()
  })

  it('are forgotten when the server says so', () => {
    expect(Cookies.none.with('a=1').with('a=; Max-Age=0; Path=/').header).toBeUndefined()
    expect(Cookies.none.with('a=1').with('a=2; max-age=60').header).toBe('a=2')
  })

  it('are not taken from lines without a name', () => {
    expect(Cookies.none.with(['', '=x', 'nonsense']).header).toBeUndefined()
  })

  it('lead to the same place when they have the same values', () => {
    const jar = Cookies.none.with(['a=1', 'b=2'])
    expect(jar.isSamePlace(Cookies.none.with(['b=2', 'a=1']))).toBe(true)
    expect(jar.isSamePlace(jar.with(undefined))).toBe(true)
    expect(jar.isSamePlace(jar.with('a=3'))).toBe(false)
    expect(Cookies.none.hasPlace).toBe(false)
  })

  it('of a balancer that renews them with every answer say nothing about the place', () => {
    const jar = Cookies.none.with('AWSALB=abc; Path=/')
    expect(jar.isSamePlace(jar.with('AWSALB=def; Path=/'))).toBe(true)
    expect(jar.with('AWSALB=def').header).toBe('AWSALB=def')
    expect(jar.hasPlace).toBe(false)
  })
})
