import { describe, expect, it } from 'vitest'
import { delivery, failureOf, testHost } from '../../contract/sinkContract.ts'
import type { ForwardServerOptions } from '../../support/forwardServer.ts'
import { messageOf, NEVER, openSink, startServer, until } from './kit.ts'
import { packed, sinkFor } from './sinks.ts'

describe('the handshake', () => {
  const key = { shared_key: 'hush-key' }
  const user = { ...key, user: 'logferry', password: 'hush-word' }

  it('F4: a nonce that is sent as text and is no UTF-8', async () => {
    const nonce = Buffer.from('ff80fe00c3280a0d1b2233445566778f', 'hex')
    const server = await startServer({
      security: { sharedKey: 'hush-key', nonce, asText: true, users: { logferry: 'hush-word' } },
    })
    const sink = await openSink(server.port, user)
    expect(await sink.write(packed(3), delivery())).toBe('delivered')
    expect(server.pings).toHaveLength(1)
    expect(server.pings[0]).toHaveLength(6)
  })

  it('F4: a nonce that is sent as bytes, without a user', async () => {
    const server = await startServer({ security: { sharedKey: 'hush-key' } })
    const sink = await openSink(server.port, key)
    expect(await sink.write(packed(3), delivery())).toBe('delivered')
    const [, name, salt, , login, digest] = server.pings[0] as string[]
    expect([name, login, digest]).toEqual(['node-1-logferry', '', ''])
    expect(salt).toMatch(/^[0-9a-f]{32}$/)
  })

  it.each<[string, ForwardServerOptions, object, string, string]>([
    ['a wrong key', { security: { sharedKey: 'other' } }, key, 'refused', 'shared_key mismatch'],
    [
      'a wrong password',
      { security: { sharedKey: 'hush-key', users: { logferry: 'other' } } },
      user,
      'refused',
      'username/password mismatch',
    ],
    ['no user', { security: { sharedKey: 'hush-key', users: {} } }, key, 'refused', 'asks for a user'],
    ['no HELO', {}, key, 'refused', 'no <security>'],
    [
      'a server without the key',
      { security: { sharedKey: 'hush-key', liesInPong: true } },
      key,
      'refused',
      'does not prove',
    ],
    [
      'the name of the server',
      { security: { sharedKey: 'hush-key', hostname: 'same' } },
      { ...key, hostname: 'same' },
      'refused',
      'Same hostname',
    ],
    ['something else', { greeting: Buffer.from('SSH-2.0-OpenSSH_9.2\r\n') }, key, 'refused', 'no HELO'],
    [
      'a server that hangs up',
      { security: { sharedKey: 'hush-key', hangsUp: true } },
      key,
      'unavailable',
      'if it goes on',
    ],
  ])('F5: %s', async (_, options, configured, failure, text) => {
    const server = await startServer(options)
    const sink = sinkFor({ host: '127.0.0.1', port: server.port, ...configured })
    const opened = sink.open(NEVER)
    expect(await messageOf(opened)).toContain(text)
    expect(await failureOf(opened)).toBe(failure)
    expect(await messageOf(opened)).not.toMatch(/hush/)
    await until('the end of the connection', () => server.open === 0)
    const [line] = await sink.check(NEVER)
    expect(line).toMatchObject({ ok: false })
    expect(line?.text).toContain(text)
  })

  it('F5: an unexpected HELO', async () => {
    const server = await startServer({ security: { sharedKey: 'hush-key' } })
    const sink = await openSink(server.port)
    const written = sink.write(packed(3), delivery())
    expect(await messageOf(written)).toContain('wants a shared key')
    expect(await failureOf(written)).toBe('refused')
    expect(await sink.check(NEVER)).toEqual([{ ok: false, text: expect.stringContaining('wants a shared key') }])
  })

  it('F5: a server of another protocol', async () => {
    const server = await startServer({ greeting: Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n') })
    const sink = sinkFor({ host: '127.0.0.1', port: server.port })
    const [line] = await sink.check(NEVER)
    expect(line?.text).toContain('does not speak the forward protocol')
  })

  it('X3: key and password are in no message, and in no log line', async () => {
    const secrets = { shared_key: 'hush-key', user: 'logferry', password: 'hush-word' }
    for (const security of [{ sharedKey: 'other' }, { sharedKey: 'hush-key', users: { logferry: 'other' } }]) {
      const host = testHost()
      const server = await startServer({ security })
      const sink = sinkFor(
        { servers: [{ host: '127.0.0.1', port: server.port }, { path: '/nowhere' }], ...secrets },
        host,
      )
      const message = await messageOf(sink.open(NEVER))
      expect(message).toContain('mismatch')
      expect(JSON.stringify([message, host.lines, await sink.check(NEVER)])).not.toMatch(/hush/)
    }
  })
})
