import { existsSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { JournalSet } from '../../src/journal/directory.ts'
import { MemoryBudget } from '../../src/journal/memory.ts'
import { type BackfillOptions, type BackfillProgress, backfill, findWriter } from '../../src/pipeline/backfill.ts'
import { DeadLetters } from '../../src/pipeline/state/deadLetters.ts'
import { StateLock } from '../../src/pipeline/state/stateLock.ts'
import type { SinkHost } from '../../src/sink.ts'
import { systemClock } from '../../src/telemetry/clock.ts'
import { silentLog } from '../../src/telemetry/log.ts'
import { openFixture } from '../support/fixtures.ts'
import { tempDir } from '../support/tempDir.ts'
import { FakeSink, SETTINGS, specOf } from './fakes.ts'

const NEVER = new AbortController().signal
const { dir, oracle } = openFixture('rotated')
const ORACLE = oracle('json').toString().trim().split('\n').map(cursorOf)

function cursorOf(line: string): string {
  return /"__CURSOR"\s*:\s*"([^"]+)"/.exec(line)![1]!
}

function timeOf(cursor: string): number {
  return Number.parseInt(/t=([0-9a-f]+)/.exec(cursor)![1]!, 16)
}

interface Job {
  readonly state: string
  readonly sink: FakeSink
  readonly names: string[]
  run(more?: Partial<BackfillOptions>, signal?: AbortSignal): ReturnType<typeof backfill>
}

function job(sink = new FakeSink({ ordered: true }), state = tempDir()): Job {
  const names: string[] = []
  const spec = specOf('search', sink, { batch: { ...SETTINGS.batch, entries: 100, waitMs: 10 } })
  const create = (host: SinkHost) => {
    names.push(host.name)
    return spec.create(host)
  }
  const run = (more: Partial<BackfillOptions> = {}, signal = NEVER) => {
    const memory = new MemoryBudget(16 << 20)
    const set = JournalSet.open({ directories: [dir], machineId: 'any' }, memory)
    const options: BackfillOptions = {
      state,
      spec: { ...spec, create },
      args: ['--sink', 'search'],
      set,
      writes: [],
      memory,
      labels: {},
      node: { hostname: 'a1', machineId: 'x', agentId: undefined },
      log: silentLog,
      clock: systemClock,
      shutdownTimeoutMs: 1000,
      ...more,
    }
    return backfill(options, signal).finally(() => set.close())
  }
  return { state, sink, names, run }
}

const got = ({ sink }: Job) => sink.got.map(cursorOf)
const files = ({ state }: Job) =>
  existsSync(join(state, 'backfill')) ? readdirSync(join(state, 'backfill')).sort() : []

/** Lets the sink take so many batches, then aborts. */
function stopAfter(sink: FakeSink, batches: number): AbortSignal {
  const stop = new AbortController()
  sink.script = async (_batch, _delivery, call) => {
    if (call === batches) stop.abort()
    return 'delivered' as const
  }
  return stop.signal
}

it('delivers everything that there is, says how much, and leaves nothing behind', async () => {
  const one = job()
  const summary = await one.run()
  expect(got(one)).toEqual(ORACLE)
  expect(summary).toMatchObject({
    status: 'finished',
    isResumed: false,
    read: ORACLE.length,
    delivered: ORACLE.length,
    rejected: 0,
    gaps: 0,
  })
  expect(files(one)).toEqual([])
  expect(one.sink.calls.at(-1)).toBe('close')
})

it.each(['since', 'until', 'both'])('keeps to its range in time: %s', async (kind) => {
  const one = job()
  const times = ORACLE.map(timeOf)
  const sinceUs = kind === 'until' ? undefined : times[400]!
  const untilUs = kind === 'since' ? undefined : times[1200]!
  await one.run({ sinceUs, untilUs })
  expect(got(one)).toEqual(
    ORACLE.filter(
      (cursor) => timeOf(cursor) >= (sinceUs ?? 0) && timeOf(cursor) <= (untilUs ?? Number.POSITIVE_INFINITY),
    ),
  )
})

it('ends at once where the range is empty', async () => {
  const one = job()
  const summary = await one.run({ untilUs: timeOf(ORACLE[0]!) - 1 })
  expect(summary).toMatchObject({ status: 'finished', read: 0, delivered: 0 })
  expect(one.sink.got).toEqual([])
})

