// Decides who a request comes from. In this order: a client certificate, a static token, a JWT. Failures count per address; a token that was found good is
// remembered for a minute, so that checking costs little and an address that is made to wait for others' failures can go on.
// Invariant: no token and no part of one leaves this module but to Mesos.

import { createHash, timingSafeEqual } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { FastifyRequest } from 'fastify'
import type { Clock } from '../../telemetry/clock.ts'
import type { Metrics } from '../../telemetry/metrics.ts'
import { Refusal } from '../http/refusal.ts'
import { type ApiSettings, type AuthSettings, identifies, type JwtSettings } from '../settings.ts'
import type { Caller } from './caller.ts'
import { readCredentials, TOKEN_MAX } from './credentials.ts'
import { Failures } from './failures.ts'
import type { JwtCheck } from './jwt.ts'
import { type Claims, sightOf } from './rules.ts'

const REMEMBER_MS = 60_000
const REMEMBERED_MAX = 4096
const CHALLENGE = 'Bearer realm="logferry"'

interface Known {
  readonly name: string
  readonly how: Caller['how']
  readonly claims: Claims
  /** ms of the wall clock */
  readonly until: number
}

export interface GateParts {
  readonly settings: ApiSettings
  readonly metrics: Metrics
  readonly clock: Clock
  /** Made where jose is wanted. */
  readonly checkJwt: JwtCheck | undefined
}

export class Gate {
  readonly #parts: GateParts
  readonly #auth: AuthSettings | undefined
  readonly #failures: Failures
  /** By hash of the token. */
  readonly #remembered = new Map<string, Known>()
  readonly #tokens: readonly { readonly hash: Buffer; readonly name: string; readonly claims: Claims }[]

  constructor(parts: GateParts) {
    this.#parts = parts
    this.#auth = parts.settings.auth
    this.#failures = new Failures(parts.settings.limits.failures, parts.clock)
    this.#tokens = (this.#auth?.tokens ?? []).map(({ name, sha256, claims }) => ({
      hash: Buffer.from(sha256, 'hex'),
      name,
      claims: { ...claims, sub: name },
    }))
  }

  /** Who asks. Throws Refusal 401, 403, 429 or 503. */
  async identify(request: FastifyRequest): Promise<Caller> {
    const credentials = readCredentials(request.headers)
    const authorization = credentials?.authorization ?? ''
    const byCookie = credentials?.byCookie ?? false
    if (!identifies(this.#auth)) {
      return { name: request.ip || 'local', how: 'nobody', sees: [], authorization, byCookie }
    }
    const known = this.#byCertificate(request) ?? (await this.#byToken(request, credentials?.token))
    const sees = sightOf(this.#auth?.rules ?? [], known.claims)
    if (sees === undefined) {
      this.#count('forbidden')
      throw new Refusal(403, `${known.name} may not see any entries here`, { bare: true, reason: 'forbidden' })
    }
    return { name: known.name, how: known.how, sees, authorization, byCookie: byCookie && known.how !== 'certificate' }
  }

  #byCertificate(request: FastifyRequest): Known | undefined {
    if (this.#auth?.certificates !== true) return undefined
    const socket = request.raw.socket as Partial<TLSSocket>
    if (socket.authorized !== true) return undefined
    const { subject, subjectaltname } = socket.getPeerCertificate?.() ?? {}
    if (subject === undefined) return undefined
    const name = first(subject.CN) ?? 'a certificate without a name'
    const claims = { sub: name, o: subject.O, ou: subject.OU, san: subjectaltname?.split(', ') }
    return { name, how: 'certificate', claims, until: 0 }
  }

  async #byToken(request: FastifyRequest, token: string | undefined): Promise<Known> {
    if (token === undefined) {
      this.#count('missing')
      throw missingToken(request.url, CHALLENGE)
    }
    const hash = createHash('sha256').update(token).digest()
    const remembered = this.#remembered.get(hash.toString('hex'))
    if (remembered !== undefined && remembered.until > Date.now()) return remembered
    const wait = this.#failures.waitSeconds(request.ip)
    if (wait > 0) {
      this.#count('throttled')
      throw new Refusal(429, 'too many refused tokens from this address', {
        bare: true,
        reason: 'throttled',
        headers: { 'Retry-After': String(wait) },
      })
    }
    const known = this.#byStaticToken(hash) ?? (await this.#byJwt(request, token))
    this.#remember(hash.toString('hex'), known)
    return known
  }

  #byStaticToken(hash: Buffer): Known | undefined {
    const found = this.#tokens.find((one) => timingSafeEqual(one.hash, hash))
    return found && { name: found.name, how: 'token', claims: found.claims, until: Date.now() + REMEMBER_MS }
  }

  async #byJwt(request: FastifyRequest, token: string): Promise<Known> {
    const { checkJwt } = this.#parts
    const jwt = this.#auth?.jwt
    if (checkJwt === undefined || jwt === undefined) throw this.#refuse(request, 'it is not known here')
    if (token.length > TOKEN_MAX) throw this.#refuse(request, 'it is too long')
    const verdict = await checkJwt(token)
    if (verdict.kind === 'unknown') {
      this.#count('no-keys')
      throw new Refusal(503, `Token error: the token cannot be checked now: ${verdict.why}`, {
        bare: true,
        reason: 'no-keys',
      })
    }
    if (verdict.kind !== 'valid') throw this.#refuse(request, verdict.why)
    const { payload } = verdict
    const name = subjectOf(payload, jwt)
    if (name === undefined) throw this.#refuse(request, `it has none of the claims ${jwt.subject.join(', ')}`)
    const ends = payload.exp === undefined ? Number.POSITIVE_INFINITY : payload.exp * 1000 + jwt.leewayMs
    return { name, how: 'jwt', claims: { ...payload, sub: name }, until: Math.min(ends, Date.now() + REMEMBER_MS) }
  }

  #refuse(request: FastifyRequest, why: string): Refusal {
    this.#failures.note(request.ip)
    this.#count('invalid')
    return new Refusal(401, `Token error: the token is not valid: ${why}`, {
      bare: true,
      reason: 'invalid',
      headers: { 'WWW-Authenticate': `${CHALLENGE}, error="invalid_token"` },
    })
  }

  #remember(key: string, known: Known): void {
    this.#remembered.set(key, known)
    if (this.#remembered.size <= REMEMBERED_MAX) return
    const [oldest] = this.#remembered.keys()
    if (oldest !== undefined) this.#remembered.delete(oldest)
  }

  #count(reason: string): void {
    this.#parts.metrics.add('logferry_api_refused_total', { reason })
  }
}

/** 401 in the words of the route's family. */
export function missingToken(url: string, challenge: string = CHALLENGE): Refusal {
  const text = url.startsWith('/v2/')
    ? 'unable to get authorization header from a request'
    : 'Token error: Missing token in auth request'
  return new Refusal(401, text, { bare: true, reason: 'missing', headers: { 'WWW-Authenticate': challenge } })
}

function subjectOf(payload: Claims, { subject }: JwtSettings): string | undefined {
  for (const claim of subject) {
    const value = payload[claim]
    if (typeof value === 'string' && value !== '' && value.length <= 256) return value
  }
  return undefined
}

function first(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}
