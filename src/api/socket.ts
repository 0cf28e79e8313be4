// Listening: TCP, a Unix socket with mode and group, or the socket that systemd passes (sd_listen_fds(3)).

import { readFileSync } from 'node:fs'
import { chmod, chown, unlink } from 'node:fs/promises'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { problem } from '../errors.ts'
import { clearStaleSocket, formatListen, listenProblem } from '../telemetry/listen.ts'
import type { ApiSettings } from './settings.ts'

/** The first descriptor that systemd passes. */
const FIRST_PASSED = 3

/** Listens; gives the address with the port that the system chose. Throws Problem LF_LISTEN. */
export async function listen(server: Server, { listen: place, socket }: ApiSettings): Promise<string> {
  if (place.kind === 'systemd') {
    const fd = passedSocket(process.env)
    await started(server, () => server.listen({ fd }))
    const address = server.address()
    if (typeof address === 'string') return `unix:${address}`
    return address === null
      ? 'the socket of systemd'
      : formatListen({ kind: 'tcp', host: address.address, port: address.port })
  }
  try {
    if (place.kind === 'unix') {
      await clearStaleSocket(place.path)
      await started(server, () => server.listen({ path: place.path }))
      // Until the mode is right only root and our own user get in, whatever the umask is: the group comes first.
      if (socket.group !== undefined) await chown(place.path, -1, groupId(socket.group))
      await chmod(place.path, socket.mode)
      return formatListen(place)
    }
    await started(server, () => server.listen({ host: place.host, port: place.port }))
  } catch (error) {
    server.close()
    if ((error as NodeJS.ErrnoException).code === undefined || !('syscall' in (error as object))) throw error
    throw listenProblem(place, error as NodeJS.ErrnoException)
  }
  return formatListen({ ...place, port: (server.address() as AddressInfo).port })
}

/** Removes what `listen` left behind. */
export async function forget({ listen: place }: ApiSettings): Promise<void> {
  if (place.kind !== 'unix') return
  await unlink(place.path).catch((error: NodeJS.ErrnoException) => {
    // Node removes the file itself when it closes the server.
    if (error.code !== 'ENOENT') throw error
  })
}

/** The descriptor of the one socket that was passed to this process. Throws Problem LF_LISTEN. */
export function passedSocket(env: NodeJS.ProcessEnv): number {
  const count = Number(env['LISTEN_FDS'] ?? 0)
  const isOurs = env['LISTEN_PID'] === String(process.pid)
  if (isOurs && count === 1) return FIRST_PASSED
  const why = isOurs
    ? `it passed ${count} sockets, expected one`
    : 'it passed none to this process; start it by a unit of type socket'
  throw problem('LF_LISTEN', { address: 'the socket of systemd', why })
}

function started(server: Server, begin: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.once('listening', () => {
      server.off('error', reject)
      resolve()
    })
    begin()
  })
}

/** A group's number, from /etc/group. Throws Problem LF_LISTEN. */
function groupId(group: string): number {
  if (/^\d+$/.test(group)) return Number(group)
  const line = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .find((one) => one.startsWith(`${group}:`))
  const id = Number(line?.split(':')[2])
  if (line !== undefined && Number.isInteger(id)) return id
  throw problem('LF_LISTEN', { address: 'the API socket', why: `there is no group "${group}"` })
}
