// /v2/components: what logs on this node.

import type { FastifyReply, FastifyRequest } from 'fastify'
import { parseSpan } from '../../time.ts'
import { listComponents } from '../entries/components.ts'
import { goneSignal } from '../entries/outlet.ts'
import { corsHeaders, FRESH } from '../http/headers.ts'
import { splitUrl } from '../http/paths.ts'
import { Query } from '../http/query.ts'
import { Refusal } from '../http/refusal.ts'
import { type ApiParts, callerOf } from './parts.ts'

const DEFAULT_WINDOW = '1h'

/** Adds the route. */
export function addComponents(parts: ApiParts): void {
  parts.app.get('/v2/components', (request, reply) => components(parts, request, reply))
}

async function components(parts: ApiParts, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const caller = callerOf(request)
  const window = new Query(splitUrl(request.url).query).first('window') || DEFAULT_WINDOW
  const span = window === 'all' ? Number.POSITIVE_INFINITY : parseSpan(window)
  if (span === undefined)
    throw new Refusal(400, 'unable to parse window parameter: expected a span such as 15min, 1h or 7d, or all')
  parts.set.rescan()
  const since = Math.max(0, Date.now() * 1000 - span)
  const found = await listComponents(
    parts.set,
    caller.sees,
    since,
    parts.settings.limits.searchMs,
    goneSignal(reply.raw),
  )
  const headers = { ...FRESH, ...corsHeaders(parts.settings, request, caller.byCookie) }
  return reply
    .headers(headers)
    .header('content-type', 'application/json')
    .send(Buffer.from(JSON.stringify(found)))
}
