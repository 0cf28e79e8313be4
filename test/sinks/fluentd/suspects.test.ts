import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { type Suspect, Suspects } from '../../../sinks/fluentd/suspects.ts'

const YES = async () => true
const NO = async () => false

function chunk(from: number, to: number, tag = 'journal'): Suspect {
  const key = (n: number) => String(n).padStart(4, '0')
  return { identity: `${from}-${to} ${tag}`, tag, firstKey: key(from), lastKey: key(to - 1), entries: to - from }
}

/** Strikes a chunk; the server proves at once that it takes others, or not. */
async function strike(suspects: Suspects, one: Suspect, times: number, probe = YES, lastAckAt = 0): Promise<string[]> {
  const verdicts: string[] = []
  for (let n = 0; n < times; n++) verdicts.push(await suspects.strike(one, lastAckAt, probe))
  return verdicts
}

describe('a chunk that was lost', () => {
  it('goes alone from then on, until it is settled', () => {
    const suspects = new Suspects()
    const one = chunk(0, 10)
    expect([suspects.any, suspects.verdict(one)]).toEqual([false, 'clear'])
    suspects.suspect(one)
    expect([suspects.any, suspects.verdict(one), suspects.verdict(chunk(10, 20))]).toEqual([true, 'alone', 'clear'])
    suspects.forget(one)
    expect([suspects.any, suspects.verdict(one)]).toEqual([false, 'clear'])
  })

  it('is poison after three failures on connections of its own, if the server takes a message then', async () => {
    const suspects = new Suspects()
    expect(await strike(suspects, chunk(0, 10), 3)).toEqual(['alone', 'alone', 'poison'])
    expect(suspects.verdict(chunk(0, 10))).toBe('poison')
  })

  it('is never poison while the server takes nothing else', async () => {
    const suspects = new Suspects()
    expect(new Set(await strike(suspects, chunk(0, 10), 50, NO))).toEqual(new Set(['alone']))
    expect(await strike(suspects, chunk(0, 10), 1, YES)).toEqual(['poison'])
  })

  it('asks the server only when it matters', async () => {
    const suspects = new Suspects()
    let asked = 0
    const probe = async () => {
      asked++
      return false
    }
    await strike(suspects, chunk(0, 10), 2, probe)
    expect(asked).toBe(0)
    await strike(suspects, chunk(0, 10), 1, probe)
    expect(asked).toBe(1)
  })

  it('is poison as well when others passed between its failures, later if it is a single entry', async () => {
    const suspects = new Suspects()
    const failures = async (one: Suspect) => {
      suspects.suspect(one)
      for (let n = 1; n < 100; n++) {
        await sleep(1)
        const passedAt = performance.now()
        await sleep(1)
        if ((await suspects.strike(one, passedAt, NO)) === 'poison') return n
      }
      return undefined
    }
    expect(await failures(chunk(0, 10))).toBe(3)
    expect(await failures(chunk(500, 501))).toBe(10)
  })

  it('in halves: one failure is enough, but for a single entry', async () => {
    const suspects = new Suspects()
    await strike(suspects, chunk(0, 100), 3)
    expect(suspects.verdict(chunk(50, 100))).toBe('alone')
    expect(await strike(suspects, chunk(50, 100), 1)).toEqual(['poison'])
    expect(await strike(suspects, chunk(50, 51), 3)).toEqual(['alone', 'alone', 'poison'])
    expect(suspects.verdict(chunk(100, 200))).toBe('clear')
    expect(suspects.verdict(chunk(50, 60, 'other'))).toBe('clear')
  })

  it('does not fill memory', async () => {
    const suspects = new Suspects()
    for (let n = 0; n < 2000; n++) suspects.suspect(chunk(n, n + 1))
    expect(suspects.verdict(chunk(0, 1))).toBe('clear')
    expect(suspects.verdict(chunk(1999, 2000))).toBe('alone')
  })
})
