import { describe, expect, it } from 'vitest'
import { Channel } from '../../../sinks/splunk/channel.ts'
import { Cookies } from '../../../sinks/splunk/cookies.ts'
import { SinkError } from '../../../src/sink.ts'

/** A channel that writes down what becomes of the numbers that wait on it. */
function watched(): { channel: Channel; outcomes: string[]; wait(id: number, deadline?: number): void } {
  const channel = new Channel(Cookies.none, 0)
  const outcomes: string[] = []
  return {
    channel,
    outcomes,
    wait: (id, deadline = 1000) =>
      channel.wait(id, {
        deadline,
        settle: () => outcomes.push(`${id} stored`),
        fail: ({ failure }) => outcomes.push(`${id} ${failure}`),
      }),
  }
}

const DOUBT = new SinkError('in-doubt', 'x')

describe('a channel', () => {
  it('has a GUID of its own', () => {
    const names = [new Channel(Cookies.none, 0).guid, new Channel(Cookies.none, 0).guid]
    expect(new Set(names).size).toBe(2)
    for (const name of names) expect(name).toMatch(/^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$/)
  })

  it('settles what is confirmed, once', async () => {
    const { channel, outcomes, wait } = watched()
    wait(0)
    wait(1)
    await channel.confirm(0)
    await channel.confirm(0)
    await channel.confirm(7)
    expect(outcomes).toEqual(['0 stored'])
    expect(channel.ids).toEqual([1])
    expect(channel.hasConfirmed).toBe(true)
  })

  it('takes numbers in any order that requests which overlap can have, from any first one', () => {
    const { channel } = watched()
    const [a, b, c] = [channel.begin(0), channel.begin(0), channel.begin(0)]
    expect([channel.take(5, b.floor), channel.take(4, a.floor), channel.take(6, c.floor)]).toEqual([true, true, true])
    expect(channel.take(7, channel.begin(0).floor)).toBe(true)
  })

  it('does not take a number that was given before, or is below one that was', () => {
    const { channel } = watched()
    const early = channel.begin(0)
    expect(channel.take(3, early.floor)).toBe(true)
    expect(channel.take(3, early.floor)).toBe(false)
    expect(channel.take(2, channel.begin(0).floor)).toBe(false)
    expect(channel.take(2, early.floor)).toBe(true)
  })

  it('does not believe a number that a request under way may have got after a restart, until that is answered', async () => {
    const { channel, outcomes, wait } = watched()
    wait(1)
    wait(2)
    const post = channel.begin(0)
    const confirmed = channel.confirm(1)
    await channel.confirm(2)
    expect(outcomes).toEqual(['2 stored'])
    post.end(false)
    await confirmed
    expect(outcomes).toEqual(['2 stored', '1 stored'])
  })

  it('waits only for those that were under way when it was confirmed', async () => {
    const { channel, outcomes, wait } = watched()
    wait(0)
    const post = channel.begin(0)
    const confirmed = channel.confirm(0)
    channel.begin(0)
    post.end(false)
    await confirmed
    expect(outcomes).toEqual(['0 stored'])
  })

  it('never believes it when the answer never came', async () => {
    const { channel, outcomes, wait } = watched()
    wait(1)
    wait(2)
    const post = channel.begin(0)
    const confirmed = channel.confirm(1)
    post.end(true)
    await confirmed
    expect(outcomes).toEqual([])
    expect(channel.doubtful).toEqual([1])
    await channel.confirm(1)
    await channel.confirm(2)
    expect(outcomes).toEqual(['2 stored'])
  })

  it('counts the requests of its name at every place', () => {
    const { channel } = watched()
    const elsewhere = channel.at(Cookies.none.with('place=1'))
    elsewhere.wait(0, { deadline: 0, settle: () => undefined, fail: () => undefined })
    channel.begin(0).end(true)
    expect(elsewhere.guid).toBe(channel.guid)
    expect(elsewhere.doubtful).toEqual([0])
  })

  it('knows whose time is over', () => {
    const { channel, outcomes, wait } = watched()
    wait(0, 100)
    wait(1, 200)
    expect(channel.deadline).toBe(100)
    expect(channel.overdue(150)).toEqual([0])
    channel.fail([0], DOUBT)
    channel.hurry(120)
    expect(channel.overdue(120)).toEqual([1])
    channel.forget(1)
    expect(outcomes).toEqual(['0 in-doubt'])
    expect(channel.deadline).toBe(Number.POSITIVE_INFINITY)
  })
})
