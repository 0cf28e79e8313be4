import { appendFileSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { DeadEntry } from '../../../src/pipeline/settings.ts'
import { DeadLetters } from '../../../src/pipeline/state/deadLetters.ts'
import type { StoredLetter } from '../../../src/pipeline/state/letterFile.ts'
import { systemClock } from '../../../src/telemetry/clock.ts'
import { type Log, silentLog } from '../../../src/telemetry/log.ts'
import { describeWith } from '../../support/needs.ts'
import { smallDisk } from '../../support/smallDisk.ts'
import { tempDir } from '../../support/tempDir.ts'

function open(state: string, options: { writer?: string; fileBytes?: number; log?: Log } = {}): DeadLetters {
  return new DeadLetters({ state, log: silentLog, clock: systemClock, ...options })
}

function letter(name: string, more: Partial<DeadEntry> = {}): DeadEntry {
  return {
    key: `key-${name}`,
    cursor: `s=1;i=${name}`,
    code: 'mapping',
    reason: 'object mapping for [a] tried to parse field [a] as object',
    record: Buffer.from(`{"MESSAGE":"${name} ü\\n"}`),
    ...more,
  }
}

async function all(letters: DeadLetters, sink = 'search'): Promise<StoredLetter[]> {
  return Array.fromAsync(letters.list(sink))
}

const names = (found: readonly StoredLetter[]) => found.map((one) => one.key.slice(4))

it('gives back a letter with everything that a sink needs to try again', async () => {
  const state = tempDir()
  const given = letter('a', { source: 'machine', encoding: 'json', fields: Buffer.from('_SYSTEMD_UNIT=x\n') })
  await open(state).add('search', [given])
  const [found] = await all(open(state))
  expect(found).toMatchObject({ ...given, id: '000001.ndjson:0', record: given.record, fields: given.fields })
  expect(found?.time).toMatch(/^20\d\d-.*Z$/)
})

it.each([
  ['msgpack, which is no text', Buffer.from([0x81, 0xa1, 0x61, 0xff, 0x0a, 0x00])],
  ['nothing', Buffer.alloc(0)],
  ['text with a byte order mark and newlines', Buffer.from('\u{feff}a\n\nb\r')],
])('keeps the bytes of a record exactly: %s', async (_, record) => {
  const state = tempDir()
  await open(state).add('search', [letter('a', { record })])
  expect(Buffer.compare((await all(open(state)))[0]!.record, record)).toBe(0)
})

it('keeps folders and files to their owner', async () => {
  const state = tempDir()
  await open(state).add('search', [letter('a')])
  expect(statSync(join(state, 'search')).mode & 0o777).toBe(0o700)
  expect(statSync(join(state, 'search/dead')).mode & 0o777).toBe(0o700)
  expect(statSync(join(state, 'search/dead/000001.ndjson')).mode & 0o777).toBe(0o600)
})

it('is readable as it lies there', async () => {
  const state = tempDir()
  await open(state).add('search', [letter('a', { source: 'm' })])
  const text = readFileSync(join(state, 'search/dead/000001.ndjson'), 'utf8')
  expect(text.replace(/"time":"[^"]+"/, '"time":"TIME"')).toMatchInlineSnapshot(`
    "{"time":"TIME","code":"mapping","reason":"object mapping for [a] tried to parse field [a] as object","source":"m","cursor":"s=1;i=a","key":"key-a","record":"{\\"MESSAGE\\":\\"a ü\\\\n\\"}"}
    "
  `)
})

it('keeps the order of additions that overlap, also over several files', async () => {
  const state = tempDir()
  const letters = open(state, { fileBytes: 1000 })
  await Promise.all(Array.from({ length: 30 }, (_, n) => letters.add('search', [letter(`${n}a`), letter(`${n}b`)])))
  await letters.add('search', [])
  expect(names(await all(letters))).toEqual(Array.from({ length: 30 }, (_, n) => [`${n}a`, `${n}b`]).flat())
  expect(readdirSync(join(state, 'search/dead')).length).toBeGreaterThan(5)
  expect(letters.count('search').letters).toBe(60)
})

it('leaves out a letter that a crash cut off, and goes on behind the last whole one', async () => {
  const state = tempDir()
  await open(state).add('search', [letter('a'), letter('b')])
  const path = join(state, 'search/dead/000001.ndjson')
  truncateSync(path, statSync(path).size - 10)
  expect(names(await all(open(state)))).toEqual(['a'])
  const next = open(state)
  await next.add('search', [letter('c')])
  expect(names(await all(next))).toEqual(['a', 'c'])
  expect(next.count('search').letters).toBe(2)
})

it('leaves out a damaged line, says where it is, and reads the others', async () => {
  const state = tempDir()
  const lines: string[] = []
  const log: Log = { ...silentLog, warn: (text) => void lines.push(text) }
  const letters = open(state, { log })
  await letters.add('search', [letter('a')])
  appendFileSync(join(state, 'search/dead/000001.ndjson'), 'junk\n{"time":"x"}\nnull\n')
  await open(state).add('search', [letter('b')])
  expect(names(await all(letters))).toEqual(['a', 'b'])
  expect(lines.map((line) => line.replace(state, 'STATE'))).toEqual(
    [2, 3, 4].map((n) => `STATE/search/dead/000001.ndjson:${n} is not a dead letter: it cannot be read`),
  )
})

it('has none where there is no folder', async () => {
  const letters = open(tempDir())
  expect(await all(letters)).toEqual([])
  expect(letters.count('search')).toEqual({ letters: 0, bytes: 0 })
  expect(await letters.drop('search', ['000001.ndjson:0'])).toBe(0)
})

it('drops letters once, while the daemon goes on appending to the same file', async () => {
  const state = tempDir()
  const daemon = open(state)
  await daemon.add('search', [letter('a'), letter('b'), letter('c')])
  const command = open(state)
  const ids = (await all(command)).map((one) => one.id)
  expect(await command.drop('search', [ids[0]!, ids[2]!, 'x', '../../position.json:0', '000009.ndjson:0', ''])).toBe(2)
  expect(await command.drop('search', [ids[0]!])).toBe(0)
  await daemon.add('search', [letter('d')])
  expect(names(await all(daemon))).toEqual(['b', 'd'])
  expect(daemon.count('search').letters).toBe(2)
})

it('removes a file when all of it is dropped and nobody appends to it, and never uses its number again', async () => {
  const state = tempDir()
  const daemon = open(state, { fileBytes: 500 })
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) await daemon.add('search', [letter(name)])
  const dead = join(state, 'search/dead')
  const before = readdirSync(dead)
  const last = before.at(-1)!
  const command = open(state)
  await command.drop(
    'search',
    (await all(command)).map((one) => one.id),
  )
  expect(readdirSync(dead)).toEqual([last, `${last}.dropped`])
  expect(await all(open(state))).toEqual([])
  await open(state).add('search', [letter('g')])
  const after = readdirSync(dead)
  expect(after).toHaveLength(1)
  expect(after[0]! > last).toBe(true)
  expect(names(await all(open(state)))).toEqual(['g'])
})

it('does not take half a note of a dropped letter for another letter', async () => {
  const state = tempDir()
  const letters = open(state)
  await letters.add(
    'search',
    Array.from({ length: 20 }, (_, n) => letter(`${n}`)),
  )
  const ids = (await all(letters)).map((one) => one.id)
  const path = join(state, 'search/dead/000001.ndjson.dropped')
  await letters.drop('search', [ids[10]!])
  truncateSync(path, statSync(path).size - 2)
  expect(await all(letters)).toHaveLength(20)
  await letters.drop('search', [ids[11]!])
  expect(names(await all(letters))).not.toContain('11')
  expect(await all(letters)).toHaveLength(19)
})

it('keeps the letters of a backfill beside those of the daemon, in files of its own', async () => {
  const state = tempDir()
  const daemon = open(state)
  const backfill = open(state, { writer: '0a1b2c' })
  await Promise.all([daemon.add('search', [letter('a')]), backfill.add('search', [letter('b')])])
  await Promise.all([daemon.add('search', [letter('c')]), backfill.add('search', [letter('d')])])
  expect(readdirSync(join(state, 'search/dead'))).toEqual(['000001.ndjson', '0a1b2c-000001.ndjson'])
  expect(names(await all(open(state)))).toEqual(['a', 'c', 'b', 'd'])
})

it('replays what is there by source, drops what was delivered, and keeps the rest', async () => {
  const state = tempDir()
  const letters = open(state)
  const given = ['a', 'b', 'c', 'd'].map((name) => letter(name, { source: name < 'c' ? 'm' : 'n' }))
  await letters.add('search', given)
  const groups: string[][] = []
  const replayed = await letters.replay('search', async (group) => {
    groups.push(names(group))
    return group.filter((one) => one.key !== 'key-b').map((one) => one.id)
  })
  expect(groups).toEqual([
    ['a', 'b'],
    ['c', 'd'],
  ])
  expect(replayed).toEqual({ delivered: 3, left: 1 })
  expect(names(await all(open(state)))).toEqual(['b'])
})

it('replays a sink once at a time', async () => {
  const state = tempDir()
  await open(state).add('search', [letter('a')])
  const waits = Promise.withResolvers<readonly string[]>()
  const first = open(state).replay('search', () => waits.promise)
  await expect(open(state).replay('search', async () => [])).rejects.toMatchObject({ code: 'LF_STATE_LOCKED' })
  waits.resolve([])
  expect(await first).toEqual({ delivered: 0, left: 1 })
})

it('begins another file when somebody removed the one it was writing', async () => {
  const state = tempDir()
  const letters = open(state)
  await letters.add('search', [letter('a')])
  const { rmSync } = await import('node:fs')
  rmSync(join(state, 'search'), { recursive: true })
  await expect(letters.add('search', [letter('b')])).rejects.toMatchObject({ code: 'LF_STATE_IO' })
  await letters.add('search', [letter('b')])
  expect(names(await all(letters))).toEqual(['b'])
})

it('rejects where it cannot write, so that the entry is not taken for settled', async () => {
  const state = tempDir()
  mkdirSync(join(state, 'search'))
  writeFileSync(join(state, 'search/dead'), '')
  await expect(open(state).add('search', [letter('a')])).rejects.toMatchObject({ code: 'LF_STATE_IO' })
})

describeWith(['root'], 'on a full disk', () => {
  it('rejects, keeps whole letters only, and keeps the same ones when asked again', async () => {
    const disk = smallDisk(64 << 10)
    const letters = open(disk.dir)
    await letters.add('search', [letter('a')])
    disk.fill()
    const big = [letter('b', { record: Buffer.alloc(3000, 0x61) }), letter('c', { record: Buffer.alloc(9000, 0x62) })]
    for (let tries = 0; tries < 3; tries++) {
      await expect(letters.add('search', big)).rejects.toThrow('no space left on the device')
      expect(names(await all(open(disk.dir)))).toEqual(['a'])
    }
    const path = join(disk.dir, 'search/dead/000001.ndjson')
    expect(readFileSync(path).at(-1)).toBe(10)
    disk.empty()
    await letters.add('search', big)
    expect(names(await all(open(disk.dir)))).toEqual(['a', 'b', 'c'])
    await letters.close()
  })

  it('begins one file, not one at every attempt', async () => {
    const disk = smallDisk(64 << 10)
    disk.fill()
    const letters = open(disk.dir)
    for (let tries = 0; tries < 3; tries++) {
      await expect(letters.add('search', [letter('a')])).rejects.toThrow('no space left')
    }
    disk.empty()
    await letters.add('search', [letter('a')])
    expect(readdirSync(join(disk.dir, 'search/dead'))).toEqual(['000001.ndjson'])
  })
})
