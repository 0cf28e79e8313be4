// Which entries are there already: asked before a batch in doubt is sent again to a target that can have begun another index meanwhile,
// where an id that is there already would not be noticed (ids are unique in each index, not over those of a data stream or alias).

import { type Batch, SinkError } from '../../src/sink.ts'
import { failureOfBulk } from './answer.ts'
import type { Reply, Transport } from './transport.ts'

const KEY_BYTES = 34
/** Below `index.max_result_window`, which is 10 000. */
const MOST = 5000

/** The target does not let us look: no privilege to refresh and read it. */
export class NotAllowed extends Error {
  override readonly name = 'NotAllowed'
}

/**
 * The indexes into the batch of entries that are stored under one of `names`. Throws NotAllowed, or a SinkError when there is no
 * answer to rely on.
 */
export async function findStored(
  transport: Transport,
  names: string,
  batch: Batch,
  signal: AbortSignal,
): Promise<Set<number>> {
  const { ends, keys } = batch
  const text = Buffer.from(keys.buffer, keys.byteOffset, keys.length).toString('latin1')
  const indexOf = new Map<string, number>()
  for (let index = 0; index < ends.length; index++)
    indexOf.set(text.slice(index * KEY_BYTES, (index + 1) * KEY_BYTES), index)
  await refresh(transport, names, signal)
  const stored = new Set<number>()
  const ids = [...indexOf.keys()]
  for (let from = 0; from < ids.length; from += MOST) {
    for (const id of await search(transport, names, ids.slice(from, from + MOST), signal)) {
      const index = indexOf.get(id)
      if (index !== undefined) stored.add(index)
    }
  }
  return stored
}

/** Whether looking would be allowed. */
export async function mayLook(transport: Transport, names: string, signal: AbortSignal): Promise<boolean> {
  try {
    await refresh(transport, names, signal)
    await search(transport, names, [], signal)
    return true
  } catch (error) {
    if (error instanceof NotAllowed) return false
    throw error
  }
}

/** What was written last is else not found. */
async function refresh(transport: Transport, names: string, signal: AbortSignal): Promise<void> {
  const query = { ignore_unavailable: 'true', filter_path: '_shards.failed' }
  const reply = await transport.send({ method: 'POST', path: `/${names}/_refresh`, query, signal })
  check(reply)
  if (reply.status === 200 && failedShards(reply) > 0)
    throw new SinkError('unavailable', `${reply.host} cannot refresh all shards of the target`)
}

async function search(
  transport: Transport,
  names: string,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<string[]> {
  const query = {
    size: String(ids.length),
    _source: 'false',
    ignore_unavailable: 'true',
    allow_partial_search_results: 'false',
    filter_path: 'timed_out,_shards.failed,hits.hits._id',
  }
  const body = JSON.stringify({ query: { ids: { values: ids } } })
  const reply = await transport.send({ method: 'POST', path: `/${names}/_search`, query, body, signal })
  check(reply)
  // Nothing of that name: nothing stored.
  if (reply.status === 404) return []
  interface Found {
    timed_out?: boolean
    hits?: { hits?: { _id?: unknown }[] }
  }
  const { timed_out, hits } = parse<Found>(reply)
  if (timed_out !== false || failedShards(reply) > 0)
    throw new SinkError('unavailable', `${reply.host} cannot look into all shards of the target`)
  return (hits?.hits ?? []).map(({ _id }) => String(_id))
}

function check(reply: Reply): void {
  if (reply.status === 403) throw new NotAllowed()
  if (reply.status === 200 || reply.status === 404) return
  const { message, failure } = failureOfBulk(reply, 1)
  // Nothing is stored by asking.
  throw new SinkError(failure === 'refused' ? 'refused' : 'unavailable', message)
}

function failedShards(reply: Reply): number {
  return parse<{ _shards?: { failed?: number } }>(reply)._shards?.failed ?? 1
}

function parse<T extends object>({ text, host }: Reply): Partial<T> {
  try {
    return JSON.parse(text) as Partial<T>
  } catch {
    throw new SinkError('unavailable', `${host}: the answer is no JSON`)
  }
}
