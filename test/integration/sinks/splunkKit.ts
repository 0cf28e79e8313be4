// What an OpenTelemetry collector has got over HEC, in the form that journalctl's answers are compared with (fluentdKit.ts).
import type { Collector } from '../../support/services.ts'
import type { Arrived } from './fluentdKit.ts'

interface AnyValue {
  readonly stringValue?: string
  readonly arrayValue?: { readonly values?: readonly AnyValue[] }
  readonly kvlistValue?: { readonly values?: readonly Member[] }
}
interface Member {
  readonly key: string
  readonly value: AnyValue
}

/** An event with what its envelope said. */
export interface ArrivedEvent extends Arrived {
  readonly key: string
  readonly host: string
  readonly source: string
  readonly sourcetype: string
  readonly index: string
  /** A bare message; undefined where the event is an object. */
  readonly message: string | undefined
}

const BASE64 = 'logferry.base64.'

/** Everything that a collector has stored, in its order. Values are one-byte text of the exact bytes, by the base64 beside them. */
export function eventsAt(collector: Collector): ArrivedEvent[] {
  return collector.records('hec').map(({ resource, record }) => {
    const origin = membersOf((resource as { attributes?: readonly Member[] }).attributes)
    const indexed = membersOf(record['attributes'] as readonly Member[])
    const body = record['body'] as AnyValue
    const fields = new Map((body.kvlistValue?.values ?? []).map(({ key, value }) => [key, textsOf(value)]))
    for (const [name, exact] of fields) {
      if (!name.startsWith(BASE64)) continue
      fields.delete(name)
      const field = name.slice(BASE64.length)
      fields.set(
        field,
        exact.map((text, n) =>
          text === '' ? (fields.get(field)?.[n] ?? '') : Buffer.from(text, 'base64').toString('latin1'),
        ),
      )
    }
    const text = (name: string) => Buffer.from(origin.get(name)?.[0] ?? '', 'latin1').toString()
    return {
      cursor: indexed.get('journald_cursor')?.[0] ?? '',
      key: indexed.get('journald_key')?.[0] ?? '',
      // The collector keeps the time as a float: to a quarter of a microsecond.
      ns: `${Math.round(Number(record['timeUnixNano']) / 1000)}000`,
      tag: '',
      fields,
      host: text('host.name'),
      source: text('com.splunk.source'),
      sourcetype: text('com.splunk.sourcetype'),
      index: text('com.splunk.index'),
      message: body.stringValue,
    }
  })
}

function membersOf(members: readonly Member[] = []): Map<string, string[]> {
  return new Map(members.map(({ key, value }) => [key, textsOf(value)]))
}

/** A value that is null has no text: the place of one that needs no base64. */
function textsOf({ stringValue, arrayValue }: AnyValue): string[] {
  if (arrayValue !== undefined) return (arrayValue.values ?? []).flatMap(textsOf)
  return [Buffer.from(stringValue ?? '').toString('latin1')]
}
