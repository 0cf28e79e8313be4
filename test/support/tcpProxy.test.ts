import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { startTcpProxy, type TcpProxy } from './tcpProxy.ts'

const cleanups: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** A server that keeps what comes and answers each piece with the same bytes in capitals. */
async function begin(): Promise<{ proxy: TcpProxy; got: () => string; server: Server }> {
  let got = ''
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('data', (piece) => {
      got += piece.toString()
      socket.write(piece.toString().toUpperCase())
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const proxy = await startTcpProxy(port)
  cleanups.push(
    () => proxy.close(),
    () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  )
  return { proxy, got: () => got, server }
}

/** A client that keeps what comes; `end` says how its connection ended. */
async function dial(proxy: TcpProxy) {
  const socket = connect(proxy.port, '127.0.0.1')
  let text = ''
  let error: string | undefined
  socket.on('data', (piece) => {
    text += piece.toString()
  })
  socket.on('error', (cause: NodeJS.ErrnoException) => {
    error = cause.code
  })
  const closed = once(socket, 'close').catch(() => undefined)
  await once(socket, 'connect')
  cleanups.push(() => socket.destroy())
  return {
    socket,
    text: () => text,
    closed: async () => {
      await closed
      return error ?? 'end'
    },
  }
}

async function until(check: () => boolean): Promise<void> {
  const end = Date.now() + 2000
  while (!check() && Date.now() < end) await sleep(2)
  expect(check()).toBe(true)
}

describe('the TCP proxy of the tests', () => {
  it('passes bytes in both directions, and the end of a connection', async () => {
    const { proxy, got } = await begin()
    const client = await dial(proxy)
    client.socket.end('hello')
    expect(await client.closed()).toBe('end')
    expect([got(), client.text()]).toEqual(['hello', 'HELLO'])
    expect(proxy.passed).toEqual({ request: 5, reply: 5 })
    await until(() => proxy.open === 0)
  })

  it('cuts after so many bytes of a request, which the target still gets', async () => {
    const { proxy, got } = await begin()
    const client = await dial(proxy)
    const cut = proxy.cutAfter(4, 'request')
    client.socket.write('hello')
    await cut
    expect(await client.closed()).toMatch(/ECONNRESET|end/)
    await until(() => got() === 'hell')
    const next = await dial(proxy)
    next.socket.write('again')
    await until(() => next.text() === 'AGAIN')
  })

  it('lets the target answer and the client never learn it', async () => {
    const { proxy, got } = await begin()
    const client = await dial(proxy)
    const dropped = proxy.dropNextReply()
    client.socket.write('hello')
    await dropped
    await client.closed()
    expect([got(), client.text()]).toEqual(['hello', ''])
  })

  it('holds replies and passes them on later', async () => {
    const { proxy, got } = await begin()
    const client = await dial(proxy)
    proxy.pauseReplies()
    client.socket.write('hello')
    await until(() => got() === 'hello')
    await sleep(20)
    expect(client.text()).toBe('')
    proxy.resumeReplies()
    await until(() => client.text() === 'HELLO')
  })

  it('delays, and keeps the order', async () => {
    const { proxy } = await begin()
    const client = await dial(proxy)
    proxy.delay(30)
    const began = performance.now()
    client.socket.write('a')
    await sleep(5)
    client.socket.write('b')
    await until(() => client.text() === 'AB')
    expect(performance.now() - began).toBeGreaterThan(55)
  })

  it('refuses connections and takes them again on the same port', async () => {
    const { proxy } = await begin()
    const client = await dial(proxy)
    await proxy.refuse()
    expect(await client.closed()).toMatch(/ECONNRESET|end/)
    const refused = connect(proxy.port, '127.0.0.1')
    const [cause] = (await once(refused, 'error')) as [NodeJS.ErrnoException]
    expect(cause.code).toBe('ECONNREFUSED')
    await proxy.accept()
    const next = await dial(proxy)
    next.socket.write('again')
    await until(() => next.text() === 'AGAIN')
  })
})
