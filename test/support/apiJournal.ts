// Journals of given entries for the tests of the API, written by systemd-journal-remote, also entry by entry while somebody follows.
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { exportField } from './entries.ts'
import { journalctl } from './journals.ts'

const REMOTE = '/lib/systemd/systemd-journal-remote'

/** An entry: times in µs, fields as text, a list for a field that occurs several times, or bytes in base64. */
export interface GivenEntry {
  readonly realtime_usec: number
  readonly monotonic_usec: number
  readonly fields: Readonly<Record<string, string | readonly string[]>>
  readonly fields_base64?: Readonly<Record<string, string>>
}

export class ApiJournal {
  readonly dir: string
  readonly entries: GivenEntry[] = []
  #cursors: string[] = []

  constructor(dir: string, entries: readonly GivenEntry[]) {
    this.dir = dir
    mkdirSync(dir, { recursive: true })
    this.append(...entries)
  }

  append(...entries: readonly GivenEntry[]): void {
    if (entries.length === 0) return
    this.entries.push(...entries)
    const input = Buffer.concat(entries.map(exportForm))
    execFileSync(REMOTE, ['-o', join(this.dir, 'system.journal'), '-'], { input, stdio: ['pipe', 'ignore', 'ignore'] })
  }

  /** Cursor of the n-th entry, from 1, as journalctl has it. */
  cursor(n: number): string {
    if (this.#cursors.length < this.entries.length) {
      const lines = journalctl(['-D', this.dir, '-o', 'json', '--output-fields=_BOOT_ID', '-q'])
        .toString()
        .trim()
        .split('\n')
      this.#cursors = lines.map((line) => (JSON.parse(line) as { __CURSOR: string }).__CURSOR)
    }
    return this.#cursors[n - 1] as string
  }
}

function exportForm(entry: GivenEntry): Buffer {
  const parts: (string | Buffer)[] = [
    `__REALTIME_TIMESTAMP=${entry.realtime_usec}\n__MONOTONIC_TIMESTAMP=${entry.monotonic_usec}\n`,
  ]
  for (const [name, value] of Object.entries(entry.fields)) {
    for (const text of typeof value === 'string' ? [value] : value) parts.push(exportField(name, text))
  }
  for (const [name, value] of Object.entries(entry.fields_base64 ?? {}))
    parts.push(exportField(name, Buffer.from(value, 'base64')))
  parts.push('\n')
  return Buffer.concat(parts.map((part) => Buffer.from(part)))
}

const BOOT = '0123456789abcdef0123456789abcdef'

/** An entry some seconds after a fixed time, with a few fields that every entry has. */
export function entryAt(second: number, fields: Readonly<Record<string, string | readonly string[]>>): GivenEntry {
  return {
    realtime_usec: 1_700_000_000_000_000 + second * 1_000_000,
    monotonic_usec: 1_000_000 * (second + 1),
    fields: { _BOOT_ID: BOOT, _MACHINE_ID: 'fedcba9876543210fedcba9876543210', _HOSTNAME: 'node-1', ...fields },
  }
}
