// Comments that keep idle event streams open, sent by one timer for all: after 15 s of silence, and after a second to a stream that has had nothing yet.
// Source of both times: dcos-log, api (A stream that has nothing to send pings with the first look into the journal).

import type { Outlet } from './outlet.ts'

const PING = Buffer.from(': ping\n\n')
const SILENCE_MS = 15_000
const LOOK_MS = 1000

export class Pings {
  readonly #outlets = new Set<Outlet>()
  #timer: NodeJS.Timeout | undefined

  /** Pings from now on. Returns how to stop. */
  add(outlet: Outlet): () => void {
    this.#outlets.add(outlet)
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS)
    return () => {
      this.#outlets.delete(outlet)
      if (this.#outlets.size > 0) return
      clearInterval(this.#timer)
      this.#timer = undefined
    }
  }

  #look(): void {
    const now = performance.now()
    for (const outlet of this.#outlets) {
      const silence = now - outlet.lastWrite
      if (silence >= SILENCE_MS || (outlet.bytes === 0 && silence >= LOOK_MS - 50)) void outlet.write(PING)
    }
  }
}
