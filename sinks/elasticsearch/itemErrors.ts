// What an error of one item in a bulk answer means for its entry: the table of type names, statuses and reasons that Elasticsearch and
// OpenSearch use. Names and statuses were seen in answers of Elasticsearch 9.5, or come from its sources and reports about older ones.

/** One item of a bulk answer, as far as it is asked for. */
export interface BulkItem {
  readonly status?: unknown
  readonly error?: { readonly type?: unknown; readonly reason?: unknown } | undefined
  /** Elasticsearch 8.19, 9.1: `used` when the document was put into the failure store of its data stream. */
  readonly failure_store?: unknown
}

/** What is to be done about an entry. */
export type Verdict =
  | { readonly kind: 'delivered'; readonly again?: true; readonly diverted?: true }
  /**
   * Send it again. `pressed`: and slower. `isPoison`: if it alone fails again and again, it will never pass. `mayBeStored`: it can
   * have been written all the same.
   */
  | { readonly kind: 'retry'; readonly pressed?: true; readonly isPoison?: true; readonly mayBeStored?: true }
  /** Does not fit into the server's memory at the size of this request, however often it is sent. */
  | { readonly kind: 'too-large' }
  /** A person must act: nothing is wrong with the entry. */
  | { readonly kind: 'held' }
  /** The index takes no new names. A person's matter when many have it, else the entry's. */
  | { readonly kind: 'field-limit' }
  /** Never to be taken. `heldWhenAll`: unless all entries of a batch have it. */
  | { readonly kind: 'rejected'; readonly code: string; readonly heldWhenAll?: true }

interface Rule {
  /** Without `es_`, `elasticsearch_` or `opensearch_` before them. */
  readonly types: readonly string[]
  readonly statuses?: readonly number[]
  readonly reason?: RegExp
  readonly verdict: Verdict
}

const RETRY: Verdict = { kind: 'retry' }
const PRESSED: Verdict = { kind: 'retry', pressed: true }
const DOUBTFUL: Verdict = { kind: 'retry', mayBeStored: true }
const POISON: Verdict = { kind: 'retry', isPoison: true, mayBeStored: true }
const HELD: Verdict = { kind: 'held' }
const MAPPING: Verdict = { kind: 'rejected', code: 'mapping' }

const DOCUMENT = [
  'document_parsing_exception',
  'mapper_parsing_exception',
  'parse_exception',
  'parsing_exception',
  'x_content_parse_exception',
  'input_coercion_exception',
  'number_format_exception',
]

