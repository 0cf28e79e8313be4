// The contract between logferry and a place that logs are sent to.

export const SINK_API = 1

/** A journald cursor string, opaque to sinks. */
export type Cursor = string & { readonly __cursor?: never }

/** Where a sink stands in a source: all its seqnum ids. A string below 4 kB, opaque to sinks, stored and compared as it is. */
export type Position = string & { readonly __position?: never }

/** Default export of a sink file or of a third-party package. */
// biome-ignore lint/suspicious/noExplicitAny: a loaded sink's configuration is known to its own schema alone
export interface SinkModule<Config = any> {
  readonly api: typeof SINK_API
  /** Name in the configuration's `type:` and in metrics; lower case, a noun for the service. */
  readonly name: string
  /** One sentence for the generated documentation. */
  readonly summary: string
  /** Any Standard Schema that can also give JSON Schema (zod 4 and others). Source of `validate`, editor help and docs. */
  readonly config: ConfigSchema<Config>
  /** Packages imported lazily by `create`; `validate` says when one is not installed. */
  readonly needs?: Readonly<Record<string, string>>
  /** Other defaults than usual of options that all sinks have, as one would write them, where the service asks for that. */
  readonly defaults?: {
    readonly timeout?: string
    readonly in_flight?: number
    /** Of `fields.max_custom`. */
    readonly max_custom?: number
  }
  create(config: Config, host: SinkHost): Sink
}

export interface Sink {
  readonly traits: SinkTraits
  /** Connect. Called again with backoff until it resolves; must leave nothing behind when it rejects. */
  open(signal: AbortSignal): Promise<void>
  /** Resolve only when the outcome of every entry is known. Several calls overlap unless `traits.ordered`. */
  write(batch: Batch, delivery: Delivery): Promise<Receipt>
  /** The position kept by the target itself. Required when `traits.holdsPosition`. */
  lastDelivered?(source: string, signal: AbortSignal): Promise<Position | undefined>
  /**
   * Since when the target has held what it holds, milliseconds since 1970, as the last `lastDelivered` found out: the start of a
   * server that keeps its data in memory. When it holds no position although it once did, and the newest delivered entry is older than
   * that, the data is gone, too: see `traits.rewindMs`.
   */
  readonly heldSince?: number | undefined
  /** Make pending writes settle soon. For sinks that gather several batches into one unit. */
  flush?(signal: AbortSignal): Promise<void>
  /** Dry connection test for `validate --live`: uses the same request path as `write`, stores nothing if it can. */
  check?(signal: AbortSignal): Promise<readonly CheckLine[]>
  /** No write is running when this is called, and none comes after. */
  close(signal: AbortSignal): Promise<void>
}

export interface SinkTraits {
  /** What a delivered entry means: bytes handed over, taken by the server, or stored as the server promises. */
  readonly delivered: 'sent' | 'accepted' | 'stored'
  /** Writing the same entries again leaves one copy. */
  readonly idempotent: boolean
  /** The target keeps `batch.after` in the same transaction as the entries. */
  readonly holdsPosition: boolean
  /**
   * When the target has lost its position together with what it held, the pipeline goes on so many milliseconds before the local
   * position. Left out: at the local position, as for a position that was merely removed.
   */
  readonly rewindMs?: number
  /** One write at a time, in journal order. */
  readonly ordered: boolean
  /** How `entry.record` is prepared. Sinks with the same encoding and record options share it. */
  readonly encoding: 'json' | 'msgpack' | 'journal-export' | 'none'
  /** The data stream that records go to: in shape `ecs` they name its parts, as `data_stream.type` and so on. */
  readonly dataStream?: { readonly type: string; readonly dataset: string; readonly namespace: string }
  /**
   * The journal fields that `Entry.get` and `Entry.fields` are asked for; others read as absent. Left out: all of them,
   * which costs a second encoding of every entry. Name the few that a template needs, or `[]`.
   */
  readonly fields?: readonly string[]
  /**
   * Nothing reads a batch any more once its write has resolved, not even a socket or a thread: its memory is then used again at
   * once, which saves most of the garbage. Default false, and then the memory lives as long as somebody refers to it.
   */
  readonly releases?: boolean
  /**
   * The batcher cuts to these; the target's hard limits, not tuning. `bytes` are those of all records together, `entryBytes` of one,
   * which may then be larger than `bytes` where it goes alone.
   */
  readonly limits: { readonly entries?: number; readonly bytes?: number; readonly entryBytes?: number }
}

export interface Batch {
  /** Same for every attempt at the same entries, also after a restart from the same position. */
  readonly id: string
  readonly source: string
  readonly attempt: number
  /** Views, made when first asked for. Built-in sinks use `records`, `ends` and `keys` and never touch this. */
  readonly entries: readonly Entry[]
  /**
   * All records one after another; record i ends at `ends[i]` (exclusive). With encoding `json` one newline stands behind
   * every record and belongs to none, so `records` as a whole is NDJSON: record i begins at `ends[i - 1] + 1`.
   * With other encodings record i begins at `ends[i - 1]`.
   */
  readonly records: Uint8Array<ArrayBuffer>
  readonly ends: Uint32Array
  /** The keys, 34 ASCII bytes each. */
  readonly keys: Uint8Array<ArrayBuffer>
  /** What `entries[i].realtime` gives, without a view for each: microseconds since 1970. */
  readonly realtimes: Float64Array
  /**
   * Which entries are alike in all fields that `traits.fields` names: entry i belongs to group `at[i]`, and entry `first[g]` is one of
   * group g. What a template gives is thus worked out once per group; and once for many batches when it is kept in a WeakMap under
   * `tokens[g]`, if there are tokens: one that comes again stands for the same values. Made when first asked for.
   */
  readonly groups: { readonly at: Uint32Array; readonly first: Uint32Array; readonly tokens?: readonly object[] }
  /** The position that the target must hold before this batch. */
  readonly before: Position
  /** The position to resume from once this batch and all before it are settled. */
  readonly after: Position
}

