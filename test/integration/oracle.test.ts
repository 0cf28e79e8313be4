// Journals written during the test by the real writers: `logferry read` must print what the real journalctl prints.
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { startJournald } from '../support/journald.ts'
import { journalctl, writeJournal } from '../support/journals.ts'
import { describeWith } from '../support/needs.ts'
import { logferry } from '../support/program.ts'
import { tempDir } from '../support/tempDir.ts'

function sorted(line: string): string {
  const entry = JSON.parse(line) as Record<string, unknown>
  return JSON.stringify(Object.fromEntries(Object.entries(entry).sort(([a], [b]) => (a < b ? -1 : 1))))
}

/** Compares all forms that promise equality. */
function expectSameAsJournalctl(dir: string): void {
  const read = (...args: string[]) => {
    const { status, stdout, stderr } = logferry(['read', '-D', dir, ...args])
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    return stdout
  }
  // Buffers compared as such: a failed string comparison of megabytes would take minutes to print.
  expect(read('-o', 'export').equals(journalctl(['-D', dir, '-o', 'export']))).toBe(true)
  for (const all of [[], ['--all']]) {
    for (const format of ['short', 'short-iso', 'cat']) {
      const same = read('-o', format, ...all).equals(journalctl(['-D', dir, '-o', format, ...all]))
      expect({ format, all, same }).toEqual({ format, all, same: true })
    }
    const ours = read('-o', 'json', ...all)
      .toString()
      .trimEnd()
      .split('\n')
    const theirs = journalctl(['-D', dir, '-o', 'json', ...all])
      .toString()
      .trimEnd()
      .split('\n')
    expect(ours.length).toBe(theirs.length)
    expect(ours.findIndex((line, i) => sorted(line) !== sorted(theirs[i] as string))).toBe(-1)
  }
}

describeWith(['systemd-journal-remote', 'journalctl'], 'a journal from systemd-journal-remote', () => {
  for (const [name, env] of Object.entries({
    'as it is by default': {},
    'regular layout': { SYSTEMD_JOURNAL_COMPACT: '0' },
    'hashes without a key': { SYSTEMD_JOURNAL_KEYED_HASH: '0' },
  })) {
    it(`is printed as journalctl prints it: ${name}`, async () => {
      const dir = tempDir()
      await writeJournal(dir, 'a', { entries: 4000, profile: 'mixed', seed: 3, boots: 3 }, { env })
      await writeJournal(dir, 'b', { entries: 3000, profile: 'web', seed: 4, start: 1_700_000_002_000_000 }, { env })
      expectSameAsJournalctl(dir)
    })
  }
})

describeWith(['root', 'systemd-journald', 'journalctl'], 'a journal from journald', () => {
  it('is printed as journalctl prints it, while it was written under load with rotation', async () => {
    const journald = startJournald(join(tempDir(), 'jd'), { SystemMaxFileSize: '512K' })
    try {
      for (let burst = 0; burst < 20; burst++) {
        const lines = Array.from({ length: 500 }, (_, i) =>
          i % 10 === 0 ? 'the same line' : `burst ${burst} line ${i} ${'x'.repeat(i * 3)}`,
        )
        journald.cat(`${lines.join('\n')}\n`, `writer-${burst % 3}`)
        if (burst % 7 === 3) journald.rotate()
      }
      journald.sync()
      journald.stop()
      expectSameAsJournalctl(journald.varDir)
    } finally {
      journald.clean()
    }
  })
})
