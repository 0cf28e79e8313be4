import { linkSync, mkdirSync, readdirSync, renameSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { isProblem } from '../../../src/errors.ts'
import { askLock, lockHolder, nameHolder, StateLock } from '../../../src/pipeline/state/stateLock.ts'
import { startHolder } from '../../support/lockHolders.ts'
import { tempDir } from '../../support/tempDir.ts'

async function problemOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'none'
  } catch (error) {
    if (isProblem(error)) return `${error.code} ${error.exit}: ${error.message}`
    throw error
  }
}

it('is held by one at a time, and free again after its release', async () => {
  const folder = tempDir()
  const lock = await StateLock.acquire(folder, 'lock')
  expect(await problemOf(StateLock.acquire(folder, 'lock'))).toMatch(
    new RegExp(`^LF_STATE_LOCKED 75: .*\\(pid ${process.pid} on host ${hostname()}, since 20`),
  )
  expect(readdirSync(folder)).toEqual(['lock'])
  expect(statSync(join(folder, 'lock')).mode & 0o777).toBe(0o600)
  await lock.release()
  await lock.release()
  expect(readdirSync(folder)).toEqual([])
  const next = await StateLock.acquire(folder, 'lock')
  await next.release()
})

it('makes the folder, for its owner only', async () => {
  const folder = join(tempDir(), 'a/b')
  await using _ = await StateLock.acquire(folder, 'lock')
  expect(statSync(folder).mode & 0o777).toBe(0o700)
})

it('lets other names in the same folder be held beside it', async () => {
  const folder = tempDir()
  await using _a = await StateLock.acquire(folder, 'a.lock')
  await using _b = await StateLock.acquire(folder, 'b.lock')
  expect(readdirSync(folder).sort()).toEqual(['a.lock', 'b.lock'])
})

it('says who holds it, what that one runs, and answers other questions', async () => {
  const folder = tempDir()
  const holder = startHolder(folder)
  expect(await holder.said).toBe('held')
  const found = await lockHolder(folder, 'lock')
  expect(found).toMatchObject({ pid: holder.child.pid, host: hostname(), sinks: ['search'] })
  expect(found?.writes).toEqual(['/var/log/out.ndjson'])
  expect(await askLock(folder, 'lock', 'status')).toEqual({ well: true })
  expect(await askLock(folder, 'lock', 'weather')).toEqual({ error: 'unknown request "weather"' })
  expect(await askLock(folder, 'lock', 'x'.repeat(10_000))).toEqual({})
  holder.child.stdin?.end()
  await holder.gone
  expect(await lockHolder(folder, 'lock')).toBeUndefined()
  expect(await lockHolder(join(folder, 'none'), 'lock')).toBeUndefined()
})

it('is given to one of many that ask at once, over a dead lock or none', async () => {
  const folder = tempDir()
  writeFileSync(join(folder, 'lock'), '')
  for (let round = 0; round < 5; round++) {
    const asked = await Promise.allSettled(Array.from({ length: 20 }, () => StateLock.acquire(folder, 'lock')))
    const held = asked.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    const refused = asked.flatMap((one) => (one.status === 'rejected' ? [one.reason.code] : []))
    expect([held.length, ...new Set(refused)]).toEqual([1, 'LF_STATE_LOCKED'])
    expect(readdirSync(folder)).toEqual(['lock'])
    await held[0]!.release()
  }
})

it('is not wedged by a crash in the middle of a takeover', async () => {
  const folder = tempDir()
  const dead = async (name: string): Promise<void> => {
    const elsewhere = tempDir()
    const holder = startHolder(elsewhere)
    await holder.said
    holder.child.kill('SIGKILL')
    await holder.gone
    renameSync(join(elsewhere, 'lock'), join(folder, name))
  }
  await dead('lock')
  const { ino, mtimeNs } = statSync(join(folder, 'lock'), { bigint: true })
  // Two crashed one after the other while they held the exclusive file, one before it gave its socket a name.
  await dead(`lock.${ino.toString(36)}-${mtimeNs.toString(36)}.0`)
  await dead(`lock.${ino.toString(36)}-${mtimeNs.toString(36)}.1`)
  await dead('lock.0a1b2c3d')
  await using _ = await StateLock.acquire(folder, 'lock')
  expect(readdirSync(folder)).toEqual(['lock'])
})

it('waits for one that is just taking it over, and does not push in', async () => {
  const folder = tempDir()
  const holder = startHolder(folder)
  await holder.said
  holder.child.kill('SIGKILL')
  await holder.gone
  // This process plays one that has the exclusive file and was suspended before the rename.
  await using slow = await StateLock.acquire(tempDir(), 'lock')
  void slow
  const { ino, mtimeNs } = statSync(join(folder, 'lock'), { bigint: true })
  const guard = join(folder, `lock.${ino.toString(36)}-${mtimeNs.toString(36)}.0`)
  const other = await StateLock.acquire(folder, 'other')
  linkSync(join(folder, 'other'), guard)
  expect(await problemOf(StateLock.acquire(folder, 'lock', { patienceMs: 100 }))).toMatch(/just taking it over$/)
  unlinkSync(guard)
  await using _ = await StateLock.acquire(folder, 'lock')
  await other.release()
})

it('works at a path that is longer than a socket address', async () => {
  const folder = join(tempDir(), 'x'.repeat(60), 'y'.repeat(60))
  const holder = startHolder(folder)
  expect(await holder.said).toBe('held')
  expect(await problemOf(StateLock.acquire(folder, 'lock'))).toContain('LF_STATE_LOCKED')
  expect(await lockHolder(folder, 'lock')).toMatchObject({ sinks: ['search'] })
  holder.child.kill('SIGKILL')
  await holder.gone
  await using _ = await StateLock.acquire(folder, 'lock')
  expect(readdirSync(folder)).toEqual(['lock'])
})

it('takes a plain file of that name for a dead lock, and a folder for a problem', async () => {
  const folder = tempDir()
  writeFileSync(join(folder, 'lock'), 'pid 17')
  const lock = await StateLock.acquire(folder, 'lock')
  await lock.release()
  mkdirSync(join(folder, 'lock'))
  expect(await problemOf(StateLock.acquire(folder, 'lock'))).toMatch(/^LF_STATE_IO 74: /)
})

it('has words for a holder', () => {
  const holder = { pid: 7, host: 'a1', since: '2026-01-01T00:00:00.000Z', sinks: [], writes: [] }
  expect(nameHolder(holder)).toBe('another logferry (pid 7 on host a1, since 2026-01-01T00:00:00.000Z)')
})
