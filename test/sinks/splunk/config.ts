// Checked configurations of the sink, and sinks with little patience.
import type { AckTiming } from '../../../sinks/splunk/acks.ts'
import type { SplunkConfig } from '../../../sinks/splunk/options.ts'
import splunk, { SplunkSink } from '../../../sinks/splunk.ts'
import type { SinkHost } from '../../../src/sink.ts'

/** What the schema makes of options; fails where it has something to say. */
export function configOf(options: object): SplunkConfig {
  const result = splunk.config['~standard'].validate(options)
  if (result instanceof Promise || result.issues !== undefined) throw new Error(JSON.stringify(result))
  return result.value
}

/** What the schema says against options; empty when it has nothing to say. */
export function complaints(options: object): string[] {
  const result = splunk.config['~standard'].validate(options)
  if (result instanceof Promise) throw new Error('not at once')
  return (result.issues ?? []).map(({ message, path = [] }) => `${path.map(String).join('.')}: ${message}`)
}

export const QUICK: Partial<AckTiming> = { firstMs: 10, mostMs: 100, graceMs: 100, askMs: 2000 }

/** A sink that asks for acknowledgements every few milliseconds. */
export function quickSink(options: object, host: SinkHost, timing: Partial<AckTiming> = {}): SplunkSink {
  return new SplunkSink(configOf(options), host, { ...QUICK, ...timing })
}
