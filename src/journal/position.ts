// Where a sink stands in a source: for every seqnum id the last entry taken, and a floor for ids that are met for the first time.
// Text form: "1." and base64url of packed ids, numbers and a checksum; 4 kB hold more than 50 ids.
// Invariant: equal states give equal strings, and parse accepts nothing that toString would not write.

import { crc32 } from 'node:zlib'
import { problem } from '../errors.ts'
import type { Position } from '../sink.ts'
import { bootIdOf, bootWordsOf, type EntryMark, formatCursor, isSameBoot } from './cursor.ts'

/** Where a sink without a position begins. Realtime in µs since 1970. */
export type Start =
  | { kind: 'now' }
  | { kind: 'oldest' }
  | { kind: 'since'; realtimeUs: number }
  | { kind: 'last'; entries: number }

/** Entries of a new seqnum id before this are not read: those of the boot by monotonic time, all others by realtime. µs, inclusive. */
export interface Floor {
  readonly realtime: number
  readonly bootId?: string
  readonly monotonic?: number
}

const VERSION = '1.'

/** The last entry taken of one seqnum id. Seqnum 0: the id is known and nothing of it was taken. */
export class IdPosition {
  seqnum = 0
  /** µs since 1970 */
  realtime = 0
  /** µs since boot */
  monotonic = 0
  boot0 = 0
  boot1 = 0
  boot2 = 0
  boot3 = 0
  /** The content hash, as far as `hasXor`: the text form keeps that of the id which was taken last. */
  xorHigh = 0
  xorLow = 0
  hasXor = false
  /** How many entries with this boot and monotonic time were taken, the last one included: lines of one write share both. */
  run = 0

  get bootId(): string {
    return bootIdOf(this)
  }

  /** Content hash of the entry; undefined where only the text form was left. */
  get xor(): bigint | undefined {
    return this.hasXor ? (BigInt(this.xorHigh) << 32n) | BigInt(this.xorLow) : undefined
  }

  /** Moves over one entry. A late entry, one that a later one was taken before, moves nothing. */
  take(entry: Omit<EntryMark, 'seqnumId'>): void {
    let run = 1
    if ((entry.monotonic === this.monotonic || entry.seqnum < this.seqnum) && isSameBoot(entry, this)) {
      if (entry.seqnum < this.seqnum && entry.monotonic <= this.monotonic) return
      if (entry.monotonic === this.monotonic) run = this.run + 1
    }
    this.#copy(entry)
    this.hasXor = true
    this.run = run
  }

  /** Moves over an entry of the same boot with a later monotonic time. */
  follow(entry: Omit<EntryMark, 'seqnumId'>): void {
    this.seqnum = entry.seqnum
    this.realtime = entry.realtime
    this.monotonic = entry.monotonic
    this.xorHigh = entry.xorHigh
    this.xorLow = entry.xorLow
    this.hasXor = true
    this.run = 1
  }

  /** Stands at this entry, the `run`th of its boot and monotonic time. */
  place(entry: Omit<EntryMark, 'seqnumId'>, run: number): void {
    this.#copy(entry)
    this.hasXor = true
    this.run = run
  }

  clone(): IdPosition {
    const copy = new IdPosition()
    copy.#copy(this)
    copy.hasXor = this.hasXor
    copy.run = this.run
    return copy
  }

  #copy(entry: Omit<EntryMark, 'seqnumId'>): void {
    this.seqnum = entry.seqnum
    this.realtime = entry.realtime
    this.monotonic = entry.monotonic
    this.boot0 = entry.boot0
    this.boot1 = entry.boot1
    this.boot2 = entry.boot2
    this.boot3 = entry.boot3
    this.xorHigh = entry.xorHigh
    this.xorLow = entry.xorLow
  }
}

/** A position that moves. One source only: seqnum ids are its keys. */
export class PositionState {
  floor: Floor
  readonly ids = new Map<string, IdPosition>()
  /** The id that was taken last, and its place: one entry after another is mostly of one id. */
  #lastId = ''
  #last: IdPosition | undefined

