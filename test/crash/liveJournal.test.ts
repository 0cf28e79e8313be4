// The daemon is killed again and again while a real journald writes, rotates and moves its files between /run and /var.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { startJournald } from '../support/journald.ts'
import { journalctl } from '../support/journals.ts'
import { describeWith } from '../support/needs.ts'
import { startLogferry, until } from '../support/program.ts'
import { shippedLines } from '../support/shipment.ts'
import { tempDir } from '../support/tempDir.ts'

const KILLS = 20
const ROUND = 40

/** Lines of one write: unique ones with identical ones among them. */
function linesOf(write: number): string[] {
  return Array.from({ length: ROUND }, (_, i) => (i % 4 === 3 ? `same in write ${write}` : `write ${write} line ${i}`))
}

function count(lines: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const line of lines) counts.set(line, (counts.get(line) ?? 0) + 1)
  return counts
}

function messagesOf(dir: string): string[] {
  return journalctl(['-D', dir, '-o', 'cat', 'SYSLOG_IDENTIFIER=crash']).toString().trimEnd().split('\n')
}

describeWith(['root', 'systemd-journald', 'journalctl'], 'a journald that writes, rotates and flushes', () => {
  it(`${KILLS} kills lose and repeat nothing`, async () => {
    const dir = tempDir()
    const journald = startJournald(join(dir, 'jd'), { SystemMaxFileSize: '512K', RuntimeMaxFileSize: '512K' })
    const out = join(dir, 'out/shipped.ndjson')
    mkdirSync(join(dir, 'out'))
    const config = join(dir, 'logferry.yaml')
    writeFileSync(
      config,
      `journal: { directories: [${journald.varDir}, ${journald.runDir}], start: oldest }
state: ${dir}/state
sinks:
  out: { type: file, path: ${out}, rotate: { size: 200kB, keep: 1000 }, compress: gzip, batch: { entries: 50, wait: 50ms } }
`,
    )
    const written: string[] = []
    let writes = 0
    const write = () => {
      const lines = linesOf(writes++)
      journald.cat(`${lines.join('\n')}\n`, 'crash')
      written.push(...lines)
    }
    const shipped = () =>
      shippedLines(out)
        .map((line) => JSON.parse(line) as Record<string, string>)
        .filter((entry) => entry['SYSLOG_IDENTIFIER'] === 'crash')
        .map((entry) => String(entry['MESSAGE']))

    try {
      for (let kill = 0; kill < KILLS; kill++) {
        const running = startLogferry(['run', '-c', config])
        write()
        if (kill % 5 === 1) journald.relinquish()
        write()
        if (kill % 4 === 2) journald.rotate()
        write()
        if (kill % 5 === 3) journald.flush()
        // Between start-up and some way into shipping.
        await sleep(250 + ((kill * 137) % 500))
        write()
        running.kill('SIGKILL')
        await running.ended
        if (kill % 5 === 4) journald.rotate()
      }
      journald.flush()
      const last = startLogferry(['run', '-c', config])
      write()
      await until(`all ${written.length} lines: ${last.stderr()}`, () => shipped().length >= written.length, 30_000)
      await sleep(500)
      last.kill('SIGTERM')
      expect(await last.ended, last.stderr()).toBe(0)
      // journald itself now and then logs a line twice around a flush: what it holds counts, not what was sent.
      const held = messagesOf(journald.varDir)
      expect([...new Set(written)].filter((line) => !held.includes(line))).toEqual([])
      expect(count(shipped())).toEqual(count(held))
    } finally {
      journald.clean()
    }
  })
})
