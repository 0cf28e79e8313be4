// The body of a bulk request: before each record an action line, all in one buffer. Hot path: per entry one copy and no object, and the
// memory of earlier bodies is used again, as new pages cost more than everything else here (bench/sinks.bench.ts).
// Invariant: the last byte is a newline; without it the server drops the last record and says that all is well.

import type { Batch } from '../../src/sink.ts'

const KEY_BYTES = 34
const NEWLINE = 10
/** Memory is taken in steps, so that a slightly larger batch does not need other memory. */
const STEP_BYTES = 256 * 1024
/** Bodies kept for use again: one for each write that is usually under way. */
const KEPT = 2
const KEPT_BYTES = 8 * 2 ** 20

const CLOSE_WITH_ID = Buffer.from('"}}\n')
const CLOSE = Buffer.from('}}\n')

/** Action lines without the ids. */
export interface Lines {
  /** Each line goes on with the entry's key. */
  readonly hasIds: boolean
  /** What a line begins with, from `leadOf`; for all entries, or by index in the batch. */
  readonly lead: Buffer | ((index: number) => Buffer)
}

/** The beginning of an action line: all up to the id, or up to the end where the server makes the ids. */
export function leadOf(hasIds: boolean, index?: string, routing?: string): Buffer {
  const members = [
    ...(index === undefined ? [] : [`"_index":${JSON.stringify(index)}`]),
    ...(routing === undefined || routing === '' ? [] : [`"routing":${JSON.stringify(routing)}`]),
    ...(hasIds ? ['"_id":"'] : []),
  ]
  return Buffer.from(`{"create":{${members.join(',')}`)
}

export class BulkBodies {
  // Large ones first.
  readonly #free: Buffer[] = []

  /**
   * The body for the entries of a batch at `indexes` (ascending), or for all of them. To be given back once the answer says that the
   * server has read all of it.
   */
  build(batch: Batch, { hasIds, lead }: Lines, indexes?: readonly number[]): Buffer {
    const { records, ends, keys } = batch
    if (records.length > 0 && records[records.length - 1] !== NEWLINE) throw new Error('the last record has no newline')
    const count = indexes?.length ?? ends.length
    const close = hasIds ? CLOSE_WITH_ID : CLOSE
    const closeLength = close.length
    const fixed = closeLength + (hasIds ? KEY_BYTES : 0)
    let bytes = records.length + count * fixed
    if (typeof lead !== 'function') bytes += count * lead.length
    else for (let i = 0; i < count; i++) bytes += lead(indexes === undefined ? i : (indexes[i] as number)).length
    const out = this.#take(bytes)
    const from = Buffer.from(records.buffer, records.byteOffset, records.length)
    let at = 0
    for (let i = 0; i < count; i++) {
      const index = indexes === undefined ? i : (indexes[i] as number)
      const begin = typeof lead === 'function' ? lead(index) : lead
      // Loops: for so few bytes a call into the runtime costs more.
      for (let j = 0; j < begin.length; j++) out[at + j] = begin[j] as number
      at += begin.length
      if (hasIds) {
        const key = index * KEY_BYTES
        for (let j = 0; j < KEY_BYTES; j++) out[at + j] = keys[key + j] as number
        at += KEY_BYTES
      }
      for (let j = 0; j < closeLength; j++) out[at + j] = close[j] as number
      at += closeLength
      at += from.copy(out, at, index === 0 ? 0 : (ends[index - 1] as number) + 1, (ends[index] as number) + 1)
    }
    return out.subarray(0, at)
  }

  /** Takes back memory that nobody reads any more. */
  giveBack(body: Buffer): void {
    if (body.buffer.byteLength > KEPT_BYTES) return
    this.#free.push(Buffer.from(body.buffer as ArrayBuffer))
    this.#free.sort((a, b) => b.length - a.length)
    // The smallest goes: sizes grow to that of a full batch and stay there.
    if (this.#free.length > KEPT) this.#free.pop()
  }

  #take(bytes: number): Buffer {
    const at = this.#free.findLastIndex(({ length }) => length >= bytes)
    const [found] = at < 0 ? [] : this.#free.splice(at, 1)
    // Not from Node's pool: what is given back is the whole memory.
    return found ?? Buffer.allocUnsafeSlow(Math.ceil(bytes / STEP_BYTES) * STEP_BYTES)
  }
}
