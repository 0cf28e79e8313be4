// What a caller asks for, in the terms of the journal.

import type { CursorParts } from '../../journal/cursor.ts'
import type { Match } from '../../journal/match.ts'
import type { Searcher } from './grep.ts'

/** Where reading begins, before skips. */
export type Begin = { readonly kind: 'head' } | { readonly kind: 'cursor'; readonly cursor: CursorParts }

export interface EntryRequest {
  /** With what the caller may see in it. */
  readonly match: Match
  readonly begin: Begin
  /** Entries of the match; 0 = none. */
  readonly skipNext: number
  readonly skipPrev: number
  readonly reverse: boolean
  /** Infinite for all. */
  readonly limit: number
  /** µs since 1970, both included; 0 and infinite for all. */
  readonly since: number
  readonly until: number
  readonly grep: Searcher | undefined
}

/** All entries of a match, from the oldest. */
export function wholeRequest(match: Match): EntryRequest {
  return {
    match,
    begin: { kind: 'head' },
    skipNext: 0,
    skipPrev: 0,
    reverse: false,
    limit: Number.POSITIVE_INFINITY,
    since: 0,
    until: Number.POSITIVE_INFINITY,
    grep: undefined,
  }
}
