// Writes data and position in one step where there are no scripts: WATCH, MULTI, EXEC. A transaction of Redis does not roll
// back: when a push fails, the position moves all the same. So the type is looked at first, every reply afterwards, and a position
// that got ahead of its data is put back.

import { SinkError } from '../../src/sink.ts'
import { commandHead } from './frames.ts'
import type { Link, Reply, Request } from './link.ts'
import { RedisReply } from './replies.ts'
import { type Looked, type Pushed, pushVerb, readServerRun, type Step, type Store, type StoreOptions } from './store.ts'

export class MultiStore implements Store {
  readonly #link: Link
  readonly #options: StoreOptions

  constructor(link: Link, options: StoreOptions) {
    this.#link = link
    this.#options = options
  }

  async look(positionKey: string, signal: AbortSignal): Promise<Looked> {
    const replies = await this.#link.burst([command('get', positionKey), command('info')], signal)
    const [stored, info] = replies
    if (stored instanceof RedisReply) throw stored
    if (info instanceof RedisReply && info.code !== 'NOPERM') throw info
    const text = typeof info === 'string' ? info : ''
    if (/^role:slave/m.test(text)) {
      this.#link.drop()
      throw new RedisReply('READONLY the answer is that of a replica')
    }
    return { stored: stored as string | null, server: readServerRun(text) }
  }

  async swap(positionKey: string, expected: string, next: string, signal: AbortSignal): Promise<boolean> {
    const [watched, stored] = await this.#all([command('watch', positionKey), command('get', positionKey)], signal)
    if (watched === undefined || (stored ?? '') !== expected) return this.#give(false, signal)
    const replies = await this.#transact([command('set', positionKey, next)], signal)
    return replies !== undefined
  }

  async push(step: Step, signal: AbortSignal): Promise<Pushed> {
    const { positionKey, expected, next, groups } = step
    const key = groups[0]?.key ?? ''
    const { mode, congestion } = this.#options
    const type = mode === 'stream' ? 'stream' : 'list'
    const [, stored, found, length] = await this.#all(
      [command('watch', positionKey), command('get', positionKey), command('type', key), ...this.#measure(key)],
      signal,
    )
    if (stored !== expected && stored !== 'adopt')
      return this.#give({ kind: 'position', stored: stored as string | null }, signal)
    if (found !== 'none' && found !== type) return this.#give({ kind: 'type', key, type: String(found) }, signal)
    if (congestion !== undefined && Number(length) + (groups[0]?.count ?? 0) > congestion.length) {
      return this.#give({ kind: 'full', key, length: Number(length), oldest: '' }, signal)
    }
    const replies = await this.#transact([...this.#writes(step), command('set', positionKey, next)], signal)
    // Somebody changed the position in between; what it is now is found out by asking.
    if (replies === undefined) return { kind: 'position', stored: null }
    const failed = replies.slice(0, -1).find((reply) => reply instanceof RedisReply)
    if (failed === undefined) return { kind: 'done' }
    if (!(await this.swap(positionKey, next, expected, signal)))
      throw new SinkError('in-doubt', `redis ${this.#link.place}: the position moved on without its data`)
    throw failed
  }

  /** The length of a target, where it matters. */
  #measure(key: string): Request[] {
    const { mode, congestion } = this.#options
    return congestion === undefined ? [] : [command(mode === 'stream' ? 'xlen' : 'llen', key)]
  }

  #writes({ groups, bytes, ends }: Step): Request[] {
    const { mode, push, field = 'message', trim } = this.#options
    const { key = '', count = 0 } = groups[0] ?? {}
    if (mode !== 'stream') {
      const verb = pushVerb(push)
      const head = commandHead(2 + count, [verb, key])
      return [{ name: verb.toLowerCase(), args: [key], bytes: { head, body: bytes.subarray(0, ends[0]) } }]
    }
    const first = ['XADD', key, ...(trim === undefined ? [] : ['MAXLEN', '~', String(trim)]), '*', field]
    const head = commandHead(first.length + 1, first)
    return Array.from(elementsOf(bytes), (body) => ({ name: 'xadd', args: [key], bytes: { head, body } }))
  }

  /** MULTI, these commands, EXEC. Their replies, or undefined when a watched key was changed; nothing was done then. */
  async #transact(requests: readonly Request[], signal: AbortSignal): Promise<readonly Reply[] | undefined> {
    const replies = await this.#link.burst([command('multi'), ...requests, command('exec')], signal)
    const refused = replies.slice(0, -1).find((reply) => reply instanceof RedisReply)
    if (refused !== undefined) throw refused
    const result = replies.at(-1)
    if (result instanceof RedisReply) throw result
    return Array.isArray(result) ? (result as readonly Reply[]) : undefined
  }

  async #all(requests: readonly Request[], signal: AbortSignal): Promise<Reply[]> {
    const replies = await this.#link.burst(requests, signal)
    const refused = replies.find((reply) => reply instanceof RedisReply)
    if (refused !== undefined) throw refused
    return replies
  }

  async #give<T>(answer: T, signal: AbortSignal): Promise<T> {
    await this.#link.run(command('unwatch'), signal)
    return answer
  }
}

function command(name: string, ...args: string[]): Request {
  return { name, args }
}

/** Each bulk string of a row of them, its length in front. */
export function* elementsOf(bytes: Uint8Array): Generator<Uint8Array> {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let at = 0; at < text.length; ) {
    const line = text.indexOf('\r\n', at)
    const end = line + 2 + Number(text.toString('latin1', at + 1, line)) + 2
    yield bytes.subarray(at, end)
    at = end
  }
}
