// A temporary folder that is removed when the test file ends.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'

/** Makes a folder below the system's temporary folder. Its path is short, since sockets may be put into it. */
export function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'lf-'))
  afterAll(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}
