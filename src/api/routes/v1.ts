// The v1 routes: range, stream and download, of the whole journal and of one container, and the values of five fields.
// Source of names, order of checks and texts: dcos-log, api/v1.

import type { FastifyReply, FastifyRequest } from 'fastify'
import { andMatches } from '../../journal/match.ts'
import type { Caller } from '../access/caller.ts'
import { missingToken } from '../access/gate.ts'
import { answerRange, answerStream } from '../entries/answers.ts'
import { readCursor } from '../entries/cursorText.ts'
import { fieldValues } from '../entries/fieldValues.ts'
import { exactFormat } from '../entries/formats.ts'
import { type EntryRequest, wholeRequest } from '../entries/request.ts'
import { corsHeaders, FRESH, headerOf } from '../http/headers.ts'
import { splitUrl } from '../http/paths.ts'
import { parseBool, parseUint, Query, unescapeQuery } from '../http/query.ts'
import { Refusal } from '../http/refusal.ts'
import { messageOf } from '../http/text.ts'
import { sandboxFolder } from '../mesos/sandbox.ts'
import { matchOf, readFilters } from './filters.ts'
import { type ApiParts, callerOf, raw, requireMesos } from './parts.ts'

const FIELDS = ['FRAMEWORK_ID', 'AGENT_ID', 'EXECUTOR_ID', 'CONTAINER_ID', 'STREAM']
const CONTAINER = '/framework/:frameworkId/executor/:executorId/container/:containerId'
const WRONG_CURSOR = 'Error opening journal reader'

interface Container {
  readonly frameworkId?: string
  readonly executorId?: string
  readonly containerId?: string
}

/** Adds the routes. */
export function addV1(parts: ApiParts): void {
  const { app } = parts
  for (const path of ['', CONTAINER]) {
    app.get<{ Params: Container }>(`/v1/range${path === '' ? '/' : path}`, (request, reply) =>
      range(parts, request, reply),
    )
    app.get<{ Params: Container }>(`/v1/range${path}/download`, (request, reply) => download(parts, request, reply))
    app.get<{ Params: Container }>(`/v1/stream${path === '' ? '/' : path}`, (request, reply) =>
      stream(parts, request, reply),
    )
  }
  app.all<{ Params: { field: string } }>('/v1/fields/:field', (request, reply) => values(parts, request, reply))
}

type ContainerRequest = FastifyRequest<{ Params: Container }>

async function range(parts: ApiParts, request: ContainerRequest, reply: FastifyReply): Promise<FastifyReply> {
  const caller = await admitted(parts, request)
  const wanted = readRequest(parts, request, caller, 'range')
  const format = exactFormat(headerOf(request, 'accept'))
  const headers = { ...FRESH, ...corsHeaders(parts.settings, request, caller.byCookie) }
  const answer = { request: wanted, format, ids: false, arrays: false, headers, skipHeaders: true } as const
  return await raw(reply, () =>
    answerRange(parts.answers, reply.raw, { ...answer, coding: 'identity', gzipped: false }),
  )
}

async function download(parts: ApiParts, request: ContainerRequest, reply: FastifyReply): Promise<FastifyReply> {
  const caller = await admitted(parts, request)
  const wanted = readRequest(parts, request, caller, 'range')
  const format = exactFormat(headerOf(request, 'accept'))
  const { containerId } = request.params
  const name = containerId === undefined ? 'root-range' : `task-${fileName(containerId)}`
  const postfix = fileName(new Query(splitUrl(request.url).query).first('postfix'))
  const headers = {
    ...FRESH,
    ...corsHeaders(parts.settings, request, caller.byCookie),
    'Content-Disposition': `attachment; filename=${name}${postfix === '' ? '' : `-${postfix}`}.log.gz`,
  }
  const answer = { request: wanted, format, ids: false, arrays: false, headers, skipHeaders: true } as const
  return await raw(reply, () => answerRange(parts.answers, reply.raw, { ...answer, coding: 'identity', gzipped: true }))
}

/** What may stand in a file name without quotes; nothing of it can end the header or leave the folder that it is saved to. */
function fileName(text: string): string {
  return text.replace(/[^\w.+@-]/g, '_').slice(0, 200)
}

async function stream(parts: ApiParts, request: ContainerRequest, reply: FastifyReply): Promise<FastifyReply> {
  const caller = await admitted(parts, request)
  const wanted = readRequest(parts, request, caller, 'stream')
  const format = exactFormat(headerOf(request, 'accept'))
  const headers = {
    ...FRESH,
    ...corsHeaders(parts.settings, request, caller.byCookie),
    'X-Accel-Buffering': 'no',
  }
  const answer = { request: wanted, format, ids: true, arrays: false, headers, skipHeaders: true } as const
  return await raw(reply, () =>
    parts.streams.during(caller, () =>
      answerStream(parts.answers, reply.raw, { ...answer, coding: 'identity', gzipped: false }),
    ),
  )
}

