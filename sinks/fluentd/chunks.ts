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
  const { tags, numbers } = tagsOf(batch, template)
  const chunks: Chunk[] = []
  for (const [number, tag] of tags.entries()) {
    const indexes = numbers === undefined ? allOf(batch) : indexesOf(numbers, number)
    let from = 0
    let bytes = 0
    const end = (to: number) => {
      chunks.push({ id: `${batch.id}/${chunks.length}`, tag, indexes: indexes.subarray(from, to), bytes })
      from = to
      bytes = 0
    }
    for (let at = 0; at < indexes.length; at++) {
      const index = indexes[at] ?? 0
      const size = ENTRY_HEAD_BYTES + (batch.ends[index] ?? 0) - startOf(batch, index)
      if (bytes + size > mostBytes && bytes > 0) end(at)
      bytes += size
    }
    end(indexes.length)
  }
  return chunks
}

/** What a chunk is known by over several attempts. */
export function suspectOf({ keys }: Batch, { indexes, tag }: Chunk): Suspect {
  const key = (index: number) =>
    Buffer.from(keys.buffer, keys.byteOffset + index * KEY_BYTES, KEY_BYTES).toString('latin1')
  const firstKey = key(indexes[0] ?? 0)
  const lastKey = key(indexes.at(-1) ?? 0)
  const entries = indexes.length
  return { identity: `${firstKey} ${lastKey} ${entries} ${tag}`, firstKey, lastKey, entries }
}

function allOf({ ends }: Batch): Uint32Array {
  const indexes = new Uint32Array(ends.length)
  for (let index = 0; index < indexes.length; index++) indexes[index] = index
  return indexes
}

function indexesOf(numbers: Uint32Array, number: number): Uint32Array {
  const indexes = new Uint32Array(numbers.length)
  let count = 0
  for (let index = 0; index < numbers.length; index++) if (numbers[index] === number) indexes[count++] = index
  return indexes.subarray(0, count)
}

function startOf({ ends }: Batch, index: number): number {
  return index === 0 ? 0 : (ends[index - 1] ?? 0)
}

export interface FrameOptions {
  readonly compress: 'none' | 'gzip' | 'zstd'
  /** How the packed entries are wrapped. */
  readonly entries: 'bin' | 'str'
  /** Ask for an acknowledgement. */
  readonly ack: boolean
}

/** A message, ready to be sent, in memory that may be used again afterwards. */
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

  async frame(batch: Batch, chunk: Chunk): Promise<Frame> {
    const { compress } = this.#options
    const memory = this.#memory.take(chunk.bytes + AROUND_BYTES)
    const tail = this.#tail(chunk.id, chunk.indexes.length, compress)
    if (compress === 'none') {
      const head = this.#head(chunk.tag, chunk.bytes)
      head.copy(memory)
      const end = packEntries(batch, chunk.indexes, memory, head.length)
      tail.copy(memory, end)
      return { bytes: memory.subarray(0, end + tail.length), memory }
    }
    const packed = await compressors[compress](memory.subarray(0, packEntries(batch, chunk.indexes, memory, 0)))
    this.#memory.giveBack(memory)
    return { bytes: Buffer.concat([this.#head(chunk.tag, packed.length), packed, tail]), memory: undefined }
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
