// The query of a request, taken apart as Go's net/url does it: of a pair that cannot be decoded nothing is left, the first of several values
// counts. A `;` does not split, so that a cursor may stand there without being encoded. Numbers are read as Go's strconv does.

import { shorten } from './text.ts'

/** Decoded parameters, in their order. */
export class Query {
  readonly #pairs: (readonly [name: string, value: string])[] = []

  /** @param raw what stands behind the `?` */
  constructor(raw: string) {
    for (const pair of raw.split('&')) {
      if (pair === '') continue
      const equals = pair.indexOf('=')
      const name = unescapeQuery(equals < 0 ? pair : pair.slice(0, equals))
      const value = equals < 0 ? '' : unescapeQuery(pair.slice(equals + 1))
      if (name !== undefined && value !== undefined) this.#pairs.push([name, value])
    }
  }

  /** The first value; '' when there is none, which means the same. */
  first(name: string): string {
    return this.#pairs.find(([known]) => known === name)?.[1] ?? ''
  }

  all(name: string): string[] {
    return this.#pairs.filter(([known]) => known === name).map(([, value]) => value)
  }
}

/** Go's url.QueryUnescape; undefined for a broken percent sequence. Bytes that are no UTF-8 become U+FFFD. */
export function unescapeQuery(text: string): string | undefined {
  if (/%(?![0-9a-fA-F]{2})/.test(text)) return undefined
  const spaced = text.replaceAll('+', ' ')
  if (!spaced.includes('%')) return spaced
  try {
    return decodeURIComponent(spaced)
  } catch {
    // Percent-encoded bytes that are no UTF-8: decoded one by one.
    const bytes = spaced.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    )
    return Buffer.from(bytes, 'latin1').toString('utf8')
  }
}

/** A wrong number is quoted up to here. */
const SHOWN = 40
const MAX_U64 = 2n ** 64n - 1n
const MAX_I64 = 2n ** 63n - 1n

/** An unsigned 64-bit number in decimal, cut to 2^53 − 1, since no journal has more entries. A string says what is wrong. */
export function parseUint(text: string): number | string {
  if (!/^\d+$/.test(text)) return `parsing "${shorten(text, SHOWN)}": invalid syntax`
  if (text.length > 20 || BigInt(text) > MAX_U64) return `parsing "${shorten(text, SHOWN)}": value out of range`
  return Math.min(Number(text), Number.MAX_SAFE_INTEGER)
}

/** A signed 64-bit number in decimal; undefined when it is none. Cut to ±(2^53 − 1). */
export function parseInteger(text: string): number | undefined {
  const parts = /^([+-]?)(\d{1,20})$/.exec(text)
  if (parts === null || BigInt(parts[2] as string) > MAX_I64) return undefined
  const size = Math.min(Number(parts[2]), Number.MAX_SAFE_INTEGER)
  return parts[1] === '-' ? -size : size
}

/** A truth value in any spelling that Go's strconv.ParseBool takes; undefined when it is none. */
export function parseBool(text: string): boolean | undefined {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)) return true
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text)) return false
  return undefined
}
