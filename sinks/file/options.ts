// What can be configured of the file sink.

import * as z from 'zod'
import { duration, size } from '../parts/units.ts'

const MODE_FORM = 'expected the mode in quotes, e.g. "0640"'

const rotate = z
  .strictObject({
    size: size().optional().meta({
      description: 'Begin a new file before this size is passed, e.g. `100MiB`. A single batch may be larger.',
    }),
    every: duration().optional().meta({
      description: 'Begin a new file at every multiple of this time in UTC, e.g. `1d`, with the first batch after it.',
    }),
    keep: z.int().min(1).default(10).meta({ description: 'So many rotated files stay; the oldest are removed.' }),
    max_age: duration().optional().meta({ description: 'Rotated files older than this are removed, e.g. `14d`.' }),
  })
  .refine((rules) => rules.size !== undefined || rules.every !== undefined, 'expected `size` or `every`, or both')

export const fileConfig = z
  .strictObject({
    path: z
      .string()
      .min(1)
      .refine((path) => !/[%$]\{|\0/.test(path), 'the path is the same for all entries: it cannot hold templates')
      .meta({
        title: 'path',
        format: 'path',
        exclusive: true,
        description: 'The file to append to. Its folder must exist. No other program may write into it.',
      }),
    rotate: rotate.optional().meta({
      description:
        'When to begin a new file. Left out: never, but an outside logrotate that renames the file is followed.',
    }),
    compress: z
      .enum(['none', 'gzip', 'zstd'])
      .default('none')
      .meta({ description: 'Compress rotated files, in the background and one at a time.' }),
    sync: z
      .union([z.enum(['batch', 'never']), duration()], { error: 'expected `batch`, `never`, or a time such as 1s' })
      .prefault('1s')
      .meta({
        description:
          'When lines are forced to disk: `batch`, before each batch counts as delivered; a time, that often, in the background; ' +
          '`never`, when the system likes. A crash of logferry loses nothing with any of them; a power cut can cost lines that were ' +
          'not forced yet, unless the journal still has them.',
      }),
    mode: z
      .string({ error: MODE_FORM })
      .regex(/^0?[0-7]{3}$/, MODE_FORM)
      .default('0600')
      .meta({ description: 'Permissions of the files that logferry creates: octal, in quotes.' }),
    group: z
      .union([z.string().min(1), z.int().min(0)])
      .optional()
      .meta({ description: 'Group of the files that logferry creates: a name in /etc/group, or a number.' }),
  })
  .refine((config) => config.compress === 'none' || config.rotate !== undefined, {
    path: ['compress'],
    message: '`compress` is about rotated files: it needs `rotate`',
  })

export type FileConfig = z.output<typeof fileConfig>
