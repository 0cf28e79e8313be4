// From records to log records of OpenTelemetry (its data model's appendix has a table for journald), grouped by what they say of their
// resource. The record is what is read, and not the journal's fields, so that masks and exclusions of the configuration hold.

import type { Batch } from '../../src/sink.ts'

/** The name of the instrumentation scope that all log records are in. */
export const SCOPE = 'logferry'

/** A value of OTLP's AnyValue: whole numbers are int, others double; `pairs` is a list of key and value. */
export type Value = string | number | boolean | Uint8Array | readonly Value[] | { readonly pairs: readonly Attribute[] }
export type Attribute = readonly [key: string, value: Value]

export interface LogRecord {
  /** Microseconds since 1970. */
  readonly timeUs: number
  /** 0: unknown. */
  readonly severityNumber: number
  readonly severityText: string
  readonly body: Value | undefined
  readonly attributes: readonly Attribute[]
}

/** Entries that follow each other and come from the same process. */
export interface ResourceLogs {
  readonly attributes: readonly Attribute[]
  readonly records: LogRecord[]
}

interface Parts {
  body: Value | undefined
  severity: number | undefined
  readonly resource: Attribute[]
  readonly attributes: Attribute[]
}

const KEY_BYTES = 34
const BASE64 = 'logferry.base64.'
/** By syslog's severity, 0 to 7. */
const SEVERITY_NUMBERS = [21, 19, 18, 17, 13, 10, 9, 5]
const SEVERITY_TEXTS = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug']
/** What stands elsewhere in a log record. */
const SKIPPED = new Set(['@timestamp', '__REALTIME_TIMESTAMP'])

type Names = Readonly<Record<string, string>>
const RESOURCE: Names = {
  _HOSTNAME: 'host.name',
  _MACHINE_ID: 'host.id',
  SYSLOG_IDENTIFIER: 'service.name',
  _PID: 'process.pid',
  _COMM: 'process.executable.name',
  _EXE: 'process.executable.path',
  _CMDLINE: 'process.command_line',
}
const ATTRIBUTES: Names = {
  __CURSOR: 'journald.cursor',
  SYSLOG_FACILITY: 'syslog.facility.code',
  SYSLOG_PID: 'syslog.pid',
  CODE_FILE: 'code.file.path',
  CODE_LINE: 'code.line.number',
  CODE_FUNC: 'code.function.name',
}
const INTEGERS = new Set(['_PID', 'SYSLOG_FACILITY', 'SYSLOG_PID', 'CODE_LINE'])
/** Those of shape `ecs` that say where an entry comes from, by their names there. */
const ECS_RESOURCE: Names = {
  'host.name': 'host.name',
  'host.id': 'host.id',
  'service.name': 'service.name',
  'process.pid': 'process.pid',
  'process.name': 'process.executable.name',
  'process.executable': 'process.executable.path',
  'process.command_line': 'process.command_line',
}

/**
 * The log records of a batch, in its order.
 * @param constants attributes of every resource
 */
export function resourceLogs(batch: Batch, constants: readonly Attribute[]): readonly ResourceLogs[] {
  const { records, ends, keys, realtimes } = batch
  const text = Buffer.from(records.buffer, records.byteOffset, records.length)
  const keyText = Buffer.from(keys.buffer, keys.byteOffset, keys.length).toString('latin1')
  const groups: ResourceLogs[] = []
  let resource: string | undefined
  for (let index = 0; index < ends.length; index++) {
    const start = index === 0 ? 0 : (ends[index - 1] as number) + 1
    const record = JSON.parse(text.toString('utf8', start, ends[index])) as Record<string, unknown>
    const key = keyText.slice(index * KEY_BYTES, (index + 1) * KEY_BYTES)
    const parts: Parts = { body: undefined, severity: undefined, resource: [], attributes: [['log.record.uid', key]] }
    // The cursor is in every record of shape `journal`, and under another name in the other.
    if ('__CURSOR' in record) readJournal(record, parts)
    else readEcs(record, parts)
    const same = JSON.stringify(parts.resource)
    if (same !== resource) groups.push({ attributes: [...constants, ...parts.resource], records: [] })
    resource = same
    groups.at(-1)?.records.push({
      timeUs: realtimes[index] as number,
      severityNumber: parts.severity === undefined ? 0 : (SEVERITY_NUMBERS[parts.severity] ?? 0),
      severityText: parts.severity === undefined ? '' : (SEVERITY_TEXTS[parts.severity] ?? ''),
      body: parts.body,
      attributes: parts.attributes,
    })
  }
  return groups
}

function readJournal(record: Readonly<Record<string, unknown>>, parts: Parts): void {
  for (const [name, raw] of Object.entries(record)) {
    if (SKIPPED.has(name) || name.startsWith(BASE64)) continue
    const value = readValue(exactly(raw, record[BASE64 + name]))
    if (value === undefined) continue
    const to = RESOURCE[name]
    if (name === 'MESSAGE') parts.body = value
    else if (name === 'PRIORITY' && typeof value === 'string' && /^[0-7]$/.test(value)) parts.severity = Number(value)
    else if (to !== undefined) parts.resource.push([to, INTEGERS.has(name) ? integer(value) : value])
    else {
      // Names that are no journal field's are those of added and renamed ones: as somebody has chosen them.
      const attribute = ATTRIBUTES[name] ?? (/^[A-Z0-9_]+$/.test(name) ? `journald.${name}` : name)
      parts.attributes.push([attribute, INTEGERS.has(name) ? integer(value) : value])
    }
  }
}

function readEcs(record: Readonly<Record<string, unknown>>, parts: Parts): void {
  for (const [name, raw] of dotted(record, '')) {
    if (SKIPPED.has(name) || name.startsWith(BASE64)) continue
    const value = readValue(exactly(raw, record[BASE64 + name]))
    if (value === undefined) continue
    const to = ECS_RESOURCE[name]
    if (name === 'message') parts.body = value
    else if (name === 'log.syslog.severity.code' && typeof value === 'number') parts.severity = value
    else if (to !== undefined) parts.resource.push([to, value])
    else parts.attributes.push([name, value])
  }
}

function* dotted(object: object, prefix: string): Iterable<readonly [string, unknown]> {
  for (const [name, value] of Object.entries(object)) {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) yield* dotted(value, `${prefix}${name}.`)
    else yield [prefix + name, value]
  }
}

/** The exact bytes of a value where its text does not give them back; for a repeated field one by one. */
function exactly(value: unknown, base64: unknown): unknown {
  if (typeof base64 === 'string') return Buffer.from(base64, 'base64')
  if (!Array.isArray(base64) || !Array.isArray(value)) return value
  return value.map((one, index) => exactly(one, base64[index]))
}

function readValue(value: unknown): Value | undefined {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value
  if (value instanceof Uint8Array) return value
  if (!Array.isArray(value)) return objectOf(value)
  // `binary: array` writes bytes as numbers.
  if (value.length > 0 && value.every((one) => typeof one === 'number')) return Buffer.from(value as number[])
  return value.map(readValue).filter((one) => one !== undefined)
}

function objectOf(value: unknown): Value | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const pairs: Attribute[] = []
  for (const [name, raw] of Object.entries(value)) {
    const one = readValue(raw)
    if (one !== undefined) pairs.push([name, one])
  }
  return { pairs }
}

function integer(value: Value): Value {
  return typeof value === 'string' && /^-?\d{1,15}$/.test(value) ? Number(value) : value
}
