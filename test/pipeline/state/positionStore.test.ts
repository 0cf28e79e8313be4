import { mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { isProblem } from '../../../src/errors.ts'
import { formatPositionFile } from '../../../src/pipeline/state/positionFile.ts'
import { PositionStore } from '../../../src/pipeline/state/positionStore.ts'
import { systemClock } from '../../../src/telemetry/clock.ts'
import { type Log, silentLog } from '../../../src/telemetry/log.ts'
import { describeWith } from '../../support/needs.ts'
import { until } from '../../support/program.ts'
import { smallDisk } from '../../support/smallDisk.ts'
import { tempDir } from '../../support/tempDir.ts'

const MACHINE = 'c3a1f9d24b5e4c0e9a7d1b2c3d4e5f60'

function open(state: string, log: Log = silentLog): PositionStore {
  return new PositionStore({ state, log, clock: systemClock })
}

function listening(): { log: Log; lines: string[] } {
  const lines: string[] = []
  const say = (text: string) => void lines.push(text)
  const log: Log = { debug: say, info: say, warn: say, error: say, child: () => log }
  return { log, lines }
}

function problemOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (isProblem(error)) return `${error.code}: ${error.message} (${error.hint})`
    throw error
  }
  return 'none'
}

/** A position file as an earlier run left it. */
function write(state: string, name: string, generation: number, position: string): void {
  mkdirSync(join(state, 'search'), { recursive: true })
  const file = { sink: 'search', generation, positions: new Map([[MACHINE, { position }]]) }
  writeFileSync(join(state, 'search', name), formatPositionFile(file))
}

const at = (store: PositionStore, sink = 'search') => store.load(sink).get(MACHINE)?.position

it('gives back what was saved, per source, with the answer of the target', async () => {
  const state = tempDir()
  const store = open(state)
  expect(store.load('search').size).toBe(0)
  store.save('search', MACHINE, { position: 'a' })
  store.save('search', `${MACHINE}.web`, { position: 'b', target: 'c' })
  store.save('search', MACHINE, { position: 'd' })
  await store.close()
  expect(Array.from(open(state).load('search'))).toEqual([
    [MACHINE, { position: 'd' }],
    [`${MACHINE}.web`, { position: 'b', target: 'c' }],
  ])
})

it('renames the newest position into place soon after a move, without being asked', async () => {
  const state = tempDir()
  const store = open(state)
  for (let n = 0; n <= 200; n++) store.save('search', MACHINE, { position: `p${n}` })
  await until('the position is stored', () => at(open(state)) === 'p200')
  store.save('search', MACHINE, { position: 'last' })
  await until('the position is stored', () => at(open(state)) === 'last')
  await store.close()
})

it('writes no more than 20 times a second, however often a position moves', async () => {
  const state = tempDir()
  const store = open(state)
  const seen = new Set<string | undefined>()
  const end = performance.now() + 500
  for (let n = 0; performance.now() < end; n++) {
    store.save('search', MACHINE, { position: `p${n}` })
    await systemClock.sleep(1)
    seen.add(at(open(state)))
  }
  await store.close()
  expect(seen.size).toBeGreaterThan(3)
  expect(seen.size).toBeLessThan(14)
})

it('takes its time where the target holds the position', async () => {
  const state = tempDir()
  const store = open(state)
  const seen = new Set<string | undefined>()
  const begun = performance.now()
  for (let n = 0; performance.now() < begun + 1500; n++) {
    store.save('search', MACHINE, { position: `p${n}`, target: `p${n}` })
    await systemClock.sleep(1)
    seen.add(at(open(state)))
  }
  const seconds = (performance.now() - begun) / 1000
  await store.close()
  // At first, then renamed and synced once a second each.
  expect(seen.size).toBeGreaterThan(1)
  expect(seen.size).toBeLessThanOrEqual(2 + 2 * Math.ceil(seconds))
})

it('keeps folders and files to their owner', async () => {
  const state = tempDir()
  const store = open(state)
  store.save('search', MACHINE, { position: 'a' })
  await store.close()
  const folder = join(state, 'search')
  expect(statSync(folder).mode & 0o777).toBe(0o700)
  expect(readdirSync(folder).sort()).toEqual(['position.json', 'position.synced.json'])
  for (const name of readdirSync(folder)) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600)
})

it('never has an unsynced file alone, so that a power cut in the first second finds something', async () => {
  const state = tempDir()
  const store = open(state)
  store.save('search', MACHINE, { position: 'a' })
  await until('the position is stored', () => at(open(state)) === 'a')
  expect(readdirSync(join(state, 'search'))).toContain('position.synced.json')
  await store.close()
})

it.each([
  ['empty', (path: string) => truncateSync(path, 0)],
  ['torn', (path: string) => truncateSync(path, 60)],
  ['full of zeroes', (path: string) => writeFileSync(path, Buffer.alloc(statSync(path).size))],
])('goes on from the last synced position after a power cut that left the newest file %s', async (_, harm) => {
  const state = tempDir()
  write(state, 'position.synced.json', 6, 'synced')
  write(state, 'position.json', 7, 'newest')
  expect(at(open(state))).toBe('newest')
  harm(join(state, 'search/position.json'))
  const { log, lines } = listening()
  const after = open(state, log)
  expect(at(after)).toBe('synced')
  expect(lines.join()).toContain('goes on from the position that was last synced')
  after.save('search', MACHINE, { position: 'further' })
  await after.close()
  expect(at(open(state))).toBe('further')
})

