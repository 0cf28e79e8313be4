// Time as a thing that is passed in, so that tests can pass in another one.

/** The clock that everything which waits or measures is given. */
export interface Clock {
  /** Wall-clock time, milliseconds since 1970. May step. */
  now(): number
  /** Milliseconds since some fixed point; never steps back. For measuring how long something took. */
  monotonic(): number
  /** Resolves after `ms`, or 24 days if that is shorter. Rejects with the signal's reason as soon as it is aborted, and leaves no timer behind. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** The machine's own clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep(ms, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const stop = (): void => {
        clearTimeout(timer)
        reject(signal?.reason)
      }
      const timer = setTimeout(
        () => {
          signal?.removeEventListener('abort', stop)
          resolve()
        },
        // setTimeout takes a 32-bit number and fires at once beyond it.
        Math.min(ms, 2 ** 31 - 1),
      )
      signal?.addEventListener('abort', stop, { once: true })
    })
  },
}
