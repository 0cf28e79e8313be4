// Where the API listens and how: Unix socket, systemd's socket, TLS with client certificates; and a whole daemon with nothing but the API.
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { request as httpsRequest } from 'node:https'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { loadConfig } from '../../../src/config/load.ts'
import { get, open, startTestApi } from '../../support/api.ts'
import { ApiJournal, entryAt } from '../../support/apiJournal.ts'
import { type Certificates, makeCertificates } from '../../support/certificates.ts'
import { describeWith } from '../../support/needs.ts'
import { MAIN, startLogferry, until } from '../../support/program.ts'
import { tempDir } from '../../support/tempDir.ts'

describeWith(['systemd-journal-remote', 'openssl'], 'where the API listens', () => {
  const home = tempDir()
  let dir: string
  let certificates: Certificates

  beforeAll(() => {
    dir = new ApiJournal(join(home, 'journal'), [entryAt(1, { MESSAGE: 'one' }), entryAt(2, { MESSAGE: 'two' })]).dir
    certificates = makeCertificates(home)
  })

  it('is a Unix socket with its mode, without asking who it is', async () => {
    const socketPath = join(home, 'api.sock')
    const api = await startTestApi({ dir, api: { listen: `unix:${socketPath}`, socket: { mode: '0600', group: '0' } } })
    expect(statSync(socketPath).mode & 0o777).toBe(0o600)
    expect((await get(0, '/v1/range/?limit=1', { socketPath })).status).toBe(200)
    await api.close()
    expect(() => statSync(socketPath)).toThrow(/ENOENT/)
  })

  it('is no address beyond this machine, unless somebody writes `auth: none`', async () => {
    await expect(startTestApi({ dir, api: { listen: '0.0.0.0:0' } })).rejects.toThrow(
      /write "auth: none" if that is meant/,
    )
    const file = join(home, 'open.yaml')
    writeFileSync(file, 'api: { listen: "0.0.0.0:8080" }\n')
    await expect(loadConfig(file, {})).rejects.toThrow(/api\.listen: .*expected auth/)
    writeFileSync(file, 'api: { listen: "0.0.0.0:8080", auth: none }\n')
    expect((await loadConfig(file, {})).api?.auth).toBeUndefined()
  })

  it('speaks TLS, and knows callers by their certificates', async () => {
    const { ca, server, client } = certificates
    const api = await startTestApi({
      dir,
      api: {
        tls: { cert: server.cert, key: server.key, client_ca: ca },
        auth: { certificates: true, rules: [{ when: { sub: 'client' }, see: [{ MESSAGE: 'two' }] }] },
      },
    })
    const ask = (own: object) =>
      new Promise<string>((resolve, reject) => {
        const options = {
          host: '127.0.0.1',
          port: api.port,
          path: '/v1/range/',
          ca: readFileSync(ca),
          agent: false,
          ...own,
        }
        const request = httpsRequest(options, (response) => {
          let text = ''
          response.setEncoding('utf8').on('data', (part: string) => {
            text += part
          })
          response.on('end', () => resolve(`${response.statusCode} ${text}`))
        })
        request.on('error', reject).end()
      })
    expect(await ask({ cert: readFileSync(client.cert), key: readFileSync(client.key) })).toMatch(/^200 .*: two\n$/)
    expect(await ask({})).toMatch(/^401 /)
    // One that another authority signed is as good as none.
    const folder = join(home, 'strangers')
    mkdirSync(folder)
    const stranger = makeCertificates(folder).client
    expect(await ask({ cert: readFileSync(stranger.cert), key: readFileSync(stranger.key) })).toMatch(/^401 /)
    await until('the line', () => api.log().includes('"caller":"client","how":"certificate"'))
    await api.close()
  })

  describe('logferry run', () => {
    const config = (name: string, text: string): string => {
      const path = join(home, `${name}.yaml`)
      writeFileSync(
        path,
        `journal: { directories: [${dir}] }\nstate: ${join(home, name)}\nlog: { format: text }\n${text}\n`,
      )
      return path
    }

    it('serves with no sinks at all, follows, and ends within its time although a stream is open', async () => {
      const running = startLogferry(['run', '-c', config('alone', 'api: { listen: "127.0.0.1:0" }')])
      await until('the address', () => /logging API at 127\.0\.0\.1:\d+/.test(running.stderr()))
      const port = Number(/logging API at 127\.0\.0\.1:(\d+)/.exec(running.stderr())?.[1])
      const stream = await open(port, '/v1/stream/?skip_prev=1')
      await until('the entry', () => stream.body().includes('two'))
      const began = Date.now()
      running.kill('SIGTERM')
      expect(await running.ended).toBe(0)
      expect(Date.now() - began).toBeLessThan(5000)
      // Nothing to ship, so nothing is linked into the journal's folder.
      expect(() => statSync(join(dir, '.logferry'))).toThrow(/ENOENT/)
    })

    it('takes the socket that systemd passes', async () => {
      const path = config('passed', 'api: { listen: systemd, auth: none }')
      const listener = createServer()
      await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
      const { port } = listener.address() as { port: number }
      const handle = (listener as unknown as { _handle: { fd: number } })._handle
      // exec keeps the shell's pid, which is what LISTEN_PID has to name.
      const script = 'export LISTEN_FDS=1 LISTEN_PID=$$; exec "$0" "$1" run -c "$2"'
      const child = spawn('sh', ['-c', script, process.execPath, MAIN, path], {
        stdio: ['ignore', 'ignore', 'pipe', handle.fd],
      })
      let stderr = ''
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        stderr += text
      })
      const ended = new Promise((resolve) => child.on('close', resolve))
      try {
        await until('the start', () => stderr.includes('logging API at'))
        listener.close()
        expect((await get(port, '/v1/range/')).text).toMatch(/one\n.*two\n/)
      } finally {
        child.kill('SIGTERM')
        await ended
      }
    })
  })
})