// The first that fits counts.
const RULES: readonly Rule[] = [
  { types: ['rejected_execution_exception', 'circuit_breaking_exception'], verdict: PRESSED },
  // Flood stage of the disk: 429 and TOO_MANY_REQUESTS/12; older servers say 403 and FORBIDDEN/12.
  { types: ['cluster_block_exception'], reason: /\/12\//, verdict: RETRY },
  { types: ['cluster_block_exception'], statuses: [401, 403], verdict: HELD },
  { types: ['cluster_block_exception'], verdict: RETRY },
  {
    types: [
      'master_not_discovered_exception',
      'not_master_exception',
      'process_cluster_event_timeout_exception',
      'unavailable_shards_exception',
      'no_shard_available_action_exception',
    ],
    verdict: RETRY,
  },
  // Seen as 500: "timed out while waiting for a dynamic mapping update".
  { types: ['mapper_exception'], statuses: [500, 503], verdict: RETRY },
  {
    types: [
      'node_not_connected_exception',
      'node_disconnected_exception',
      'node_closed_exception',
      'connect_transport_exception',
      'receive_timeout_transport_exception',
      'send_request_transport_exception',
      'timeout_exception',
      'primary_missing_action_exception',
      'shard_not_in_primary_mode_exception',
      'index_shard_closed_exception',
      'illegal_index_shard_state_exception',
      'already_closed_exception',
      'retry_on_primary_exception',
      'retry_on_replica_exception',
      'i_o_exception',
      'file_system_exception',
      'translog_exception',
      'engine_closed_exception',
      'engine_failed_exception',
      'corrupt_index_exception',
    ],
    verdict: DOUBTFUL,
  },
  { types: ['out_of_memory_error', 'null_pointer_exception'], verdict: POISON },
  { types: DOCUMENT, reason: /Limit of total fields/, verdict: { kind: 'field-limit' } },
  { types: ['illegal_argument_exception'], reason: /Limit of total fields/, verdict: { kind: 'field-limit' } },
  // A time series names its documents itself: each of ours is refused.
  { types: [...DOCUMENT, 'illegal_argument_exception'], reason: /_id must be unset or set to/, verdict: HELD },
  { types: ['strict_dynamic_mapping_exception'], verdict: { kind: 'rejected', code: 'mapping', heldWhenAll: true } },
  { types: DOCUMENT, verdict: MAPPING },
  {
    types: ['illegal_argument_exception'],
    reason: /op_type of create|pipeline with id \[|no write index is defined/,
    verdict: HELD,
  },
  { types: ['illegal_argument_exception'], verdict: MAPPING },
  { types: ['validation_exception'], verdict: HELD },
  {
    types: [
      'index_not_found_exception',
      'resource_not_found_exception',
      'index_closed_exception',
      'aliases_not_found_exception',
      'routing_missing_exception',
      'security_exception',
    ],
    verdict: HELD,
  },
  { types: ['invalid_index_name_exception'], verdict: HELD },
  { types: ['timestamp_error'], verdict: { kind: 'rejected', code: 'time_range' } },
  {
    types: [
      'script_exception',
      'ingest_processor_exception',
      'pipeline_processing_exception',
      'fail_processor_exception',
    ],
    verdict: { kind: 'rejected', code: 'pipeline', heldWhenAll: true },
  },
]

const BY_TYPE = new Map<string, readonly Rule[]>()
for (const rule of RULES) for (const type of rule.types) BY_TYPE.set(type, [...(BY_TYPE.get(type) ?? []), rule])

/**
 * Types that speak of the index alone. Where its name comes from the entry's fields, they are about this entry: others go elsewhere.
 */
const OF_THE_INDEX: ReadonlyMap<string, string> = new Map([
  ['invalid_index_name_exception', 'index_name'],
  ['index_not_found_exception', 'no_index'],
  ['index_closed_exception', 'no_index'],
])

/** How entries were sent, as far as it matters for what an error means. */
export interface Sent {
  /** With ids of ours: a conflict is an earlier copy. */
  readonly hasIds: boolean
  /** The names of indexes come from fields of the entries. */
  readonly namesFromFields: boolean
  /** From `memoryOf` the request. */
  readonly memory: number
}

/** What an item of a bulk answer means. */
export function judge({ status, error, failure_store }: BulkItem, sent: Sent): Verdict {
  if (typeof status !== 'number') return { kind: 'retry', mayBeStored: true }
  if (status < 300 && error === undefined)
    return failure_store === 'used' ? { kind: 'delivered', diverted: true } : { kind: 'delivered' }
  const type = plainType(error?.type)
  const reason = typeof error?.reason === 'string' ? error.reason : ''
  if (status === 409 && sent.hasIds) return { kind: 'delivered', again: true }
  const code = sent.namesFromFields ? OF_THE_INDEX.get(type) : undefined
  if (code !== undefined) return { kind: 'rejected', code }
  if (type === 'rejected_execution_exception' && exceedsMemory(reason, sent.memory)) return { kind: 'too-large' }
  const rule = BY_TYPE.get(type)?.find(
    ({ statuses, reason: pattern }) =>
      (statuses === undefined || statuses.includes(status)) && (pattern === undefined || pattern.test(reason)),
  )
  return rule?.verdict ?? byStatus(status)
}

/** For types that are not in the table. */
function byStatus(status: number): Verdict {
  if (status === 429) return PRESSED
  if (status === 502 || status === 503 || status === 504) return DOUBTFUL
  if (status >= 500) return POISON
  if (status === 401 || status === 403 || status === 404) return HELD
  // A conflict without ids of ours cannot be; should it come, another id will do.
  if (status === 409) return RETRY
  return { kind: 'rejected', code: 'invalid' }
}

/** The name of an error without the product's own prefix. */
export function plainType(type: unknown): string {
  return typeof type === 'string' ? type.replace(/^(?:es|elasticsearch|open_?search)_/, '') : 'unknown'
}

/** What the server counts for a document besides its bytes, about (seen in Elasticsearch 9.5). */
const OVERHEAD_BYTES = 400

/** How much of the server's memory for operations a request takes by itself. */
export function memoryOf(bytes: number, entries: number): number {
  return bytes + OVERHEAD_BYTES * entries
}

/**
 * Whether indexing pressure refuses an operation that by itself is larger than all the memory that operations may have: then it
 * will be refused however often it is sent. The reason says which operation it is, what all have, what this one wants and the most:
 * `… of primary operation […, primary_operation_bytes=N, max_primary_bytes=M]`. A request that is read piece by piece is refused with
 * the size of a piece; and while its documents go to the shards, the request keeps what it has.
 * @param own from `memoryOf` the request
 */
export function exceedsMemory(reason: string, own: number): boolean {
  const found = /(\w+)_operation_bytes=(\d+), max_\w+_bytes=(\d+)\]/.exec(reason)
  if (found === null) return false
  const [, kind, wanted, most] = found
  const needed = kind === 'primary' ? own + Number(wanted) : Math.max(own, Number(wanted))
  return needed > Number(most)
}
