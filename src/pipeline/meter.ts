// The numbers of one sink, added once per batch and never per entry.

import type { Counter, Gauge, Histogram, Metrics } from '../telemetry/metrics.ts'

/** The series of one sink. */
export interface SinkMeter {
  readonly sentEntries: Counter
  readonly deliveredEntries: Counter
  readonly deliveredBytes: Counter
  readonly divertedEntries: Counter
  readonly retriedEntries: Counter
  readonly deadEntries: Counter
  readonly possibleDuplicates: Counter
  readonly positionsLost: Counter
  readonly badReceipts: Counter
  readonly gapEntries: Counter
  readonly batchesUnderWay: Gauge
  readonly concurrencyLimit: Gauge
  readonly up: Gauge
  readonly held: Gauge
  readonly lagEntries: Gauge
  readonly lagSeconds: Gauge
  readonly positionAgeSeconds: Gauge
  readonly batchSeconds: Histogram
  failed(failure: string): void
  rejected(code: string, entries: number): void
}

/** Codes come from sinks, so their number is bounded here: a metric must not grow with what a target says. */
const MOST_CODES = 20

/** Makes the series of a sink, all at 0. */
export function sinkMeter(metrics: Metrics, sink: string): SinkMeter {
  const label = { sink }
  const codes = new Set<string>()
  return {
    sentEntries: metrics.counter('logferry_sent_entries_total', label),
    deliveredEntries: metrics.counter('logferry_delivered_entries_total', label),
    deliveredBytes: metrics.counter('logferry_delivered_bytes_total', label),
    divertedEntries: metrics.counter('logferry_diverted_entries_total', label),
    retriedEntries: metrics.counter('logferry_retried_entries_total', label),
    deadEntries: metrics.counter('logferry_dead_entries_total', label),
    possibleDuplicates: metrics.counter('logferry_possible_duplicates_total', label),
    positionsLost: metrics.counter('logferry_position_lost_total', label),
    badReceipts: metrics.counter('logferry_bad_receipts_total', label),
    gapEntries: metrics.counter('logferry_gap_entries_total', label),
    batchesUnderWay: metrics.gauge('logferry_batches_under_way', label),
    concurrencyLimit: metrics.gauge('logferry_concurrency_limit', label),
    up: metrics.gauge('logferry_sink_up', label),
    held: metrics.gauge('logferry_sink_held', label),
    lagEntries: metrics.gauge('logferry_lag_entries', label),
    lagSeconds: metrics.gauge('logferry_lag_seconds', label),
    positionAgeSeconds: metrics.gauge('logferry_position_age_seconds', label),
    batchSeconds: metrics.histogram('logferry_batch_seconds', label),
    failed: (failure) => metrics.add('logferry_failed_writes_total', { sink, failure }),
    rejected(code, entries) {
      if (codes.size < MOST_CODES) codes.add(code)
      metrics.add('logferry_rejected_entries_total', { sink, code: codes.has(code) ? code : 'other' }, entries)
    },
  }
}
