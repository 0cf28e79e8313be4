// What receivers of the forward protocol have got, and what journalctl says that they should have, in one form that can be compared:
// of each field the values as bytes.
import { closeSync, existsSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { journalctl } from '../../support/journals.ts'
import { startLogferry, until } from '../../support/program.ts'
import type { Collector } from '../../support/services.ts'

const NEWLINE = 10
const MARK = '"timeUnixNano"'

/** An entry: fields by name, values as one-byte text. */
export interface Arrived {
  readonly cursor: string
  /** Nanoseconds since 1970, of the entry's own time in the protocol. */
  readonly ns: string
  readonly tag: string
  readonly fields: ReadonlyMap<string, readonly string[]>
}

interface Attribute {
  readonly key: string
  readonly value: AnyValue
}
type AnyValue = { readonly stringValue?: string; readonly arrayValue?: { readonly values: readonly AnyValue[] } }

/** Everything that a collector has stored, in its order. */
export function arrivedAt(collector: Collector): Arrived[] {
  return collector.records('fwd').map(({ record }) => {
    const attributes = record['attributes'] as readonly Attribute[]
    const fields = new Map(attributes.map(({ key, value }) => [key, textsOf(value)]))
    const tag = fields.get('fluent.tag')?.[0] ?? ''
    fields.delete('fluent.tag')
    return { cursor: fields.get('__CURSOR')?.[0] ?? '', ns: String(record['timeUnixNano']), tag, fields }
  })
}

function textsOf({ stringValue, arrayValue }: AnyValue): string[] {
  if (arrayValue !== undefined) return arrayValue.values.flatMap(textsOf)
  return [Buffer.from(stringValue ?? '').toString('latin1')]
}

/** Counts the entries that a collector has stored through one of its receivers, reading only what is new; much cheaper than looking at them. */
export function counterOf({ dir }: Collector, receiver: 'fwd' | 'hec' = 'fwd'): () => number {
  const path = join(dir, `${receiver}.ndjson`)
  const piece = Buffer.alloc(1 << 20)
  let offset = 0
  let count = 0
  return () => {
    if (!existsSync(path)) return count
    const file = openSync(path, 'r')
    try {
      for (;;) {
        const read = piece.subarray(0, readSync(file, piece, 0, piece.length, offset))
        // What stands behind the last newline is still being written, or too long for one piece.
        const whole = read.subarray(0, read.lastIndexOf(NEWLINE) + 1)
        const taken = whole.length === 0 && read.length === piece.length ? read.length - MARK.length : whole.length
        for (let at = read.indexOf(MARK); at >= 0 && at < taken; at = read.indexOf(MARK, at + 1)) count++
        if (taken === 0) return count
        offset += taken
      }
    } finally {
      closeSync(file)
    }
  }
}

/** What journalctl says about a journal, as it should arrive. Values are what `textOf` makes of their bytes. */
export function expectedOf(dir: string, textOf: (bytes: Buffer) => string): Arrived[] {
  const lines = journalctl(['-D', dir, '-o', 'json', '--all']).toString().split('\n')
  return lines
    .filter((line) => line !== '')
    .map((line) => {
      const entry = JSON.parse(line) as Record<string, unknown>
      const fields = new Map(Object.entries(entry).map(([name, value]) => [name, bytesOf(value).map(textOf)]))
      for (const name of ['__SEQNUM', '__SEQNUM_ID']) fields.delete(name)
      const us = String(entry['__REALTIME_TIMESTAMP'])
      fields.set('@timestamp', [`${new Date(Number(us) / 1000).toISOString().slice(0, 19)}.${us.slice(-6)}Z`])
      return { cursor: String(entry['__CURSOR']), ns: `${us}000`, tag: '', fields }
    })
}

/** A value of journalctl's JSON: text, an array of bytes, or an array of those where the field repeats. */
export function bytesOf(value: unknown): Buffer[] {
  if (typeof value === 'string') return [Buffer.from(value)]
  if (!Array.isArray(value)) throw new Error(`a value that is ${JSON.stringify(value)}`)
  if (typeof value[0] === 'number') return [Buffer.from(value as number[])]
  return value.flatMap(bytesOf)
}

/** The exact bytes, as one-byte text. */
export function exact(bytes: Buffer): string {
  return bytes.toString('latin1')
}

/** As the collector stores it: what is no UTF-8 becomes U+FFFD. */
export function replaced(bytes: Buffer): string {
  return Buffer.from(bytes.toString()).toString('latin1')
}

/** The first differences between two lists of entries, in words; empty when they are equal, order included. */
export function differences(arrived: readonly Arrived[], expected: readonly Arrived[]): string[] {
  const found: string[] = []
  if (arrived.length !== expected.length) found.push(`${arrived.length} entries instead of ${expected.length}`)
  for (let n = 0; n < Math.min(arrived.length, expected.length) && found.length < 5; n++) {
    const [one, other] = [arrived[n] as Arrived, expected[n] as Arrived]
    if (one.cursor !== other.cursor) found.push(`entry ${n} is ${one.cursor} instead of ${other.cursor}`)
    if (one.ns !== other.ns) found.push(`entry ${n} is of ${one.ns} instead of ${other.ns}`)
    for (const name of new Set([...one.fields.keys(), ...other.fields.keys()])) {
      const [got, wanted] = [JSON.stringify(one.fields.get(name)), JSON.stringify(other.fields.get(name))]
      if (got !== wanted) found.push(`entry ${n}, ${name}: ${got?.slice(0, 200)} instead of ${wanted?.slice(0, 200)}`)
    }
  }
  return found
}

/** Starts the daemon and kills it, so many times at any moment before all `entries` have come as far as `count`. */
export async function killOnTheWay(config: string, kills: number, entries: number, count: () => number): Promise<void> {
  for (let kill = 0; kill < kills; kill++) {
    const before = count()
    const run = startLogferry(['run', '--config', config])
    try {
      const step = Math.floor((entries / (kills + 1)) * (0.5 + Math.random()))
      // At the end of the way are entries that were sent; some of them wait for their acknowledgement.
      const aim = Math.min(before + step, entries - 1)
      await until(`${aim} entries of run ${kill}`, () => count() >= aim || run.child.exitCode !== null, 40_000)
    } finally {
      run.kill('SIGKILL')
    }
    expect(await run.ended).toBe('SIGKILL')
  }
}
