// Servers that go away and come back as others: Sentinel failovers with a replica that is behind, a cluster that moves slots, a
// restart without persistence. The journal makes good what Redis lost, and nothing else.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Cluster } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeBatch, SOURCE } from '../../contract/batches.ts'
import { delivery } from '../../contract/sinkContract.ts'
import { writeJournal } from '../../support/journals.ts'
import { describeWith } from '../../support/needs.ts'
import { logferry, startLogferry, until } from '../../support/program.ts'
import { freePorts, type Redis, startRedis } from '../../support/services.ts'
import { compare } from '../../support/shipment.ts'
import { tempDir } from '../../support/tempDir.ts'
import {
  connect,
  cursorsIn,
  cursorsOfJournal,
  elementsIn,
  failing,
  firstDifference,
  lastDelivered,
  makeSink,
  NEVER,
  openSink,
  recordsIn,
  ship,
  textsOf,
  writeConfig,
} from './redisKit.ts'

const COMPLETE = { lost: 0, repeated: 0, foreign: 0, ordered: true }

describeWith(['redis-server', 'redis-cli'], 'the redis sink and Sentinel', () => {
  let servers: Redis
  const sentinel = () => ({ nodes: [2, 3, 4].map((n) => `127.0.0.1:${servers.port + n}`), name: 'mymaster' })
  beforeAll(async () => {
    servers = await startRedis('sentinel')
  })
  afterAll(() => servers.remove())

  it('names the mistake when the Sentinels do not know the primary, or are not there', async () => {
    const { sink } = await makeSink({ sentinel: { ...sentinel(), name: 'another' } })
    expect(await failing(sink.open(NEVER))).toMatchObject({
      failure: 'refused',
      message: expect.stringContaining('the Sentinels know no primary of that name'),
    })
    const { sink: lost } = await makeSink({
      sentinel: { nodes: [`127.0.0.1:${await freePorts(1)}`], name: 'mymaster' },
    })
    expect(await failing(lost.open(NEVER))).toMatchObject({ failure: 'unavailable' })
  })

  describeWith(['systemd-journal-remote', 'journalctl'], 'and the program', () => {
    it('R8, R4: a failover to a replica that is behind goes back, and leaves no gap and no repetition', async () => {
      const home = tempDir()
      const journal = join(home, 'journal')
      await writeJournal(journal, 'a', { entries: 60_000, profile: 'dcos-node', seed: 31 })
      const { nodes, name } = sentinel()
      const options = `key: behind, batch: { entries: 300 }, retry: { base: 50ms, cap: 500ms }`
      const config = writeConfig(
        home,
        journal,
        `{ type: redis, sentinel: { nodes: ${JSON.stringify(nodes)}, name: ${name} }, ${options} }`,
      )
      const { primary = 0, replica = 0 } = servers.pids()
      const [old, next] = [connect(servers.port), connect(servers.port + 1)]
      for (const client of [old, next]) client.on('error', () => undefined)
      const reach = async (client: typeof old, length: number) => {
        for (const end = Date.now() + 60_000; (await client.llen('behind')) < length; await sleep(2))
          if (Date.now() > end) throw new Error(`waited 60 s for ${length} elements: ${run.stderr()}`)
      }
      const run = startLogferry(['run', '-c', config])
      await reach(old, 5000)
      // More than sockets hold goes to the primary alone.
      process.kill(replica, 'SIGSTOP')
      await reach(old, 40_000)
      process.kill(primary, 'SIGKILL')
      old.disconnect()
      process.kill(replica, 'SIGCONT')
      const left = await next.llen('behind')
      expect(left).toBeLessThan(40_000)
      await reach(next, 60_000)
      await sleep(200)
      run.kill('SIGTERM')
      expect(await run.ended, run.stderr()).toBe(0)
      const shipped = cursorsIn(await elementsIn(next, 'list', 'behind'))
      expect(compare(shipped, cursorsOfJournal(journal))).toEqual(COMPLETE)
      expect(run.stderr()).toContain('the target moved to another position')
      expect(run.stderr()).not.toContain('NOSCRIPT')
      next.disconnect()
    })
  })
})

