// What an answer of the collector means for a batch: by its code first, then by the status (a proxy answers without code).
// Pure. Sources: Splunk's manual on HEC errors, probes of Splunk Enterprise 10 and Splunk Cloud, the receiver of the
// OpenTelemetry collector. Invariant: nothing is called delivered that the answer does not vouch for.

import { type PartialReceipt, SinkError, type SinkFailure } from '../../src/sink.ts'
import { type Answer, patience } from '../parts/http.ts'

/** What was asked, as far as it matters for what the answer means. */
export interface Asked {
  readonly entries: number
  /** Of the body, before compression. */
  readonly bytes: number
  /** The largest body that this server has taken. */
  readonly takenBytes: number
  /** Acknowledgements are on: a body that was refused gets none, so nothing vouches for the part that was stored. */
  readonly ack: boolean
  /** The server stores what stands before a bad event, as Splunk does, and says which it was. */
  readonly keepsPrefix: boolean
  /** How `index` is given: one name, from fields of the entries, or not at all (the token's own). */
  readonly index: { readonly kind: 'fixed'; readonly name: string } | { readonly kind: 'fields' | 'token' }
}

/** What came of a body. */
export type Reading =
  /** `isPressed`: the server asks for less. `ackId`: the number to ask about. */
  | { readonly kind: 'taken'; readonly ackId: number | undefined; readonly isPressed: boolean }
  | { readonly kind: 'partial'; readonly receipt: PartialReceipt; readonly isBusy: boolean }
  /** `isBusy`: the server is there, but has too much to do. */
  | { readonly kind: 'failed'; readonly error: SinkError; readonly isBusy: boolean }

/** The part of an answer's body that is looked at. */
interface Reply {
  readonly code: number
  readonly text: string
  /** `invalid-event-number`, from 0. */
  readonly event: number | undefined
  readonly ackId: number | undefined
}

/** A body of more bytes may be over `max_content_length` of an old release, or of Splunk Cloud. */
const SMALL_BYTES = 1_000_000
const PRESSED_MS = 30_000

/** Reads the answer to a body of events. */
export function readAnswer(answer: Answer, asked: Asked): Reading {
  const reply = replyOf(answer)
  if (reply === undefined) return failed(readStatus(answer))
  const { code, ackId, event } = reply
  const isGood = answer.status >= 200 && answer.status < 300
  if (isGood && (code === 0 || code === 24 || code === 25)) return { kind: 'taken', ackId, isPressed: code !== 0 }
  switch (code) {
    case 6:
      // How Splunk Cloud says that a body is too large. Alone, and small, the event must be to blame.
      if (event === 0 && isLarge(asked)) return failed(errorOf('too-large', answer, reply))
      return readBadEvent(answer, reply, asked, event, 'invalid')
    case 7:
      return readBadIndex(answer, reply, asked)
    case 9:
      return readBusy(answer, reply, asked)
    case 12:
    case 13:
    case 15:
      return readBadEvent(answer, reply, asked, event, 'invalid')
    default:
      return failed(failureOfCode(answer, reply))
  }
}

/** What an answer without good news means, to a question about acknowledgements, to a check, or to a body. */
export function failureOfAnswer(answer: Answer): SinkError {
  const reply = replyOf(answer)
  return reply === undefined ? readStatus(answer) : failureOfCode(answer, reply)
}

/** The code of an answer; undefined when it has none, as those of proxies. */
export function codeOf(answer: Answer): number | undefined {
  return replyOf(answer)?.code
}

function failed(error: SinkError, isBusy = error.failure === 'unavailable'): Reading {
  return { kind: 'failed', error, isBusy }
}

function isLarge({ entries, bytes, takenBytes }: Asked): boolean {
  return bytes > SMALL_BYTES || (entries > 1 && bytes > takenBytes / 2)
}

/** Of the events before the bad one Splunk has stored each, and none of those behind it. */
function readBadEvent(
  answer: Answer,
  reply: Reply,
  { entries, ack, keepsPrefix }: Asked,
  bad: number | undefined,
  code: string,
): Reading {
  const reason = `${reply.text} (code ${reply.code})`
  const isKnown = bad !== undefined && Number.isInteger(bad) && bad >= 0 && bad < entries
  if (entries === 1) return partial({ delivered: 0, retry: [], rejected: [{ index: 0, code, reason }] })
  // Which one it is comes out by halves.
  if (!isKnown || !keepsPrefix) return failed(errorOf('too-large', answer, reply))
  const before = range(0, bad)
  return partial({
    delivered: ack ? 0 : bad,
    ...(ack ? { doubtful: before } : {}),
    rejected: [{ index: bad, code, reason }],
    retry: range(bad + 1, entries),
  })
}

