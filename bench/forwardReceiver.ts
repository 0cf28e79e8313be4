// A receiver of the forward protocol that reads no entries: it counts, acknowledges, and costs as little as can be. In a process of its own.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { type Decoded, Incomplete, readValue } from '../test/support/msgpack.ts'

/** What came so far. */
export interface Counted {
  readonly messages: number
  readonly entries: number
  readonly bytes: number
}

export interface ForwardReceiver {
  readonly port: number
  counted(): Promise<Counted>
  stop(): void
}

/** Starts it on a free port of 127.0.0.1. */
export async function startForwardReceiver(): Promise<ForwardReceiver> {
  const child = fork(import.meta.filename, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const [port] = (await once(child, 'message')) as [number]
  return {
    port,
    counted: async () => {
      child.send('counted')
      const [counted] = (await once(child, 'message')) as [Counted]
      return counted
    },
    stop: () => void child.kill(),
  }
}

function serve(): void {
  const counted = { messages: 0, entries: 0, bytes: 0 }
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    receive(socket, (option, bytes) => {
      counted.messages++
      counted.entries += Number(option['size'])
      counted.bytes += bytes
      const id = Buffer.from(String(option['chunk']))
      socket.write(Buffer.concat([Buffer.from('81a361636bd9', 'hex'), Buffer.of(id.length), id]))
    })
  })
  server.listen(0, '127.0.0.1', () => {
    const address = server.address()
    if (typeof address === 'object') process.send?.(address?.port)
  })
  process.on('message', () => process.send?.(counted))
}

/** Calls `take` for each message [tag, packed entries, options]; the packed entries are skipped. */
function receive(socket: Socket, take: (option: Readonly<Record<string, Decoded>>, bytes: number) => void): void {
  let rest: Buffer = Buffer.alloc(0)
  let skip = 0
  let packedBytes = 0
  let isInOptions = false
  socket.on('data', (piece: Buffer) => {
    let bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece])
    for (;;) {
      const skipped = Math.min(skip, bytes.length)
      skip -= skipped
      bytes = bytes.subarray(skipped)
      if (skip > 0 || bytes.length === 0) break
      try {
        if (isInOptions) {
          const { value, end } = readValue(bytes)
          take(value as Record<string, Decoded>, packedBytes)
          bytes = bytes.subarray(end)
        } else {
          const { end } = readValue(bytes, 1)
          if (end + 5 > bytes.length) break
          packedBytes = bytes.readUInt32BE(end + 1)
          skip = packedBytes
          bytes = bytes.subarray(end + 5)
        }
        isInOptions = !isInOptions
      } catch (error) {
        if (error instanceof Incomplete) break
        throw error
      }
    }
    rest = bytes
  })
}

if (process.send !== undefined && process.argv[1] === import.meta.filename) serve()
