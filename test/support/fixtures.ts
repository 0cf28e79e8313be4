// The journals under test/fixtures/journals: unpacked once per run into a temporary folder, with what journalctl 252 prints for them.
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { tempDir } from './tempDir.ts'

const ROOT = join(import.meta.dirname, '../fixtures/journals')

export interface FixtureFacts {
  readonly about: string
  readonly files: readonly string[]
  readonly oracle_entries: number
}

export interface Fixture {
  readonly name: string
  /** Holds the journal files, uncompressed. Shared by all tests: never write into it, nor let `logferry run` link into it. */
  readonly dir: string
  /** Another folder with the same files, of the calling test file alone. */
  copy(): string
  readonly facts: FixtureFacts
  /** journalctl's output: `-o export`, `-o json`, `-o json --all`; `undamaged` is the export before the damage was done. */
  oracle(kind: 'export' | 'json' | 'all' | 'undamaged'): Buffer
}

const manifest = JSON.parse(readFileSync(join(ROOT, 'manifest.json'), 'utf8')) as Record<string, FixtureFacts>

export const FIXTURES: readonly string[] = Object.keys(manifest).sort()
const DAMAGED = ['damaged-array', 'damaged-data', 'damaged-entry', 'damaged-page', 'truncated']
/** The fixtures for which our output must equal the oracle's. `empty` and `unknown-flag` hold unreadable files beside good ones. */
export const UNDAMAGED: readonly string[] = FIXTURES.filter((name) => !DAMAGED.includes(name))

const ORACLES = { export: 'oracle.export', json: 'oracle.json', all: 'oracle-all.json', undamaged: 'undamaged.export' }

/** The folder for unpacked fixtures: that of the test run (set by globalSetup), so that workers share it. */
function home(): string {
  process.env['LOGFERRY_TEST_HOME'] ??= mkdtempSync(join(tmpdir(), 'lf-fixtures-'))
  return process.env['LOGFERRY_TEST_HOME']
}

export function openFixture(name: string): Fixture {
  const facts = manifest[name]
  if (facts === undefined) throw new Error(`no fixture ${name}`)
  const dir = join(home(), name)
  if (!existsSync(dir)) unpack(name, dir)
  const oracle = (kind: keyof typeof ORACLES) => gunzipSync(readFileSync(join(ROOT, name, `${ORACLES[kind]}.gz`)))
  const copy = () => {
    const folder = join(tempDir(), name)
    cpSync(dir, folder, { recursive: true })
    return folder
  }
  return { name, dir, facts, oracle, copy }
}

function unpack(name: string, dir: string): void {
  const temporary = `${dir}.${process.pid}`
  mkdirSync(temporary, { recursive: true })
  for (const file of readdirSync(join(ROOT, name, 'files'))) {
    writeFileSync(join(temporary, file.replace(/\.gz$/, '')), gunzipSync(readFileSync(join(ROOT, name, 'files', file))))
  }
  try {
    renameSync(temporary, dir)
  } catch (error) {
    // Another worker was faster: its copy is the same.
    if (!existsSync(dir)) throw error
    rmSync(temporary, { recursive: true, force: true })
  }
}
