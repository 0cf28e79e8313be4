// What the tests of encoders share: encode everything in a directory or a file, decode MessagePack, write odd entries.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { JournalSet } from '../../../src/journal/directory.ts'
import { createEncoder, type Encoder, type EncoderSpec, type RecordSpec } from '../../../src/journal/encode/encoder.ts'
import { JournalFile } from '../../../src/journal/file/file.ts'
import { MemoryBudget } from '../../../src/journal/memory.ts'
import { JournalReader } from '../../../src/journal/reader.ts'
import { exportField } from '../../support/entries.ts'
import { writeJournal } from '../../support/journals.ts'
import { tempDir } from '../../support/tempDir.ts'

export const PLENTY = 64 << 20

/** The records of all entries of a directory, in the reader's order. */
export function encodeDir(dir: string, spec: EncoderSpec, budget = PLENTY): Buffer[] {
  const memory = new MemoryBudget(budget)
  const set = JournalSet.open({ directories: [dir], machineId: 'any' }, memory)
  const reader = new JournalReader(set)
  const encoder = createEncoder(spec, memory)
  const records: Buffer[] = []
  reader.seekHead()
  for (let file = reader.next(); file !== undefined; file = reader.next()) {
    records.push(encodeOne(encoder, file, reader.ordinal))
  }
  encoder.close()
  reader.close()
  set.close()
  return records
}

/** The records of all entries of each file of a directory, one file after the other. */
export function encodeFiles(dir: string, encoder: Encoder, memory: MemoryBudget): Buffer[] {
  const records: Buffer[] = []
  for (const name of readdirSync(dir).sort()) {
    if (!/\.journal~?$/.test(name)) continue
    const file = JournalFile.open(join(dir, name), memory)
    while (file.next()) records.push(encodeOne(encoder, file, 0))
    file.close()
  }
  return records
}

function encodeOne(encoder: Encoder, file: JournalFile, ordinal: number): Buffer {
  encoder.reset()
  encoder.encode(file, ordinal)
  return Buffer.from(encoder.out.subarray(0, encoder.length))
}

/** A record spec with the usual settings. */
export function recordSpec(changes: Partial<RecordSpec> = {}): RecordSpec {
  return { format: 'record', encoding: 'json', shape: 'journal', fields: {}, labels: {}, binary: 'base64', ...changes }
}

export type OddField = readonly [name: string, value: string | Uint8Array]

export const BOOT = 'b0070000000000000000000000000001'
export const START = 1_700_000_000_000_000

/** Writes a journal with these entries, a second apart, and returns its folder. `boot` changes the boot id of single entries. */
export async function writeEntries(
  entries: readonly (readonly OddField[])[],
  boot = (_: number) => BOOT,
): Promise<string> {
  const dir = tempDir()
  const stream = entries.map((fields, k) => {
    const head = `__REALTIME_TIMESTAMP=${START + k * 1_000_003}\n__MONOTONIC_TIMESTAMP=${5_000_000 + k * 1_000_003}\n_BOOT_ID=${boot(k)}\n`
    return Buffer.concat([
      Buffer.from(head),
      ...fields.map(([name, value]) => exportField(name, value)),
      Buffer.from('\n'),
    ])
  })
  await writeJournal(dir, 'odd', stream)
  return dir
}

/** Members sorted by name, so that two writers can be compared. */
export function sortedJson(text: string): string {
  return JSON.stringify(sortKeys(JSON.parse(text)))
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([k, v]) => [k, sortKeys(v)]),
  )
}

/** Reads one MessagePack value that fills the whole buffer. A bin becomes a Buffer, a map an object; a key that occurs twice is an error. */
export function unpack(bytes: Buffer): unknown {
  let at = 0
  const length = (size: number): number => {
    const value = bytes.readUIntBE(at, size)
    at += size
    return value
  }
  const text = (size: number): string => {
    const slice = bytes.subarray(at, at + size)
    at += size
    return new TextDecoder('utf-8', { fatal: true }).decode(slice)
  }
  const list = (count: number): unknown[] => Array.from({ length: count }, () => value())
  const map = (count: number): Record<string, unknown> => {
    const members: Record<string, unknown> = {}
    for (let k = 0; k < count; k++) {
      const name = value() as string
      if (Object.hasOwn(members, name)) throw new Error(`the key ${name} occurs twice`)
      members[name] = value()
    }
    return members
  }
  const value = (): unknown => {
    const head = bytes[at++] as number
    if (head < 0x80) return head
    if (head < 0x90) return map(head & 15)
    if (head < 0xa0) return list(head & 15)
    if (head < 0xc0) return text(head & 31)
    switch (head) {
      case 0xc0:
        return null
      case 0xc4:
      case 0xc5:
      case 0xc6: {
        const size = length(1 << (head - 0xc4))
        at += size
        return bytes.subarray(at - size, at)
      }
      case 0xcc:
      case 0xcd:
      case 0xce:
        return length(1 << (head - 0xcc))
      case 0xcf:
      case 0xd3:
        at += 8
        return Number(head === 0xcf ? bytes.readBigUInt64BE(at - 8) : bytes.readBigInt64BE(at - 8))
      case 0xd9:
      case 0xda:
      case 0xdb:
        return text(length(1 << (head - 0xd9)))
      case 0xdc:
      case 0xdd:
        return list(length(2 << (head - 0xdc)))
      case 0xde:
      case 0xdf:
        return map(length(2 << (head - 0xde)))
      default:
        throw new Error(`no such type: ${head}`)
    }
  }
  const result = value()
  if (at !== bytes.length) throw new Error(`${bytes.length - at} bytes left over`)
  return result
}

/** Parses JSON and throws when a member occurs twice in an object, which JSON.parse lets pass. */
export function strictJson(text: string): unknown {
  let members = 0
  const parsed: unknown = JSON.parse(text, (_, value) => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) members += Object.keys(value).length
    return value
  })
  // A name is a string in front of a colon, outside of strings.
  const names = text.match(/"(?:[^"\\]|\\.)*"\s*:?/gs)?.filter((part) => part.endsWith(':')).length ?? 0
  if (names !== members) throw new Error(`${names} names, ${members} members: one occurs twice`)
  return parsed
}
