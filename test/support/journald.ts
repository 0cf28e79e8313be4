// A real systemd-journald in a mount namespace of its own (journald.sh). Needs root.
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'

const SCRIPT = join(import.meta.dirname, 'journald.sh')

export interface Journald {
  /** Root of the instance; `var` and `run` below it are what is /var/log/journal and /run/log/journal inside. */
  readonly root: string
  readonly varDir: string
  readonly runDir: string
  readonly machineId: string
  /** The native protocol's datagram socket. */
  readonly socket: string
  rotate(): void
  flush(): void
  sync(): void
  /** Goes back to writing to /run (volatile), until the next flush. */
  relinquish(): void
  vacuum(size: string): void
  /** SIGKILL: leaves the active file ONLINE; the next start puts it aside as `.journal~`. */
  kill(): void
  stop(): void
  start(conf?: Readonly<Record<string, string>>): void
  /** Writes each line as one entry through systemd-cat, which is one write as long as it fits into the pipe. */
  cat(text: string, identifier?: string): void
  /** Runs a program inside, for example `['logger', …]`, without waiting for it. */
  spawn(args: readonly string[]): ReturnType<typeof spawn>
  /** Stops it and removes everything. */
  clean(): void
}

/** Starts journald with journald.conf settings (Storage=persistent, SystemMaxFileSize=1M …) and environment `ENV:NAME`. */
export function startJournald(root: string, conf: Readonly<Record<string, string>> = {}): Journald {
  mkdirSync(root, { recursive: true })
  let machineId = ''
  const run = (verb: string, ...args: string[]) =>
    execFileSync('bash', [SCRIPT, verb, root, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  const start = (settings: Readonly<Record<string, string>> = conf) => {
    const said = run('start', ...Object.entries(settings).map(([key, value]) => `${key}=${value}`))
    machineId = /machine ([0-9a-f]{32})/.exec(said)?.[1] ?? machineId
  }
  start()
  return {
    root,
    varDir: join(root, 'var'),
    runDir: realpathSync(join(root, 'run')),
    machineId,
    socket: join(root, 'sock/socket'),
    rotate: () => void run('rotate'),
    flush: () => void run('flush'),
    sync: () => void run('sync'),
    relinquish: () => void run('exec', 'journalctl', '--relinquish-var'),
    vacuum: (size) => void run('vacuum', size),
    kill: () => void run('kill'),
    stop: () => void run('stop'),
    start,
    cat: (text, identifier = 'test') => {
      execFileSync('bash', [SCRIPT, 'exec', root, 'systemd-cat', '-t', identifier, 'cat'], {
        input: text,
        stdio: ['pipe', 'ignore', 'pipe'],
      })
    },
    spawn: (args) => spawn('bash', [SCRIPT, 'exec', root, ...args], { stdio: ['pipe', 'pipe', 'inherit'] }),
    clean: () => {
      run('stop')
      run('clean')
    },
  }
}
