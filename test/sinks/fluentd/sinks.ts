// Fluentd sinks for tests, from options as they stand in a configuration.
import { fluentdConfig } from '../../../sinks/fluentd/options.ts'
import { FluentdSink, type Waits } from '../../../sinks/fluentd.ts'
import type { Batch, SinkHost } from '../../../src/sink.ts'
import { type BatchOptions, makeBatch, testHost } from '../../contract/batches.ts'

/** Shorter than in life: nothing in a test is far away. */
const WAITS: Waits = { connectTimeoutMs: 2000, handshakeTimeoutMs: 200, heloWithinMs: 100 }

export function sinkFor(options: object, host: SinkHost = testHost(), waits: Waits = WAITS): FluentdSink {
  return new FluentdSink(fluentdConfig.parse(options), host, waits)
}

/** What is wrong with options; empty when nothing is. */
export function mistakesOf(options: object): string[] {
  const { error } = fluentdConfig.safeParse(options)
  return (error?.issues ?? []).map(({ path, message }) =>
    [path.join('.'), message].filter((part) => part !== '').join(': '),
  )
}

export function packed(length: number, options: Omit<BatchOptions, 'encoding'> = {}): Batch {
  return makeBatch(length, { encoding: 'msgpack', ...options })
}
