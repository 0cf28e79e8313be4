// The time at which a message was sent, where its sender said so. Source: systemd parse-util.c (safe_atou64), time-util.h (VALID_REALTIME).

import type { JournalFile } from '../../file/file.ts'

const VALID_REALTIME = 2 ** 55

/** The value of the loaded payload as µs since 1970, undefined when it is no time. */
export function sourceRealtime(file: JournalFile): number | undefined {
  return parseRealtime(file.bytes.toString('latin1', file.equals + 1, file.end))
}

/** µs as journald's parser takes them: in base 10, or as 0x, 0o, 0 and 0b say; spaces in front allowed. A time that cannot be is none. */
export function parseRealtime(text: string): number | undefined {
  const match = /^[ \t\n\v\f\r]*\+?(?:0x([0-9a-f]+)|0o?([0-7]+)|0b([01]+)|([1-9][0-9]*))$/i.exec(text)
  if (match === null) return undefined
  const [, hex, octal, binary, decimal] = match
  const value =
    hex !== undefined
      ? Number.parseInt(hex, 16)
      : octal !== undefined
        ? Number.parseInt(octal, 8)
        : binary !== undefined
          ? Number.parseInt(binary, 2)
          : Number(decimal)
  return value > 0 && value < VALID_REALTIME ? value : undefined
}
