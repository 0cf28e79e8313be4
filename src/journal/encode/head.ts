// The part of a record that comes from the ENTRY object itself: cursor, times, boot id, key. A kept template with the right digit counts is
// brought up to date and copied; what did not change since the entry before (the second, the upper halves, the boot id) stays. Invariant: a
// template serves exactly the entries of one seqnum id whose numbers have these digit counts, and shows the values noted in it.

import type { JournalFile } from '../file/file.ts'
import { writeKey } from '../key.ts'
import {
  decimalLength,
  hexLength,
  highWord,
  writeDecimal,
  writeHex,
  writeHexWord,
  writeId,
  writeMicros,
  writeSecond,
} from './bytes/digits.ts'
import { byteBuffer, type Output } from './output.ts'

/**
 * A value of the head. Numbers are decimal digits, `seqnum64` 8 bytes, big-endian; `timestamp` is ISO 8601 in UTC with six digits, 27 bytes;
 * `key` 34 bytes.
 */
export type HeadValue = 'cursor' | 'realtime' | 'monotonic' | 'seqnum' | 'seqnum64' | 'bootId' | 'timestamp' | 'key'

/** Fixed bytes, or a value; `lead` makes the bytes in front of a value from its length (msgpack). A value stands at most once, bootId twice. */
export type HeadPart = Uint8Array | { readonly value: HeadValue; readonly lead?: (length: number) => Uint8Array }

interface Template {
  readonly bytes: Uint8Array
  // The boot id that stands in it.
  boot0: number
  boot1: number
  boot2: number
  boot3: number
  /** The full seconds of the realtime that stand in it, the upper half of it in hex, and those of the monotonic time. */
  second: number
  high: number
  monotonicSecond: number
  monotonicHigh: number
  /** Where the boot ids are: in the cursor and alone; −1 = not there. */
  readonly cursorBoot: number
  readonly boot: number
  /** Where the cursor's numbers begin; −1 = no cursor. */
  readonly i: number
  readonly m: number
  readonly t: number
  readonly x: number
  readonly realtime: number
  readonly monotonic: number
  readonly seqnum: number
  readonly seqnum64: number
  readonly timestamp: number
  readonly key: number
}

interface SecondText {
  number: number
  readonly text: Uint8Array
}

/** Counts of digits, in the order seqnum, monotonic, realtime, hash (hexadecimal), then seqnum, monotonic, realtime (decimal). */
type Lengths = readonly [
  i: number,
  m: number,
  t: number,
  x: number,
  seqnum: number,
  monotonic: number,
  realtime: number,
]

export class Head {
  readonly #parts: readonly HeadPart[]
  readonly #hasCursor: boolean
  readonly #hasSeqnum: boolean
  readonly #hasTimes: boolean
  // The second that was written last, as text: templates take turns, seconds do not change as often.
  readonly #second: SecondText = { number: -1, text: new Uint8Array(19) }
  readonly #all = new Map<string, Map<number, Template>>()
  #seqnumId = ''
  #templates = new Map<number, Template>()
  #last: Template | undefined
  #lastLengths = -1
  /** Where the `timestamp` of the head written last begins, counted from its first byte; −1 = none. */
  timestampAt = -1

  constructor(parts: readonly HeadPart[]) {
    this.#parts = parts
    const has = (...values: HeadValue[]): boolean =>
      parts.some((part) => !(part instanceof Uint8Array) && values.includes(part.value))
    this.#hasCursor = has('cursor')
    this.#hasSeqnum = has('seqnum')
    this.#hasTimes = has('realtime', 'monotonic')
  }

