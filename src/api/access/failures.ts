// Refused credentials per address: whoever tries too many has to wait. A bounded table; the address that was idle longest is forgotten first.

import type { Clock } from '../../telemetry/clock.ts'

const WINDOW_MS = 60_000
const ADDRESSES_MAX = 10_000

interface Tries {
  /** When the window began, ms of the monotonic clock. */
  since: number
  count: number
}

export class Failures {
  readonly #limit: number
  readonly #clock: Clock
  readonly #addresses = new Map<string, Tries>()

  /** @param limit failures within a minute */
  constructor(limit: number, clock: Clock) {
    this.#limit = limit
    this.#clock = clock
  }

  /** Seconds that the address has to wait; 0 when it may try. */
  waitSeconds(address: string): number {
    const tries = this.#addresses.get(address)
    if (tries === undefined || tries.count < this.#limit) return 0
    const left = tries.since + WINDOW_MS - this.#clock.monotonic()
    return left <= 0 ? 0 : Math.ceil(left / 1000)
  }

  note(address: string): void {
    const now = this.#clock.monotonic()
    const tries = this.#addresses.get(address)
    this.#addresses.delete(address)
    const isCurrent = tries !== undefined && now - tries.since < WINDOW_MS
    this.#addresses.set(address, isCurrent ? { since: tries.since, count: tries.count + 1 } : { since: now, count: 1 })
    if (this.#addresses.size <= ADDRESSES_MAX) return
    const [oldest] = this.#addresses.keys()
    if (oldest !== undefined) this.#addresses.delete(oldest)
  }
}
