// A stream as something that can be waited for. A reader that stands still fills the pipe: then a write ends when it reads on,
// and everything else in the program goes on (Node writes to pipes and sockets without blocking; to terminals and files it blocks).

import { fstatSync } from 'node:fs'
import type { Writable } from 'node:stream'
import { SinkError } from '../../src/sink.ts'

const GONE = new Set(['EPIPE', 'ECONNRESET', 'ERR_STREAM_DESTROYED'])

export class Output {
  readonly #stream: Writable
  #failure: Error | undefined
  #writing = 0
  readonly #onError = (error: Error) => {
    this.#failure = error
  }

  constructor(stream: Writable) {
    this.#stream = stream
    stream.on('error', this.#onError)
  }

  /** Throws the SinkError `refused` when nobody reads any more: such a stream never comes back. */
  requireReader(): void {
    if (this.#failure !== undefined) throw asSinkError(this.#failure)
    if (this.#stream.destroyed)
      throw asSinkError(Object.assign(new Error('destroyed'), { code: 'ERR_STREAM_DESTROYED' }))
  }

  /** Resolves when the system has taken all bytes. */
  async write(bytes: Uint8Array): Promise<void> {
    this.requireReader()
    this.#writing++
    await new Promise<void>((resolve, reject) => {
      this.#stream.write(bytes, (error) => {
        this.#writing--
        if (error) reject(asSinkError(error))
        else resolve()
      })
    })
  }

  close(): void {
    this.#stream.off('error', this.#onError)
    if (this.#writing === 0) return
    // What the reader does not take cannot be called back: when it goes away, nobody is left to be told.
    this.#stream.on('error', () => undefined)
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

function asSinkError(error: Error): SinkError {
  const { code = '' } = error as { code?: string }
  if (GONE.has(code)) return new SinkError('refused', 'nobody reads standard output any more', { cause: error })
  if (code === 'ENOSPC') return new SinkError('unavailable', 'standard output goes to a full disk', { cause: error })
  return new SinkError('unavailable', `cannot write to standard output: ${error.message}`, { cause: error })
}
