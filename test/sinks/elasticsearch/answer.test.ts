import { describe, expect, it } from 'vitest'
import { failureOfBulk, readItems200, tooLargeAlone, unknownParameter } from '../../../sinks/elasticsearch/answer.ts'
import type { Reply } from '../../../sinks/elasticsearch/transport.ts'
import { SinkError } from '../../../src/sink.ts'

function reply(status: number, body: unknown = '', headers: Record<string, string> = {}): Reply {
  return { status, headers, text: typeof body === 'string' ? body : JSON.stringify(body), host: 'es:9200' }
}

function created(count: number): string {
  return JSON.stringify({ errors: false, items: Array.from({ length: count }, () => ({ create: { status: 201 } })) })
}

function failed(status: number, type: string, reason: string, headers: Record<string, string> = {}): Reply {
  return reply(status, { error: { type, reason }, status }, headers)
}

function doubt(text: string, entries: number): string {
  try {
    readItems200(reply(200, text), entries)
    return 'taken'
  } catch (error) {
    if (!(error instanceof SinkError)) throw error
    return `${error.failure}: ${error.message}`
  }
}

describe('readItems200', () => {
  it('knows the answer for entries that were all created, whatever their number', () => {
    for (const count of [1, 3, 2000, 2, 4097])
      expect(readItems200(reply(200, created(count)), count)).toBe('all-created')
  })

  it('reads anything else item by item', () => {
    const items = [{ create: { status: 201 } }, { create: { status: 409, error: { type: 'x' } } }]
    expect(readItems200(reply(200, { errors: true, items }), 2)).toEqual([
      { status: 201 },
      { status: 409, error: { type: 'x' } },
    ])
    expect(readItems200(reply(200, `${created(2)} `), 2)).toEqual([{ status: 201 }, { status: 201 }])
    expect(readItems200(reply(200, created(2).replace('201', '500')), 2)).toEqual([{ status: 500 }, { status: 201 }])
  })

  it('E17: is in doubt about a page, a cut answer and one with too few items, also when it says that all is well', () => {
    expect(doubt('<html>hello</html>', 2)).toBe('in-doubt: es:9200: the answer is no JSON')
    expect(doubt(created(2).slice(0, -5), 2)).toBe('in-doubt: es:9200: the answer is no JSON')
    expect(doubt(created(2), 3)).toBe('in-doubt: es:9200: the answer has 2 items for 3 entries')
    expect(doubt('{"errors":false}', 3)).toBe('in-doubt: es:9200: the answer has no items')
    expect(doubt('', 1)).toMatch(/^in-doubt/)
    expect(doubt('null', 1)).toMatch(/^in-doubt/)
  })
})

describe('failureOfBulk', () => {
  const page = '<html>502 Bad Gateway</html>'
  it.each([
    ['too-large', reply(413)],
    ['unavailable', reply(429, 'Too Many Requests')],
    ['unavailable', failed(429, 'circuit_breaking_exception', 'Data too large')],
    [
      'too-large',
      failed(429, 'es_rejected_execution_exception', '[coordinating_operation_bytes=700, max_coordinating_bytes=512]'),
    ],
    ['refused', failed(401, 'security_exception', 'missing authentication credentials')],
    ['refused', failed(403, 'security_exception', 'is unauthorized for API key')],
    ['refused', failed(403, 'cluster_block_exception', 'blocked by: [FORBIDDEN/6/cluster read-only (api)];')],
    ['refused', reply(403, '{"Message":"User is not authorized"}')],
    ['refused', reply(404, page)],
    ['refused', reply(405)],
    ['refused', reply(406)],
    ['refused', reply(415)],
    ['refused', reply(301, '', { location: 'https://elsewhere' })],
    ['refused', failed(400, 'illegal_argument_exception', 'request [/x/_bulk] contains unrecognized parameter: [foo]')],
    ['in-doubt', failed(400, 'illegal_argument_exception', 'Malformed action/metadata line [3]')],
    ['in-doubt', failed(400, 'action_request_validation_exception', 'Validation Failed: 1: no requests added;')],
    ['in-doubt', reply(408)],
    ['in-doubt', reply(500)],
    ['in-doubt', reply(502, page)],
    ['in-doubt', reply(503, page)],
    ['in-doubt', reply(504)],
    ['unavailable', failed(503, 'cluster_block_exception', 'blocked by: [SERVICE_UNAVAILABLE/1/state not recovered];')],
    ['unavailable', failed(503, 'master_not_discovered_exception', '')],
  ] as const)('%s: %o', (failure, answer) => {
    const error = failureOfBulk(answer, 2)
    expect(error.failure).toBe(failure)
    expect(error.message).toMatch(/^es:9200 answers \d+/)
  })

  it('is too large when the request is larger than all memory for operations, of which the server has read a piece', () => {
    const piece =
      '[coordinating_and_primary_bytes=50380, coordinating_operation_bytes=10076, max_coordinating_bytes=51200]'
    const refused = failed(429, 'es_rejected_execution_exception', piece)
    expect(failureOfBulk(refused, 2, 50_000).failure).toBe('unavailable')
    expect(failureOfBulk(refused, 2, 52_000).failure).toBe('too-large')
    expect(tooLargeAlone(refused, 50_000)).toBeUndefined()
    expect(tooLargeAlone(refused, 52_000)).toMatchObject({ index: 0, code: 'too_large' })
  })

  it('waits as long as the server says', () => {
    expect(failureOfBulk(reply(429, '', { 'retry-after': '7' }), 2).retryAfterMs).toBe(7000)
    expect(failureOfBulk(reply(503, '', { 'retry-after': '7' }), 2).retryAfterMs).toBe(7000)
    expect(failureOfBulk(reply(429), 2).retryAfterMs).toBeUndefined()
  })

  it('says which parameter a server does not know', () => {
    const reason = 'request [/x/_bulk] contains unrecognized parameter: [require_data_stream]'
    expect(unknownParameter(failed(400, 'illegal_argument_exception', reason))).toBe('require_data_stream')
    expect(unknownParameter(failed(400, 'illegal_argument_exception', 'other'))).toBeUndefined()
    expect(unknownParameter(reply(200))).toBeUndefined()
  })

  it('takes a request with one entry that no memory is large enough for as an answer about this entry', () => {
    const reason = '[coordinating_operation_bytes=700, max_coordinating_bytes=512]'
    expect(tooLargeAlone(failed(429, 'es_rejected_execution_exception', reason), 1)?.code).toBe('too_large')
    expect(tooLargeAlone(failed(429, 'es_rejected_execution_exception', 'queue is full'), 1)).toBeUndefined()
  })
})
