// /v2/component and /v2/component/NAME: the journal of a node or of one unit. Source: dcos-log, api/v2/handlers.go.
// Beyond the original: Accept lists, NDJSON and export, compression, since, until, priority, grep, arrays. What an old client sends is answered as ever.

import type { FastifyReply, FastifyRequest } from 'fastify'
import { isProblem } from '../../errors.ts'
import { andMatches, type Match } from '../../journal/match.ts'
import { PRIORITIES } from '../../journal/priority.ts'
import { parseTime } from '../../time.ts'
import type { Caller } from '../access/caller.ts'
import { answerRange, answerStream, type Coding } from '../entries/answers.ts'
import { readCursor } from '../entries/cursorText.ts'
import { exactFormat, type Format, negotiatedFormat } from '../entries/formats.ts'
import { Searcher } from '../entries/grep.ts'
import { type EntryRequest, wholeRequest } from '../entries/request.ts'
import { negotiatedCoding } from '../http/coding.ts'
import { corsHeaders, FRESH, headerOf } from '../http/headers.ts'
import { splitUrl } from '../http/paths.ts'
import { parseBool, parseInteger, parseUint, Query } from '../http/query.ts'
import { Refusal } from '../http/refusal.ts'
import { matchOf, readFilters } from './filters.ts'
import { type ApiParts, callerOf, raw } from './parts.ts'

type ComponentRequest = FastifyRequest<{ Params: { name?: string } }>

/** Adds the routes. */
export function addComponent(parts: ApiParts): void {
  const { app } = parts
  app.get<{ Params: { name?: string } }>('/v2/component', (request, reply) => component(parts, request, reply))
  app.get<{ Params: { name?: string } }>('/v2/component/:name', (request, reply) => component(parts, request, reply))
}

async function component(parts: ApiParts, request: ComponentRequest, reply: FastifyReply): Promise<FastifyReply> {
  const caller = callerOf(request)
  const query = new Query(splitUrl(request.url).query)
  const format = formatOf(headerOf(request, 'accept'))
  const wanted = readRequest(parts, request, caller, query)
  const arrays = readFlag(query, 'arrays')
  const follow = readFlag(query, 'follow') || format === 'sse'
  const coding: Coding = negotiatedCoding(headerOf(request, 'accept-encoding'), format)
  const headers = {
    ...FRESH,
    ...corsHeaders(parts.settings, request, caller.byCookie),
    ...(follow && { 'X-Accel-Buffering': 'no' }),
  }
  const answer = { request: wanted, format, ids: true, arrays, headers, skipHeaders: false, coding, gzipped: false }
  if (!follow) return await raw(reply, () => answerRange(parts.answers, reply.raw, answer))
  if (wanted.reverse)
    throw new Refusal(400, 'a stream cannot run backwards: leave out reverse, or take another format than events')
  return await raw(reply, () => parts.streams.during(caller, () => answerStream(parts.answers, reply.raw, answer)))
}

/** A single media type means what it always meant; a list is read as one. */
function formatOf(accept: string): Format {
  return /[,;]/.test(accept) || /ndjson|fdo\.journal/i.test(accept) ? negotiatedFormat(accept) : exactFormat(accept)
}

function readFlag(query: Query, name: string): boolean {
  const text = query.first(name)
  const value = text === '' ? false : parseBool(text)
  if (value === undefined) throw new Refusal(400, `unable to parse ${name} parameter: expected true or false`)
  return value
}

function readRequest({ settings }: ApiParts, request: ComponentRequest, caller: Caller, query: Query): EntryRequest {
  const filters = readFilters(
    query.all('filter'),
    settings.limits.filters,
    (filter) => `incorrect filter parameter format, must be ?filer=key:value. Got ${filter}`,
  )
  const skip = query.first('skip') === '' ? 0 : parseInteger(query.first('skip'))
  if (skip === undefined) throw new Refusal(400, 'unable to parse skip parameter: expected a whole number')
  const limit = query.first('limit') === '' ? 0 : parseUint(query.first('limit'))
  if (typeof limit === 'string') throw new Refusal(400, `unable to parse limit parameter: ${limit}`)
  const grep = query.first('grep')

  let match: Match = andMatches(unitMatch(request.params.name), matchOf(filters))
  match = andMatches(andMatches(match, priorityMatch(query.first('priority'))), caller.sees)
  const common: EntryRequest = {
    ...wholeRequest(match),
    reverse: readFlag(query, 'reverse'),
    limit: limit === 0 ? Number.POSITIVE_INFINITY : limit,
    since: readTime(query, 'since') ?? 0,
    until: readTime(query, 'until') ?? Number.POSITIVE_INFINITY,
    grep: grep === '' ? undefined : new Searcher(grep, settings.limits.searchMs),
  }
  const lastId = headerOf(request, 'last-event-id')
  if (lastId !== '') return { ...common, begin: { kind: 'cursor', cursor: readCursor(lastId, WRONG_CURSOR) } }
  const cursor = query.first('cursor')
  const skips = { skipNext: Math.max(0, skip), skipPrev: Math.max(0, -skip) }
  // On the last entry: what follows it comes with it, and a skip backwards counts from there.
  if (cursor === 'END') return { ...common, skipNext: 0, skipPrev: skips.skipPrev > 0 ? skips.skipPrev : 1 }
  if (cursor === '' || cursor === 'BEG') return { ...common, ...skips }
  return { ...common, ...skips, begin: { kind: 'cursor', cursor: readCursor(cursor, WRONG_CURSOR) } }
}

const WRONG_CURSOR = 'unable to open journald'

/** What a unit logs, and what the service manager says of it. */
function unitMatch(name: string | undefined): Match {
  if (name === undefined) return []
  return [[{ field: 'UNIT', values: [name] }], [{ field: '_SYSTEMD_UNIT', values: [name] }]]
}

/** A level and all that are more urgent, as journalctl's -p. */
function priorityMatch(text: string): Match {
  if (text === '') return []
  const level = /^[0-7]$/.test(text) ? Number(text) : PRIORITIES.indexOf(text)
  if (level < 0)
    throw new Refusal(400, `unable to parse priority parameter: expected 0 to 7 or one of ${PRIORITIES.join(', ')}`)
  return [[{ field: 'PRIORITY', values: Array.from({ length: level + 1 }, (_, at) => String(at)) }]]
}

function readTime(query: Query, name: string): number | undefined {
  const text = query.first(name)
  if (text === '') return undefined
  try {
    return parseTime(text)
  } catch (error) {
    if (!isProblem(error)) throw error
    throw new Refusal(400, `unable to parse ${name} parameter: ${error.message}; ${error.hint}`)
  }
}
