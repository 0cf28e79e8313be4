import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'
import { readJournaldLimits } from '../../../src/pipeline/retention/journaldLimits.ts'
import { tempDir } from '../../support/tempDir.ts'

const GIB = 2 ** 30

function machine(files: Readonly<Record<string, string>>) {
  const root = tempDir()
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  return readJournaldLimits(root)
}

it('has the defaults of journald: shares of the file system up to 4 GiB, 100 files, no age', () => {
  const none = machine({})
  expect(none.system(10 * GIB)).toEqual({
    keepFree: 1.5 * GIB,
    maxUse: GIB,
    maxFiles: 100,
    maxAgeSeconds: Number.POSITIVE_INFINITY,
  })
  expect(none.runtime(1000 * GIB)).toMatchObject({ keepFree: 4 * GIB, maxUse: 4 * GIB })
})

it('reads the main file and the drop-ins over it, the last name last, a folder in /etc before one in /usr', () => {
  const limits = machine({
    'etc/systemd/journald.conf': '[Journal]\nSystemKeepFree=1G\nRuntimeKeepFree=64M\nMaxRetentionSec=2week\n',
    'usr/lib/systemd/journald.conf': '[Journal]\nSystemMaxUse=1K\n',
    'usr/lib/systemd/journald.conf.d/50-a.conf': '[Journal]\nSystemKeepFree = 2G\n',
    'run/systemd/journald.conf.d/40-b.conf': '[Journal]\nSystemKeepFree=3G\nSystemMaxFiles=7\n',
    'usr/lib/systemd/journald.conf.d/60-c.conf': '[Journal]\nSystemKeepFree=4G\n',
    'etc/systemd/journald.conf.d/60-c.conf': '# masks the other one\n',
    'etc/systemd/journald.conf.d/70-d.txt': '[Journal]\nSystemKeepFree=5G\n',
  })
  expect(limits.system(10 * GIB)).toEqual({
    keepFree: 2 * GIB,
    maxUse: GIB,
    maxFiles: 7,
    maxAgeSeconds: 14 * 86_400,
  })
  expect(limits.runtime(GIB).keepFree).toBe(64 * 2 ** 20)
})

it.each([
  ['512', 512],
  ['1.5K', 1536],
  ['0', 0],
  ['infinity', Number.POSITIVE_INFINITY],
  ['', 1.5 * GIB],
  ['much', 1.5 * GIB],
])('takes SystemKeepFree=%s as %d bytes', (text, bytes) => {
  const limits = machine({
    'etc/systemd/journald.conf': `[Other]\nSystemKeepFree=1\n[Journal]\nSystemKeepFree=${text}`,
  })
  expect(limits.system(10 * GIB).keepFree).toBe(bytes)
})
