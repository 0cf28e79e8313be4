// Decodes the zstd payloads that lie ahead in the large window in one call: setting up a decoder costs three times as much as decoding one
// of journald's small frames. What is decoded ahead and not asked for is wasted, so the reach follows how much of the last batch was used.

import { zstdDecompressSync } from 'node:zlib'
import { decodesManyFrames, zstdContentSize } from './codec.ts'
import { align8, DATA, dataHead, OBJECT_HEAD, TAG, u64, ZSTD } from './objects.ts'
import type { Windows } from './window.ts'

const FRAMES_MAX = 128
const FRAMES_MIN = 4
const BYTES_MAX = 512 << 10
/** A larger payload gains nothing from company. */
const FRAME_MAX = 256 << 10

export class ZstdBatch {
  /** After `take`: the payload is bytes[start..end). Kept until the next `take` that says true. */
  bytes: Buffer = Buffer.alloc(0)
  start = 0
  end = 0

  readonly #places = new Map<number, number>()
  #starts: number[] = []
  readonly #used = new Uint8Array(FRAMES_MAX)
  #taken = 0
  #reach = 16
  // Frames before this offset are not batched: one among them is damaged.
  #refused = 0

  /**
   * The payload of the zstd DATA at `offset`, decoded together with others up to `limit`; false when it has to be decoded alone.
   * Uses what the large window holds and reads nothing.
   */
  take(windows: Windows, offset: number, limit: number, compact: boolean): boolean {
    let place = this.#places.get(offset)
    if (place === undefined) {
      if (offset < this.#refused || !windows.covers(offset, OBJECT_HEAD) || !decodesManyFrames()) return false
      if (!this.#decode(windows, offset, limit, compact)) return false
      place = 0
    }
    // Kept until the next batch: a second encoder asks for the same again.
    this.#taken += 1 - (this.#used[place] as number)
    this.#used[place] = 1
    this.start = this.#starts[place] as number
    this.end = this.#starts[place + 1] as number
    return true
  }

  release(): void {
    this.bytes = Buffer.alloc(0)
    this.#places.clear()
    this.#starts = []
  }

  #decode(windows: Windows, offset: number, limit: number, compact: boolean): boolean {
    const decoded = this.#starts.length - 1
    if (decoded > 0) {
      this.#reach =
        this.#taken * 2 >= decoded ? Math.min(FRAMES_MAX, this.#reach * 2) : Math.max(FRAMES_MIN, this.#reach >>> 1)
    }
    // The last object may have been half written when the window was read, what lies before it not.
    const stop = Math.min(limit, windows.to, windows.tail || limit)
    const head = dataHead(compact)
    const frames: Buffer[] = []
    const offsets: number[] = []
    const starts: number[] = [0]
    let total = 0
    let at = offset
    while (
      at + OBJECT_HEAD <= stop &&
      frames.length < this.#reach &&
      total < BYTES_MAX &&
      windows.locate(at, OBJECT_HEAD)
    ) {
      const { words, bytes } = windows
      const i = windows.at >>> 2
      const type = (words[i] as number) & 0xff
      const size = u64(words, i + 2)
      if (type < DATA || type > TAG || size <= OBJECT_HEAD || at + size > stop) break
      if (type === DATA && (words[i] as number) >>> 8 === ZSTD) {
        const first = windows.at + head
        const last = windows.at + size
        const content = zstdContentSize(bytes, first, last)
        if (content > 0 && content <= FRAME_MAX) {
          frames.push(bytes.subarray(first, last))
          offsets.push(at)
          total += content
          starts.push(total)
        } else if (at === offset) return false
      }
      at += align8(size)
    }
    if (frames.length < 2 || offsets[0] !== offset) return false
    let all: Buffer
    try {
      all = zstdDecompressSync(Buffer.concat(frames), {
        chunkSize: Math.max(64, total),
        maxOutputLength: Math.max(64, total),
      })
    } catch {
      // One of them is damaged; alone, each but that one will do.
      this.#refused = at
      return false
    }
    if (all.length !== total) {
      this.#refused = at
      return false
    }
    this.#places.clear()
    for (let k = 0; k < offsets.length; k++) this.#places.set(offsets[k] as number, k)
    this.#starts = starts
    this.#used.fill(0)
    this.#taken = 0
    this.bytes = all
    windows.extra = total
    return true
  }
}
