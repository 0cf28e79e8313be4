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
  LF_TIME_INVALID: row(
    EXIT.usage,
    (d: { text: string; why: string }) => `"${d.text}" is not a time: ${d.why}`,
    () =>
      'expected a time such as "2026-01-31 13:45:00", "2026-01-31 13:45 UTC", 13:45, yesterday, now, -2h, "2h ago", @1769866800 or 2026-01-31T13:45:00Z',
  ),
  LF_LISTEN: row(
    EXIT.io,
    (d: { address: string; why: string }) => `cannot listen on ${d.address}: ${d.why}`,
    () => 'choose another address in the configuration, or stop whatever has it',
  ),
  LF_API_KEY: row(
    EXIT.config,
    (d: { why: string }) => `the API cannot use a key: ${d.why}`,
    () => 'api.tls, api.auth.jwt and mesos.tls in the configuration name the keys',
  ),
  LF_CONFIG: row(EXIT.config, (d: { path: string; count: number; lines: readonly string[] }) =>
    [`${d.path} has ${d.count === 1 ? 'a mistake' : `${d.count} mistakes`}:`, ...d.lines].join('\n'),
  ),
  LF_CONFIG_UNREADABLE: row(
    EXIT.config,
    (d: { path: string; why: string }) => `cannot read the configuration ${d.path}: ${d.why}`,
    () => 'name the file with -c FILE',
  ),
  LF_CONFIG_NO_ACCESS: row(
    EXIT.permission,
    (d: { path: string }) => `cannot read the configuration ${d.path}: permission denied`,
    () => 'the user that logferry runs as must be able to read it',
  ),
  LF_CONFIG_SYNTAX: row(EXIT.config, (d: { why: string }) => `not valid YAML: ${d.why}`),
  LF_CONFIG_UNKNOWN_KEY: row(
    EXIT.config,
    (d: { key: string; near: string | undefined; known: readonly string[] }) => `there is no option "${d.key}"`,
    (d) => (d.near === undefined ? `expected ${d.known.join(', ')}` : `did you mean "${d.near}"?`),
  ),
  LF_CONFIG_MISSING: row(EXIT.config, (d: { why: string }) => `is missing, ${d.why}`),
  LF_CONFIG_VALUE: row(
    EXIT.config,
    (d: { found: string; why: string; near: string | undefined }) => `found ${d.found}, ${d.why}`,
    (d) => d.near && `did you mean "${d.near}"?`,
  ),
  LF_CONFIG_CONFLICT: row(EXIT.config, (d: { why: string }) => d.why),
  LF_CONFIG_VARIABLE: row(
    EXIT.config,
    (d: { why: string; hint: string }) => d.why,
    (d) => d.hint,
  ),
  LF_CONFIG_SECRET: row(
    EXIT.config,
    (d: { file: string; why: string }) => `cannot read the secret from ${d.file}: ${d.why}`,
  ),
  LF_CONFIG_SECRET_OPEN: row(
    EXIT.config,
    (d: { file: string }) => `the secret in ${d.file} can be read by every user of this machine`,
    (d) => `chmod o-r ${d.file}`,
  ),
  LF_CONFIG_SINK_UNKNOWN: row(
    EXIT.config,
    (d: { type: string; near: string | undefined; known: readonly string[] }) => `there is no sink "${d.type}"`,
    (d) =>
      d.near === undefined
        ? `expected ${d.known.join(', ')}, the name of an installed package, or ./FILE`
        : `did you mean "${d.near}"?`,
  ),
  LF_CONFIG_SINK_UNUSABLE: row(
    EXIT.config,
    (d: { type: string; why: string }) => `cannot use the sink "${d.type}": ${d.why}`,
  ),
  LF_CONFIG_SINK_API: row(
    EXIT.config,
    (d: { type: string; api: string; known: number; version: string }) =>
      `the sink "${d.type}" is written for sink interface ${d.api}; this is logferry ${d.version}, which has interface ${d.known}`,
    (d) =>
      Number(d.api) > d.known
        ? `use a newer logferry, or a version of the sink for interface ${d.known}`
        : `use a version of the sink for interface ${d.known}, or an older logferry`,
  ),
  LF_CONFIG_PACKAGE_MISSING: row(
    EXIT.config,
    (d: { type: string; name: string; why: string }) =>
      `the sink "${d.type}" needs the package ${d.name} (${d.why}), which is not installed`,
    (d) => `install it: npm install ${d.name}`,
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
    () => 'name another directory with -D, or under journal.directories; a file with --file',
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
  LF_CURSOR_INVALID: row(
    EXIT.usage,
    (d: { text: string; why: string }) => `"${d.text}" is not a journal cursor: ${d.why}`,
    () => 'take one from journalctl --show-cursor or from a __CURSOR field, quoted, as it contains semicolons',
  ),
  LF_POSITION_INVALID: row(
    EXIT.data,
    (d: { why: string }) => `this is not a position that logferry wrote: ${d.why}`,
    () => 'choose a place with "logferry cursor set -c FILE SINK CURSOR" or "logferry cursor skip -c FILE SINK"',
  ),
  LF_BOOT_UNKNOWN: row(
    EXIT.usage,
    (d: { boot: string }) => `--boot ${d.boot}: the journal holds nothing of that boot`,
    () => '0 is the newest boot, -1 the one before, 1 the oldest',
  ),
  LF_OUTPUT_IO: row(EXIT.io, (d: { why: string }) => `cannot write to standard output: ${d.why}`),
  LF_STATE_NO_ACCESS: row(
    EXIT.permission,
    (d: { path: string }) => `cannot use ${d.path}: permission denied`,
    () => 'the state folder must belong to the user that logferry runs as; name another with --state',
  ),
  LF_STATE_IO: row(
    EXIT.io,
    (d: { path: string; why: string }) => `cannot use ${d.path}: ${d.why}`,
    () => 'the state folder needs a local file system with Unix sockets and hard links; name another with --state',
  ),
  LF_STATE_LOCKED: row(
    EXIT.locked,
    (d: { path: string; holder: string }) => `${d.path} is in use by ${d.holder}`,
    () => 'stop that one first, or give this one a state folder of its own with --state',
  ),
  LF_STATE_SINK_NAME: row(
    EXIT.config,
    (d: { name: string }) => `"${d.name}" cannot be the name of a sink: it names a file in the state folder`,
    () =>
      'use letters, digits, "_", "-", "." and begin with a letter or digit; "lock", "backfill" and "retention.id" are taken',
  ),
  LF_STATE_POSITION_DAMAGED: row(
    EXIT.data,
    (d: { sink: string; path: string; why: string }) =>
      `the stored position of sink "${d.sink}" cannot be used: ${d.path}: ${d.why}`,
    (d) =>
      `choose where it goes on: "logferry cursor set -c FILE ${d.sink} CURSOR" (behind an entry) or "logferry cursor skip -c FILE ${d.sink}" (from now)`,
  ),
  LF_STATE_POSITION_NEWER: row(
    EXIT.data,
    (d: { sink: string; path: string; version: number; known: number }) =>
      `the stored position of sink "${d.sink}" was written by a newer logferry: ${d.path} has version ${d.version}, this one knows ${d.known}`,
    (d) =>
      `run the newer logferry, or choose where it goes on: "logferry cursor set -c FILE ${d.sink} CURSOR" or "logferry cursor skip -c FILE ${d.sink}"`,
  ),
  LF_CURSOR_SINK_RUNS: row(
    EXIT.locked,
    (d: { sink: string; holder: string }) => `the position of sink "${d.sink}" is in use by ${d.holder}`,
    () => 'stop that one, or take the sink out of its configuration and send it SIGHUP; then give this command again',
  ),
  LF_SINK_UNAVAILABLE: row(
    EXIT.unavailable,
    (d: { sink: string; why: string }) => `the sink "${d.sink}" cannot be used: ${d.why}`,
    () => 'logferry validate --live -c FILE looks at all sinks',
  ),
  LF_DEAD_LETTERS_DAMAGED: row(
    EXIT.data,
    (d: { path: string; line: number; why: string }) => `${d.path}:${d.line} is not a dead letter: ${d.why}`,
  ),
  LF_BACKFILL_DAMAGED: row(
    EXIT.data,
    (d: { path: string; why: string }) => `the job file ${d.path} cannot be used: ${d.why}`,
    (d) => `remove ${d.path} to begin this backfill anew; what it has sent so far may then be sent twice`,
  ),
  LF_BACKFILL_UNAVAILABLE: row(
    EXIT.unavailable,
    (d: { sink: string; why: string }) => `gave up, since the sink "${d.sink}" cannot deliver: ${d.why}`,
    () => 'mend it and give the same command again: it goes on from here. --patience says how long to wait',
  ),
  LF_BACKFILL_SHARED_FILE: row(
    EXIT.locked,
    (d: { file: string; holder: string }) => `${d.file} is being written by ${d.holder}`,
    () => 'stop it for the time of the backfill, or let the backfill write another file',
  ),
} as const

export type ProblemCode = keyof typeof PROBLEMS
/** What the message and hint of a code need. */
export type Details<C extends ProblemCode> = Parameters<(typeof PROBLEMS)[C]['message']>[0]

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
