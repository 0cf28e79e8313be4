// Journals to measure with, made once and kept in bench/.data (ignored by git).
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { JournalFile } from '../src/journal/file/file.ts'
import { MemoryBudget } from '../src/journal/memory.ts'
import type { Profile } from '../test/support/entries.ts'
import { writeJournal } from '../test/support/journals.ts'

const HOME = join(import.meta.dirname, '.data')
export const ROOT = join(import.meta.dirname, '..')
export const LOGFERRY = join(ROOT, 'src/main.ts')

/** The built program, as it is published: running from TypeScript takes some 25 MB more. Built anew at each run. */
export function builtLogferry(): string {
  const out = join(HOME, 'dist')
  execFileSync('npx', ['tsc', '-p', 'tsconfig.build.json', '--outDir', out], { cwd: ROOT, stdio: 'inherit' })
  copyFileSync(join(ROOT, 'package.json'), join(out, 'package.json'))
  if (!existsSync(join(out, 'node_modules'))) symlinkSync(join(ROOT, 'node_modules'), join(out, 'node_modules'))
  return join(out, 'src/main.js')
}

/** A directory with `files` journal files, one after the other in time, of `entries` entries together. */
export async function journalOf(profile: Profile, entries: number, files: number): Promise<string> {
  const dir = join(HOME, `${profile}-${entries}-${files}`)
  if (existsSync(dir)) return dir
  const temporary = `${dir}.new`
  rmSync(temporary, { recursive: true, force: true })
  const each = entries / files
  for (let i = 0; i < files; i++) {
    const start = 1_700_000_000_000_000 + i * each * 1000
    await writeJournal(temporary, `part-${String(i).padStart(3, '0')}`, { entries: each, profile, seed: i + 1, start })
  }
  renameSync(temporary, dir)
  return dir
}

/** The C program on libsystemd, compiled once. undefined where there is no compiler or no libsystemd-dev. */
export function yardstick(): string | undefined {
  mkdirSync(HOME, { recursive: true })
  const program = join(HOME, 'yardstick')
  if (existsSync(program)) return program
  try {
    execFileSync('cc', ['-O2', join(import.meta.dirname, 'yardstick.c'), '-o', program, '-lsystemd'], { stdio: 'pipe' })
    return program
  } catch {
    return undefined // said in the table as "not measured"
  }
}

// Places in a journal file: systemd journal-def.h, Header and EntryObject.
const STATE_AT = 16
const ARCHIVED = 2
const SEQNUM_ID_AT = 72
const TAIL_SEQNUM_AT = 160
const HEAD_SEQNUM_AT = 168
const ENTRY_SEQNUM_AT = 16

/**
 * The same as one journald would have left it behind: archived files that share one seqnum id and count on from each other, which
 * systemd-journal-remote does not make.
 */
export async function rotatedJournalOf(profile: Profile, entries: number, files: number): Promise<string> {
  const dir = join(HOME, `${profile}-${entries}-${files}-rotated`)
  if (existsSync(dir)) return dir
  const from = await journalOf(profile, entries, files)
  const temporary = `${dir}.new`
  rmSync(temporary, { recursive: true, force: true })
  mkdirSync(temporary)
  const memory = new MemoryBudget(32 << 20)
  let seqnum = 0n
  let id: Buffer | undefined
  for (const name of readdirSync(from).sort()) {
    const journal = JournalFile.open(join(from, name), memory)
    const places: number[] = []
    while (journal.next()) places.push(journal.offset)
    journal.close()
    const path = join(temporary, 'new')
    // cp keeps the holes of a file that was made larger than it is.
    execFileSync('cp', ['--sparse=always', join(from, name), path])
    const fd = openSync(path, 'r+')
    const number = Buffer.alloc(8)
    const put = (value: bigint, at: number): void => {
      number.writeBigUInt64LE(value)
      writeSync(fd, number, 0, 8, at)
    }
    if (id === undefined) {
      id = Buffer.alloc(16)
      readSync(fd, id, 0, 16, SEQNUM_ID_AT)
    }
    writeSync(fd, id, 0, 16, SEQNUM_ID_AT)
    writeSync(fd, Buffer.from([ARCHIVED]), 0, 1, STATE_AT)
    const first = seqnum + 1n
    for (const place of places) put(++seqnum, place + ENTRY_SEQNUM_AT)
    put(first, HEAD_SEQNUM_AT)
    put(seqnum, TAIL_SEQNUM_AT)
    closeSync(fd)
    const hex = (value: bigint) => value.toString(16).padStart(16, '0')
    renameSync(path, join(temporary, `system@${id.toString('hex')}-${hex(first)}-${hex(first)}.journal`))
  }
  renameSync(temporary, dir)
  return dir
}
