// What can be configured of the http sink.

import * as z from 'zod'
import { address, checkCredentials, intakeOptions } from '../parts/intake.ts'
import { template } from '../parts/template.ts'
import { size } from '../parts/units.ts'
import { parseEnvelope } from './envelope.ts'

export const httpConfig = z
  .strictObject({
    url: address(false).meta({
      writeOnly: true,
      description: 'Where batches are sent, with path and query. It may hold a secret: only its host is ever shown.',
    }),
    method: z.enum(['POST', 'PUT']).default('POST').meta({ description: 'Method of the requests.' }),
    format: z.enum(['ndjson', 'array']).default('ndjson').meta({
      description: '`ndjson`: one JSON object a line. `array`: one JSON array of objects.',
    }),
    envelope: z
      .string()
      .transform((text, context) => {
        try {
          return parseEnvelope(text)
        } catch (error) {
          context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) })
          return z.NEVER
        }
      })
      .optional()
      .meta({
        description:
          'What is sent for an entry, instead of its record alone: a text with `%{record}`, the JSON object, or `%{members}`, the ' +
          'object without its first brace, in it; also `%{time}` (ISO 8601), `%{seconds}`, `%{milliseconds}`, `%{nanoseconds}`, `%{key}`.',
        examples: ['{"time":%{seconds},"event":%{record}}', '{"timestamp":%{milliseconds},%{members}'],
      }),
    before: z.string().default('').meta({ description: 'Text in front of the entries of each request.' }),
    after: z.string().default('').meta({ description: 'Text behind the entries of each request.' }),
    content_type: z
      .string()
      .regex(/^[\x20-\x7e]+$/)
      .optional()
      .meta({
        description:
          'Content type of the requests. Default: `application/x-ndjson`, for `array` and with `before` `application/json`.',
      }),
    entry_headers: z
      .record(z.string().regex(/^[\w!#$%&'*+.^`|~-]+$/, 'expected the name of a header'), template())
      .default({})
      .meta({
        title: 'name: text with ${FIELD}',
        description:
          'Headers made of journal fields. Entries with different ones go in requests of their own, so the fields should have few values.',
      }),
    answer: z.enum(['status', 'axiom']).default('status').meta({
      description:
        'How the outcome is read: by the status alone, or also from the number `failed` in the answer, as Axiom has it.',
    }),
    max_entry_bytes: size().optional().meta({
      description: 'Larger entries go to the dead letters unsent. Give it where the service would cut or drop them.',
    }),
    compress: z
      .enum(['none', 'gzip', 'zstd'])
      .default('none')
      .meta({ description: 'Compression of requests, where the service knows it.' }),
    ...intakeOptions(),
  })
  .superRefine((options, context) => {
    checkCredentials(options, context)
    const fixed = new Set(Object.keys(options.headers).map((name) => name.toLowerCase()))
    for (const name of Object.keys(options.entry_headers)) {
      if (fixed.has(name.toLowerCase()))
        context.addIssue({
          code: 'custom',
          path: ['entry_headers', name],
          message: 'this header stands in `headers`, too',
        })
    }
  })

export type HttpConfig = z.output<typeof httpConfig>
