// The text of a position file: JSON on one line, with a version, the sink it belongs to, a number that grows with every
// write, and a checksum over all of it. What does not check out is never taken for a position.

import { createHash } from 'node:crypto'
import type { Position } from '../../sink.ts'
import type { StoredPosition } from '../settings.ts'

/** The version that this program writes and the newest that it reads. */
export const POSITION_VERSION = 1

/** The content of a position file. */
export interface PositionFile {
  readonly sink: string
  /** Grows with every write: of two good files the one with the larger number is the newer. */
  readonly generation: number
  readonly positions: ReadonlyMap<string, StoredPosition>
}

/** What reading one gave. */
export type PositionReading =
  | { readonly kind: 'good'; readonly file: PositionFile }
  | { readonly kind: 'newer'; readonly version: number }
  | { readonly kind: 'damaged'; readonly why: string }

/** Writes the text of a position file. */
export function formatPositionFile(file: PositionFile): string {
  const body = {
    version: POSITION_VERSION,
    sink: file.sink,
    generation: file.generation,
    positions: Array.from(file.positions, ([source, stored]) => ({
      source,
      position: stored.position,
      ...(stored.target === undefined ? {} : { target: stored.target }),
    })),
  }
  return `${JSON.stringify({ ...body, checksum: checksum(body) })}\n`
}

/** Reads the text of the position file of `sink`. Never throws. */
export function parsePositionFile(content: Uint8Array, sink: string): PositionReading {
  if (content.length === 0) return { kind: 'damaged', why: 'it is empty' }
  let parsed: unknown
  try {
    parsed = JSON.parse(Buffer.from(content).toString('utf8'))
  } catch {
    // The parser's words quote bytes of a torn file, which help nobody.
    return { kind: 'damaged', why: 'it is not whole' }
  }
  if (typeof parsed !== 'object' || parsed === null) return { kind: 'damaged', why: 'it is not a position file' }
  const { checksum: found, ...body } = parsed as Record<string, unknown>
  const { version } = body
  if (typeof version !== 'number') return { kind: 'damaged', why: 'it is not a position file' }
  // Before the checksum, which a newer version may make in another way.
  if (version > POSITION_VERSION) return { kind: 'newer', version }
  // Parsing and writing again gives the same text, since no key is a number.
  if (found !== checksum(body)) return { kind: 'damaged', why: 'its checksum is wrong' }
  const positions = readPositions(body['positions'])
  if (positions === undefined || typeof body['generation'] !== 'number') {
    return { kind: 'damaged', why: 'it is not a position file' }
  }
  if (body['sink'] !== sink) return { kind: 'damaged', why: `it belongs to the sink "${body['sink']}"` }
  return { kind: 'good', file: { sink, generation: body['generation'], positions } }
}

function readPositions(list: unknown): Map<string, StoredPosition> | undefined {
  if (!Array.isArray(list)) return undefined
  const positions = new Map<string, StoredPosition>()
  for (const item of list as readonly unknown[]) {
    if (typeof item !== 'object' || item === null) return undefined
    const { source, position, target } = item as Record<string, unknown>
    if (typeof source !== 'string' || typeof position !== 'string') return undefined
    if (target !== undefined && typeof target !== 'string') return undefined
    positions.set(source, target === undefined ? { position } : { position, target: target satisfies Position })
  }
  return positions
}

function checksum(body: object): string {
  return createHash('sha256').update(JSON.stringify(body)).digest('hex')
}
