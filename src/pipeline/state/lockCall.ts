// A call to the holder of a lock: one word, answered by one line of JSON. What matters most is whether it could be made.

import { createConnection } from 'node:net'
import { systemCode } from '../../atomicFile.ts'

/** What became of a call. */
export type Call =
  /** Somebody listens. `isSlow`: it took longer than the time-out, as when it is suspended. */
  | { readonly kind: 'alive'; readonly answer: unknown; readonly isSlow: boolean }
  /** The socket's owner is gone. */
  | { readonly kind: 'dead' }
  /** There is no such socket. */
  | { readonly kind: 'none' }

const ANSWER_BYTES = 1 << 20

/** Calls the socket at `path`. Rejects with the system's error when it cannot be known whether somebody listens. */
export function call(path: string, request: string, timeoutMs = 1000): Promise<Call> {
  return new Promise((resolve, reject) => {
    let isConnected = false
    let isSlow = false
    let heard = ''
    const socket = createConnection({ path })
    const timer = setTimeout(() => {
      isSlow = true
      socket.destroy()
    }, timeoutMs)
    socket.setEncoding('utf8')
    socket.on('connect', () => {
      isConnected = true
      socket.write(`${request}\n`)
    })
    socket.on('data', (text: string) => {
      heard += text
      if (heard.length > ANSWER_BYTES) socket.destroy()
    })
    socket.on('error', (error) => {
      if (isConnected) return
      const code = systemCode(error)
      if (code === 'ECONNREFUSED') resolve({ kind: 'dead' })
      else if (code === 'ENOENT') resolve({ kind: 'none' })
      // The queue of its socket is full: it lives.
      else if (code === 'EAGAIN') resolve({ kind: 'alive', answer: undefined, isSlow: true })
      // It stopped listening in this moment: another call will tell.
      else if (code === 'ECONNRESET') resolve({ kind: 'alive', answer: undefined, isSlow: false })
      else reject(error)
    })
    socket.on('close', () => {
      clearTimeout(timer)
      // After a failed connect this changes nothing: the promise is settled.
      resolve({ kind: 'alive', answer: readLine(heard), isSlow })
    })
  })
}

function readLine(heard: string): unknown {
  try {
    return JSON.parse(heard)
  } catch {
    // Cut short, or not ours: nothing was said.
    return undefined
  }
}
