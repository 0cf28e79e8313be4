// journald's cursor: one entry as text, s=…;i=…;b=…;m=…;t=…;x=… (systemd sd-journal.c). Ours and journalctl's are the same string.
// Ids are 32 hex digits, numbers lower-case hex without leading zeroes.

import { problem } from '../errors.ts'

/** What tells an entry apart: the loaded entry of a JournalFile is one. Boot id and hash as the file has them, in little-endian words. */
export interface EntryMark {
  readonly seqnumId: string
  readonly seqnum: number
  /** µs since 1970 */
  readonly realtime: number
  /** µs since boot */
  readonly monotonic: number
  readonly boot0: number
  readonly boot1: number
  readonly boot2: number
  readonly boot3: number
  readonly xorHigh: number
  readonly xorLow: number
}

/** What a cursor says; each part may be missing. Ids are 32 lower-case hex digits, times µs. */
export interface CursorParts {
  seqnumId?: string
  seqnum?: number
  bootId?: string
  monotonic?: number
  realtime?: number
  xor?: bigint
}

/**
 * Reads a cursor. Keys may come in any order, unknown ones are ignored. Throws Problem LF_CURSOR_INVALID when it is
 * malformed or names no place: that takes s and i, or b and m, or t.
 */
export function parseCursor(text: string): CursorParts {
  const parts: CursorParts = {}
  const wrong = (why: string) => problem('LF_CURSOR_INVALID', { text, why })
  for (const item of text.split(';')) {
    if (item === '') continue
    if (item[1] !== '=') throw wrong(`"${item}" is not of the form key=value`)
    const value = item.slice(2)
    switch (item[0]) {
      case 's':
      case 'b': {
        const id = value.toLowerCase()
        if (!/^[0-9a-f]{32}$/.test(id)) throw wrong(`"${value}" is not an id of 32 hex digits`)
        if (item[0] === 's') parts.seqnumId = id
        else parts.bootId = id
        break
      }
      case 'i':
      case 'm':
      case 't':
      case 'x': {
        if (!/^[0-9a-f]{1,16}$/i.test(value)) throw wrong(`"${value}" is not a number in hex`)
        if (item[0] === 'i') parts.seqnum = Number.parseInt(value, 16)
        else if (item[0] === 'm') parts.monotonic = Number.parseInt(value, 16)
        else if (item[0] === 't') parts.realtime = Number.parseInt(value, 16)
        else parts.xor = BigInt(`0x${value}`)
        break
      }
    }
  }
  const hasNumber = parts.seqnumId !== undefined && parts.seqnum !== undefined
  const hasMonotonic = parts.bootId !== undefined && parts.monotonic !== undefined
  if (!hasNumber && !hasMonotonic && parts.realtime === undefined) {
    throw wrong('it names no place: s= with i=, b= with m=, or t= is needed')
  }
  return parts
}

/** The cursor of an entry, for example of the loaded one of a file. */
export function formatCursor(entry: EntryMark): string {
  const number = `s=${entry.seqnumId};i=${entry.seqnum.toString(16)}`
  const times = `b=${bootIdOf(entry)};m=${entry.monotonic.toString(16)};t=${entry.realtime.toString(16)}`
  return `${number};${times};x=${formatXor(entry.xorHigh, entry.xorLow)}`
}

/** Whether the entry is the one that the cursor means: every part that is given must fit, as journalctl has it. */
export function isAtCursor(entry: EntryMark, cursor: CursorParts): boolean {
  return (
    (cursor.seqnumId === undefined || cursor.seqnumId === entry.seqnumId) &&
    (cursor.seqnum === undefined || cursor.seqnum === entry.seqnum) &&
    (cursor.bootId === undefined || cursor.bootId === bootIdOf(entry)) &&
    (cursor.monotonic === undefined || cursor.monotonic === entry.monotonic) &&
    (cursor.realtime === undefined || cursor.realtime === entry.realtime) &&
    (cursor.xor === undefined || cursor.xor === xorOf(entry))
  )
}

type BootWords = Pick<EntryMark, 'boot0' | 'boot1' | 'boot2' | 'boot3'>

const bootBytes = Buffer.alloc(16)

/** The boot id as 32 hex digits. */
export function bootIdOf(entry: BootWords): string {
  bootBytes.writeUInt32LE(entry.boot0, 0)
  bootBytes.writeUInt32LE(entry.boot1, 4)
  bootBytes.writeUInt32LE(entry.boot2, 8)
  bootBytes.writeUInt32LE(entry.boot3, 12)
  return bootBytes.toString('hex')
}

/** The 32-bit words of an id of 32 hex digits, as a file stores them. */
export function bootWordsOf(id: string): BootWords {
  bootBytes.write(id, 'hex')
  return {
    boot0: bootBytes.readUInt32LE(0),
    boot1: bootBytes.readUInt32LE(4),
    boot2: bootBytes.readUInt32LE(8),
    boot3: bootBytes.readUInt32LE(12),
  }
}

export function isSameBoot(a: BootWords, b: BootWords): boolean {
  return a.boot0 === b.boot0 && a.boot1 === b.boot1 && a.boot2 === b.boot2 && a.boot3 === b.boot3
}

function xorOf(entry: EntryMark): bigint {
  return (BigInt(entry.xorHigh) << 32n) | BigInt(entry.xorLow)
}

function formatXor(high: number, low: number): string {
  return high === 0 ? low.toString(16) : high.toString(16) + low.toString(16).padStart(8, '0')
}