it.each([
  ['a target without positions', false],
  ['a target that keeps the position', true],
])('goes on where it was interrupted, with %s, and repeats nothing', async (_, holdsPosition) => {
  const one = job(new FakeSink({ ordered: true, holdsPosition }))
  const first = await one.run({}, stopAfter(one.sink, 5))
  expect(first.status).toBe('interrupted')
  expect(one.sink.got.length).toBeGreaterThan(0)
  expect(one.sink.got.length).toBeLessThan(ORACLE.length)
  expect(files(one)).toHaveLength(2)
  one.sink.script = () => 'delivered'
  const second = await one.run()
  expect(got(one)).toEqual(ORACLE)
  expect(second).toMatchObject({ status: 'finished', isResumed: true, delivered: ORACLE.length })
  expect(new Set(one.names).size).toBe(1)
  expect(files(one)).toEqual([])
})

it('keeps the range that was resolved when it first began', async () => {
  const one = job()
  const untilUs = timeOf(ORACLE[900]!)
  await one.run({ untilUs }, stopAfter(one.sink, 3))
  one.sink.script = () => 'delivered'
  // "-2h" means something else by now, but the words are the same.
  await one.run({ untilUs: timeOf(ORACLE[1500]!), sinceUs: timeOf(ORACLE[100]!) })
  expect(got(one)).toEqual(ORACLE.filter((cursor) => timeOf(cursor) <= untilUs))
})

it('begins anew after it has finished, under another name in the target', async () => {
  const one = job(new FakeSink({ ordered: true, holdsPosition: true }))
  // As a target does that keeps a position for each name.
  const held = new Map<string, string>()
  one.sink.lastDelivered = async (source) => held.get(`${one.names.at(-1)} ${source}`)
  one.sink.script = (batch) => {
    held.set(`${one.names.at(-1)} ${batch.source}`, batch.after)
    return 'delivered' as const
  }
  await one.run()
  await one.run()
  expect(one.sink.got).toHaveLength(2 * ORACLE.length)
  expect(new Set(one.names).size).toBe(2)
  for (const name of one.names) expect(name).toMatch(/^search@[0-9a-f]{12}\.[0-9a-f]{6}$/)
})

it('is another job with other arguments', async () => {
  const one = job()
  await one.run({}, stopAfter(one.sink, 2))
  one.sink.script = () => 'delivered'
  one.sink.got.length = 0
  expect((await one.run({ args: ['--sink', 'search', '-u', 'nginx'] })).isResumed).toBe(false)
  expect(got(one)).toEqual(ORACLE)
  expect(files(one)).toHaveLength(2)
})

it('leaves the live positions and the live dead letters alone, and puts its own letters beside them', async () => {
  const one = job()
  mkdirSync(join(one.state, 'search'))
  writeFileSync(join(one.state, 'search/position.json'), 'the position of the daemon')
  one.sink.script = (batch) => ({
    delivered: batch.ends.length - 1,
    retry: [],
    rejected: [{ index: 0, code: 'mapping', reason: 'no' }],
  })
  const summary = await one.run()
  expect(summary.rejected).toBeGreaterThan(0)
  expect(summary.delivered + summary.rejected).toBe(ORACLE.length)
  expect(readFileSync(join(one.state, 'search/position.json'), 'utf8')).toBe('the position of the daemon')
  const letters = new DeadLetters({ state: one.state, log: silentLog, clock: systemClock })
  expect(letters.count('search').letters).toBe(summary.rejected)
  expect(readdirSync(join(one.state, 'search/dead'))[0]).toMatch(/^[0-9a-f]{12}-000001.ndjson$/)
})

