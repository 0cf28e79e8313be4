// Reads one DATA at a time: checks it, decompresses it, finds where its name ends.

import { decompress, MAX_PAYLOAD } from './codec.ts'
import { DATA, dataHead, ZSTD } from './objects.ts'
import { EMPTY, type Windows } from './window.ts'
import type { ZstdBatch } from './zstdBatch.ts'

const EQUALS = 0x3d

export class PayloadReader {
  /** The payload is bytes[start..end), its first '=' stands at `equals`. Until the next `read`. */
  bytes: Buffer = EMPTY
  start = 0
  end = 0
  equals = 0
  /** The same memory as `bytes`, when the payload was stored plain; `start` is a multiple of 8 then. */
  words: Uint32Array | undefined = undefined
  /** More than one entry refers to it. */
  shared = false

  readonly #windows: Windows
  readonly #batch: ZstdBatch
  readonly #compact: boolean
  readonly #headerSize: number
  readonly #head: number

  constructor(windows: Windows, batch: ZstdBatch, compact: boolean, headerSize: number) {
    this.#windows = windows
    this.#batch = batch
    this.#compact = compact
    this.#headerSize = headerSize
    this.#head = dataHead(compact)
  }

  /** False when there is no valid DATA at `offset`. Zstd frames up to `limit` may be decoded with it. */
  read(offset: number, limit: number): boolean {
    const windows = this.#windows
    const head = this.#head
    if (offset < this.#headerSize || !windows.locate(offset, head)) return false
    const i = windows.at >>> 2
    const kind = windows.words[i] as number
    const size = windows.words[i + 2] as number
    if ((kind & 0xff) !== DATA || windows.words[i + 3] !== 0 || size <= head || size - head > MAX_PAYLOAD) return false
    this.shared = (windows.words[i + 14] as number) > 1 || windows.words[i + 15] !== 0
    const flag = (kind >>> 8) & 0xff
    if (flag === ZSTD && this.#batch.take(windows, offset, limit, this.#compact)) {
      return this.#set(this.#batch.bytes, undefined, this.#batch.start, this.#batch.end)
    }
    // Not needed again for plain DATA in the large window, which are nearly all.
    if ((flag !== 0 || !windows.covers(offset, size)) && !windows.locate(offset, size)) return false
    const start = windows.at + head
    const end = windows.at + size
    if (flag === 0) return this.#set(windows.bytes, windows.words, start, end)
    const plain = decompress(flag, windows.bytes.subarray(start, end))
    return plain !== undefined && this.#set(plain, undefined, 0, plain.length)
  }

  /** Lets go of the memory that the payload is in. */
  drop(): void {
    this.bytes = EMPTY
    this.words = undefined
    this.start = this.end = this.equals = 0
  }

  #set(bytes: Buffer, words: Uint32Array | undefined, start: number, end: number): boolean {
    let at = start
    while (at < end && bytes[at] !== EQUALS) at++
    if (at === end) return false
    this.bytes = bytes
    this.words = words
    this.start = start
    this.end = end
    this.equals = at
    return true
  }
}
