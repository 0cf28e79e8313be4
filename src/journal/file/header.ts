// The fixed header of a journal file: parsed, judged and normalised. Field offsets and sizes: systemd journal-def.h, struct Header.
// Invariant: a Header that parse returns can be used without further checks; what the file does not have (short, older header) is undefined.

import { problem } from '../../errors.ts'

/** Bytes to read for a header: the longest one known (systemd 254). */
export const HEADER_SIZE = 272
/** The header of the oldest journals. */
const HEADER_SIZE_MIN = 208
/** Headers grow by a few fields every few years; a larger number than this is damage. */
const HEADER_SIZE_MAX = 4096

export const STATE_OFFLINE = 0
export const STATE_ONLINE = 1
export const STATE_ARCHIVED = 2

const KEYED_HASH = 4
const COMPACT = 16
const KNOWN_INCOMPATIBLE = 1 | 2 | KEYED_HASH | 8 | COMPACT

/** Numbers are exact below 2^53, times in µs, offsets and sizes in bytes from the start of the file. Ids are 32 hex digits. */
export interface Header {
  readonly compatibleFlags: number
  readonly incompatibleFlags: number
  /** The 128-bit hash key is the file id; else hashes are Jenkins lookup3. */
  readonly keyedHash: boolean
  readonly compact: boolean
  /** 0 offline, 1 online, 2 archived */
  readonly state: number
  readonly fileId: string
  readonly machineId: string
  readonly seqnumId: string
  readonly tailBootId: string
  /** Where objects begin; 208 when the stored size cannot be right. */
  readonly headerSize: number
  /** End of the used region as the header has it; the file may be shorter. */
  readonly arenaEnd: number
  readonly dataHashTableOffset: number
  readonly dataHashTableSize: number
  readonly fieldHashTableOffset: number
  readonly fieldHashTableSize: number
  readonly tailObjectOffset: number
  readonly objects: number
  /** How many items of the global entry array chain are valid: the writer's commit point. */
  readonly entries: number
  readonly tailSeqnum: number
  readonly headSeqnum: number
  readonly entryArrayOffset: number
  readonly headRealtime: number
  readonly tailRealtime: number
  readonly tailMonotonic: number
  readonly datas: number | undefined
  readonly fields: number | undefined
  readonly tags: number | undefined
  readonly entryArrays: number | undefined
  readonly dataHashChainDepth: number | undefined
  readonly fieldHashChainDepth: number | undefined
  readonly tailEntryArrayOffset: number | undefined
  readonly tailEntryArrayEntries: number | undefined
  readonly tailEntryOffset: number | undefined
}

/** Whether the bytes begin as a journal does. */
export function hasSignature(bytes: Uint8Array, length: number): boolean {
  const signature = 'LPKSHHRH'
  if (length < signature.length) return false
  for (let i = 0; i < signature.length; i++) if (bytes[i] !== signature.charCodeAt(i)) return false
  return true
}

/**
 * Parses the first `length` bytes of a file. Problem LF_JOURNAL_NOT_A_JOURNAL or LF_JOURNAL_UNKNOWN_FLAG.
 * Damage that still leaves something to read is accepted: sizes that cannot be right become the smallest right ones.
 */
export function parseHeader(bytes: Buffer, length: number, path: string): Header {
  if (length === 0) throw problem('LF_JOURNAL_NOT_A_JOURNAL', { path, why: 'it is empty' })
  if (!hasSignature(bytes, length))
    throw problem('LF_JOURNAL_NOT_A_JOURNAL', { path, why: 'it has no LPKSHHRH at its start' })
  if (length < HEADER_SIZE_MIN) {
    throw problem('LF_JOURNAL_NOT_A_JOURNAL', { path, why: `it ends within the header, after ${length} bytes` })
  }
  const incompatibleFlags = bytes.readUInt32LE(12)
  const unknown = incompatibleFlags & ~KNOWN_INCOMPATIBLE
  if (unknown !== 0) throw problem('LF_JOURNAL_UNKNOWN_FLAG', { path, flags: flagNames(unknown) })
  const state = bytes.readUInt8(16)
  if (state > STATE_ARCHIVED) throw problem('LF_JOURNAL_NOT_A_JOURNAL', { path, why: `its state is ${state}` })

  const stored = u64(bytes, 88)
  const headerSize =
    stored >= HEADER_SIZE_MIN && stored <= HEADER_SIZE_MAX && stored % 8 === 0 ? stored : HEADER_SIZE_MIN
  const later = (offset: number): number | undefined =>
    offset + 8 <= Math.min(headerSize, length) ? u64(bytes, offset) : undefined
  const later32 = (offset: number): number | undefined =>
    offset + 4 <= Math.min(headerSize, length) ? bytes.readUInt32LE(offset) : undefined
  return {
    compatibleFlags: bytes.readUInt32LE(8),
    incompatibleFlags,
    keyedHash: (incompatibleFlags & KEYED_HASH) !== 0,
    compact: (incompatibleFlags & COMPACT) !== 0,
    state,
    fileId: bytes.toString('hex', 24, 40),
    machineId: bytes.toString('hex', 40, 56),
    tailBootId: bytes.toString('hex', 56, 72),
    seqnumId: bytes.toString('hex', 72, 88),
    headerSize,
    arenaEnd: (headerSize === stored ? headerSize : HEADER_SIZE) + u64(bytes, 96),
    dataHashTableOffset: u64(bytes, 104),
    dataHashTableSize: u64(bytes, 112),
    fieldHashTableOffset: u64(bytes, 120),
    fieldHashTableSize: u64(bytes, 128),
    tailObjectOffset: u64(bytes, 136),
    objects: u64(bytes, 144),
    entries: u64(bytes, 152),
    tailSeqnum: u64(bytes, 160),
    headSeqnum: u64(bytes, 168),
    entryArrayOffset: u64(bytes, 176),
    headRealtime: u64(bytes, 184),
    tailRealtime: u64(bytes, 192),
    tailMonotonic: u64(bytes, 200),
    datas: later(208),
    fields: later(216),
    tags: later(224),
    entryArrays: later(232),
    dataHashChainDepth: later(240),
    fieldHashChainDepth: later(248),
    tailEntryArrayOffset: later32(256),
    tailEntryArrayEntries: later32(260),
    tailEntryOffset: later(264),
  }
}

/** Little-endian, inexact from 2^53 on. */
function u64(bytes: Buffer, offset: number): number {
  return bytes.readUInt32LE(offset) + bytes.readUInt32LE(offset + 4) * 4294967296
}

function flagNames(flags: number): string {
  const bits: string[] = []
  for (let bit = 0; bit < 32; bit++) if ((flags >>> bit) & 1) bits.push(`incompatible flag ${2 ** bit}`)
  return bits.join(', ')
}
