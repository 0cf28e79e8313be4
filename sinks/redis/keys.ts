// Names in Redis: where the position of a source stands, and why it shares a slot with the lists that it belongs to.
// Invariant: a position key and all keys of one sink hash to the same slot, so that one script may touch them together.

import type { Template } from '../parts/template.ts'

/** What a person writes into a position key to have shipping go on from what logferry itself remembers. */
export const ADOPT = 'adopt'

/** The part of a key that Redis hashes: what stands in the first pair of braces, unless it is empty (Redis Cluster, "hash tags"). */
export function hashTag(key: string): string | undefined {
  const open = key.indexOf('{')
  if (open < 0) return undefined
  const close = key.indexOf('}', open + 1)
  return close > open + 1 ? key.slice(open + 1, close) : undefined
}

/** The beginning of a key that is the same for all entries: everything before its first field. */
export function fixedPart(key: Template): string {
  if (key.constant !== undefined) return key.constant
  // No field holds a NUL that survives rendering elsewhere in the key: only the first one matters here.
  const rendered = key.render({ get: () => '\0' })
  return rendered.slice(0, rendered.indexOf('\0'))
}

/**
 * The tag that a sink's keys share. `isExact`: a key in a slot of its own can be joined by another one; not so with names
 * such as `{}x` and `a}b`, which no other name can be placed beside in a cluster. undefined: the key holds fields and no
 * fixed tag in front of them.
 */
export function sharedTag(key: Template): { readonly tag: string; readonly isExact: boolean } | undefined {
  const fixed = fixedPart(key)
  const tag = hashTag(fixed)
  if (tag !== undefined) return { tag, isExact: true }
  if (key.constant === undefined) return undefined
  return { tag: fixed, isExact: !fixed.includes('}') }
}

/** Where the position of one source stands: `{TAG}:logferry:MACHINE-ID:SINK:SOURCE`. */
export function positionKey(tag: string, machineId: string, sink: string, source: string): string {
  return `{${tag}}:logferry:${machineId}:${sink}:${source}`
}
