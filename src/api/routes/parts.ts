// What the routes are made of: one object for a whole server, made by server.ts.

import type { ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { JournalSet } from '../../journal/directory.ts'
import type { MemoryBudget } from '../../journal/memory.ts'
import type { Caller } from '../access/caller.ts'
import type { Gate } from '../access/gate.ts'
import type { AnswerContext } from '../entries/answers.ts'
import type { OutletOptions } from '../entries/outlet.ts'
import { Refusal } from '../http/refusal.ts'
import type { MesosClient } from '../mesos/client.ts'
import type { ApiSettings } from '../settings.ts'

export interface ApiParts {
  readonly app: FastifyInstance
  readonly settings: ApiSettings
  readonly set: JournalSet
  readonly memory: MemoryBudget
  readonly gate: Gate
  /** Undefined where no Mesos is configured. */
  readonly mesos: MesosClient | undefined
  readonly answers: AnswerContext
  /** What an outlet over this answer is told. */
  readonly outlet: (response: ServerResponse) => OutletOptions
  readonly streams: StreamCount
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Set before any handler runs; routes for everybody have none. */
    caller: Caller | undefined
  }
}

/** Who asks. Routes that are open to everybody must not call it. */
export function callerOf(request: FastifyRequest): Caller {
  if (request.caller === undefined)
    throw new Error(`the route ${request.routeOptions.url} asks for a caller and has none`)
  return request.caller
}

/** The client of Mesos. Throws Refusal 501 where none is configured. */
export function requireMesos(parts: ApiParts): MesosClient {
  if (parts.mesos !== undefined) return parts.mesos
  throw new Refusal(
    501,
    'this node is not told how to reach Mesos: set mesos.master and mesos.agent in the configuration',
  )
}

/** Takes the raw answer over from Fastify; what goes wrong from here on before its head is sent is still answered as a refusal. */
export async function raw(reply: FastifyReply, work: () => Promise<void>): Promise<FastifyReply> {
  try {
    await work()
  } catch (error) {
    if (reply.raw.headersSent) {
      reply.raw.destroy()
      if (!isGone(error)) throw error
    } else if (isGone(error)) {
      reply.raw.destroy()
    } else throw error
  }
  // The body is on its way by other means: Fastify has nothing to send.
  return reply.hijack()
}

/** The client went away while its answer was being prepared. */
function isGone(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}

/** Streams open, by caller. */
export class StreamCount {
  readonly #limit: number
  readonly #open = new Map<string, number>()
  readonly #onChange: (difference: number) => void

  constructor(limit: number, onChange: (difference: number) => void) {
    this.#limit = limit
    this.#onChange = onChange
  }

  /** Counts one for the time of `work`. Throws Refusal 429 when the caller has too many. */
  async during(caller: Caller, work: () => Promise<void>): Promise<void> {
    const key = `${caller.how} ${caller.name}`
    const open = this.#open.get(key) ?? 0
    if (open >= this.#limit) {
      throw new Refusal(429, `${open} streams are open already, which is the most for one caller`, {
        reason: 'streams',
        headers: { 'Retry-After': '5' },
      })
    }
    this.#open.set(key, open + 1)
    this.#onChange(1)
    try {
      await work()
    } finally {
      const left = (this.#open.get(key) ?? 1) - 1
      if (left > 0) this.#open.set(key, left)
      else this.#open.delete(key)
      this.#onChange(-1)
    }
  }
}
