// Writes how many tests passed and failed to the file named by LOGFERRY_TALLY, for .ci/run's last line.
import { writeFileSync } from 'node:fs'
import type { Reporter, TestModule } from 'vitest/node'

export default class TallyReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const tally = { passed: 0, failed: errors.length, skipped: 0 }
    for (const module of modules) {
      // A file that does not load has no tests, yet it failed.
      if (module.errors().length > 0) tally.failed++
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === 'passed') tally.passed++
        else if (state === 'failed') tally.failed++
        else tally.skipped++
      }
    }
    // What should have run and did not is a failure in CI: a missing server must not look like success.
    const path = process.env['LOGFERRY_TALLY']
    if (path !== undefined) writeFileSync(path, `${tally.passed} passed, ${tally.failed + tally.skipped} failed\n`)
    if (process.env['CI'] !== undefined && tally.skipped > 0) process.exitCode = 1
  }
}
