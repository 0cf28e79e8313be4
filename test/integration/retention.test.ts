import { openSync, readdirSync, readSync, statSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { JournalSet } from '../../src/journal/directory.ts'
import { MemoryBudget } from '../../src/journal/memory.ts'
import { retainedFolders } from '../../src/pipeline/retention/retainedFolder.ts'
import { Retention } from '../../src/pipeline/retention/retention.ts'
import { systemClock } from '../../src/telemetry/clock.ts'
import { silentLog } from '../../src/telemetry/log.ts'
import { startJournald } from '../support/journald.ts'
import { journalctl } from '../support/journals.ts'
import { describeWith } from '../support/needs.ts'
import { tempDir } from '../support/tempDir.ts'

describeWith(['root', 'systemd-journald'], 'a vacuum of the real journald', () => {
  it('takes the content of files without a second name, open or not, and leaves that of retained ones', () => {
    const root = tempDir()
    const journald = startJournald(join(root, 'j'), { SystemMaxFileSize: '512K', Compress: 'no' })
    try {
      const state = join(root, 'state')
      const { varDir } = journald
      const retained = retainedFolders(state, [varDir])
      const set = JournalSet.open({ directories: [varDir], machineId: 'any', retained }, new MemoryBudget(1 << 20))
      const retention = new Retention({
        state,
        directories: [varDir],
        maxBytes: 2 ** 30,
        log: silentLog,
        clock: systemClock,
      })
      const behind = [{ sink: 'slow', positions: new Map(), rewinds: false }]
      let line = 0
      const write = (count: number): void => {
        journald.cat(Array.from({ length: count }, () => `line ${++line} ${'x'.repeat(300)}\n`).join(''), 'vacuum')
        journald.sync()
      }
      const look = (): void => {
        set.rescan()
        set.readHeaders()
        retention.pass(set.files, behind)
      }
      look()
      for (let round = 0; round < 4; round++) {
        write(400)
        journald.rotate()
        look()
      }
      const machine = join(varDir, journald.machineId)
      const archived = readdirSync(machine).filter((name) => name.includes('@'))
      expect(archived.length).toBeGreaterThanOrEqual(4)
      // The last one is written to while nobody looks.
      write(10)
      journald.rotate()
      const [unlinked = ''] = readdirSync(machine).filter((name) => name.includes('@') && !archived.includes(name))
      expect(statSync(join(machine, unlinked)).nlink).toBe(2)
      // One more, of which the second name is taken away again, to see what happens to such files.
      write(10)
      journald.rotate()
      const linked = new Set([...archived, unlinked])
      const [bare = ''] = readdirSync(machine).filter((name) => name.includes('@') && !linked.has(name))
      const { ino } = statSync(join(machine, bare))
      const folder = join(retained[0]!, journald.machineId)
      for (const name of readdirSync(folder))
        if (statSync(join(folder, name)).ino === ino) unlinkSync(join(folder, name))
      line -= 10
      const descriptors = [bare, ...archived].map((name) => openSync(join(machine, name), 'r'))

      journald.vacuum('1K')
      expect(readdirSync(machine).filter((name) => name.includes('@'))).toEqual([])
      look()
      const files = [...set.files].filter((file) => !file.live)
      expect(files.length).toBe(archived.length + 1)
      expect(retention.retained.files).toBe(archived.length + 1)
      const starts = descriptors.map((descriptor) => {
        const bytes = Buffer.alloc(8)
        readSync(descriptor, bytes, 0, 8, 0)
        return bytes.toString('latin1')
      })
      expect(starts).toEqual(['\0'.repeat(8), ...archived.map(() => 'LPKSHHRH')])
      const kept = files.flatMap((file) => ['--file', file.path])
      const lines = journalctl([...kept, '-t', 'vacuum', '-o', 'cat'])
        .toString()
        .trim()
        .split('\n')
      expect(lines.map((text) => Number(text.split(' ')[1])).sort((a, b) => a - b)).toEqual(
        Array.from({ length: line }, (_, n) => n + 1),
      )
      retention.pass(set.files, [])
      set.rescan()
      expect([...set.files].filter((file) => !file.live)).toEqual([])
      set.close()
    } finally {
      journald.clean()
    }
  })
})
