// The time at which a message was sent, where its sender said so. Source: systemd parse-util.c (safe_atou64), time-util.h (VALID_REALTIME).

import type { JournalFile } from '../file.ts'

const VALID_REALTIME = 2 ** 55

/** The value of the loaded payload as µs since 1970, undefined when it is no time. */
export function sourceRealtime(file: JournalFile): number | undefined {
  return parseRealtime(file.bytes.toString('latin1', file.equals + 1, file.end))
}

/** µs as journald's parser takes them: decimal, 0x hexadecimal, 0 octal, spaces in front allowed; a time that cannot be is none. */
export function parseRealtime(text: string): number | undefined {
  const match = /^[ \t\n\v\f\r]*\+?(?:0[xX]([0-9a-fA-F]+)|0([0-7]+)|([0-9]+))$/.exec(text)
  if (match === null) return undefined
  const [, hex, octal, decimal] = match
  const value = hex ? Number.parseInt(hex, 16) : octal ? Number.parseInt(octal, 8) : Number(decimal)
  return value > 0 && value < VALID_REALTIME ? value : undefined
}
