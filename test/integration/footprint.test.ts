// The built program, as it is published, must stay small while it ships.
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { builtLogferry } from '../../bench/data.ts'
import { writeJournal } from '../support/journals.ts'
import { describeWith } from '../support/needs.ts'
import { until } from '../support/program.ts'
import { lastCursor } from '../support/shipment.ts'
import { tempDir } from '../support/tempDir.ts'

const ENTRIES = 200_000

describeWith(['systemd-journal-remote'], 'run with the file sink', () => {
  it(`takes less than 150 MB over ${ENTRIES} entries`, async () => {
    const dir = tempDir()
    await writeJournal(join(dir, 'journal'), 'a', { entries: ENTRIES })
    const out = join(dir, 'out.ndjson')
    const config = join(dir, 'logferry.yaml')
    writeFileSync(
      config,
      `journal: { directories: [${dir}/journal], start: oldest }\nstate: ${dir}/state\nsinks: { out: { type: file, path: ${out} } }\n`,
    )
    const child = spawn(process.execPath, [builtLogferry(), 'run', '-c', config], { stdio: 'ignore' })
    const ended = new Promise((resolve) => child.on('exit', resolve))
    const last = ENTRIES.toString(16)
    await until('the last entry', () => lastCursor(out)?.includes(`;i=${last};`) ?? false, 60_000)
    const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) * 1024
    child.kill('SIGTERM')
    expect(await ended).toBe(0)
    expect(peak).toBeGreaterThan(20e6)
    expect(peak).toBeLessThan(150e6)
  })
})
