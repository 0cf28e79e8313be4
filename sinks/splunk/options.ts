// What can be configured of the splunk sink.

import * as z from 'zod'
import { template } from '../parts/template.ts'
import { proxyOption, tlsOptions } from '../parts/tls.ts'
import { duration, size } from '../parts/units.ts'
import { INDEXED_NAME, OWN_NAMES } from './envelope.ts'

const URL_FORM = 'expected the address of a HEC, such as https://splunk.example.org:8088'

const url = () =>
  z
    .string({ error: URL_FORM })
    .refine((text) => isBase(text), URL_FORM)
    .refine((text) => !hasUser(text), 'expected no user or password in the address: the token goes into `token`')
    // Splunk's own documentation shows the whole path.
    .transform((text) => text.replace(/\/+(?:services\/collector(?:\/.*)?)?$/, ''))

function isBase(text: string): boolean {
  const parsed = URL.parse(text)
  return parsed !== null && /^https?:$/.test(parsed.protocol) && parsed.search === '' && parsed.hash === ''
}

function hasUser(text: string): boolean {
  const parsed = URL.parse(text)
  return parsed !== null && (parsed.username !== '' || parsed.password !== '')
}

const NAME_FORM = 'expected a name of letters, digits, _ and ., beginning with a letter'

const OWN_FORM = 'every event has this one already'

export const splunkConfig = z
  .strictObject({
    url: url().optional().meta({
      title: 'address',
      description: 'Address of the HTTP Event Collector, without path: `https://splunk.example.org:8088`.',
    }),
    urls: z.array(url(), { error: 'expected a list of addresses' }).min(1).optional().meta({
      title: 'list of addresses',
      description:
        'Several of them, of equal indexers, used in turn instead of `url`. One that fails rests for 1 s, then up to 60 s.',
    }),
    token: z
      .string()
      .regex(/^[\x21-\x7e]+$/, 'expected a token without spaces')
      .meta({ writeOnly: true, description: 'The token: Settings, Data inputs, HTTP Event Collector.' }),
    ack: z
      .boolean()
      .default(true)
      .meta({
        description:
          'Entries are delivered when the indexers have acknowledged them; the token must have `useACK`. `false`: when they were taken ' +
          '(status 200), and a crash of Splunk can lose what it had not yet written.',
      }),
    ack_timeout: duration().prefault('300s').meta({
      description:
        'Without an acknowledgement for so long a batch is sent again. Less than `timeout`; idle indexers take up to 2 min.',
    }),
    request_timeout: duration().prefault('30s').meta({
      description: 'Longest wait for the answer to one request. Splunk holds them back while its queues are full.',
    }),
    host: template()
      .prefault('${_HOSTNAME}')
      .meta({ description: 'Where an event comes from. Left out of the event where it is empty.' }),
    source: template()
      .prefault('journald:${_SYSTEMD_UNIT:-${SYSLOG_IDENTIFIER:-unknown}}')
      .meta({ description: "The event's `source`." }),
    sourcetype: template().prefault('journald').meta({ description: "The event's `sourcetype`." }),
    index: template()
      .optional()
      .meta({ description: "Index for the events; the token must allow it. Default: the token's own." }),
    event: z.enum(['record', 'message']).default('record').meta({
      description:
        'What an event is: all fields as JSON (`record`), or the bare MESSAGE (`message`; an entry without one goes whole).',
    }),
    indexed: z
      .record(z.string(), template())
      .superRefine((fields, context) => {
        for (const name of Object.keys(fields)) {
          const wrong = !INDEXED_NAME.test(name) ? NAME_FORM : OWN_NAMES.includes(name) ? OWN_FORM : undefined
          if (wrong !== undefined) context.addIssue({ code: 'custom', path: [name], message: wrong })
        }
      })
      .prefault({})
      .meta({
        title: 'name: text',
        description:
          'Further indexed fields, e.g. `unit: "${_SYSTEMD_UNIT}"`; `journald_cursor` and `journald_key` are always there. Texts are cut at 1 kB.',
      }),
    compatible: z
      .enum(['auto', 'yes', 'no'])
      .default('auto')
      .meta({
        description:
          'Whether the server stores what stands before a bad event and says which one is bad, as Splunk does. `auto`: when it calls ' +
          'itself Splunk. With `no` a refused batch is halved until the bad event is found.',
      }),
    max_content_length: size().prefault('1MB').meta({
      description:
        'No request is larger, before compression; as in the `[http_input]` of the indexers. A single event may be, up to 4 MB.',
    }),
    tls: tlsOptions().optional(),
    proxy: proxyOption(),
    compress: z.enum(['none', 'gzip']).default('gzip').meta({ description: 'Compression of requests.' }),
  })
  .superRefine(({ url, urls, max_content_length, tls }, context) => {
    const issue = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message })
    if (url === undefined && urls === undefined)
      context.addIssue({ code: 'custom', message: 'expected `url`, or `urls`' })
    if (url !== undefined && urls !== undefined) issue('urls', 'expected either `url` or `urls`')
    if (urls !== undefined && new Set(urls).size < urls.length) issue('urls', 'an address stands there twice')
    if (max_content_length < 10_000) issue('max_content_length', 'expected at least 10kB')
    if (tls !== undefined && [url, ...(urls ?? [])].some((text) => text?.startsWith('http:')))
      issue('tls', 'an address with http: has no TLS: write https:')
  })

export type SplunkConfig = z.output<typeof splunkConfig>
