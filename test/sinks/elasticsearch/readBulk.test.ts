import { describe, expect, it } from 'vitest'
import { type BulkItem, judge, memoryOf } from '../../../sinks/elasticsearch/itemErrors.ts'
import { readBulk, readItems, wordsOf } from '../../../sinks/elasticsearch/readBulk.ts'
import { SinkError } from '../../../src/sink.ts'

const SENT = { hasIds: true, namesFromFields: false, memory: 0 }
const CREATED: BulkItem = { status: 201 }

function failed(status: number, type: string, reason = ''): BulkItem {
  return { status, error: { type, reason } }
}

function times(count: number, item: BulkItem): BulkItem[] {
  return Array.from({ length: count }, () => item)
}

function refusal(items: readonly BulkItem[]): string {
  try {
    return JSON.stringify(readBulk(items, SENT))
  } catch (error) {
    if (!(error instanceof SinkError)) throw error
    return `${error.failure}: ${error.message}`
  }
}

// As Elasticsearch 9.5.3 gave them, but where the last column says otherwise.
const RECORDED: readonly [verdict: string, status: number, type: string, reason: string][] = [
  [
    'delivered',
    409,
    'version_conflict_engine_exception',
    '[a1]: version conflict, document already exists (current version [1])',
  ],
  [
    'retry pressed',
    429,
    'es_rejected_execution_exception',
    'rejected execution of coordinating operation [coordinating_and_primary_bytes=51000, replica_bytes=0, all_bytes=51000, coordinating_operation_bytes=700, max_coordinating_bytes=51200]',
  ],
  [
    'too-large',
    429,
    'es_rejected_execution_exception',
    'rejected execution of primary operation [coordinating_and_primary_bytes=25000417, replica_bytes=0, all_bytes=25000417, primary_operation_bytes=100000032, max_primary_bytes=51897958]',
  ],
  ['retry pressed', 429, 'rejected_execution_exception', 'rejected execution of TimedRunnable (OpenSearch)'],
  [
    'retry pressed',
    429,
    'circuit_breaking_exception',
    '[parent] Data too large, data for [indices:data/write/bulk[s]] would be [1/1gb]',
  ],
  ['retry pressed', 503, 'circuit_breaking_exception', '[parent] Data too large (older)'],
  [
    'retry',
    429,
    'cluster_block_exception',
    'index [i1] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block];',
  ],
  [
    'retry',
    403,
    'cluster_block_exception',
    'index [i1] blocked by: [FORBIDDEN/12/index read-only / allow delete (api)]; (older)',
  ],
  ['held', 403, 'cluster_block_exception', 'index [i1] blocked by: [FORBIDDEN/8/index write (api)];'],
  ['held', 403, 'cluster_block_exception', 'index [i1] blocked by: [FORBIDDEN/5/index read-only (api)];'],
  [
    'held',
    403,
    'cluster_block_exception',
    'blocked by: [FORBIDDEN/10/cluster create-index blocked (api)]; (OpenSearch)',
  ],
  ['retry', 503, 'cluster_block_exception', 'blocked by: [SERVICE_UNAVAILABLE/2/no master];'],
  ['retry', 503, 'master_not_discovered_exception', ''],
  ['retry', 503, 'process_cluster_event_timeout_exception', 'failed to process cluster event (put-mapping) within 30s'],
  ['retry', 500, 'mapper_exception', 'timed out while waiting for a dynamic mapping update'],
  [
    'retry',
    503,
    'unavailable_shards_exception',
    '[una][0] primary shard is not active Timeout: [1s], request: [BulkShardRequest [[una][0]] containing [index {[una][1], source[{"a":1}]}]]',
  ],
  [
    'retry doubtful',
    500,
    'node_disconnected_exception',
    '[node-1][127.0.0.1:9300][indices:data/write/bulk[s]] disconnected',
  ],
  ['retry doubtful', 503, 'elasticsearch_timeout_exception', ''],
  ['retry doubtful', 500, 'index_shard_closed_exception', 'CurrentState[CLOSED]'],
  ['retry doubtful', 500, 'i_o_exception', 'No space left on device'],
  ['retry doubtful poison', 500, 'null_pointer_exception', ''],
  ['retry doubtful poison', 500, 'out_of_memory_error', 'Java heap space'],
  ['retry doubtful poison', 500, 'some_new_exception', ''],
  ['retry doubtful', 502, 'some_new_exception', ''],
  ['retry pressed', 429, 'some_new_exception', ''],
  [
    'rejected mapping',
    400,
    'document_parsing_exception',
    "[1:6] failed to parse field [x] of type [long] in document with id 'a3'. Preview of field's value: 'abc'",
  ],
  ['rejected mapping', 400, 'mapper_parsing_exception', 'failed to parse (before 8.8, OpenSearch)'],
  [
    'rejected mapping',
    400,
    'document_parsing_exception',
    '[1:7] failed to parse: data stream timestamp field [@timestamp] is missing',
  ],
  [
    'rejected mapping',
    400,
    'strict_dynamic_mapping_exception',
    '[1:6] mapping set to strict, dynamic introduction of [a] within [_doc] is not allowed',
  ],
  ['rejected mapping', 400, 'illegal_argument_exception', 'Document contains at least one immense term in field="k"'],
  ['rejected mapping', 400, 'illegal_argument_exception', 'mapper [a] cannot be changed from type [long] to [text]'],
  [
    'field-limit',
    400,
    'document_parsing_exception',
    '[1:18] failed to parse: Limit of total fields [2] has been exceeded while adding new fields [3]',
  ],
  ['field-limit', 400, 'illegal_argument_exception', 'Limit of total fields [1000] has been exceeded'],
  ['held', 400, 'illegal_argument_exception', 'only write ops with an op_type of create are allowed in data streams'],
  ['held', 400, 'illegal_argument_exception', 'pipeline with id [nope] does not exist'],
  [
    'held',
    400,
    'illegal_argument_exception',
    'no write index is defined for alias [al]. The write index may be explicitly disabled using is_write_index=false or the alias points to multiple indices without one being designated as a write index',
  ],
  [
    'held',
    400,
    'document_parsing_exception',
    '[1:45] failed to parse: _id must be unset or set to [JAgdDyeVlHakbvowlVVO] but was [1] because [.ds-ds1-x-2026.11.24-000001] is in time_series mode',
  ],
  [
    'held',
    400,
    'validation_exception',
    'Validation Failed: 1: this action would add [2] shards, but this cluster currently has [8]/[1] maximum normal shards open;',
  ],
  ['held', 404, 'index_not_found_exception', 'no such index [inew] and [action.auto_create_index] is [false]'],
  [
    'held',
    404,
    'index_not_found_exception',
    'no such index [p9] and the index creation request requires a data stream, but no matching index template with data stream template was found for it',
  ],
  ['held', 404, 'resource_not_found_exception', ''],
  ['held', 400, 'index_closed_exception', 'closed'],
  ['held', 404, 'aliases_not_found_exception', ''],
  ['held', 400, 'routing_missing_exception', 'routing is required for [rout]/[1]'],
  ['held', 400, 'invalid_index_name_exception', 'Invalid index name [UP], must be lowercase'],
  ['held', 403, 'security_exception', 'action [indices:data/write/bulk[s]] is unauthorized for API key id [x]'],
  ['held', 403, 'security_exception', 'current license is non-compliant for [security]'],
  [
    'rejected time_range',
    400,
    'timestamp_error',
    'the document timestamp is outside of ranges of currently writable indices',
  ],
  ['rejected pipeline', 400, 'script_exception', 'runtime error'],
  ['rejected pipeline', 500, 'ingest_processor_exception', ''],
  ['rejected pipeline', 400, 'fail_processor_exception', ''],
  ['rejected invalid', 400, 'some_new_exception', ''],
  ['held', 404, 'some_new_exception', ''],
]

