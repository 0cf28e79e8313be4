// Where a server listens: `HOST:PORT`, `:PORT`, `[::1]:PORT` or `unix:/path`.

import { existsSync } from 'node:fs'
import { lstat, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { problem } from '../errors.ts'

export type Listen =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }

/** What an address looks like, for messages. */
export const LISTEN_FORM = 'HOST:PORT such as 127.0.0.1:9105, or unix:/path'

/** Reads an address; undefined when it is none. `:PORT` is every address of the machine; port 0 lets the system choose. */
export function parseListen(text: string): Listen | undefined {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length)
    // sockaddr_un holds 108 bytes with the closing NUL.
    return path.startsWith('/') && Buffer.byteLength(path) < 108 ? { kind: 'unix', path } : undefined
  }
  const parts = /^(?:\[([0-9a-fA-F:.]+(?:%\w+)?)\]|([A-Za-z0-9.*_-]*)):(\d{1,5})$/.exec(text)
  if (parts === null) return undefined
  const port = Number(parts[3])
  const host = parts[1] ?? parts[2]
  return port > 65_535 ? undefined : { kind: 'tcp', host: host === '' || host === '*' ? '::' : (host as string), port }
}

export function formatListen(listen: Listen): string {
  if (listen.kind === 'unix') return `unix:${listen.path}`
  return listen.host.includes(':') ? `[${listen.host}]:${listen.port}` : `${listen.host}:${listen.port}`
}

/**
 * Removes a socket file that nobody listens on, as a killed process leaves it. Throws Problem LF_LISTEN when somebody
 * does, or when the path is something else than a socket.
 */
export async function clearStaleSocket(path: string): Promise<void> {
  // Node says EACCES for a missing folder when it comes to listening.
  if (!existsSync(dirname(path)))
    throw problem('LF_LISTEN', { address: `unix:${path}`, why: 'the folder does not exist' })
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw listenProblem({ kind: 'unix', path }, error)
  })
  if (found === undefined) return
  if (!found.isSocket())
    throw problem('LF_LISTEN', { address: `unix:${path}`, why: 'there is a file which is no socket' })
  const isTaken = await new Promise<boolean>((resolve) => {
    const probe = connect(path)
    probe.once('connect', () => resolve(true))
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'))
    probe.once('close', () => probe.destroy())
  })
  if (isTaken) throw problem('LF_LISTEN', { address: `unix:${path}`, why: 'another process listens there' })
  await unlink(path)
}

/** The Problem for a failed listen, in words instead of errno names. */
export function listenProblem(listen: Listen, error: NodeJS.ErrnoException): Error {
  const words: Readonly<Record<string, string>> = {
    EADDRINUSE: 'another process listens there',
    EADDRNOTAVAIL: 'the machine does not have this address',
    EACCES: 'permission denied',
    ENOTFOUND: 'the host name is not known',
  }
  return problem('LF_LISTEN', { address: formatListen(listen), why: words[error.code ?? ''] ?? error.message }, error)
}
