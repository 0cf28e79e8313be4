// What goes over the wire: a batch cut into chunks (one tag each, and not too large), and a chunk as a PackedForward message.
// Invariant: each entry of the batch is in exactly one chunk, in the batch's order. Sources: Fluentd's forward protocol v1 and
// what its receivers make of it: metadata entries and heart-beats close connections there, and a `chunk` of type bin is never acknowledged.

import { promisify } from 'node:util'
import { constants, gzip, zstdCompress } from 'node:zlib'
import type { Batch } from '../../src/sink.ts'
import { BodyMemory } from '../parts/memory.ts'
import type { Template } from '../parts/template.ts'
import type { Suspect } from './suspects.ts'
import { tagsOf } from './tags.ts'
import { countBytes, textBytes } from './values.ts'

const KEY_BYTES = 34
/** Before each record: array of two, EventTime in 8 bytes. */
const ENTRY_HEAD_BYTES = 11
/** Tag, heads and options of a message together are shorter. */
const AROUND_BYTES = 512

/** Entries of a batch that go out as one message. */
export interface Chunk {
  /** `<id of the batch>/<number>`: in the server's log it leads to ours. */
  readonly id: string
  readonly tag: string
  /** Indexes into the batch, ascending. */
  readonly indexes: Uint32Array
  /** Of the packed entries, before compression. */
  readonly bytes: number
}

/** Cuts a batch: a chunk for each tag, or several where a tag's entries have more than `mostBytes`. */
export function cutChunks(batch: Batch, template: Template, mostBytes: number): Chunk[] {
  const { ends } = batch
  const { tags, numbers } = tagsOf(batch, template)
  const { order, begins } = byTag(ends.length, tags.length, numbers)
  const chunks: Chunk[] = []
  for (const [number, tag] of tags.entries()) {
    let from = begins[number]
    let bytes = 0
    const end = (to: number) => {
      chunks.push({ id: `${batch.id}/${chunks.length}`, tag, indexes: order.subarray(from, to), bytes })
      from = to
      bytes = 0
    }
    for (let at = from; at < begins[number + 1]; at++) {
      const index = order[at]
      const size = ENTRY_HEAD_BYTES + ends[index] - (index === 0 ? 0 : ends[index - 1])
      if (bytes + size > mostBytes && bytes > 0) end(at)
      bytes += size
    }
    end(begins[number + 1])
  }
  return chunks
}

/** The indexes of all entries, tag by tag and ascending within one; those of tag n are order[begins[n]..begins[n + 1]). */
function byTag(
  count: number,
  tags: number,
  numbers: Uint32Array | undefined,
): { order: Uint32Array; begins: Uint32Array } {
  const order = new Uint32Array(count)
  const begins = new Uint32Array(tags + 1)
  if (numbers === undefined) {
    for (let index = 0; index < count; index++) order[index] = index
    begins[1] = count
    return { order, begins }
  }
  for (const number of numbers) begins[number + 1]++
  for (let number = 0; number < tags; number++) begins[number + 1] += begins[number]
  const next = begins.slice()
  for (let index = 0; index < count; index++) order[next[numbers[index]]++] = index
  return { order, begins }
}

/** Joins small chunks, which go out in one piece then, up to `mostBytes` together. */
export function* groupChunks(chunks: readonly Chunk[], mostBytes: number): Generator<readonly Chunk[]> {
  let group: Chunk[] = []
  let bytes = 0
  for (const chunk of chunks) {
    if (group.length > 0 && bytes + chunk.bytes > mostBytes) {
      yield group
      group = []
      bytes = 0
    }
    group.push(chunk)
    bytes += chunk.bytes
  }
  if (group.length > 0) yield group
}

/** What a chunk is known by over several attempts. */
export function suspectOf({ keys }: Batch, { indexes, tag }: Chunk): Suspect {
  const key = (index: number) =>
    Buffer.from(keys.buffer, keys.byteOffset + index * KEY_BYTES, KEY_BYTES).toString('latin1')
  const firstKey = key(indexes[0] ?? 0)
  const lastKey = key(indexes.at(-1) ?? 0)
  const entries = indexes.length
  return { identity: `${firstKey} ${lastKey} ${entries} ${tag}`, tag, firstKey, lastKey, entries }
}

export interface FrameOptions {
  readonly compress: 'none' | 'gzip' | 'zstd'
  /** How the packed entries are wrapped. */
  readonly entries: 'bin' | 'str'
  /** Ask for an acknowledgement. */
  readonly ack: boolean
}

