// The three ways in which entries are answered: a range that ends, a range as gzip attachment, a stream that follows. They differ in their heads and
// in what happens at the journal's end.

import type { ServerResponse } from 'node:http'
import type { Transform } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { constants, createGzip, createZstdCompress } from 'node:zlib'
import type { JournalSet } from '../../journal/directory.ts'
import type { Encoder } from '../../journal/encode/encoder.ts'
import { encoderKey } from '../../journal/encode/spec.ts'
import type { JournalFile } from '../../journal/file/file.ts'
import { JournalReader } from '../../journal/reader.ts'
import { Refusal } from '../http/refusal.ts'
import type { EncoderPool } from './encoders.ts'
import { CONTENT_TYPES, encoderSpec, type Format } from './formats.ts'
import { DEADLINE } from './grep.ts'
import { type Located, locate } from './locate.ts'
import { goneSignal, Outlet } from './outlet.ts'
import type { Pings } from './pings.ts'
import type { EntryRequest } from './request.ts'
import { type Allowance, sendEntries } from './send.ts'
import type { Tails } from './tails.ts'

/** Entries looked at without a turn for others, before the first one that fits. */
const TURN = 1024
/** Following: how long one wait may last. Only a backstop, as the set wakes when a file grows. */
const WAIT_MS = 60_000

/** Why an answer was broken off: the client took nothing, `grep` took too long. */
export type CutReason = 'slow' | 'search'

export interface AnswerContext {
  readonly set: JournalSet
  readonly encoders: EncoderPool
  readonly pings: Pings
  readonly tails: Tails
  readonly stallMs: number
  /** Told when a client was cut, why. */
  readonly onCut: (reason: CutReason, response: ServerResponse) => void
}

export type Coding = 'identity' | 'gzip' | 'zstd'

export interface Answer {
  readonly request: EntryRequest
  readonly format: Format
  /** Events carry ids. */
  readonly ids: boolean
  readonly arrays: boolean
  /** Beside the content type; `skips` are added where the route has them. */
  readonly headers: Readonly<Record<string, string>>
  /** X-Journal-Skip-Next and -Prev. */
  readonly skipHeaders: boolean
  readonly coding: Coding
  /** The body is one gzip member, whatever the headers say of an encoding. */
  readonly gzipped: boolean
}

/** Answers with what is there now. 204 where nothing is. */
export async function answerRange(context: AnswerContext, response: ServerResponse, answer: Answer): Promise<void> {
  const { request, format } = answer
  const gone = goneSignal(response)
  const { reader, ...skips } = await located(context, request, gone)
  const encoder = context.encoders.take(encoderSpec(format, answer.ids, answer.arrays))
  try {
    const within = withinOf(request)
    const first = await firstEntry(reader, request, within)
    if (first === undefined) {
      response.writeHead(204, { ...headOf(answer, skips), 'Content-Type': 'text/plain; charset=utf-8' }).end()
      return
    }
    const outlet = openOutlet(context, response, answer, skips)
    const allowance: Allowance = { left: request.limit }
    const passed = await sendEntries({ reader, encoder, outlet, grep: request.grep, within }, allowance, first)
    if (passed === 'late') {
      context.onCut('search', response)
      outlet.break()
    } else outlet.end()
  } finally {
    reader.close()
    context.encoders.give(encoder)
  }
}

/** Answers with what is there, and with what comes, until the client is gone. */
export async function answerStream(context: AnswerContext, response: ServerResponse, answer: Answer): Promise<void> {
  const { request, format } = answer
  const gone = goneSignal(response)
  const found = await located(context, request, gone)
  const outlet = openOutlet(context, response, answer, found)
  response.flushHeaders()
  const unping = format === 'sse' ? context.pings.add(outlet) : () => {}
  const spec = encoderSpec(format, answer.ids, answer.arrays)
  const make = () => context.encoders.take(spec)
  // One entry more and it would be another stream: such ones follow by themselves.
  const isShared =
    request.grep === undefined &&
    request.limit === Number.POSITIVE_INFINITY &&
    request.until === Number.POSITIVE_INFINITY
  const stream = {
    context,
    response,
    outlet,
    request,
    make,
    key: `${encoderKey(spec)} ${JSON.stringify(request.match)}`,
  }
  try {
    if (isShared && answer.coding === 'identity') await followShared(stream, found.reader)
    else await followAlone(stream, found.reader)
  } finally {
    unping()
    outlet.end()
  }
}