it('runs beside a daemon, but not into a file that the daemon or another backfill writes', async () => {
  const one = job()
  const file = '/var/log/out.ndjson'
  const describe = () => ({ sinks: ['out'], writes: [file] })
  const daemon = await StateLock.acquire(one.state, 'lock', { describe })
  expect((await one.run()).status).toBe('finished')
  await expect(one.run({ writes: ['/other', file] })).rejects.toMatchObject({
    code: 'LF_BACKFILL_SHARED_FILE',
    exit: 75,
    message: expect.stringContaining('/var/log/out.ndjson is being written by another logferry (pid'),
  })
  await daemon.release()
  const other = await StateLock.acquire(join(one.state, 'backfill'), 'out@0123456789ab.lock', { describe })
  await expect(one.run({ writes: [file] })).rejects.toMatchObject({ code: 'LF_BACKFILL_SHARED_FILE' })
  expect(await findWriter(one.state, [file])).toMatchObject({ file })
  await other.release()
  expect((await one.run({ writes: [file] })).status).toBe('finished')
})

it('does not run twice at the same time', async () => {
  const one = job()
  const blocked = Promise.withResolvers<'delivered'>()
  one.sink.script = (_batch, _delivery, call) => (call === 1 ? blocked.promise : 'delivered')
  const first = one.run()
  while (one.sink.batches.length === 0) await systemClock.sleep(5)
  await expect(one.run()).rejects.toMatchObject({ code: 'LF_STATE_LOCKED', exit: 75 })
  blocked.resolve('delivered')
  await first
  expect(got(one)).toEqual(ORACLE)
})

it('says how far it is', async () => {
  const one = job()
  const seen: BackfillProgress[] = []
  one.sink.script = async () => {
    await systemClock.sleep(80)
    return 'delivered' as const
  }
  await one.run({ onProgress: (progress) => seen.push(progress) })
  expect(seen.length).toBeGreaterThanOrEqual(2)
  expect(seen[0]!.read).toBeLessThan(ORACLE.length)
  expect(seen[0]!.entriesPerSecond).toBeGreaterThan(0)
  expect(seen.at(-1)).toMatchObject({ total: ORACLE.length, read: ORACLE.length, delivered: ORACLE.length })
})

it('waits for a destination that is not there, and says what is in the way', async () => {
  const one = job()
  let isThere = false
  one.sink.opening = async () => {
    if (!isThere) throw Object.assign(new Error('connection refused'), { name: 'SinkError', failure: 'unavailable' })
  }
  const trouble: (string | undefined)[] = []
  const stopped = await one.run({ onProgress: (progress) => trouble.push(progress.trouble) }, AbortSignal.timeout(1500))
  expect(stopped.status).toBe('interrupted')
  expect(trouble.filter((text) => text !== undefined).join()).toContain('connection refused')
  isThere = true
  const summary = await one.run()
  expect(summary).toMatchObject({ status: 'finished', isResumed: true, delivered: ORACLE.length })
})

it.each([
  ['a job file that is cut short', (folder: string, name: string) => truncateSync(join(folder, `${name}.json`), 50)],
  [
    'a job file that was changed',
    (folder: string, name: string) => {
      const path = join(folder, `${name}.json`)
      writeFileSync(path, readFileSync(path, 'utf8').replace(/"entries":\d+/, '"entries":1'))
    },
  ],
  [
    'positions that cannot be read',
    (folder: string, name: string) => {
      const run = readdirSync(folder).find((entry) => entry.startsWith(`${name}.`) && /\.[0-9a-f]{6}$/.test(entry))!
      for (const file of ['position.json', 'position.synced.json']) writeFileSync(join(folder, run, file), '')
    },
  ],
])('does not begin anew by itself over %s', async (_, harm) => {
  const one = job()
  await one.run({}, stopAfter(one.sink, 3))
  const folder = join(one.state, 'backfill')
  const name = files(one)
    .find((entry) => entry.endsWith('.json'))!
    .replace('.json', '')
  harm(folder, name)
  one.sink.got.length = 0
  await expect(one.run()).rejects.toMatchObject({ code: 'LF_BACKFILL_DAMAGED', exit: 65 })
  expect(one.sink.got).toEqual([])
})

it('removes what a run left that was killed at its very end', async () => {
  const one = job()
  await one.run({}, stopAfter(one.sink, 3))
  const name = files(one)
    .find((entry) => entry.endsWith('.json'))!
    .replace('.json', '')
  mkdirSync(join(one.state, 'backfill', `${name}.abcdef`))
  one.sink.script = () => 'delivered'
  await one.run()
  expect(files(one)).toEqual([])
})
