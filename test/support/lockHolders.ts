// Processes that take a lock (lockHolder.ts), killed at the end of each test.
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { afterEach } from 'vitest'

const PROGRAM = join(import.meta.dirname, 'lockHolder.ts')

export interface Holder {
  readonly child: ChildProcess
  /** What it printed first: `held` or a code. */
  readonly said: Promise<string>
  readonly gone: Promise<unknown>
}

const children: ChildProcess[] = []
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

/** Starts a process that takes the lock of `folder`, at the time `at` (ms since 1970), perhaps by way of another program. */
export function startHolder(folder: string, options: { at?: number; under?: readonly string[] } = {}): Holder {
  const [program, ...args] = [...(options.under ?? []), process.execPath, PROGRAM, folder, String(options.at ?? 0)]
  const child = spawn(program as string, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  children.push(child)
  const gone = new Promise((resolve) => child.on('close', resolve))
  const said = new Promise<string>((resolve, reject) => {
    child.stdout?.setEncoding('utf8').once('data', (text: string) => resolve(text.trim()))
    child.on('close', () => reject(new Error('it said nothing')))
  })
  return { child, said, gone }
}
