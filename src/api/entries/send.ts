// From a reader to an outlet: the encoder's buffer goes out whenever it holds a chunk, and other requests get a turn after each.

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Encoder } from '../../journal/encode/encoder.ts'
import type { JournalFile } from '../../journal/file/file.ts'
import type { JournalReader } from '../../journal/reader.ts'
import { DEADLINE, type Searcher } from './grep.ts'
import type { Outlet } from './outlet.ts'

/** Bytes that go out at once. */
export const CHUNK = 128 << 10
/** Entries looked at without a turn for others, where few of them are sent. */
const TURN = 2048

export interface Sending {
  readonly reader: JournalReader
  readonly encoder: Encoder
  readonly outlet: Outlet
  readonly grep: Searcher | undefined
  /** Whether an entry lies in the wanted time; the first that does not ends the answer. */
  readonly within: (file: JournalFile) => boolean
}

/** How a pass ended: nothing more now, `limit` reached, out of the wanted time, the client is gone, the search took too long. */
export type Passed = 'drained' | 'limit' | 'out' | 'gone' | 'late'

/** Counts what is left of the limit over several passes. */
export interface Allowance {
  left: number
}

/**
 * Sends entries until one of the reasons to stop. `first` is an entry that the reader has given already. What was encoded is sent when it ends, but
 * for a client that is gone.
 */
export async function sendEntries(sending: Sending, allowance: Allowance, first?: JournalFile): Promise<Passed> {
  const { reader, encoder, outlet, grep, within } = sending
  let file = first ?? reader.next()
  let passed: Passed = 'drained'
  for (let looked = 1; ; looked++) {
    if (allowance.left <= 0) {
      passed = 'limit'
      break
    }
    if (file === undefined) break
    if (!within(file)) {
      passed = 'out'
      break
    }
    const fits = grep === undefined ? true : grep.fits(file)
    if (fits === DEADLINE) {
      passed = 'late'
      break
    }
    if (fits) {
      allowance.left--
      encoder.encode(file, reader.ordinal)
    }
    if (encoder.length >= CHUNK) {
      if (!(await flush(encoder, outlet))) return 'gone'
      await nextTurn()
      if (outlet.signal.aborted) return 'gone'
    } else if (looked % TURN === 0) {
      await nextTurn()
      if (outlet.signal.aborted) return 'gone'
    }
    if (allowance.left > 0) file = reader.next()
  }
  return (await flush(encoder, outlet)) ? passed : 'gone'
}

/** Sends what the encoder holds; false when the client is gone. */
export async function flush(encoder: Encoder, outlet: Outlet): Promise<boolean> {
  if (encoder.length === 0) return !outlet.signal.aborted
  // A copy: the encoder writes over its buffer with the next entry.
  const written = outlet.writeCopy(encoder.out.subarray(0, encoder.length))
  encoder.reset()
  return typeof written === 'boolean' ? written : await written
}
