// Every error meant for a person: code, exit status (sysexits), message, and what to do about it.
// A `Problem` is expected and has a code; anything else that is thrown is a bug and ends with exit status 70.

/** Exit statuses, BSD sysexits.h where one fits. */
export const EXIT = {
  ok: 0,
  found: 1,
  usage: 64,
  data: 65,
  unavailable: 69,
  bug: 70,
  io: 74,
  locked: 75,
  permission: 77,
  config: 78,
} as const

interface Row<D> {
  readonly exit: number
  readonly message: (details: D) => string
  readonly hint?: (details: D) => string | undefined
}

function row<D>(exit: number, message: (details: D) => string, hint?: (details: D) => string | undefined): Row<D> {
  return hint === undefined ? { exit, message } : { exit, message, hint }
}

/** One row per code. A code keeps its meaning for ever; docs/reference/errors.md is generated from this table. */
export const PROBLEMS = {
  LF_USAGE: row<{ text: string; hint?: string }>(
    EXIT.usage,
    (d) => d.text,
    (d) => d.hint,
  ),
  LF_JOURNAL_NO_ACCESS: row(
    EXIT.permission,
    (d: { path: string }) => `cannot read ${d.path}: permission denied`,
    () => 'add the user to the group systemd-journal, or run as root',
  ),
  LF_JOURNAL_NO_DIRECTORY: row(
    EXIT.io,
    (d: { paths: readonly string[] }) => `there is no journal directory: looked for ${d.paths.join(', ')}`,
    () => 'is systemd-journald running here? name the directory with -D, or under journal.directories',
  ),
  LF_JOURNAL_EMPTY: row(
    EXIT.io,
    (d: { paths: readonly string[] }) => `no journal files in ${d.paths.join(', ')}`,
    () => 'name another directory with -D, or a file with --file',
  ),
  LF_JOURNAL_NOT_A_JOURNAL: row(
    EXIT.data,
    (d: { path: string; why: string }) => `${d.path} is not a journal file: ${d.why}`,
    () => 'journal files begin with LPKSHHRH and are named *.journal or *.journal~',
  ),
  LF_JOURNAL_UNKNOWN_FLAG: row(
    EXIT.data,
    (d: { path: string; flags: string }) => `${d.path} uses journal features this version cannot read: ${d.flags}`,
    () => 'a newer logferry may read it',
  ),
  LF_JOURNAL_IO: row(EXIT.io, (d: { path: string; why: string }) => `cannot read ${d.path}: ${d.why}`),
} as const

export type ProblemCode = keyof typeof PROBLEMS
type Details<C extends ProblemCode> = Parameters<(typeof PROBLEMS)[C]['message']>[0]

/** An expected failure, written for the person who has to act on it. */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly code: ProblemCode
  readonly exit: number
  readonly hint: string | undefined
  constructor(code: ProblemCode, message: string, exit: number, hint: string | undefined, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.exit = exit
    this.hint = hint
  }
}

/** Makes the Problem of a code. `details` are what the table's message and hint need; `cause` is printed below it. */
export function problem<C extends ProblemCode>(code: C, details: Details<C>, cause?: unknown): Problem {
  const found = PROBLEMS[code] as unknown as Row<Details<C>>
  return new Problem(
    code,
    found.message(details),
    found.exit,
    found.hint?.(details),
    cause === undefined ? undefined : { cause },
  )
}

export function isProblem(error: unknown, code?: ProblemCode): error is Problem {
  return error instanceof Problem && (code === undefined || error.code === code)
}
