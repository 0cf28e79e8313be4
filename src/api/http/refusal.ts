// An answer that says no: thrown anywhere before the first byte went out, turned into a plain-text answer in one place (server.ts).

/** A request that is not served. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Never with the prefix that errors of the v1 routes have. */
  readonly bare: boolean
  /** For the audit line and the count of refusals; a word from a small set. */
  readonly reason: string

  /** @param text for the caller, without a newline */
  constructor(
    status: number,
    text: string,
    options: {
      readonly headers?: Readonly<Record<string, string>>
      readonly bare?: boolean
      readonly reason?: string
    } = {},
  ) {
    super(text)
    this.status = status
    this.headers = options.headers ?? {}
    this.bare = options.bare ?? false
    this.reason = options.reason ?? 'request'
  }
}
