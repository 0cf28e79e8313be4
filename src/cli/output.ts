// Data on standard output: straight from the encoder's buffer, never more than one buffer waiting, partial writes finished.
// A reader that went away is no error: everything here then throws OutputClosed, which ends the program quietly.
import { constants, fstatSync, openSync, writeSync } from 'node:fs'
import { problem } from '../errors.ts'

/** Nobody reads our output any more (EPIPE). Ends the program with status 0. */
export class OutputClosed extends Error {
  override readonly name = 'OutputClosed'
}

const STDOUT = 1
const STDERR = 2
// A descriptor that somebody else made non-blocking and that is full: long enough to cost no CPU, short enough not to be seen.
const FULL_PAUSE_MS = 2

/** Writes all of `bytes` before it returns. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  let at = 0
  while (at < bytes.length) {
    try {
      at += writeSync(fd, bytes, at, bytes.length - at)
    } catch (error) {
      if (codeOf(error) !== 'EAGAIN') throw outputError(error)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_PAUSE_MS)
    }
  }
}

/** Prints short text, as help and lists are. */
export function print(text: string): void {
  writeAll(STDOUT, Buffer.from(text))
}

/** Prints lines for the person to stderr. That nobody reads them is not worth stopping for. */
export function complain(text: string): void {
  try {
    writeAll(STDERR, Buffer.from(`${text}\n`))
  } catch {
    // Closed or full: there is no other place left to say it.
  }
}

/** Standard output for a stream of entries. */
export interface Output {
  /** A person looks at it: colours are fine. */
  readonly isTerminal: boolean
  /** Takes `bytes[0 .. length)`. `undefined`: done; else wait for the promise before the bytes are touched again. Throws or rejects with OutputClosed or Problem LF_OUTPUT_IO. */
  write(bytes: Uint8Array, length: number): Promise<void> | undefined
  close(): void
}

/**
 * Opens standard output. Files and terminals are written synchronously. Pipes and sockets go through the event loop, so
 * that a reader which has stopped does not keep signals from us.
 */
export async function openOutput(fd: number = STDOUT): Promise<Output> {
  const kind = fstatSync(fd)
  if (kind.isFIFO() || kind.isSocket()) return openPipe(fd, kind.isFIFO())
  const { isatty } = await import('node:tty')
  return {
    isTerminal: isatty(fd),
    write(bytes, length) {
      writeAll(fd, bytes.subarray(0, length))
      return undefined
    },
    close() {},
  }
}

async function openPipe(fd: number, isFifo: boolean): Promise<Output> {
  const { Socket } = await import('node:net')
  const own = isFifo ? reopen(fd) : undefined
  // Only for writing: the end of the other direction does not say that nobody reads ours (systemd shuts it at once).
  const socket = new Socket({ fd: own ?? fd, readable: false, writable: true })
  let failure: Error | undefined
  socket.on('error', (error) => {
    failure ??= outputError(error)
  })
  return {
    isTerminal: false,
    write(bytes, length) {
      if (failure !== undefined) throw failure
      return new Promise((resolve, reject) => {
        socket.write(bytes.subarray(0, length), (error) => {
          if (error) reject(outputError(error))
          else resolve()
        })
      })
    },
    close() {
      socket.destroy()
    },
  }
}

/**
 * A description of the same pipe that is ours alone: making it non-blocking does not change the one which the shell and other
 * programs share with us. Where that is not allowed (a pipe of another user), the shared one has to do.
 */
function reopen(fd: number): number | undefined {
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch {
    return undefined // No /proc, or not permitted: see above.
  }
}

function outputError(error: unknown): Error {
  const code = codeOf(error)
  if (code === 'EPIPE' || code === 'ECONNRESET') return new OutputClosed()
  return problem('LF_OUTPUT_IO', { why: error instanceof Error ? error.message : String(error) }, error)
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}
