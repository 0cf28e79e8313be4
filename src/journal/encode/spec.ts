// What an encoder is asked for. Plain data, so that it can be compared, kept in a configuration and given a key.

/** Applied once per distinct value, so they cost next to nothing. Names are journald's; `*` in include and exclude stands for anything. */
export interface FieldRules {
  /** Only these fields. The record's own head (times, cursor, boot id) always stays. */
  readonly include?: readonly string[]
  readonly exclude?: readonly string[]
  /** New names; in shape `ecs` a path with dots. Two fields of one name become a list. */
  readonly rename?: Readonly<Record<string, string>>
  /** Constant fields; they win over a field of the journal of that name. */
  readonly add?: Readonly<Record<string, string>>
  /** Replacements in values (in those of `field`, or of all), before anything else sees them. */
  readonly mask?: readonly { readonly field?: string; readonly pattern: RegExp; readonly replace: string }[]
  /** Values are cut to this many bytes, and named in logferry.truncated. Default: never cut. */
  readonly maxBytes?: number
}

/** Options of journalctl's text forms. */
export interface TextOptions {
  /** Show control characters and binary values as they are. */
  readonly all?: boolean
  /** Times in UTC instead of the local zone. */
  readonly utc?: boolean
  /** Leave the host name out. */
  readonly noHostname?: boolean
  /** Colours by priority, for a terminal. */
  readonly colors?: boolean
  /** A line `-- Boot ID --` where the boot id changes between two entries (not in `cat`). */
  readonly boots?: boolean
}

/** What sinks get. */
export interface RecordSpec {
  readonly format: 'record'
  readonly encoding: 'json' | 'msgpack' | 'journal-export'
  readonly shape: 'journal' | 'ecs'
  readonly fields: FieldRules
  readonly labels: Readonly<Record<string, string>>
  /** A value that is not text: U+FFFD with the exact bytes beside it; journalctl's array of numbers; U+FFFD alone. */
  readonly binary: 'base64' | 'array' | 'replace'
  /** Where `@timestamp` comes from; default the entry's own time. */
  readonly timestamp?: 'entry' | 'source'
  /** Fields that are not journald's own; `drop` leaves them out. Default keep. */
  readonly custom?: 'keep' | 'drop'
  /** Distinct names of such fields; beyond, they go into logferry.other. Default 500 in shape ecs, else no limit. */
  readonly customLimit?: number
  /** ecs: log.syslog.priority as Filebeat writes it (the bare severity), or as ECS defines it (facility × 8 + severity). */
  readonly priority?: 'filebeat' | 'rfc5424'
  /** ecs: the data_stream.* fields. */
  readonly dataStream?: { readonly type: string; readonly dataset: string; readonly namespace: string }
}

export type EncoderSpec =
  /** The objects of the logging API; `arrays`: all values of a field that occurs several times. */
  | { readonly format: 'dcos-json'; readonly framing: 'line' | 'event' | 'event-id'; readonly arrays: boolean }
  | { readonly format: 'dcos-text' }
  | { readonly format: 'json' | 'json-pretty'; readonly all: boolean }
  | { readonly format: 'export'; readonly only?: readonly string[] }
  | ({ readonly format: 'short' | 'short-iso' | 'cat' } & TextOptions)
  | RecordSpec

/** Equal keys, equal bytes. */
export function encoderKey(spec: EncoderSpec): string {
  return canonical(spec)
}

function canonical(value: unknown): string {
  if (value instanceof RegExp) return `/${value.source}/${value.flags}`
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).filter(([, member]) => member !== undefined)
    members.sort(([a], [b]) => (a < b ? -1 : 1))
    return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(',')}}`
  }
  return JSON.stringify(value) ?? 'undefined'
}
