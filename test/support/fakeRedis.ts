// A server that speaks Redis' protocol and knows no more than what the redis sink sends at it: for faults that a real one cannot be
// made to show, for looking at the bytes, and as the receiver of a bench. It takes everything and keeps only the commands' first words.
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { LOOK, PROBE, PUBLISH, SWAP } from '../../sinks/redis/scripts.ts'

export interface FakeRedis {
  readonly port: number
  /** Elements that scripts or pushes have brought, and their bytes. */
  readonly got: { elements: number; bytes: number }
  /** Commands in the order of their arrival: name and arguments, each argument cut to 200 characters. */
  readonly commands: string[][]
  /** Values of keys that SWAP has set. */
  readonly values: Map<string, string>
  /** Connections that are open now. */
  readonly open: number
  close(): Promise<void>
}

export interface FakeRedisOptions {
  /** Another answer than the usual one: RESP as text; `''`: none; `close`: the connection ends. */
  readonly answer?: (command: readonly string[]) => string | undefined
  readonly runId?: () => string
  /** Whether `commands` are kept. */
  readonly keep?: boolean
}

const KEPT_CHARACTERS = 200

export async function startFakeRedis({
  answer,
  runId = () => 'f'.repeat(40),
  keep = true,
}: FakeRedisOptions = {}): Promise<FakeRedis> {
  const sockets = new Set<Socket>()
  const got = { elements: 0, bytes: 0 }
  const commands: string[][] = []
  const values = new Map<string, string>()

  const reply = (command: readonly string[], count: number): string => {
    const [name = '', script = '', numberOfKeys = '0', key = '', ...rest] = command
    switch (name.toUpperCase()) {
      case 'INFO':
        return bulk(`redis_version:7.0.15\r\nrun_id:${runId()}\r\n`)
      case 'TYPE':
        return '+none\r\n'
      case 'WAIT':
        return ':1\r\n'
      case 'EVAL':
      case 'EVALSHA':
        break
      default:
        return '+OK\r\n'
    }
    const isScript = ({ text, sha }: { text: string; sha: string }) =>
      script === sha || script === text.slice(0, KEPT_CHARACTERS)
    if (isScript(LOOK)) {
      const value = values.get(key)
      return `*2\r\n${value === undefined ? '$-1\r\n' : bulk(value)}${bulk(`run_id:${runId()}\r\n`)}`
    }
    if (isScript(SWAP)) {
      values.set(key, rest[1] ?? '')
      return ':1\r\n'
    }
    if (isScript(PROBE)) return '*2\r\n+none\r\n+none\r\n'
    // The arguments before the elements: five and a number for each list, or a number and two for each channel.
    if (isScript(PUBLISH)) {
      got.elements += count - 4 - 2 * Number(key)
      return '*0\r\n'
    }
    const lists = Number(numberOfKeys) - 1
    values.set(key, rest[lists + 1] ?? '')
    got.elements += count - 4 - lists - 5 - lists
    return `:${got.elements}\r\n`
  }

  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => undefined)
    const parser = new CommandParser((command, count) => {
      if (keep) commands.push([...command])
      const said = answer?.(command) ?? reply(command, count)
      if (said === 'close') socket.destroy()
      else if (said !== '' && socket.writable) socket.write(said)
    })
    socket.on('data', (piece: Buffer) => {
      got.bytes += piece.length
      parser.take(piece)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    got,
    commands,
    values,
    get open() {
      return sockets.size
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

function bulk(text: string): string {
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`
}

/** Arguments that are kept of one command, so that large ones cost nothing. */
const KEPT_ARGUMENTS = 24

class CommandParser {
  readonly #onCommand: (command: readonly string[], count: number) => void
  #rest: Buffer = Buffer.alloc(0)
  #count = 0
  #left = 0
  #command: string[] = []
  // Of an argument that is being skipped.
  #skip = 0

  constructor(onCommand: (command: readonly string[], count: number) => void) {
    this.#onCommand = onCommand
  }

  take(piece: Buffer): void {
    let bytes = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece])
    let at = 0
    for (;;) {
      if (this.#skip > 0) {
        const some = Math.min(this.#skip, bytes.length - at)
        this.#skip -= some
        at += some
        if (this.#skip > 0) break
        this.#argument()
        continue
      }
      const end = bytes.indexOf(10, at)
      if (end < 0) break
      const number = Number(bytes.toString('latin1', at + 1, end - 1))
      if (bytes[at] === 0x2a) {
        this.#count = number
        this.#left = number
        this.#command = []
        at = end + 1
        continue
      }
      if (this.#count - this.#left < KEPT_ARGUMENTS) {
        if (bytes.length < end + 1 + number + 2) break
        this.#command.push(
          bytes.toString('utf8', end + 1, end + 1 + Math.min(number, KEPT_CHARACTERS * 4)).slice(0, KEPT_CHARACTERS),
        )
        at = end + 1 + number + 2
        this.#argument()
      } else {
        at = end + 1
        this.#skip = number + 2
      }
    }
    bytes = bytes.subarray(at)
    this.#rest = Buffer.from(bytes)
  }

  #argument(): void {
    this.#left--
    if (this.#left === 0) this.#onCommand(this.#command, this.#count)
  }
}