async function values(
  parts: ApiParts,
  request: FastifyRequest<{ Params: { field: string } }>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { field } = request.params
  if (!FIELDS.includes(field)) throw new Refusal(400, `${field} is not an allowed field`)
  const caller = callerOf(request)
  const found = await fieldValues(parts.set, field, caller.sees)
  reply.headers(corsHeaders(parts.settings, request, caller.byCookie))
  if (found.length === 0) return reply.code(204).send()
  return reply.header('content-type', 'application/json').send(Buffer.from(JSON.stringify(found)))
}

/** The caller, once Mesos has let them see the container's sandbox where that is asked for. */
async function admitted(parts: ApiParts, request: ContainerRequest): Promise<Caller> {
  const caller = callerOf(request)
  const { frameworkId, executorId, containerId } = request.params
  if (parts.settings.auth?.mesos !== true || frameworkId === undefined) return caller
  if (caller.authorization === '') throw missingToken(request.url)
  const mesos = requireMesos(parts)
  let agentId: string
  try {
    agentId = await mesos.agentId(caller.authorization)
  } catch (error) {
    throw new Refusal(500, `Unable to get mesosID: ${messageOf(error)}`, { bare: true, reason: 'mesos' })
  }
  // The sandbox of a nested container lies within its parent's.
  const folder = (containerId ?? '').replaceAll('.', '/containers/')
  const path = { frameworkId, executorId: executorId ?? '', containerId: folder, taskPath: undefined }
  let answer: { readonly status: number; readonly url: string }
  try {
    answer = await mesos.browse(sandboxFolder(mesos.settings.workDir, agentId, path), caller.authorization)
  } catch (error) {
    throw new Refusal(500, `Could not make auth request: ${messageOf(error)}`, { bare: true, reason: 'mesos' })
  }
  if (answer.status === 200) return caller
  const text = `Auth URL ${answer.url}. Invalid auth response code: ${answer.status}`
  throw new Refusal(answer.status, text, { bare: true, reason: 'mesos' })
}

function readRequest(
  { settings }: ApiParts,
  request: ContainerRequest,
  caller: Caller,
  kind: 'range' | 'stream',
): EntryRequest {
  const query = new Query(splitUrl(request.url).query)
  const filters = readFilters(
    query.all('filter'),
    settings.limits.filters,
    (filter) => `Incorrect filter parameter format, must be ?filer=key:value. Got ${filter}`,
  )
  const cursor = unescapeQuery(query.first('cursor'))
  if (cursor === undefined) throw new Refusal(400, `Unable to unescape cursor parameter: invalid URL escape`)
  const limit = readUint(query.first('limit'), 'Error parsing paramter `limit`')
  if (kind === 'stream' && limit > 0) throw new Refusal(400, 'Unable to stream events with `limit` parameter')
  const skipNext = readUint(query.first('skip_next'), 'Error parsing parameter skip_next')
  const skipPrev = readUint(query.first('skip_prev'), 'Error parsing parameter skip_prev')
  const reverse = query.first('read_reverse')
  if (kind === 'stream' && reverse !== '')
    throw new Refusal(400, 'Unable to stream events with `read_reverse` parameter')
  const isReverse = reverse === '' ? false : parseBool(reverse)
  if (isReverse === undefined) throw new Refusal(400, 'Error parsing parameter read_reverse: expected true or false')

  const lastId = kind === 'stream' ? headerOf(request, 'last-event-id') : ''
  const place = lastId === '' ? cursor : lastId
  const { frameworkId, executorId, containerId } = request.params
  // Apart from the filters: what the path names is asked for always, whatever a filter adds.
  const path = Object.entries({
    CONTAINER_ID: containerId,
    FRAMEWORK_ID: frameworkId,
    EXECUTOR_ID: executorId,
  }).flatMap(([field, value]) => (value === undefined ? [] : [{ field, values: [value] }]))
  return {
    ...wholeRequest(andMatches(matchOf([...path, ...filters]), caller.sees)),
    begin: place === '' ? { kind: 'head' } : { kind: 'cursor', cursor: readCursor(place, WRONG_CURSOR) },
    skipNext: lastId === '' ? skipNext : 0,
    skipPrev: lastId === '' ? skipPrev : 0,
    reverse: isReverse,
    limit: limit === 0 ? Number.POSITIVE_INFINITY : limit,
  }
}

/** 0 for an empty one. */
function readUint(text: string, what: string): number {
  const value = text === '' ? 0 : parseUint(text)
  if (typeof value === 'string') throw new Refusal(400, `${what}: ${value}`)
  return value
}
