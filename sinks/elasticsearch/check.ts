// The dry test for `logferry validate --live`: the same connections, credentials and path as a write, and nothing stored.

import { type CheckLine, SinkError } from '../../src/sink.ts'
import { errorOf, failureOfBulk } from './answer.ts'
import type { ElasticsearchConfig } from './options.ts'
import { ask, askFacts, askHealth, type Facts, parse, type Target } from './target.ts'
import { templateOf } from './template.ts'
import type { Transport } from './transport.ts'

/** What would keep entries from being stored, line by line. */
export async function checkTarget(
  transport: Transport,
  target: Target,
  config: ElasticsearchConfig,
  signal: AbortSignal,
): Promise<readonly CheckLine[]> {
  try {
    const health = await askHealth(transport, signal)
    const lines: CheckLine[] = [
      health === undefined
        ? { ok: true, text: 'the cluster answers; its health is not shown to this user' }
        : { ok: health.status !== 'red', text: `${health.host} answers, the cluster is ${health.status}` },
      await checkBulk(transport, target, signal),
    ]
    const facts = await askFacts(transport, target, signal)
    lines.push(...(await checkPlace(transport, target, config, facts, signal)))
    if (config.pipeline !== undefined && config.pipeline !== '_none')
      lines.push(...(await checkPipeline(transport, config.pipeline, signal)))
    return lines
  } catch (error) {
    if (!(error instanceof SinkError)) throw error
    return [{ ok: false, text: error.message, ...hintFor(error, config) }]
  }
}

function hintFor({ message }: SinkError, { api_key, user, token }: ElasticsearchConfig): { hint: string } | object {
  if (!/answers 40[13]/.test(message)) return {}
  const has = [api_key, user, token].some((way) => way !== undefined)
  return { hint: has ? 'look at api_key, user and password, or token' : 'give api_key, user and password, or token' }
}

/** A request without entries: refused for that, when everything else is right. */
async function checkBulk(transport: Transport, { name }: Target, signal: AbortSignal): Promise<CheckLine> {
  const path = name.constant === undefined ? '/_bulk' : `/${encodeURIComponent(name.constant)}/_bulk`
  const reply = await transport.send({ method: 'POST', path, body: '\n', type: 'ndjson', signal })
  const { type, reason } = errorOf(reply)
  const isEmpty = type === 'action_request_validation_exception' || /body is required|no requests/.test(reason)
  if (reply.status === 200 || (reply.status === 400 && isEmpty))
    return { ok: true, text: `${reply.host} takes bulk requests` }
  return { ok: false, text: failureOfBulk(reply, 1).message }
}

async function checkPlace(
  transport: Transport,
  { kind, name }: Target,
  config: ElasticsearchConfig,
  facts: Facts,
  signal: AbortSignal,
): Promise<CheckLine[]> {
  const what = name.constant ?? name.pattern
  if (facts.isTimeSeries)
    return [{ ok: false, text: `${what} is a time series`, hint: 'choose another target: it takes no ids of entries' }]
  const lines: CheckLine[] = []
  if (kind === 'data stream') {
    lines.push(
      facts.isStream || config.template
        ? { ok: true, text: `${what} ${facts.exists ? 'is a data stream' : 'will be a data stream'}` }
        : {
            ok: false,
            text: `no index template makes ${what} a data stream`,
            hint: `say template: true, or install a template with data_stream: {} for ${templateOf({ kind, name }, undefined).patterns[0]}`,
          },
    )
  } else {
    lines.push({ ok: true, text: `${what} ${facts.exists ? 'is there' : 'will be made by the first entry'}` })
    if (facts.isStream)
      lines.push({ ok: false, text: `${what} is a data stream`, hint: `write data_stream: ${what} instead of index` })
  }
  if (!config.template) lines.push(...(await checkMapping(transport, name.at(Date.now() * 1000), signal)))
  return lines
}

interface Mappings {
  readonly dynamic?: unknown
  readonly properties?: Readonly<Record<string, { readonly type?: string }>>
}

/** What the templates of the cluster would make of entries. */
async function checkMapping(transport: Transport, name: string, signal: AbortSignal): Promise<CheckLine[]> {
  const path = `/_index_template/_simulate_index/${encodeURIComponent(name)}`
  const reply = await ask(transport, { method: 'POST', path, query: { filter_path: 'template.mappings' } }, signal)
  if (reply === undefined) return []
  const mappings = parse<{ template: { mappings?: Mappings } }>(reply).template?.mappings
  if (mappings === undefined) return []
  const lines: CheckLine[] = []
  if (String(mappings.dynamic) === 'strict')
    lines.push({
      ok: false,
      text: 'the mapping is strict: entries with fields that it does not name are refused',
      hint: 'set dynamic: true or false in the template, or say template: true',
    })
  const time = mappings.properties?.['@timestamp']?.type
  if (time === 'date')
    lines.push({
      ok: true,
      text: '@timestamp is a date: sorting and ranges go by milliseconds, date_nanos keeps microseconds',
    })
  return lines
}

async function checkPipeline(transport: Transport, pipeline: string, signal: AbortSignal): Promise<CheckLine[]> {
  const path = `/_ingest/pipeline/${encodeURIComponent(pipeline)}`
  const reply = await transport.send({ method: 'GET', path, query: { filter_path: '*.description' }, signal })
  if (reply.status === 404)
    return [{ ok: false, text: `there is no ingest pipeline ${pipeline}`, hint: 'make it, or mend its name' }]
  return reply.status === 200 ? [{ ok: true, text: `the ingest pipeline ${pipeline} is there` }] : []
}
