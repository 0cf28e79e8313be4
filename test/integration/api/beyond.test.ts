// What the API does beyond the original: Accept lists, NDJSON, export, compression, time, priority, grep, arrays, components, OpenAPI; and what the
// original did not survive: rotation, files of long lines, followers of files.
import { renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ROUTES } from '../../../src/api/routes/openapi.ts'
import { eventsOf, get, open, startTestApi, type TestApi } from '../../support/api.ts'
import { ApiJournal, entryAt } from '../../support/apiJournal.ts'
import { journalctl } from '../../support/journals.ts'
import { startMesos } from '../../support/mesosStandIn.ts'
import { describeWith } from '../../support/needs.ts'
import { until } from '../../support/program.ts'
import { tempDir } from '../../support/tempDir.ts'

const MESSAGES = (text: string) => Array.from(text.matchAll(/"MESSAGE":"([^"]*)"/g), ([, message]) => message)

describeWith(['systemd-journal-remote', 'journalctl'], 'beyond the original', () => {
  const home = tempDir()
  const start = Math.floor(Date.now() / 1000) - 1_700_000_000 - 1000
  let journal: ApiJournal
  let api: TestApi

  beforeAll(async () => {
    const entries = Array.from({ length: 50 }, (_, i) =>
      entryAt(start + i, {
        MESSAGE: `message ${i} ${'a'.repeat(i)}`,
        PRIORITY: String(i % 8),
        ...(i % 2 === 0
          ? { _SYSTEMD_UNIT: 'even.service' }
          : { CONTAINER_ID: 'co', EXECUTOR_ID: 'ex', FRAMEWORK_ID: 'fw' }),
        ...(i === 7 && { TAG: ['x', 'y'] }),
      }),
    )
    journal = new ApiJournal(join(home, 'journal'), entries)
    api = await startTestApi({ dir: journal.dir })
  })
  afterAll(async () => await api.close())

  const ask = (path: string, headers: Record<string, string> = {}) => get(api.port, path, { headers })

  it('reads Accept as a list on v2, and answers NDJSON and export', async () => {
    const type = async (accept: string) => (await ask('/v2/component?limit=1', { accept })).headers['content-type']
    expect(await type('application/x-ndjson')).toBe('application/x-ndjson')
    expect(await type('text/html;q=0.9, application/json;q=0.5, text/plain;q=0.1')).toBe('application/json')
    expect(await type('text/html, */*;q=0.1')).toBe('text/plain')
    expect(await type('application/x-ndjson;q=0, application/*')).toBe('application/json')
    expect((await ask('/v2/component', { accept: 'image/png, image/*;q=0.5' })).status).toBe(406)
    const exported = await ask('/v2/component', { accept: 'application/vnd.fdo.journal' })
    expect(exported.body).toEqual(journalctl(['-D', journal.dir, '-o', 'export']))
    const lines = await ask('/v2/component', { accept: 'application/x-ndjson' })
    expect(lines.text).toBe((await ask('/v2/component', { accept: 'application/json' })).text)
  })

  it('compresses for those who take it, and never events', async () => {
    const plain = await ask('/v2/component', { accept: 'application/json' })
    const packed = (coding: string) => ask('/v2/component', { accept: 'application/json', 'accept-encoding': coding })
    const gzip = await packed('gzip, br')
    expect([gzip.headers['content-encoding'], gunzipSync(gzip.body).toString()]).toEqual(['gzip', plain.text])
    const zstd = await packed('gzip;q=0.5, zstd')
    expect([zstd.headers['content-encoding'], zstdDecompressSync(zstd.body).toString()]).toEqual(['zstd', plain.text])
    expect((await packed('gzip;q=0')).headers['content-encoding']).toBeUndefined()
    const events = await open(api.port, '/v2/component', {
      headers: { accept: 'text/event-stream', 'accept-encoding': 'gzip' },
    })
    expect(events.headers['content-encoding']).toBeUndefined()
    events.close()
    // A follower of compressed lines sees each as it comes.
    const live = new ApiJournal(join(home, 'packed'), [entryAt(1, { MESSAGE: 'first' })])
    const own = await startTestApi({ dir: live.dir })
    const follower = await open(own.port, '/v2/component?follow=true', {
      headers: { accept: 'application/json', 'accept-encoding': 'zstd' },
    })
    await until('the first part', () => follower.body().length > 0)
    const length = follower.body().length
    live.append(entryAt(2, { MESSAGE: 'second' }))
    await until('the second part', () => follower.body().length > length)
    follower.close()
    await own.close()
  })

  it('takes times and priorities, in both directions', async () => {
    const at = (i: number) => `@${1_700_000_000 + start + i}`
    const numbers = async (query: string) =>
      MESSAGES((await ask(`/v2/component?${query}`, { accept: 'application/json' })).text).map((text) =>
        Number(text?.split(' ')[1]),
      )
    expect(await numbers(`since=${at(10)}&until=${at(13)}`)).toEqual([10, 11, 12, 13])
    expect(await numbers(`since=${at(10)}&until=${at(13)}&reverse=true`)).toEqual([13, 12, 11, 10])
    expect(await numbers(`until=${at(13)}&skip=-2`)).toEqual([12, 13])
    expect(await numbers(`until=${at(13)}&cursor=END&skip=-3&reverse=true&limit=2`)).toEqual([11, 10])
    expect(await numbers(`since=${at(46)}&skip=2`)).toEqual([47, 48, 49])
    expect(await numbers(`priority=err&limit=5`)).toEqual([0, 1, 2, 3, 8])
    expect(await numbers(`priority=0&since=${at(20)}`)).toEqual([24, 32, 40, 48])
    for (const query of ['since=soon', 'priority=9', 'arrays=maybe', 'grep=(', `grep=${'a'.repeat(600)}`]) {
      expect((await ask(`/v2/component?${query}`)).status).toBe(400)
    }
  })

  it('searches without being held up by any pattern', async () => {
    const found = await ask('/v2/component?grep=message%20(1|2)%20', { accept: 'application/json' })
    expect(MESSAGES(found.text)).toEqual(['message 1 a', 'message 2 aa'])
    expect((await ask('/v2/component?grep=nothing%20of%20it')).status).toBe(204)
    // Each of these takes an engine that backtracks for ever on such messages.
    for (const pattern of [
      '(a+)+$b',
      '(a|aa)+$c',
      '(a*)*d',
      '(.*a){20}x',
      'a{1,900}a{1,900}y',
      '((a{1,30}){1,30}){1,30}z',
    ]) {
      const began = Date.now()
      const { status } = await ask(`/v2/component?grep=${encodeURIComponent(pattern)}`)
      expect([204, 400]).toContain(status)
      expect(Date.now() - began).toBeLessThan(3000)
    }
  })

  it('gives up a search that takes longer than it may', async () => {
    const own = await startTestApi({ dir: journal.dir, api: { limits: { search: '100ms' } } })
    const { status } = await get(own.port, `/v2/component?grep=${encodeURIComponent('(.*a.*a.*a){9}x')}`)
    expect([204, 400, 503]).toContain(status)
    await own.close()
  })

  it('gives all values of a repeated field where that is asked for', async () => {
    const { text } = await ask('/v2/component?filter=TAG:x&arrays=true', { accept: 'application/json' })
    expect(JSON.parse(text).fields.TAG).toEqual(['x', 'y'])
    const one = await ask('/v2/component?filter=TAG:x', { accept: 'application/json' })
    expect(JSON.parse(one.text).fields.TAG).toBe('y')
  })

  it('lists units and tasks with their newest entry and their priorities', async () => {
    const { text } = await ask('/v2/components?window=1h')
    const { units, tasks, truncated } = JSON.parse(text)
    const newest = (i: number) => (1_700_000_000 + start + i) * 1_000_000
    expect(truncated).toBe(false)
    expect(units).toEqual([
      { name: 'even.service', last: newest(48), entries: 25, priorities: { 0: 7, 2: 6, 4: 6, 6: 6 } },
    ])
    expect(tasks).toMatchObject([
      { container_id: 'co', framework_id: 'fw', executor_id: 'ex', last: newest(49), entries: 25 },
    ])
    expect(JSON.parse((await ask('/v2/components?window=1s')).text).units).toEqual([])
    expect((await ask('/v2/components?window=often')).status).toBe(400)
  })

  it('resumes by Last-Event-ID under every parameter', async () => {
    const headers = { accept: 'application/json', 'last-event-id': journal.cursor(40) }
    const { text } = await ask('/v2/component?skip=-10&cursor=BEG&grep=message&priority=7', headers)
    expect(MESSAGES(text).length).toBe(10)
    expect(MESSAGES(text)[0]).toContain('message 40 ')
  })

  it('has a document of exactly the routes that there are', async () => {
    const document = JSON.parse((await ask('/openapi.json')).text)
    const documented = Object.keys(document.paths).sort()
    const page = ['/', '/page.js', '/page.css', '/favicon.ico']
    const served = api.routes
      .map((route) => (route.split(' ')[1] as string).replace(/:(\w+)/g, '{$1}'))
      .filter((path) => !page.includes(path) && path !== '*')
    expect(documented).toEqual([...new Set(served)].sort())
    expect(documented).toEqual(ROUTES.map(({ path }) => path).sort())
    for (const path of documented) {
      const { parameters } = document.paths[path].get
      const inPath = parameters
        .filter((one: { in: string }) => one.in === 'path')
        .map(({ name }: { name: string }) => name)
      expect(inPath).toEqual(Array.from(path.matchAll(/\{(\w+)\}/g), ([, name]) => name))
    }
  })

  it('follows through rotation and vacuum, each entry once', async () => {
    const dir = join(home, 'rotating')
    const live = new ApiJournal(dir, [entryAt(1, { MESSAGE: 'n0' })])
    const own = await startTestApi({ dir })
    const stream = await open(own.port, '/v1/stream/', { headers: { accept: 'text/event-stream' } })
    const quiet = await open(own.port, '/v1/stream/?filter=MESSAGE:n9', { headers: { accept: 'text/event-stream' } })
    for (let i = 1; i <= 9; i++) {
      const archived = join(
        dir,
        `system@0000000000000000000000000000000${i}-0000000000000001-000000000000000${i}.journal`,
      )
      if (i % 3 === 0) renameSync(join(dir, 'system.journal'), archived)
      live.append(entryAt(1 + i, { MESSAGE: `n${i}` }))
      await until(`n${i}`, () => stream.body().includes(`"n${i}"`))
      // The file that was archived is gone, as journald vacuums.
      if (i % 3 === 0) rmSync(archived)
    }
    expect(
      MESSAGES(
        eventsOf(stream.body())
          .map(({ data }) => data)
          .join('\n'),
      ),
    ).toEqual(Array.from({ length: 10 }, (_, i) => `n${i}`))
    await until('the one of the quiet stream', () => quiet.body().includes('"n9"'))
    expect([stream.isEnded(), quiet.isEnded()]).toEqual([false, false])
    stream.close()
    quiet.close()
    await own.close()
  })

  it('reads sandbox files byte for byte: long lines, cut characters, no newline at the end; and follows them', async () => {
    const folder = '/var/lib/mesos/slave/slaves/ag/frameworks/f/executors/e/runs/c'
    const long = `${'ü'.repeat(100_000)}|`
    const bytes = Buffer.concat([Buffer.from(`x${long}\n\nlast `), Buffer.from([0xff, 0xfe]), Buffer.from(' line')])
    const files: Record<string, Buffer> = {
      [`${folder}/stdout`]: bytes,
      [`${folder}/live`]: Buffer.from('one\ntwo\nthr'),
    }
    const mesos = await startMesos({ state: { slaves: [{ id: 'ag', pid: 'slave(1)@10.0.0.5:5051' }] }, files })
    const own = await startTestApi({
      dir: journal.dir,
      mesos: { master: mesos.url, agent: mesos.url },
      node: { ip: '10.0.0.5' },
    })
    const base = '/v2/task/frameworks/f/executors/e/runs/c'
    const whole = await get(own.port, `${base}/stdout`)
    expect(whole.body.equals(Buffer.concat([bytes, Buffer.from('\n')]))).toBe(true)
    expect((await get(own.port, `${base}/stdout?cursor=END&skip=-1`)).body.subarray(0, 5).toString()).toBe('last ')
    expect((await get(own.port, `${base}/stdout?cursor=END&skip=-3&limit=1`)).text).toBe(`x${long}\n`)

    const events = { accept: 'text/event-stream' }
    const stream = await open(own.port, `${base}/live`, { headers: events })
    await until('two lines', () => eventsOf(stream.body()).length === 2)
    files[`${folder}/live`] = Buffer.from('one\ntwo\nthree\n\nfour\n')
    await until('four lines', () => eventsOf(stream.body()).length === 4)
    stream.close()
    const ids = eventsOf(stream.body()).map(({ id }) => id)
    expect(MESSAGES(stream.body().toString())).toEqual(['one', 'two', 'three', 'four'])
    const again = await open(own.port, `${base}/live?cursor=END&skip=-5`, {
      headers: { ...events, 'last-event-id': ids[1] as string },
    })
    await until('the rest', () => eventsOf(again.body()).length === 2)
    expect(MESSAGES(again.body().toString())).toEqual(['three', 'four'])
    again.close()
    await own.close()
    await mesos.close()
  })
})
