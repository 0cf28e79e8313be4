// Checks the arrows of docs/decisions/0001: which folder may import which. Reads the import lines of all source files.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { expect, it } from 'vitest'

const ROOT = join(import.meta.dirname, '..')

// A part may import the parts named here; every part may import itself. `root` are the files directly in src/.
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  'src/main': ['src/cli', 'src/root'],
  'src/cli': [
    'src/config',
    'src/pipeline',
    'src/journal',
    'src/telemetry',
    'src/api',
    'src/router',
    'src/ingest',
    'src/root',
  ],
  'src/config': [
    'src/pipeline/settings',
    'src/api/settings',
    'sinks/parts/tls',
    'src/journal',
    'src/telemetry',
    'src/root',
  ],
  'src/pipeline': ['src/journal', 'src/telemetry', 'src/root'],
  'src/api': ['src/journal', 'src/telemetry', 'src/root'],
  'src/router': ['src/api', 'src/telemetry', 'src/root'],
  'src/ingest': ['src/telemetry', 'src/root'],
  'src/journal': ['src/telemetry', 'src/root'],
  'src/telemetry': ['src/root'],
  'src/root': [],
  sinks: ['src/sink'],
}

function partOf(path: string): string {
  if (path.startsWith('sinks/')) return 'sinks'
  if (path === 'src/main.ts') return 'src/main'
  const folder = /^src\/([a-z]+)\//.exec(path)?.[1]
  return folder === undefined ? 'src/root' : `src/${folder}`
}

function sourceFiles(): string[] {
  return ['src', 'sinks'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => join(folder, name)),
  )
}

function* importsOf(path: string): Generator<string> {
  const text = readFileSync(join(ROOT, path), 'utf8')
  for (const match of text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)) {
    yield relative(ROOT, join(ROOT, dirname(path), match[1] as string))
  }
}

it('imports only downwards: journal knows no pipeline, sinks know the contract alone, nothing imports the command line', () => {
  const wrong: string[] = []
  for (const path of sourceFiles()) {
    const from = partOf(path)
    const allowed = ALLOWED[from]
    if (allowed === undefined) {
      wrong.push(`${path}: the folder ${from} is not in the picture`)
      continue
    }
    for (const target of importsOf(path)) {
      const to = partOf(target)
      const fine = to === from || allowed.includes(to) || allowed.includes(target.replace(/\.ts$/, ''))
      if (!fine) wrong.push(`${path} imports ${target}`)
    }
  }
  expect(wrong).toEqual([])
})

it('keeps source files small enough to have one job', () => {
  const long = sourceFiles().filter((path) => readFileSync(join(ROOT, path), 'utf8').split('\n').length > 500)
  expect(long).toEqual([])
})
