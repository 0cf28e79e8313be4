// Writes data and position in one step, by scripts. A server that does not have a script any more (restart, failover, SCRIPT
// FLUSH) gets its text with the same call, and nobody hears of it.

import { commandHead, type Group } from './frames.ts'
import type { Link, Reply, Request } from './link.ts'
import type { RedisConfig } from './options.ts'
import { RedisReply } from './replies.ts'
import { ADD, LOOK, MEASURE_LIST, MEASURE_STREAM, PUSH, type Script, SWAP } from './scripts.ts'

/** A batch on its way, with the position that it begins and ends at. */
export interface Step {
  readonly positionKey: string
  /** The value that the position key must have, and the one that it gets. */
  readonly expected: string
  readonly next: string
  readonly groups: readonly Group[]
  /** The elements as RESP, those of group i up to `ends[i]`. */
  readonly bytes: Uint8Array
  readonly ends: readonly number[]
}

export type Pushed =
  | { readonly kind: 'done' }
  /** Nothing was written: the position key has another value, null: none. */
  | { readonly kind: 'position'; readonly stored: string | null }
  /** Nothing was written: a key holds something else. */
  | { readonly kind: 'type'; readonly key: string; readonly type: string }
  /** Nothing was written: there is no room. `oldest`: the element, or the id, that has waited longest. */
  | { readonly kind: 'full'; readonly key: string; readonly length: number; readonly oldest: string }

export interface Looked {
  /** null: there is no position key. */
  readonly stored: string | null
  readonly server: ServerRun
}

/** One run of a server, as far as it may be asked for. */
export interface ServerRun {
  /** Another one after every start; empty when it is not known. */
  readonly id: string
  /** Milliseconds since 1970; to the second. */
  readonly since: number | undefined
}

/** From the text of INFO. */
export function readServerRun(info: string, now: number = Date.now()): ServerRun {
  const uptime = /^uptime_in_seconds:(\d+)/m.exec(info)?.[1]
  return {
    id: /^run_id:(\w+)/m.exec(info)?.[1] ?? '',
    since: uptime === undefined ? undefined : now - Number(uptime) * 1000,
  }
}

/** How positions, and data with them, are kept. All methods reject with a RedisReply or a SinkError. */
export interface Store {
  look(positionKey: string, signal: AbortSignal): Promise<Looked>
  /** Changes the value of a position key; false: it was not `expected` (empty: there is none). */
  swap(positionKey: string, expected: string, next: string, signal: AbortSignal): Promise<boolean>
  push(step: Step, signal: AbortSignal): Promise<Pushed>
}

/** What to do with an element: the options that matter for a step. */
export type StoreOptions = Pick<RedisConfig, 'mode' | 'push' | 'field' | 'trim' | 'congestion'>

export class ScriptStore implements Store {
  readonly #link: Link
  readonly #options: StoreOptions
  /** The key that had no room when it was last tried. */
  #full: string | undefined

  constructor(link: Link, options: StoreOptions) {
    this.#link = link
    this.#options = options
  }

  async look(positionKey: string, signal: AbortSignal): Promise<Looked> {
    const reply = await evaluate(this.#link, { script: LOOK, keys: [positionKey], args: [] }, signal)
    const [stored, info] = reply as readonly [string | null, string]
    return { stored, server: readServerRun(info) }
  }

  async swap(positionKey: string, expected: string, next: string, signal: AbortSignal): Promise<boolean> {
    const reply = await evaluate(this.#link, { script: SWAP, keys: [positionKey], args: [expected, next] }, signal)
    return reply === 1
  }

  async push(step: Step, signal: AbortSignal): Promise<Pushed> {
    const stillFull = await this.#measure(step, signal)
    if (stillFull !== undefined) return stillFull
    const { mode, push, field, trim, congestion } = this.#options
    const { positionKey, expected, next, groups, bytes } = step
    const isStream = mode === 'stream'
    const args = [
      expected,
      next,
      String(congestion?.length ?? 0),
      isStream ? (field ?? 'message') : pushVerb(push),
      isStream ? String(trim ?? 0) : '',
      ...groups.map(({ count }) => String(count)),
    ]
    const elements = { bytes, count: groups.reduce((sum, { count }) => sum + count, 0) }
    const keys = [positionKey, ...groups.map(({ key }) => key)]
    const call = { script: isStream ? ADD : PUSH, keys, args, elements }
    const pushed = readPushed(await evaluate(this.#link, call, signal))
    this.#full = pushed.kind === 'full' ? pushed.key : undefined
    return pushed
  }

  /** What had no room is asked for its length first: a whole batch is too much for a question. */
  async #measure({ groups }: Step, signal: AbortSignal): Promise<Pushed | undefined> {
    const { mode, push, congestion } = this.#options
    const group = groups.find(({ key }) => key === this.#full)
    if (group === undefined || congestion === undefined) return undefined
    const { key, count } = group
    const script = mode === 'stream' ? MEASURE_STREAM : MEASURE_LIST
    const reply = await evaluate(this.#link, { script, keys: [key], args: [pushVerb(push)] }, signal)
    const [length, oldest] = reply as readonly [number, string]
    return length + count > congestion.length ? { kind: 'full', key, length, oldest } : undefined
  }
}

export function pushVerb(push: RedisConfig['push']): 'RPUSH' | 'LPUSH' {
  return push === 'left' ? 'LPUSH' : 'RPUSH'
}

function readPushed(reply: Reply): Pushed {
  if (!Array.isArray(reply)) return { kind: 'done' }
  const [kind, first, second, third] = reply as readonly Reply[]
  if (kind === 'POSITION')
    return { kind: 'position', stored: first === null || first === undefined ? null : String(first) }
  if (kind === 'TYPE') return { kind: 'type', key: String(first), type: String(second) }
  if (kind === 'FULL') return { kind: 'full', key: String(first), length: Number(second), oldest: String(third ?? '') }
  throw new RedisReply('ERR an answer that no script of ours gives')
}

export interface Call {
  readonly script: Script
  readonly keys: readonly string[]
  readonly args: readonly string[]
  /** Further arguments, as RESP. */
  readonly elements?: { readonly bytes: Uint8Array; readonly count: number }
}

/** Runs a script: by its hash, and by its text where the server does not know it. */
export async function evaluate(link: Link, call: Call, signal: AbortSignal): Promise<Reply> {
  try {
    return await link.run(request('evalsha', call.script.sha, call), signal)
  } catch (error) {
    if (!(error instanceof RedisReply && error.isUnknownScript)) throw error
    return link.run(request('eval', call.script.text, call), signal)
  }
}

function request(name: string, script: string, { keys, args, elements }: Call): Request {
  const addressed = [script, String(keys.length), ...keys]
  if (elements === undefined) return { name, args: [...addressed, ...args] }
  const head = commandHead(1 + addressed.length + args.length + elements.count, [name, ...addressed, ...args])
  return { name, args: addressed, bytes: { head, body: elements.bytes } }
}
