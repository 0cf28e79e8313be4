import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { HttpClient, retryAfterMs } from '../../../sinks/parts/http.ts'
import { failureOf } from '../../contract/sinkContract.ts'

const NEVER = new AbortController().signal
const cleanups: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

type Answering = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void

interface Asked {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

async function serve(answering: Answering = (_, response) => void response.end('fine')) {
  const asked: Asked[] = []
  let sockets = 0
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray().catch(() => []))
    const { method, url, headers } = request
    asked.push({ method, url, headers, body: body.toString() })
    answering(request, response, body)
  })
  server.on('connection', (socket) => {
    sockets++
    socket.on('close', () => sockets--)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const stop = () => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  }
  cleanups.push(stop)
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    stop,
    server,
    sockets: () => sockets,
  }
}

async function clientFor(urls: readonly string[], timeoutMs = 5000): Promise<HttpClient> {
  const client = await HttpClient.make({ urls, timeoutMs, connections: 4 })
  cleanups.push(() => client.close())
  return client
}

describe('a request', () => {
  it('goes below the base address, with its headers and its body, over connections that are kept', async () => {
    const server = await serve((_, response, body) => response.writeHead(201, { 'x-a': 'b' }).end(`got ${body.length}`))
    const client = await clientFor([`${server.url}/base/`])
    for (const body of [Buffer.alloc(300_000, 'x'), 'text', 'more', '']) {
      const answer = await client.send({ path: '/p?q=1', headers: { h: 'v' }, body, signal: NEVER })
      expect([answer.status, answer.headers['x-a'], answer.body.toString()]).toEqual([201, 'b', `got ${body.length}`])
    }
    const [first] = server.asked
    expect([first?.method, first?.url, first?.headers['h']]).toEqual(['POST', '/base/p?q=1', 'v'])
    // Undici takes another one while it tidies up after an answer.
    expect(server.sockets()).toBeLessThanOrEqual(2)
  })

  it('gives an answer in pieces as a whole', async () => {
    const server = await serve(async (_, response) => {
      for (let n = 0; n < 5; n++) {
        response.write(`${n}`.repeat(1000))
        await sleep(2)
      }
      response.end()
    })
    const client = await clientFor([server.url])
    expect((await client.send({ method: 'GET', path: '/', signal: NEVER })).body.length).toBe(5000)
  })

  it.each<[string, Answering]>([
    ['no answer', () => undefined],
    ['half an answer', (_, response) => void response.writeHead(200, { 'content-length': '100' }).write('x')],
  ])('that gets %s is in doubt after a while, and its connection is dropped', async (_, answering) => {
    const server = await serve(answering)
    const client = await clientFor([server.url], 80)
    expect(await failureOf(client.send({ path: '/', body: 'x', signal: NEVER }))).toBe('in-doubt')
    for (let n = 0; n < 100 && server.sockets() > 0; n++) await sleep(10)
    expect(server.sockets()).toBe(0)
  })

  it('that is called off is in doubt at once, and its connection is dropped', async () => {
    const server = await serve(() => undefined)
    const client = await clientFor([server.url])
    const stop = new AbortController()
    const outcome = failureOf(client.send({ path: '/', body: 'x', signal: stop.signal }))
    while (server.asked.length === 0) await sleep(5)
    const begun = performance.now()
    stop.abort()
    expect(await outcome).toBe('in-doubt')
    expect(performance.now() - begun).toBeLessThan(200)
    for (let n = 0; n < 100 && server.sockets() > 0; n++) await sleep(10)
    expect(server.sockets()).toBe(0)
  })

  it('that was called off before it began is not sent', async () => {
    const server = await serve()
    const client = await clientFor([server.url])
    expect(await failureOf(client.send({ path: '/', signal: AbortSignal.abort() }))).toBe('in-doubt')
    await sleep(30)
    expect(server.asked).toEqual([])
  })

  it('whose connection is reset is in doubt; one that finds nobody was not sent', async () => {
    const server = await serve((request) => request.socket.resetAndDestroy())
    const client = await clientFor([server.url])
    expect(await failureOf(client.send({ path: '/', body: 'x', signal: NEVER }))).toBe('in-doubt')
    await server.stop()
    expect(await failureOf(client.send({ path: '/', body: 'x', signal: NEVER }))).toBe('unavailable')
  })

  it('leaves nothing with a signal that lives long', async () => {
    const server = await serve()
    const client = await clientFor([server.url])
    let listeners = 0
    const { signal } = new AbortController()
    const add = signal.addEventListener.bind(signal)
    const remove = signal.removeEventListener.bind(signal)
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners++
      add(...args)
    }
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners--
      remove(...args)
    }
    for (let n = 0; n < 10; n++) await client.send({ path: '/', signal })
    expect(listeners).toBe(0)
  })
})

it('goes through a proxy: as it is to an address without TLS, through a tunnel to one with it', async () => {
  const proxy = await serve((_, response) => void response.end('from the proxy'))
  const tunnels: string[] = []
  proxy.server.on('connect', (request, socket) => {
    tunnels.push(request.url ?? '')
    socket.end('HTTP/1.1 403 Forbidden\r\n\r\n')
  })
  const through = async (url: string) => {
    const client = await HttpClient.make({ urls: [url], proxy: proxy.url, timeoutMs: 5000, connections: 4 })
    cleanups.push(() => client.close())
    return client.send({ path: '/x', body: 'b', signal: NEVER })
  }
  expect((await through('http://splunk.example:8088')).body.toString()).toBe('from the proxy')
  expect(proxy.asked).toMatchObject([{ url: 'http://splunk.example:8088/x', body: 'b' }])
  expect(await failureOf(through('https://splunk.example:8088'))).toBe('unavailable')
  expect(tunnels).toEqual(['splunk.example:8088'])
})

describe('several servers', () => {
  it('are asked in turn, and one that fails rests', async () => {
    const [one, other] = [await serve(), await serve()]
    const client = await clientFor([one.url, other.url])
    for (let n = 0; n < 4; n++) await client.send({ path: '/', signal: NEVER })
    expect([one.asked.length, other.asked.length]).toEqual([2, 2])
    await one.stop()
    const outcomes: unknown[] = []
    for (let n = 0; n < 4; n++) outcomes.push(await failureOf(client.send({ path: '/', signal: NEVER })))
    expect(outcomes.filter((outcome) => outcome !== undefined).length).toBeLessThanOrEqual(1)
    expect(client.next()).toBe(other.url)
  })

  it('can be asked by their address, also one that rests', async () => {
    const [one, other] = [await serve((_, response) => void response.writeHead(503).end()), await serve()]
    const client = await clientFor([one.url, other.url])
    for (let n = 0; n < 3; n++) {
      const answer = await client.send({ path: '/', url: one.url, signal: NEVER })
      expect([answer.status, answer.url]).toEqual([503, one.url])
    }
    expect([client.next(), client.next()]).toEqual([other.url, other.url])
  })
})

it.each([
  ['7', 7000],
  ['0', 0],
  ['Wed, 21 Oct 2015 07:28:30 GMT', 30_000],
  ['100000', 3_600_000],
  ['soon', undefined],
  [undefined, undefined],
])('Retry-After %s is %s ms', (value, wanted) => {
  const now = Date.parse('Wed, 21 Oct 2015 07:28:00 GMT')
  expect(retryAfterMs({ headers: { 'retry-after': value } }, now)).toBe(wanted)
})
