// What can be configured of the redis sink.

import * as z from 'zod'
import { template } from '../parts/template.ts'
import { tlsOptions } from '../parts/tls.ts'
import { duration } from '../parts/units.ts'
import { sharedTag } from './keys.ts'

const URL_FORM = 'expected an address such as redis://redis.example.org:6379 or unix:/run/redis/redis.sock'
const NODE_FORM = 'expected HOST:PORT'
const DEFAULT_PORT = 6379

/** A server to connect to. */
export type Address = { readonly host: string; readonly port: number } | { readonly path: string }

/** From `url`. */
export interface ServerUrl {
  readonly address: Address
  readonly db: number
  readonly isTls: boolean
}

function parseUrl(text: string): ServerUrl | string {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length).replace(/^\/\/\//, '/')
    return path.startsWith('/') ? { address: { path }, db: 0, isTls: false } : URL_FORM
  }
  const url = URL.parse(text)
  if (url === null || !/^rediss?:$/.test(url.protocol) || url.hostname === '') return URL_FORM
  if (url.username !== '' || url.password !== '')
    return 'expected no user or password in the address: use `user` and `password`'
  const db = /^\/?(\d*)$/.exec(url.pathname)?.[1]
  if (db === undefined || url.search !== '' || url.hash !== '') return URL_FORM
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  const port = url.port === '' ? DEFAULT_PORT : Number(url.port)
  return { address: { host, port }, db: Number(db), isTls: url.protocol === 'rediss:' }
}

function node() {
  return z.string({ error: NODE_FORM }).transform((text, context) => {
    const found = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/@\s]+)):(\d{1,5})$/.exec(text)
    const port = Number(found?.[3])
    if (found === null || port < 1 || port > 65_535) return refuse(context, NODE_FORM)
    return { host: found[1] ?? found[2] ?? '', port }
  })
}

const nodes = (what: string) =>
  z
    .array(node(), { error: `expected a list of ${NODE_FORM}` })
    .min(1)
    .meta({ title: 'list of HOST:PORT', description: what })

const secret = () => z.string().min(1).meta({ writeOnly: true })

