import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { DeadLetters } from '../../src/pipeline/state/deadLetters.ts'
import { PositionStore } from '../../src/pipeline/state/positionStore.ts'
import { systemClock } from '../../src/telemetry/clock.ts'
import { silentLog } from '../../src/telemetry/log.ts'
import { tempDir } from '../support/tempDir.ts'

const PROGRAM = join(import.meta.dirname, '../support/stateWriter.ts')

/** Runs the writer for a while and kills it. What it had promised: the last number of each kind. */
async function killWriter(state: string, first: number, ms: number): Promise<{ letter: number; position: number }> {
  const child = spawn(process.execPath, [PROGRAM, state, String(first)], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (more: string) => {
    if (text === '') setTimeout(() => child.kill('SIGKILL'), ms)
    text += more
  })
  await new Promise((resolve) => child.on('close', resolve))
  const last = (kind: string) =>
    Number(text.match(new RegExp(`${kind} (\\d+)\n(?![^]*${kind} \\d+\n)`))?.[1] ?? first - 1)
  return { letter: last('letter'), position: last('position') }
}

it('loses no dead letter that was promised and takes no position back, however often it is killed', async () => {
  const state = tempDir()
  let first = 0
  let stored = -1
  let promised = 0
  for (let round = 0; round < 12; round++) {
    const { letter, position } = await killWriter(state, first, 20 + Math.random() * 180)
    promised = letter
    const parts = { state, log: silentLog, clock: systemClock }
    const keys = (await Array.fromAsync(new DeadLetters(parts).list('search'))).map((one) => Number(one.key))
    // All in order; perhaps one more, which was durable before it could be said.
    expect(keys).toEqual(Array.from(keys, (_, index) => index))
    expect(keys.length - 1 === promised || keys.length - 2 === promised).toBe(true)
    const now = Number(new PositionStore(parts).load('search').get('machine')?.position ?? -1)
    expect(now).toBeGreaterThanOrEqual(stored)
    expect(now).toBeLessThanOrEqual(position + 1)
    stored = now
    first = keys.length
  }
  expect(promised).toBeGreaterThan(12)
  expect(stored).toBeGreaterThan(0)
})
