// A document for an entry that does not fit the mapping: time, message, and all of it as one text, so that it can be read and searched for
// until somebody mends the mapping.

import type { Entry } from '../../src/sink.ts'

/** One line of JSON. `reason`: why the entry itself was refused. */
export function plainDocument({ record, realtime }: Entry, reason: string): string {
  const raw = Buffer.from(record).toString()
  const document = JSON.parse(raw) as Record<string, unknown>
  const message = document['message'] ?? document['MESSAGE']
  return JSON.stringify({
    '@timestamp': document['@timestamp'] ?? new Date(realtime / 1000).toISOString(),
    message: typeof message === 'string' ? message : (JSON.stringify(message) ?? ''),
    logferry: { raw, refused: reason },
  })
}
