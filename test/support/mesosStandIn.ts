// A small Mesos: the master's /state and an agent's /files/… over given data, in the form in which Mesos gives them.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename, dirname } from 'node:path'

export interface MesosData {
  /** The master's answer to /state; undefined: there is no master. */
  state: object | undefined
  /** Sandbox files by absolute path. */
  readonly files: Record<string, Buffer | string>
  /** Token → status of /files/browse, for the sandbox check; other tokens get 401. */
  readonly browse?: Readonly<Record<string, number>>
}

export interface MesosStandIn {
  readonly url: string
  /** Authorization headers in the order in which they came. */
  readonly seen: string[]
  close(): Promise<void>
}

const PART = 65_536

/** Master and agent on one port of loopback. */
export async function startMesos(data: MesosData): Promise<MesosStandIn> {
  const seen: string[] = []
  const server = createServer((request, response) => {
    seen.push(request.headers.authorization ?? '')
    answer(data, request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    close: () => closed(server),
  }
}

function closed(server: Server): Promise<void> {
  server.closeAllConnections()
  return new Promise((resolve) => server.close(() => resolve()))
}

function answer(data: MesosData, request: IncomingMessage, response: ServerResponse): unknown {
  const url = new URL(request.url ?? '/', 'http://mesos')
  const json = (status: number, body: unknown) =>
    void response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))
  const missing = () => void response.writeHead(404, { 'Content-Type': 'text/plain' }).end('Failed to find file.\n')
  const path = url.searchParams.get('path') ?? ''
  if (url.pathname === '/state') {
    return data.state === undefined ? missing() : json(200, data.state)
  }
  if (url.pathname === '/files/browse') {
    if (data.browse !== undefined) {
      const token = (request.headers.authorization ?? '').replace(/^(?:token=|Bearer )/, '')
      return json(data.browse[token] ?? 401, [])
    }
    const found = Object.entries(data.files).filter(([name]) => dirname(name) === path.replace(/\/$/, ''))
    if (found.length === 0) return missing()
    // Mesos sends the time as a fraction; JSON.stringify would not.
    const list = found.map(([name, content]) => {
      const fixed = {
        gid: 'root',
        mode: '-rw-r--r--',
        nlink: 1,
        path: name,
        size: Buffer.from(content).length,
        uid: 'root',
      }
      return `{"mtime":1513020278.0,${JSON.stringify(fixed).slice(1)}`
    })
    return void response.writeHead(200, { 'Content-Type': 'application/json' }).end(`[${list.join(',')}]`)
  }
  const content = data.files[path]
  if (content === undefined) return missing()
  const bytes = Buffer.from(content)
  if (url.pathname === '/files/read') {
    const offset = Number(url.searchParams.get('offset') ?? -1)
    if (offset < 0) return json(200, { data: '', offset: bytes.length })
    const part = bytes.subarray(offset, offset + Math.min(PART, Number(url.searchParams.get('length') ?? PART)))
    // As Mesos writes strings: control characters, quotes and backslashes escaped, all other bytes as they are.
    const text = JSON.stringify(part.toString('latin1'))
    response.writeHead(200, { 'Content-Type': 'application/json' })
    return void response.end(Buffer.from(`{"data":${text},"offset":${offset}}`, 'latin1'))
  }
  if (url.pathname !== '/files/download') return missing()
  const disposition = `attachment; filename=${basename(path)}`
  response.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Disposition': disposition })
  return response.end(bytes)
}
