// Who asks, and what they may see. Made once per request by the gate; routes never look at credentials themselves.

import type { Match } from '../../journal/match.ts'
import { Refusal } from '../http/refusal.ts'

export interface Caller {
  /** For the audit line and the count of streams: the token's subject, the certificate's name, or the address. */
  readonly name: string
  readonly how: 'nobody' | 'jwt' | 'token' | 'certificate'
  /** Entries outside of it do not exist for the caller; an empty match is everything. */
  readonly sees: Match
  /** The Authorization header to pass on to Mesos; '' when there is none. */
  readonly authorization: string
  /** Known by a cookie, which a browser sends whatever page asks. */
  readonly byCookie: boolean
}

/**
 * Whether a task's files may be seen: as if each line of them were an entry with just these fields. A rule that names other fields says nothing of
 * files, so it does not let them be seen.
 */
export function seesTask(caller: Caller, fields: Readonly<Record<string, string>>): boolean {
  if (caller.sees.length === 0) return true
  return caller.sees.some((group) => group.every(({ field, values }) => values.includes(fields[field] ?? '\0')))
}

/** Throws the same refusal as for a task that does not exist. */
export function requireTask(caller: Caller, fields: Readonly<Record<string, string>>, text: string): void {
  if (!seesTask(caller, fields)) throw new Refusal(404, text, { reason: 'rules' })
}
