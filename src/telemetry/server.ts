// /metrics, /health/live and /health/ready over Fastify. Imported only when `metrics:` is configured: Fastify and
// prom-client cost about 30 MB of memory, which a node that is not scraped need not pay.

import { chmod, unlink } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { fastify } from 'fastify'
import { createExposition } from './exposition.ts'
import { clearStaleSocket, formatListen, type Listen, listenProblem } from './listen.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'

/** What is wrong, and the command that mends it. */
export interface HealthProblem {
  /** The part that is concerned: `journal`, or a sink's name. */
  readonly part: string
  readonly what: string
  readonly fix?: string
}

/** Asked for on every request; must be cheap and must not wait for a destination. */
export interface HealthSource {
  /** Empty: the process works and need not be restarted. A destination's outage does not belong here. */
  live(): readonly HealthProblem[]
  /** Empty: the journal can be read and every sink is reachable within its grace. */
  ready(): readonly HealthProblem[]
}

export interface TelemetryServer {
  /** Where it listens, with the port that the system chose. */
  readonly address: string
  close(): Promise<void>
}

/**
 * Listens and answers. A socket file is made with mode 0660.
 * Throws Problem LF_LISTEN when it cannot listen there.
 */
export async function startTelemetryServer(options: {
  readonly listen: Listen
  readonly metrics: Metrics
  readonly health: HealthSource
  readonly log: Log
}): Promise<TelemetryServer> {
  const { listen, health, log } = options
  const exposition = createExposition(options.metrics)
  const app = fastify({ logger: false, forceCloseConnections: true, exposeHeadRoutes: true })
  app.get('/metrics', async (_request, reply) => {
    const text = await exposition.text()
    return reply.type(exposition.contentType).send(text)
  })
  app.get('/health/live', (_request, reply) => answer(reply, 'live', health.live()))
  app.get('/health/ready', (_request, reply) => answer(reply, 'ready', health.ready()))
  app.setNotFoundHandler((_request, reply) => {
    reply.code(404).send({ error: 'not found', paths: ['/metrics', '/health/live', '/health/ready'] })
  })
  app.setErrorHandler((error, request, reply) => {
    log.error('could not answer a request', { path: request.url, error })
    reply.code(500).send({ error: 'internal error' })
  })

  if (listen.kind === 'unix') await clearStaleSocket(listen.path)
  try {
    if (listen.kind === 'unix') await app.listen({ path: listen.path })
    else await app.listen({ host: listen.host, port: listen.port })
    if (listen.kind === 'unix') await chmod(listen.path, 0o660)
  } catch (error) {
    await app.close()
    throw listenProblem(listen, error as NodeJS.ErrnoException)
  }
  return {
    address:
      listen.kind === 'unix'
        ? formatListen(listen)
        : formatListen({ ...listen, port: (app.server.address() as AddressInfo).port }),
    async close() {
      await app.close()
      if (listen.kind === 'unix') await unlink(listen.path).catch(ignoreMissing)
    },
  }
}

function answer(
  reply: { code(status: number): { send(body: object): unknown } },
  state: 'live' | 'ready',
  problems: readonly HealthProblem[],
): unknown {
  const isWell = problems.length === 0
  return reply.code(isWell ? 200 : 503).send({ status: isWell ? state : `not ${state}`, problems })
}

// Node removes the socket file itself when it closes the server; then there is nothing left to do.
function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}
