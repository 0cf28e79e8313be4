// Entries to standard output in the chosen form, and the lines that journalctl puts after them.

import { formatCursor } from '../../journal/cursor.ts'
import type { Encoder, EncoderSpec } from '../../journal/encode/encoder.ts'
import { createEncoder } from '../../journal/encode/encoder.ts'
import type { JournalFile } from '../../journal/file/file.ts'
import type { MemoryBudget } from '../../journal/memory.ts'
import type { Output } from '../output.ts'
import type { ReadRequest } from './request.ts'

// So much waits for one write: large enough that the system call costs nothing beside the encoding, small enough to stay in the
// processor's cache between the two.
const FULL = 256 << 10

export class Printer {
  readonly #output: Output
  readonly #request: ReadRequest
  readonly #encoder: Encoder
  #shown = 0
  #cursor: string | undefined

  constructor(output: Output, request: ReadRequest, memory: MemoryBudget) {
    this.#output = output
    this.#request = request
    this.#encoder = createEncoder(encoderSpec(request, output.isTerminal && wantsColours()), memory)
  }

  /** Time to flush. */
  get isFull(): boolean {
    return this.#encoder.length >= FULL
  }

  /** Appends the reader's current entry. */
  entry(file: JournalFile, ordinal: number): void {
    this.#encoder.encode(file, ordinal)
    this.#shown++
    if (this.#request.showCursor) this.#cursor = formatCursor(file)
  }

  /** Writes what was appended; resolves when it is out. */
  async flush(): Promise<void> {
    const encoder = this.#encoder
    if (encoder.length === 0) return
    await this.#output.write(encoder.out, encoder.length)
    encoder.reset()
  }

  /** The last lines, once there is nothing more to show. */
  async end(): Promise<void> {
    const { quiet, follow } = this.#request
    if (this.#shown === 0 && !quiet && !follow) this.#line('-- No entries --')
    if (this.#cursor !== undefined) this.#line(`-- cursor: ${this.#cursor}`)
    await this.flush()
  }

  #line(text: string): void {
    const bytes = Buffer.from(`${text}\n`)
    const encoder = this.#encoder
    encoder.room(bytes.length)
    encoder.out.set(bytes, encoder.length)
    encoder.length += bytes.length
  }
}

/** Colours unless NO_COLOR (https://no-color.org) is set or the terminal cannot. */
function wantsColours(): boolean {
  const { NO_COLOR: no = '', TERM: term = '' } = process.env
  return no === '' && term !== 'dumb'
}

function encoderSpec(request: ReadRequest, colors: boolean): EncoderSpec {
  const { form, all, utc, quiet } = request
  switch (form) {
    case 'json':
    case 'json-pretty':
      return { format: form, all }
    case 'export':
      return { format: 'export' }
    case 'ecs':
      return { format: 'record', encoding: 'json', shape: 'ecs', fields: {}, labels: {}, binary: 'base64' }
    default:
      return { format: form, all, utc, colors, boots: !quiet }
  }
}
