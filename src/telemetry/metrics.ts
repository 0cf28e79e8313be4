// All metrics in one table, and their values as plain numbers: hot code keeps a series and adds to it. prom-client is
// imported by whoever serves /metrics (exposition.ts), not here.

interface Row<Kind extends string, Label extends string> {
  readonly kind: Kind
  /** One sentence for the exposition and docs/reference/metrics.md, with its unit. */
  readonly help: string
  readonly labels: readonly Label[]
  /** Upper bounds of a histogram's buckets, ascending. */
  readonly buckets?: readonly number[]
}

function counter<const L extends string>(help: string, labels: readonly L[] = []): Row<'counter', L> {
  return { kind: 'counter', help, labels }
}

function gauge<const L extends string>(help: string, labels: readonly L[] = []): Row<'gauge', L> {
  return { kind: 'gauge', help, labels }
}

function histogram<const L extends string>(help: string, labels: readonly L[], buckets: readonly number[]) {
  return { kind: 'histogram', help, labels, buckets } satisfies Row<'histogram', L>
}

/** Label values come from small fixed sets (sink names, outcomes, codes): never a cursor, a unit or a URL. */
export const METRICS = {
  logferry_build_info: gauge('Always 1; the label tells the version that runs.', ['version']),

  logferry_read_entries_total: counter(
    'Entries read from the journal files. An entry that several sinks read at about the same time counts once.',
  ),
  logferry_read_bytes_total: counter('Bytes of records encoded from the entries that were read.'),
  logferry_damaged_bytes_total: counter('Bytes of journal files that could not be read because the file is damaged.'),
  logferry_lost_entries_total: counter('Entries that could not be read because the journal file is damaged.'),
  logferry_lost_fields_total: counter(
    'Fields left out of entries because their value is damaged or its compression is not supported here.',
  ),
  logferry_gap_entries_total: counter(
    'Entries that the journal no longer held when the sink came to them: vacuumed before they were delivered.',
    ['sink'],
  ),

  logferry_sent_entries_total: counter('Entries handed to the sink, repeated attempts included.', ['sink']),
  logferry_delivered_entries_total: counter('Entries that the destination has, as the sink defines delivered.', [
    'sink',
  ]),
  logferry_delivered_bytes_total: counter('Bytes of the records of delivered entries.', ['sink']),
  logferry_diverted_entries_total: counter(
    'Delivered entries that the destination stored elsewhere on purpose, such as a failure store.',
    ['sink'],
  ),
  logferry_retried_entries_total: counter('Entries sent again after a failure.', ['sink']),
  logferry_rejected_entries_total: counter('Entries that the destination will never take, by reason.', [
    'sink',
    'code',
  ]),
  logferry_dead_entries_total: counter('Entries written to the dead letters.', ['sink']),
  logferry_possible_duplicates_total: counter(
    'Entries sent again although the destination may have them already, for want of an answer.',
    ['sink'],
  ),
  logferry_position_lost_total: counter(
    'Positions that the destination has lost together with its data, so that older entries were sent again.',
    ['sink'],
  ),
  logferry_failed_writes_total: counter(
    'Writes that failed as a whole, by failure: unavailable, in-doubt, too-large, refused, or bug.',
    ['sink', 'failure'],
  ),
  logferry_bad_receipts_total: counter('Receipts of the sink that did not add up: a bug of the sink.', ['sink']),
  logferry_batches_under_way: gauge('Batches given to the sink and not settled.', ['sink']),
  logferry_concurrency_limit: gauge('Writes allowed at once; below the setting while the destination is slow.', [
    'sink',
  ]),
  logferry_batch_seconds: histogram(
    'Seconds from handing a batch to the sink until its outcome is known, one attempt.',
    ['sink'],
    [0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60],
  ),

  logferry_lag_entries: gauge('Entries between the stored position and the end of the journal.', ['sink']),
  logferry_lag_seconds: gauge('Age of the oldest entry that is not settled, in seconds; 0 at the end of the journal.', [
    'sink',
  ]),
  logferry_vacuum_seconds: gauge(
    'Seconds until journald is expected to remove entries that the sink has not settled; -1 when none is at risk.',
    ['sink'],
  ),
  logferry_position_age_seconds: gauge('Seconds since the stored position last moved.', ['sink']),
  logferry_sink_up: gauge('1 while the last write or connection attempt succeeded, else 0.', ['sink']),
  logferry_sink_held: gauge('1 while the sink is held until a person mends something, else 0.', ['sink']),

  logferry_retained_bytes: gauge('Bytes of journal files kept by link because a sink still needs them.'),
  logferry_retained_files: gauge('Journal files kept by link because a sink still needs them.'),
  logferry_api_requests_total: counter('Requests to the logging API, by route and status code.', ['route', 'code']),
  logferry_api_streams: gauge('Streams of the logging API that are open.'),
  logferry_api_refused_total: counter(
    'Requests to the logging API refused for who asked: missing, invalid, forbidden, throttled, or no-keys.',
    ['reason'],
  ),
  logferry_api_cut_total: counter(
    'Answers of the logging API that were broken off: slow (the client took nothing) or search (grep took too long).',
    ['reason'],
  ),
  logferry_memory_bytes: gauge('Bytes of windows, caches and shared batches that count towards the memory setting.'),
  logferry_reloads_total: counter('Reloads of the configuration, by outcome: ok or failed.', ['outcome']),
} as const

