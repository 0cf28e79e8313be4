import { describe, expect, it } from 'vitest'
import { type Asked, readAnswer } from '../../../sinks/splunk/answer.ts'
import { accountsFor } from '../../contract/sinkContract.ts'

const ASKED: Asked = {
  entries: 10,
  bytes: 5000,
  takenBytes: 1e6,
  ack: false,
  keepsPrefix: true,
  index: { kind: 'token' },
}

function read(status: number, body: object | string, asked: Partial<Asked> = {}, headers: Record<string, string> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify({ text: 'Words', ...body })
  return readAnswer(
    { status, headers, body: Buffer.from(text), url: 'https://splunk.example:8088' },
    { ...ASKED, ...asked },
  )
}

/** In short: the failure, or what the receipt says. */
function outcome(...args: Parameters<typeof read>): string {
  const reading = read(...args)
  if (reading.kind === 'taken') return reading.isPressed ? 'taken, less please' : 'taken'
  if (reading.kind === 'failed') return `${reading.error.failure}${reading.isBusy ? ', busy' : ''}`
  const { receipt } = reading
  expect(accountsFor(receipt, args[2]?.entries ?? ASKED.entries)).toEqual([])
  const list = (name: string, indexes: readonly number[] = []) =>
    indexes.length === 0 ? '' : ` ${name} ${indexes.join()}`
  const rejected = receipt.rejected.map(({ index, code }) => `${index}:${code}`)
  return `delivered ${receipt.delivered}${list('retry', receipt.retry)}${list('doubtful', receipt.doubtful)}${rejected.length === 0 ? '' : ` rejected ${rejected.join()}`}${reading.isBusy ? ', busy' : ''}`
}

const HTML = '<!doctype html><p>no'

describe('H4: an answer of a HEC', () => {
  it.each<[number, number | string, string]>([
    [200, 0, 'taken'],
    [403, 1, 'refused'],
    [401, 2, 'refused'],
    [401, 3, 'refused'],
    [403, 4, 'refused'],
    [400, 5, 'in-doubt'],
    [400, 6, 'too-large'],
    [400, 7, 'refused'],
    [500, 8, 'in-doubt'],
    [503, 9, 'unavailable, busy'],
    [400, 10, 'refused'],
    [400, 11, 'refused'],
    [400, 12, 'too-large'],
    [400, 13, 'too-large'],
    [400, 14, 'refused'],
    [400, 15, 'too-large'],
    [400, 16, 'refused'],
    [200, 17, 'in-doubt'],
    [503, 18, 'unavailable, busy'],
    [503, 19, 'unavailable, busy'],
    [503, 20, 'unavailable, busy'],
    [400, 21, 'refused'],
    [400, 22, 'refused'],
    [503, 23, 'unavailable, busy'],
    [200, 24, 'taken, less please'],
    [200, 25, 'taken, less please'],
    [429, 26, 'unavailable, busy'],
    [429, 27, 'unavailable, busy'],
    [400, 28, 'refused'],
    [404, 404, 'refused'],
    [200, 9, 'unavailable, busy'],
    [200, 99, 'in-doubt'],
    [413, HTML, 'too-large'],
    [415, HTML, 'refused'],
    [502, HTML, 'in-doubt'],
    [503, HTML, 'unavailable, busy'],
    [504, HTML, 'in-doubt'],
    [500, '', 'in-doubt'],
    [200, HTML, 'in-doubt'],
    [200, '', 'in-doubt'],
    [200, '{"text":"Success"', 'in-doubt'],
    [302, '', 'refused'],
    [400, HTML, 'refused'],
    [401, HTML, 'refused'],
    [404, HTML, 'refused'],
    [408, '', 'in-doubt'],
    [429, '', 'unavailable, busy'],
  ])('with status %s and %s is %s', (status, code, wanted) => {
    expect(outcome(status, typeof code === 'string' ? code : { code })).toBe(wanted)
  })

  it('gives the number to ask for', () => {
    expect(read(200, { code: 0, ackId: 0 })).toMatchObject({ ackId: 0 })
    expect(read(200, { code: 24, ackId: 7 })).toMatchObject({ ackId: 7, isPressed: true })
    expect(read(200, { code: 0 })).toMatchObject({ ackId: undefined })
  })

  it('says what to do', () => {
    const message = (...args: Parameters<typeof read>) => {
      const reading = read(...args)
      return reading.kind === 'failed' ? reading.error.message : ''
    }
    expect(message(400, { code: 14, text: 'ACK is disabled' })).toMatchInlineSnapshot(
      `"splunk.example:8088: ACK is disabled (code 14); useACK is off for this token: turn it on there, or set \`ack: false\`"`,
    )
    expect(message(403, { code: 4, text: 'Invalid token' })).toMatch(/look at `token`/)
    expect(message(400, { code: 7 }, { index: { kind: 'fixed', name: 'journal' } })).toMatch(/the index "journal"/)
    expect(message(415, HTML)).toMatch(/compress: none/)
  })

  it('is obeyed when it asks for a pause', () => {
    const reading = read(503, { code: 9 }, {}, { 'retry-after': '7' })
    expect(reading.kind === 'failed' && reading.error.retryAfterMs).toBe(7000)
  })
})

