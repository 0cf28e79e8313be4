// `logferry validate`: reads a configuration as `run` would and says what is wrong with it, for people or as JSON; with --live
// also what is wrong with the journal and the destinations.
import { loadConfig } from '../config/load.ts'
import { ConfigProblems, formatMistake, type Mistake } from '../config/mistakes.ts'
import { EXIT, isProblem } from '../errors.ts'
import { createLog } from '../telemetry/log.ts'
import { checkLive, formatLive } from './live.ts'
import { complain, print } from './output.ts'
import { endOnSignals } from './signals.ts'

export interface ValidateOptions {
  readonly config: string
  readonly json?: boolean
  readonly live?: boolean
}

/** Runs the command: 1 when `live` found something. Mistakes are thrown as the Problem that `run` would end with, but for --json, which prints them. */
export async function validate(options: ValidateOptions): Promise<number> {
  const file = options.config
  try {
    const config = await loadConfig(file, process.env)
    const { sinks, warnings } = config
    const names = sinks.map(({ name, type }) => ({ name, type }))
    if (!options.json) {
      for (const warning of warnings) complain(`logferry: warning: ${formatMistake(warning)}`)
      const list = names.map(({ name, type }) => (name === type ? name : `${name} (${type})`)).join(', ')
      const what = names.length === 0 ? 'no sinks, the API alone' : `${names.length === 1 ? 'sink' : 'sinks'}: ${list}`
      print(`${file} is valid; ${what}\n`)
    }
    if (options.live) endOnSignals()
    const live = options.live ? await checkLive(config, await createLog({ level: 'warn', format: 'text' })) : undefined
    if (options.json) printJson({ file, valid: true, sinks: names, problems: [], warnings, ...(live && { live }) })
    else if (live !== undefined) print(formatLive(live))
    return live?.some(({ ok }) => !ok) ? EXIT.found : EXIT.ok
  } catch (error) {
    if (!options.json || !isProblem(error)) throw error
    const problems = error instanceof ConfigProblems ? error.mistakes : [asMistake(file, error)]
    printJson({ file, valid: false, sinks: [], problems, warnings: [] })
    return error.exit
  }
}

/** A file that cannot be read has no places in it. */
function asMistake(file: string, error: { code: Mistake['code']; message: string; hint: string | undefined }): Mistake {
  const { code, message, hint } = error
  return { code, file, line: 0, column: 0, path: '', message, ...(hint === undefined ? {} : { hint }) }
}

function printJson(value: unknown): void {
  print(`${JSON.stringify(value, undefined, 2)}\n`)
}
