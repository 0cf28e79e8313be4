// What Redis answers when it does not do what was asked, and what that means for a batch. Nothing of a command's arguments gets
// into a message: they hold passwords and log data.

import { SinkError, type SinkFailure } from '../../src/sink.ts'
import { isTlsProblem } from '../parts/tls.ts'

/** An error reply. `code` is its first word when that is in capitals. */
export class RedisReply extends Error {
  override readonly name = 'RedisReply'
  readonly code: string

  constructor(text: string) {
    const clean = cleanText(text)
    super(clean)
    this.code = /^([A-Z][A-Z0-9]+)\b/.exec(clean)?.[1] ?? 'ERR'
  }

  /** Whether a script has to be sent as text, as the server does not have it (any more). */
  get isUnknownScript(): boolean {
    return this.code === 'NOSCRIPT'
  }

  /** Whether the server stays useless for writing on this connection: somewhere else is the primary. */
  get isFromReplica(): boolean {
    return this.code === 'READONLY' || this.code === 'MASTERDOWN'
  }
}

// Up to Redis 6: "ERR Error running script (call to f_SHA): @user_script:1: @user_script: 1: -OOM command not allowed…".
const WRAPPED = /^(?:ERR )?Error running script[^:]*: ?@user_script: ?\d+: ?(?:@user_script: ?\d+: ?)?-?/
// From Redis 7: "OOM command not allowed… script: SHA, on @user_script:1."
const TRAILER = / script: [0-9a-f]{40}, on @user_script:\d+\.?$/

function cleanText(text: string): string {
  const clean = text.replace(WRAPPED, '').replace(TRAILER, '').trim()
  // "DENIED Redis is running in protected mode because…" goes on for a page.
  return clean.length > 300 ? `${clean.slice(0, 300)}…` : clean
}

interface Meaning {
  readonly failure: SinkFailure
  readonly hint?: string
}

const MEANINGS: Readonly<Record<string, Meaning>> = {
  OOM: { failure: 'unavailable', hint: 'its memory is used up; shipping goes on when consumers have made room' },
  LOADING: { failure: 'unavailable' },
  BUSY: { failure: 'unavailable' },
  READONLY: { failure: 'unavailable', hint: 'it is a replica' },
  MASTERDOWN: { failure: 'unavailable', hint: 'it is a replica' },
  CLUSTERDOWN: { failure: 'unavailable' },
  TRYAGAIN: { failure: 'unavailable' },
  NOREPLICAS: { failure: 'unavailable' },
  MISCONF: { failure: 'unavailable', hint: 'it cannot write to its disk' },
  ASK: { failure: 'unavailable' },
  MOVED: { failure: 'refused', hint: 'it is a node of a cluster: give `cluster` instead of `url`' },
  WRONGTYPE: { failure: 'refused' },
  NOAUTH: { failure: 'refused', hint: 'set `password`, and `user` where the server has users' },
  WRONGPASS: { failure: 'refused', hint: 'check `user` and `password`' },
  NOPERM: { failure: 'refused', hint: 'see docs/sinks/redis.md for the permissions that the user needs' },
  CROSSSLOT: { failure: 'refused', hint: 'the lists must share a {tag}' },
  DENIED: { failure: 'refused' },
}

const TEXTS: readonly (readonly [RegExp, Meaning])[] = [
  [/max number of clients/i, { failure: 'unavailable' }],
  [/invalid bulk length|exceeds maximum allowed size/i, { failure: 'too-large' }],
  [/unknown command/i, { failure: 'refused', hint: 'for a server or proxy without scripts there is `atomic: multi`' }],
  // The rules of a user, met inside a script by Redis 7.0.
  [/user executing the script can't/i, MEANINGS['NOPERM'] as Meaning],
  [/invalid password|invalid username|wrong number of arguments for 'auth'/i, MEANINGS['WRONGPASS'] as Meaning],
  [/DB index is out of range/i, { failure: 'refused', hint: 'check the number of the database' }],
  [/cluster support disabled/i, { failure: 'refused', hint: 'it is no cluster: give `url` instead of `cluster`' }],
]

/**
 * What an error reply means. One that is not known is in-doubt: what was written is found out by asking.
 * @param place the server, for people
 */
export function failureOfReply(reply: RedisReply, place: string): SinkError {
  const meaning = MEANINGS[reply.code] ?? TEXTS.find(([text]) => text.test(reply.message))?.[1]
  const hint = meaning?.hint === undefined ? '' : ` (${meaning.hint})`
  return new SinkError(meaning?.failure ?? 'in-doubt', `redis ${place}: ${reply.message}${hint}`)
}

/** Does some work; what the server refuses is thrown as the SinkError that it means. */
export async function withMeaning<T>(place: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof RedisReply) throw failureOfReply(error, place)
    throw error
  }
}

/** An error of a connection, for people. */
export function wordsOf(error: unknown): string {
  const { message } = error as { message?: string }
  if (message === undefined || message === '') return String(error)
  return message === 'Connection is closed.' ? 'the connection was lost' : message
}

/** What an attempt to connect that failed means: nothing was sent, so nothing is in doubt. */
export function failureOfConnecting(error: unknown, place: string): SinkError {
  if (error instanceof SinkError) return error
  const { name, message, errors } = error as { name?: string; message?: string; errors?: readonly unknown[] }
  // A name with several addresses fails with one error for each.
  if (errors?.[0] !== undefined) return failureOfConnecting(errors[0], place)
  if (name === 'RedisReply' || name === 'ReplyError') {
    const found = failureOfReply(error instanceof RedisReply ? error : new RedisReply(message ?? ''), place)
    return found.failure === 'in-doubt' ? new SinkError('unavailable', found.message) : found
  }
  const words = wordsOf(error)
  if (isTlsProblem(error)) return new SinkError('refused', `redis ${place} cannot be trusted: ${words}`)
  return new SinkError('unavailable', `cannot reach redis ${place}: ${words}`)
}

/** A key holds something else than it should. */
export function wrongType(place: string, key: string, type: string, mode: string): SinkError {
  return new SinkError(
    'refused',
    `redis ${place}: the key "${key}" holds a ${type}, not a ${mode}; give another \`key\`, or remove it`,
  )
}