/** Messages, ready to be sent, in memory that may be used again afterwards. */
export interface Frame {
  readonly bytes: Buffer
  readonly memory: Buffer | undefined
}

const compressors = {
  // Level 1: a quarter of the default level's processor time for a tenth more bytes.
  gzip: (bytes: Buffer) => promisify(gzip)(bytes, { level: 1 }),
  zstd: (bytes: Buffer) =>
    promisify(zstdCompress)(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } }) as Promise<Buffer>,
}

/** Makes messages of chunks. */
export class Framer {
  readonly #options: FrameOptions
  readonly #memory = new BodyMemory()

  constructor(options: FrameOptions) {
    this.#options = options
  }

  /** The messages of `chunks`, one after another. */
  async frame(batch: Batch, chunks: readonly Chunk[]): Promise<Frame> {
    const { compress } = this.#options
    const room = chunks.reduce((sum, { bytes }) => sum + bytes + AROUND_BYTES, 0)
    const memory = this.#memory.take(room)
    let at = 0
    if (compress === 'none') {
      for (const { id, tag, indexes, bytes } of chunks) {
        at += this.#head(tag, bytes).copy(memory, at)
        at = packEntries(batch, indexes, memory, at)
        at += this.#tail(id, indexes.length, compress).copy(memory, at)
      }
      return { bytes: memory.subarray(0, at), memory }
    }
    // All is packed before the first wait: whoever gives a batch may use its memory again soon.
    const ends = chunks.map(({ indexes }) => {
      at = packEntries(batch, indexes, memory, at)
      return at
    })
    const parts: Buffer[] = []
    for (const [n, { id, tag, indexes }] of chunks.entries()) {
      const packed = await compressors[compress](memory.subarray(n === 0 ? 0 : ends[n - 1], ends[n]))
      parts.push(this.#head(tag, packed.length), packed, this.#tail(id, indexes.length, compress))
    }
    this.#memory.giveBack(memory)
    return { bytes: Buffer.concat(parts), memory: undefined }
  }

  /** A message without entries: a server that acknowledges it takes messages with this tag at present. */
  probe(tag: string, id: string): Buffer {
    return Buffer.concat([this.#head(tag, 0), this.#tail(id, 0, 'none')])
  }

  /** To be called when a frame has been sent and its bytes are not needed any more. */
  done({ memory }: Frame): void {
    if (memory !== undefined) this.#memory.giveBack(memory)
  }

  /** Array of three, the tag, and how many bytes of entries follow. */
  #head(tag: string, packedBytes: number): Buffer {
    const wrap = Buffer.alloc(5)
    wrap[0] = this.#options.entries === 'bin' ? 0xc6 : 0xdb
    wrap.writeUInt32BE(packedBytes, 1)
    return Buffer.concat([Buffer.of(0x93), textBytes(tag), wrap])
  }

  /** The map of options. */
  #tail(id: string, count: number, compressed: FrameOptions['compress']): Buffer {
    const members = [textBytes('size'), countBytes(count)]
    if (this.#options.ack) members.push(textBytes('chunk'), textBytes(id))
    if (compressed !== 'none') members.push(textBytes('compressed'), textBytes(compressed))
    return Buffer.concat([Buffer.of(0x80 | (members.length / 2)), ...members])
  }
}

/** Writes entries with their times to `out`; returns where they end. bench/fluentd.bench.ts: no object per entry. */
function packEntries(batch: Batch, indexes: Uint32Array, out: Buffer, at: number): number {
  const { ends, realtimes } = batch
  const records = Buffer.from(batch.records.buffer, batch.records.byteOffset, batch.records.length)
  for (let i = 0; i < indexes.length; i++) {
    const index = indexes[i] ?? 0
    const start = index === 0 ? 0 : (ends[index - 1] ?? 0)
    const end = ends[index] ?? 0
    const us = realtimes[index] ?? 0
    // EventTime counts unsigned: it ends in 2106.
    const seconds = Math.floor(us / 1e6)
    const ns = (us - seconds * 1e6) * 1000
    out[at] = 0x92
    out[at + 1] = 0xd7
    out[at + 2] = 0
    out[at + 3] = seconds >>> 24
    out[at + 4] = seconds >>> 16
    out[at + 5] = seconds >>> 8
    out[at + 6] = seconds
    out[at + 7] = ns >>> 24
    out[at + 8] = ns >>> 16
    out[at + 9] = ns >>> 8
    out[at + 10] = ns
    at += ENTRY_HEAD_BYTES
    records.copy(out, at, start, end)
    at += end - start
  }
  return at
}
