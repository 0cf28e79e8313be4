// How far a backfill is: a bar where a person looks at stderr, else a line every 10 s.
import type { BackfillProgress } from '../pipeline/backfill.ts'
import { formatCount, formatDuration } from '../units.ts'
import { complain } from './output.ts'

export interface Progress {
  show(progress: BackfillProgress): void
  /** Leaves the last state standing. */
  end(): void
}

const LINE_MS = 10_000

/** Opens the form that fits where stderr goes. */
export async function openProgress(): Promise<Progress> {
  return process.stderr.isTTY ? openBar() : openLines()
}

async function openBar(): Promise<Progress> {
  const { default: cliProgress } = await import('cli-progress')
  const bar = new cliProgress.SingleBar({
    format: '{bar} {percentage}%  {read} of {of} entries  {rate}/s  {left}',
    stream: process.stderr,
    barsize: 24,
    hideCursor: true,
    linewrap: false,
  })
  bar.start(1, 0, fields(undefined))
  return {
    show(progress) {
      bar.setTotal(Math.max(1, progress.total))
      bar.update(progress.read, fields(progress))
    },
    end: () => bar.stop(),
  }
}

function openLines(): Progress {
  let shownAt = performance.now()
  return {
    show(progress) {
      if (performance.now() - shownAt < LINE_MS) return
      shownAt = performance.now()
      const { read, of, rate, left } = fields(progress)
      const percent = Math.floor((100 * progress.read) / Math.max(1, progress.total))
      complain(`${percent}%  ${read} of ${of} entries  ${rate}/s  ${left}`)
    },
    end() {},
  }
}

interface Fields {
  readonly read: string
  readonly of: string
  readonly rate: string
  /** The time left, or what is in the way. */
  readonly left: string
}

function fields(progress: BackfillProgress | undefined): Fields {
  if (progress === undefined) return { read: '0', of: '?', rate: '0', left: '' }
  const { read, total, entriesPerSecond, trouble } = progress
  const seconds = (total - read) / entriesPerSecond
  const left = Number.isFinite(seconds) && seconds > 0 ? `${formatDuration(Math.ceil(seconds) * 1000)} left` : ''
  return {
    read: formatCount(read),
    of: formatCount(total),
    rate: formatCount(Math.round(entriesPerSecond)),
    left: trouble === undefined ? left : `waiting: ${trouble}`,
  }
}
