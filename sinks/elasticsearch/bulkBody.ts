// The body of a bulk request: before each record an action line, all in one buffer. Hot path: per entry two copies and no object, and
// the memory of earlier bodies is used again, as new pages cost more than everything else here (bench/sinks.bench.ts).
// Invariant: the last byte is a newline; without it the server drops the last record and says that all is well.

import type { Batch } from '../../src/sink.ts'

const KEY_BYTES = 34
const NEWLINE = 10
/** Memory is taken in steps, so that a slightly larger batch does not need other memory. */
const STEP_BYTES = 256 * 1024
/** Bodies kept for use again: one for each write that is usually under way. */
const KEPT = 2
const KEPT_BYTES = 8 * 2 ** 20

/** Where in a request's lines the entries' own parts go. */
export interface Lines {
  /** With the entry's key as id. */
  readonly hasIds: boolean
  /** What stands in the action line of entry `index` besides the id: JSON members, each followed by a comma. */
  membersOf?(index: number): string
}

export class BulkBodies {
  readonly #free: Buffer[] = []

  /**
   * The body for the entries of a batch at `indexes` (ascending), or for all of them. To be given back once the answer says that the
   * server has read all of it.
   */
  build(batch: Batch, lines: Lines, indexes?: readonly number[]): Buffer {
    const { records, ends } = batch
    if (records.length > 0 && records[records.length - 1] !== NEWLINE) throw new Error('the last record has no newline')
    const count = indexes?.length ?? ends.length
    const open = '{"create":{'
    const id = lines.hasIds ? '"_id":"' : ''
    const close = lines.hasIds ? '"}}\n' : '}}\n'
    const fixed = Buffer.byteLength(open + id + close) + (lines.hasIds ? KEY_BYTES : 0)
    if (lines.membersOf === undefined) {
      const out = this.#take(records.length + count * fixed)
      const lead = Buffer.from(open + id)
      return out.subarray(0, fill(out, batch, lead, Buffer.from(close), lines.hasIds, indexes))
    }
    return this.#buildEach(batch, lines, { open, id, close, fixed }, indexes)
  }

  /** Takes back memory that nobody reads any more. */
  giveBack(body: Buffer): void {
    if (body.buffer.byteLength > KEPT_BYTES) return
    this.#free.push(Buffer.from(body.buffer as ArrayBuffer))
    this.#free.sort((a, b) => b.length - a.length)
    // The smallest goes: sizes grow to that of a full batch and stay there.
    if (this.#free.length > KEPT) this.#free.pop()
  }

  #buildEach(
    batch: Batch,
    { hasIds, membersOf }: Lines,
    { open, id, close, fixed }: { open: string; id: string; close: string; fixed: number },
    indexes: readonly number[] | undefined,
  ): Buffer {
    const { records, ends, keys } = batch
    const count = indexes?.length ?? ends.length
    const members: string[] = []
    let bytes = records.length + count * fixed
    for (let i = 0; i < count; i++) {
      const text = membersOf?.(indexes?.[i] ?? i) ?? ''
      members.push(text)
      bytes += Buffer.byteLength(text)
    }
    const out = this.#take(bytes)
    // Without an id the last comma would be one too many.
    const tail = (text: string): string => (hasIds ? text + id : text.replace(/,$/, ''))
    const from = Buffer.from(records.buffer, records.byteOffset, records.length)
    let at = 0
    for (let i = 0; i < count; i++) {
      const index = indexes?.[i] ?? i
      at += out.write(open + tail(members[i] ?? ''), at)
      if (hasIds) {
        out.set(keys.subarray(index * KEY_BYTES, (index + 1) * KEY_BYTES), at)
        at += KEY_BYTES
      }
      at += out.write(close, at, 'latin1')
      at += from.copy(out, at, index === 0 ? 0 : (ends[index - 1] ?? 0) + 1, (ends[index] ?? 0) + 1)
    }
    return out.subarray(0, at)
  }

  #take(bytes: number): Buffer {
    const at = this.#free.findLastIndex(({ length }) => length >= bytes)
    const [found] = at < 0 ? [] : this.#free.splice(at, 1)
    // Not from Node's pool: what is given back is the whole memory.
    return found ?? Buffer.allocUnsafeSlow(Math.ceil(bytes / STEP_BYTES) * STEP_BYTES)
  }
}

/** Writes all lines that differ in the id alone. Returns the number of bytes. */
function fill(
  out: Buffer,
  { records, ends, keys }: Batch,
  lead: Buffer,
  close: Buffer,
  hasIds: boolean,
  indexes: readonly number[] | undefined,
): number {
  const from = Buffer.from(records.buffer, records.byteOffset, records.length)
  const count = indexes?.length ?? ends.length
  const leadLength = lead.length
  const closeLength = close.length
  let at = 0
  for (let i = 0; i < count; i++) {
    const index = indexes === undefined ? i : (indexes[i] as number)
    // Loops: for so few bytes a call into the runtime costs more.
    for (let j = 0; j < leadLength; j++) out[at + j] = lead[j] as number
    at += leadLength
    if (hasIds) {
      const key = index * KEY_BYTES
      for (let j = 0; j < KEY_BYTES; j++) out[at + j] = keys[key + j] as number
      at += KEY_BYTES
    }
    for (let j = 0; j < closeLength; j++) out[at + j] = close[j] as number
    at += closeLength
    at += from.copy(out, at, index === 0 ? 0 : (ends[index - 1] as number) + 1, (ends[index] as number) + 1)
  }
  return at
}
