// The version of this installation, from the package.json above: src/ and dist/src/ lie at different depths below it.
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

let known: string | undefined

/** For example `0.1.0`; `unknown` where package.json was not installed beside the program. */
export function version(): string {
  known ??= find(import.meta.dirname)
  return known
}

function find(start: string): string {
  for (let dir = start; ; dir = dirname(dir)) {
    try {
      const found = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as { name?: string; version?: string }
      if (found.name === 'logferry' && found.version !== undefined) return found.version
    } catch {
      // No package.json here, or not a readable one: look in the folder above.
    }
    if (dir === dirname(dir)) return 'unknown'
  }
}
