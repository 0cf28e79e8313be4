// From the checked options of `api:` and `mesos:` to what the API takes, and the mistakes that no schema sees.

import type * as z from 'zod'
import { connectionOptions, pemText } from '../../sinks/parts/tls.ts'
import type { ApiSettings, AuthSettings, MesosSettings } from '../api/settings.ts'
import { problem } from '../errors.ts'
import type { apiOptions, mesosOptions } from './apiOptions.ts'

type ApiOptions = z.output<typeof apiOptions>

/** A mistake: where, below `api`, and what was expected. */
export interface ApiMistake {
  readonly path: readonly string[]
  readonly message: string
}

/** What is wrong between options. */
export function apiMistakes({ listen, auth, tls }: ApiOptions): readonly ApiMistake[] {
  const mistakes: ApiMistake[] = []
  if (auth === undefined && listen.kind !== 'unix' && !(listen.kind === 'tcp' && isLoopback(listen.host))) {
    const message =
      'expected auth: whoever reaches this address could read the journal; write "auth: none" if that is meant'
    mistakes.push({ path: ['listen'], message })
  }
  if (auth === undefined || typeof auth === 'string') return mistakes
  if (auth.certificates && tls?.client_ca === undefined) {
    mistakes.push({
      path: ['auth', 'certificates'],
      message: 'expected tls.client_ca, by which client certificates are checked',
    })
  }
  const { jwt } = auth
  if (jwt !== undefined && jwt.secret === undefined && jwt.key === undefined && jwt.jwks === undefined) {
    mistakes.push({ path: ['auth', 'jwt'], message: 'expected at least one of secret, key and jwks' })
  }
  return mistakes
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host)
}

/** The API's settings. Throws Problem LF_API_KEY for a file that cannot be read. */
export function toApiSettings(options: ApiOptions): ApiSettings {
  const { listen, socket, tls, auth, cors, proxies, page, limits } = options
  return {
    listen,
    socket: { mode: socket.mode, group: socket.group },
    tls: tls && { cert: tls.cert, key: tls.key, clientCa: tls.client_ca },
    auth: toAuth(auth),
    cors,
    proxies,
    page,
    limits: {
      connections: limits.connections,
      streams: limits.streams,
      headBytes: limits.head,
      headers: limits.headers,
      filters: limits.filters,
      stallMs: limits.stall,
      requestMs: limits.request,
      idleMs: limits.idle,
      searchMs: limits.search,
      failures: limits.failures,
    },
  }
}

function toAuth(auth: ApiOptions['auth']): AuthSettings | undefined {
  if (auth === undefined || auth === 'none') return undefined
  if (auth === 'mesos') return { jwt: undefined, tokens: [], certificates: false, mesos: true, rules: [] }
  const { jwt, tokens, certificates, mesos, rules } = auth
  return {
    jwt: jwt && {
      secret: jwt.secret,
      pem: jwt.key && keyOf(() => pemText(jwt.key as string)),
      jwks: jwt.jwks,
      issuer: jwt.issuer,
      audience: jwt.audience,
      leewayMs: jwt.leeway,
      requiresExpiry: jwt.expiry === 'required',
      subject: jwt.subject,
    },
    tokens: tokens.map((token) => ({
      name: token.name,
      sha256: token.sha256.toLowerCase(),
      claims: lists(token.claims),
    })),
    certificates,
    mesos,
    rules: rules.map(({ when, see }) => ({
      when: Object.entries(lists(when)).map(([claim, values]) => ({ claim, values })),
      see: see === 'everything' ? [] : see,
    })),
  }
}

/** What `read` gets out of a file. Throws Problem LF_API_KEY. */
function keyOf<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw problem('LF_API_KEY', { why: (error as Error).message }, error)
  }
}

function lists(claims: Readonly<Record<string, string | readonly string[]>>): Record<string, readonly string[]> {
  return Object.fromEntries(
    Object.entries(claims).map(([claim, value]) => [claim, typeof value === 'string' ? [value] : value]),
  )
}

/** How Mesos is reached. Throws as `toApiSettings`. */
export function toMesosSettings(options: z.output<typeof mesosOptions>): MesosSettings {
  const plain = (place: string): string => place.replace(/\/+$/, '')
  return {
    master: plain(options.master),
    agent: plain(options.agent),
    workDir: plain(options.work_dir),
    timeoutMs: options.timeout,
    tls: { ...keyOf(() => connectionOptions(options.tls)) },
  }
}
