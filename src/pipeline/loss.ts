// What a target has lost of what it had: told from a position that was merely removed, and made good from the journal.
// Invariant: never back to before where the sink's position once began.

import type { Position, Sink } from '../sink.ts'
import type { Streams } from './walk/chunk.ts'

type Losing = Pick<Sink, 'traits' | 'heldSince'>

/** Whether a target that holds no position any more began anew after it had got the newest entry before `position`. */
export function isDataLost(streams: Streams, sink: Losing, source: string, position: Position): boolean {
  if (sink.traits.rewindMs === undefined || sink.heldSince === undefined) return false
  return sink.heldSince * 1000 > (streams.lag(source, position)?.realtime ?? Number.POSITIVE_INFINITY)
}

/** Where to go on, and what to say about it. */
export function afterLoss(
  streams: Streams,
  sink: Losing | undefined,
  source: string,
  from: Position,
): { readonly position: Position; readonly text: string } {
  const position = streams.rewound(from, sink?.traits.rewindMs ?? 0)
  const timeOf = (at: Position): string => {
    const us = streams.lag(source, at)?.realtime
    return us === undefined ? 'the oldest entry' : new Date(us / 1000).toISOString()
  }
  const text = `the target has lost its position and its data; going back from ${timeOf(from)} to ${timeOf(position)}`
  return { position, text }
}
