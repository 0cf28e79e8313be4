import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { parseListen } from '../../src/telemetry/listen.ts'
import { silentLog } from '../../src/telemetry/log.ts'
import { Metrics } from '../../src/telemetry/metrics.ts'
import {
  type HealthProblem,
  type HealthSource,
  startTelemetryServer,
  type TelemetryServer,
} from '../../src/telemetry/server.ts'
import { tempDir } from '../support/tempDir.ts'

const dir = tempDir()
const open: TelemetryServer[] = []
const well: HealthSource = { live: () => [], ready: () => [] }

afterEach(async () => {
  for (const server of open.splice(0)) await server.close()
})

async function start(listen: string, health = well, metrics = new Metrics()): Promise<TelemetryServer> {
  const server = await startTelemetryServer({ listen: parseListen(listen)!, metrics, health, log: silentLog })
  open.push(server)
  return server
}

describe('startTelemetryServer', () => {
  it('serves metrics and health over TCP, on a port of the system’s choice', async () => {
    const metrics = new Metrics()
    metrics.add('logferry_read_entries_total', {}, 3)
    const { address } = await start('127.0.0.1:0', well, metrics)
    const scrape = await fetch(`http://${address}/metrics`)
    expect(scrape.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
    expect(await scrape.text()).toContain('logferry_read_entries_total 3')
    const ready = await fetch(`http://${address}/health/ready`)
    expect([ready.status, await ready.json()]).toEqual([200, { status: 'ready', problems: [] }])
    const live = await fetch(`http://${address}/health/live`)
    expect([live.status, await live.json()]).toEqual([200, { status: 'live', problems: [] }])
    const other = await fetch(`http://${address}/`)
    expect(other.status).toBe(404)
    expect(await other.json()).toHaveProperty('paths', ['/metrics', '/health/live', '/health/ready'])
  })

  it('answers 503 with what is wrong and the command that mends it, and is live all the same', async () => {
    const problems: HealthProblem[] = [
      { part: 'search', what: 'http://es:9200 answers 401', fix: 'logferry validate -c /etc/logferry.yaml --live' },
    ]
    const { address } = await start('127.0.0.1:0', { live: () => [], ready: () => problems })
    const ready = await fetch(`http://${address}/health/ready`)
    expect([ready.status, await ready.json()]).toEqual([503, { status: 'not ready', problems }])
    expect((await fetch(`http://${address}/health/live`)).status).toBe(200)
    problems.pop()
    expect((await fetch(`http://${address}/health/ready`)).status).toBe(200)
  })

  it('answers 500 and goes on when the health source fails', async () => {
    const health = {
      live: () => [],
      ready: (): HealthProblem[] => {
        throw new Error('secret detail')
      },
    }
    const { address } = await start('127.0.0.1:0', health)
    const answer = await fetch(`http://${address}/health/ready`)
    expect([answer.status, await answer.text()]).toEqual([500, '{"error":"internal error"}'])
    expect((await fetch(`http://${address}/metrics`)).status).toBe(200)
  })

  it('listens on a Unix socket of mode 0660, takes over a stale one, and removes it at the end', async () => {
    const path = join(dir, 'metrics.sock')
    await leaveStaleSocket(path)
    const server = await start(`unix:${path}`)
    expect(statSync(path).mode & 0o777).toBe(0o660)
    expect(await getOverSocket(path, '/health/live')).toBe(200)
    await server.close()
    expect(existsSync(path)).toBe(false)
  })

  it('says why it cannot listen', async () => {
    const { address } = await start('127.0.0.1:0')
    writeFileSync(join(dir, 'file'), '')
    mkdirSync(join(dir, 'folder'))
    const socket = join(dir, 'taken.sock')
    await start(`unix:${socket}`)
    const places = [
      address,
      '203.0.113.1:1',
      `unix:${dir}/none/x.sock`,
      `unix:${dir}/file`,
      `unix:${dir}/folder`,
      `unix:${socket}`,
    ]
    const answers = await Promise.all(
      places.map((place) =>
        start(place).then(
          () => 'listens',
          (error) => `${error.code} ${error.exit}: ${error.message}`,
        ),
      ),
    )
    expect(answers.join('\n').replaceAll(dir, 'DIR').replaceAll(address, 'ADDRESS')).toMatchInlineSnapshot(`
      "LF_LISTEN 74: cannot listen on ADDRESS: another process listens there
      LF_LISTEN 74: cannot listen on 203.0.113.1:1: the machine does not have this address
      LF_LISTEN 74: cannot listen on unix:DIR/none/x.sock: the folder does not exist
      LF_LISTEN 74: cannot listen on unix:DIR/file: there is a file which is no socket
      LF_LISTEN 74: cannot listen on unix:DIR/folder: there is a file which is no socket
      LF_LISTEN 74: cannot listen on unix:DIR/taken.sock: another process listens there"
    `)
  })

  it('does not wait for idle connections when it closes', async () => {
    const server = await start('127.0.0.1:0')
    await (await fetch(`http://${server.address}/health/live`)).text()
    const before = performance.now()
    await server.close()
    expect(performance.now() - before).toBeLessThan(1000)
  })
})

/** What a killed process leaves: a socket file on which nobody listens. */
async function leaveStaleSocket(path: string): Promise<void> {
  const { spawnSync } = await import('node:child_process')
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', script])
  expect(existsSync(path)).toBe(true)
}

function getOverSocket(socketPath: string, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path }, (answer) => {
      answer.resume()
      resolve(answer.statusCode)
    })
      .on('error', reject)
      .end()
  })
}
