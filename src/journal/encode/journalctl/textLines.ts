// The text forms of journalctl: `short`, `short-iso` and `cat`, byte for byte as it prints them where there is no terminal, and its colours
// where there is one. Source: systemd logs-show.c (output_short, output_cat, print_multiline). Values are handled as one-byte text.

import type { JournalFile } from '../../file/file.ts'
import type { MemoryBudget } from '../../memory.ts'
import { Encoder } from '../base.ts'
import { isPrintable } from '../bytes/utf8.ts'
import { FieldTable } from '../fieldTable.ts'
import { FileCaches } from '../fileCaches.ts'
import { parseRealtime } from '../record/sourceTime.ts'
import type { TextOptions } from '../spec.ts'
import { stripTabAnsi } from './ansi.ts'
import { LocalTime } from './localTime.ts'

/** Names and ids of this length and more are not shown, unless all is. */
const NAME_LIMIT = 300

const FIELDS = [
  'MESSAGE',
  '_HOSTNAME',
  'SYSLOG_IDENTIFIER',
  '_COMM',
  '_PID',
  'SYSLOG_PID',
  '_SOURCE_REALTIME_TIMESTAMP',
  'PRIORITY',
  '_TRANSPORT',
] as const
const [MESSAGE, HOSTNAME, IDENTIFIER, COMM, PID, SYSLOG_PID, SOURCE_REALTIME, PRIORITY, TRANSPORT] = [
  0, 1, 2, 3, 4, 5, 6, 7, 8,
]
const OTHER = -1

// Source: systemd terminal-util.h, for a terminal of 256 colours.
const RED = '\x1b[0;1;31m'
const YELLOW = '\x1b[0;1;38;5;185m'
const BRIGHT = '\x1b[0;1;39m'
const GREY = '\x1b[0;38;5;245m'
const BLUE = '\x1b[0;34m'
const NORMAL = '\x1b[0m'
const COLORS = [RED, RED, RED, RED, YELLOW, BRIGHT, '', GREY]
const INFO = 6

/** An entry without MESSAGE gives nothing, as with journalctl. */
export class TextLines extends Encoder {
  readonly #format: 'short' | 'short-iso' | 'cat'
  readonly #options: TextOptions
  readonly #all: boolean
  readonly #time: LocalTime
  readonly #caches: FileCaches
  readonly #table = new FieldTable((name) => FIELDS.indexOf(name as (typeof FIELDS)[number]))
  readonly #values: (string | undefined)[] = new Array<string | undefined>(FIELDS.length).fill(undefined)
  #boot: string | undefined

  constructor(format: 'short' | 'short-iso' | 'cat', options: TextOptions, memory: MemoryBudget) {
    super()
    this.#format = format
    this.#options = options
    this.#all = options.all === true
    this.#time = new LocalTime(options.utc === true)
    this.#caches = new FileCaches(this, memory)
  }

  override encode(file: JournalFile): void {
    this.#read(file)
    if (this.#format === 'cat') this.#encodeCat()
    else {
      if (this.#options.boots === true) this.#encodeBoot(file.bootId())
      this.#encodeShort(file)
    }
  }

  override close(): void {
    this.#caches.close()
  }

  /** Fills `#values`. Of a repeated field `cat` shows the first value, the others the last. */
  #read(file: JournalFile): void {
    const cache = this.#caches.of(file)
    const values = this.#values
    const first = this.#format === 'cat'
    values.fill(undefined)
    const { itemWords, itemBase, itemStride, itemCount } = file
    for (let k = 0; k < itemCount; k++) {
      const i = itemBase + k * itemStride
      const offset = itemStride === 4 ? itemWords[i] + itemWords[i + 1] * 4294967296 : itemWords[i]
      const key = offset / 8
      const place = cache.find(key)
      let field: number
      let value: string
      if (place >= 0) {
        field = cache.notes[place]
        value = cache.texts[place]
      } else {
        if (!file.payload(offset)) continue
        field = this.#table.find(file.bytes, file.start, file.equals)
        value = field === OTHER ? '' : file.bytes.toString('latin1', file.equals + 1, file.end)
        if (file.shared && key <= 0xffffffff) cache.keepText(key, value, field)
      }
      if (field !== OTHER && !(first && values[field] !== undefined)) values[field] = value
    }
  }

  #encodeBoot(boot: string): void {
    if (this.#boot !== undefined && this.#boot !== boot) {
      const [on, off] = this.#options.colors === true ? [BRIGHT, NORMAL] : ['', '']
      this.#write(`${on}-- Boot ${boot} --${off}\n`)
    }
    this.#boot = boot
  }