it('takes the newer of two good files, as a power cut can bring an older one back', () => {
  const state = tempDir()
  write(state, 'position.json', 6, 'old')
  write(state, 'position.synced.json', 7, 'new')
  expect(at(open(state))).toBe('new')
})

it('refuses to choose a place when both files are damaged, and leaves them alone', async () => {
  const state = tempDir()
  const store = open(state)
  store.save('search', MACHINE, { position: 'a' })
  await store.close()
  const newest = join(state, 'search/position.json')
  const synced = join(state, 'search/position.synced.json')
  truncateSync(newest, 0)
  writeFileSync(synced, readFileSync(synced, 'utf8').replace('"a"', '"b"'))
  const held = open(state)
  expect(problemOf(() => held.load('search')).replaceAll(state, 'STATE')).toMatchInlineSnapshot(
    `"LF_STATE_POSITION_DAMAGED: the stored position of sink "search" cannot be used: STATE/search/position.json: it is empty (choose where it goes on: "logferry cursor set -c FILE search CURSOR" (behind an entry) or "logferry cursor skip -c FILE search" (from now))"`,
  )
  expect(() => held.save('search', MACHINE, { position: 'c' })).toThrow('cannot be used')
  await held.close()
  expect(statSync(newest).size).toBe(0)
})

it.each([
  ['{"version":1}', 'its checksum is wrong'],
  ['[]', 'it is not a position file'],
  ['null', 'it is not a position file'],
  ['{"cursor":"s=1"}', 'it is not a position file'],
  ['checkpoint: 5\n', 'it is not whole'],
])('refuses a file with the content %j', (content, why) => {
  const state = tempDir()
  mkdirSync(join(state, 'search'))
  writeFileSync(join(state, 'search/position.json'), content)
  expect(problemOf(() => open(state).load('search'))).toContain(why)
})

it('refuses the file of another sink', async () => {
  const state = tempDir()
  mkdirSync(join(state, 'search'))
  const content = formatPositionFile({ sink: 'queue', generation: 7, positions: new Map() })
  writeFileSync(join(state, 'search/position.json'), content)
  expect(problemOf(() => open(state).load('search'))).toContain('it belongs to the sink "queue"')
})

it('refuses a file from a newer version, whichever of the two it is', () => {
  for (const name of ['position.json', 'position.synced.json']) {
    const state = tempDir()
    mkdirSync(join(state, 'search'))
    writeFileSync(join(state, 'search', name), '{"version":2,"where":"somewhere"}')
    expect(problemOf(() => open(state).load('search'))).toMatch(
      /^LF_STATE_POSITION_NEWER: .* has version 2, this one knows 1/,
    )
  }
})

it('lets a person replace a damaged position', async () => {
  const state = tempDir()
  mkdirSync(join(state, 'search'))
  writeFileSync(join(state, 'search/position.json'), 'junk')
  const store = open(state)
  await store.replace('search', new Map([[MACHINE, { position: 'chosen' }]]))
  expect(at(store)).toBe('chosen')
  truncateSync(join(state, 'search/position.json'), 0)
  expect(at(open(state))).toBe('chosen')
})

it.each([
  '..',
  '.',
  '',
  '../other',
  'a/b',
  '/etc',
  'lock',
  'backfill',
  'a\0b',
  '.hidden',
  'retention.id',
  'x'.repeat(129),
])('has no folder for a sink called %j', (name) => {
  const state = tempDir()
  expect(problemOf(() => open(state).load(name))).toContain('LF_STATE_SINK_NAME')
  expect(problemOf(() => open(state).save(name, MACHINE, { position: 'a' }))).toContain('LF_STATE_SINK_NAME')
  expect(readdirSync(state)).toEqual([])
})

describeWith(['root'], 'on a full disk', () => {
  it('waits while the disk is full, says so once, and stores the newest when there is room', async () => {
    const disk = smallDisk(64 << 10)
    const { log, lines } = listening()
    const store = open(disk.dir, log)
    store.save('search', MACHINE, { position: 'before' })
    await store.sync('search')
    await until('the position is stored', () => at(open(disk.dir)) === 'before')
    disk.fill()
    for (let n = 0; n < 20; n++) {
      store.save('search', MACHINE, { position: `full ${n}` })
      await systemClock.sleep(10)
    }
    await until('the position is stored', () => store.failure('search') !== undefined)
    expect(store.failure('search')).toBe('no space left on the device')
    expect(lines).toHaveLength(1)
    expect(lines[0]).toContain('cannot store the position of sink "search"')
    expect(at(open(disk.dir))).toBe('before')
    const synced = store.sync('search')
    disk.empty()
    await synced
    expect(at(open(disk.dir))).toBe('full 19')
    expect(store.failure('search')).toBeUndefined()
    await store.close()
  })

  it('gives up at the end of its patience when the disk stays full, and says what that means', async () => {
    const disk = smallDisk(64 << 10)
    const { log, lines } = listening()
    const store = open(disk.dir, log)
    store.save('search', MACHINE, { position: 'before' })
    await store.sync('search')
    disk.fill()
    store.save('search', MACHINE, { position: 'after' })
    await store.close(AbortSignal.timeout(100))
    expect(lines.at(-1)).toBe('the newest position of sink "search" could not be stored: it may repeat entries')
  })
})
