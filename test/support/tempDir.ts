// A temporary folder that is removed when the test file ends.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'

const dirs: string[] = []
// Here and not where a folder is made: within a running test it would be too late to say so.
afterAll(() => {
  for (const dir of dirs) rmSync(dir, { recursive: true, force: true })
})

/** Makes a folder below the system's temporary folder. Its path is short, since sockets may be put into it. */
export function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'lf-'))
  dirs.push(dir)
  return dir
}
