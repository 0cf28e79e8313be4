// The cookies of a load balancer: they lead every request of a channel to the one indexer that knows its acknowledgements.

/**
 * Cookies that are renewed with every answer while they lead to the same place (AWS Application Load Balancer): another value
 * says nothing.
 */
const ROLLING = /^AWSALB/

/** Cookies by name. A value: taking some gives another jar. */
export class Cookies {
  static readonly none = new Cookies(new Map())
  readonly #values: ReadonlyMap<string, string>

  private constructor(values: ReadonlyMap<string, string>) {
    this.#values = values
  }

  /** The header `Cookie`; undefined when there are none. */
  get header(): string | undefined {
    if (this.#values.size === 0) return undefined
    return Array.from(this.#values, ([name, value]) => `${name}=${value}`).join('; ')
  }

  /** The jar after an answer with these `Set-Cookie` headers. Scope and lifetime do not matter: all requests go to one address, and soon. */
  with(headers: string | readonly string[] | undefined): Cookies {
    if (headers === undefined) return this
    const values = new Map(this.#values)
    for (const line of typeof headers === 'string' ? [headers] : headers) {
      const [pair = '', ...attributes] = line.split(';')
      const equals = pair.indexOf('=')
      if (equals < 1) continue
      const name = pair.slice(0, equals).trim()
      const isGone = attributes.some((attribute) => /^\s*max-age\s*=\s*(?:0|-\d+)\s*$/i.test(attribute))
      if (isGone) values.delete(name)
      else values.set(name, pair.slice(equals + 1).trim())
    }
    return new Cookies(values)
  }

  /** Whether both lead to the same place, as far as can be told. */
  isSamePlace(other: Cookies): boolean {
    return this.#place() === other.#place()
  }

  /** Whether they lead anywhere, as far as can be told. */
  get hasPlace(): boolean {
    return this.#place() !== ''
  }

  #place(): string {
    const pairs = [...this.#values].filter(([name]) => !ROLLING.test(name)).map((pair) => pair.join('='))
    return pairs.sort().join('; ')
  }
}
