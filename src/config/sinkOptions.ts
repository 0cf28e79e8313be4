// The options that every sink has, whatever its kind; the pipeline works by them, the sink itself never sees them.

import * as z from 'zod'
import { andMatches, type Match } from '../journal/match.ts'
import type { SinkSettings } from '../pipeline/settings.ts'
import { count, duration, field, fieldNames, match, pattern, recordName, size, start } from './options.ts'

/** The options that every sink has. */
export const sinkOptionsSchema = z
  .strictObject({
    match: match().prefault([]).meta({
      description: 'Only entries that match go to this sink; those that `journal.match` leaves out never do.',
    }),
    start: start().optional().meta({
      description: 'Where this sink begins without a stored position. Default: `journal.start`.',
    }),
    shape: z.enum(['journal', 'ecs']).prefault('journal').meta({
      description:
        'Names of the fields: `journal` as `journalctl -o json` has them, `ecs` Elastic Common Schema. Both have `@timestamp`.',
    }),
    fields: z
      .strictObject({
        include: fieldNames().optional().meta({
          description:
            'Only these journal fields; `*` stands for anything, as in `_SYSTEMD_*`. The time and the cursor always stay.',
        }),
        exclude: fieldNames().optional().meta({ description: 'All journal fields but these.' }),
        rename: z
          .record(field(), recordName())
          .optional()
          .meta({ title: 'FIELD: name', description: 'Other names for fields.', examples: [{ MESSAGE: 'msg' }] }),
        add: z
          .record(recordName(), z.string())
          .optional()
          .meta({ title: 'name: text', description: 'Further fields with a fixed text, on every entry.' }),
        mask: z
          .array(
            z.strictObject({
              field: field().optional().meta({ description: 'Only in this field. Default: in all.' }),
              pattern: pattern().meta({
                description: "What to replace, in JavaScript's syntax.",
              }),
              replace: z.string().prefault('***').meta({ description: 'By what; `$1` is the first group.' }),
            }),
          )
          .optional()
          .meta({
            title: 'list',
            description: 'Parts of values that nobody shall see.',
            examples: [[{ field: 'MESSAGE', pattern: 'token=\\S+', replace: 'token=***' }]],
          }),
        max_bytes: size({ min: 64 }).optional().meta({
          description: 'Cuts longer values and names them in `logferry.truncated`. Default: nothing is cut.',
        }),
        custom: z.enum(['keep', 'drop']).prefault('keep').meta({
          description:
            'Fields that are not of journald but of an application: `keep` (in shape `ecs` below `journald.custom`), or `drop`. One with a new name in `rename` always stays.',
        }),
        max_custom: count({ min: 0, max: 1_000_000 }).optional().meta({
          description:
            'So many names of such fields, those that come first; what has another name goes into the list `logferry.other` as `NAME=value`, so that one application cannot use up the fields of an index. Default: 500 in shape `ecs`, and for Elasticsearch and Redis; else no limit.',
        }),
      })
      .prefault({})
      .meta({ description: 'Which fields go out, and under which names.' }),
    binary: z.enum(['base64', 'array', 'replace']).prefault('base64').meta({
      description:
        'A value that is not UTF-8: `base64` puts U+FFFD in the place of invalid bytes and the exact ones beside it in `logferry.base64.NAME`, `replace` leaves those out, `array` writes numbers as journalctl does.',
    }),
    timestamp: z.enum(['entry', 'source']).prefault('entry').meta({
      description:
        'Where `@timestamp` comes from: the time at which journald took the entry, or the one of its sender (`_SOURCE_REALTIME_TIMESTAMP`) where there is one.',
    }),
    ecs: z
      .strictObject({
        priority: z.enum(['filebeat', 'rfc5424']).prefault('filebeat').meta({
          description:
            'What `log.syslog.priority` is: the severity, as Filebeat writes it, or facility × 8 + severity, as ECS defines it.',
        }),
      })
      .optional()
      .meta({ description: 'Details of shape `ecs`.' }),
    batch: z
      .strictObject({
        entries: count({ min: 1, max: 1_000_000 })
          .prefault(2000)
          .meta({ description: 'A batch has at most so many entries.' }),
        bytes: size({ min: 1024, max: 2 ** 30 })
          .prefault('2MB')
          .meta({ description: 'A batch has at most so many bytes. A single entry may be larger.' }),
        wait: duration().prefault('1s').meta({
          description: 'A batch that is not full goes out so long after its first entry was read.',
        }),
      })
      .prefault({})
      .meta({ description: 'How entries are gathered.' }),
    concurrency: count({ min: 1, max: 64 })
      .prefault(2)
      .meta({ description: 'Writes under way at once. A sink that keeps order always has 1.' }),
    in_flight: count({ min: 1, max: 1000 }).optional().meta({
      description:
        'Batches that may wait for their outcome at once, those on the wire included. Default: twice `concurrency`.',
    }),
    retry: z
      .strictObject({
        base: duration({ min: 1 }).prefault('250ms').meta({
          description: 'The longest wait after the first failure; it doubles with each further one.',
        }),
        cap: duration({ min: 1 }).prefault('10s').meta({ description: 'The longest wait of all.' }),
        give_up_after: duration({ min: 1000 }).optional().meta({
          description: 'After so long without success a batch goes to the dead letters. Default: never.',
        }),
      })
      .prefault({})
      .meta({ description: 'How failed writes are repeated. Waits are random up to these limits.' }),
    timeout: duration({ min: 10 })
      .prefault('90s')
      .meta({ description: 'A write without an outcome for so long is given up and repeated.' }),
  })
  .superRefine(({ concurrency, in_flight, retry, shape, ecs }, context) => {
    if (ecs !== undefined && shape !== 'ecs')
      context.addIssue({ code: 'custom', path: ['ecs'], message: 'expected `shape: ecs` beside it' })
    if (in_flight !== undefined && in_flight < concurrency) {
      const message = `expected at least ${concurrency}, the value of concurrency`
      context.addIssue({ code: 'custom', path: ['in_flight'], message })
    }
    if (retry.cap < retry.base) {
      context.addIssue({ code: 'custom', path: ['retry', 'cap'], message: 'expected at least the value of retry.base' })
    }
  })

