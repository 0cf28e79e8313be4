// This installation: its folder and version, by the package.json above. src/ and dist/src/ lie at different depths below it.
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

interface Installation {
  readonly folder: string
  readonly version: string
}

let known: Installation | undefined

/** For example `0.1.0`; `unknown` where package.json was not installed beside the program. */
export function version(): string {
  known ??= find(import.meta.dirname)
  return known.version
}

/** The folder that `config/` lies in. */
export function packageFolder(): string {
  known ??= find(import.meta.dirname)
  return known.folder
}

function find(start: string): Installation {
  for (let dir = start; ; dir = dirname(dir)) {
    try {
      const found = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as { name?: string; version?: string }
      if (found.name === 'logferry' && found.version !== undefined) return { folder: dir, version: found.version }
    } catch {
      // No package.json here, or not a readable one: look in the folder above.
    }
    if (dir === dirname(dir)) return { folder: start, version: 'unknown' }
  }
}
