// What can be configured of the fluentd sink.

import * as z from 'zod'
import { type Template, template } from '../parts/template.ts'
import { tlsOptions } from '../parts/tls.ts'
import { duration, size } from '../parts/units.ts'
import { TAG } from './tags.ts'

const DEFAULT_PORT = 24224

const secret = () => z.string().min(1).meta({ writeOnly: true })
const host = () => z.string().min(1)
const port = () => z.int().min(1).max(65_535)
const path = () => z.string().min(1).meta({ title: 'path', format: 'path' })

const server = z
  .strictObject({
    host: host().optional().meta({ description: 'Its name or address.' }),
    port: port().default(DEFAULT_PORT).meta({ description: 'Its port.' }),
    path: path().optional().meta({ description: 'Path of its Unix socket, instead of `host`.' }),
    weight: z.int().min(0).max(10_000).default(60).meta({
      description:
        'In `mode: balance`: its share of the batches. `0`: only while no server with a weight can be reached.',
    }),
  })
  .refine((one) => (one.host === undefined) !== (one.path === undefined), 'expected either `host` or `path`')

const tag = () =>
  template().refine(
    (one: Template) => TAG.test(one.render({ get: () => 'x' })),
    'expected letters, digits, `_`, `-` and single dots around the fields',
  )

export const fluentdConfig = z
  .strictObject({
    host: host().optional().meta({ description: 'Name or address of the server.' }),
    port: port().default(DEFAULT_PORT).meta({ description: 'Port of the server.' }),
    path: path().optional().meta({ description: 'Path of the Unix socket of a server, instead of `host`.' }),
    servers: z
      .array(server)
      .min(1)
      .optional()
      .meta({ title: 'list of servers', description: 'Several servers, instead of `host`.' }),
    mode: z
      .enum(['failover', 'balance'])
      .default('failover')
      .meta({
        description:
          '`failover`: the first server of the list that can be reached gets everything. `balance`: all that can be reached get a ' +
          'share, by `weight`; order is then kept per server only.',
      }),
    tag: tag()
      .prefault('journal')
      .meta({
        description:
          'Tag of the entries, with fields if wanted: `journal.${_SYSTEMD_UNIT:-none}`. Of a field, what is no letter, digit, `_`, `-` or dot ' +
          'becomes `_`; a tag has at most 128 bytes. Each distinct tag of a batch is a message of its own.',
      }),
    shared_key: secret().optional().meta({ description: 'The key that the server has in `<security>`.' }),
    user: z.string().min(1).optional().meta({ description: 'User, where the server asks for one.' }),
    password: secret().optional().meta({ description: 'Password of the user.' }),
    hostname: z.string().min(1).optional().meta({
      description:
        "Name of this node in the handshake; it must differ from the server's own. Default: the host's name with `-logferry` behind it.",
    }),
    ack: z
      .boolean()
      .default(true)
      .meta({
        description:
          'Ask for acknowledgements: entries count as delivered when the server has them in its buffer. Without: when they have been sent, ' +
          'and what was on the way when a connection breaks is lost.',
      }),
    ack_timeout: duration().prefault('60s').meta({
      description:
        'How long to wait for an acknowledgement; then the connection is closed and the entries are sent again. Less than `timeout`.',
    }),
    compress: z.enum(['none', 'gzip', 'zstd']).default('none').meta({
      description:
        'Compression of messages. `zstd` needs Fluentd 1.19 or a recent Fluent Bit; others take it for a broken message.',
    }),
    chunk_size: size()
      .prefault('1MB')
      .meta({
        description:
          "A message has at most so many bytes of entries, before compression; a single entry may have more. Keep it below the server's own " +
          'limit (`chunk_size_limit`, `buffer_max_size`).',
      }),
    entries: z.enum(['bin', 'str']).default('bin').meta({
      description: 'How entries are wrapped: `str` for servers that know no `bin`: Fluentd 0.12 and older.',
    }),
    tls: tlsOptions().optional(),
  })
  .superRefine((options, context) => {
    const issue = (name: string, message: string) => context.addIssue({ code: 'custom', path: [name], message })
    const { host, path, servers, shared_key, user, password } = options
    const given = Object.entries({ host, path, servers }).filter(([, value]) => value !== undefined)
    if (given.length === 0) context.addIssue({ code: 'custom', message: 'expected `host`, `path` or `servers`' })
    for (const [name] of given.slice(1)) issue(name, 'expected only one of `host`, `path` and `servers`')
    if ((user === undefined) !== (password === undefined))
      issue(user === undefined ? 'user' : 'password', 'expected `user` and `password` together')
    if (user !== undefined && shared_key === undefined)
      issue('user', 'a server asks for a user only where it has a key: expected `shared_key`, too')
    if (options.tls !== undefined && (path !== undefined || servers?.some((one) => one.path !== undefined) === true))
      issue('tls', 'a Unix socket has no TLS')
  })

export type FluentdConfig = z.output<typeof fluentdConfig>

/** Where a server listens. */
export type Address =
  | { readonly host: string; readonly port: number; readonly path?: undefined }
  | { readonly path: string }

/** A server, its share, and how messages name it. */
export interface Endpoint {
  readonly address: Address
  readonly weight: number
  readonly name: string
}

/** The servers of a configuration, in its order. */
export function endpointsOf({ host, port, path, servers }: FluentdConfig): readonly Endpoint[] {
  return (servers ?? [{ host, port, path, weight: 1 }]).map((one) => {
    if (one.path !== undefined) return { address: { path: one.path }, weight: one.weight, name: one.path }
    const name = one.host ?? ''
    const shown = name.includes(':') ? `[${name}]` : name
    return { address: { host: name, port: one.port }, weight: one.weight, name: `${shown}:${one.port}` }
  })
}