/** With an index from fields it is about one entry, and the number is that of the one behind it. */
function readBadIndex(answer: Answer, reply: Reply, asked: Asked): Reading {
  const { index, entries } = asked
  if (index.kind === 'fields') {
    const { event } = reply
    const bad = event === undefined || event < 1 || event > entries ? undefined : event - 1
    return readBadEvent(answer, reply, asked, bad, 'index')
  }
  const what = index.kind === 'fixed' ? `the index "${index.name}"` : "the token's default index"
  const hint = `${what} is not there, or the token may not write to it`
  return failed(errorOf('refused', answer, reply, hint))
}

/** A number that comes with "busy" may mean that it stopped there; nobody says so, so these are sent again. */
function readBusy(answer: Answer, reply: Reply, { entries }: Asked): Reading {
  const { event } = reply
  const error = errorOf('unavailable', answer, reply)
  if (event === undefined || !Number.isInteger(event) || event < 1 || event > entries) return failed(error)
  const receipt = { delivered: 0, doubtful: range(0, event), retry: range(event, entries), rejected: [] }
  return { kind: 'partial', receipt, isBusy: true }
}

function partial(receipt: PartialReceipt): Reading {
  return { kind: 'partial', receipt, isBusy: false }
}

const TOKEN_HINT = 'look at `token`, and at the token in Splunk: Settings, Data inputs, HTTP Event Collector'

/** What a code means where nothing more is known. */
function failureOfCode(answer: Answer, reply: Reply): SinkError {
  switch (reply.code) {
    case 1:
    case 2:
    case 3:
    case 4:
    case 16:
    case 21:
    case 22:
      return errorOf('refused', answer, reply, TOKEN_HINT)
    case 7:
      return errorOf('refused', answer, reply, 'the index is not there, or the token may not write to it')
    case 10:
    case 11:
    case 28:
      return errorOf('refused', answer, reply, 'this should not happen: please report it')
    case 14:
      return errorOf('refused', answer, reply, 'useACK is off for this token: turn it on there, or set `ack: false`')
    case 404:
      return errorOf('refused', answer, reply, 'look at `url`: it is where /services/collector begins')
    case 9:
    case 18:
    case 19:
    case 20:
    case 23:
    case 26:
    case 27:
      return errorOf('unavailable', answer, reply)
    // Code 5, "no data", came for a body with data: its events may have been skipped.
    default:
      return errorOf('in-doubt', answer, reply)
  }
}

/** What an answer without code means: it comes from a proxy, or from Splunk before it has looked at the body. */
function readStatus(answer: Answer): SinkError {
  const { status } = answer
  const text = (failure: SinkFailure, what: string) =>
    new SinkError(failure, `${hostOf(answer)}: ${what}`, patience(answer))
  if (status >= 200 && status < 300) return text('in-doubt', `an answer that is not of a HEC (status ${status})`)
  if (status >= 300 && status < 400) return text('refused', `it leads elsewhere (status ${status}): look at \`url\``)
  switch (status) {
    case 401:
    case 403:
    case 407:
      return text('refused', `not allowed (status ${status}): look at \`token\`, and at what stands in front of Splunk`)
    case 408:
      return text('in-doubt', 'it has not got all of the request in time (status 408)')
    case 413:
      return text('too-large', 'the request is too large (status 413)')
    case 415:
      return text('refused', 'it takes no compressed requests (status 415): set `compress: none`')
    case 429:
      return text('unavailable', 'too many requests (status 429)')
    case 503:
      return text('unavailable', 'it cannot serve at present (status 503)')
    default:
      if (status >= 500) return text('in-doubt', `the server, or what stands in front of it, failed (status ${status})`)
      return text('refused', `it refuses the request (status ${status}): look at \`url\``)
  }
}

function errorOf(failure: SinkFailure, answer: Answer, { code, text }: Reply, hint?: string): SinkError {
  const more = hint === undefined ? '' : `; ${hint}`
  return new SinkError(failure, `${hostOf(answer)}: ${text} (code ${code})${more}`, patience(answer))
}

/** The receipt of a batch that was taken. */
export function receiptOf(entries: number, isPressed: boolean): 'delivered' | PartialReceipt {
  return isPressed ? { delivered: entries, retry: [], rejected: [], retryAfterMs: PRESSED_MS } : 'delivered'
}

function replyOf({ body }: Answer): Reply | undefined {
  let value: unknown
  try {
    value = JSON.parse(body.toString())
  } catch {
    return undefined // A page for people.
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { code, text, ackId, 'invalid-event-number': event } = value as Record<string, unknown>
  if (typeof code !== 'number') return undefined
  return {
    code,
    text: typeof text === 'string' ? text.slice(0, 200) : 'no text',
    event: typeof event === 'number' ? event : undefined,
    ackId: typeof ackId === 'number' ? ackId : undefined,
  }
}

function hostOf({ url }: Answer): string {
  return new URL(url).host
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index)
}
