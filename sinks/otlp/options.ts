// What can be configured of the otlp sink.

import * as z from 'zod'
import { address, checkCredentials, intakeOptions } from '../parts/intake.ts'

export const otlpConfig = z
  .strictObject({
    url: address(true).meta({
      description:
        'Address of the receiver, e.g. `http://collector:4318`. `/v1/logs` is put behind it, unless it ends that way.',
    }),
    protocol: z.enum(['protobuf', 'json']).default('protobuf').meta({
      description: 'Form of the requests. `protobuf` is smaller, and the one that every receiver knows.',
    }),
    resource: z.record(z.string().min(1), z.string()).default({}).meta({
      title: 'name: text',
      description: 'Further attributes of every resource, e.g. `{ deployment.environment.name: production }`.',
    }),
    strict: z.boolean().default(false).meta({
      description:
        'Follow the specification to the letter: what is answered with 500 goes to the dead letters. By default it is sent again.',
    }),
    compress: z
      .enum(['none', 'gzip', 'zstd'])
      .default('gzip')
      .meta({ description: 'Compression of requests. Every receiver knows `gzip`.' }),
    ...intakeOptions(),
  })
  .superRefine(checkCredentials)

export type OtlpConfig = z.output<typeof otlpConfig>

/** The complete address for logs. */
export function logsUrl(url: string): string {
  const base = url.replace(/\/+$/, '')
  return base.endsWith('/v1/logs') ? base : `${base}/v1/logs`
}