describe('judge', () => {
  it.each(RECORDED)('%s: %i %s %s', (expected, status, type, reason) => {
    const verdict = judge(failed(status, type, reason), SENT)
    const words = [
      verdict.kind,
      ...('pressed' in verdict ? ['pressed'] : []),
      ...('mayBeStored' in verdict ? ['doubtful'] : []),
      ...('isPoison' in verdict ? ['poison'] : []),
      ...('code' in verdict ? [verdict.code] : []),
    ]
    expect(words.join(' ')).toBe(expected)
  })

  it('takes what was created, dropped by a pipeline, or put into the failure store as delivered', () => {
    expect(judge({ status: 201 }, SENT)).toEqual({ kind: 'delivered' })
    expect(judge({ status: 200 }, SENT)).toEqual({ kind: 'delivered' })
    expect(judge({ status: 201, failure_store: 'not_applicable_or_unknown' }, SENT)).toEqual({ kind: 'delivered' })
    expect(judge({ status: 201, failure_store: 'used' }, SENT)).toEqual({ kind: 'delivered', diverted: true })
  })

  it('does not take a conflict for an earlier copy where the ids are the server’s', () => {
    const conflict = failed(409, 'version_conflict_engine_exception')
    expect(judge(conflict, { ...SENT, hasIds: false })).toEqual({ kind: 'retry' })
  })

  it('blames the entry for a bad index where the name comes from its fields', () => {
    const sent = { ...SENT, namesFromFields: true }
    expect(judge(failed(400, 'invalid_index_name_exception'), sent)).toEqual({ kind: 'rejected', code: 'index_name' })
    expect(judge(failed(404, 'index_not_found_exception'), sent)).toEqual({ kind: 'rejected', code: 'no_index' })
    expect(judge(failed(403, 'security_exception'), sent).kind).toBe('held')
  })

  it('tries an item again that says nothing', () => {
    expect(judge({}, SENT)).toEqual({ kind: 'retry', mayBeStored: true })
  })
})