  #encodeCat(): void {
    const message = this.#values[MESSAGE]
    if (message === undefined) return
    const [on, off] = this.#colors()
    this.#write(`${on}${message}${off}\n`)
  }

  #encodeShort(file: JournalFile): void {
    const values = this.#values
    let message = values[MESSAGE]
    if (message === undefined) return
    if (!this.#all) message = stripTabAnsi(message)
    const source = values[SOURCE_REALTIME]
    const realtime = (source === undefined ? undefined : parseRealtime(source)) ?? file.realtime
    let line = this.#format === 'short' ? this.#time.short(realtime) : this.#time.iso(realtime)
    // What the following lines of a message are indented by; journalctl does not count the word "unknown".
    let indent = line.length + 2
    const show = (text: string, length: number): void => {
      line += cString(text)
      indent += length
    }
    const hostname = this.#options.noHostname === true ? undefined : this.#shown(values[HOSTNAME])
    if (hostname !== undefined) show(` ${hostname}`, hostname.length + 1)
    const name = this.#shown(values[IDENTIFIER]) ?? this.#shown(values[COMM])
    if (name !== undefined) show(` ${name}`, name.length + 1)
    else line += ' unknown'
    const pid = this.#shown(values[PID]) ?? this.#shown(values[SYSLOG_PID])
    if (pid !== undefined) {
      line += `[${cString(pid)}]`
      indent += pid.length + 2
    }
    line += ': '
    this.#write(line + this.#lines(message, indent))
  }

  /** The message with its later lines indented, and a newline after each. */
  #lines(message: string, indent: number): string {
    if (!this.#all && !printable(message)) return `[${formatBytes(message.length)} blob data]\n`
    if (message === '') return '\n'
    const [on, off] = this.#colors()
    const lines = message.split('\n')
    if (lines.at(-1) === '') lines.pop()
    const space = ' '.repeat(indent)
    return lines.map((text, k) => `${k > 0 ? space : ''}${on}${cString(text)}${off}\n`).join('')
  }

  /** A name or id that is fit to be shown. */
  #shown(text: string | undefined): string | undefined {
    if (text === undefined || this.#all) return text
    return text.length < NAME_LIMIT && printable(text) ? text : undefined
  }

  #colors(): readonly [on: string, off: string] {
    if (this.#options.colors !== true) return ['', '']
    const priority = this.#values[PRIORITY] ?? ''
    let on = COLORS[/^[0-7]$/.test(priority) ? Number(priority) : INFO] ?? ''
    if (on === '' && this.#values[TRANSPORT] === 'audit') on = BLUE
    return [on, on === '' ? '' : NORMAL]
  }

  #write(text: string): void {
    this.room(text.length)
    this.out.latin1Write(text, this.length, text.length)
    this.length += text.length
  }
}

/** C prints such strings up to the first NUL. */
function cString(text: string): string {
  const nul = text.indexOf('\0')
  return nul < 0 ? text : text.slice(0, nul)
}

function printable(text: string): boolean {
  return /^[\t\n\x20-\x7e]*$/.test(text) || isPrintable(Buffer.from(text, 'latin1'), 0, text.length, true)
}

/** `42B`, `1.9K`, `1.1M`: powers of 1024, one digit cut off, not rounded. Source: systemd format-util.c. */
function formatBytes(bytes: number): string {
  for (const [unit, power] of [
    ['G', 3],
    ['M', 2],
    ['K', 1],
  ] as const) {
    const factor = 1024 ** power
    if (bytes < factor) continue
    const below =
      power > 1 ? Math.floor((Math.floor(bytes / 1024 ** (power - 1)) * 10) / 1024) : Math.floor((bytes * 10) / factor)
    return `${Math.floor(bytes / factor)}.${below % 10}${unit}`
  }
  return `${bytes}B`
}
