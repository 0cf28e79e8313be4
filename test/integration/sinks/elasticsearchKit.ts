// What is stored in a real Elasticsearch, byte for byte, and sinks that write into it.
import elasticsearch, { ElasticsearchSink } from '../../../sinks/elasticsearch.ts'
import type { Batch, Receipt, SinkError, SinkHost } from '../../../src/sink.ts'
import { delivery, testHost } from '../../contract/sinkContract.ts'
import type { Elasticsearch } from '../../support/services.ts'

export const NEVER = new AbortController().signal

/** A document as it was sent. */
export interface Stored {
  readonly id: string
  readonly index: string
  readonly source: Buffer
}

export function sinkFor(urls: readonly string[], options: object = {}, host: SinkHost = testHost()): ElasticsearchSink {
  const config = elasticsearch.config['~standard'].validate({ nodes: urls, ...options })
  if (config instanceof Promise || config.issues !== undefined) throw new Error(JSON.stringify(config))
  return new ElasticsearchSink(config.value, host)
}

export async function openSink(
  urls: readonly string[],
  options: object = {},
  host: SinkHost = testHost(),
): Promise<ElasticsearchSink> {
  const sink = sinkFor(urls, options, host)
  await sink.open(NEVER)
  return sink
}

/** One write: its receipt, or the failure and what it says. */
export async function outcomeOf(sink: ElasticsearchSink, batch: Batch): Promise<Receipt | string> {
  try {
    return await sink.write(batch, delivery())
  } catch (error) {
    const { failure, message } = error as SinkError
    return `${failure}: ${message}`
  }
}

/** Writes as the pipeline would, until everything is delivered. Other failures than `expected` are thrown. */
export async function deliver(sink: ElasticsearchSink, batch: Batch, expected: RegExp): Promise<void> {
  const end = Date.now() + 90_000
  for (let attempt = 1; Date.now() < end; attempt++) {
    const outcome = await outcomeOf(sink, { ...batch, attempt })
    if (outcome === 'delivered') return
    if (typeof outcome === 'string' && !expected.test(outcome)) throw new Error(outcome)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error('not delivered within 90 s')
}

/** How many documents an index, data stream or pattern has. */
export async function countIn({ ask }: Elasticsearch, index: string): Promise<number> {
  await ask('POST', `/${index}/_refresh?ignore_unavailable=true`)
  const { body } = await ask('GET', `/${index}/_count?ignore_unavailable=true`)
  return Number(body['count'] ?? 0)
}

/** All documents of an index, data stream or pattern, their sources as they came in. */
export async function storedIn({ url, ask }: Elasticsearch, index: string): Promise<Stored[]> {
  await ask('POST', `/${index}/_refresh?ignore_unavailable=true`)
  const found: Stored[] = []
  let path = `/${index}/_search?scroll=1m&size=2000&sort=_doc&ignore_unavailable=true`
  for (let body: string | undefined; ; ) {
    const answer = await fetch(url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body }),
    })
    const text = await answer.text()
    const { _scroll_id: id, hits } = JSON.parse(text) as { _scroll_id: string; hits: { hits: Hit[] } }
    if (hits.hits.length === 0) return found
    const sources = sourcesIn(text)
    for (const [at, hit] of hits.hits.entries())
      found.push({ id: hit._id, index: hit._index, source: Buffer.from(sources[at] ?? '') })
    path = '/_search/scroll'
    body = JSON.stringify({ scroll: '1m', scroll_id: id })
  }
}

interface Hit {
  readonly _id: string
  readonly _index: string
}

/** The texts behind `"_source":`, which the server copies as they were sent. */
function sourcesIn(text: string): string[] {
  const found: string[] = []
  const mark = '"_source":'
  for (let at = text.indexOf(mark); at >= 0; at = text.indexOf(mark, at)) {
    const start = at + mark.length
    const end = objectEnd(text, start)
    found.push(text.slice(start, end))
    at = end
  }
  return found
}

function objectEnd(text: string, start: number): number {
  let depth = 0
  let isString = false
  for (let at = start; at < text.length; at++) {
    const letter = text[at]
    if (isString) {
      if (letter === '\\') at++
      else if (letter === '"') isString = false
    } else if (letter === '"') isString = true
    else if (letter === '{' || letter === '[') depth++
    else if ((letter === '}' || letter === ']') && --depth === 0) return at + 1
  }
  throw new Error('a source without end')
}
