// The open descriptor of a journal file and what its header said last. Kept for as long as the file is of interest, through renames and deletion.

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { problem } from '../../errors.ts'
import { HEADER_SIZE, type Header, hasSignature, parseHeader } from './header.ts'

export class Descriptor {
  readonly path: string
  /** -1 once closed */
  fd: number
  /** `device:inode` */
  readonly id: string
  /** Of the file, in bytes, when the header changed last. */
  size: number
  header: Header
  /** Why the header could not be read again, last time that happened. */
  readError: string | undefined
  #bytes: Buffer = Buffer.alloc(HEADER_SIZE)
  #spare: Buffer = Buffer.alloc(HEADER_SIZE)

  /** Problem LF_JOURNAL_NOT_A_JOURNAL, LF_JOURNAL_UNKNOWN_FLAG, LF_JOURNAL_NO_ACCESS or LF_JOURNAL_IO. */
  constructor(path: string) {
    this.path = path
    try {
      // Without O_NONBLOCK a FIFO of that name would hang the program.
      this.fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    } catch (error) {
      throw ioProblem(path, error)
    }
    try {
      const stat = fstatSync(this.fd, { bigint: true })
      if (!stat.isFile()) throw problem('LF_JOURNAL_NOT_A_JOURNAL', { path, why: 'it is not a regular file' })
      this.id = `${stat.dev}:${stat.ino}`
      this.size = Number(stat.size)
      this.header = parseHeader(this.#bytes, readInto(this.fd, this.#bytes, path), path)
    } catch (error) {
      closeSync(this.fd)
      throw error
    }
  }

  /** Reads the header again and puts it into `header` when it changed. 'gone': this is not the file any more that was opened. */
  read(): 'same' | 'changed' | 'gone' {
    let length: number
    let size: number
    try {
      length = readInto(this.fd, this.#spare, this.path)
      if (length === HEADER_SIZE && this.#spare.equals(this.#bytes)) return 'same'
      size = fstatSync(this.fd).size
    } catch (error) {
      // The device fails for now; what was read before stays good.
      this.readError = error instanceof Error ? error.message : String(error)
      return 'same'
    }
    let header: Header
    try {
      header = parseHeader(this.#spare, length, this.path)
    } catch {
      return 'gone'
    }
    const { fileId, compact, headerSize, entries } = this.header
    if (header.fileId !== fileId || header.compact !== compact || header.headerSize !== headerSize) return 'gone'
    // A writer never takes entries back.
    if (header.entries < entries) return 'gone'
    const bytes = this.#bytes
    this.#bytes = this.#spare
    this.#spare = bytes
    this.header = header
    this.size = size
    return 'changed'
  }

  /** Whether the file was deleted and emptied: journald punches a hole over what it deletes, readers or not. */
  isVacuumed(): boolean {
    if (this.fd < 0) return false
    try {
      if (fstatSync(this.fd).nlink > 0) return false
      return !hasSignature(this.#spare, readInto(this.fd, this.#spare, this.path))
    } catch {
      // Undecided; the next failure to read an entry asks again.
      return false
    }
  }

  close(): void {
    if (this.fd >= 0) closeSync(this.fd)
    this.fd = -1
  }
}

function readInto(fd: number, into: Buffer, path: string): number {
  try {
    let done = 0
    while (done < into.length) {
      const got = readSync(fd, into, done, into.length - done, done)
      if (got === 0) break
      done += got
    }
    return done
  } catch (error) {
    throw ioProblem(path, error)
  }
}

function ioProblem(path: string, error: unknown): Error {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'EACCES' || code === 'EPERM') return problem('LF_JOURNAL_NO_ACCESS', { path }, error)
  return problem('LF_JOURNAL_IO', { path, why: message }, error)
}
