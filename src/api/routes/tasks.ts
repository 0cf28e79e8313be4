// The v2 routes of tasks: discovery, which sends a client on to the agent that has the task, and the files of a sandbox on this node.
// Source: dcos-log, api/v2.

import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Caller, requireTask, seesTask } from '../access/caller.ts'
import { missingToken } from '../access/gate.ts'
import { goneSignal, Outlet } from '../entries/outlet.ts'
import { corsHeaders, FRESH, headerOf } from '../http/headers.ts'
import { splitUrl } from '../http/paths.ts'
import { Query } from '../http/query.ts'
import { Refusal } from '../http/refusal.ts'
import { type MesosClient, mesosRefusal } from '../mesos/client.ts'
import { answerFile, followFile, readFileRequest } from '../mesos/fileLines.ts'
import { SandboxFile, type SandboxPath, sandboxFolder } from '../mesos/sandbox.ts'
import { agentRoute, type FoundTask, findTask, part } from '../mesos/tasks.ts'
import { type ApiParts, callerOf, raw, requireMesos } from './parts.ts'

const RUNS = '/v2/task/frameworks/:frameworkId/executors/:executorId/runs/:containerId'

interface RunParams {
  readonly frameworkId: string
  readonly executorId: string
  readonly containerId: string
  readonly taskPath?: string
  readonly file?: string
}
type TaskRequest = FastifyRequest<{ Params: { taskId: string; file?: string } }>
type RunRequest = FastifyRequest<{ Params: RunParams }>

/** Adds the routes. */
export function addTasks(parts: ApiParts): void {
  const { app } = parts
  type Task = { Params: { taskId: string; file?: string } }
  const file = ({ params }: TaskRequest): string => `/${part(params.file ?? 'stdout')}`
  const discovery: readonly (readonly [path: string, tail: (request: TaskRequest) => string])[] = [
    ['/v2/task/:taskId', file],
    ['/v2/task/:taskId/file/:file', file],
    ['/v2/task/:taskId/browse', () => '/files/browse'],
    ['/v2/task/:taskId/download', (request) => `${file(request)}/download`],
    ['/v2/task/:taskId/file/:file/download', (request) => `${file(request)}/download`],
  ]
  for (const [path, tail] of discovery) {
    app.get<Task>(path, (request, reply) => discover(parts, request, reply, tail(request)))
  }
  for (const base of [RUNS, `${RUNS}/tasks/:taskPath`]) {
    app.get<{ Params: RunParams }>(`${base}/files/browse`, (request, reply) => browse(parts, request, reply))
    app.get<{ Params: RunParams }>(`${base}/:file`, (request, reply) => read(parts, request, reply))
    app.get<{ Params: RunParams }>(`${base}/:file/download`, (request, reply) => download(parts, request, reply))
  }
}

async function discover(
  parts: ApiParts,
  request: TaskRequest,
  reply: FastifyReply,
  tail: string,
): Promise<FastifyReply> {
  const caller = withToken(parts, request)
  const mesos = requireMesos(parts)
  const state = await mesos.state(caller.authorization).catch((error: unknown) => {
    throw mesosRefusal(error, 'unable to get canonical task ID')
  })
  const task = findTask(state, request.params.taskId, (one) => seesTask(caller, fieldsOf(one)))
  const { query } = splitUrl(request.url)
  reply.headers(corsHeaders(parts.settings, request, caller.byCookie))
  return reply
    .code(303)
    .header('location', `${agentRoute(task, tail)}${query === '' ? '' : `?${query}`}`)
    .send()
}

function fieldsOf({ frameworkId, executorId, containerId, agentId }: FoundTask): Record<string, string> {
  return { FRAMEWORK_ID: frameworkId, EXECUTOR_ID: executorId, CONTAINER_ID: containerId, AGENT_ID: agentId }
}

/** With authentication on, Mesos has to be shown a token. */
function withToken(parts: ApiParts, request: FastifyRequest): Caller {
  const caller = callerOf(request)
  const { auth } = parts.settings
  // A caller with a certificate needs no token here; whether Mesos wants one is for Mesos to say.
  if (auth !== undefined && caller.authorization === '' && caller.how !== 'certificate') throw missingToken(request.url)
  return caller
}

interface Sandbox {
  readonly caller: Caller
  readonly mesos: MesosClient
  readonly folder: string
  readonly agentId: string
}

