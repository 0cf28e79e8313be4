// Requests in OTLP's JSON: 64-bit integers as decimal text, bytes in base64 (opentelemetry-proto, docs/specification.md).

import { type Attribute, type ResourceLogs, SCOPE, type Value } from './records.ts'

/** @param observedMs when the entries were read, milliseconds since 1970 */
export function jsonRequest(groups: readonly ResourceLogs[], observedMs: number): Buffer {
  const observed = `${observedMs}000000`
  const request = {
    resourceLogs: groups.map(({ attributes, records }) => ({
      resource: { attributes: attributes.map(pair) },
      scopeLogs: [
        {
          scope: { name: SCOPE },
          logRecords: records.map((record) => ({
            timeUnixNano: `${record.timeUs}000`,
            observedTimeUnixNano: observed,
            ...(record.severityNumber === 0
              ? {}
              : { severityNumber: record.severityNumber, severityText: record.severityText }),
            ...(record.body === undefined ? {} : { body: anyValue(record.body) }),
            attributes: record.attributes.map(pair),
          })),
        },
      ],
    })),
  }
  return Buffer.from(JSON.stringify(request))
}

function pair([key, value]: Attribute): object {
  return { key, value: anyValue(value) }
}

function anyValue(value: Value): object {
  if (typeof value === 'string') return { stringValue: value }
  if (typeof value === 'boolean') return { boolValue: value }
  if (typeof value === 'number')
    return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value }
  if (value instanceof Uint8Array) return { bytesValue: Buffer.from(value).toString('base64') }
  if ('pairs' in value) return { kvlistValue: { values: value.pairs.map(pair) } }
  return { arrayValue: { values: value.map(anyValue) } }
}