/** A view of a journal entry. Valid until the write settles; copy what must live longer. */
export interface Entry {
  readonly cursor: Cursor
  /** Microseconds since 1970; exact as a number until the year 2255. */
  readonly realtime: number
  /**
   * Unique and the same on every read of this entry and of its flushed copy: a document id of 34 characters, made of its times, boot and content and its number among equals,
   * time first (new ids sort behind old ones, which is cheap for Lucene).
   */
  readonly key: string
  /** Encoded once in `traits.encoding`. Shared: never write into it. */
  readonly record: Uint8Array<ArrayBuffer>
  /** Decoded on first use. The first value where a field repeats. */
  get(field: string): string | undefined
  fields(): Iterable<readonly [name: string, value: Uint8Array]>
}

export interface Delivery {
  /** Aborted at the write deadline and when shutdown runs out of patience. */
  readonly signal: AbortSignal
  /** Everything is on the wire and only an acknowledgement is awaited: lets the next batch start. */
  sent(): void
}

export type Receipt = 'delivered' | PartialReceipt

/** Accounts for every entry: delivered + retry + doubtful + rejected + unknown.count = the batch's length. */
export interface PartialReceipt {
  readonly delivered: number
  /** Indexes into the batch to send again; surely not stored. */
  readonly retry: readonly number[]
  /** Perhaps stored (HEC events before a bad one with acks on, one chunk of several): sent again and counted as possible duplicates. */
  readonly doubtful?: readonly number[]
  /** Entries the target will never take; they go to the dead letters with this reason. */
  readonly rejected: readonly Rejection[]
  /** So many were refused, but the target does not say which (OTLP): the batch is kept among the dead letters as suspects. */
  readonly unknown?: { readonly count: number; readonly reason: string }
  /** Of the delivered ones, stored elsewhere on purpose (Elasticsearch's failure store): a metric. */
  readonly diverted?: number
  readonly retryAfterMs?: number
}

export interface Rejection {
  readonly index: number
  /** From a small fixed set, fit for a metric label: `mapping`, `too_large`, `invalid`. */
  readonly code: string
  /** The target's own words, for a person. */
  readonly reason: string
}

/**
 * Why a whole write failed.
 * - `unavailable`: nothing was stored; try again later.
 * - `in-doubt`: it may have been stored, as after a timeout or a reset.
 * - `too-large`: send fewer entries at once.
 * - `refused`: a person has to act, as for a wrong token. The sink is held, nothing is dropped.
 */
export type SinkFailure = 'unavailable' | 'in-doubt' | 'too-large' | 'refused'

export class SinkError extends Error {
  override readonly name = 'SinkError'
  readonly failure: SinkFailure
  readonly retryAfterMs: number | undefined
  constructor(failure: SinkFailure, message: string, options: ErrorOptions & { retryAfterMs?: number } = {}) {
    super(message, options)
    this.failure = failure
    this.retryAfterMs = options.retryAfterMs
  }
}

export interface SinkHost {
  /**
   * Whose positions a target keeps: the name of the sink in the configuration, or, for a backfill, one that names its job.
   * A sink with `traits.holdsPosition` keeps one position for each pair of this name and `Batch.source`.
   */
  readonly name: string
  readonly log: { info(text: string, fields?: object): void; warn(text: string, fields?: object): void }
  readonly node: { readonly hostname: string; readonly machineId: string; readonly agentId: string | undefined }
  /**
   * The position behind entries of which the target shows no more than the cursors: the complete lines of a batch that a crash
   * cut short. `position` is the batch's `before`, `cursors` are its first entries in the order of the batch.
   * Throws when one of them cannot be read.
   */
  advance(position: Position, cursors: readonly Cursor[]): Advanced
}

/** How far `SinkHost.advance` came. */
export interface Advanced {
  readonly position: Position
  /**
   * So many of the cursors lie before `position`. It may be fewer than were given: a position never stands inside a run of
   * entries that are equal in all but their number, and the entry behind the last cursor may belong to such a run. The entries
   * that are not counted will be sent again, so the sink takes them back.
   */
  readonly entries: number
}

export interface CheckLine {
  readonly ok: boolean
  readonly text: string
  readonly hint?: string
}

/** The parts of Standard Schema v1 used here, so that the contract needs no package. */
export interface ConfigSchema<Config> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => SchemaResult<Config> | Promise<SchemaResult<Config>>
    // biome-ignore lint/suspicious/noExplicitAny: the options of Standard JSON Schema are the vendor's
    readonly jsonSchema: { readonly input: (options: any) => Record<string, unknown> }
    readonly types?: { readonly input: unknown; readonly output: Config } | undefined
  }
}
type SchemaResult<T> =
  | { readonly value: T; readonly issues?: undefined }
  | {
      readonly issues: readonly {
        readonly message: string
        readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
      }[]
    }

export function defineSink<Config>(module: Omit<SinkModule<Config>, 'api'>): SinkModule<Config> {
  return { api: SINK_API, ...module }
}
