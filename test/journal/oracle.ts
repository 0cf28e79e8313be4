// journalctl's export output taken apart, and the same facts read with JournalFile, so that the two can be compared.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { JournalFile } from '../../src/journal/file/file.ts'
import { MemoryBudget } from '../../src/journal/memory.ts'

export interface OracleEntry {
  readonly cursor: string
  readonly realtime: number
  readonly monotonic: number
  readonly bootId: string
  /** `NAME=value` in item order, without _BOOT_ID; bytes as latin1. */
  readonly fields: readonly string[]
}

/** Parses `journalctl -o export`: lines NAME=value, or NAME, 8 bytes of length, value; an empty line ends an entry. */
export function parseExport(bytes: Buffer): OracleEntry[] {
  const entries: OracleEntry[] = []
  let all: string[] = []
  let at = 0
  while (at < bytes.length) {
    const end = bytes.indexOf(10, at)
    const line = bytes.toString('latin1', at, end)
    at = end + 1
    if (line === '') {
      if (all.length > 0) entries.push(makeEntry(all))
      all = []
    } else if (line.includes('=')) {
      all.push(line)
    } else {
      const size = Number(bytes.readBigUInt64LE(at))
      all.push(`${line}=${bytes.toString('latin1', at + 8, at + 8 + size)}`)
      at += 8 + size + 1
    }
  }
  return entries
}

function makeEntry(all: readonly string[]): OracleEntry {
  const head = (name: string) => all.find((field) => field.startsWith(`${name}=`))!.slice(name.length + 1)
  return {
    cursor: head('__CURSOR'),
    realtime: Number(head('__REALTIME_TIMESTAMP')),
    monotonic: Number(head('__MONOTONIC_TIMESTAMP')),
    bootId: head('_BOOT_ID'),
    fields: all.filter((field) => !field.startsWith('__') && !field.startsWith('_BOOT_ID=')),
  }
}

/** The loaded entry in the same form. Fields that are lost are left out. */
export function readEntry(file: JournalFile): OracleEntry {
  const fields: string[] = []
  for (const offset of itemOffsets(file)) {
    if (!file.payload(offset)) continue
    const text = file.bytes.toString('latin1', file.start, file.end)
    if (!text.startsWith('_BOOT_ID=')) fields.push(text)
  }
  const xor = (BigInt(file.xorHigh) << 32n) | BigInt(file.xorLow)
  return {
    cursor: [
      `s=${file.seqnumId}`,
      `i=${file.seqnum.toString(16)}`,
      `b=${file.bootId()}`,
      `m=${file.monotonic.toString(16)}`,
      `t=${file.realtime.toString(16)}`,
      `x=${xor.toString(16)}`,
    ].join(';'),
    realtime: file.realtime,
    monotonic: file.monotonic,
    bootId: file.bootId(),
    fields,
  }
}

export function itemOffsets(file: JournalFile): number[] {
  const offsets: number[] = []
  for (let k = 0; k < file.itemCount; k++) {
    const at = file.itemBase + k * file.itemStride
    const low = file.itemWords[at] as number
    offsets.push(file.itemStride === 1 ? low : low + (file.itemWords[at + 1] as number) * 2 ** 32)
  }
  return offsets
}

export function readAll(file: JournalFile): OracleEntry[] {
  const entries: OracleEntry[] = []
  file.index = -1
  while (file.next()) entries.push(readEntry(file))
  return entries
}

/** All journal files of a folder that open; what was thrown for the others. */
export function openAll(dir: string, memory = new MemoryBudget(64 << 20)): { files: JournalFile[]; errors: unknown[] } {
  const files: JournalFile[] = []
  const errors: unknown[] = []
  for (const name of readdirSync(dir).sort()) {
    if (!/\.journal~?$/.test(name)) continue
    try {
      files.push(JournalFile.open(join(dir, name), memory))
    } catch (error) {
      errors.push(error)
    }
  }
  return { files, errors }
}
