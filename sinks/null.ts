// Takes everything and keeps nothing: for measuring what reading and encoding cost, and for tests.

import * as z from 'zod'
import {
  type Batch,
  type Delivery,
  defineSink,
  type Receipt,
  type Sink,
  SinkError,
  type SinkHost,
} from '../src/sink.ts'

const config = z.strictObject({
  encoding: z
    .enum(['none', 'json', 'msgpack', 'journal-export'])
    .default('none')
    .meta({ description: 'How entries are prepared before they are thrown away; `none`: not at all.' }),
})

/** A sink that only counts. */
export class NullSink implements Sink {
  readonly traits
  /** What has been written since it was made. */
  readonly counts = { batches: 0, entries: 0, bytes: 0 }
  readonly #log: SinkHost['log']

  constructor({ encoding }: z.output<typeof config>, host: SinkHost) {
    this.traits = {
      delivered: 'accepted',
      // Writing again leaves what was there before: nothing.
      idempotent: true,
      holdsPosition: false,
      ordered: false,
      encoding,
      fields: [],
      releases: true,
      limits: {},
    } as const
    this.#log = host.log
  }

  async open(): Promise<void> {}

  async write({ ends, records }: Batch, { signal }: Delivery): Promise<Receipt> {
    if (signal.aborted) throw new SinkError('unavailable', 'given up before the write began')
    this.counts.batches++
    this.counts.entries += ends.length
    this.counts.bytes += records.length
    return 'delivered'
  }

  async close(): Promise<void> {
    this.#log.info('thrown away', this.counts)
  }
}

export default defineSink<z.output<typeof config>>({
  name: 'null',
  summary: 'Takes every entry and keeps none: for measurements and tests.',
  config,
  create: (config, host) => new NullSink(config, host),
})
