// Whole journals through the real program into a real Redis, killed and cut at any moment, and on into Elasticsearch by a consumer
// that is not ours: nothing is lost, nothing comes twice.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis as Client } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { journalctl, writeJournal } from '../../support/journals.ts'
import { describeWith } from '../../support/needs.ts'
import { startLogferry } from '../../support/program.ts'
import { type Elasticsearch, freePorts, type Redis, startElasticsearch, startRedis } from '../../support/services.ts'
import { compare } from '../../support/shipment.ts'
import { startTcpProxy, type TcpProxy } from '../../support/tcpProxy.ts'
import { tempDir } from '../../support/tempDir.ts'
import { type Arrived, differences, exact, expectedOf } from './fluentdKit.ts'
import { connect, cursorsIn, elementsIn, lengthOf } from './redisKit.ts'

const ENTRIES = 100_000
const KILLS = 30
const CUTS = 10
const MIXED = 50_000
const INDEXED = 10_000

describeWith(
  ['redis-server', 'redis-cli', 'systemd-journal-remote', 'journalctl'],
  'the redis sink, end to end',
  () => {
    const home = tempDir()
    let server: Redis
    let client: Client
    let proxy: TcpProxy
    const expected = new Map<string, string[]>()

    beforeAll(async () => {
      server = await startRedis('plain')
      client = connect(server.port)
      proxy = await startTcpProxy(server.port)
      for (const [name, profile, entries] of [
        ['large', 'dcos-node', ENTRIES],
        ['mixed', 'mixed', MIXED],
        ['small', 'mixed', INDEXED],
      ] as const) {
        const dir = join(home, name)
        await writeJournal(dir, 'a', { entries, profile, seed: 21 })
        const all = journalctl(['-D', dir, '-o', 'export', '--output-fields=MESSAGE']).toString('latin1')
        expected.set(name, all.match(/^__CURSOR=.*$/gm)?.map((line) => line.slice(9)) ?? [])
      }
    })
    afterAll(async () => {
      client.disconnect()
      await proxy.close()
      server.remove()
    })

    let configurations = 0
    function configure(journal: string, sink: string): string {
      const dir = join(home, `run-${configurations++}`)
      const path = `${dir}.yaml`
      writeFileSync(
        path,
        `state: ${dir}\njournal: { directories: [${join(home, journal)}], start: oldest }\nlog: { level: warn }\nsinks:\n  out: ${sink}\n`,
      )
      return path
    }

    async function backfill(config: string): Promise<void> {
      const run = startLogferry(['backfill', '--config', config, '--sink', 'out'])
      expect(await run.ended, run.stderr()).toBe(0)
    }

    async function waitForLength(mode: 'list' | 'stream', key: string, atLeast: number, isOver: () => boolean) {
      const end = Date.now() + 60_000
      while ((await lengthOf(client, mode, key)) < atLeast && !isOver()) {
        if (Date.now() > end) throw new Error(`waited 60 s for ${atLeast} elements`)
        await sleep(2)
      }
    }

    describe.each(['list', 'stream'] as const)('%s', (mode) => {
      it(`R2: ${KILLS} kills among ${ENTRIES} entries lose and repeat nothing`, async () => {
        const key = `killed-${mode}`
        const config = configure(
          'large',
          `{ type: redis, url: "redis://127.0.0.1:${server.port}", mode: ${mode}, key: ${key}, batch: { entries: 400 } }`,
        )
        let between = 0
        for (let kill = 0; kill < KILLS; kill++) {
          const before = await lengthOf(client, mode, key)
          // What is left is spread over the kills that are left, so that nearly all of them fall inside the shipment.
          const most = Math.max(1, Math.floor((1.5 * (ENTRIES - before)) / (KILLS - kill + 3)))
          const run = startLogferry(['run', '-c', config])
          await waitForLength(mode, key, before + Math.ceil(Math.random() * most), () => run.child.exitCode !== null)
          run.kill('SIGKILL')
          expect(await run.ended, run.stderr()).toBe('SIGKILL')
          const at = await lengthOf(client, mode, key)
          if (at > 0 && at < ENTRIES) between++
        }
        expect(between).toBeGreaterThanOrEqual(KILLS * 0.8)
        const last = startLogferry(['run', '-c', config])
        await waitForLength(mode, key, ENTRIES, () => last.child.exitCode !== null)
        await sleep(200)
        last.kill('SIGTERM')
        expect(await last.ended, last.stderr()).toBe(0)
        const shipped = cursorsIn(await elementsIn(client, mode, key))
        expect(compare(shipped, expected.get('large') ?? [])).toEqual({
          lost: 0,
          repeated: 0,
          foreign: 0,
          ordered: true,
        })
        await client.del(key)
      })

      it(`R3: ${CUTS} cuts in mid-command and mid-answer lose and repeat nothing`, async () => {
        const key = `cut-${mode}`
        const config = configure(
          'large',
          `{ type: redis, url: "redis://127.0.0.1:${proxy.port}", mode: ${mode}, key: ${key}, batch: { entries: 500 }, retry: { base: 20ms, cap: 100ms } }`,
        )
        const run = startLogferry(['run', '-c', config])
        for (let cut = 0; cut < CUTS; cut++) {
          await waitForLength(mode, key, Math.floor((ENTRIES / (CUTS + 2)) * cut), () => run.child.exitCode !== null)
          const direction = cut % 2 === 0 ? 'reply' : 'request'
          const bytes = direction === 'reply' ? 0 : Math.floor(Math.random() * 400_000)
          const isOver = run.ended.then((status) => expect([status, run.stderr()]).toBe('still running'))
          await Promise.race([proxy.cutAfter(bytes, direction), isOver])
        }
        await waitForLength(mode, key, ENTRIES, () => run.child.exitCode !== null)
        await sleep(200)
        run.kill('SIGTERM')
        expect(await run.ended, run.stderr()).toBe(0)
        const shipped = cursorsIn(await elementsIn(client, mode, key))
        expect(compare(shipped, expected.get('large') ?? [])).toEqual({
          lost: 0,
          repeated: 0,
          foreign: 0,
          ordered: true,
        })
        await client.del(key)
      })
    })

    it(`${MIXED} mixed entries arrive with all their fields, byte for byte and in order`, async () => {
      await backfill(
        configure('mixed', `{ type: redis, url: "redis://127.0.0.1:${server.port}", key: mixed, binary: array }`),
      )
      const elements = await elementsIn(client, 'list', 'mixed')
      expect(
        differences(
          elements.map((element) => arrivedIn(JSON.parse(element.toString()))),
          expectedOf(join(home, 'mixed'), exact),
        ),
      ).toEqual([])
      await client.del('mixed')
    })

    it("R14: a consumer that takes as Logstash's input does gets every element once and whole, while more are pushed", async () => {
      const config = configure(
        'mixed',
        `{ type: redis, url: "redis://127.0.0.1:${server.port}", key: logstash, congestion: { length: 3000, check: 20ms } }`,
      )
      const run = startLogferry(['backfill', '--config', config, '--sink', 'out'])
      const taken: Buffer[] = []
      let most = 0
      // Its script (logstash-input-redis, list with batch_count): LRANGE key 0 n-1, LTRIM key n -1.
      const script =
        "local batch = redis.call('lrange', KEYS[1], 0, ARGV[1] - 1) redis.call('ltrim', KEYS[1], ARGV[1], -1) return batch"
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
      // R13 in passing: the list never grew beyond its limit.
      expect(most).toBeLessThanOrEqual(3000)
      for (const element of taken)
        expect(Object.keys(JSON.parse(element.toString())).slice(0, 2)).toEqual(['@version', '@metadata'])
      expect(compare(cursorsIn(taken), expected.get('mixed') ?? [])).toEqual({
        lost: 0,
        repeated: 0,
        foreign: 0,
        ordered: true,
      })
    })

    describeWith(['go', 'mvn'], 'and Bento and Elasticsearch', () => {
      let search: Elasticsearch
      beforeAll(async () => {
        search = await startElasticsearch()
      })
      afterAll(() => search.remove())

      it('R14: the configuration of the documentation brings a list into Elasticsearch, and what Bento loses when killed is shipped again without doubling the rest', async () => {
        await makeIndex('from-list')
        const config = configure(
          'small',
          `{ type: redis, url: "redis://127.0.0.1:${server.port}", key: elk, binary: array }`,
        )
        await backfill(config)
        const bento = await startBento('from-list', (yaml) => yaml.replace('key: logstash', 'key: elk'))
        while ((await countIn('from-list')) < INDEXED / 4) await sleep(50)
        bento.child.kill('SIGKILL')
        await bento.ended
        const again = await startBento('from-list', (yaml) => yaml.replace('key: logstash', 'key: elk'))
        while ((await client.llen('elk')) > 0) await sleep(50)
        await sleep(2500)
        expect(INDEXED - (await countIn('from-list'))).toBeLessThan(2000)
        // The same range once more, under a job of its own: what is there already is answered with 409, and stays one document.
        await backfill(config)
        while ((await client.llen('elk')) > 0) await sleep(50)
        await untilIndexed('from-list')
        again.child.kill('SIGTERM')
        await again.ended
        expect(await documentsDiffer('from-list')).toEqual([])
      })

      it('R14: a stream and a consumer group that is killed bring every document, once', async () => {
        await makeIndex('from-stream')
        await backfill(
          configure(
            'small',
            `{ type: redis, url: "redis://127.0.0.1:${server.port}", mode: stream, key: elk:stream, binary: array }`,
          ),
        )
        const input = (yaml: string) =>
          yaml.replace(
            /redis_list: .*/,
            `redis_streams: { url: "redis://127.0.0.1:${server.port}", streams: ["elk:stream"], body_key: message, consumer_group: bento, client_id: one, create_streams: true, start_from_oldest: true, limit: 500, commit_period: 100ms, timeout: 1s }`,
          )
        for (let kill = 1; kill <= 3; kill++) {
          const bento = await startBento('from-stream', input)
          while ((await countIn('from-stream')) < (INDEXED * kill) / 5) await sleep(20)
          bento.child.kill('SIGKILL')
          await bento.ended
        }
        const last = await startBento('from-stream', input)
        await untilIndexed('from-stream')
        last.child.kill('SIGTERM')
        await last.ended
        expect(await documentsDiffer('from-stream')).toEqual([])
      })

      async function makeIndex(name: string): Promise<void> {
        // Odd field names and values of all sorts: kept as they are, not mapped.
        await search.ask('PUT', `/${name}`, {
          mappings: { dynamic: false },
          settings: { number_of_replicas: 0, max_result_window: INDEXED },
        })
      }

      async function countIn(name: string): Promise<number> {
        await search.ask('POST', `/${name}/_refresh`)
        const { body } = await search.ask('GET', `/${name}/_count`)
        return Number(body['count'])
      }

      async function untilIndexed(name: string): Promise<void> {
        const end = Date.now() + 60_000
        while ((await countIn(name)) < INDEXED) {
          if (Date.now() > end) throw new Error(`${await countIn(name)} of ${INDEXED} documents`)
          await sleep(100)
        }
      }

      /** The documents of an index against the journal, with the ids as the keys that stand in the elements. */
      async function documentsDiffer(name: string): Promise<string[]> {
        const { body } = await search.ask('POST', `/${name}/_search`, { size: INDEXED })
        const { hits } = body['hits'] as { hits: { _id: string; _source: Record<string, unknown> }[] }
        const place = new Map(expected.get('small')?.map((cursor, index) => [cursor, index]))
        const arrived = hits
          .map(({ _source }) => arrivedIn(_source))
          .sort((a, b) => (place.get(a.cursor) ?? -1) - (place.get(b.cursor) ?? -1))
        expect(hits.every(({ _id }) => /^[-0-9A-Z_a-z]{34}$/.test(_id))).toBe(true)
        return differences(arrived, expectedOf(join(home, 'small'), exact))
      }

      /** Bento with the configuration of docs/sinks/redis.md, on the ports of this test. */
      async function startBento(
        index: string,
        change: (yaml: string) => string,
      ): Promise<{ child: ChildProcess; ended: Promise<void> }> {
        const page = readFileSync(join(import.meta.dirname, '../../../docs/sinks/redis.md'), 'utf8')
        const yaml = /## Bento\n\n```yaml\n([\s\S]*?)```/.exec(page)?.[1] ?? ''
        const port = await freePorts(1)
        const text = change(yaml)
          .replace('redis://redis.example.org:6379', `redis://127.0.0.1:${server.port}`)
          .replace('http://es.example.org:9200', search.url)
          .replace('index: journald', `index: ${index}`)
        const path = join(home, `bento-${port}.yaml`)
        writeFileSync(path, `http: { enabled: true, address: "127.0.0.1:${port}" }\nlogger: { level: NONE }\n${text}`)
        const script = join(import.meta.dirname, '../../services/bento/start.sh')
        execFileSync('bash', [script, '--install'])
        const child = spawn('bash', [script, '--run', path], { stdio: 'ignore' })
        return { child, ended: new Promise((resolve) => child.once('exit', () => resolve())) }
      }
    })
  },
)

/** An element or a document as its fields' bytes, without what only Logstash reads. */
function arrivedIn(record: Record<string, unknown>): Arrived {
  const { '@version': _version, '@metadata': _metadata, ...entry } = record
  const fields = new Map(Object.entries(entry).map(([name, value]) => [name, bytesOf(value).map(exact)]))
  const us = String(entry['__REALTIME_TIMESTAMP'])
  return { cursor: String(entry['__CURSOR']), ns: `${us}000`, tag: '', fields }
}

/** Text, an array of byte numbers, or an array of those where the field repeats. */
function bytesOf(value: unknown): Buffer[] {
  if (typeof value === 'string') return [Buffer.from(value)]
  if (!Array.isArray(value)) throw new Error(`a value that is ${JSON.stringify(value)}`)
  if (typeof value[0] === 'number') return [Buffer.from(value as number[])]
  return value.flatMap(bytesOf)
}