  private constructor(floor: Floor) {
    this.floor = floor
  }

  /** Nothing taken yet. */
  static empty(floor: Floor): PositionState {
    return new PositionState(floor)
  }

  /** Throws Problem LF_POSITION_INVALID. */
  static parse(text: Position): PositionState {
    if (!text.startsWith(VERSION)) {
      const version = /^(\d+)\./.exec(text)?.[1]
      throw invalid(
        version === undefined ? 'it does not begin with a version' : `it is of version ${version}, 1 is known`,
      )
    }
    const reader = new Unpacker(Buffer.from(text.slice(VERSION.length), 'base64url'))
    const boots = Array.from({ length: reader.count() }, () => reader.id())
    const boot = (index: number): string => {
      const id = boots[index]
      if (id === undefined) throw invalid('it names a boot that it does not have')
      return id
    }
    const realtime = reader.number()
    const floorBoot = reader.number()
    const floor = floorBoot === 0 ? { realtime } : { realtime, bootId: boot(floorBoot - 1), monotonic: reader.number() }
    const state = new PositionState(floor)
    const ids: string[] = []
    for (let left = reader.count(); left > 0; left--) {
      const id = reader.id()
      const place = new IdPosition()
      place.seqnum = reader.number()
      if (place.seqnum > 0) {
        Object.assign(place, bootWordsOf(boot(reader.number())))
        place.monotonic = reader.number()
        place.realtime = reader.number()
        place.run = reader.number()
      }
      ids.push(id)
      state.ids.set(id, place)
    }
    const last = reader.number()
    if (last > 0) {
      state.#lastId = ids[last - 1] ?? ''
      state.#last = state.ids.get(state.#lastId)
      if (state.#last === undefined) throw invalid('it names an id that it does not have')
      state.#last.xorHigh = reader.word()
      state.#last.xorLow = reader.word()
      state.#last.hasXor = true
    }
    reader.end()
    if (state.toString() !== text) throw invalid('it is not written the way positions are')
    return state
  }

  clone(): PositionState {
    const copy = new PositionState(this.floor)
    for (const [id, place] of this.ids) copy.ids.set(id, place.clone())
    copy.#lastId = this.#lastId
    copy.#last = copy.ids.get(this.#lastId)
    return copy
  }

  /** The seqnum id of the entry taken last; '' when nothing was taken. */
  get lastId(): string {
    return this.#lastId
  }

  /** Moves over one entry. Returns where its id then stands: not at the entry when that came late. */
  take(entry: EntryMark): IdPosition {
    const place = this.#turnTo(entry.seqnumId)
    place.take(entry)
    return place
  }

  /** Stands at this entry of its id, whatever was taken before; it is the `run`th entry of its boot and monotonic time. */
  place(entry: EntryMark, run: number): void {
    this.#turnTo(entry.seqnumId).place(entry, run)
  }

  /** Knows this id, and that nothing of it was taken. */
  begin(seqnumId: string): void {
    this.ids.set(seqnumId, new IdPosition())
  }

  /** Stands in this id where `place` does, which is the place taken last. */
  put(seqnumId: string, place: IdPosition): void {
    this.#last = place.clone()
    this.#lastId = seqnumId
    this.ids.set(seqnumId, this.#last)
  }

  /** Drops an id that no file has any more. */
  forget(seqnumId: string): void {
    this.ids.delete(seqnumId)
    if (this.#lastId !== seqnumId) return
    this.#lastId = ''
    this.#last = undefined
  }

  /** The entry taken last, as journald's cursor, for people; undefined when nothing was taken. */
  lastCursor(): string | undefined {
    const last = this.#last
    if (last === undefined || last.seqnum === 0) return undefined
    const { seqnum, realtime, monotonic, boot0, boot1, boot2, boot3, xorHigh, xorLow } = last
    const words = { boot0, boot1, boot2, boot3, xorHigh, xorLow }
    return formatCursor({ seqnumId: this.#lastId, seqnum, realtime, monotonic, ...words })
  }

  /** Canonical text. */
  toString(): Position {
    const ids = [...this.ids].sort(([a], [b]) => (a < b ? -1 : 1))
    const bootIds = new Map<IdPosition, string>()
    for (const [, place] of ids) if (place.seqnum > 0) bootIds.set(place, place.bootId)
    const { realtime, bootId, monotonic } = this.floor
    const boots = [...new Set(bootId === undefined ? bootIds.values() : [bootId, ...bootIds.values()])].sort()
    const out = new Packer(64 + boots.length * 16 + ids.length * 64)
    out.number(boots.length)
    for (const boot of boots) out.id(boot)
    out.number(realtime)
    out.number(bootId === undefined ? 0 : boots.indexOf(bootId) + 1)
    if (bootId !== undefined) out.number(monotonic ?? 0)
    out.number(ids.length)
    for (const [id, place] of ids) {
      out.id(id)
      out.number(place.seqnum)
      if (place.seqnum === 0) continue
      out.number(boots.indexOf(bootIds.get(place) ?? ''))
      out.number(place.monotonic)
      out.number(place.realtime)
      out.number(place.run)
    }
    const last = this.#last
    out.number(ids.findIndex(([, place]) => place === last) + 1)
    if (last !== undefined) {
      out.word(last.xorHigh)
      out.word(last.xorLow)
    }
    return VERSION + out.finish().toString('base64url')
  }

  #turnTo(seqnumId: string): IdPosition {
    if (this.#last !== undefined && this.#lastId === seqnumId) return this.#last
    let place = this.ids.get(seqnumId)
    if (place === undefined) {
      place = new IdPosition()
      this.ids.set(seqnumId, place)
    }
    this.#lastId = seqnumId
    this.#last = place
    return place
  }
}

function invalid(why: string) {
  return problem('LF_POSITION_INVALID', { why })
}

const CHECKSUM_BYTES = 4

/** Writes numbers in groups of 7 bits, low ones first, the high bit saying that more follow. */
class Packer {
  readonly #bytes: Buffer
  #at = 0

  constructor(size: number) {
    this.#bytes = Buffer.alloc(size)
  }

  number(value: number): void {
    let rest = value
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.#bytes[this.#at++] = (rest % 128) | 128
    this.#bytes[this.#at++] = rest
  }

  word(value: number): void {
    this.#at = this.#bytes.writeUInt32BE(value, this.#at)
  }

  id(id: string): void {
    this.#at += this.#bytes.write(id, this.#at, 'hex')
  }

  finish(): Buffer {
    this.word(crc32(this.#bytes.subarray(0, this.#at)))
    return this.#bytes.subarray(0, this.#at)
  }
}

/** Reads what Packer wrote; throws Problem LF_POSITION_INVALID instead of reading beyond it. */
class Unpacker {
  readonly #bytes: Buffer
  readonly #end: number
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.#end = bytes.length - CHECKSUM_BYTES
    if (this.#end < 0) throw invalid('it is too short')
    if (crc32(bytes.subarray(0, this.#end)) !== bytes.readUInt32BE(this.#end)) throw invalid('its checksum is wrong')
  }

  number(): number {
    for (let value = 0, scale = 1; scale < 2 ** 53; scale *= 128) {
      const byte = this.#bytes[this.#skip(1)] ?? 0
      value += (byte & 127) * scale
      if (byte < 128) {
        if (value > Number.MAX_SAFE_INTEGER) break
        return value
      }
    }
    throw invalid('a number in it is too large')
  }

  /** A number of things that follow, each at least one byte. */
  count(): number {
    const count = this.number()
    if (count > this.#end - this.#at) throw invalid('it ends too early')
    return count
  }

  word(): number {
    return this.#bytes.readUInt32BE(this.#skip(4))
  }

  id(): string {
    const at = this.#skip(16)
    return this.#bytes.toString('hex', at, at + 16)
  }

  end(): void {
    if (this.#at !== this.#end) throw invalid('something follows it')
  }

  #skip(bytes: number): number {
    const at = this.#at
    if (at + bytes > this.#end) throw invalid('it ends too early')
    this.#at += bytes
    return at
  }
}
