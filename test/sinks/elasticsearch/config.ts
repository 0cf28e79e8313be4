// Configurations of the elasticsearch sink, as its schema makes them.

import type { ElasticsearchConfig } from '../../../sinks/elasticsearch/options.ts'
import elasticsearchSink from '../../../sinks/elasticsearch.ts'

export function configOf(options: object): ElasticsearchConfig {
  const result = elasticsearchSink.config['~standard'].validate(options)
  if (result instanceof Promise || result.issues !== undefined) throw new Error(JSON.stringify(result))
  return result.value
}

export function mistakesOf(options: object): string[] {
  const result = elasticsearchSink.config['~standard'].validate(options)
  if (result instanceof Promise) throw new Error('it validates at once')
  return (result.issues ?? []).map(({ path = [], message }) => `${path.join('.')}: ${message}`)
}
