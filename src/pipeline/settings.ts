// What the configuration hands to the pipeline, and what the pipeline asks of its keepers (positions, dead letters).
// Types only: whoever makes these values, YAML or a test, has checked them.

import type { JournalSet } from '../journal/directory.ts'
import type { FieldRules, RecordSpec } from '../journal/encode/encoder.ts'
import type { Match } from '../journal/match.ts'
import type { MemoryBudget } from '../journal/memory.ts'
import type { Start } from '../journal/position.ts'
import type { Position, Sink, SinkHost, SinkTraits } from '../sink.ts'
import type { Clock } from '../telemetry/clock.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'

/** The part of a sink's settings which every kind of sink has. Times are milliseconds, sizes bytes. */
export interface SinkSettings {
  readonly match: Match
  readonly shape: 'journal' | 'ecs'
  readonly fields: FieldRules
  /** How a value that is not UTF-8 is written. */
  readonly binary: 'base64' | 'array' | 'replace'
  /** Further wishes for records; left out: the encoder's defaults. */
  readonly record?: Pick<RecordSpec, 'timestamp' | 'custom' | 'customLimit' | 'priority'>
  /** Soft limits: a batch is cut at the first that is reached; `waitMs` counts from its first entry. */
  readonly batch: { readonly entries: number; readonly bytes: number; readonly waitMs: number }
  /** Writes on the wire at once, at least 1. */
  readonly concurrency: number
  /** Batches that are not settled yet, at least 1. */
  readonly inFlight: number
  readonly retry: {
    readonly baseMs: number
    readonly capMs: number
    /** After so long without success a batch goes to the dead letters; undefined: never. */
    readonly giveUpAfterMs: number | undefined
  }
  /** Deadline of one write. */
  readonly timeoutMs: number
  /** Where to begin in a source without stored position; undefined: the pipeline's own `start`. */
  readonly start: Start | undefined
}

/** One configured sink, not yet made. */
export interface SinkSpec {
  readonly name: string
  readonly type: string
  readonly settings: SinkSettings
  /** Equal fingerprints mean that nothing about the sink changed, so that a reload leaves it running. */
  readonly fingerprint: string
  /** Absolute paths of the files that nobody but it may write. */
  readonly writes?: readonly string[]
  create(host: SinkHost): Sink
}

/** What the daemon's pipeline is made of. */
export interface PipelineOptions {
  /** Read by shippers alone: with the retained files, see `retainedFolders`. */
  readonly set: JournalSet
  /** The journal's directories, as the set was opened with. */
  readonly directories: readonly string[]
  /** The state folder; whoever makes the pipeline holds its lock. */
  readonly state: string
  readonly memory: MemoryBudget
  /** Go onto every entry. */
  readonly labels: Readonly<Record<string, string>>
  readonly node: SinkHost['node']
  /** For a sink without position that does not say otherwise. */
  readonly start: Start
  readonly sinks: readonly SinkSpec[]
  readonly log: Log
  readonly metrics: Metrics
  readonly clock: Clock
  /** How long a sink that is drained may take for what is under way. */
  readonly shutdownTimeoutMs: number
  /** Bytes of journal files kept for sinks that are behind; 0: none. */
  readonly retainBytes: number
}

/** What is stored for one source of a sink. */
export interface StoredPosition {
  /** The frontier: everything before it is settled. */
  readonly position: Position
  /** For a sink whose target holds the position: the target's last answer. */
  readonly target?: Position | undefined
}

/** Keeps the positions of all sinks (positionStore.ts). */
export interface PositionKeeper {
  /** By source. A sink that has none gets an empty map. Throws a Problem when the file is damaged or foreign: the sink is then held. */
  load(sink: string): Map<string, StoredPosition>
  /** Cheap: kept in memory, renamed into place at most 20 times a second, fsynced once a second. */
  save(sink: string, source: string, stored: StoredPosition): void
  /** Resolves when everything saved so far would survive a power cut. */
  sync(sink: string): Promise<void>
}

/** An entry that its destination will never take. */
export interface DeadEntry {
  /** The entry's key, 34 characters. */
  readonly key: string
  readonly cursor: string
  /** As it would have been sent; empty for a sink with encoding `none`. Valid until `add` resolves. */
  readonly record: Uint8Array
  readonly source?: string | undefined
  readonly encoding?: SinkTraits['encoding'] | undefined
  /** The fields that `Entry.get` of this sink can be asked for, in journal export form. */
  readonly fields?: Uint8Array | undefined
  /** From a small fixed set: the sink's own codes, and `too_large`, `gave_up`, `suspect`. */
  readonly code: string
  readonly reason: string
}

/** Keeps what was rejected (deadLetters.ts). */
export interface DeadLetterKeeper {
  /** Resolves when the entries are durable; rejects when they cannot be written (disk full), and is then called again. */
  add(sink: string, entries: readonly DeadEntry[]): Promise<void>
}