interface Stream {
  readonly context: AnswerContext
  readonly response: ServerResponse
  readonly outlet: Outlet
  readonly request: EntryRequest
  readonly make: () => Encoder
  readonly key: string
}

async function followShared({ context, outlet, request, make, key }: Stream, first: JournalReader): Promise<void> {
  let reader = first
  for (;;) {
    const encoder = make()
    const passed = await closing(context, reader, encoder, () =>
      sendEntries({ reader, encoder, outlet, grep: undefined, within: () => true }, { left: Number.POSITIVE_INFINITY }),
    )
    if (passed === 'gone') {
      reader.close()
      context.encoders.give(encoder)
      return
    }
    const left = await context.tails.follow({ key, reader, encoder, outlet })
    if (left === 'gone') return
    reader = new JournalReader(context.set, { match: request.match })
    reader.seekPosition(left)
  }
}

/** Closes both when `work` throws. */
async function closing<T>(
  context: AnswerContext,
  reader: JournalReader,
  encoder: Encoder,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    reader.close()
    context.encoders.give(encoder)
    throw error
  }
}

async function followAlone({ context, response, outlet, request, make }: Stream, reader: JournalReader): Promise<void> {
  const encoder = make()
  const allowance: Allowance = { left: request.limit }
  const within = withinOf(request)
  try {
    while (!outlet.signal.aborted) {
      const passed = await sendEntries({ reader, encoder, outlet, grep: request.grep, within }, allowance)
      if (passed === 'gone') return
      if (passed === 'late') {
        context.onCut('search', response)
        outlet.break()
        return
      }
      await outlet.flush()
      // As the original does, the connection stays when all that was asked for has been sent; pings go on.
      if (passed === 'limit' || passed === 'out') return await whenGone(outlet.signal)
      // A set that is being closed answers at once, ever again: the client's end must get a turn meanwhile.
      if (!(await reader.changed(WAIT_MS, outlet.signal))) await nextTurn()
      request.grep?.renew()
      reader.refresh()
    }
  } finally {
    reader.close()
    context.encoders.give(encoder)
  }
}

/** The first entry of the answer, or undefined. With `grep` the entries before it have been looked at. */
async function firstEntry(
  reader: JournalReader,
  { grep }: EntryRequest,
  within: (file: JournalFile) => boolean,
): Promise<JournalFile | undefined> {
  let looked = 0
  for (let file = reader.next(); file !== undefined && within(file); file = reader.next()) {
    const fits = grep === undefined ? true : grep.fits(file)
    if (fits === DEADLINE)
      throw new Refusal(503, 'grep: the search took too long; narrow it down by time, unit or filter', {
        reason: 'search',
      })
    if (fits) return file
    if (++looked % TURN === 0) await nextTurn()
  }
  return undefined
}

function withinOf({ since, until, reverse }: EntryRequest): (file: JournalFile) => boolean {
  if (reverse) return since === 0 ? () => true : (file) => file.realtime >= since
  return until === Number.POSITIVE_INFINITY ? () => true : (file) => file.realtime <= until
}

async function located(context: AnswerContext, request: EntryRequest, signal: AbortSignal): Promise<Located> {
  context.set.rescan()
  context.set.readHeaders()
  return await locate(context.set, request, signal)
}

function whenGone(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

function headOf(answer: Answer, skips: Omit<Located, 'reader'>): Record<string, string> {
  return {
    ...answer.headers,
    ...(answer.skipHeaders && {
      'X-Journal-Skip-Next': String(skips.skippedNext),
      'X-Journal-Skip-Prev': String(skips.skippedPrev),
    }),
  }
}

function openOutlet(
  context: AnswerContext,
  response: ServerResponse,
  answer: Answer,
  skips: Omit<Located, 'reader'>,
): Outlet {
  const coding: Record<string, string> = answer.coding === 'identity' ? {} : { 'Content-Encoding': answer.coding }
  response.writeHead(200, { ...headOf(answer, skips), 'Content-Type': CONTENT_TYPES[answer.format], ...coding })
  const packing = answer.gzipped ? 'gzip' : answer.coding
  const through = packing === 'gzip' ? gzip() : packing === 'zstd' ? zstd() : undefined
  return new Outlet(response, {
    stallMs: context.stallMs,
    onStall: () => context.onCut('slow', response),
    ...(through === undefined ? {} : { through }),
  })
}

function gzip(): Transform {
  return createGzip({ level: constants.Z_BEST_SPEED })
}

function zstd(): Transform {
  return createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 3 } })
}
