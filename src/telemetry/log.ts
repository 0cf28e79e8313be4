// The program's own log lines: always to stderr, JSON by pino where a machine reads them, one readable line where a
// person does. Data goes to stdout and never through here. Also the limiter for messages that repeat.

import { writeSync } from 'node:fs'
import { formatDuration } from '../units.ts'
import type { Clock } from './clock.ts'
import { formatLine, isExpected } from './logLine.ts'

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** Who writes log lines gets one of these. `fields` are for machines to search by; an Error belongs under `error`. */
export interface Log {
  debug(text: string, fields?: object): void
  info(text: string, fields?: object): void
  warn(text: string, fields?: object): void
  error(text: string, fields?: object): void
  /** A log whose lines all carry `fields`. Follows its parent's level. */
  child(fields: object): Log
}

/** The log that `createLog` gives; the level can be changed while it runs (reload). */
export interface RootLog extends Log {
  level: LogLevel
}

/** Where lines go. */
export interface LogTarget {
  write(line: string): void
}

export interface LogOptions {
  readonly level: LogLevel
  /** `auto`: `text` when stderr is a terminal, else `json`. */
  readonly format: 'auto' | 'json' | 'text'
  /** Left out: stderr. */
  readonly target?: LogTarget
  /** Left out: whether stderr is a terminal (and NO_COLOR is not set). Only for `text`. */
  readonly colour?: boolean
}

/** Says nothing. For tests, and for commands which have nobody to tell. */
export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
}

/** Makes the program's log. pino is imported only when JSON is wanted. */
export async function createLog(options: LogOptions): Promise<RootLog> {
  const isJson = options.format === 'json' || (options.format === 'auto' && !process.stderr.isTTY)
  return isJson ? jsonLog(options) : textLog(options)
}

async function jsonLog(options: LogOptions): Promise<RootLog> {
  const { pino } = await import('pino')
  const target = options.target ?? openStderr(pino)
  const root = pino(
    {
      level: options.level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: (error: unknown) => describeError(error) },
    },
    target,
  )
  // Levels of pino's children are their own, so the gate is here, before pino, and shared by all.
  const gate = { least: LOG_LEVELS.indexOf(options.level) }
  root.level = 'debug'
  const wrap = (logger: typeof root): Log => ({
    debug(text, fields) {
      if (gate.least <= 0) logger.debug(fields ?? {}, text)
    },
    info(text, fields) {
      if (gate.least <= 1) logger.info(fields ?? {}, text)
    },
    warn(text, fields) {
      if (gate.least <= 2) logger.warn(fields ?? {}, text)
    },
    error(text, fields) {
      logger.error(fields ?? {}, text)
    },
    child: (fields) => wrap(logger.child(fields)),
  })
  return withLevel(wrap(root), gate)
}

function openStderr(pino: typeof import('pino').pino): LogTarget {
  // Synchronous, so that the last line before a crash is out.
  const stderr = pino.destination({ fd: 2, sync: true })
  // Whoever read stderr is gone or its disk is full. There is no other place to say so, and logs must not end the daemon.
  stderr.on('error', () => {})
  return stderr
}

/** Not process.stderr, whose errors (the terminal was closed) would end the process. */
const plainStderr: LogTarget = {
  write(line) {
    try {
      writeSync(2, line)
    } catch {
      // EPIPE, EIO: nobody reads any more. EAGAIN: the reader has stopped, and a log line is not worth waiting for.
    }
  },
}

function textLog(options: LogOptions): RootLog {
  const colour = options.colour ?? (process.stderr.isTTY && !process.env['NO_COLOR'])
  const target = options.target ?? plainStderr
  const gate = { least: LOG_LEVELS.indexOf(options.level) }
  const wrap = (bound: object): Log => {
    const say = (level: LogLevel) => (text: string, fields?: object) => {
      if (LOG_LEVELS.indexOf(level) < gate.least) return
      target.write(formatLine(level, text, { ...bound, ...fields }, new Date(), colour))
    }
    return {
      debug: say('debug'),
      info: say('info'),
      warn: say('warn'),
      error: say('error'),
      child: (fields) => wrap({ ...bound, ...fields }),
    }
  }
  return withLevel(wrap({}), gate)
}

function withLevel(log: Log, gate: { least: number }): RootLog {
  return {
    ...log,
    get level() {
      return LOG_LEVELS[gate.least] as LogLevel
    },
    set level(level) {
      gate.least = LOG_LEVELS.indexOf(level)
    },
  }
}

/** An error as data: message, code and causes; the stack only of a bug, as `isExpected` tells. */
export function describeError(error: unknown, withStack = true): unknown {
  if (!(error instanceof Error)) return error
  const { code, hint, failure } = error as { code?: unknown; hint?: unknown; failure?: unknown }
  const hasStack = withStack && !isExpected(error)
  return {
    name: error.name,
    message: error.message,
    ...(code === undefined ? {} : { code }),
    ...(failure === undefined ? {} : { failure }),
    ...(hint === undefined ? {} : { hint }),
    ...(hasStack ? { stack: error.stack } : {}),
    ...(error.cause === undefined ? {} : { cause: describeError(error.cause, hasStack) }),
  }
}

interface Outage {
  readonly since: number
  lastLine: number
  /** Failures since the last line. */
  unsaid: number
  total: number
  /** Texts already written since the last summary; a new one is news and is not held back, up to a limit. */
  readonly texts: Set<string>
}

const NEW_TEXTS_AT_ONCE = 5

/**
 * Limits a message that repeats, by key (a sink's name, say): the first is written at once, then one line per period with
 * a count, and one when it works again with the length of the outage. Another text under the same key is news and is
 * written at once as well. No timers: it acts when it is told something.
 */
export class RepeatedMessages {
  readonly #log: Log
  readonly #clock: Clock
  readonly #everyMs: number
  readonly #outages = new Map<string, Outage>()

  /** @param everyMs the period of the summary lines, milliseconds */
  constructor(log: Log, clock: Clock, everyMs = 30_000) {
    this.#log = log
    this.#clock = clock
    this.#everyMs = everyMs
  }

  /** It failed, for the reason in `text`. */
  failed(key: string, text: string, fields?: object): void {
    const now = this.#clock.monotonic()
    const outage = this.#outages.get(key)
    if (outage === undefined) {
      this.#outages.set(key, { since: now, lastLine: now, unsaid: 0, total: 1, texts: new Set([text]) })
      this.#log.warn(text, fields)
      return
    }
    outage.total++
    if (now - outage.lastLine >= this.#everyMs) {
      const quiet = formatDuration(now - outage.lastLine)
      this.#log.warn(`${text} (${outage.unsaid + 1} times in the last ${quiet})`, fields)
      outage.lastLine = now
      outage.unsaid = 0
      outage.texts.clear()
      outage.texts.add(text)
    } else if (!outage.texts.has(text) && outage.texts.size < NEW_TEXTS_AT_ONCE) {
      outage.texts.add(text)
      this.#log.warn(text, fields)
    } else {
      outage.unsaid++
    }
  }

  /** It works. Writes `text` with the outage's length when it had failed before, else nothing. */
  works(key: string, text: string, fields?: object): void {
    const outage = this.#outages.get(key)
    if (outage === undefined) return
    this.#outages.delete(key)
    const length = formatDuration(this.#clock.monotonic() - outage.since)
    const times = outage.total === 1 ? '1 failure' : `${outage.total} failures`
    this.#log.info(`${text} (after ${length} and ${times})`, fields)
  }

  /** Forgets a key without a word, as when its sink is removed. */
  forget(key: string): void {
    this.#outages.delete(key)
  }
}
