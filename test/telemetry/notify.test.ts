import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/telemetry/clock.ts'
import { silentLog } from '../../src/telemetry/log.ts'
import { openNotifier } from '../../src/telemetry/notify.ts'
import { describeWith } from '../support/needs.ts'
import { tempDir } from '../support/tempDir.ts'

const dir = tempDir()
const stops: (() => void)[] = []

afterEach(() => {
  for (const stop of stops.splice(0)) stop()
})

/** Stands for systemd: prints each datagram that comes to the socket as one line of JSON. */
const RECEIVER = `
import json, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1].replace('@', '\\0', 1))
print('"listening"', flush=True)
while True: print(json.dumps(s.recv(4096).decode()), flush=True)
`

async function receive(address: string): Promise<{ next(): Promise<string> }> {
  const child = spawn('python3', ['-c', RECEIVER, address], { stdio: ['ignore', 'pipe', 'inherit'] })
  stops.push(() => child.kill('SIGKILL'))
  const lines = child.stdout.setEncoding('utf8').iterator({ destroyOnReturn: false })
  let text = ''
  const next = async (): Promise<string> => {
    while (!text.includes('\n')) text += (await lines.next()).value
    const line = text.slice(0, text.indexOf('\n'))
    text = text.slice(line.length + 1)
    return JSON.parse(line)
  }
  expect(await next()).toBe('listening')
  return { next }
}

describeWith(['python3'], 'openNotifier', () => {
  it.each([join(dir, 'notify.sock'), `@lf-notify-${process.pid}`])('tells systemd over %s', async (address) => {
    const systemd = await receive(address)
    const notifier = await openNotifier({ NOTIFY_SOCKET: address }, silentLog)
    await notifier.ready('2 sinks')
    expect(await systemd.next()).toBe('READY=1\nSTATUS=2 sinks')
    await notifier.status('search is held:\nwrong token')
    expect(await systemd.next()).toBe('STATUS=search is held: wrong token')
    await notifier.reloading()
    expect(await systemd.next()).toMatch(/^RELOADING=1\nMONOTONIC_USEC=\d+$/)
    await notifier.ready()
    expect(await systemd.next()).toBe('READY=1')
    await notifier.stopping()
    expect(await systemd.next()).toBe('STOPPING=1')
  })

  it('beats the watchdog at half its time, as long as it is alive', async () => {
    const address = join(dir, 'watchdog.sock')
    const systemd = await receive(address)
    const env = { NOTIFY_SOCKET: address, WATCHDOG_USEC: '40000', WATCHDOG_PID: String(process.pid) }
    const notifier = await openNotifier(env, silentLog)
    let isAlive = true
    const stop = notifier.startWatchdog(() => isAlive)
    for (let beat = 0; beat < 3; beat++) expect(await systemd.next()).toBe('WATCHDOG=1')
    isAlive = false
    await systemClock.sleep(60)
    stop()
    await notifier.stopping()
    // A beat may have been under way; none comes after it.
    let message = await systemd.next()
    if (message === 'WATCHDOG=1') message = await systemd.next()
    expect(message).toBe('STOPPING=1')
  })

  it('leaves a watchdog alone that is meant for another process', async () => {
    const address = join(dir, 'other.sock')
    const systemd = await receive(address)
    const env = { NOTIFY_SOCKET: address, WATCHDOG_USEC: '10000', WATCHDOG_PID: '1' }
    const notifier = await openNotifier(env, silentLog)
    notifier.startWatchdog(() => true)
    await systemClock.sleep(30)
    await notifier.ready()
    expect(await systemd.next()).toBe('READY=1')
  })
})

describe('openNotifier without a socket', () => {
  it('does nothing when systemd did not ask', async () => {
    const notifier = await openNotifier({ WATCHDOG_USEC: '1000' }, silentLog)
    await notifier.ready()
    notifier.startWatchdog(() => true)()
    await notifier.stopping()
  })

  it('starts systemd-notify where it knows no way of its own', async () => {
    const bin = join(dir, 'bin')
    mkdirSync(bin)
    writeFileSync(join(bin, 'systemd-notify'), `#!/bin/sh\nprintf '%s\\n' "$NOTIFY_SOCKET" "$@" > ${dir}/called\n`)
    chmodSync(join(bin, 'systemd-notify'), 0o755)
    const env = { NOTIFY_SOCKET: 'vsock:2:1234', PATH: `${bin}:${process.env['PATH']}` }
    const notifier = await openNotifier(env, silentLog)
    await notifier.ready('well')
    expect(readFileSync(join(dir, 'called'), 'utf8')).toBe(`vsock:2:1234\nREADY=1\nSTATUS=well\n`)
  })

  it('warns once, and goes on, when nobody listens', async () => {
    const warnings: string[] = []
    const log = {
      ...silentLog,
      warn: (text: string, fields?: object) => void warnings.push(`${text} ${JSON.stringify(fields)}`),
    }
    const notifier = await openNotifier({ NOTIFY_SOCKET: join(dir, 'nobody.sock') }, log)
    await notifier.ready()
    await notifier.stopping()
    expect(warnings).toHaveLength(1)
  })
})
