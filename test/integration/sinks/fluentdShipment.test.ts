// Whole journals through the real program into real receivers of the forward protocol: all fields equal, nothing lost whenever it is
// killed, and what came twice is found by its cursor.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type EventTime, FluentServer } from '@fluent-org/logger'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { writeJournal } from '../../support/journals.ts'
import { describeWith } from '../../support/needs.ts'
import { type Running, standstill, startLogferry, until } from '../../support/program.ts'
import { type Collector, startCollector } from '../../support/services.ts'
import { startTcpProxy, type TcpProxy } from '../../support/tcpProxy.ts'
import { tempDir } from '../../support/tempDir.ts'
import {
  type Arrived,
  arrivedAt,
  counterOf,
  differences,
  exact,
  expectedOf,
  killOnTheWay,
  replaced,
} from './fluentdKit.ts'

const ENTRIES = 50_000
const KILLS = 10
/** So many of them in a test that is about something else. */
const LAST = 15_000

describeWith(['go', 'systemd-journal-remote', 'journalctl'], 'the fluentd sink, end to end', () => {
  const home = tempDir()
  const journal = join(home, 'journal')
  let collector: Collector
  beforeAll(async () => {
    await writeJournal(journal, 'mixed', { entries: ENTRIES, profile: 'mixed', seed: 11 })
  })
  afterAll(() => collector?.remove())

  let configurations = 0
  /** A configuration with a state folder of its own. */
  function configure(sink: string, more = '', start = 'oldest'): string {
    const dir = join(home, `run-${configurations++}`)
    const path = `${dir}.yaml`
    writeFileSync(
      path,
      `state: ${dir}\njournal: { directories: [${journal}], start: ${start} }\nsinks:\n  out: ${sink}\n${more}`,
    )
    return path
  }

  const expectations = new Map<unknown, Arrived[]>()
  function expected(textOf: (bytes: Buffer) => string): readonly Arrived[] {
    const known = expectations.get(textOf) ?? expectedOf(journal, textOf)
    expectations.set(textOf, known)
    return known
  }

  async function backfill(config: string): Promise<string> {
    const run = startLogferry(['backfill', '--config', config, '--sink', 'out'])
    expect([await run.ended, run.stderr()]).toEqual([0, expect.stringMatching(/delivered +50,000/)])
    return run.stderr()
  }

  it('50 000 mixed entries arrive at a collector with all fields, in order, with exact nanoseconds', async () => {
    collector = await startCollector()
    await backfill(configure(`{ type: fluentd, host: 127.0.0.1, port: ${collector.forwardPort}, compress: gzip }`))
    const count = counterOf(collector)
    await until('all entries', () => count() >= ENTRIES, 60_000)
    expect(differences(arrivedAt(collector), expected(replaced))).toEqual([])
  })

  it('… and at the server of @fluent-org/logger byte for byte, behind a shared key, with tags of their own', async () => {
    const security = { serverHostname: 'server', sharedKey: 'hush-key', authorize: true, userDict: { me: 'hush-word' } }
    const server = new FluentServer({ listenOptions: { port: 0, host: '127.0.0.1' }, security })
    const arrived: Arrived[] = []
    server.on('entry', (tag: string, { epoch, nano }: EventTime, record: Record<string, unknown>) => {
      const fields = new Map(Object.entries(record).map(([name, value]) => [name, textsOf(value)]))
      const ns = String(BigInt(epoch) * 1_000_000_000n + BigInt(nano))
      arrived.push({ cursor: fields.get('__CURSOR')?.[0] ?? '', ns, tag, fields })
    })
    await server.listen()
    try {
      const key = 'shared_key: hush-key, user: me, password: { file: word }'
      writeFileSync(join(home, 'word'), 'hush-word\n', { mode: 0o600 })
      const options = `host: 127.0.0.1, port: ${server.port}, tag: "unit.\${_SYSTEMD_UNIT:-none}", ${key}`
      const output = await backfill(configure(`{ type: fluentd, ${options} }`))
      expect(output).not.toContain('hush')
      await until('all entries', () => arrived.length >= ENTRIES, 60_000)
    } finally {
      await server.close()
    }
    // A batch goes out tag by tag, each in order.
    const order = new Map(expected(exact).map(({ cursor }, n) => [cursor, n]))
    const sorted = arrived.toSorted((a, b) => (order.get(a.cursor) ?? -1) - (order.get(b.cursor) ?? -1))
    expect(differences(sorted, expected(exact))).toEqual([])
    const unitOf = ({ fields }: Arrived) => fields.get('_SYSTEMD_UNIT')?.[0] ?? 'none'
    expect(arrived.filter((one) => one.tag !== `unit.${unitOf(one)}`)).toEqual([])
    expect(new Set(arrived.map(({ tag }) => tag)).size).toBeGreaterThan(50)
  })

  describe('killed', () => {
    let target: Collector
    let count: () => number
    let proxy: TcpProxy
    let run: Running | undefined
    beforeAll(async () => {
      target = await startCollector()
      count = counterOf(target)
      proxy = await startTcpProxy(target.forwardPort)
    })
    afterEach(() => run?.kill('SIGKILL'))
    afterAll(async () => {
      await proxy.close()
      await target.remove()
    })

    it(`${KILLS} times at any moment, it loses nothing, and what came twice has the same cursor and the same fields`, async () => {
      // Small batches and a slow way: many are under way whenever it is killed.
      proxy.delay(5)
      const batch = 'batch: { entries: 250 }, concurrency: 4, in_flight: 8'
      const config = configure(
        `{ type: fluentd, host: 127.0.0.1, port: ${proxy.port}, ${batch} }`,
        'log: { level: warn }\n',
      )
      await killOnTheWay(config, KILLS, ENTRIES, count)
      run = startLogferry(['run', '--config', config])
      const cursors = new Set(expected(replaced).map(({ cursor }) => cursor))
      await until('the last entry', () => count() >= ENTRIES, 60_000)
      for (let lost = cursors.size; lost > 0; ) {
        await standstill(count)
        const there = new Set(arrivedAt(target).map(({ cursor }) => cursor))
        lost = [...cursors].filter((cursor) => !there.has(cursor)).length
        expect(run.child.exitCode).toBeNull()
      }
      run.kill('SIGTERM')
      expect(await run.ended).toBe(0)

      const byCursor = new Map<string, Arrived[]>()
      for (const one of arrivedAt(target)) byCursor.set(one.cursor, [...(byCursor.get(one.cursor) ?? []), one])
      const foreign = [...byCursor.keys()].filter((cursor) => !cursors.has(cursor))
      const repeated = [...byCursor.values()].reduce((sum, { length }) => sum + length - 1, 0)
      expect([byCursor.size, foreign]).toEqual([ENTRIES, []])
      // Not more than what was under way at each kill, and what was settled since the position was stored last.
      expect(repeated).toBeLessThan(KILLS * 5000)
      console.log(`${KILLS} kills: 0 lost, ${repeated} repeated`)
      const firsts = [...byCursor.values()].map((copies) => copies[0] as Arrived)
      for (let copy = 1; ; copy++) {
        const others = [...byCursor.values()].filter(({ length }) => length > copy)
        if (others.length === 0) break
        expect(
          differences(
            others.map((copies) => copies[copy] as Arrived),
            others.map((copies) => copies[0] as Arrived),
          ),
        ).toEqual([])
      }
      const order = new Map([...cursors].map((cursor, n) => [cursor, n]))
      firsts.sort((a, b) => (order.get(a.cursor) ?? -1) - (order.get(b.cursor) ?? -1))
      expect(differences(firsts, expected(replaced))).toEqual([])
    })

    it('goes on within 10 s after the server was away, and loses nothing', async () => {
      const before = count()
      const config = configure(
        `{ type: fluentd, host: 127.0.0.1, port: ${proxy.port}, batch: { entries: 250 } }`,
        'log: { level: warn }\n',
        `last ${LAST}`,
      )
      proxy.delay(2)
      run = startLogferry(['run', '--config', config])
      await until('the first entries', () => count() > before + 2000)
      await proxy.refuse()
      await sleep(3000)
      const stopped = count()
      await proxy.accept()
      await until('entries again', () => count() > stopped, 10_000)
      proxy.delay(0)
      const cursors = expected(replaced)
        .slice(-LAST)
        .map(({ cursor }) => cursor)
      await until('the last entry', () => count() >= before + LAST, 60_000)
      await sleep(500)
      run.kill('SIGTERM')
      expect(await run.ended).toBe(0)
      const there = new Set(
        arrivedAt(target)
          .slice(before)
          .map(({ cursor }) => cursor),
      )
      expect(cursors.filter((cursor) => !there.has(cursor))).toEqual([])
    })
  })
})

/** Values as the server decodes them, as one-byte text. */
function textsOf(value: unknown): string[] {
  if (typeof value === 'string') return [exact(Buffer.from(value))]
  if (value instanceof Uint8Array) return [exact(Buffer.from(value))]
  if (Array.isArray(value)) return value.flatMap(textsOf)
  throw new Error(`a value that is ${JSON.stringify(value)}`)
}
