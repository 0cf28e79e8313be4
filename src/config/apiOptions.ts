// The options of the logging API and of Mesos, which it asks. Part of the root schema.

import * as z from 'zod'
import { tlsOptions } from '../../sinks/parts/tls.ts'
import { LISTEN_FORM, parseListen } from '../telemetry/listen.ts'
import { count, duration, match, path, size } from './options.ts'

const claims = (about: string) =>
  z
    .record(
      z.string().min(1),
      z.union([z.string(), z.array(z.string()).min(1)], { error: 'expected a text or a list of texts' }),
    )
    .meta({ title: 'claim: text or list', description: about })

const listen = z
  .string({ error: `expected ${LISTEN_FORM}, or systemd` })
  .transform((text, context) => {
    if (text === 'systemd') return { kind: 'systemd' as const }
    const found = parseListen(text)
    if (found !== undefined) return found
    context.addIssue({ code: 'custom', message: `expected ${LISTEN_FORM}, or systemd` })
    return z.NEVER
  })
  .meta({
    title: 'address',
    description:
      'Where it listens: `HOST:PORT`, `unix:/path`, or `systemd` for the one socket that a systemd socket unit passes.',
    examples: ['127.0.0.1:8080', 'unix:/run/logferry/api.sock', 'systemd'],
  })

const socket = z.strictObject({
  mode: z
    .string()
    .regex(/^0?[0-7]{3}$/, { error: 'expected a mode such as 0660' })
    .prefault('0660')
    .transform((text) => Number.parseInt(text, 8))
    .meta({ title: 'mode', description: 'Mode of the Unix socket.' }),
  group: z.string().min(1).optional().meta({ description: 'Group of the Unix socket: a name or a number.' }),
})

const tls = z.strictObject({
  cert: path().meta({ description: 'PEM file with the certificate and those that it is signed by.' }),
  key: path().meta({ description: 'PEM file with its key.' }),
  client_ca: path().optional().meta({
    description:
      'PEM file with the certificates that client certificates are signed by; needed for `auth.certificates`.',
  }),
})

const jwt = z.strictObject({
  secret: z.string().min(32, { error: 'expected a secret of at least 32 characters' }).optional().meta({
    description: 'Shared secret for HS256, at least 32 characters; best by `{ file: … }`.',
    writeOnly: true,
  }),
  key: z.string().min(1).optional().meta({
    description:
      'Public key or certificate: the path of a PEM file, or the PEM text itself (also by `{ file: … }`); RSA for RS256, P-256 for ES256.',
  }),
  jwks: z
    .url({ protocol: /^https?$/ })
    .optional()
    .meta({
      description:
        'URL of a JSON Web Key Set for RS256 and ES256. Fetched again when a token names a key that is not in it, at most every 30 s.',
    }),
  issuer: z.string().optional().meta({ description: 'The claim `iss` must be this. Default: not looked at.' }),
  audience: z.string().optional().meta({ description: 'The claim `aud` must have this. Default: not looked at.' }),
  leeway: duration({ max: 600_000 })
    .prefault('30s')
    .meta({ description: 'How far clocks may be apart for `exp` and `nbf`.' }),
  expiry: z.enum(['required', 'optional']).prefault('required').meta({
    description: 'Whether a token without `exp` is refused.',
  }),
  subject: z.array(z.string().min(1)).min(1).prefault(['uid', 'sub']).meta({
    description: 'Claims that name the caller; the first one that a token has counts.',
  }),
})

const token = z.strictObject({
  name: z
    .string()
    .regex(/^[\w.@-]{1,100}$/, { error: 'expected a name of letters, digits, "_", "-", "." and "@"' })
    .meta({ description: 'Who it is for; the claim `sub` in rules.' }),
  sha256: z
    .string()
    .regex(/^[0-9a-fA-F]{64}$/, { error: 'expected 64 hex digits, as `printf %s TOKEN | sha256sum` prints' })
    .meta({ description: 'SHA-256 of the token. Take a long random one: `openssl rand -hex 32`.', writeOnly: true }),
  claims: claims('Further claims for rules.').prefault({}),
})

const rule = z.strictObject({
  when: claims(
    'Claims of the token that must all fit; one of several values is enough. Left out: every known caller. A certificate has `sub` (its CN), `o`, `ou` and `san`.',
  ).prefault({}),
  see: z
    .union([
      z.literal('everything'),
      match().refine((groups) => groups.length > 0 && groups.every((group) => group.length > 0), {
        error: 'expected at least one field in each item; write "everything" for all entries',
      }),
    ])
    .meta({
      title: 'everything | list of {FIELD: value}',
      description: 'What these callers see, as a `match`; all rules that fit add up.',
      examples: ['everything', [{ FRAMEWORK_ID: 'f-1' }]],
    }),
})

