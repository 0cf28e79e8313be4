// One line per request: who asked for what and what came of it. Of credentials there is never a word; what the request holds is data of the line, so
// nothing in it can forge another one.

import type { FastifyInstance } from 'fastify'
import type { Log } from '../../telemetry/log.ts'
import type { Metrics } from '../../telemetry/metrics.ts'
import { splitUrl } from './paths.ts'
import { shorten } from './text.ts'

/** A URL is shown up to here. */
const SHOWN = 1024

/** Reasons why an answer was not the whole one; see `noteCut`. */
const cuts = new WeakMap<object, string>()

/** Notes for the audit line that a client was cut. */
export function noteCut(response: object, reason: string): void {
  cuts.set(response, reason)
}

/** Has each request leave its line and its count when its answer is through. */
export function addAudit(app: FastifyInstance, log: Log, metrics: Metrics): void {
  app.addHook('onRequest', (request, reply, done) => {
    const began = performance.now()
    const { socket } = request.raw
    const sentBefore = socket.bytesWritten
    reply.raw.once('close', () => {
      const { statusCode, writableFinished } = reply.raw
      const route = request.routeOptions.url ?? 'none'
      metrics.add('logferry_api_requests_total', { route, code: String(statusCode) })
      const { path, query } = splitUrl(request.url)
      log.info('request', {
        caller: request.caller?.name ?? '-',
        how: request.caller?.how ?? '-',
        remote: request.ip ?? '',
        method: request.method,
        path: shorten(path, SHOWN),
        ...(query !== '' && { query: shorten(withoutSecrets(query), SHOWN) }),
        status: statusCode,
        bytes: socket.bytesWritten - sentBefore,
        ms: Math.round(performance.now() - began),
        ...(!writableFinished && { ended: cuts.get(reply.raw) ?? 'by the client' }),
      })
    })
    done()
  })
}

/** A token in the query is refused by nobody and read by nobody; it is not written down either. */
function withoutSecrets(query: string): string {
  return query.replace(/((?:^|&)[^&=]*(?:token|auth|jwt|passw|secret)[^&=]*=)[^&]*/gi, '$1***')
}
