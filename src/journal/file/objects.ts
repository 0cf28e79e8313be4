// What an object in a journal file looks like, and the checks that decide whether bytes are one. Layout: systemd journal-def.h.
// Everything here reads through a Windows and never past the end of the file.

import type { Windows } from './window.ts'

export const DATA = 1
export const FIELD = 2
export const ENTRY = 3
export const DATA_HASH_TABLE = 4
export const FIELD_HASH_TABLE = 5
export const ENTRY_ARRAY = 6
export const TAG = 7

/** Every object begins with type, flags, 6 zero bytes and a size that includes these 16 bytes but no padding. */
export const OBJECT_HEAD = 16
export const ENTRY_HEAD = 64
export const ARRAY_HEAD = 24
export const FIELD_HEAD = 40

/** An ENTRY with more items is taken as damage; journald and journal-remote refuse more than 1024 fields. */
const ENTRY_ITEMS_MAX = 65536

/** Bits of an object's flags byte; at most one is set, and only in DATA. */
export const XZ = 1
export const LZ4 = 2
export const ZSTD = 4

/** Fixed part of a DATA object. */
export function dataHead(compact: boolean): number {
  return compact ? 72 : 64
}

/** Bytes of one item of an ENTRY. */
export function entryItem(compact: boolean): number {
  return compact ? 4 : 16
}

/** Bytes of one item of an ENTRY_ARRAY. */
export function arrayItem(compact: boolean): number {
  return compact ? 4 : 8
}

export function align8(size: number): number {
  return size + ((8 - (size % 8)) % 8)
}

/** The 64-bit number at word index `i`; inexact from 2^53 on. */
export function u64(words: Uint32Array, i: number): number {
  return (words[i] as number) + (words[i + 1] as number) * 4294967296
}

/**
 * The size of the ENTRY whose fixed part stands at word index `i`, or 0 when that is not a valid one.
 * That the whole object lies within the file is for the caller to see. Bounds: as journal-file.c checks them.
 */
export function entrySize(words: Uint32Array, i: number, compact: boolean): number {
  if (((words[i] as number) & 0xffff) !== ENTRY) return 0
  if (words[i + 3] !== 0) return 0
  const size = words[i + 2] as number
  const items = size - ENTRY_HEAD
  const item = compact ? 4 : 16
  if (items < item || items > ENTRY_ITEMS_MAX * item || (items & (item - 1)) !== 0) return 0
  if (words[i + 4] === 0 && words[i + 5] === 0) return 0
  // Times are below 2^55 µs; a realtime of 0 is no time.
  if ((words[i + 7] as number) >= 0x800000 || (words[i + 9] as number) >= 0x800000) return 0
  if (words[i + 6] === 0 && words[i + 7] === 0) return 0
  return size
}

/**
 * The size of the object at `offset` as far as its first 16 bytes can tell, or 0 when no object can be there.
 * For walking over unknown ground: strict about what a writer always leaves zero.
 */
export function plausibleSize(windows: Windows, offset: number, compact: boolean): number {
  if (!windows.locate(offset, OBJECT_HEAD)) return 0
  const words = windows.words
  const i = windows.at >>> 2
  const head = words[i] as number
  const type = head & 0xff
  const flags = head >>> 8
  if (type < DATA || type > TAG || words[i + 1] !== 0) return 0
  // This also refuses anything in the two reserved bytes that share the word.
  if (flags !== 0 && (type !== DATA || (flags !== XZ && flags !== LZ4 && flags !== ZSTD))) return 0
  const size = u64(words, i + 2)
  if (offset + size > windows.end) return 0
  switch (type) {
    case DATA:
      return size > dataHead(compact) ? size : 0
    case FIELD:
      return size > FIELD_HEAD ? size : 0
    case ENTRY: {
      const items = size - ENTRY_HEAD
      return items > 0 && items % entryItem(compact) === 0 ? size : 0
    }
    case ENTRY_ARRAY: {
      const items = size - ARRAY_HEAD
      return items > 0 && items % arrayItem(compact) === 0 ? size : 0
    }
    case TAG:
      return size === 64 ? size : 0
    default:
      return size > OBJECT_HEAD && size % 16 === 0 ? size : 0
  }
}
