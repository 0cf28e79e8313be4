// SIGHUP: the configuration is read again. A file with mistakes changes nothing; sinks whose settings stayed the same run on.
// Invariant: one reload at a time; what cannot be changed while running is compared with how the daemon was started.
import { type Config, changesThatNeedRestart, loadConfig } from '../../config/load.ts'
import { formatMistake } from '../../config/mistakes.ts'
import { isProblem } from '../../errors.ts'
import type { Pipeline, Reloaded } from '../../pipeline/pipeline.ts'
import type { SinkSpec } from '../../pipeline/settings.ts'
import type { RootLog } from '../../telemetry/log.ts'
import type { Metrics } from '../../telemetry/metrics.ts'
import type { Notifier } from '../../telemetry/notify.ts'

export interface ReloadParts {
  /** The file, and what it was at the start. */
  readonly file: string
  readonly config: Config
  readonly pipeline: Pipeline
  readonly metrics: Metrics
  readonly log: RootLog
  readonly notifier: Notifier
}

export class Reloads {
  readonly #parts: ReloadParts
  #sinks: readonly SinkSpec[]
  #turn: Promise<void> = Promise.resolve()

  constructor(parts: ReloadParts) {
    this.#parts = parts
    this.#sinks = parts.config.sinks
  }

  /** The sinks that run, or are about to. */
  get sinks(): readonly SinkSpec[] {
    return this.#sinks
  }

  /** Reads the file once more, after reloads that are under way. Never rejects but for bugs. */
  reload(): Promise<void> {
    this.#turn = this.#turn.then(() => this.#reload())
    return this.#turn
  }

  /** Resolves when no reload is under way. */
  settled(): Promise<void> {
    return this.#turn
  }

  async #reload(): Promise<void> {
    const { log, metrics, notifier } = this.#parts
    await notifier.reloading()
    const isDone = await this.#apply()
    metrics.add('logferry_reloads_total', { outcome: isDone ? 'ok' : 'failed' })
    if (!isDone) log.warn('the configuration was not taken, everything goes on as before')
    await notifier.ready()
  }

  async #apply(): Promise<boolean> {
    const { file, config, pipeline, log } = this.#parts
    let next: Config
    try {
      next = await loadConfig(file, process.env)
    } catch (error) {
      if (!isProblem(error)) throw error
      log.error(error.message, { code: error.code, hint: error.hint })
      return false
    }
    for (const warning of next.warnings) log.warn(formatMistake(warning))
    const later = changesThatNeedRestart(config, next)
    if (later.length > 0) log.warn(`changes of ${later.join(', ')} take effect at the next start`)
    log.level = next.log.level
    if (config.sinks.length === 0 && next.sinks.length > 0) {
      // What is kept of the journal for sinks is set up at the start.
      log.warn('the first sinks take effect at the next start')
      return true
    }
    this.#sinks = next.sinks
    log.info(`configuration read again: ${describe(await pipeline.reload(next.sinks))}`)
    return true
  }
}

function describe(reloaded: Reloaded): string {
  const parts = Object.entries(reloaded).flatMap(([what, names]) =>
    names.length === 0 ? [] : [`${names.join(', ')} ${what === 'kept' ? 'unchanged' : what}`],
  )
  return parts.join('; ')
}