describeWith(['redis-server', 'redis-cli'], 'the redis sink and a cluster', () => {
  let servers: Redis
  let cluster: Cluster
  beforeAll(async () => {
    // Its ports for the bus lie 10 000 higher, and may be somebody's.
    servers = await startRedis('cluster').catch(() => startRedis('cluster'))
    cluster = new Cluster([{ host: '127.0.0.1', port: servers.port }])
  })
  afterAll(() => {
    cluster.disconnect()
    servers.remove()
  })

  const options = () => ({ cluster: { nodes: [`127.0.0.1:${servers.port}`] } })
  const records = async (key: string) => recordsIn(await cluster.lrangeBuffer(key, 0, -1))
  const cli = (port: number, ...args: readonly string[]) => servers.cli(args, port).trim()

  /** Port and id of the node that has a slot, and of another primary. */
  function primariesOf(slot: number): { from: { port: number; id: string }; to: { port: number; id: string } } {
    const nodes = cli(servers.port, 'cluster', 'nodes')
      .split('\n')
      .map((line) => line.split(' '))
      .filter(([, , flags]) => flags?.includes('master') && !flags.includes('fail'))
      .map(([id = '', address = '', , , , , , , ...slots]) => ({
        id,
        port: Number(/:(\d+)@/.exec(address)?.[1]),
        // In a young cluster replicas are still taken for primaries without slots.
        isEmpty: slots.length === 0,
        has: slots.some((range) => {
          const [first, last = first] = range.split('-').map(Number)
          return slot >= (first ?? 1) && slot <= (last ?? 0)
        }),
      }))
    const from = nodes.find(({ has }) => has)
    const to = nodes.find(({ has, isEmpty }) => !has && !isEmpty)
    if (from === undefined || to === undefined) throw new Error('no two primaries')
    return { from, to }
  }

  it('R11: delivers while a slot moves: TRYAGAIN, ASK, MOVED', async () => {
    const { sink, host } = await openSink({ ...options(), key: 'moving' }, SOURCE)
    const batches = [1, 101, 201, 301].map((first) => makeBatch(100, { first }))
    await ship(sink, batches[0]!)
    const slot = Number(cli(servers.port, 'cluster', 'keyslot', 'moving'))
    const { from, to } = primariesOf(slot)
    expect(cli(to.port, 'cluster', 'setslot', String(slot), 'importing', from.id)).toBe('OK')
    expect(cli(from.port, 'cluster', 'setslot', String(slot), 'migrating', to.id)).toBe('OK')
    const keys = cli(from.port, 'cluster', 'getkeysinslot', String(slot), '10').split('\n')
    expect(keys).toHaveLength(2)
    const position = keys.find((key) => key.includes('logferry')) ?? ''
    const migrate = (key: string) =>
      expect(cli(from.port, 'migrate', '127.0.0.1', String(to.port), key, '0', '5000')).toBe('OK')
    migrate(position)
    // One key here, one there: TRYAGAIN, until the other one has come along.
    const second = ship(sink, batches[1]!)
    await sleep(300)
    expect(Number(cli(from.port, 'llen', 'moving'))).toBe(100)
    migrate('moving')
    await second
    // All of it is there, and the slot is not yet: ASK.
    await ship(sink, batches[2]!)
    for (const { port } of [to, from]) cli(port, 'cluster', 'setslot', String(slot), 'node', to.id)
    await ship(sink, batches[3]!)
    expect(firstDifference(await records('moving'), textsOf(...batches))).toBeUndefined()
    expect(host.lines).toEqual([])
    await sink.close(NEVER)
  })

  it('keeps lists of their own beside one position, and publishes to channels', async () => {
    const { sink } = await openSink({ ...options(), key: '{logs}:${PRIORITY}' }, SOURCE)
    for (const first of [1, 101]) await ship(sink, makeBatch(100, { first }))
    const wanted = textsOf(makeBatch(200)).filter((text) => text.includes('"PRIORITY":"5"'))
    expect(firstDifference(await records('{logs}:5'), wanted)).toBeUndefined()
    await sink.close(NEVER)
    const { sink: channel } = await makeSink({ ...options(), mode: 'channel', require_subscribers: false })
    await channel.open(NEVER)
    expect(await channel.write(makeBatch(10), delivery())).toBe('delivered')
    await channel.close(NEVER)
  })

  it('waits for replicas at the node that has the list', async () => {
    const { sink } = await openSink({ ...options(), key: 'safe', replicas: { count: 1 } }, SOURCE)
    // A replica that has just joined is synchronised some seconds later.
    await ship(sink, makeBatch(10))
    expect(firstDifference(await records('safe'), textsOf(makeBatch(10)))).toBeUndefined()
    await sink.close(NEVER)
  })

  it('names the mistake when it is given as a single server, and a single server as a cluster', async () => {
    const { from, to } = primariesOf(Number(cli(servers.port, 'cluster', 'keyslot', 'logs')))
    expect(from.port).not.toBe(to.port)
    const { sink } = await makeSink({ url: `redis://127.0.0.1:${to.port}` })
    expect(await failing(sink.open(NEVER))).toMatchObject({
      failure: 'refused',
      message: expect.stringContaining('give `cluster` instead of `url`'),
    })
    const single = await startRedis('plain')
    const { sink: other } = await makeSink({ cluster: { nodes: [`127.0.0.1:${single.port}`] } })
    expect(await failing(other.open(NEVER))).toMatchObject({
      failure: 'refused',
      message: expect.stringContaining('give `url` instead of `cluster`'),
    })
    single.remove()
  })

  it('R11: goes on when the node of its slot is killed, the only one that the configuration names', async () => {
    // A list on the only node that the configuration names.
    const key = Array.from({ length: 100 }, (_, n) => `orphan-${n}`).find(
      (name) => primariesOf(Number(cli(servers.port, 'cluster', 'keyslot', name))).from.port === servers.port,
    )
    if (key === undefined) throw new Error('the first node has no slots')
    const { sink } = await openSink({ ...options(), key }, SOURCE)
    await ship(sink, makeBatch(100))
    while (!cli(servers.port, 'info', 'replication').includes('state=online')) await sleep(100)
    await sleep(200)
    process.kill(servers.pids()['n0'] ?? 0, 'SIGKILL')
    const second = makeBatch(100, { first: 101 })
    await ship(sink, second, 600)
    expect(await lastDelivered(sink, SOURCE)).toBe(second.after)
    await sleep(200)
    const survivor = new Cluster([1, 2, 3, 4, 5].map((n) => ({ host: '127.0.0.1', port: servers.port + n })))
    const found = recordsIn(await survivor.lrangeBuffer(key, 0, -1))
    expect(firstDifference(found, textsOf(makeBatch(200)))).toBeUndefined()
    survivor.disconnect()
    await sink.close(NEVER)
  }, 90_000)
})

