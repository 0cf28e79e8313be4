// From what is known of a caller to what they may see: every rule whose claims fit adds to it. Claims are texts or lists of texts.

import type { Match } from '../../journal/match.ts'
import type { Rule } from '../settings.ts'

export type Claims = Readonly<Record<string, unknown>>

/**
 * The match of a caller with these claims; undefined when no rule is for them. Without any rules everybody who is known sees everything. An empty
 * match, which is everything, wins over all others.
 */
export function sightOf(rules: readonly Rule[], claims: Claims): Match | undefined {
  if (rules.length === 0) return []
  const fitting = rules.filter((rule) => rule.when.every(({ claim, values }) => has(claims[claim], values)))
  if (fitting.length === 0) return undefined
  return fitting.some((rule) => rule.see.length === 0) ? [] : fitting.flatMap((rule) => rule.see)
}

function has(claim: unknown, values: readonly string[]): boolean {
  if (Array.isArray(claim)) return claim.some((one) => has(one, values))
  // A number or boolean as it stands in the token.
  const isScalar = typeof claim === 'string' || typeof claim === 'number' || typeof claim === 'boolean'
  return isScalar && values.includes(String(claim))
}
