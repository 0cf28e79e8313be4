// Our numbers in Prometheus' text form, by prom-client, with its process and Node.js metrics beside them.
// Imported only when /metrics is served.

import { collectDefaultMetrics, type Metric, Registry } from 'prom-client'
import { METRICS, type MetricName, type Metrics, type Reading } from './metrics.ts'

/** Answers one scrape. */
export interface Exposition {
  readonly contentType: string
  text(): Promise<string>
}

/** Joins `metrics` to a registry of its own; nothing global is touched. */
export function createExposition(metrics: Metrics): Exposition {
  const registry = new Registry()
  let readings: Reading[] = []
  for (const name of Object.keys(METRICS) as MetricName[]) registry.registerMetric(adapter(name, () => readings))
  collectDefaultMetrics({ register: registry })
  return {
    contentType: registry.contentType,
    text() {
      readings = metrics.read()
      return registry.metrics()
    },
  }
}

/**
 * prom-client asks a metric only for its name, help, type and `get()`. Giving it just those spares a second copy of all
 * values, and a histogram cannot be set from outside at all.
 */
function adapter(name: MetricName, readings: () => readonly Reading[]): Metric {
  const row = METRICS[name]
  const bounds: readonly number[] = 'buckets' in row ? row.buckets : []
  const metric = {
    name,
    help: row.help,
    type: row.kind,
    aggregator: 'sum',
    get: async () => ({
      name,
      help: row.help,
      type: row.kind,
      aggregator: 'sum',
      values: readings()
        .filter((reading) => reading.name === name)
        .flatMap((reading) => (reading.counts === undefined ? [reading] : buckets(reading, bounds))),
    }),
  }
  return metric as unknown as Metric
}

function buckets(reading: Reading, bounds: readonly number[]): object[] {
  let sum = 0
  const lines: object[] = (reading.counts ?? []).map((count, at) => {
    sum += count
    return { metricName: `${reading.name}_bucket`, labels: { ...reading.labels, le: bounds[at] ?? '+Inf' }, value: sum }
  })
  lines.push({ metricName: `${reading.name}_sum`, labels: reading.labels, value: reading.value })
  lines.push({ metricName: `${reading.name}_count`, labels: reading.labels, value: sum })
  return lines
}
