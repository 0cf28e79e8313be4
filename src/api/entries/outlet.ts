// The way out to one client, with backpressure: whoever writes waits until what was written is on its way, so a slow client holds no more than
// one chunk here and the socket's own buffer. A client that takes nothing for too long is cut.

import type { ServerResponse } from 'node:http'
import type { Transform } from 'node:stream'

/** Smaller copies come from Node's own pool. */
const SMALL = 16 << 10
/** A chunk and the entry that filled it. */
const ROOM = 256 << 10
const FREE_MAX = 3

/** Aborted when the client is gone, or has everything. */
export function goneSignal(response: ServerResponse): AbortSignal {
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  return gone.signal
}

export interface OutletOptions {
  /** A client that takes nothing for so long is cut. */
  readonly stallMs: number
  /** Told when that happened. */
  readonly onStall: () => void
  /** Compresses on the way. */
  readonly through?: Transform
}

export class Outlet {
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal
  /** `performance.now()` of the last write. */
  lastWrite = performance.now()
  /** Bytes before compression. */
  bytes = 0
  /** Buffers whose bytes are on their way. */
  readonly #free: Buffer[] = []
  readonly #gone = new AbortController()
  readonly #response: ServerResponse
  readonly #target: ServerResponse | Transform
  readonly #options: OutletOptions

  /** The head of the answer must have been written. */
  constructor(response: ServerResponse, options: OutletOptions) {
    this.#response = response
    this.#options = options
    this.#target = options.through ?? response
    this.signal = this.#gone.signal
    options.through?.pipe(response)
    const gone = (): void => this.#gone.abort()
    response.once('close', gone)
    // A reset connection; `close` follows.
    response.on('error', gone)
    if (response.destroyed || response.socket === null) gone()
  }

  /** Sends bytes, which must not change before `onSent`; resolves when there is room for more, with false when the client is gone. */
  write(bytes: Uint8Array, onSent?: () => void): Promise<boolean> | boolean {
    if (this.signal.aborted) return false
    this.lastWrite = performance.now()
    this.bytes += bytes.length
    return this.#target.write(bytes, onSent) || this.#drained()
  }

  /** Sends a copy of bytes that will be written over. Large copies take turns in a few buffers: fresh memory for each would cost more than the copying. */
  writeCopy(bytes: Uint8Array): Promise<boolean> | boolean {
    const { length } = bytes
    if (length < SMALL || length > ROOM) return this.write(Buffer.from(bytes))
    if (this.signal.aborted) return false
    const buffer = this.#free.pop() ?? Buffer.allocUnsafeSlow(ROOM)
    buffer.set(bytes)
    return this.write(buffer.subarray(0, length), () => {
      if (this.#free.length < FREE_MAX) this.#free.push(buffer)
    })
  }

  /** Hands out what a compressor still holds, so that a follower sees it now. */
  async flush(): Promise<void> {
    const { through } = this.#options
    if (through === undefined || this.signal.aborted) return
    await new Promise<void>((resolve) => {
      this.signal.addEventListener('abort', () => resolve(), { once: true })
      ;(through as Transform & { flush(done: () => void): void }).flush(resolve)
    })
  }

  /** The regular end. */
  end(): void {
    if (!this.signal.aborted) this.#target.end()
  }

  /** An end that the client can tell from a regular one: the last chunk is missing. */
  break(): void {
    this.#response.destroy()
  }

  async #drained(): Promise<boolean> {
    const target = this.#target
    if (!target.writableNeedDrain) return !this.signal.aborted
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const drained = (): void => resolve(true)
    const gone = (): void => resolve(false)
    const timer = setTimeout(() => {
      this.#options.onStall()
      this.break()
      resolve(false)
    }, this.#options.stallMs)
    target.once('drain', drained)
    this.signal.addEventListener('abort', gone, { once: true })
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      target.off('drain', drained)
      this.signal.removeEventListener('abort', gone)
    }
  }
}
