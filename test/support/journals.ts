// Journals written by the real systemd-journal-remote, and the real journalctl as oracle.
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type EntryOptions, makeEntries } from './entries.ts'

const REMOTE = '/lib/systemd/systemd-journal-remote'

export interface WriteOptions {
  /** Environment of the writer, for example { SYSTEMD_JOURNAL_COMPACT: '0' }. */
  readonly env?: Readonly<Record<string, string>>
}

/** Writes one journal file from generated entries, or from a stream in export format, as it comes. Returns its path when it is complete. */
export async function writeJournal(
  dir: string,
  name: string,
  content: EntryOptions | Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  options: WriteOptions = {},
): Promise<string> {
  const path = join(dir, name.endsWith('.journal') ? name : `${name}.journal`)
  mkdirSync(dirname(path), { recursive: true })
  const isStream = Symbol.iterator in content || Symbol.asyncIterator in content
  const entries = isStream ? content : makeEntries(content)
  const child = spawn(REMOTE, ['-o', path, '-'], {
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { ...process.env, ...options.env },
  })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const done = new Promise<void>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`systemd-journal-remote: ${code} ${errors}`)),
    )
  })
  await Promise.all([
    pipeline(Readable.from(entries, { objectMode: false, highWaterMark: 1 << 20 }), child.stdin),
    done,
  ])
  return path
}

/** What the real journalctl prints. The machine's own journal is never read: name a directory or a file. */
export function journalctl(args: readonly string[], env: Readonly<Record<string, string>> = {}): Buffer {
  return execFileSync('journalctl', ['--no-pager', ...args], {
    maxBuffer: 1 << 30,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
}
