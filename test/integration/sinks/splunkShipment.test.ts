// Whole journals through the real program into a real HEC receiver: all fields equal, nothing lost whenever it is killed, and what came
// twice is found by its cursor.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { writeJournal } from '../../support/journals.ts'
import { describeWith } from '../../support/needs.ts'
import { type Running, standstill, startLogferry, until } from '../../support/program.ts'
import { type Collector, freePorts, startCollector } from '../../support/services.ts'
import { startTcpProxy, type TcpProxy } from '../../support/tcpProxy.ts'
import { tempDir } from '../../support/tempDir.ts'
import { type Arrived, counterOf, differences, exact, expectedOf, killOnTheWay } from './fluentdKit.ts'
import { type ArrivedEvent, eventsAt } from './splunkKit.ts'

const ENTRIES = 50_000
const KILLS = 10
/** So many of them in a test that is about something else. */
const LAST = 15_000

describeWith(['go', 'systemd-journal-remote', 'journalctl'], 'the splunk sink, end to end', () => {
  const home = tempDir()
  const journal = join(home, 'journal')
  let collector: Collector
  let count: () => number
  let proxy: TcpProxy
  let run: Running | undefined
  beforeAll(async () => {
    await writeJournal(journal, 'mixed', { entries: ENTRIES, profile: 'mixed', seed: 11 })
  })
  afterEach(() => run?.kill('SIGKILL'))

  /** An empty receiver. */
  async function receiver(): Promise<void> {
    await forget()
    collector = await startCollector()
    count = counterOf(collector, 'hec')
    proxy = await startTcpProxy(collector.port)
  }
  async function forget(): Promise<void> {
    await proxy?.close()
    await collector?.remove()
  }
  afterAll(forget)

  let configurations = 0
  /** A configuration with a state folder of its own. */
  function configure(options: string, more = '', start = 'oldest'): string {
    const dir = join(home, `run-${configurations++}`)
    const path = `${dir}.yaml`
    const sink = `{ type: splunk, url: "http://127.0.0.1:${proxy.port}", token: { file: token }, ${options} }`
    writeFileSync(
      path,
      `state: ${dir}\njournal: { directories: [${journal}], start: ${start} }\nsinks:\n  out: ${sink}\n${more}`,
    )
    writeFileSync(join(home, 'token'), 'hush-token\n', { mode: 0o600 })
    return path
  }

  let expectation: Arrived[] | undefined
  const expected = (): readonly Arrived[] => {
    expectation ??= expectedOf(journal, exact)
    return expectation
  }
  const order = () => new Map(expected().map(({ cursor }, n) => [cursor, n]))

  /** The events in the journal's order: the collector sorts those of a request by their origin. */
  function inOrder(events: readonly ArrivedEvent[]): ArrivedEvent[] {
    const places = order()
    return events.toSorted((a, b) => (places.get(a.cursor) ?? -1) - (places.get(b.cursor) ?? -1))
  }

  /** Waits until nothing is missing. */
  async function everything(cursors: readonly string[], since = 0): Promise<void> {
    const deadline = Date.now() + 120_000
    for (;;) {
      await standstill(count)
      const there = new Set(
        eventsAt(collector)
          .slice(since)
          .map(({ cursor }) => cursor),
      )
      const lost = cursors.filter((cursor) => !there.has(cursor)).length
      expect(run?.child.exitCode ?? null).toBeNull()
      if (lost === 0) return
      if (Date.now() > deadline) throw new Error(`${lost} entries are lost; ${run?.stderr()}`)
    }
  }

  it('50 000 mixed entries arrive with all fields byte for byte, their microseconds, and their origin', async () => {
    await receiver()
    const config = configure('indexed: { unit: "${_SYSTEMD_UNIT}" }')
    run = startLogferry(['backfill', '--config', config, '--sink', 'out'])
    expect([await run.ended, run.stderr()]).toEqual([0, expect.stringMatching(/delivered +50,000/)])
    expect(run.stderr()).not.toContain('hush')
    await until('all entries', () => count() >= ENTRIES, 60_000)
    const events = inOrder(eventsAt(collector))
    expect(differences(events, expected())).toEqual([])
    const textOf = (one: ArrivedEvent, name: string) => {
      const [value] = one.fields.get(name) ?? []
      return value === undefined ? undefined : Buffer.from(value, 'latin1').toString()
    }
    const wrong = events.filter((one) => {
      const unit = textOf(one, '_SYSTEMD_UNIT') ?? textOf(one, 'SYSLOG_IDENTIFIER') ?? 'unknown'
      return (
        one.source !== `journald:${unit}` ||
        one.host !== (textOf(one, '_HOSTNAME') ?? '') ||
        one.sourcetype !== 'journald'
      )
    })
    expect(wrong).toEqual([])
    expect(new Set(events.map(({ key }) => key)).size).toBe(ENTRIES)
  })

  it(`killed ${KILLS} times at any moment it loses nothing, and what came twice has the same cursor and the same fields`, async () => {
    await receiver()
    // Small batches and a slow way: many are under way whenever it is killed.
    proxy.delay(5)
    const config = configure('batch: { entries: 250 }, concurrency: 4', 'log: { level: warn }\n')
    await killOnTheWay(config, KILLS, ENTRIES, count)
    run = startLogferry(['run', '--config', config])
    const cursors = expected().map(({ cursor }) => cursor)
    await until('the last entry', () => count() >= ENTRIES, 60_000)
    await everything(cursors)
    run.kill('SIGTERM')
    expect(await run.ended).toBe(0)

    const byCursor = new Map<string, ArrivedEvent[]>()
    for (const one of eventsAt(collector)) byCursor.set(one.cursor, [...(byCursor.get(one.cursor) ?? []), one])
    const known = new Set(cursors)
    expect([byCursor.size, [...byCursor.keys()].filter((cursor) => !known.has(cursor))]).toEqual([ENTRIES, []])
    const repeated = [...byCursor.values()].reduce((sum, { length }) => sum + length - 1, 0)
    // Not more than what waited for its acknowledgement at each kill, 32 batches.
    expect(repeated).toBeLessThan(KILLS * 8250)
    console.log(`${KILLS} kills: 0 lost, ${repeated} repeated`)
    for (let copy = 0; ; copy++) {
      const others = [...byCursor.values()].filter(({ length }) => length > copy)
      if (others.length === 0) break
      const copies = inOrder(others.map((events) => events[copy] as ArrivedEvent))
      const places = new Set(copies.map(({ cursor }) => cursor))
      expect(
        differences(
          copies,
          expected().filter(({ cursor }) => places.has(cursor)),
        ),
      ).toEqual([])
    }
  })

  describe('and a receiver', () => {
    const cursors = () =>
      expected()
        .slice(-LAST)
        .map(({ cursor }) => cursor)

    it('that was away: it goes on within 10 s, loses nothing, and counts what may have come twice', async () => {
      await receiver()
      proxy.delay(2)
      const metrics = await freePorts(1)
      const more = `log: { level: warn }\nmetrics: { listen: "127.0.0.1:${metrics}" }\n`
      const config = configure('batch: { entries: 250 }', more, `last ${LAST}`)
      run = startLogferry(['run', '--config', config])
      await until('the first entries', () => count() > 2000)
      await proxy.refuse()
      await sleep(3000)
      const stopped = count()
      await proxy.accept()
      await until('entries again', () => count() > stopped, 10_000)
      proxy.delay(0)
      await until('the last entry', () => count() >= LAST, 60_000)
      await everything(cursors())
      const repeated = eventsAt(collector).length - LAST
      const counted = await metricOf(metrics, 'logferry_possible_duplicates_total')
      expect(counted).toBeGreaterThanOrEqual(repeated)
      run.kill('SIGTERM')
      expect(await run.ended).toBe(0)
    })

    it('that gets no more than it acknowledges is emptied when the program stops: nothing is in doubt', async () => {
      await receiver()
      const config = configure('batch: { entries: 250 }', 'log: { level: warn }\n', `last ${LAST}`)
      run = startLogferry(['run', '--config', config])
      await until('the first entries', () => count() > 1000)
      run.kill('SIGTERM')
      expect(await run.ended).toBe(0)
      const first = count()
      run = startLogferry(['run', '--config', config])
      await until('the last entry', () => count() >= LAST, 60_000)
      await everything(cursors())
      run.kill('SIGTERM')
      expect(await run.ended).toBe(0)
      expect(first).toBeLessThan(LAST)
      expect(count()).toBe(LAST)
    })
  })

  it('is found right by `validate --live`, and its token is nowhere', async () => {
    await receiver()
    const config = configure('ack: true')
    run = startLogferry(['validate', '--config', config, '--live'])
    const status = await run.ended
    const output = run.stdout() + run.stderr()
    expect([status, output]).toEqual([0, expect.stringContaining('takes the token, and acknowledges')])
    expect(output).not.toContain('hush')
    expect(count()).toBe(0)
  })
})

/** The sum of a metric's values. */
async function metricOf(port: number, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const values = text.split('\n').filter((line) => line.startsWith(name))
  return values.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}
