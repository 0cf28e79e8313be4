// The logging API's server: Fastify with the routes, and around them who may ask, how much, and how an error looks. Imported only when `api:` is configured.

import { readFileSync } from 'node:fs'
import { createServer as createHttp, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { createServer as createHttps } from 'node:https'
import { type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import { isProblem, problem } from '../errors.ts'
import type { JournalSet } from '../journal/directory.ts'
import type { MemoryBudget } from '../journal/memory.ts'
import type { Clock } from '../telemetry/clock.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { Gate } from './access/gate.ts'
import type { CutReason } from './entries/answers.ts'
import { EncoderPool } from './entries/encoders.ts'
import { Pings } from './entries/pings.ts'
import { Tails } from './entries/tails.ts'
import { addAudit, noteCut } from './http/audit.ts'
import { PLAIN, preflightHeaders } from './http/headers.ts'
import { judgePath } from './http/paths.ts'
import { Refusal } from './http/refusal.ts'
import { addComponent } from './routes/component.ts'
import { addComponents } from './routes/components.ts'
import { addOpenApi } from './routes/openapi.ts'
import { addPage } from './routes/page.ts'
import { type ApiParts, StreamCount } from './routes/parts.ts'
import { addTasks } from './routes/tasks.ts'
import { addV1 } from './routes/v1.ts'
import type { ApiSettings, MesosSettings, NodeSettings } from './settings.ts'
import { forget, listen } from './socket.ts'

/** Longest name of a task, unit or file in a path. */
const PARAM_MAX = 1024
/** After the end was asked for, streams have so long to take what they have coming. */
const CLOSE_MS = 1000

export interface ApiServer {
  /** Where it listens, with the port that the system chose. */
  readonly address: string
  /** `GET /v1/range/` and so on. */
  readonly routes: readonly string[]
  close(): Promise<void>
}

export interface ApiOptions {
  readonly settings: ApiSettings
  readonly mesos: MesosSettings | undefined
  readonly node: NodeSettings
  readonly set: JournalSet
  readonly memory: MemoryBudget
  readonly metrics: Metrics
  readonly clock: Clock
  readonly log: Log
  /** The program's version. */
  readonly version: string
  /** Where the log page's files lie. */
  readonly pageFolder: string
}

/** Routes that ask nobody who they are: they hold nothing of the journal. */
const OPEN = new Set(['/', '/page.js', '/page.css', '/favicon.ico', '/openapi.json'])

/** Listens and answers. Throws Problem LF_LISTEN or LF_API_KEY. */
export async function startApi(options: ApiOptions): Promise<ApiServer> {
  const { settings, log, metrics } = options
  const { limits } = settings
  const app = fastify({
    serverFactory: (handler) => createServer(settings, handler as RequestListener),
    logger: false,
    exposeHeadRoutes: false,
    trustProxy: settings.proxies.length === 0 ? false : [...settings.proxies],
    routerOptions: { maxParamLength: PARAM_MAX, ignoreTrailingSlash: false },
    return503OnClosing: false,
  })
  const onCut = (reason: CutReason, response: ServerResponse): void => {
    noteCut(response, reason)
    metrics.add('logferry_api_cut_total', { reason })
  }
  const gate = new Gate({ settings, metrics, clock: options.clock, checkJwt: await jwtCheck(settings) })
  const mesos = options.mesos === undefined ? undefined : await mesosClient(options.mesos, options.node)
  const encoders = new EncoderPool(options.memory)
  const gauge = metrics.gauge('logferry_api_streams', {})
  const parts: ApiParts = {
    app,
    settings,
    set: options.set,
    memory: options.memory,
    gate,
    mesos,
    outlet: (response) => ({ stallMs: limits.stallMs, onStall: () => onCut('slow', response) }),
    answers: {
      set: options.set,
      encoders,
      pings: new Pings(),
      tails: new Tails(options.memory, encoders, (error) => log.error('a stream ended', { error })),
      stallMs: limits.stallMs,
      onCut,
    },
    streams: new StreamCount(limits.streams, (difference) => gauge.add(difference)),
  }
  const routes: string[] = []
  app.addHook('onRoute', ({ method, url }) => {
    routes.push(`${Array.isArray(method) ? 'ANY' : method} ${url}`)
  })
  app.decorateRequest('caller', undefined)
  addAudit(app, log, metrics)
  addGuards(parts)
  addErrors(parts, log)
  addV1(parts)
  addComponent(parts)
  addTasks(parts)
  addComponents(parts)
  addOpenApi(parts, options.version)
  if (settings.page) addPage(parts, options.pageFolder)

  await app.ready()
  const { server } = app
  server.maxConnections = limits.connections
  let address: string
  try {
    address = await listen(server as Server, settings)
  } catch (error) {
    await app.close()
    await mesos?.close()
    throw error
  }
  return {
    address,
    routes,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      ;(server as Server).closeIdleConnections()
      const timer = setTimeout(() => (server as Server).closeAllConnections(), CLOSE_MS)
      await closed
      clearTimeout(timer)
      await app.close()
      await mesos?.close()
      await forget(settings)
    },
  }
}

function createServer({ tls, limits, auth }: ApiSettings, handler: RequestListener): Server {
  const options = {
    maxHeaderSize: limits.headBytes,
    headersTimeout: limits.requestMs,
    requestTimeout: limits.requestMs,
    keepAliveTimeout: limits.idleMs,
    // Node's own look at these time-outs comes every 30 s.
    connectionsCheckingInterval: Math.min(5000, limits.requestMs),
    // A client that vanished is noticed although text and JSON streams have no pings.
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
    noDelay: true,
  }
  const server =
    tls === undefined
      ? createHttp(options, handler)
      : createHttps({ ...options, ...tlsOf(tls, auth?.certificates === true) }, handler)
  // One more than the limit is let in, so that too many are refused instead of silently dropped.
  server.maxHeadersCount = limits.headers + 1
  return server as Server
}

function tlsOf(tls: NonNullable<ApiSettings['tls']>, asksForClients: boolean) {
  const read = (path: string): Buffer => {
    try {
      return readFileSync(path)
    } catch (error) {
      throw problem('LF_API_KEY', { why: `cannot read ${path}: ${(error as Error).message}` }, error)
    }
  }
  return {
    cert: read(tls.cert),
    key: read(tls.key),
    minVersion: 'TLSv1.2' as const,
    // Who comes without a certificate may still have a token, so the gate decides.
    ...(tls.clientCa !== undefined &&
      asksForClients && { ca: read(tls.clientCa), requestCert: true, rejectUnauthorized: false }),
  }
}

/** jose is loaded only where tokens are. */
async function jwtCheck({ auth }: ApiSettings) {
  if (auth?.jwt === undefined) return undefined
  const { createJwtCheck } = await import('./access/jwt.ts')
  return createJwtCheck(auth.jwt)
}

async function mesosClient(settings: MesosSettings, node: NodeSettings) {
  const { MesosClient } = await import('./mesos/client.ts')
  return new MesosClient(settings, node)
}

/** What happens to every request before its route. */
function addGuards({ app, settings, gate }: ApiParts): void {
  // No route reads a body: it is thrown away, whatever it says it is.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => {
    payload.resume()
    payload.once('end', () => done(null, undefined))
    payload.once('error', done)
  })
  app.addHook('onRequest', async (request, reply) => {
    const judged = judgePath(request.url)
    if (judged === false) throw notFound()
    if (judged !== undefined) return reply.code(301).header('location', judged).send()
    if (request.raw.rawHeaders.length / 2 > settings.limits.headers) {
      throw new Refusal(431, `expected at most ${settings.limits.headers} headers`, { reason: 'headers' })
    }
    const { url } = request.routeOptions
    if (request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined) {
      return reply.code(204).headers(preflightHeaders(settings, request)).send()
    }
    // An unknown path says nothing of who may see what.
    if (url === undefined || request.is404) return
    // A variable is at least one character: `/v2/component/` is no component.
    if (Object.values(request.params as Record<string, string>).includes('')) throw notFound()
    if (!OPEN.has(url)) request.caller = await gate.identify(request)
  })
}

function notFound(): Refusal {
  return new Refusal(404, '404 page not found', { bare: true, reason: 'path' })
}

function addErrors({ app }: ApiParts, log: Log): void {
  app.setNotFoundHandler((request, reply) => refuse(request, reply, notFound()))
  app.setErrorHandler((error, request, reply) => {
    if (error instanceof Refusal) return refuse(request, reply, error)
    const { statusCode = 500 } = error as { statusCode?: number }
    if (statusCode < 500) return refuse(request, reply, new Refusal(statusCode, 'the request is malformed'))
    log.error('could not answer a request', { path: request.url, error })
    const text = isProblem(error) ? `unable to open journald: ${error.message}` : 'internal error'
    return refuse(request, reply, new Refusal(500, text))
  })
}

/** Errors of the v1 routes have a prefix; all are plain text. */
function refuse(request: FastifyRequest, reply: FastifyReply, refusal: Refusal): FastifyReply {
  const prefix = !refusal.bare && request.url.startsWith('/v1/') ? 'Message: ' : ''
  return reply
    .code(refusal.status)
    .headers({ ...PLAIN, ...refusal.headers })
    .send(`${prefix}${refusal.message}\n`)
}