  /** Appends the head of the file's loaded entry. */
  write(output: Output, file: JournalFile, ordinal: number): void {
    if (file.seqnumId !== this.#seqnumId) this.#use(file.seqnumId)
    const seqnum = file.seqnum
    const monotonic = file.monotonic
    const realtime = file.realtime
    let i = 1
    let m = 1
    let t = 1
    let x = 1
    if (this.#hasCursor) {
      i = hexLength(highWord(seqnum), seqnum >>> 0)
      m = hexLength(highWord(monotonic), monotonic >>> 0)
      t = hexLength(highWord(realtime), realtime >>> 0)
      x = hexLength(file.xorHigh, file.xorLow)
    }
    const md = this.#hasTimes ? decimalLength(monotonic) : 1
    const td = this.#hasTimes ? decimalLength(realtime) : 1
    const sd = this.#hasSeqnum ? decimalLength(seqnum) : 1
    const lengths = (((((i * 17 + m) * 17 + t) * 17 + x) * 17 + sd) * 17 + md) * 17 + td
    let template = this.#last
    if (lengths !== this.#lastLengths || template === undefined) {
      template = this.#templates.get(lengths)
      if (template === undefined) {
        template = this.#make(file.seqnumId, [i, m, t, x, sd, md, td])
        this.#templates.set(lengths, template)
      }
      this.#last = template
      this.#lastLengths = lengths
    }
    if (
      template.boot0 !== file.boot0 ||
      template.boot1 !== file.boot1 ||
      template.boot2 !== file.boot2 ||
      template.boot3 !== file.boot3
    ) {
      setBoot(template, file)
    }
    const bytes = template.bytes
    setRealtime(template, file, td, this.#second)
    if (template.monotonic >= 0) setMonotonic(template, file, md)
    if (template.i >= 0) {
      setCursorTimes(template, file, t, m)
      writeHex(bytes, template.i, highWord(seqnum), seqnum >>> 0, i)
      writeHex(bytes, template.x, file.xorHigh, file.xorLow, x)
    }
    if (template.seqnum >= 0) writeDecimal(bytes, template.seqnum, seqnum, sd)
    if (template.key >= 0) writeKey(bytes, template.key, file, ordinal)
    output.room(bytes.length)
    const at = output.length
    output.out.set(bytes, at)
    output.length = at + bytes.length
    if (template.seqnum64 >= 0) {
      output.view.setUint32(at + template.seqnum64, highWord(seqnum))
      output.view.setUint32(at + template.seqnum64 + 4, seqnum >>> 0)
    }
    this.timestampAt = template.timestamp
  }

  #use(seqnumId: string): void {
    let templates = this.#all.get(seqnumId)
    if (templates === undefined) {
      // Ids are few; a directory of thousands of imported machines would make this a leak.
      if (this.#all.size >= 64) this.#all.clear()
      templates = new Map()
      this.#all.set(seqnumId, templates)
    }
    this.#seqnumId = seqnumId
    this.#templates = templates
    this.#last = undefined
    this.#lastLengths = -1
  }

  #make(seqnumId: string, lengths: Lengths): Template {
    const [i, m, t, x, sd, md, td] = lengths
    const cursorLength = 2 + 32 + 3 + i + 3 + 32 + 3 + m + 3 + t + 3 + x
    const sizes: Record<HeadValue, number> = {
      cursor: cursorLength,
      realtime: td,
      monotonic: md,
      seqnum: sd,
      seqnum64: 8,
      bootId: 32,
      timestamp: 27,
      key: 34,
    }
    const places: Partial<Record<HeadValue, number>> = {}
    const pieces: Uint8Array[] = []
    let length = 0
    const add = (piece: Uint8Array): void => {
      pieces.push(piece)
      length += piece.length
    }
    for (const part of this.#parts) {
      if (part instanceof Uint8Array) {
        add(part)
        continue
      }
      const size = sizes[part.value]
      if (part.lead !== undefined) add(part.lead(size))
      places[part.value] = length
      add(byteBuffer(size).fill(48))
    }
    const bytes = byteBuffer(length)
    let at = 0
    for (const piece of pieces) {
      bytes.set(piece, at)
      at += piece.length
    }
    const cursor = places.cursor ?? -1
    let iAt = -1
    let bAt = -1
    let mAt = -1
    let tAt = -1
    let xAt = -1
    if (cursor >= 0) {
      bytes.latin1Write(`s=${seqnumId};i=`, cursor, 37)
      iAt = cursor + 37
      bytes.latin1Write(';b=', iAt + i, 3)
      bAt = iAt + i + 3
      bytes.latin1Write(';m=', bAt + 32, 3)
      mAt = bAt + 35
      bytes.latin1Write(';t=', mAt + m, 3)
      tAt = mAt + m + 3
      bytes.latin1Write(';x=', tAt + t, 3)
      xAt = tAt + t + 3
    }
    return {
      bytes,
      boot0: -1,
      boot1: -1,
      boot2: -1,
      boot3: -1,
      second: -1,
      high: -1,
      monotonicSecond: -1,
      monotonicHigh: -1,
      cursorBoot: bAt,
      boot: places.bootId ?? -1,
      i: iAt,
      m: mAt,
      t: tAt,
      x: xAt,
      realtime: places.realtime ?? -1,
      monotonic: places.monotonic ?? -1,
      seqnum: places.seqnum ?? -1,
      seqnum64: places.seqnum64 ?? -1,
      timestamp: places.timestamp ?? -1,
      key: places.key ?? -1,
    }
  }
}

// These take the file and not its numbers: a number above 2^31 handed to a function is an object on the heap.

function setRealtime(template: Template, file: JournalFile, digits: number, last: SecondText): void {
  const realtime = file.realtime
  const bytes = template.bytes
  const second = Math.floor(realtime / 1_000_000)
  const micros = realtime - second * 1_000_000
  const isSame = second === template.second
  template.second = second
  if (template.realtime >= 0) {
    if (isSame && digits > 6) writeMicros(bytes, template.realtime + digits - 6, micros)
    else writeDecimal(bytes, template.realtime, realtime, digits)
  }
  if (template.timestamp >= 0) {
    if (!isSame) {
      if (second !== last.number) {
        last.number = second
        writeSecond(last.text, 0, second)
      }
      bytes.set(last.text, template.timestamp)
      bytes[template.timestamp + 19] = 46
      bytes[template.timestamp + 26] = 90
    }
    writeMicros(bytes, template.timestamp + 20, micros)
  }
}

function setMonotonic(template: Template, file: JournalFile, digits: number): void {
  const monotonic = file.monotonic
  const second = Math.floor(monotonic / 1_000_000)
  if (second === template.monotonicSecond && digits > 6) {
    writeMicros(template.bytes, template.monotonic + digits - 6, monotonic - second * 1_000_000)
  } else {
    template.monotonicSecond = second
    writeDecimal(template.bytes, template.monotonic, monotonic, digits)
  }
}

/** The times of the cursor, in hex: `t` and `m` digits. */
function setCursorTimes(template: Template, file: JournalFile, t: number, m: number): void {
  const { realtime, monotonic } = file
  const bytes = template.bytes
  const high = highWord(realtime)
  if (t > 8 && high === template.high) writeHexWord(bytes, template.t + t - 8, realtime >>> 0)
  else {
    template.high = high
    writeHex(bytes, template.t, high, realtime >>> 0, t)
  }
  const monotonicHigh = highWord(monotonic)
  if (m > 8 && monotonicHigh === template.monotonicHigh) writeHexWord(bytes, template.m + m - 8, monotonic >>> 0)
  else {
    template.monotonicHigh = monotonicHigh
    writeHex(bytes, template.m, monotonicHigh, monotonic >>> 0, m)
  }
}

function setBoot(template: Template, file: JournalFile): void {
  const { boot0, boot1, boot2, boot3 } = file
  if (template.cursorBoot >= 0) writeId(template.bytes, template.cursorBoot, boot0, boot1, boot2, boot3)
  if (template.boot >= 0) writeId(template.bytes, template.boot, boot0, boot1, boot2, boot3)
  template.boot0 = boot0
  template.boot1 = boot1
  template.boot2 = boot2
  template.boot3 = boot3
}