describeWith(
  ['redis-server', 'redis-cli', 'systemd-journal-remote', 'journalctl'],
  'a Redis that keeps nothing',
  () => {
    const ENTRIES = 20_000
    const REWIND_US = 2e6
    const START_US = 1_700_000_000_000_000

    /** What a rewind from the first file leaves, with everything of the second. */
    function expectedAfter(journal: string): string[] {
      const cursors = cursorsOfJournal(journal)
      const timeOf = (cursor: string) => Number.parseInt(/;t=([0-9a-f]+)/.exec(cursor)?.[1] ?? '', 16)
      const last = timeOf(cursors[ENTRIES - 1] ?? '')
      return cursors.filter((cursor) => timeOf(cursor) >= last - REWIND_US)
    }

    describe.each(['while the daemon runs', 'while the daemon is down'])('R10: restarted %s', (when) => {
      it('gets the entries of the last two seconds again, and then what is new', async () => {
        const home = tempDir()
        const journal = join(home, 'journal')
        mkdirSync(journal)
        await writeJournal(journal, 'a', { entries: ENTRIES, profile: 'web', seed: 41, start: START_US })
        const server = await startRedis('plain')
        const metrics = await freePorts(1)
        try {
          const config = writeConfig(
            home,
            journal,
            `{ type: redis, url: "redis://127.0.0.1:${server.port}", key: logs, rewind: 2s, retry: { base: 50ms, cap: 200ms } }\nmetrics: { listen: "127.0.0.1:${metrics}" }`,
          )
          const length = () => Number(server.cli(['llen', 'logs']))
          let run = startLogferry(['run', '-c', config])
          await until(`all entries: ${run.stderr()}`, () => length() === ENTRIES, 30_000)
          await sleep(1500)
          const isDown = when.endsWith('down')
          if (isDown) {
            run.kill('SIGTERM')
            await run.ended
          }
          server.stop()
          server.start()
          await writeJournal(journal, 'b', { entries: 500, profile: 'web', seed: 42, start: START_US + 60e6 })
          if (isDown) run = startLogferry(['run', '-c', config])
          const expected = expectedAfter(journal)
          expect(expected.length).toBeGreaterThan(1000)
          await until(`${expected.length} entries: ${run.stderr()}`, () => length() >= expected.length, 30_000)
          await sleep(300)
          const client = connect(server.port)
          expect(compare(cursorsIn(await elementsIn(client, 'list', 'logs')), expected)).toEqual(COMPLETE)
          client.disconnect()
          const exposed = await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text()
          expect(exposed).toContain('logferry_position_lost_total{sink="out"} 1')
          run.kill('SIGTERM')
          expect(await run.ended).toBe(0)
          expect(run.stderr()).toMatch(
            /has lost its position and its data; going back from 2023-11-14T\S+ to 2023-11-14T/,
          )
        } finally {
          server.remove()
        }
      })
    })

    it('R11: a name that no position can be placed beside is refused before anything starts', () => {
      const home = tempDir()
      const config = writeConfig(
        home,
        join(home, 'none'),
        '{ type: redis, cluster: { nodes: ["127.0.0.1:1"] }, key: "{}x" }',
      )
      const { status, stderr, stdout } = logferry(['validate', '-c', config])
      expect(status).toBe(78)
      expect(stderr + stdout.toString()).toContain('in a cluster no other key can be placed beside this one')
    })
  },
)
