import { describe, expect, it } from 'vitest'
import { Standings } from '../../../sinks/redis/standing.ts'
import type { Looked, Store } from '../../../sinks/redis/store.ts'
import { failureOf } from '../../contract/sinkContract.ts'

const SIGNAL = new AbortController().signal
const KEY = '{logs}:logferry:m:s:m'

/** One key of a Redis that a test can restart, fail over, or lay hands on. */
class FakeStore implements Store {
  value: string | null = null
  run = 'run-1'
  /** Called between look and swap. */
  meddle: () => void = () => undefined

  async look(): Promise<Looked> {
    const looked = { stored: this.value, server: { id: this.run, since: undefined } }
    this.meddle()
    return looked
  }

  async swap(_key: string, expected: string, next: string): Promise<boolean> {
    if ((this.value ?? '') !== expected) return false
    this.value = next
    return true
  }

  push(): never {
    throw new Error('not of these tests')
  }
}

function begin(store = new FakeStore()) {
  const lines: string[] = []
  const note = (text: string) => void lines.push(text)
  const standings = new Standings(store, 'host:1', { info: note, warn: note })
  const claim = () => standings.claim('m', KEY, SIGNAL)
  /** What a write does at the server and here. */
  const deliver = async (position: string) => {
    const standing = standings.get('m') ?? (await claim())
    const value = standings.valueFor(standing, position)
    store.value = value
    standings.moved('m', standing, value, position)
  }
  return { store, standings, claim, deliver, lines }
}

describe('a claim', () => {
  it('marks a position that is not there yet, so that nobody else is first', async () => {
    const { store, claim } = begin()
    expect((await claim()).position).toBeUndefined()
    expect(store.value).toMatch(/^[-\w]{12}\.1 $/)
  })

  it('takes over at a start what another run has left, and is new every time', async () => {
    const { store, claim } = begin()
    store.value = 'otherepoch.7 1.abc'
    expect((await claim()).position).toBe('1.abc')
    const first = store.value
    expect((await claim()).position).toBe('1.abc')
    expect(store.value).not.toBe(first)
  })

  it('refuses later on what is not ours, and leaves it', async () => {
    const { store, claim, deliver } = begin()
    await deliver('1.abc')
    store.value = 'stranger.1 1.xyz'
    expect(await failureOf(claim())).toBe('refused')
    expect(store.value).toBe('stranger.1 1.xyz')
  })

  it('follows a failover back, also to a value from before its own start', async () => {
    const { store, claim, deliver } = begin()
    store.value = 'before.3 1.a'
    await claim()
    await deliver('1.b')
    store.run = 'run-2'
    store.value = 'before.2 1.0'
    expect((await claim()).position).toBe('1.0')
  })

  it('is in doubt when the value changes between reading and marking it', async () => {
    const { store, claim } = begin()
    store.meddle = () => {
      store.value = 'stranger.1 1.xyz'
    }
    expect(await failureOf(claim())).toBe('in-doubt')
    expect(store.value).toBe('stranger.1 1.xyz')
  })

  it('tells a deleted key from a server that lost it', async () => {
    const { store, claim, deliver, lines } = begin()
    await deliver('1.a')
    store.value = null
    expect(await failureOf(claim())).toBe('refused')
    store.run = 'run-2'
    expect((await claim()).position).toBeUndefined()
    expect(lines.join()).toContain('has lost the position and its data')
  })

  it('holds when it may not ask which run of the server it is', async () => {
    const { store, claim, deliver } = begin()
    store.run = ''
    await deliver('1.a')
    store.value = null
    store.run = 'run-2'
    expect(await failureOf(claim())).toBe('refused')
  })

  it('does as it is told by a person: goes on from what it knows, or from nothing after a start', async () => {
    const { store, claim, deliver } = begin()
    await deliver('1.a')
    store.value = 'adopt'
    expect((await claim()).position).toBe('1.a')
    const again = begin(store)
    store.value = 'adopt'
    expect((await again.claim()).position).toBeUndefined()
  })

  it('reads what a person wrote without an epoch as no position', async () => {
    const { store, claim } = begin()
    store.value = 'nonsense'
    expect((await claim()).position).toBeUndefined()
  })

  it('is needed again after a doubt, and after everything was forgotten', async () => {
    const { standings, claim, deliver } = begin()
    await deliver('1.a')
    expect(standings.get('m')?.position).toBe('1.a')
    standings.doubt('m')
    expect(standings.get('m')).toBeUndefined()
    await claim()
    expect(standings.get('m')?.position).toBe('1.a')
    standings.clear()
    expect(standings.get('m')).toBeUndefined()
  })
})
