// Where things lie in the state folder, and the one place that turns a sink's name into a path.
// Invariant: no name leads out of the folder, or onto the files that are not a sink's.

import { join } from 'node:path'
import { systemCode } from '../../atomicFile.ts'
import { type Problem, problem } from '../../errors.ts'

const TAKEN = ['lock', 'backfill', 'retention.id']

/** The folder of one sink in the state folder. Throws a Problem for a name that is no sink's. */
export function sinkFolder(state: string, sink: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.@-]{0,127}$/.test(sink) || TAKEN.includes(sink)) {
    throw problem('LF_STATE_SINK_NAME', { name: sink })
  }
  return join(state, sink)
}

/** What a system error on a path in the state folder means to a person. */
export function stateProblem(path: string, error: unknown): Problem {
  const code = systemCode(error)
  if (code === 'EACCES' || code === 'EPERM') return problem('LF_STATE_NO_ACCESS', { path }, error)
  return problem('LF_STATE_IO', { path, why: describeSystemError(error) }, error)
}

/** A system error in a few words, without the call and the path that Node puts in. */
export function describeSystemError(error: unknown): string {
  const code = systemCode(error)
  if (code === 'ENOSPC') return 'no space left on the device'
  if (code === 'EDQUOT') return 'the disk quota is used up'
  if (code === 'EROFS') return 'the file system is read-only'
  const text = error instanceof Error ? error.message : String(error)
  return text.replace(/^[A-Z]+: /, '').replace(/, [a-z]+( '.*')?$/s, '')
}
