// What the logging API is told: plain data, made from the configuration. Times are milliseconds, sizes bytes, paths absolute.

import type { Match } from '../journal/match.ts'
import type { Listen } from '../telemetry/listen.ts'

/** Where it listens: an address, or the one socket that systemd passes. */
export type ApiListen = Listen | { readonly kind: 'systemd' }

/** Who a rule is for: each claim must have one of the values. An empty list: every caller who has shown who they are. */
export type ClaimMatch = readonly { readonly claim: string; readonly values: readonly string[] }[]

export interface Rule {
  readonly when: ClaimMatch
  /** What these callers see; an empty match is everything. */
  readonly see: Match
}

export interface JwtSettings {
  /** HS256. */
  readonly secret: string | undefined
  /** RS256 or ES256: a public key or certificate as PEM text. */
  readonly pem: string | undefined
  /** URL of a JSON Web Key Set with keys for RS256 or ES256. */
  readonly jwks: string | undefined
  readonly issuer: string | undefined
  readonly audience: string | undefined
  readonly leewayMs: number
  /** Tokens without `exp` are refused. */
  readonly requiresExpiry: boolean
  /** The claims of which the first that a token has names the caller. */
  readonly subject: readonly string[]
}

export interface StaticToken {
  readonly name: string
  /** SHA-256 of the token, 64 hex digits. */
  readonly sha256: string
  /** Beside `sub`, which is the name. */
  readonly claims: Readonly<Record<string, readonly string[]>>
}

export interface AuthSettings {
  readonly jwt: JwtSettings | undefined
  readonly tokens: readonly StaticToken[]
  /** A client certificate names its caller; it takes `tls.clientCa`. */
  readonly certificates: boolean
  /** Who may browse a task's sandbox may read its entries, asked of Mesos. Alone it guards what belongs to tasks, and nothing else. */
  readonly mesos: boolean
  readonly rules: readonly Rule[]
}

/** Whether callers have to show who they are for everything: with `mesos` alone only for what belongs to tasks. */
export function identifies(auth: AuthSettings | undefined): boolean {
  return auth !== undefined && (auth.jwt !== undefined || auth.tokens.length > 0 || auth.certificates)
}

export interface ApiLimits {
  readonly connections: number
  /** Streams of one caller at once. */
  readonly streams: number
  /** Bytes of a request's head. */
  readonly headBytes: number
  readonly headers: number
  readonly filters: number
  /** A client that takes nothing for so long is cut. */
  readonly stallMs: number
  /** Time for a request's head and body to arrive. */
  readonly requestMs: number
  /** How long a connection is kept without a request. */
  readonly idleMs: number
  /** A search by `grep` ends after so much time without being done. */
  readonly searchMs: number
  /** Refused credentials of one address within a minute before it has to wait. */
  readonly failures: number
}

export interface ApiTls {
  readonly cert: string
  readonly key: string
  readonly clientCa: string | undefined
}

export interface ApiSettings {
  readonly listen: ApiListen
  readonly socket: { readonly mode: number; readonly group: string | undefined }
  readonly tls: ApiTls | undefined
  /** Undefined: nobody is asked who they are. */
  readonly auth: AuthSettings | undefined
  /** Origins whose pages may read answers; '*': of all, without cookies. */
  readonly cors: '*' | readonly string[]
  /** Addresses of proxies whose X-Forwarded-For is believed. */
  readonly proxies: readonly string[]
  readonly page: boolean
  readonly limits: ApiLimits
}

/** How Mesos is reached. */
export interface MesosSettings {
  /** Base URLs. */
  readonly master: string
  readonly agent: string
  readonly workDir: string
  readonly timeoutMs: number
  readonly tls: Readonly<Record<string, unknown>>
}

/** What the API has to know of this node. */
export interface NodeSettings {
  readonly role: 'master' | 'agent' | 'agent_public' | undefined
  /** Its address as Mesos knows it. */
  readonly ip: string | undefined
}
