// From -u, -t, -p, -b and FIELD=value to one Match. journalctl builds a tree of ANDs and ORs; ours is its disjunctive form,
// so an AND of two ORs is multiplied out. Facts: systemd journalctl.c and logs-show.c of 252, found by comparing.
import { type Problem, problem } from '../../errors.ts'
import { andMatches, type Match, parseMatchArgs } from '../../journal/match.ts'
import { PRIORITIES } from '../../journal/priority.ts'
import { globPattern, isGlob, mangleUnit, unitMatches } from './unitNames.ts'

/** The filter options shared by `read` and `backfill`, as commander hands them over. */
export interface FilterOptions {
  readonly unit?: readonly string[]
  readonly identifier?: readonly string[]
  readonly priority?: string
}

/** Any entry. */
export const EVERYTHING: Match = []

const ALSO: Readonly<Record<string, string>> = { panic: 'emerg', error: 'err', warn: 'warning' }

/**
 * The Match for the options and bare arguments, or undefined when nothing can match: a unit pattern fits no unit.
 * `unitNames` is asked only when there is a pattern. Throws Problem LF_USAGE.
 */
export function buildMatch(
  options: FilterOptions,
  args: readonly string[],
  bootId: string | undefined,
  unitNames: () => Iterable<string>,
): Match | undefined {
  let match = EVERYTHING
  if (bootId !== undefined) match = andMatches(match, oneOf('_BOOT_ID', [bootId]))
  if (options.unit !== undefined) {
    const units = resolveUnits(options.unit, unitNames)
    if (units.length === 0) return undefined
    match = andMatches(match, units.flatMap(unitMatches))
  }
  if (options.identifier !== undefined) match = andMatches(match, oneOf('SYSLOG_IDENTIFIER', options.identifier))
  if (options.priority !== undefined) match = andMatches(match, oneOf('PRIORITY', parsePriorities(options.priority)))
  if (args.length > 0) match = andMatches(match, parseMatchArgs(args))
  return match
}

/**
 * The priorities, as digits, that `-p` means: a level means it and all that are more important; `a..b` what lies between.
 * Throws Problem LF_USAGE.
 */
export function parsePriorities(text: string): string[] {
  const dots = text.indexOf('..')
  const levels =
    dots < 0 ? [0, level(text, text)] : [level(text.slice(0, dots), text), level(text.slice(dots + 2), text)]
  const from = Math.min(...levels)
  const to = Math.max(...levels)
  return Array.from({ length: to - from + 1 }, (_, at) => String(from + at))
}

function level(name: string, whole: string): number {
  const known = PRIORITIES.indexOf(ALSO[name] ?? name)
  const found = known >= 0 ? known : /^[0-7]$/.test(name) ? Number(name) : -1
  if (found < 0) throw unknownLevel(name, whole)
  return found
}

function unknownLevel(name: string, whole: string): Problem {
  const hint = `a level is 0 to 7 or one of ${PRIORITIES.join(', ')}; a range is written err..warning`
  return problem('LF_USAGE', { text: `--priority ${whole}: there is no level "${name}"`, hint })
}

function oneOf(field: string, values: readonly string[]): Match {
  return [[{ field, values }]]
}

function resolveUnits(asked: readonly string[], unitNames: () => Iterable<string>): string[] {
  const names = asked.map(mangleUnit)
  const patterns = names.filter(isGlob).map(globPattern)
  const found = new Set(names.filter((name) => !isGlob(name)))
  if (patterns.length > 0) {
    for (const unit of unitNames()) if (patterns.some((pattern) => pattern.test(unit))) found.add(unit)
  }
  return [...found]
}
