// Once per test run: a folder for unpacked fixtures, removed at the end.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export default function setup(): () => void {
  const home = mkdtempSync(join(tmpdir(), 'lf-run-'))
  process.env['LOGFERRY_TEST_HOME'] = home
  return () => {
    const folders = readdirSync(home, { recursive: true, encoding: 'utf8' }).filter((path) =>
      path.includes('.logferry'),
    )
    rmSync(home, { recursive: true, force: true })
    if (folders.length > 0) throw new Error(`a test let logferry write into a shared fixture: ${folders.join(', ')}`)
  }
}
