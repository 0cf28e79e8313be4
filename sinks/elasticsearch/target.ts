// What the cluster says about the place that entries go to. Every question may be forbidden to a key that can only write: then nothing is
// known, and nothing is wrong.

import { SinkError, type SinkHost } from '../../src/sink.ts'
import { failureOfBulk } from './answer.ts'
import type { IndexName } from './indexName.ts'
import type { Reply, Transport } from './transport.ts'

export interface Target {
  readonly kind: 'index' | 'data stream'
  readonly name: IndexName
}

/** Answers that are no error when a question was asked: not allowed, or not known to this kind of server. */
const FINE = new Set([200, 400, 403, 404, 405, 410])

/** Asks; undefined when the cluster does not answer such questions. Throws a SinkError when it does not answer at all. */
export async function ask(
  transport: Transport,
  question: Pick<Parameters<Transport['send']>[0], 'method' | 'path' | 'query'>,
  signal: AbortSignal,
): Promise<Reply | undefined> {
  const reply = await transport.send({ ...question, signal })
  if (reply.status === 200) return reply
  if (FINE.has(reply.status)) return undefined
  const { failure, message, retryAfterMs } = failureOfBulk(reply, 1)
  const patience = retryAfterMs === undefined ? {} : { retryAfterMs }
  throw new SinkError(failure === 'refused' ? 'refused' : 'unavailable', message, patience)
}

/** Whether the cluster is there and lets us in. Its health; undefined when it does not say. */
export async function askHealth(
  transport: Transport,
  signal: AbortSignal,
): Promise<{ host: string; status: string } | undefined> {
  const reply = await ask(
    transport,
    { method: 'GET', path: '/_cluster/health', query: { filter_path: 'status' } },
    signal,
  )
  if (reply === undefined) return undefined
  return { host: reply.host, status: String(parse<{ status: unknown }>(reply).status) }
}

/** What is known of a target. */
export interface Facts {
  /** Its name can come to stand for another index: a data stream, or an alias. */
  readonly isRolling: boolean
  /** Is a data stream, or will be one by the templates of the cluster. */
  readonly isStream: boolean
  /** Something of that name is there. */
  readonly exists: boolean
  /** Of `index.mode: time_series`. */
  readonly isTimeSeries: boolean
}

interface Resolved {
  readonly indices?: readonly { readonly name?: string; readonly mode?: string }[]
  readonly aliases?: readonly unknown[]
  readonly data_streams?: readonly unknown[]
}
interface Simulated {
  readonly template?: {
    readonly settings?: { readonly index?: { readonly mode?: string } }
    readonly mappings?: { readonly _data_stream_timestamp?: unknown }
  }
}

/** Asks all that can be asked about a target. */
export async function askFacts(transport: Transport, { kind, name }: Target, signal: AbortSignal): Promise<Facts> {
  const pattern = encodeURIComponent(name.constant ?? name.pattern)
  // A pattern that begins with a field stands for everybody's indexes.
  const isOurs = !name.pattern.startsWith('*')
  const resolved = isOurs
    ? await ask(transport, { method: 'GET', path: `/_resolve/index/${pattern}` }, signal)
    : undefined
  const there: Partial<Resolved> = resolved === undefined ? {} : parse<Resolved>(resolved)
  const modes = isOurs
    ? await ask(
        transport,
        { method: 'GET', path: `/${pattern}/_settings`, query: { filter_path: '*.settings.index.mode' } },
        signal,
      )
    : undefined
  const simulated = await ask(
    transport,
    {
      method: 'POST',
      path: `/_index_template/_simulate_index/${encodeURIComponent(name.at(Date.now() * 1000))}`,
      query: { filter_path: 'template.settings.index.mode,template.mappings._data_stream_timestamp' },
    },
    signal,
  )
  const { settings, mappings } = (simulated === undefined ? {} : parse<Simulated>(simulated)).template ?? {}
  const streams = there.data_streams?.length ?? 0
  const indices = there.indices?.length ?? 0
  const isPlain = indices > 0 && streams === 0
  const isStream = streams > 0 || (!isPlain && mappings?._data_stream_timestamp !== undefined)
  return {
    exists: streams + indices + (there.aliases?.length ?? 0) > 0,
    isStream,
    isRolling: kind === 'data stream' || isStream || (there.aliases?.length ?? 0) > 0,
    isTimeSeries:
      modes?.text.includes('"time_series"') === true || (!isPlain && settings?.index?.mode === 'time_series'),
  }
}

/** What is said about a target at start. Throws `refused` where entries could be taken for each other. */
export function judgeFacts({ isTimeSeries, isStream }: Facts, { kind, name }: Target, log: SinkHost['log']): void {
  const what = name.constant ?? name.pattern
  if (isTimeSeries)
    throw new SinkError(
      'refused',
      `${what} is a time series (index.mode: time_series): it names documents by their dimensions and time, so that different entries would be taken for one`,
    )
  if (isStream && kind === 'index')
    log.warn(`${what} is a data stream: say so with data_stream, else a typing mistake makes a plain index`)
}

export function parse<T extends object>({ text }: Reply): Partial<T> {
  try {
    return (JSON.parse(text) ?? {}) as Partial<T>
  } catch {
    // A proxy's page: nothing is known.
    return {}
  }
}
