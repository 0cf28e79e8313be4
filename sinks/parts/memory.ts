// Memory for request bodies, used again and again: new pages cost more than everything else that a body is made with.
// Invariant: what was given back is not read by anybody any more, which is for the giver to know.

/** Sizes are rounded up to this, so that a slightly larger body does not need other memory. */
const STEP_BYTES = 256 * 1024

export class BodyMemory {
  readonly #most: number
  readonly #mostBytes: number
  #free: Buffer[] = []

  /**
   * @param most so many pieces are kept
   * @param mostBytes larger ones are not kept
   */
  constructor(most = 2, mostBytes = 8 * 2 ** 20) {
    this.#most = most
    this.#mostBytes = mostBytes
  }

  /** At least `bytes` bytes, with anything in them. */
  take(bytes: number): Buffer {
    const at = this.#free.findIndex((free) => free.length >= bytes)
    const [found] = at < 0 ? [] : this.#free.splice(at, 1)
    return found ?? Buffer.allocUnsafeSlow(Math.ceil(bytes / STEP_BYTES) * STEP_BYTES)
  }

  /** Takes a piece back, or a part of one that begins where it begins. */
  giveBack(part: Buffer): void {
    const { buffer } = part
    if (buffer.byteLength > this.#mostBytes) return
    this.#free.push(Buffer.from(buffer as ArrayBuffer))
    // The smallest goes: sizes grow to that of a full body and stay there.
    if (this.#free.length <= this.#most) return
    this.#free.sort((a, b) => b.length - a.length)
    this.#free.pop()
  }

  /** Lets all of it go. */
  clear(): void {
    this.#free = []
  }
}
