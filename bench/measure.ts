// Times whole processes: user and system CPU seconds as the shell's `time` reports them, and the peak of resident memory.
// CPU seconds, not wall time: the machines are shared. Compare only figures of the same run.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { finished } from 'node:stream/promises'

export interface Usage {
  /** User + system seconds of the process and its children. */
  readonly cpu: number
  /** Peak resident bytes of the process itself, sampled from /proc. */
  readonly rss: number
  readonly status: number | null
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  /** Called every 50 ms; returning true ends the process with SIGTERM. For programs that follow for ever. */
  readonly until?: () => boolean
}

/** Runs a command with its output thrown away. */
export async function measure(command: string, args: readonly string[], options: RunOptions = {}): Promise<Usage> {
  const script = 'TIMEFORMAT="%3U %3S"; exec 3>&2; time "$0" "$@" >/dev/null 2>&3'
  const child = spawn('bash', ['-c', script, command, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...options.env },
    detached: true,
  })
  let text = ''
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    text += part
  })
  let rss = 0
  let ended = false
  const timer = setInterval(() => {
    const pid = childOf(child.pid)
    if (pid === undefined) return
    rss = Math.max(rss, peak(pid))
    if (!ended && options.until?.() === true) {
      ended = true
      process.kill(pid, 'SIGTERM')
    }
  }, 50)
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code) => resolve(code))
  })
  await finished(child.stderr)
  clearInterval(timer)
  const times = /(\d+\.\d+) (\d+\.\d+)\s*$/.exec(text)
  if (times === null) throw new Error(`${command} ${args.join(' ')}: no times in ${text}`)
  if (status !== 0 && !ended) throw new Error(`${command} ${args.join(' ')} ended with ${status}: ${text}`)
  return { cpu: Number(times[1]) + Number(times[2]), rss, status }
}

function childOf(pid: number | undefined): number | undefined {
  try {
    const found = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]
    return found === undefined || found === '' ? undefined : Number(found)
  } catch {
    return undefined // it has ended
  }
}

function peak(pid: number): number {
  try {
    return 1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
  } catch {
    return 0 // it has ended
  }
}

/** The usage with the least CPU of `rounds` runs. */
export async function best(rounds: number, run: () => Promise<Usage>): Promise<Usage> {
  const { only } = await bestOfEach(rounds, { only: run })
  return only
}

/** The same for several that are to be compared: in turns, so that a noisy minute on a shared machine meets all of them. */
export async function bestOfEach<Name extends string>(
  rounds: number,
  runs: Readonly<Record<Name, () => Promise<Usage>>>,
): Promise<Record<Name, Usage>> {
  const least: Partial<Record<Name, Usage>> = {}
  for (let round = 0; round < rounds; round++) {
    for (const name of Object.keys(runs) as Name[]) {
      const next = await runs[name]()
      if (next.cpu < (least[name]?.cpu ?? Number.POSITIVE_INFINITY)) least[name] = next
    }
  }
  return least as Record<Name, Usage>
}
