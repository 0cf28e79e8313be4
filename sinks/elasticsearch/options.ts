// What can be configured of the elasticsearch sink.

import * as z from 'zod'
import { template } from '../parts/template.ts'
import { proxyOption, tlsOptions } from '../parts/tls.ts'
import { duration } from '../parts/units.ts'
import { type IndexName, parseIndexName } from './indexName.ts'

const NODE_FORM = 'expected the address of a node, such as https://es.example.org:9200'

const node = z
  .string({ error: NODE_FORM })
  .refine((text) => isNode(text), NODE_FORM)
  .refine((text) => !hasPassword(text), 'expected no user or password in the address: use `user` and `password`')

function isNode(text: string): boolean {
  const url = URL.parse(text)
  return url !== null && /^https?:$/.test(url.protocol) && url.search === '' && url.hash === ''
}

function hasPassword(text: string): boolean {
  const url = URL.parse(text)
  return url !== null && (url.username !== '' || url.password !== '')
}

function indexName() {
  return z
    .string()
    .meta({ format: 'template' })
    .transform((text, context): IndexName => {
      try {
        return parseIndexName(text)
      } catch (error) {
        context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) })
        return z.NEVER
      }
    })
}

const secret = () => z.string().min(1).meta({ writeOnly: true })

export const elasticsearchConfig = z
  .strictObject({
    nodes: z.array(node, { error: 'expected a list of addresses' }).min(1).optional().meta({
      title: 'list of addresses',
      description: 'Addresses of nodes, used in turn. One that fails rests for 1 s, then up to 60 s.',
    }),
    cloud_id: z
      .string()
      .transform((id, context) => nodeOfCloud(id) ?? refuse(context, 'expected a Cloud ID: NAME:BASE64'))
      .optional()
      .meta({ description: 'The Cloud ID of a deployment in Elastic Cloud, instead of `nodes`.' }),
    flavour: z.enum(['elasticsearch', 'opensearch']).default('elasticsearch').meta({
      description:
        '`opensearch` for OpenSearch, and for Elasticsearch before 7.14: nothing is checked that only Elasticsearch has.',
    }),
    index: indexName()
      .optional()
      .meta({
        description:
          "Where entries go: a name, with dates of the entry's own time (`{yyyy.MM.dd}` or `%{+yyyy.MM.dd}`, UTC) and fields (`${FIELD}`) in it. " +
          'Default: `journald-{yyyy.MM.dd}`, unless `data_stream` is given.',
      }),
    data_stream: indexName().optional().meta({
      description: 'A data stream instead of indexes, e.g. `logs-journald-default`. Fields may be part of the name.',
    }),
    require_alias: z.boolean().default(false).meta({ description: '`index` must be an alias that is there.' }),
    pipeline: z
      .string()
      .min(1)
      .optional()
      .meta({ description: "Ingest pipeline that entries go through; `_none`: not even the index's own." }),
    routing: template().optional().meta({ description: 'Routing of entries, e.g. `${_MACHINE_ID}`.' }),
    ids: z
      .enum(['entry', 'auto'])
      .default('entry')
      .meta({
        description:
          '`entry`: the document of an entry has its key as id, so that one sent twice is stored once. `auto`: ids of the server, which ' +
          'indexes faster; what is sent twice after a lost connection is stored twice.',
      }),
    template: z.boolean().default(false).meta({
      description:
        'Installs an index template for the target, with mappings for both shapes. Needs the privilege `manage_index_templates`.',
    }),
    lifecycle: z
      .string()
      .min(1)
      .optional()
      .meta({ description: 'Lifecycle policy that the installed template names.' }),
    on_mapping_error: z
      .enum(['reject', 'stringify'])
      .default('reject')
      .meta({
        description:
          'An entry that does not fit the mapping goes to the dead letters (`reject`), or is stored with nothing but its time, its ' +
          'message, and the rest as one text in `logferry.raw` (`stringify`).',
      }),
    api_key: secret().optional().meta({ description: 'API key: `ID:KEY`, or the encoded form of both.' }),
    user: z.string().min(1).optional().meta({ description: 'User for basic authentication.' }),
    password: secret().optional().meta({ description: 'Password of the user.' }),
    token: secret().optional().meta({ description: 'Bearer token, e.g. of a service account.' }),
    tls: tlsOptions().optional(),
    proxy: proxyOption(),
    compress: z
      .enum(['none', 'gzip'])
      .default('none')
      .meta({ description: 'Compression of requests: less traffic, more processor time.' }),
    server_timeout: duration().prefault('1m').meta({
      description:
        'How long the server waits for shards and mappings before it gives an entry back. Less than `timeout`.',
    }),
  })
  .superRefine((options, context) => {
    const issue = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message })
    const { nodes, cloud_id, index, data_stream, user, password, api_key, token } = options
    if (nodes === undefined && cloud_id === undefined)
      context.addIssue({ code: 'custom', message: 'expected `nodes`, or `cloud_id`' })
    if (nodes !== undefined && cloud_id !== undefined) issue('cloud_id', 'expected either `nodes` or `cloud_id`')
    if (index !== undefined && data_stream !== undefined)
      issue('data_stream', 'expected either `index` or `data_stream`')
    if ((user === undefined) !== (password === undefined))
      issue(user === undefined ? 'password' : 'user', 'expected `user` and `password` together')
    const ways = [api_key, user, token].filter((way) => way !== undefined)
    if (ways.length > 1)
      issue(token === undefined ? 'api_key' : 'token', 'expected one of `api_key`, `user` and `token`')
    if (data_stream !== undefined && options.require_alias)
      issue('require_alias', 'a data stream is no alias: `require_alias` is about `index`')
    if (options.lifecycle !== undefined && !options.template)
      issue('lifecycle', '`lifecycle` is part of the template: it needs `template: true`')
    if (options.on_mapping_error === 'stringify' && options.ids === 'auto')
      issue('on_mapping_error', '`stringify` sends an entry twice: it needs `ids: entry`')
  })

export type ElasticsearchConfig = z.output<typeof elasticsearchConfig>

function refuse(context: z.RefinementCtx, message: string): never {
  context.addIssue({ code: 'custom', message })
  return z.NEVER
}

/** The node behind a Cloud ID: `NAME:` and, in base64, `HOST$ELASTICSEARCH[$KIBANA]`; a port may follow the host. */
export function nodeOfCloud(id: string): string | undefined {
  const encoded = /^[^:]*:([A-Za-z0-9+/=_-]+)$/.exec(id)?.[1]
  if (encoded === undefined) return undefined
  const [host, name] = Buffer.from(encoded, 'base64').toString().split('$')
  const [domain, port = '443'] = host?.split(':') ?? []
  if (domain === undefined || !/^[\w.-]+$/.test(domain) || name === undefined || !/^[\w.-]+$/.test(name))
    return undefined
  return `https://${name}.${domain}:${port}`
}

/** The header `Authorization`; undefined when nothing is to be shown. */
export function authorizationOf({ api_key, user, password, token }: ElasticsearchConfig): string | undefined {
  if (api_key !== undefined)
    return `ApiKey ${api_key.includes(':') ? Buffer.from(api_key).toString('base64') : api_key}`
  if (user !== undefined) return `Basic ${Buffer.from(`${user}:${password ?? ''}`).toString('base64')}`
  return token === undefined ? undefined : `Bearer ${token}`
}