const auth = z
  .union([
    z.literal('none'),
    z.literal('mesos'),
    z
      .strictObject({
        jwt: jwt.optional().meta({
          description: 'JSON Web Tokens: `Authorization: Bearer …` or `token=…`, or the cookie `dcos-acs-auth-cookie`.',
        }),
        tokens: z.array(token).prefault([]).meta({ title: 'list', description: 'Fixed tokens, kept as hashes.' }),
        certificates: z
          .boolean()
          .prefault(false)
          .meta({ description: 'A client certificate that `tls.client_ca` signed names its caller.' }),
        mesos: z.boolean().prefault(false).meta({
          description:
            'Entries of a container are for those whom Mesos lets browse its sandbox, beside what the rules say.',
        }),
        rules: z.array(rule).prefault([]).meta({
          title: 'list',
          description:
            'Who sees what. Without rules every known caller sees everything; with rules, whom none fits sees nothing (403).',
        }),
      })
      .refine((value) => value.jwt !== undefined || value.tokens.length > 0 || value.certificates || value.mesos, {
        error: 'expected at least one of jwt, tokens, certificates and mesos',
      }),
  ])
  .meta({
    title: 'none | mesos | section',
    description:
      'How callers show who they are. `none`: nobody is asked; only that word makes an address beyond this machine open to all. `mesos`: as dcos-log with `-auth`, only what belongs to tasks is guarded, by the sandbox check. Left out: as `none`, on loopback and Unix sockets only.',
  })

const limits = z.strictObject({
  connections: count({ min: 1, max: 100_000 })
    .prefault(2000)
    .meta({ description: 'Connections at once; further ones are closed.' }),
  streams: count({ min: 1, max: 100_000 })
    .prefault(200)
    .meta({ description: 'Streams of one caller at once; further ones get 429.' }),
  head: size({ min: 1024, max: 1 << 20 })
    .prefault('16KiB')
    .meta({ description: "Bytes of a request's line and headers." }),
  headers: count({ min: 8, max: 1000 }).prefault(64).meta({ description: 'Headers of a request.' }),
  filters: count({ min: 1, max: 1000 }).prefault(64).meta({ description: 'Filters of a request.' }),
  stall: duration({ min: 1000 })
    .prefault('30s')
    .meta({ description: 'A client that takes nothing for so long is cut.' }),
  request: duration({ min: 1000 }).prefault('30s').meta({ description: 'A request must have arrived after so long.' }),
  idle: duration({ min: 1000 })
    .prefault('60s')
    .meta({ description: 'A connection without a request is closed after so long.' }),
  search: duration({ min: 100 }).prefault('10s').meta({ description: 'Time that `grep` of one request may take.' }),
  failures: count({ min: 1, max: 10_000 })
    .prefault(20)
    .meta({ description: 'Refused tokens of one address in a minute; then it gets 429.' }),
})

/** `api:` */
export const apiOptions = z.strictObject({
  listen,
  socket: socket.prefault({}).meta({ description: 'For `unix:` addresses.' }),
  tls: tls.optional().meta({ description: 'Serve HTTPS.' }),
  auth: auth.optional(),
  cors: z
    .union([
      z.literal('*'),
      z.array(z.string().regex(/^https?:\/\/[^/\s]+$/, { error: 'expected an origin such as https://host:port' })),
    ])
    .prefault('*')
    .meta({
      title: '* | list of origins',
      description:
        'Origins whose pages may read answers. `*`: all, but not for a caller known by cookie; of a list, cookies included; `[]`: none.',
    }),
  proxies: z
    .array(z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()], { error: 'expected an address or network' }))
    .prefault([])
    .meta({
      title: 'list of addresses',
      description:
        'Proxies whose `X-Forwarded-For` is believed: without it all failures behind a proxy count for its address.',
    }),
  page: z.boolean().prefault(true).meta({ description: 'Serve the log page at `/`.' }),
  limits: limits.prefault({}).meta({ description: 'What a caller may take.' }),
})

/** `mesos:` */
export const mesosOptions = z.strictObject({
  master: z
    .url({ protocol: /^https?$/ })
    .meta({ description: 'The leading master.', examples: ['http://leader.mesos:5050'] }),
  agent: z
    .url({ protocol: /^https?$/ })
    .prefault('http://127.0.0.1:5051')
    .meta({ description: "This node's agent." }),
  work_dir: z
    .string()
    .regex(/^\//, { error: 'expected an absolute path' })
    .prefault('/var/lib/mesos/slave')
    .meta({ description: "The agent's work directory." }),
  timeout: duration({ min: 100 }).prefault('5s').meta({ description: 'Mesos must answer within so long.' }),
  tls: tlsOptions().optional().meta({ description: 'For `https:` addresses.' }),
})
