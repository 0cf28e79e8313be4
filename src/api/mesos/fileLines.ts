// The parameters of the sandbox file routes, and the answers to them: text that ends, or events that follow the file.
// Source: dcos-log, api/v2/files.go and mesos/files/reader.

import type { ServerResponse } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { Outlet, type OutletOptions } from '../entries/outlet.ts'
import type { Pings } from '../entries/pings.ts'
import { parseInteger, type Query } from '../http/query.ts'
import { Refusal } from '../http/refusal.ts'
import { shorten } from '../http/text.ts'
import { MesosStatus, mesosRefusal } from './client.ts'
import type { SandboxFile } from './sandbox.ts'

/** Between looks at a file that is followed, ms. */
const POLL_MS = 1000
/** Looks at the same unfinished last line before it is sent as it is. */
const PATIENCE = 3
const CHUNK = 64 << 10
/** A wrong number is quoted up to here. */
const SHOWN = 64

/** Where a file is read from and how much of it. */
export interface FileRequest {
  /** A byte offset, or its end. */
  readonly cursor: number | 'END'
  /** Lines; negative: backwards. */
  readonly skip: number
  /** Infinite for all. */
  readonly limit: number
}

/** Throws Refusal 400. `lastEventId` replaces everything else. */
export function readFileRequest(query: Query, lastEventId: string): FileRequest {
  const integer = (text: string, what: string): number => {
    const value = parseInteger(text)
    if (value === undefined) throw new Refusal(400, `unable to parse ${what}. ${shorten(text, SHOWN)} not an integer`)
    return value
  }
  const offset = (text: string, what: string): number => {
    const value = integer(text, what)
    if (value >= 0) return value
    throw new Refusal(400, `unable to parse ${what}: invalid offset ${value}. Must be zero or positive integer`)
  }
  const all = Number.POSITIVE_INFINITY
  if (lastEventId !== '') return { cursor: offset(lastEventId, 'Last-Event-ID header'), skip: 0, limit: all }
  const [cursor, skip, limit] = ['cursor', 'skip', 'limit'].map((name) => query.first(name)) as [string, string, string]
  const place = cursor === 'END' ? cursor : cursor === '' || cursor === 'BEG' ? 0 : offset(cursor, 'cursor parameter')
  const lines = skip === '' ? 0 : integer(skip, 'skip parameter')
  const most = limit === '' ? 0 : integer(limit, 'limit parameter')
  return { cursor: place, skip: lines, limit: most > 0 ? most : all }
}

export interface FileAnswer {
  readonly file: SandboxFile
  readonly request: FileRequest
  readonly headers: Readonly<Record<string, string>>
  /** Of each event. */
  readonly fields: Readonly<Record<string, string>>
  readonly outlet: OutletOptions
}

/** Answers with the lines that are there. Throws Refusal before the first byte. */
export async function answerFile(response: ServerResponse, answer: FileAnswer): Promise<void> {
  const { request, file } = answer
  const start = await begin(answer)
  if (start === undefined) return void response.writeHead(204, answer.headers).end()
  let { skip } = start
  let left = request.limit
  let isFirst = true
  let outlet: Outlet | undefined
  let chunk: Buffer[] = []
  let bytes = 0
  const open = (): Outlet => {
    outlet ??= new Outlet(startBody(response, answer, 'text/plain; charset=utf-8'), answer.outlet)
    return outlet
  }
  try {
    for await (const line of file.lines(start.offset, () => true)) {
      const isCutOff = isFirst && start.isCut && line.bytes.length === 0
      isFirst = false
      if (isCutOff) continue
      if (skip > 0) {
        skip--
        continue
      }
      chunk.push(line.bytes, NEWLINE)
      bytes += line.bytes.length + 1
      if (bytes >= CHUNK) {
        if (!(await open().write(Buffer.concat(chunk)))) return
        chunk = []
        bytes = 0
      }
      if (--left <= 0) break
    }
  } catch (error) {
    if (outlet === undefined) throw missingOr(error)
    outlet.break()
    return
  }
  if (bytes > 0) await open().write(Buffer.concat(chunk))
  open().end()
}

/** Answers with an event per line, also those that come, until the client is gone. */
export async function followFile(response: ServerResponse, answer: FileAnswer, pings: Pings): Promise<void> {
  const start = await begin(answer)
  if (start === undefined) return void response.writeHead(204, answer.headers).end()
  const { file, fields } = answer
  // Looked at once before the head goes out, so that a missing file is a 404.
  await file.read(start.offset).catch((error: unknown) => {
    throw missingOr(error)
  })
  const outlet = new Outlet(startBody(response, answer, 'text/event-stream'), answer.outlet)
  response.flushHeaders()
  const unping = pings.add(outlet)
  let { offset, skip } = start
  let unfinished = { end: -1, looks: 0 }
  try {
    while (!outlet.signal.aborted) {
      const isStale = (end: number): boolean => {
        unfinished = unfinished.end === end ? { end, looks: unfinished.looks + 1 } : { end, looks: 1 }
        return unfinished.looks >= PATIENCE
      }
      let isWhole = true
      const lines = file.lines(offset, (line) => {
        isWhole = false
        return isStale(line.end)
      })
      for await (const line of lines) {
        offset = isWhole ? line.end + 1 : line.end
        // The rest of a cut line, or an empty one, which the original did not send either.
        if (line.bytes.length === 0) continue
        if (skip > 0) {
          skip--
          continue
        }
        if (!(await outlet.write(eventOf(line.end, line.bytes, fields)))) return
      }
      await wait(POLL_MS, undefined, { signal: outlet.signal }).catch(() => {})
    }
  } catch {
    // The file is gone, or the agent: the client comes back with the id of its last line.
    outlet.break()
  } finally {
    unping()
    outlet.end()
  }
}

const NEWLINE = Buffer.from('\n')

function eventOf(id: number, line: Buffer, fields: Readonly<Record<string, string>>): Buffer {
  const data = JSON.stringify({ fields: { ...fields, MESSAGE: line.toString('utf8') } })
  return Buffer.from(`${id === 0 ? '' : `id: ${id}\n`}data: ${data}\n\n`)
}

/** Where reading begins; undefined: the file is not there, and its size was needed. */
async function begin({
  file,
  request,
}: FileAnswer): Promise<{ readonly offset: number; readonly skip: number; readonly isCut: boolean } | undefined> {
  const { cursor, skip } = request
  if (cursor !== 'END' && skip >= 0) return { offset: cursor, skip, isCut: cursor > 0 }
  try {
    const size = await file.size()
    const place = cursor === 'END' ? size : Math.min(cursor, size)
    if (skip >= 0) return { offset: place, skip, isCut: place > 0 }
    return { offset: await file.back(place, -skip), skip: 0, isCut: false }
  } catch (error) {
    if (error instanceof MesosStatus && error.status === 404) return undefined
    throw mesosRefusal(error, 'unable to read file')
  }
}

function missingOr(error: unknown): Refusal {
  if (error instanceof MesosStatus && error.status === 404) return new Refusal(404, 'File not found')
  return mesosRefusal(error, 'unable to read file')
}

function startBody(response: ServerResponse, answer: FileAnswer, type: string): ServerResponse {
  return response.writeHead(200, { ...answer.headers, 'Content-Type': type })
}
