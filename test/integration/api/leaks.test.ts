// What is left behind: after thousands of streams that were opened and dropped, and of a stream that has nothing to say for a long time. In a daemon of
// its own, so that nothing but the API is measured. LOGFERRY_SOAK=1 lets the idle stream live for ten minutes.
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { get, type OpenReply, open } from '../../support/api.ts'
import { ApiJournal, entryAt } from '../../support/apiJournal.ts'
import { describeWith } from '../../support/needs.ts'
import { type Running, startLogferry, until } from '../../support/program.ts'
import { tempDir } from '../../support/tempDir.ts'

const STREAMS = 2000
const AT_ONCE = 100
const IDLE_S = process.env['LOGFERRY_SOAK'] === undefined ? 70 : 600

describeWith(['systemd-journal-remote'], 'nothing is left behind', () => {
  const home = tempDir()
  let running: Running
  let port: number
  let journal: ApiJournal
  let idle: OpenReply
  let idleSince: number

  beforeAll(async () => {
    const entries = Array.from({ length: 100 }, (_, i) => entryAt(i, { MESSAGE: `n${i}`, PAD: 'x'.repeat(i) }))
    journal = new ApiJournal(join(home, 'journal'), entries)
    const config = join(home, 'c.yaml')
    writeFileSync(
      config,
      `journal: { directories: [./journal] }\nstate: ./state\nlog: { format: text, level: info }\napi: { listen: "127.0.0.1:0" }\n`,
    )
    running = startLogferry(['run', '-c', config])
    await until('the address', () => /logging API at 127\.0\.0\.1:\d+/.test(running.stderr()))
    port = Number(/logging API at 127\.0\.0\.1:(\d+)/.exec(running.stderr())?.[1])
    idle = await open(port, '/v1/stream/?filter=MESSAGE:never', { headers: { accept: 'text/event-stream' } })
    idleSince = Date.now()
  })
  afterAll(async () => {
    idle.close()
    running.kill('SIGTERM')
    expect(await running.ended).toBe(0)
  })

  const descriptors = (): string[] =>
    readdirSync(`/proc/${running.child.pid}/fd`).flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/${running.child.pid}/fd/${fd}`)]
      } catch {
        return [] // Closed between listing and looking.
      }
    })
  const resident = (): number =>
    1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${running.child.pid}/status`, 'utf8'))?.[1])

  async function openAndDrop(count: number): Promise<void> {
    const paths = [
      '/v1/stream/',
      '/v1/stream/?skip_prev=5',
      '/v1/stream/?filter=MESSAGE:n7',
      '/v2/component?cursor=END&skip=-20',
      '/v2/component?grep=n1',
    ]
    for (let done = 0; done < count; done += AT_ONCE) {
      const streams = await Promise.all(
        Array.from({ length: AT_ONCE }, (_, i) =>
          open(port, paths[i % paths.length] as string, { headers: { accept: 'text/event-stream' } }),
        ),
      )
      for (const stream of streams) stream.close()
    }
  }

  it('keeps no descriptor and no memory of streams that were opened and dropped', async () => {
    // The first ones bring code, caches and buffers that stay.
    await openAndDrop(STREAMS / 2)
    await new Promise((resolve) => setTimeout(resolve, 500))
    const before = { descriptors: descriptors().length, resident: resident() }
    await openAndDrop(STREAMS)
    await until('descriptors as before', () => descriptors().length <= before.descriptors, 10_000)
    expect(descriptors().filter((path) => path.includes('(deleted)'))).toEqual([])
    // Garbage that is not collected yet is no leak: streams that keep 15 kB each would pass this.
    expect(resident() - before.resident).toBeLessThan(30e6)
  }, 120_000)

  it('gives a message of 100 kB whole', async () => {
    const message = 'm'.repeat(100_000)
    journal.append(entryAt(1000, { MESSAGE: message }))
    const { text } = await get(port, '/v1/range/?skip_prev=1', { headers: { accept: 'application/json' } })
    expect(JSON.parse(text).fields.MESSAGE).toBe(message)
  })

  it(
    `lets a stream without entries live for ${IDLE_S} s, with pings`,
    async () => {
      await new Promise((resolve) => setTimeout(resolve, idleSince + IDLE_S * 1000 - Date.now()))
      expect(idle.isEnded()).toBe(false)
      const pings = idle.body().toString().split(': ping\n\n').length - 1
      // One after a second, then one in 15 s or so.
      expect(pings).toBeGreaterThanOrEqual(Math.floor(IDLE_S / 16.5))
      expect(idle.body().toString().replaceAll(': ping\n\n', '')).toBe('')
      journal.append(entryAt(2000, { MESSAGE: 'never' }))
      await until('the entry', () => idle.body().includes('"never"'), 5000)
    },
    (IDLE_S + 60) * 1000,
  )
})
