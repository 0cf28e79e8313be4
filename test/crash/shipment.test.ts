// One shipment to the file sink, killed again and again, must end as if nothing had happened.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, it } from 'vitest'
import { exportField, makeEntries } from '../support/entries.ts'
import { journalctl, writeJournal } from '../support/journals.ts'
import { describeWith } from '../support/needs.ts'
import { startLogferry, until } from '../support/program.ts'
import { compare, cursorsOf, lastCursor, shippedLines } from '../support/shipment.ts'
import { tempDir } from '../support/tempDir.ts'

const ENTRIES = 200_000

/** Generated entries with identical lines of one write among them: equal in everything but their sequence number. */
function* withIdenticalLines(entries: number, seed: number, start: number): Generator<Buffer> {
  const boot = '0123456789abcdef0123456789abcdef'
  let realtime = start - 60_000_000
  for (let run = 0; run < 20; run++) {
    realtime += 1000
    const line = Buffer.concat([
      Buffer.from(`__REALTIME_TIMESTAMP=${realtime}\n__MONOTONIC_TIMESTAMP=${run * 1000 + 1000}\n_BOOT_ID=${boot}\n`),
      exportField('MESSAGE', `the same line ${run}`),
      Buffer.from('\n'),
    ])
    for (let i = 0; i < 50; i++) yield line
  }
  yield* makeEntries({ entries: entries - 1000, seed, start })
}

/** A random whole number from 1 to n, reproducible: a failure prints the seed. */
function randomOf(seed: number): (n: number) => number {
  let state = seed >>> 0
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return 1 + Math.floor((state / 2 ** 32) * n)
  }
}

const seqnumOf = (cursor: string | undefined) =>
  cursor === undefined ? 0 : Number.parseInt(/;i=([0-9a-f]+)/.exec(cursor)?.[1] ?? '0', 16)

describeWith(['systemd-journal-remote', 'journalctl'], 'the file sink, rotating and compressing', () => {
  const journal = join(tempDir(), 'journal')
  let expected: string[] = []

  beforeAll(async () => {
    await writeJournal(journal, 'a', withIdenticalLines(ENTRIES, 7, 1_700_000_000_000_000))
    const all = journalctl(['-D', journal, '-o', 'export']).toString('latin1')
    expected = all.match(/^__CURSOR=.*$/gm)?.map((line) => line.slice(9)) ?? []
    expect(expected).toHaveLength(ENTRIES)
  })

  for (const [mode, kills] of [
    ['run', 50],
    ['backfill', 10],
  ] as const) {
    it(`${mode}: ${kills} kills among ${ENTRIES} entries lose and repeat nothing`, async () => {
      const dir = tempDir()
      const out = join(dir, 'out/shipped.ndjson')
      mkdirSync(join(dir, 'out'))
      const config = join(dir, 'logferry.yaml')
      writeFileSync(
        config,
        `journal: { directories: [${journal}], start: oldest }
state: ${dir}/state
sinks:
  out: { type: file, path: ${out}, rotate: { size: 20MB, keep: 1000 }, compress: gzip, batch: { entries: 700 } }
`,
      )
      const first = seqnumOf(expected[0])
      const args = mode === 'run' ? ['run', '-c', config] : ['backfill', '-c', config, '--sink', 'out', '-D', journal]
      const written = () => Math.max(0, seqnumOf(lastCursor(out)) - first + 1)

      const seed = Date.now() % 1_000_000
      const random = randomOf(seed)
      let between = 0
      for (let kill = 0; kill < kills; kill++) {
        // What is left is spread over the kills that are left, so that nearly all of them fall inside the shipment.
        const before = written()
        const target = before + random(Math.max(1, Math.floor((1.6 * (ENTRIES - before)) / (kills - kill + 3))))
        const running = startLogferry(args)
        await until(
          `${target} lines (kill ${kill}, seed ${seed}): ${running.stderr()}`,
          () => written() >= target || running.child.exitCode !== null,
          30_000,
        )
        running.kill('SIGKILL')
        await running.ended
        const at = written()
        if (at > 0 && at < ENTRIES) between++
      }
      expect(between, `kills between the first and the last line, seed ${seed}`).toBeGreaterThanOrEqual(
        Math.floor(kills * 0.8),
      )

      const last = startLogferry(args)
      if (mode === 'run') {
        await until(`the last line: ${last.stderr()}`, () => written() >= ENTRIES, 60_000)
        last.kill('SIGTERM')
      }
      expect(await last.ended, last.stderr()).toBe(0)
      const result = compare(cursorsOf(shippedLines(out)), expected)
      expect({ seed, ...result }).toEqual({ seed, lost: 0, repeated: 0, foreign: 0, ordered: true })
    })
  }
})
