// What SIGINT and SIGTERM do to a command: a one-shot command ends at once with 130 or 143; a long one is asked to stop,
// and a second signal ends it at once.

const STATUS = { SIGINT: 130, SIGTERM: 143 } as const

/** A command that holds nothing which must be put down first. */
export function endOnSignals(): void {
  for (const [name, status] of Object.entries(STATUS)) process.on(name, () => process.exit(status))
}

/** Asks a command to stop. */
export interface Stop {
  /** Aborted at the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal
  /** The status that the first signal asks for (130 or 143), or undefined when none came. */
  status(): number | undefined
}

/** A command that has to drain: the first signal aborts, the second one ends the process at once. */
export function stopOnSignals(): Stop {
  const stop = new AbortController()
  let asked: number | undefined
  for (const [name, status] of Object.entries(STATUS)) {
    process.on(name, () => {
      if (asked !== undefined) process.exit(status)
      asked = status
      stop.abort(new Error(`stopped by ${name}`))
    })
  }
  return { signal: stop.signal, status: () => asked }
}
