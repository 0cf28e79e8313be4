// What stands around a record in a request: `{"time":%{seconds},"event":%{record}}`. Read once from the configuration; the parts that do
// not change are bytes from then on.

/** What an entry gives for a part of an envelope. */
export type Slot = 'record' | 'members' | 'time' | 'seconds' | 'milliseconds' | 'nanoseconds' | 'key'

export interface Envelope {
  /** Text and slots in turn. The record, whole or without its first brace, occurs exactly once. */
  readonly parts: readonly (Buffer | Slot)[]
  /** The bytes that it adds to a record at most. */
  readonly extraBytes: number
}

/** The widest value of each, in bytes; the record counts for itself. */
const WIDTH: Readonly<Record<Slot, number>> = {
  record: 0,
  members: 0,
  time: 27,
  seconds: 18,
  milliseconds: 14,
  nanoseconds: 20,
  key: 34,
}

/** Reads an envelope. Throws an Error that says what is wrong with it. */
export function parseEnvelope(text: string): Envelope {
  const parts: (Buffer | Slot)[] = []
  let at = 0
  let records = 0
  let extraBytes = 0
  for (const match of text.matchAll(/%\{([^}]*)\}/g)) {
    const [piece, name = ''] = match
    if (!isSlot(name))
      throw new Error(
        `there is no "${piece}": expected one of ${Object.keys(WIDTH)
          .map((slot) => `%{${slot}}`)
          .join(', ')}`,
      )
    if (name === 'record' || name === 'members') records++
    parts.push(Buffer.from(text.slice(at, match.index)), name)
    extraBytes += WIDTH[name]
    at = match.index + piece.length
  }
  if (records !== 1) throw new Error('expected %{record} or %{members} in it, once')
  if (text.includes('\n')) throw new Error('expected one line')
  parts.push(Buffer.from(text.slice(at)))
  const filled = parts.filter((part) => typeof part === 'string' || part.length > 0)
  for (const part of filled) if (typeof part !== 'string') extraBytes += part.length
  return { parts: filled, extraBytes }
}

function isSlot(name: string): name is Slot {
  return Object.hasOwn(WIDTH, name)
}

/** The text of a time, microseconds since 1970, for a slot. */
export function timeText(slot: 'time' | 'seconds' | 'milliseconds' | 'nanoseconds', realtimeUs: number): string {
  if (slot === 'nanoseconds') return `${realtimeUs}000`
  if (slot === 'milliseconds') return String(Math.floor(realtimeUs / 1000))
  const seconds = Math.floor(realtimeUs / 1e6)
  const micros = String(realtimeUs - seconds * 1e6).padStart(6, '0')
  return slot === 'seconds'
    ? `${seconds}.${micros}`
    : `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${micros}Z`
}
