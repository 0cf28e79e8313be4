// Every option of the configuration but those of the sinks (sinkOptions.ts, and each sink's own schema). The source of
// the checks, of docs/reference/config.md and of the JSON Schema for editors: an option is added here and nowhere else.

import * as z from 'zod'
import { LOG_LEVELS } from '../telemetry/log.ts'
import { apiMistakes } from './api.ts'
import { apiOptions, mesosOptions } from './apiOptions.ts'
import { duration, label, listen, match, path, size, start } from './options.ts'

const journal = z.strictObject({
  directories: z.array(path()).min(1, { error: 'expected at least one directory' }).optional().meta({
    title: 'list of paths',
    description:
      "Where the journal files lie. Default: /var/log/journal and /run/log/journal, of this machine's id. Directories named here are read whatever machine their files come from.",
  }),
  namespaces: z
    .array(z.string().min(1))
    .prefault([])
    .meta({
      title: 'list of texts',
      description: 'journald namespaces to read beside the default one; `["*"]` for all.',
      examples: [['*'], ['web', 'db']],
    }),
  start: start()
    .prefault('now')
    .meta({
      description:
        'Where a sink begins that has no stored position yet: `now`, `oldest`, `last N` for the last N entries, a time, or a span such as `-2h`.',
      examples: ['now', 'oldest', 'last 10', '-2h', '2026-01-31T13:45:00Z'],
    }),
  sample: z.enum(['never', 'fallback', 'always']).prefault('never').meta({
    description:
      'For trying logferry out: ship the sample journal that comes with it, anew at each start; `fallback` where no journal can be read here, `always` in any case.',
  }),
  match: match()
    .prefault([])
    .meta({
      description:
        'Only entries that match are shipped. Fields of one item must all fit, one of the items is enough; a value may be a list of which one must fit.',
      examples: [[{ PRIORITY: ['0', '1', '2', '3'] }, { _SYSTEMD_UNIT: 'ssh.service' }]],
    }),
})

const retain = z.strictObject({
  max_size: size().prefault('2GiB').meta({
    description:
      'How much of the journal may be kept beyond what journald would remove, for sinks that have fallen behind. 0 keeps nothing.',
  }),
})

const node = z.strictObject({
  role: z
    .enum(['master', 'agent', 'agent_public'])
    .optional()
    .meta({ description: "This node's role in the cluster." }),
  ip: z
    .union([z.ipv4(), z.ipv6()], { error: 'expected an IP address' })
    .optional()
    .meta({ title: 'address', type: 'string', description: "This node's address in the cluster." }),
  labels: z
    .record(
      z.string().regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/, {
        error: 'expected a name of letters, digits, "_", "-" and ".", such as cluster',
      }),
      label(),
    )
    .prefault({})
    .meta({
      title: 'name: text',
      description: 'Put onto every entry that is shipped.',
      examples: [{ cluster: 'prod', rack: 'b12' }],
    }),
})

const metrics = z.strictObject({
  listen: listen().meta({
    description:
      'Where `/metrics`, `/health/live` and `/health/ready` are served: `HOST:PORT`, or `unix:/path` for a socket of mode 0660.',
    examples: ['127.0.0.1:9105', 'unix:/run/logferry/metrics.sock'],
  }),
})

const log = z.strictObject({
  level: z.enum(LOG_LEVELS).prefault('info').meta({ description: "The least level of logferry's own log lines." }),
  format: z
    .enum(['auto', 'json', 'text'])
    .prefault('auto')
    .meta({ description: 'Form of its log lines on stderr; `auto` is `text` on a terminal and `json` elsewhere.' }),
})

const SINKS_FORM = 'expected at least one sink, such as "out: { type: stdout }"'

/** The whole file; what stands under `sinks` is looked at sink by sink. */
export const rootSchema = z
  .strictObject({
    journal: journal.prefault({}).meta({ description: 'What is read.' }),
    state: path().prefault('/var/lib/logferry').meta({
      description: 'Folder for positions, dead letters and the lock. One daemon per folder.',
    }),
    memory: size({ min: 8 * 2 ** 20 })
      .prefault('64MiB')
      .meta({
        description:
          'For windows into files, caches and shared batches together. The process needs some 70 MiB beside it.',
      }),
    retain: retain.prefault({}).meta({ description: 'What is kept of the journal for sinks that have fallen behind.' }),
    node: node.prefault({}).meta({ description: 'What is known about this node.' }),
    sinks: z
      .record(
        z.string().regex(/^(?!(?:lock|backfill)$)[a-z0-9][a-z0-9_-]{0,99}$/, {
          error: 'expected a name of lower-case letters, digits, "_" and "-"; "lock" and "backfill" are taken',
        }),
        z.looseObject({ type: z.string().min(1).meta({ description: 'The kind of sink.' }) }),
        { error: SINKS_FORM },
      )
      .refine((sinks) => Object.keys(sinks).length > 0, { error: SINKS_FORM })
      .optional()
      .meta({
        title: 'name: sink',
        description:
          'Where entries are sent. The name is yours; stored positions, metrics and log lines go by it. May be left out where `api` is given.',
      }),
    api: apiOptions.optional().meta({ description: 'The logging API over HTTP. Left out: not served.' }),
    mesos: mesosOptions
      .optional()
      .meta({ description: 'How the API reaches Mesos, for tasks and their files; it also takes `node.ip`.' }),
    metrics: metrics.optional().meta({ description: 'Metrics and health over HTTP. Left out: not served.' }),
    shutdown_timeout: duration({ min: 100 }).prefault('30s').meta({
      description: 'How long to wait at the end for what is under way; the rest is sent again after the next start.',
    }),
    log: log.prefault({}).meta({ description: "logferry's own log lines, on stderr." }),
  })
  .superRefine(({ sinks, api }, context) => {
    if (sinks === undefined && api === undefined) {
      context.addIssue({
        code: 'invalid_type',
        expected: 'record',
        path: ['sinks'],
        message: SINKS_FORM,
        input: undefined,
      })
    }
    for (const { path, message } of api === undefined ? [] : apiMistakes(api)) {
      context.addIssue({ code: 'custom', path: ['api', ...path], message })
    }
  })
