// The real program, started as users start it.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { join } from 'node:path'

export const MAIN = join(import.meta.dirname, '../../src/main.ts')

export interface Finished {
  readonly status: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

export interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
  readonly cwd?: string
  readonly timeoutMs?: number
}

/** Runs `logferry ARGS` to its end. */
export function logferry(args: readonly string[], options: ProgramOptions = {}): Finished {
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [MAIN, ...args], {
    env: { ...process.env, NO_COLOR: '1', ...options.env },
    maxBuffer: 1 << 30,
    timeout: options.timeoutMs ?? 60_000,
    ...(options.input === undefined ? {} : { input: options.input }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  if (error !== undefined) throw error
  return { status, stdout, stderr: stderr.toString() }
}

export interface Running {
  readonly child: ChildProcess
  /** What it has printed to stderr so far. */
  stderr(): string
  stdout(): string
  kill(signal: NodeJS.Signals): void
  /** Resolves with the exit status, or the signal's name, once it has ended. */
  ended: Promise<number | string>
}

/** Starts `logferry ARGS` and leaves it running. */
export function startLogferry(args: readonly string[], options: ProgramOptions = {}): Running {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { ...process.env, NO_COLOR: '1', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  let stderr = ''
  let stdout = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  const ended = new Promise<number | string>((resolve) => {
    child.on('close', (code, signal) => resolve(code ?? signal ?? 'unknown'))
  })
  return { child, stderr: () => stderr, stdout: () => stdout, kill: (signal) => void child.kill(signal), ended }
}

/** Waits until `check` is true, looking every few milliseconds. Fails after `timeoutMs`, saying `what`. */
export async function until(what: string, check: () => boolean, timeoutMs = 20_000): Promise<void> {
  const end = Date.now() + timeoutMs
  while (!check()) {
    if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/**
 * Waits until a count stands still for 1.5 s: what passes through a proxy of this process is not held up meanwhile, as looking at all that
 * arrived would.
 */
export async function standstill(count: () => Promise<unknown> | unknown): Promise<void> {
  let before: unknown
  for (let now = await count(); now !== before; now = await count()) {
    before = now
    await new Promise((resolve) => setTimeout(resolve, 1500))
  }
}