export const redisConfig = z
  .strictObject({
    url: z
      .string({ error: URL_FORM })
      .transform((text, context) => {
        const url = parseUrl(text)
        return typeof url === 'string' ? refuse(context, url) : url
      })
      .optional()
      .meta({
        description:
          'Address of one server: `redis://HOST:PORT`, `rediss://` with TLS, `unix:/PATH`; `/2` at the end: database 2.',
      }),
    sentinel: z
      .strictObject({
        nodes: nodes('Addresses of Sentinels; those that they know of are found.'),
        name: z.string().min(1).meta({ description: 'The name of the primary that they watch, e.g. `mymaster`.' }),
        db: z.int().min(0).default(0).meta({ description: 'Number of the database.' }),
        user: z.string().min(1).optional().meta({ description: 'User at the Sentinels themselves.' }),
        password: secret().optional().meta({ description: 'Password at the Sentinels themselves.' }),
        tls: z.boolean().default(false).meta({ description: 'Whether the Sentinels themselves speak TLS.' }),
      })
      .optional()
      .meta({ description: 'Servers that Sentinels watch, instead of `url`: the present primary is asked for.' }),
    cluster: z
      .strictObject({ nodes: nodes('Addresses of some nodes; the others are found.') })
      .optional()
      .meta({ description: 'A Redis Cluster, instead of `url`.' }),
    user: z.string().min(1).optional().meta({ description: 'User (Redis 6 and newer). Default: the default user.' }),
    password: secret().optional().meta({ description: 'Password of the user.' }),
    tls: tlsOptions().optional(),
    mode: z
      .enum(['list', 'stream', 'channel'])
      .default('list')
      .meta({
        description:
          '`list`: RPUSH, for Logstash and most others. `stream`: XADD, for consumer groups. `channel`: PUBLISH; who does not listen ' +
          'at that moment never gets it.',
      }),
    key: template().meta({
      description:
        'Name of the list, stream or channel. Fields may be part of it; a list or stream then needs a fixed part in braces in front ' +
        'of them, as in `{logs}:${_SYSTEMD_UNIT:-none}`.',
    }),
    push: z.enum(['right', 'left']).optional().meta({
      description:
        'List: the end to push to. `right` (default) suits consumers that take from the left, as Logstash does.',
    }),
    field: z.string().min(1).optional().meta({
      description: 'Stream: name of the field that holds the entry. Default: `message`.',
    }),
    trim: z.int().min(1).optional().meta({
      description:
        'Stream: keep about so many of the newest entries. Older ones go, read or not. Default: none is removed.',
    }),
    congestion: z
      .strictObject({
        length: z.int().min(1).meta({ description: 'A list or stream never grows beyond so many elements.' }),
        check: duration().prefault('1s').meta({ description: 'How soon to look again when it is full.' }),
      })
      .optional()
      .meta({
        description:
          'Stop shipping while consumers lag; the journal keeps what waits. Default: Redis takes what its memory holds.',
      }),
    replicas: z
      .strictObject({
        count: z
          .int()
          .min(1)
          .meta({ description: 'So many replicas must have a batch before it counts as delivered.' }),
        timeout: duration().prefault('1s').meta({ description: 'How long to wait for them at a time.' }),
      })
      .optional()
      .meta({ description: 'Wait for replicas (WAIT), so that a failover loses less. Default: the primary suffices.' }),
    rewind: duration()
      .prefault('10min')
      .meta({
        description:
          'When Redis has lost the position together with its data (a restart without persistence), entries of so long before the last ' +
          'delivered one are sent again.',
      }),
    require_subscribers: z.boolean().optional().meta({
      description: 'Channel: an entry that nobody received is sent again until somebody listens. Default: `true`.',
    }),
    atomic: z.enum(['script', 'multi']).default('script').meta({
      description:
        'How data and position are written in one step: by a script, or, for servers and proxies without scripts, by MULTI.',
    }),
    logstash: z.boolean().default(true).meta({
      description:
        "Puts `@version` and `@metadata._id`, the entry's key, in front of its fields: an id for the document in Elasticsearch.",
    }),
    pipeline: z.string().min(1).optional().meta({
      description: 'Also puts this into `@metadata.pipeline`, for an ingest pipeline in Elasticsearch.',
    }),
  })
  .superRefine((options, context) => {
    const issue = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message })
    const { mode, key, cluster, sentinel, url } = options
    const places = [url, sentinel, cluster].filter((place) => place !== undefined)
    if (places.length === 0)
      context.addIssue({ code: 'custom', message: 'expected one of `url`, `sentinel` and `cluster`' })
    if (places.length > 1)
      issue(cluster === undefined ? 'sentinel' : 'cluster', 'expected one of `url`, `sentinel` and `cluster`')
    if (options.user !== undefined && options.password === undefined) issue('user', '`user` needs `password`')
    if (url !== undefined && 'path' in url.address && options.tls !== undefined)
      issue('tls', 'there is no TLS on a Unix socket')
    const onlyFor = (name: 'push' | 'field' | 'trim' | 'require_subscribers', wanted: string) => {
      if (options[name] !== undefined && mode !== wanted) issue(name, `\`${name}\` is about \`mode: ${wanted}\``)
    }
    onlyFor('push', 'list')
    onlyFor('field', 'stream')
    onlyFor('trim', 'stream')
    onlyFor('require_subscribers', 'channel')
    for (const name of ['congestion', 'replicas'] as const)
      if (options[name] !== undefined && mode === 'channel') issue(name, 'a channel keeps nothing')
    if (options.pipeline !== undefined && !options.logstash)
      issue('pipeline', '`pipeline` is part of `@metadata`: it needs `logstash: true`')
    if (options.atomic === 'multi' && cluster !== undefined)
      issue('atomic', 'a cluster has scripts: leave `atomic` out')
    if (options.atomic === 'multi' && mode !== 'channel' && key.constant === undefined)
      issue('atomic', 'several lists in one step need scripts: use a `key` without fields')
    if (mode === 'channel') return
    const shared = sharedTag(key)
    if (shared === undefined)
      issue('key', 'expected a fixed part in braces in front of the first field, such as "{logs}:": all keys share it')
    else if (!shared.isExact && cluster !== undefined)
      issue('key', 'in a cluster no other key can be placed beside this one: leave out the brace, or add a {tag}')
  })

export type RedisConfig = z.output<typeof redisConfig>

/** Whether a connection is encrypted. */
export function isEncrypted({ url, tls }: RedisConfig): boolean {
  return url?.isTls === true || tls !== undefined
}

function refuse(context: z.RefinementCtx, message: string): never {
  context.addIssue({ code: 'custom', message })
  return z.NEVER
}
