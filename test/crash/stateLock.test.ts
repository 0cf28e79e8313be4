import { readdirSync } from 'node:fs'
import { expect, it } from 'vitest'
import { isProblem } from '../../src/errors.ts'
import { lockHolder, StateLock } from '../../src/pipeline/state/stateLock.ts'
import { startHolder } from '../support/lockHolders.ts'
import { describeWith } from '../support/needs.ts'
import { tempDir } from '../support/tempDir.ts'

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'none'
  } catch (error) {
    if (isProblem(error)) return `${error.code} ${error.message}`
    throw error
  }
}

it('is taken over from a process that was killed', async () => {
  const folder = tempDir()
  const holder = startHolder(folder)
  expect(await holder.said).toBe('held')
  holder.child.kill('SIGKILL')
  await holder.gone
  expect(readdirSync(folder)).toEqual(['lock'])
  expect(await lockHolder(folder, 'lock')).toBeUndefined()
  await using _ = await StateLock.acquire(folder, 'lock')
  expect(await lockHolder(folder, 'lock')).toMatchObject({ pid: process.pid })
})

it('is not taken from a process that is suspended', async () => {
  const folder = tempDir()
  const holder = startHolder(folder)
  expect(await holder.said).toBe('held')
  holder.child.kill('SIGSTOP')
  expect(await codeOf(StateLock.acquire(folder, 'lock'))).toMatch(
    /^LF_STATE_LOCKED .* is in use by another logferry, which does not answer$/,
  )
})

it('is held by exactly one of many that find a dead holder at the same moment', async () => {
  const folder = tempDir()
  for (let round = 0; round < 3; round++) {
    const at = Date.now() + 600
    const starters = Array.from({ length: 6 }, () => startHolder(folder, { at }))
    const said = await Promise.all(starters.map((starter) => starter.said))
    expect(said.sort()).toEqual([...Array(5).fill('LF_STATE_LOCKED'), 'held'])
    for (const starter of starters) starter.child.kill('SIGKILL')
    await Promise.all(starters.map((starter) => starter.gone))
    expect(readdirSync(folder)).toEqual(['lock'])
  }
})

it('is held by at most one, and can be taken, however many die at any moment of taking it', async () => {
  const folder = tempDir()
  for (let round = 0; round < 8; round++) {
    const at = Date.now() + 500
    const starters = Array.from({ length: 5 }, () => startHolder(folder, { at }))
    // The last one is spared. Taking the lock lasts some 10 ms.
    for (const starter of starters.slice(0, -1)) {
      setTimeout(() => starter.child.kill('SIGKILL'), at - Date.now() + Math.random() * 30)
    }
    const said = await Promise.all(starters.map((starter) => starter.said.catch(() => 'killed')))
    const spared = starters.at(-1)!
    await Promise.all(starters.slice(0, -1).map((starter) => starter.gone))
    // Whoever had it is dead or is the spared one.
    const holder = await lockHolder(folder, 'lock')
    expect(holder?.pid).toBe(said.at(-1) === 'held' ? spared.child.pid : undefined)
    if (holder !== undefined) expect(await codeOf(StateLock.acquire(folder, 'lock'))).toContain('LF_STATE_LOCKED')
    spared.child.kill('SIGKILL')
    await spared.gone
  }
  await using _ = await StateLock.acquire(folder, 'lock')
  expect(readdirSync(folder)).toEqual(['lock'])
})

describeWith(['root', 'unshare'], 'between containers', () => {
  it('holds in other process, network, mount and host-name namespaces that share the folder', async () => {
    const folder = tempDir()
    const under = ['unshare', '--pid', '--fork', '--net', '--mount', '--uts', '--ipc', '--kill-child']
    const inside = startHolder(folder, { under })
    expect(await inside.said).toBe('held')
    expect(await startHolder(folder, { under }).said).toBe('LF_STATE_LOCKED')
    expect(await codeOf(StateLock.acquire(folder, 'lock'))).toContain('LF_STATE_LOCKED')
    inside.child.stdin?.end()
    await inside.gone
    expect(await startHolder(folder, { under }).said).toBe('held')
  })
})
