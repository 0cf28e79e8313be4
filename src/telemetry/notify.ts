// sd_notify(3): tells systemd READY, RELOADING, STOPPING and WATCHDOG over the datagram socket named in NOTIFY_SOCKET.
// Node has no Unix datagram sockets, so libc is called through koffi, or systemd-notify is started where koffi is missing.

import { spawn } from 'node:child_process'
import { endianness } from 'node:os'
import type { Log } from './log.ts'

/** Does nothing when systemd did not ask for it. Never throws: a missed notice must not stop the shipping. */
export interface Notifier {
  /** Started, or finished reloading. */
  ready(status?: string): Promise<void>
  reloading(): Promise<void>
  stopping(): Promise<void>
  /** One line for `systemctl status`. */
  status(text: string): Promise<void>
  /** Sends WATCHDOG=1 at half the time that systemd allows, as long as `isAlive` says so. Returns how to stop. */
  startWatchdog(isAlive: () => boolean): () => void
}

type Send = (message: string) => Promise<void>

/** Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID of `env`. */
export async function openNotifier(env: NodeJS.ProcessEnv, log: Log): Promise<Notifier> {
  const address = env['NOTIFY_SOCKET']
  const send: Send = address === undefined || address === '' ? async () => {} : await openSender(address, env, log)
  let isBroken = false
  const tell: Send = async (message) => {
    try {
      await send(message)
    } catch (error) {
      if (!isBroken) log.warn('cannot notify systemd', { error })
      isBroken = true
    }
  }
  const watchdogMs = watchdogPeriod(env)
  return {
    ready: (status) => tell(`READY=1${statusLine(status)}`),
    // Type=notify-reload wants the time with it, on CLOCK_MONOTONIC, which is what hrtime reads.
    reloading: () => tell(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`),
    stopping: () => tell('STOPPING=1'),
    status: (text) => tell(statusLine(text).trimStart()),
    startWatchdog(isAlive) {
      if (watchdogMs === undefined) return () => {}
      const beat = (): void => {
        if (isAlive()) void tell('WATCHDOG=1')
      }
      beat()
      const timer = setInterval(beat, watchdogMs / 2)
      timer.unref()
      return () => clearInterval(timer)
    },
  }
}

function statusLine(status: string | undefined): string {
  return status === undefined ? '' : `\nSTATUS=${status.replaceAll('\n', ' ')}`
}

function watchdogPeriod(env: NodeJS.ProcessEnv): number | undefined {
  const usec = Number(env['WATCHDOG_USEC'] ?? 0)
  const pid = env['WATCHDOG_PID']
  // A watchdog that is meant for another process of the unit, as sd_watchdog_enabled(3) defines it.
  if (pid !== undefined && pid !== String(process.pid)) return undefined
  return Number.isSafeInteger(usec) && usec > 0 && env['NOTIFY_SOCKET'] ? usec / 1000 : undefined
}

async function openSender(address: string, env: NodeJS.ProcessEnv, log: Log): Promise<Send> {
  // vsock: addresses are for virtual machines without a shared kernel; systemd-notify knows them.
  if (!address.startsWith('/') && !address.startsWith('@')) return spawnSender(env)
  try {
    return await socketSender(address)
  } catch (error) {
    log.debug('notifying systemd by starting systemd-notify, since koffi is not available', { error })
    return spawnSender(env)
  }
}

// Linux's numbers, the same on x86-64, arm64, ppc64le, s390x and riscv64 (asm-generic/socket.h, bits/socket.h).
const AF_UNIX = 1
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000
const MSG_DONTWAIT_NOSIGNAL = 0x40 | 0x4000

async function socketSender(address: string): Promise<Send> {
  const { default: koffi } = await import('koffi')
  // The process itself: libc is part of it, glibc or musl.
  const libc = koffi.load(null)
  const socket = libc.func('int socket(int domain, int type, int protocol)')
  const close = libc.func('int close(int fd)')
  const sendto = libc.func(
    'intptr_t sendto(int fd, const void *buf, size_t len, int flags, const void *addr, uint32_t addrlen)',
  )
  const target = socketAddress(address)
  return async (message) => {
    const fd: number = socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0)
    if (fd < 0) throw new Error(`socket: errno ${koffi.errno()}`)
    try {
      const bytes = Buffer.from(message)
      const sent: number = sendto(fd, bytes, bytes.length, MSG_DONTWAIT_NOSIGNAL, target, target.length)
      if (sent < 0) throw new Error(`sendto ${address}: errno ${koffi.errno()}`)
    } finally {
      close(fd)
    }
  }
}

/** struct sockaddr_un. A name with `@` lies in the abstract namespace: a NUL byte, then the name without an end mark. */
function socketAddress(address: string): Buffer {
  const isAbstract = address.startsWith('@')
  const path = Buffer.from(isAbstract ? `\0${address.slice(1)}` : `${address}\0`)
  const family = Buffer.alloc(2)
  if (endianness() === 'LE') family.writeUInt16LE(AF_UNIX)
  else family.writeUInt16BE(AF_UNIX)
  return Buffer.concat([family, path])
}

function spawnSender(env: NodeJS.ProcessEnv): Send {
  return (message) =>
    new Promise((resolve, reject) => {
      const child = spawn('systemd-notify', message.split('\n'), {
        env: { ...env },
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      let words = ''
      child.stderr.on('data', (chunk: Buffer) => {
        words += chunk
      })
      child.on('error', reject)
      child.on('close', (code) => {
        if (code === 0) resolve()
        else reject(new Error(`systemd-notify ended with ${code}: ${words.trim()}`))
      })
    })
}