describe('readBulk', () => {
  it('E3: accounts for each entry of a mixed answer', () => {
    const items = [
      CREATED,
      failed(409, 'version_conflict_engine_exception'),
      failed(400, 'document_parsing_exception', 'failed to parse field [x]'),
      failed(429, 'es_rejected_execution_exception'),
      failed(400, 'document_parsing_exception', 'failed to parse: Limit of total fields [2] has been exceeded'),
      { status: 201, failure_store: 'used' },
    ]
    expect(readBulk(items, SENT)).toEqual({
      delivered: 3,
      diverted: 1,
      retry: [3],
      rejected: [
        { index: 2, code: 'mapping', reason: '400 document_parsing_exception: failed to parse field [x]' },
        {
          index: 4,
          code: 'field_limit',
          reason: '400 document_parsing_exception: failed to parse: Limit of total fields [2] has been exceeded',
        },
      ],
    })
  })

  it('refuses when all entries wait for a person, and sends them again when only some do', () => {
    const missing = failed(404, 'index_not_found_exception', 'no such index [x]')
    expect(refusal(times(3, missing))).toBe('refused: index_not_found_exception: no such index [x]')
    expect(refusal([missing])).toMatch(/^refused/)
    const reading = readItems([CREATED, missing], SENT)
    expect(reading).toMatchObject({
      delivered: 1,
      retry: [1],
      rejected: [],
      obstacle: 'index_not_found_exception: no such index [x]',
    })
  })

  it('refuses from half a batch on when the index takes no more names, below that it is the entries', () => {
    const limit = failed(400, 'illegal_argument_exception', 'Limit of total fields [1000] has been exceeded')
    expect(readItems([...times(4, CREATED), ...times(3, limit)], SENT).rejected).toHaveLength(3)
    const half = readItems([...times(3, CREATED), ...times(3, limit)], SENT)
    expect(half).toMatchObject({ delivered: 3, retry: [3, 4, 5], rejected: [] })
    expect(refusal(times(3, limit))).toBe(
      'refused: illegal_argument_exception: Limit of total fields [1000] has been exceeded',
    )
  })

  it('takes a strict mapping or a failing pipeline for a person’s matter only when all of many entries meet it', () => {
    const strict = failed(400, 'strict_dynamic_mapping_exception', 'dynamic introduction of [a] is not allowed')
    expect(refusal(times(10, strict))).toMatch(/^refused: strict_dynamic_mapping_exception/)
    // A quiet night: one odd entry must not stop everything.
    expect(readBulk([strict], SENT).rejected).toHaveLength(1)
    expect(readBulk([CREATED, ...times(12, strict)], SENT).rejected).toHaveLength(12)
  })

  it('asks for fewer entries when none of many fits into the server’s memory', () => {
    const huge = failed(429, 'es_rejected_execution_exception', '[primary_operation_bytes=100, max_primary_bytes=51]')
    expect(refusal([huge, huge])).toMatch(/^too-large/)
    expect(readItems([CREATED, huge], SENT)).toMatchObject({ retry: [1], suspects: [], isPressed: true })
    expect(readItems([huge], SENT)).toMatchObject({ retry: [0], suspects: [{ index: 0, code: 'too_large' }] })
  })

  it('counts what the request itself takes of the memory that its documents need', () => {
    const reason =
      'rejected execution of primary operation [coordinating_and_primary_bytes=39822, replica_bytes=0, all_bytes=39822, primary_operation_bytes=20384, max_primary_bytes=51200]'
    const items = times(22, failed(429, 'es_rejected_execution_exception', reason))
    expect(() => readItems(items, { ...SENT, memory: memoryOf(31_500, 22) })).toThrow(/not the memory/)
    expect(readItems(items, { ...SENT, memory: memoryOf(20_000, 22) }).retry).toHaveLength(22)
  })

  it('keeps what an entry says out of what may be logged', () => {
    const secret = 'password=hunter2'
    for (const [, status, type] of RECORDED) {
      if (/index|not_found|cluster_block|security|validation|alias|rejected_execution|strict/.test(type)) continue
      expect(wordsOf(failed(status, type, secret))).not.toContain('hunter2')
    }
    const long = readBulk([CREATED, failed(400, 'parse_exception', 'x'.repeat(100_000))], SENT)
    expect(long.rejected[0]?.reason.length).toBe(2000)
  })
})
