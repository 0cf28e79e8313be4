// How a sink is doing, for the health page, `status` and the metrics.

import type { Position } from '../sink.ts'

/** How one sink is doing. */
export interface SinkHealth {
  readonly name: string
  readonly type: string
  /** `held`: a person must act. `idle`: everything that the journal holds is settled. */
  readonly state: 'connecting' | 'shipping' | 'held' | 'idle'
  /** What is wrong, if anything is, and since when (milliseconds since 1970). */
  readonly message: string | undefined
  readonly hint: string | undefined
  readonly since: number | undefined
  /** Batches that are not settled. */
  readonly inFlight: number
  /** Entries behind the settled position, an upper bound where the sink leaves some out. */
  readonly lagEntries: number
  /** Age of the newest settled entry while others wait behind it; 0 at the journal's end. */
  readonly lagSeconds: number
  readonly sources: readonly {
    readonly source: string
    readonly position: Position
    /** The newest settled entry, as journalctl writes it. */
    readonly cursor: string | undefined
  }[]
}

/** Something that is in a sink's way. */
export interface Obstacle {
  /** Only a person can mend it. */
  readonly isHeld: boolean
  readonly message: string
  readonly hint: string | undefined
  /** Milliseconds since 1970. */
  readonly since: number
}
