// The part of the Mesos HTTP API that logs need: /state of the master, /files/browse, /files/read and /files/download of an agent. Every request carries the
// caller's own Authorization, so Mesos decides who may see a sandbox.

import type { Readable } from 'node:stream'
import { Agent, type Dispatcher, request } from 'undici'
import { Refusal } from '../http/refusal.ts'
import { messageOf } from '../http/text.ts'
import type { MesosSettings, NodeSettings } from '../settings.ts'

/** The state of a large cluster has some 100 MB. */
const STATE_MAX = 512 << 20
const PART = 65_536
const ANSWER_MAX = 16 << 20

/** A task in /state, as far as it is looked at. */
export interface MesosTask {
  readonly id?: string
  readonly name?: string
  readonly framework_id?: string
  readonly executor_id?: string
  readonly slave_id?: string
  readonly statuses?: readonly {
    readonly timestamp?: number
    readonly container_status?: { readonly container_id?: ContainerId }
  }[]
}

export interface ContainerId {
  readonly value?: string
  readonly parent?: ContainerId
}

interface MesosFramework {
  readonly tasks?: readonly MesosTask[]
  readonly completed_tasks?: readonly MesosTask[]
}

export interface MesosState {
  readonly frameworks?: readonly MesosFramework[]
  readonly completed_frameworks?: readonly MesosFramework[]
  readonly slaves?: readonly { readonly id?: string; readonly pid?: string }[]
}

/** A part of a sandbox file. */
export interface FilePart {
  readonly bytes: Buffer
  readonly offset: number
}

/** Mesos said something else than 200. */
export class MesosStatus extends Error {
  override readonly name = 'MesosStatus'
  readonly status: number
  constructor(status: number) {
    super(`bad status ${status}`)
    this.status = status
  }
}

export class MesosClient {
  readonly settings: MesosSettings
  readonly #node: NodeSettings
  readonly #dispatcher: Agent
  #agentId: string | undefined

  constructor(settings: MesosSettings, node: NodeSettings) {
    this.settings = settings
    this.#node = node
    const { timeoutMs } = settings
    this.#dispatcher = new Agent({
      connect: { ...settings.tls, timeout: timeoutMs },
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      connections: 32,
    })
  }

  /** The master's /state. Throws MesosStatus, or what the connection says. */
  async state(authorization: string): Promise<MesosState> {
    const text = await this.#text(`${this.settings.master}/state`, authorization, STATE_MAX)
    return JSON.parse(text.toString('utf8')) as MesosState
  }

  /** This node's agent id: the agent of the master's state with this node's address. Kept once it is known. */
  async agentId(authorization: string): Promise<string> {
    if (this.#agentId !== undefined) return this.#agentId
    const { ip } = this.#node
    if (ip === undefined) throw new Error('node.ip is not configured')
    const { slaves = [] } = await this.state(authorization)
    const found = slaves.find(({ pid }) => addressOf(pid ?? '') === ip)?.id
    if (found === undefined) throw new Error(`no agent has the address ${ip}`)
    this.#agentId = found
    return found
  }

  /** What Mesos answers when asked for a folder's files; the body is read for 200 only. */
  async browse(
    path: string,
    authorization: string,
  ): Promise<{ readonly status: number; readonly url: string; readonly body: string }> {
    const { master, agent } = this.settings
    const base = this.#node.role === 'master' ? master : agent
    const url = `${base}/files/browse?${new URLSearchParams({ path })}`
    const answer = await this.#get(url, authorization)
    const body = answer.statusCode === 200 ? (await collect(answer.body, ANSWER_MAX)).toString('utf8') : ''
    if (answer.statusCode !== 200) await answer.body.dump()
    return { status: answer.statusCode, url, body }
  }

  /** Up to 64 KiB of a file. Throws MesosStatus. */
  async read(path: string, offset: number, authorization: string): Promise<FilePart> {
    const query = new URLSearchParams({ path, offset: String(offset), length: String(PART) })
    return readPart(await this.#text(`${this.settings.agent}/files/read?${query}`, authorization, ANSWER_MAX))
  }

  /** A file's size in bytes. Throws MesosStatus. */
  async size(path: string, authorization: string): Promise<number> {
    const query = new URLSearchParams({ path, offset: '-1' })
    return readPart(await this.#text(`${this.settings.agent}/files/read?${query}`, authorization, ANSWER_MAX)).offset
  }

  /** The whole file as it comes. */
  async download(path: string, authorization: string, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    return await this.#get(
      `${this.settings.agent}/files/download?${new URLSearchParams({ path })}`,
      authorization,
      signal,
    )
  }

  async close(): Promise<void> {
    await this.#dispatcher.destroy()
  }

  async #text(url: string, authorization: string, most: number): Promise<Buffer> {
    const { statusCode, body } = await this.#get(url, authorization)
    if (statusCode === 200) return await collect(body, most)
    await body.dump()
    throw new MesosStatus(statusCode)
  }

  #get(url: string, authorization: string, signal?: AbortSignal): Promise<Dispatcher.ResponseData> {
    const headers = authorization === '' ? {} : { authorization }
    return request(url, { dispatcher: this.#dispatcher, headers, ...(signal !== undefined && { signal }) })
  }
}

/** `slave(1)@10.0.0.5:5051` → `10.0.0.5`; `[::1]` without its brackets. */
function addressOf(pid: string): string {
  return pid
    .slice(pid.indexOf('@') + 1)
    .replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
}

async function collect(body: Readable, most: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > most) throw new Error(`the answer of Mesos has more than ${most} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/**
 * Mesos puts a file's bytes into a JSON string as they are, valid UTF-8 or not, so they are taken out byte for byte. A server that escapes
 * characters beyond ASCII means text.
 */
function readPart(body: Buffer): FilePart {
  const bytewise = body.toString('latin1')
  const isText = /\\u(?!00[0-7])/i.test(bytewise)
  const { data, offset } = JSON.parse(isText ? body.toString('utf8') : bytewise) as { data?: unknown; offset?: unknown }
  if (typeof data !== 'string' || typeof offset !== 'number')
    throw new Error('the answer of Mesos is not that of /files/read')
  return { bytes: Buffer.from(data, isText ? 'utf8' : 'latin1'), offset }
}

/** Mesos's refusal of a caller, passed on; everything else is an error of ours. */
export function mesosRefusal(error: unknown, what: string): Refusal {
  const isStatus = error instanceof MesosStatus
  if (isStatus && (error.status === 401 || error.status === 403)) {
    return new Refusal(error.status, `${what}: ${error.message}`, { reason: 'mesos' })
  }
  return new Refusal(500, `${what}: ${messageOf(error)}`, { reason: 'mesos' })
}
