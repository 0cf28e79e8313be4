// Once per test run: a folder for unpacked fixtures, removed at the end.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export default function setup(): () => void {
  const home = mkdtempSync(join(tmpdir(), 'lf-run-'))
  process.env['LOGFERRY_TEST_HOME'] = home
  return () => rmSync(home, { recursive: true, force: true })
}
