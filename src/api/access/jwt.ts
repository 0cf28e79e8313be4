// JSON Web Tokens, checked by jose. A key serves only the algorithms of its kind, so a public key can never be taken for the secret of HS256, and a
// token cannot choose `none`.

import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'
import { createRemoteJWKSet, errors, type JWTPayload, type JWTVerifyOptions, jwtVerify } from 'jose'
import { problem } from '../../errors.ts'
import type { JwtSettings } from '../settings.ts'

/** Checks one token; undefined when it is not ours or not valid. Rejects only when the keys cannot be had. */
export type JwtCheck = (token: string) => Promise<JwtVerdict>

export type JwtVerdict = { readonly kind: 'valid'; readonly payload: JWTPayload } | Doubt

/** `unknown`: the key set cannot be fetched, so nothing is known of the token. */
interface Doubt {
  readonly kind: 'invalid' | 'unknown'
  readonly why: string
}

const JWKS_TIMEOUT_MS = 5000
/** A key set is fetched again for an unknown key id, but not more often. */
const JWKS_COOLDOWN_MS = 30_000

/** Throws Problem LF_API_KEY for a key that cannot be used. */
export function createJwtCheck(settings: JwtSettings): JwtCheck {
  const options: JWTVerifyOptions = {
    clockTolerance: settings.leewayMs / 1000,
    ...(settings.issuer !== undefined && { issuer: settings.issuer }),
    ...(settings.audience !== undefined && { audience: settings.audience }),
    ...(settings.requiresExpiry && { requiredClaims: ['exp'] }),
  }
  const ways: ((token: string) => Promise<JWTPayload>)[] = []
  const { secret, pem, jwks } = settings
  if (secret !== undefined) {
    const key = Buffer.from(secret, 'utf8')
    ways.push(async (token) => (await jwtVerify(token, key, { ...options, algorithms: ['HS256'] })).payload)
  }
  if (pem !== undefined) {
    const { key, algorithm } = readPem(pem)
    ways.push(async (token) => (await jwtVerify(token, key, { ...options, algorithms: [algorithm] })).payload)
  }
  if (jwks !== undefined) {
    const set = createRemoteJWKSet(new URL(jwks), {
      timeoutDuration: JWKS_TIMEOUT_MS,
      cooldownDuration: JWKS_COOLDOWN_MS,
    })
    ways.push(async (token) => (await jwtVerify(token, set, { ...options, algorithms: ['RS256', 'ES256'] })).payload)
  }
  return async (token) => {
    let verdict: Doubt = { kind: 'invalid', why: 'no key fits' }
    for (const way of ways) {
      try {
        return { kind: 'valid', payload: await way(token) }
      } catch (error) {
        const next = judge(error)
        // What the key that fits says is worth more than that another one does not fit.
        if (verdict.why === 'no key fits' || next.why !== 'no key fits') verdict = next
      }
    }
    return verdict
  }
}

function judge(error: unknown): Doubt {
  if (error instanceof errors.JWTExpired) return { kind: 'invalid', why: 'it has expired' }
  if (error instanceof errors.JWTClaimValidationFailed)
    return { kind: 'invalid', why: `its claim ${error.claim} is not as expected` }
  if (error instanceof errors.JWKSTimeout) return { kind: 'unknown', why: 'the key set did not answer in time' }
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JOSEAlgNotAllowed)
    return { kind: 'invalid', why: 'no key fits' }
  if (error instanceof errors.JWSSignatureVerificationFailed) return { kind: 'invalid', why: 'its signature is wrong' }
  if (error instanceof errors.JOSEError && error.code !== 'ERR_JOSE_GENERIC')
    return { kind: 'invalid', why: 'it is malformed' }
  if (
    error instanceof TypeError &&
    /key|algorithm/i.test(error.message) &&
    !('cause' in error && error.cause !== undefined)
  ) {
    return { kind: 'invalid', why: 'no key fits' }
  }
  return { kind: 'unknown', why: 'the key set cannot be fetched' }
}

function readPem(pem: string): { readonly key: KeyObject; readonly algorithm: 'RS256' | 'ES256' } {
  let key: KeyObject
  try {
    key = pem.includes('CERTIFICATE') ? new X509Certificate(pem).publicKey : createPublicKey(pem)
  } catch (error) {
    throw problem('LF_API_KEY', { why: 'the PEM text holds no public key or certificate' }, error)
  }
  if (key.asymmetricKeyType === 'rsa') return { key, algorithm: 'RS256' }
  if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1')
    return { key, algorithm: 'ES256' }
  throw problem('LF_API_KEY', { why: 'the key is neither RSA nor on the curve P-256' })
}
