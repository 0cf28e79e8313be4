// Journals to measure with, made once and kept in bench/.data (ignored by git).
import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
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