async function sandboxOf(parts: ApiParts, request: RunRequest): Promise<Sandbox> {
  const caller = withToken(parts, request)
  const { frameworkId, executorId, containerId, taskPath } = request.params
  const named = { FRAMEWORK_ID: frameworkId, EXECUTOR_ID: executorId, CONTAINER_ID: containerId }
  const path: SandboxPath = { frameworkId, executorId, containerId, taskPath }
  const mesos = requireMesos(parts)
  const agentId = await mesos.agentId(caller.authorization).catch((error: unknown) => {
    throw mesosRefusal(error, 'unable to get the id of this agent')
  })
  requireTask(caller, { ...named, AGENT_ID: agentId }, 'File not found')
  return { caller, mesos, folder: sandboxFolder(mesos.settings.workDir, agentId, path), agentId }
}

async function browse(parts: ApiParts, request: RunRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { caller, mesos, folder } = await sandboxOf(parts, request)
  const answer = await mesos.browse(folder, caller.authorization).catch((error: unknown) => {
    throw mesosRefusal(error, 'unable to browse files')
  })
  if (answer.status === 404) throw new Refusal(404, 'Sandbox not found', { reason: 'mesos' })
  if (answer.status !== 200) {
    const isRefusal = answer.status === 401 || answer.status === 403
    throw new Refusal(isRefusal ? answer.status : 500, `unable to browse files: bad status ${answer.status}`, {
      reason: 'mesos',
    })
  }
  const list = JSON.parse(answer.body) as readonly Readonly<Record<string, unknown>>[]
  const files = list.map(({ gid, mode, mtime, nlink, path, size, uid }) => ({
    gid: String(gid ?? ''),
    mode: String(mode ?? ''),
    mtime: Math.trunc(Number(mtime ?? 0)),
    nlink: Math.trunc(Number(nlink ?? 0)),
    path: String(path ?? ''),
    size: Math.trunc(Number(size ?? 0)),
    uid: String(uid ?? ''),
  }))
  reply.headers({
    ...FRESH,
    ...corsHeaders(parts.settings, request, caller.byCookie),
    'content-type': 'application/json',
  })
  return reply.send(Buffer.from(`${JSON.stringify(files)}\n`))
}

async function read(parts: ApiParts, request: RunRequest, reply: FastifyReply): Promise<FastifyReply> {
  withToken(parts, request)
  const isEvents = headerOf(request, 'accept') === 'text/event-stream'
  const wanted = readFileRequest(new Query(splitUrl(request.url).query), headerOf(request, 'last-event-id'))
  const { caller, mesos, folder, agentId } = await sandboxOf(parts, request)
  const { frameworkId, executorId, containerId, file = '' } = request.params
  const answer = {
    file: new SandboxFile(mesos, `${folder}/${file}`, caller.authorization),
    request: wanted,
    headers: {
      ...FRESH,
      ...corsHeaders(parts.settings, request, caller.byCookie),
      ...(isEvents && { 'X-Accel-Buffering': 'no' }),
    },
    fields: {
      AGENT_ID: agentId,
      CONTAINER_ID: containerId,
      EXECUTOR_ID: executorId,
      FILE: file,
      FRAMEWORK_ID: frameworkId,
    },
    outlet: parts.outlet(reply.raw),
  }
  if (!isEvents) return await raw(reply, () => answerFile(reply.raw, answer))
  const { pings } = parts.answers
  return await raw(reply, () => parts.streams.during(caller, () => followFile(reply.raw, answer, pings)))
}

async function download(parts: ApiParts, request: RunRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { caller, mesos, folder } = await sandboxOf(parts, request)
  const { file = '' } = request.params
  return await raw(reply, async () => {
    const answer = await mesos
      .download(`${folder}/${file}`, caller.authorization, goneSignal(reply.raw))
      .catch((error: unknown) => {
        throw mesosRefusal(error, 'unable to download file')
      })
    const headers: Record<string, string> = { ...FRESH, ...corsHeaders(parts.settings, request, caller.byCookie) }
    for (const name of ['content-type', 'content-disposition', 'content-length']) {
      const value = answer.headers[name]
      if (typeof value === 'string') headers[name] = value
    }
    reply.raw.writeHead(answer.statusCode, headers)
    const outlet = new Outlet(reply.raw, parts.outlet(reply.raw))
    try {
      for await (const chunk of answer.body) if (!(await outlet.write(chunk as Buffer))) return
      outlet.end()
    } catch {
      // Mesos broke off: so do we, that nobody takes a part for the whole.
      outlet.break()
    }
  })
}