export type MetricName = keyof typeof METRICS
type NameOf<Kind extends string> = {
  [N in MetricName]: (typeof METRICS)[N]['kind'] extends Kind ? N : never
}[MetricName]
export type CounterName = NameOf<'counter'>
export type GaugeName = NameOf<'gauge'>
export type HistogramName = NameOf<'histogram'>
export type LabelsOf<N extends MetricName> = Readonly<Record<(typeof METRICS)[N]['labels'][number], string>>

/** One counter with fixed labels. */
export interface Counter {
  readonly value: number
  add(count?: number): void
}

/** One gauge with fixed labels. */
export interface Gauge {
  readonly value: number
  set(value: number): void
  add(difference: number): void
}

/** One histogram with fixed labels. */
export interface Histogram {
  /** Observations so far. */
  readonly count: number
  readonly sum: number
  observe(value: number): void
}

/** A series as it stands, for whoever prints or serves it. */
export interface Reading {
  readonly name: MetricName
  readonly labels: Readonly<Record<string, string>>
  /** The counter's or gauge's value; a histogram's sum. */
  readonly value: number
  /** A histogram's observations, not cumulated, one more than it has bounds. */
  readonly counts?: readonly number[]
}

class Series implements Counter, Gauge, Histogram {
  readonly labels: Readonly<Record<string, string>>
  value = 0
  count = 0
  readonly counts: number[]
  readonly #bounds: readonly number[]

  constructor(labels: Readonly<Record<string, string>>, bounds: readonly number[]) {
    this.labels = labels
    this.#bounds = bounds
    this.counts = bounds.length === 0 ? [] : new Array<number>(bounds.length + 1).fill(0)
  }

  get sum(): number {
    return this.value
  }

  add(difference = 1): void {
    this.value += difference
  }

  set(value: number): void {
    this.value = value
  }

  observe(value: number): void {
    this.value += value
    this.count++
    let at = 0
    while (at < this.#bounds.length && value > (this.#bounds[at] as number)) at++
    this.counts[at] = (this.counts[at] ?? 0) + 1
  }
}

/** The values of all metrics of one process. */
export class Metrics {
  readonly #series = new Map<string, { name: MetricName; series: Series }>()
  readonly #collectors = new Set<() => void>()

  /** The series of these labels, made at 0 when it is not there. Keep it where it is used often. */
  counter<N extends CounterName>(name: N, labels: LabelsOf<N>): Counter {
    return this.#find(name, labels)
  }

  gauge<N extends GaugeName>(name: N, labels: LabelsOf<N>): Gauge {
    return this.#find(name, labels)
  }

  histogram<N extends HistogramName>(name: N, labels: LabelsOf<N>): Histogram {
    return this.#find(name, labels)
  }

  /** Adds to a counter, where keeping the series is not worth it. */
  add<N extends CounterName>(name: N, labels: LabelsOf<N>, count = 1): void {
    this.#find(name, labels).add(count)
  }

  /** Sets a gauge, where keeping the series is not worth it. */
  set<N extends GaugeName>(name: N, labels: LabelsOf<N>, value: number): void {
    this.#find(name, labels).set(value)
  }

  /** Observes into a histogram, where keeping the series is not worth it. */
  observe<N extends HistogramName>(name: N, labels: LabelsOf<N>, value: number): void {
    this.#find(name, labels).observe(value)
  }

  /** Calls `collect` before values are read, to set gauges that are only known by looking (lag, age). Returns how to stop. */
  beforeRead(collect: () => void): () => void {
    this.#collectors.add(collect)
    return () => this.#collectors.delete(collect)
  }

  /** Drops every series with this label value, as when a sink is removed. Series kept elsewhere are then no longer read. */
  remove(label: string, value: string): void {
    for (const [key, { series }] of this.#series) if (series.labels[label] === value) this.#series.delete(key)
  }

  /** All series as they stand, in the order of the table. */
  read(): Reading[] {
    for (const collect of this.#collectors) collect()
    const order = Object.keys(METRICS)
    return [...this.#series.values()]
      .map(({ name, series }) => ({
        name,
        labels: series.labels,
        value: series.value,
        ...(series.counts.length === 0 ? {} : { counts: [...series.counts] }),
      }))
      .sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name))
  }

  #find(name: MetricName, labels: Readonly<Record<string, string>>): Series {
    const row: Row<string, string> = METRICS[name]
    let key: string = name
    for (const label of row.labels) key += `\0${labels[label] ?? ''}`
    let found = this.#series.get(key)
    if (found === undefined) {
      found = { name, series: new Series(labels, row.buckets ?? []) }
      this.#series.set(key, found)
    }
    return found.series
  }
}
