// The growing buffer that records are written into. Invariant: `out` and `view` are over the same memory, and everything before
// `length` is finished. Writers ask for room first and then write without further checks, so a call of `room` may replace `out`.

const START = 1 << 20
// A buffer that one giant value has blown up is not kept for ever.
const KEEP = 4 << 20

/** `Buffer` with the two methods that copy one-byte strings without looking up an encoding; @types/node does not list them. */
export type ByteBuffer = Buffer & {
  latin1Write(text: string, at: number, length: number): number
  latin1Slice(start: number, end: number): string
}

/** Makes a buffer of its own memory, not of Node's shared pool. */
export function byteBuffer(bytes: number): ByteBuffer {
  return Buffer.allocUnsafeSlow(bytes) as ByteBuffer
}

export class Output {
  /** The records; valid up to `length`. Replaced when it grows: never keep it over an `encode`. */
  out: ByteBuffer
  /** The same memory, for writes of four bytes at a time. */
  view: DataView
  /** Bytes written. */
  length = 0
  #source: Uint8Array | undefined
  #sourceWords: Uint32Array | undefined

  /** @param bytes room at the start */
  constructor(bytes: number = START) {
    this.out = byteBuffer(bytes)
    this.view = new DataView(this.out.buffer)
  }

  /** Makes sure that `bytes` more fit. */
  room(bytes: number): void {
    const need = this.length + bytes
    if (need <= this.out.length) return
    const grown = byteBuffer(Math.max(this.out.length * 2, (need + 0xffff) & -0x10000))
    this.out.copy(grown, 0, 0, this.length)
    this.out = grown
    this.view = new DataView(grown.buffer)
  }

  /** `bytes` as words, undefined when they are not aligned. The last answer is kept: decompressed values come many in one buffer. */
  wordsOf(bytes: Uint8Array): Uint32Array | undefined {
    if (bytes !== this.#source) {
      this.#source = bytes
      const aligned = (bytes.byteOffset & 3) === 0
      this.#sourceWords = aligned ? new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2) : undefined
    }
    return this.#sourceWords
  }

  /** Forgets the records, keeps the buffer. */
  reset(): void {
    this.length = 0
    this.#source = undefined
    this.#sourceWords = undefined
    if (this.out.length <= KEEP) return
    this.out = byteBuffer(START)
    this.view = new DataView(this.out.buffer)
  }
}
