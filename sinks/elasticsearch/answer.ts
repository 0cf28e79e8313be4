// What comes back for a whole bulk request: items, or what the failure of all of it means. Invariant: an answer that is not understood, or
// has not an item for each entry, leaves the batch in doubt.

import { type Rejection, SinkError } from '../../src/sink.ts'
import { retryAfterMs } from '../parts/http.ts'
import { type BulkItem, exceedsMemory, memoryOf, plainType } from './itemErrors.ts'
import type { Reply } from './transport.ts'

/** Names of items, as few as will do and never without a status: an item without any of them would be left out of the answer. */
export const FILTER = 'errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.failure_store'

/** What an answer with status 200 says. */
export type BulkAnswer = 'all-created' | readonly BulkItem[]

const HEAD = '{"errors":false,"items":['
const CREATED = '{"create":{"status":201}},'
// Of the longest answer without an error so far; each answer of that kind begins like it.
let allCreated = HEAD + CREATED

/** Reads an answer with status 200 to a request with `entries` entries. Throws `in-doubt`. */
export function readItems200({ text, host }: Reply, entries: number): BulkAnswer {
  // Nearly always, and half of the work of reading it.
  const length = HEAD.length + CREATED.length * entries
  if (text.length === length + 1 && text.endsWith(']}')) {
    while (allCreated.length < length) allCreated += allCreated.slice(HEAD.length)
    if (allCreated.startsWith(text.slice(0, -2))) return 'all-created'
  }
  const doubt = (what: string): never => {
    throw new SinkError('in-doubt', `${host}: the answer ${what}`)
  }
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return doubt('is no JSON')
  }
  const { items } = (parsed ?? {}) as { items?: unknown }
  if (!Array.isArray(items)) return doubt('has no items')
  if (items.length !== entries) return doubt(`has ${items.length} items for ${entries} entries`)
  return items.map((item: unknown) => {
    const [outcome] = Object.values((item ?? {}) as Record<string, BulkItem>)
    return outcome ?? {}
  })
}

interface WholeError {
  readonly type: string
  readonly reason: string
}

/** The error of a whole request; empty texts when the answer is no JSON, as those of proxies. */
export function errorOf({ text }: Pick<Reply, 'text'>): WholeError {
  try {
    const { error } = JSON.parse(text) as { error?: { type?: unknown; reason?: unknown } | string }
    if (typeof error === 'string') return { type: '', reason: error }
    return { type: plainType(error?.type ?? ''), reason: typeof error?.reason === 'string' ? error.reason : '' }
  } catch {
    return { type: '', reason: '' }
  }
}

/** The name of a parameter that the server does not know; undefined when that is not what it says. */
export function unknownParameter(reply: Reply): string | undefined {
  if (reply.status !== 400) return undefined
  return /unrecognized parameters?: \[(\w+)\]/.exec(errorOf(reply).reason)?.[1]
}

const NOT_BEGUN = new Set(['cluster_block_exception', 'master_not_discovered_exception', 'circuit_breaking_exception'])

/** What an answer with another status than 200 means for a bulk request with `entries` entries and so many bytes. */
export function failureOfBulk(reply: Reply, entries: number, bytes = 0): SinkError {
  const { status, host } = reply
  const { type, reason } = errorOf(reply)
  const says = `${host} answers ${status}${type === '' ? '' : ` ${type}`}`
  const asked = retryAfterMs(reply)
  const patience = asked === undefined ? {} : { retryAfterMs: asked }
  if (status === 413) return new SinkError('too-large', `${says}: the request is larger than it takes`)
  if (status === 429) {
    if (entries > 1 && exceedsMemory(reason, memoryOf(bytes, entries)))
      return new SinkError('too-large', `${says}: it has not the memory for so much at once`)
    return new SinkError('unavailable', `${says}: too many requests`, patience)
  }
  if (status === 401) return new SinkError('refused', `${says}: ${whyUnauthorized(reason)}`)
  if (status === 403) return new SinkError('refused', `${says}: ${reason === '' ? 'not allowed' : cut(reason)}`)
  // A line of ours that it cannot read: what stood before may have been taken.
  if (status === 400 && (type === 'action_request_validation_exception' || /^Malformed action/.test(reason)))
    return new SinkError('in-doubt', `${says}: ${cut(reason)}`)
  if (status === 400 && /unrecognized parameter/.test(reason))
    return new SinkError('refused', `${says}: ${cut(reason)}`)
  // Refused before anything was done.
  if (status === 503 && NOT_BEGUN.has(type)) return new SinkError('unavailable', `${says}: ${cut(reason)}`, patience)
  if (status === 408 || status >= 500 || status < 300) return new SinkError('in-doubt', says, patience)
  if (status < 400) return new SinkError('refused', `${says}: redirects are not followed, name the address itself`)
  return new SinkError('refused', `${says}: is it Elasticsearch?`)
}

/** What the answer to a request with one entry says about it, when that is that it needs more memory than there is. */
export function tooLargeAlone(reply: Reply, bytes: number): Rejection | undefined {
  if (reply.status !== 429) return undefined
  const { type, reason } = errorOf(reply)
  return exceedsMemory(reason, memoryOf(bytes, 1))
    ? { index: 0, code: 'too_large', reason: `429 ${type}: ${reason}` }
    : undefined
}

function whyUnauthorized(reason: string): string {
  return reason === '' ? 'it does not know the user or key' : cut(reason)
}

function cut(reason: string): string {
  return reason.slice(0, 500)
}
