// Documents for entries that do not fit the mapping: time, message, and all of the entry as one text, so that it can be read and searched
// for until somebody mends the mapping.

import type { Batch, Entry, Rejection } from '../../src/sink.ts'

/** The rejected entries of a batch as plain documents under the same ids. `indexes`: where they stand in `batch`. */
export function plainBatch(
  batch: Batch,
  rejected: readonly Rejection[],
): { readonly batch: Batch; readonly indexes: readonly number[] } {
  const { id, source, attempt, before, after } = batch
  const indexes = rejected.map(({ index }) => index)
  const entries = indexes.map((index) => batch.entries[index] as Entry)
  const lines = entries.map((entry, at) => Buffer.from(`${plainDocument(entry, rejected[at]?.reason ?? '')}\n`))
  const ends = new Uint32Array(lines.length)
  let bytes = 0
  for (const [at, line] of lines.entries()) {
    bytes += line.length
    ends[at] = bytes - 1
  }
  const each = Uint32Array.from(lines.keys())
  const plain: Batch = {
    id,
    source,
    attempt,
    before,
    after,
    entries,
    records: new Uint8Array(Buffer.concat(lines)),
    ends,
    keys: new Uint8Array(Buffer.from(entries.map(({ key }) => key).join(''), 'latin1')),
    realtimes: Float64Array.from(entries, ({ realtime }) => realtime),
    groups: { at: each, first: each },
  }
  return { batch: plain, indexes }
}

/** `reason`: why the entry itself was refused. */
function plainDocument({ record, realtime }: Entry, reason: string): string {
  const raw = Buffer.from(record).toString()
  const document = JSON.parse(raw) as Record<string, unknown>
  const message = document['message'] ?? document['MESSAGE']
  return JSON.stringify({
    '@timestamp': document['@timestamp'] ?? new Date(realtime / 1000).toISOString(),
    message: typeof message === 'string' ? message : (JSON.stringify(message) ?? ''),
    logferry: { raw, refused: reason },
  })
}
