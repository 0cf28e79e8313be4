// What `validate --live` does beyond reading the file: looks whether the journal can be read and every destination be reached.
// Invariant: no entry is sent and no position moves.
import type { Config } from '../config/load.ts'
import { isProblem } from '../errors.ts'
import { DEFAULT_DIRECTORIES, JournalSet } from '../journal/directory.ts'
import { MemoryBudget } from '../journal/memory.ts'
import { JournalReader } from '../journal/reader.ts'
import { readFailure } from '../pipeline/delivery/receipt.ts'
import type { SinkSpec } from '../pipeline/settings.ts'
import type { CheckLine, Sink } from '../sink.ts'
import type { Log } from '../telemetry/log.ts'
import { formatDuration } from '../units.ts'
import { makeSink } from './configured.ts'

/** A result, and what it is about: `journal`, or a sink's name. */
export interface LiveLine extends CheckLine {
  readonly part: string
}

/** A sink that does not react to its deadline is left alone after so long. */
const GRACE_MS = 1000

/** Checks the journal and all sinks, these side by side. Never rejects but for bugs of ours. */
export async function checkLive(config: Config, log: Log): Promise<readonly LiveLine[]> {
  const journal = checkJournal(config).map((line) => ({ part: 'journal', ...line }))
  const sinks = await Promise.all(
    config.sinks.map(async (spec) => (await checkSink(spec, log)).map((line) => ({ part: spec.name, ...line }))),
  )
  return [...journal, ...sinks.flat()]
}

function checkJournal({ journal, memory }: Config): readonly CheckLine[] {
  if (journal.sample === 'always') return [{ ok: true, text: 'the bundled sample is shipped' }]
  const { machineId, namespaces, directories = DEFAULT_DIRECTORIES } = journal
  try {
    const set = JournalSet.open({ directories, machineId, namespaces }, new MemoryBudget(memory))
    const lines = set.sources().map((source) => checkSource(set, source))
    const wrong = set.problems.map(({ message, hint }) => wrongLine(message, hint))
    set.close()
    return [...lines, ...wrong]
  } catch (error) {
    if (!isProblem(error)) throw error
    return [wrongLine(error.message, error.hint)]
  }
}

/** Opening a file reads its head alone, so one entry is read, too. */
function checkSource(set: JournalSet, source: string): CheckLine {
  const reader = new JournalReader(set, { source, reverse: true })
  reader.seekTail()
  const newest = reader.next()?.realtime
  reader.close()
  const files = Array.from(set.files).filter((file) => file.source === source).length
  const found = `${files} ${files === 1 ? 'file' : 'files'} of ${source}`
  if (newest === undefined) return { ok: true, text: `${found}, without entries as yet` }
  return { ok: true, text: `${found}, the newest entry of ${new Date(newest / 1000).toISOString()}` }
}

async function checkSink(spec: SinkSpec, log: Log): Promise<readonly CheckLine[]> {
  const { timeoutMs } = spec.settings
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => late.reject(new Error(`no answer within ${formatDuration(timeoutMs)}`)),
    timeoutMs + GRACE_MS,
  )
  try {
    return await Promise.race([ask(makeSink(spec, log), AbortSignal.timeout(timeoutMs)), late.promise])
  } catch (error) {
    return [wrongLine(readFailure(error).message, undefined)]
  } finally {
    clearTimeout(timer)
  }
}

/** A sink without a test of its own is opened and closed. */
async function ask(sink: Sink, signal: AbortSignal): Promise<readonly CheckLine[]> {
  if (sink.check !== undefined) return await sink.check(signal)
  await sink.open(signal)
  await sink.close(signal)
  return [{ ok: true, text: 'can be opened' }]
}

function wrongLine(text: string, hint: string | undefined): CheckLine {
  return { ok: false, text, ...(hint === undefined ? {} : { hint }) }
}

/** Lines for people: `ok     search  …`, the hint below. */
export function formatLive(lines: readonly LiveLine[]): string {
  const width = Math.max(...lines.map(({ part }) => part.length))
  return lines
    .map(({ ok, part, text, hint }) => {
      const head = `${ok ? 'ok   ' : 'wrong'}  ${part.padEnd(width)}  `
      const more = hint === undefined ? '' : `${' '.repeat(head.length)}${hint}\n`
      return `${head}${text.replaceAll('\n', `\n${' '.repeat(head.length)}`)}\n${more}`
    })
    .join('')
}
