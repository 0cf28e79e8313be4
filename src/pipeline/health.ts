// How a sink is doing, for the health page, `status` and the metrics.

import { isProblem } from '../errors.ts'
import type { Position } from '../sink.ts'
import type { Streams } from './walk/chunk.ts'

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

/** Entries behind these positions, and the age of the newest entry before the one that is furthest behind. */
export function sumLag(
  streams: Streams,
  positions: readonly { readonly source: string; readonly position: Position }[],
  nowMs: number,
): { entries: number; seconds: number } {
  let entries = 0
  let seconds = 0
  for (const { source, position } of positions) {
    const lag = whenReadable(() => streams.lag(source, position))
    if (lag === undefined || lag.entries === 0) continue
    entries += lag.entries
    if (lag.realtime !== undefined) seconds = Math.max(seconds, nowMs / 1000 - lag.realtime / 1e6)
  }
  return { entries, seconds }
}

/** undefined for a position that cannot be read: its lane has said so, and looking at it must not fail for that. */
export function whenReadable<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch (error) {
    if (isProblem(error)) return undefined
    throw error
  }
}
