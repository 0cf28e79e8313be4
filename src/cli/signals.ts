// What SIGINT and SIGTERM do to a command: a one-shot command ends at once with 130 or 143; a long one is asked to stop,
// and a second signal ends it at once.

import { closeSync, openSync } from 'node:fs'

const STATUS = { SIGINT: 130, SIGTERM: 143 } as const

/** A command that holds nothing which must be put down first. */
export function endOnSignals(): void {
  for (const [name, status] of Object.entries(STATUS)) process.on(name, () => process.exit(status))
}

/** Asks a command to stop. */
export interface Stop {
  /** Aborted at the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal
  /** Asks as a signal would. */
  ask(): void
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
  return { signal: stop.signal, ask: () => stop.abort(new Error('stopped')), status: () => asked }
}

/**
 * Calls `reload` at SIGHUP, unless it comes because the terminal that we were started from was closed: then `stop`, since nobody
 * is there any more to end us.
 */
export function onHangup(reload: () => void, stop: () => void): void {
  const hadTerminal = hasTerminal()
  process.on('SIGHUP', () => {
    if (hadTerminal && !hasTerminal()) stop()
    else reload()
  })
}

/** Is there a controlling terminal? Without one the device cannot be opened. */
function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'))
    return true
  } catch {
    return false // ENXIO: none. Anything else means as much.
  }
}
