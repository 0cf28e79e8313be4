// Writes entries to standard output: as JSON for programs, or as journalctl prints them for people.

import type { Writable } from 'node:stream'
import * as z from 'zod'
import {
  type Batch,
  type Delivery,
  defineSink,
  type Receipt,
  type Sink,
  SinkError,
  type SinkTraits,
} from '../src/sink.ts'
import { Turns } from './parts/turns.ts'
import { leadsIntoJournal, Output } from './stdout/output.ts'
import { type Format, formatCat, formatShort } from './stdout/text.ts'

const config = z.strictObject({
  format: z.enum(['json', 'short', 'cat']).default('json').meta({
    description:
      '`json`: one object a line; `short`: time, host, program and message, as journalctl; `cat`: the message.',
  }),
})

type StdoutConfig = z.output<typeof config>

/** Where the entries go; a test gives a pipe of its own. */
export interface Target {
  /** Its descriptor: 1 is standard output. */
  readonly fd: number
  /** Asked for when the sink is opened. */
  readonly stream: () => Writable
}

export default defineSink<StdoutConfig>({
  name: 'stdout',
  summary: 'Writes entries to standard output, as JSON lines or as text.',
  config,
  create: (config) => new StdoutSink(config, { fd: 1, stream: () => process.stdout }),
})

export class StdoutSink implements Sink {
  readonly traits: SinkTraits = {
    delivered: 'sent',
    idempotent: false,
    holdsPosition: false,
    ordered: true,
    encoding: 'json',
    fields: [],
    limits: {},
  }
  readonly #target: Target
  readonly #format: Format | undefined
  readonly #turns = new Turns()
  #output: Output | undefined

  constructor({ format }: StdoutConfig, target: Target) {
    this.#target = target
    this.#format = format === 'short' ? formatShort() : format === 'cat' ? formatCat() : undefined
  }

  async open(): Promise<void> {
    if (leadsIntoJournal(this.#target.fd, process.env['JOURNAL_STREAM'])) {
      throw new SinkError(
        'refused',
        'standard output leads into the journal, so every entry would come back as a new one; ' +
          'in a systemd unit set StandardOutput= to a file, or use the sink file',
      )
    }
    this.#output ??= new Output(this.#target.stream())
    this.#output.requireReader()
  }

  write(batch: Batch, { signal }: Delivery): Promise<Receipt> {
    return this.#turns.take<Receipt>(async () => {
      this.#output ??= new Output(this.#target.stream())
      await this.#output.write(this.#format === undefined ? batch.records : asText(batch, this.#format))
      return 'delivered'
    }, signal)
  }

  async close(): Promise<void> {
    this.#output?.close()
    this.#output = undefined
  }
}

function asText({ records, ends }: Batch, format: Format): Buffer {
  const bytes = Buffer.from(records.buffer, records.byteOffset, records.byteLength)
  let text = ''
  let start = 0
  for (const end of ends) {
    text += format(JSON.parse(bytes.toString('utf8', start, end)))
    start = end + 1
  }
  return Buffer.from(text)
}
