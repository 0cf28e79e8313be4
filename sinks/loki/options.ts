// What can be configured of the loki sink. Labels are what Loki's index is made of: few values, or the server falls over. So fields that
// have another value in every entry are refused here, and the number of label sets is bounded while the sink runs (push.ts).

import * as z from 'zod'
import { address, checkCredentials, intakeOptions } from '../parts/intake.ts'
import { template } from '../parts/template.ts'
import { size } from '../parts/units.ts'

/** As many as Loki takes by default. */
const MOST_LABELS = 15
/** Names that Loki takes for its own begin with two underscores. */
const LABEL_NAME = /^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$/
/** Fields that would make a stream of every entry, process, session or boot. */
const UNBOUNDED =
  /^(?:__.*|MESSAGE|_?PID|SYSLOG_PID|OBJECT_PID|COREDUMP_PID|_BOOT_ID|_CMDLINE|_SOURCE_.*|SYSLOG_(?:RAW|TIMESTAMP)|_AUDIT_.*|_SYSTEMD_(?:INVOCATION_ID|CGROUP|SESSION)|INVOCATION_ID|_STREAM_ID|_LINE_BREAK|CODE_LINE|ERRNO|CONTAINER_ID(?:_FULL)?|JOB_ID|TID|(?:TRACE|SPAN)_ID)$/

function labels() {
  return z
    .record(z.string().regex(LABEL_NAME, 'expected the name of a label: letters, digits, underscores'), template())
    .superRefine((all, context) => {
      const issue = (message: string, path: string[] = []) => context.addIssue({ code: 'custom', path, message })
      const names = Object.keys(all)
      if (names.length === 0) issue('expected at least one label')
      // One is kept free for backfills and for what is beyond `max_streams`.
      if (names.length >= MOST_LABELS) issue(`expected at most ${MOST_LABELS - 1} labels`)
      for (const [name, { fields }] of Object.entries(all)) {
        const field = fields.find((one) => UNBOUNDED.test(one))
        if (field !== undefined) issue(`${field} has too many values for a label; put it into \`metadata\``, [name])
      }
    })
}

export const lokiConfig = z
  .strictObject({
    url: address(true).meta({
      description:
        'Address of Loki, e.g. `http://loki:3100`. `/loki/api/v1/push` is put behind it, unless it ends with `/push`.',
    }),
    tenant: z
      .string()
      .regex(/^[\x21-\x7e]+$/)
      .optional()
      .meta({ description: 'The tenant, sent as `X-Scope-OrgID`.' }),
    labels: labels().prefault({ job: 'journald', host: '${_HOSTNAME}', unit: '${_SYSTEMD_UNIT}' }).meta({
      title: 'name: text with ${FIELD}',
      description:
        'Labels of the streams, made of journal fields with few values. One that is empty for an entry is left out there.',
    }),
    max_streams: z.int().min(1).default(1000).meta({
      description: 'So many different sets of labels; entries beyond that go into a stream labelled `overflow`.',
    }),
    line: z.enum(['record', 'message']).default('record').meta({
      description: 'What the line of an entry is: its record as JSON, or its message alone.',
    }),
    metadata: z
      .array(z.string().min(1))
      .optional()
      .meta({
        title: 'list of names',
        description:
          'Members of the record that go into structured metadata (Loki 3, schema v13), under their names in lower case without leading ' +
          'underscores; `*`: all. Default: `PRIORITY`, `SYSLOG_IDENTIFIER`, `_PID`, `_TRANSPORT`, with `line: message` all. `[]`: none, for older servers.',
      }),
    max_line_bytes: size().prefault('256KiB').meta({
      description: 'Larger entries go to the dead letters unsent. The same as `max_line_size` of the server.',
    }),
    compress: z.enum(['none', 'gzip']).default('gzip').meta({ description: 'Compression of requests.' }),
    ...intakeOptions(),
  })
  .superRefine((options, context) => {
    checkCredentials(options, context)
    if (options.tenant !== undefined && Object.keys(options.headers).some((name) => /^x-scope-orgid$/i.test(name)))
      context.addIssue({ code: 'custom', path: ['tenant'], message: 'the tenant stands in `headers`, too' })
  })

export type LokiConfig = z.output<typeof lokiConfig>

/** The complete address for pushing. */
export function pushUrl(url: string): string {
  const base = url.replace(/\/+$/, '')
  return base.endsWith('/push') ? base : `${base}/loki/api/v1/push`
}
