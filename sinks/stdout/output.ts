// Standard output as something that can be waited for. On Linux, Node writes to a pipe synchronously: a reader that stands still
// would stop the whole program. A pipe is therefore opened a second time, without blocking, which changes nothing for others that
// share it; a write of the thread pool would be no way out, as the program could not exit before it ended.

import { constants, fstatSync, openSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { SinkError } from '../../src/sink.ts'

const GONE = new Set(['EPIPE', 'ENXIO', 'ERR_STREAM_DESTROYED', 'ECONNRESET'])

export class Output {
  readonly #stream: Writable
  readonly #isOwn: boolean
  #failure: Error | undefined
  readonly #onError = (error: Error) => {
    this.#failure = error
  }

  private constructor(stream: Writable, isOwn: boolean) {
    this.#stream = stream
    this.#isOwn = isOwn
    stream.on('error', this.#onError)
  }

  /** @param fd 1 is standard output */
  static open(fd: number): Output {
    try {
      if (!fstatSync(fd).isFIFO()) return new Output(process.stdout, false)
      const own = openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK)
      return new Output(new Socket({ fd: own, readable: false, writable: true }), true)
    } catch (error) {
      throw asSinkError(error)
    }
  }

  get isBroken(): boolean {
    return this.#failure !== undefined || this.#stream.destroyed
  }

  /** Resolves when the system has taken all bytes. */
  write(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(asSinkError(this.#failure))
    return new Promise((resolve, reject) => {
      this.#stream.write(bytes, (error) => (error ? reject(asSinkError(error)) : resolve()))
    })
  }

  close(): void {
    if (this.#isOwn) this.#stream.destroy()
    else this.#stream.off('error', this.#onError)
  }
}

/**
 * Whether a descriptor leads into the journal, as standard output of a systemd service does: every entry written there would
 * come back as a new one, for ever. systemd names device and inode of that socket in JOURNAL_STREAM.
 */
export function leadsIntoJournal(fd: number, journalStream: string | undefined): boolean {
  if (journalStream === undefined) return false
  const { dev, ino } = fstatSync(fd, { bigint: true })
  return journalStream === `${dev}:${ino}`
}

function asSinkError(error: unknown): SinkError {
  const code = (error as { code?: string }).code ?? ''
  if (GONE.has(code)) return new SinkError('refused', 'nobody reads standard output any more', { cause: error })
  if (code === 'ENOSPC') return new SinkError('unavailable', 'standard output goes to a full disk', { cause: error })
  return new SinkError('unavailable', `cannot write to standard output: ${String(error)}`, { cause: error })
}
