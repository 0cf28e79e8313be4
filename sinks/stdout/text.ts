// A JSON record as a line for people, in journalctl's forms `short` and `cat`. The record is taken as it is, so that masks and
// exclusions of the configuration hold here as well; it may have shape `journal` or `ecs`.

type Record = Readonly<{ [name: string]: unknown }>

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
// What journalctl takes for unprintable (systemd, utf8_is_printable): it would otherwise reach the reader's terminal.
const UNPRINTABLE = /[\0-\x08\x0b-\x1f\x7f-\x9f]/

/** Text of one record with its newline; empty for one without a message, which journalctl leaves out, too. */
export type Format = (record: Record) => string

/** `Nov 24 13:44:13 host ident[pid]: message` in local time; further lines of the message stand below its first. */
export function formatShort(): Format {
  let second = Number.NaN
  let stamp = ''
  return (record) => {
    const message = messageOf(record)
    if (message === undefined) return ''
    const seconds = Math.floor(millisecondsOf(record) / 1000)
    if (seconds !== second) {
      second = seconds
      stamp = stampOf(new Date(seconds * 1000))
    }
    const host = textOf(record, '_HOSTNAME', 'host.hostname')
    const identifier =
      textOf(record, 'SYSLOG_IDENTIFIER', 'log.syslog.appname') ?? textOf(record, '_COMM', 'process.name')
    const pid = textOf(record, '_PID', 'process.pid') ?? textOf(record, 'SYSLOG_PID', 'log.syslog.procid')
    const head = `${stamp}${host === undefined ? '' : ` ${host}`} ${identifier ?? 'unknown'}${pid === undefined ? '' : `[${pid}]`}: `
    return `${head}${printable(record, message).replaceAll('\n', `\n${' '.repeat(head.length)}`)}\n`
  }
}

/** The message alone. */
export function formatCat(): Format {
  return (record) => {
    const message = messageOf(record)
    return message === undefined ? '' : `${message}\n`
  }
}

function stampOf(time: Date): string {
  const two = (value: number) => String(value).padStart(2, '0')
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`
  return `${MONTHS[time.getMonth()]} ${two(time.getDate())} ${clock}`
}

function millisecondsOf(record: Record): number {
  const us = record['__REALTIME_TIMESTAMP']
  if (typeof us === 'string') return Number(us) / 1000
  const time = record['@timestamp']
  return typeof time === 'string' ? Date.parse(time) : Number.NaN
}

function messageOf(record: Record): string | undefined {
  return textOf(record, 'MESSAGE', 'message')
}

function printable(record: Record, message: string): string {
  const exact = record['logferry.base64.MESSAGE'] ?? record['logferry.base64.message']
  const isBinary = typeof exact === 'string'
  // A newline at the end makes no further line.
  if (!isBinary && !UNPRINTABLE.test(message)) return message.endsWith('\n') ? message.slice(0, -1) : message
  return `[${sizeText(isBinary ? Buffer.byteLength(exact, 'base64') : Buffer.byteLength(message))} blob data]`
}

/** As systemd's FORMAT_BYTES: `11B`, `1.2K`, `3.4M`. */
function sizeText(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), 6)
  if (power === 0) return `${bytes}B`
  const tenths = Math.floor((bytes * 10) / 1024 ** power)
  return `${Math.floor(tenths / 10)}.${tenths % 10}${'KMGTPE'[power - 1]}`
}

/** The first value of a field: by its journal name, or by its path in ECS, nested or dotted. */
function textOf(record: Record, name: string, path: string): string | undefined {
  return scalar(record[name]) ?? scalar(record[path]) ?? scalar(deep(record, path))
}

function deep(record: Record, path: string): unknown {
  let found: unknown = record
  for (const step of path.split('.')) {
    if (typeof found !== 'object' || found === null) return undefined
    found = (found as Record)[step]
  }
  return found
}

/** A string, a number, or the first of several values; with `binary: array` a value can be a list of its bytes. */
function scalar(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (typeof value === 'number') return String(value)
  if (!Array.isArray(value)) return undefined
  if (value.length > 0 && value.every((byte) => typeof byte === 'number')) return Buffer.from(value).toString()
  return scalar(value[0])
}
