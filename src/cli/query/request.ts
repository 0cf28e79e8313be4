// The options of `read` as a checked request: everything that can be said about them without opening a journal.
import { problem } from '../../errors.ts'
import { type CursorParts, parseCursor } from '../../journal/cursor.ts'
import { parseTime } from '../../time.ts'
import { type BootChoice, parseBoot } from './boots.ts'
import type { FilterOptions } from './filters.ts'
import { type Place, type PlaceOptions, parsePlace } from './place.ts'

/** As commander hands them over. */
export interface ReadOptions extends FilterOptions, PlaceOptions {
  readonly since?: string
  readonly until?: string
  readonly cursor?: string
  readonly afterCursor?: string
  readonly boot?: string
  readonly lines?: string
  readonly reverse?: boolean
  readonly follow?: boolean
  /** False with --no-tail. */
  readonly tail: boolean
  readonly output: Form
  readonly all?: boolean
  readonly utc?: boolean
  readonly showCursor?: boolean
  readonly quiet?: boolean
}

export type Form = 'short' | 'short-iso' | 'cat' | 'json' | 'json-pretty' | 'export' | 'ecs'

export interface ReadRequest {
  readonly place: Place
  readonly filters: FilterOptions
  /** FIELD=value and `+`, in the order given. */
  readonly matches: readonly string[]
  readonly boot: BootChoice | undefined
  /** Realtime µs, inclusive; 0 and Infinity where not given. */
  readonly since: number
  readonly until: number
  readonly start: StartAt
  /** Entries to show at most before following; Infinity for all. */
  readonly lines: number
  readonly reverse: boolean
  readonly follow: boolean
  readonly form: Form
  readonly all: boolean
  readonly utc: boolean
  readonly showCursor: boolean
  /** No `-- Boot … --` and `-- No entries --`: asked for, or a form that machines read. */
  readonly quiet: boolean
}

/** Where the first entry is. */
export type StartAt =
  | { readonly kind: 'head' }
  | { readonly kind: 'tail'; readonly entries: number }
  | { readonly kind: 'realtime'; readonly us: number }
  | { readonly kind: 'cursor'; readonly cursor: CursorParts; readonly after: boolean }

const FOLLOW_LINES = 10
const TALKING: readonly Form[] = ['short', 'short-iso']

/** Checks the options of `read`. Throws Problem LF_USAGE, LF_TIME_INVALID, LF_CURSOR_INVALID. */
export function parseReadRequest(matches: readonly string[], options: ReadOptions, nowUs: number): ReadRequest {
  const { reverse = false, follow = false } = options
  if (follow && reverse) throw usage('--follow and --reverse exclude each other')
  const starts = [options.cursor && '--cursor', options.afterCursor && '--after-cursor', options.since && '--since']
  const given = starts.filter((name) => typeof name === 'string')
  if (given.length > 1) throw usage(`${given.join(' and ')} exclude each other: one of them says where to start`)
  const since = options.since === undefined ? 0 : parseTime(options.since, nowUs)
  const until = options.until === undefined ? Number.POSITIVE_INFINITY : parseTime(options.until, nowUs)
  if (since > until) throw usage('--since is later than --until')
  const lines = parseLines(options, follow)
  return {
    place: parsePlace(options),
    filters: options,
    matches,
    boot: options.boot === undefined ? undefined : parseBoot(options.boot),
    since,
    until,
    start: startOf(options, since, until, lines),
    lines,
    reverse,
    follow,
    form: options.output,
    all: options.all === true,
    utc: options.utc === true,
    showCursor: options.showCursor === true,
    quiet: options.quiet === true || !TALKING.includes(options.output),
  }
}

function parseLines(options: ReadOptions, follow: boolean): number {
  if (!options.tail || options.lines === 'all') return Number.POSITIVE_INFINITY
  if (options.lines === undefined) {
    return follow && options.since === undefined ? FOLLOW_LINES : Number.POSITIVE_INFINITY
  }
  if (!/^\d+$/.test(options.lines)) throw usage(`--lines ${options.lines}: expected a number or "all"`)
  return Number(options.lines)
}

/**
 * journalctl's order of precedence (252): a cursor; --since, from which -n counts forwards; --until, from which --reverse goes
 * back; the newest with --reverse; the last -n; else the oldest.
 */
function startOf(options: ReadOptions, since: number, until: number, lines: number): StartAt {
  if (options.cursor !== undefined) return { kind: 'cursor', cursor: parseCursor(options.cursor), after: false }
  if (options.afterCursor !== undefined)
    return { kind: 'cursor', cursor: parseCursor(options.afterCursor), after: true }
  if (options.reverse === true) {
    return options.until === undefined ? { kind: 'tail', entries: 0 } : { kind: 'realtime', us: until }
  }
  if (options.since !== undefined) return { kind: 'realtime', us: since }
  return lines === Number.POSITIVE_INFINITY ? { kind: 'head' } : { kind: 'tail', entries: lines }
}

function usage(text: string) {
  return problem('LF_USAGE', { text, hint: 'see logferry read --help' })
}