describe('H3: an answer about a bad event', () => {
  const N = (code: number, event: number) => ({ code, 'invalid-event-number': event })

  it.each<[string, object, Partial<Asked>, string]>([
    ['in the middle', N(15, 3), {}, 'delivered 3 retry 4,5,6,7,8,9 rejected 3:invalid'],
    ['the first', N(13, 0), {}, 'delivered 0 retry 1,2,3,4,5,6,7,8,9 rejected 0:invalid'],
    ['the last', N(12, 9), {}, 'delivered 9 rejected 9:invalid'],
    [
      'with acknowledgements',
      N(15, 3),
      { ack: true },
      'delivered 0 retry 4,5,6,7,8,9 doubtful 0,1,2 rejected 3:invalid',
    ],
    ['without number', { code: 15 }, {}, 'too-large'],
    ['with a number behind the end', N(15, 10), {}, 'too-large'],
    ['with half a number', N(15, 1.5), {}, 'too-large'],
    ['of a server that stores nothing then', N(15, 3), { keepsPrefix: false }, 'too-large'],
    ['that is alone', { code: 15 }, { entries: 1, keepsPrefix: false }, 'delivered 0 rejected 0:invalid'],
    ['that is alone and large, cut by the server', N(6, 0), { entries: 1, bytes: 2e6 }, 'too-large'],
    ['that is alone and small', N(6, 0), { entries: 1 }, 'delivered 0 rejected 0:invalid'],
    ['of bad JSON', N(6, 4), {}, 'delivered 4 retry 5,6,7,8,9 rejected 4:invalid'],
    [
      'of bad JSON, the first of a body that is not the largest',
      N(6, 0),
      {},
      'delivered 0 retry 1,2,3,4,5,6,7,8,9 rejected 0:invalid',
    ],
    ['of bad JSON, the first of a body above 1 MB', N(6, 0), { bytes: 1_000_001, takenBytes: 9e6 }, 'too-large'],
    ['of bad JSON, the first of a body more than half the largest', N(6, 0), { bytes: 600_000 }, 'too-large'],
    [
      'with a bad index from fields, named by the one behind it',
      N(7, 3),
      { index: { kind: 'fields' } },
      'delivered 2 retry 3,4,5,6,7,8,9 rejected 2:index',
    ],
    ['with a bad index from fields, the last', N(7, 10), { index: { kind: 'fields' } }, 'delivered 9 rejected 9:index'],
    ['with a bad index from fields, without number', { code: 7 }, { index: { kind: 'fields' } }, 'too-large'],
    [
      'with a bad index from fields, alone',
      { code: 7 },
      { index: { kind: 'fields' }, entries: 1 },
      'delivered 0 rejected 0:index',
    ],
    ['with a fixed index', N(7, 1), { index: { kind: 'fixed', name: 'x' } }, 'refused'],
    ['where a busy server stopped', N(9, 4), {}, 'delivered 0 retry 4,5,6,7,8,9 doubtful 0,1,2,3, busy'],
    ['where a busy server began', N(9, 0), {}, 'unavailable, busy'],
  ])('%s', (_, body, asked, wanted) => {
    expect(outcome(400, body, asked)).toBe(wanted)
  })
})
