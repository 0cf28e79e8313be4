// What a caller may take: sizes, counts, times; slow readers; what happens to idle streams; CORS and headers.
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { get, type OpenReply, open, startTestApi, type TestApi } from '../../support/api.ts'
import { ApiJournal, entryAt } from '../../support/apiJournal.ts'
import { writeJournal } from '../../support/journals.ts'
import { describeWith } from '../../support/needs.ts'
import { until } from '../../support/program.ts'
import { tempDir } from '../../support/tempDir.ts'

describeWith(['systemd-journal-remote'], 'protection', () => {
  const home = tempDir()
  let small: ApiJournal
  let large: string
  let api: TestApi

  beforeAll(async () => {
    small = new ApiJournal(join(home, 'small'), [entryAt(1, { MESSAGE: 'one' })])
    large = join(home, 'large')
    await writeJournal(large, 'system', { entries: 40_000, profile: 'dcos-node', seed: 1 })
    const limits = { streams: 2, filters: 4, head: '2KiB', headers: 12, request: '1s' }
    api = await startTestApi({ dir: small.dir, api: { limits } })
  })
  afterAll(async () => await api.close())

  it('limits filters, headers, sizes and streams, each with its own answer', async () => {
    const filters = Array.from({ length: 5 }, (_, i) => `filter=A:${i}`).join('&')
    expect((await get(api.port, `/v1/range/?${filters}`)).text).toBe('Message: expected at most 4 filters, found 5\n')
    const many = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`x-${i}`, '1']))
    expect((await get(api.port, '/v1/range/', { headers: many })).status).toBe(431)
    expect((await get(api.port, `/v1/range/?${'x'.repeat(3000)}`)).status).toBe(431)
    const events = { headers: { accept: 'text/event-stream' } }
    const streams = [await open(api.port, '/v1/stream/'), await open(api.port, '/v2/component', events)]
    const third = await get(api.port, '/v1/stream/')
    expect([third.status, third.headers['retry-after']]).toEqual([429, '5'])
    for (const stream of streams) stream.close()
    await until('the streams are given back', () => value(api, 'logferry_api_streams') === 0)
    const again = await open(api.port, '/v1/stream/')
    expect(again.status).toBe(200)
    again.close()
  })

  it('closes a connection that does not finish its request, and those beyond the limit', async () => {
    const slow = connect(api.port, '127.0.0.1')
    const answer = collect(slow)
    slow.write('GET /v1/range/ HTTP/1.1\r\nHost: x\r\n')
    await until('the connection is closed', () => slow.destroyed || slow.readableEnded, 10_000)
    expect(answer()).toMatch(/^(?:HTTP\/1\.1 408 |$)/)
    const few = await startTestApi({ dir: small.dir, api: { limits: { connections: 8 } } })
    const idle = Array.from({ length: 8 }, () => connect(few.port, '127.0.0.1'))
    await Promise.all(idle.map((socket) => new Promise((resolve) => socket.once('connect', resolve))))
    const ninth = connect(few.port, '127.0.0.1')
    collect(ninth)
    await until('the ninth is closed', () => ninth.destroyed || ninth.readableEnded)
    for (const socket of idle) socket.destroy()
    await few.close()
  })

  it('ignores bodies, header tricks and control characters', async () => {
    const json = { 'content-type': 'application/json' }
    expect((await get(api.port, '/v1/fields/STREAM', { method: 'POST', body: '{"a":', headers: json })).status).toBe(
      204,
    )
    const { status, headers } = await get(api.port, '/v1/range/download?postfix=a%0d%0aX-Evil:%201%22/..')
    expect(status).toBe(200)
    expect(headers['content-disposition']).toBe('attachment; filename=root-range-a__X-Evil__1__...log.gz')
    expect(headers['x-evil']).toBeUndefined()
    for (const path of ['/v1/fields/%00', '/v1/fields/%', '/v2/component/a%2fb']) {
      expect([400, 404]).toContain((await get(api.port, path)).status)
    }
    const moved = await get(api.port, '//evil.example/%2e%2e/%0d%0aSet-Cookie:x')
    expect([moved.status, moved.headers.location]).toEqual([301, '/%0D%0ASet-Cookie%3Ax'])
  })

  it('answers origins as it is told', async () => {
    const listed = await startTestApi({ dir: small.dir, api: { cors: ['https://ui.example'] } })
    const from = (origin: string) => get(listed.port, '/v1/range/', { headers: { origin } })
    expect((await from('https://ui.example')).headers).toMatchObject({
      'access-control-allow-origin': 'https://ui.example',
      'access-control-allow-credentials': 'true',
    })
    expect((await from('https://evil.example')).headers['access-control-allow-origin']).toBeUndefined()
    const asking = { origin: 'https://ui.example', 'access-control-request-method': 'GET' }
    const ahead = await get(listed.port, '/v1/range/', { method: 'OPTIONS', headers: asking })
    const allowed = 'Authorization, Accept, Last-Event-ID'
    expect([ahead.status, ahead.headers['access-control-allow-headers']]).toEqual([204, allowed])
    await listed.close()
  })

  it('cuts a client that takes nothing, with little of the answer in memory, and counts it', async () => {
    const own = await startTestApi({ dir: large, api: { limits: { stall: '1s' } } })
    const socket = connect(own.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write('GET /v1/range/ HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n\r\n')
    socket.pause()
    const before = process.memoryUsage().arrayBuffers
    await until('the cut', () => value(own, 'logferry_api_cut_total') === 1, 10_000)
    // Windows and caches of the journal are in it; the answer has some 50 MB.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(24 << 20)
    await until('the line', () => own.log().includes('"ended":"slow"'))
    socket.destroy()
    await own.close()
  })

  it('gives every entry to each of many followers once, whoever is slow, and to those who join while entries come', async () => {
    const journal = new ApiJournal(join(home, 'live'), [entryAt(1, { MESSAGE: 'first' })])
    const own = await startTestApi({ dir: journal.dir })
    const headers = { accept: 'text/event-stream' }
    const streams: OpenReply[] = []
    for (let i = 0; i < 20; i++) streams.push(await open(own.port, '/v1/stream/', { headers }))
    const slow = streams[0] as OpenReply
    slow.message.pause()
    const rounds = 40
    const each = 25
    for (let round = 0; round < rounds; round++) {
      const first = round * each
      const entry = (_: unknown, i: number) =>
        entryAt(10 + first + i, { MESSAGE: `n${first + i}`, PAD: `${first + i}`.repeat(1000) })
      journal.append(...Array.from({ length: each }, entry))
      if (round % 10 === 5) streams.push(await open(own.port, '/v1/stream/', { headers }))
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    slow.message.resume()
    const wanted = ['first', ...Array.from({ length: rounds * each }, (_, i) => `n${i}`)]
    for (const stream of streams) {
      await until('all entries', () => stream.body().includes(`"n${rounds * each - 1}"`))
      const messages = Array.from(
        stream
          .body()
          .toString()
          .matchAll(/"MESSAGE":"(\w+)"/g),
        ([, text]) => text,
      )
      expect(messages).toEqual(wanted)
    }
    for (const stream of streams) stream.close()
    await own.close()
  })
})

function value(api: TestApi, name: string): number {
  return api.metrics.read().find((one) => one.name === name)?.value ?? 0
}

function collect(socket: Socket): () => string {
  let text = ''
  socket.setEncoding('utf8').on('data', (part: string) => {
    text += part
  })
  socket.on('error', () => {})
  return () => text
}
