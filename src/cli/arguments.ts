// What getopt does for journalctl and commander does not: `-n` and `-b` take the next argument only when it can be their
// value (`-n _PID=1` is ten lines of process 1), and `--match A=1 + --match B=2` keeps its order among the bare matches.

/** The part of commander's Option that is needed here. */
export interface OptionShape {
  readonly short?: string | undefined
  readonly long?: string | undefined
  readonly required: boolean
  readonly optional: boolean
}

/** What an optional value may look like, and what its absence means. */
const OPTIONAL: Readonly<Record<string, { readonly form: RegExp; readonly otherwise: string }>> = {
  '--lines': { form: /^(?:\d+|all)$/, otherwise: '10' },
  '--boot': { form: /^(?:all|[0-9a-f]{32}(?:[+-]\d+)?|[+-]?\d+)$/i, otherwise: '0' },
}

/** Rewrites `args` so that every optional value is written with `=`, and `--match X` is the bare argument X. */
export function bindOptionalValues(args: readonly string[], options: readonly OptionShape[]): string[] {
  const bound: string[] = []
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] as string
    if (arg === '--') return [...bound, ...args.slice(at)]
    const takesNext = arg.startsWith('--')
      ? bindLong(arg, args[at + 1], options, bound)
      : bindShort(arg, args[at + 1], options, bound)
    if (takesNext) at++
  }
  return bound
}

function bindLong(arg: string, next: string | undefined, options: readonly OptionShape[], bound: string[]): boolean {
  const equals = arg.indexOf('=')
  const name = equals < 0 ? arg : arg.slice(0, equals)
  const option = options.find((known) => known.long === name)
  if (equals >= 0 || option === undefined) {
    bound.push(name === '--match' && option !== undefined ? arg.slice(equals + 1) : arg)
    return false
  }
  if (option.optional) return bindOptional(name, next, bound)
  if (!option.required || next === undefined) {
    bound.push(arg)
    return false
  }
  if (name === '--match') bound.push(next)
  else bound.push(`${name}=${next}`)
  return true
}

/** `-rn5`, `-rn 5`, `-uNAME`: flags may be run together, and the first that takes a value takes the rest. */
function bindShort(arg: string, next: string | undefined, options: readonly OptionShape[], bound: string[]): boolean {
  if (!/^-[A-Za-z]/.test(arg)) {
    bound.push(arg)
    return false
  }
  for (let at = 1; at < arg.length; at++) {
    const option = options.find((known) => known.short === `-${arg[at]}`)
    const long = option?.long
    if (option === undefined || long === undefined) {
      // Unknown: commander says so, with the nearest right name.
      bound.push(`-${arg.slice(at)}`)
      return false
    }
    const rest = arg.slice(at + 1)
    if (option.optional) {
      if (rest === '') return bindOptional(long, next, bound)
      bound.push(`${long}=${rest}`)
      return false
    }
    if (option.required) {
      if (rest === '' && next === undefined) {
        bound.push(long)
        return false
      }
      bound.push(`${long}=${rest === '' ? next : rest}`)
      return rest === ''
    }
    bound.push(long)
  }
  return false
}

function bindOptional(name: string, next: string | undefined, bound: string[]): boolean {
  const rule = OPTIONAL[name]
  if (rule === undefined) {
    bound.push(name)
    return false
  }
  const takes = next !== undefined && rule.form.test(next)
  bound.push(`${name}=${takes ? next : rule.otherwise}`)
  return takes
}
