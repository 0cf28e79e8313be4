// Whole journals through the real program into a real Redis, killed and cut at any moment: nothing is lost, nothing comes twice.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis as Client } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeJournal } from '../../support/journals.ts'
import { describeWith } from '../../support/needs.ts'
import { type Running, startLogferry } from '../../support/program.ts'
import { type Redis, startRedis } from '../../support/services.ts'
import { compare } from '../../support/shipment.ts'
import { startTcpProxy, type TcpProxy } from '../../support/tcpProxy.ts'
import { tempDir } from '../../support/tempDir.ts'
import { differences, exact, expectedOf } from './fluentdKit.ts'
import { arrivedIn, connect, cursorsIn, cursorsOfJournal, elementsIn, lengthOf, writeConfig } from './redisKit.ts'

const ENTRIES = 100_000
const KILLS = 30
const CUTS = 10
const MIXED = 50_000
const COMPLETE = { lost: 0, repeated: 0, foreign: 0, ordered: true }
const NEEDS = ['redis-server', 'redis-cli', 'systemd-journal-remote', 'journalctl']

describeWith(NEEDS, 'the redis sink, end to end', () => {
  const home = tempDir()
  const large = join(home, 'large')
  const mixed = join(home, 'mixed')
  let expected: string[]
  let server: Redis
  let client: Client
  let proxy: TcpProxy

  beforeAll(async () => {
    server = await startRedis('plain')
    client = connect(server.port)
    proxy = await startTcpProxy(server.port)
    await writeJournal(large, 'a', { entries: ENTRIES, profile: 'dcos-node', seed: 21 })
    await writeJournal(mixed, 'a', { entries: MIXED, profile: 'mixed', seed: 22 })
    expected = cursorsOfJournal(large)
    expect(expected).toHaveLength(ENTRIES)
  })
  afterAll(async () => {
    client.disconnect()
    await proxy.close()
    server.remove()
  })

  const sinkTo = (port: number, options: string) => `{ type: redis, url: "redis://127.0.0.1:${port}", ${options} }`

  /** Waits for a length, or the end of the program. */
  async function reach(mode: 'list' | 'stream', key: string, length: number, { child }: Running): Promise<void> {
    const end = Date.now() + 60_000
    while ((await lengthOf(client, mode, key)) < length && child.exitCode === null) {
      if (Date.now() > end) throw new Error(`waited 60 s for ${length} elements`)
      await sleep(2)
    }
  }

  function residentBytes({ child }: Running): number {
    return 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1])
  }

  /** Lets a daemon ship the rest, ends it, and compares. */
  async function finish(mode: 'list' | 'stream', key: string, run: Running): Promise<void> {
    await reach(mode, key, ENTRIES, run)
    await sleep(200)
    run.kill('SIGTERM')
    expect(await run.ended, run.stderr()).toBe(0)
    expect(compare(cursorsIn(await elementsIn(client, mode, key)), expected)).toEqual(COMPLETE)
    await client.del(key)
  }

  describe.each(['list', 'stream'] as const)('%s', (mode) => {
    it(`R2: ${KILLS} kills among ${ENTRIES} entries lose and repeat nothing`, async () => {
      const key = `killed-${mode}`
      const config = writeConfig(
        home,
        large,
        sinkTo(server.port, `mode: ${mode}, key: ${key}, batch: { entries: 400 }`),
      )
      let between = 0
      for (let kill = 0; kill < KILLS; kill++) {
        const before = await lengthOf(client, mode, key)
        // What is left is spread over the kills that are left, so that nearly all of them fall inside the shipment.
        const most = Math.max(1, Math.floor((1.5 * (ENTRIES - before)) / (KILLS - kill + 3)))
        const run = startLogferry(['run', '-c', config])
        await reach(mode, key, before + Math.ceil(Math.random() * most), run)
        run.kill('SIGKILL')
        expect(await run.ended, run.stderr()).toBe('SIGKILL')
        const at = await lengthOf(client, mode, key)
        if (at > 0 && at < ENTRIES) between++
      }
      expect(between).toBeGreaterThanOrEqual(KILLS * 0.8)
      await finish(mode, key, startLogferry(['run', '-c', config]))
    })

    it(`R3: ${CUTS} cuts in mid-command and mid-answer lose and repeat nothing`, async () => {
      const key = `cut-${mode}`
      const options = `mode: ${mode}, key: ${key}, batch: { entries: 500 }, retry: { base: 20ms, cap: 100ms }`
      const run = startLogferry(['run', '-c', writeConfig(home, large, sinkTo(proxy.port, options))])
      for (let cut = 0; cut < CUTS; cut++) {
        await reach(mode, key, Math.floor((ENTRIES / (CUTS + 2)) * cut), run)
        const isCut =
          cut % 2 === 0 ? proxy.dropNextReply() : proxy.cutAfter(Math.floor(Math.random() * 400_000), 'request')
        expect(await Promise.race([isCut, run.ended]), run.stderr()).toBeUndefined()
      }
      await finish(mode, key, run)
    })
  })

  it(`${MIXED} mixed entries arrive with all their fields, byte for byte and in order`, async () => {
    const config = writeConfig(home, mixed, sinkTo(server.port, 'key: mixed, binary: array'))
    const run = startLogferry(['backfill', '--config', config, '--sink', 'out'])
    expect(await run.ended, run.stderr()).toBe(0)
    const elements = await elementsIn(client, 'list', 'mixed')
    const arrived = elements.map((element) => arrivedIn(JSON.parse(element.toString())))
    expect(differences(arrived, expectedOf(mixed, exact))).toEqual([])
    await client.del('mixed')
  })

  it('R13: without a consumer the program waits, with its memory flat, and says what for', async () => {
    const options = 'key: nobody, congestion: { length: 2000, check: 50ms }, batch: { entries: 300 }'
    const run = startLogferry(['run', '-c', writeConfig(home, large, sinkTo(server.port, options))])
    await reach('list', 'nobody', 1500, run)
    await sleep(1500)
    const before = residentBytes(run)
    await sleep(2500)
    expect(residentBytes(run) - before).toBeLessThan(20e6)
    const length = await client.llen('nobody')
    expect(length).toBeLessThanOrEqual(2000)
    expect(run.stderr()).toMatch(
      /the list .*nobody.* holds \d+ entries, the oldest of 2023-11-14T.*the limit is 2000: its consumers lag/,
    )
    await client.ltrim('nobody', 1000, -1)
    for (const end = Date.now() + 10_000; (await client.llen('nobody')) <= length - 1000; await sleep(20))
      if (Date.now() > end) throw new Error('it does not go on')
    run.kill('SIGTERM')
    expect(await run.ended, run.stderr()).toBe(0)
    await client.del('nobody')
  })

  it("R13, R14: who takes as Logstash's input does gets every element once and whole, from a list that stays short", async () => {
    const config = writeConfig(
      home,
      mixed,
      sinkTo(server.port, 'key: logstash, congestion: { length: 3000, check: 20ms }'),
    )
    const run = startLogferry(['backfill', '--config', config, '--sink', 'out'])
    const taken: Buffer[] = []
    let most = 0
    // The script of logstash-input-redis for a list with batch_count.
    const script = `local batch = redis.call('lrange', KEYS[1], 0, ARGV[1] - 1)
      redis.call('ltrim', KEYS[1], ARGV[1], -1)
      return batch`
    for (let isOver = false; ; ) {
      most = Math.max(most, await client.llen('logstash'))
      const batch = (await client.callBuffer('EVAL', script, 1, 'logstash', 125)) as Buffer[]
      taken.push(...batch)
      if (batch.length > 0) continue
      if (isOver) break
      isOver = run.child.exitCode !== null
      await sleep(5)
    }
    expect(await run.ended, run.stderr()).toBe(0)
    expect(most).toBeLessThanOrEqual(3000)
    for (const element of taken)
      expect(Object.keys(JSON.parse(element.toString())).slice(0, 2)).toEqual(['@version', '@metadata'])
    expect(compare(cursorsIn(taken), cursorsOfJournal(mixed))).toEqual(COMPLETE)
  })
})