/** Defaults that a kind of sink has for itself. */
export interface SinkDefaults {
  /** The least default of `in_flight`. */
  readonly inFlight?: number | undefined
  /** The default of `fields.max_custom`. */
  readonly maxCustom?: number | undefined
}

/** From checked options to what the pipeline takes. `outer` is `journal.match`. */
export function toSettings(
  options: z.output<typeof sinkOptionsSchema>,
  outer: Match,
  { inFlight = 1, maxCustom }: SinkDefaults = {},
): SinkSettings {
  const { include, exclude, rename, add, mask, max_bytes, custom, max_custom = maxCustom } = options.fields
  const { base, cap, give_up_after } = options.retry
  return {
    match: andMatches(outer, options.match),
    shape: options.shape,
    fields: {
      ...(include && { include }),
      ...(exclude && { exclude }),
      ...(rename && { rename }),
      ...(add && { add }),
      ...(mask && {
        mask: mask.map(({ field, pattern, replace }) => ({ ...(field !== undefined && { field }), pattern, replace })),
      }),
      ...(max_bytes !== undefined && { maxBytes: max_bytes }),
    },
    binary: options.binary,
    record: {
      timestamp: options.timestamp,
      custom,
      ...(max_custom !== undefined && { customLimit: max_custom }),
      ...(options.ecs !== undefined && { priority: options.ecs.priority }),
    },
    batch: { entries: options.batch.entries, bytes: options.batch.bytes, waitMs: options.batch.wait },
    concurrency: options.concurrency,
    inFlight: options.in_flight ?? Math.max(inFlight, 2 * options.concurrency),
    retry: { baseMs: base, capMs: cap, giveUpAfterMs: give_up_after },
    timeoutMs: options.timeout,
    start: options.start,
  }
}
