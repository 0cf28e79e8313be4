// What a test needs of the machine. On a laptop a missing program is a skip that names it; in CI it is a failure.
import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { describe, it } from 'vitest'

const HAS: Readonly<Record<string, () => boolean>> = {
  root: () => process.getuid?.() === 0,
  'systemd-journal-remote': () => existsSync('/lib/systemd/systemd-journal-remote'),
  'systemd-journald': () => existsSync('/lib/systemd/systemd-journald'),
}

function onPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((dir) => {
    try {
      accessSync(join(dir, program), constants.X_OK)
      return true
    } catch {
      return false // not here
    }
  })
}

/** Which of the needs are missing here: `root`, or names of programs. */
export function missing(needs: readonly string[]): string[] {
  return needs.filter((need) => !(HAS[need]?.() ?? onPath(need)))
}

/** `describe` for tests which need these programs. */
export function describeWith(needs: readonly string[], name: string, body: () => void): void {
  const lacking = missing(needs)
  if (lacking.length === 0) describe(name, body)
  else if (process.env['CI'] !== undefined) {
    it(`${name}: needs ${lacking.join(', ')}`, () => {
      throw new Error(`this machine lacks ${lacking.join(', ')}`)
    })
  } else describe.skipIf(true)(`${name} (skipped: needs ${lacking.join(', ')})`, body)
}
