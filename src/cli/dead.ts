// `logferry dead`: what a destination would not take, shown, sent again or dropped, beside a running daemon.
// Invariant: a letter is dropped only when the destination has taken it, or when a person says so.
import { isUtf8 } from 'node:buffer'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { EXIT, problem } from '../errors.ts'
import { findWriter } from '../pipeline/backfill.ts'
import { DeadLetters } from '../pipeline/state/deadLetters.ts'
import type { StoredLetter } from '../pipeline/state/letterFile.ts'
import { sinkFolder } from '../pipeline/state/statePath.ts'
import { systemClock } from '../telemetry/clock.ts'
import { DURATION_FORM, parseDuration } from '../units.ts'
import { type Configured, findSink, loadConfigured } from './configured.ts'
import { Replay } from './dead/replay.ts'
import { complain, print } from './output.ts'
import { endOnSignals, stopOnSignals } from './signals.ts'

export interface DeadOptions {
  readonly config: string
  readonly state?: string
}

interface Open extends Configured {
  readonly letters: DeadLetters
}

async function open(sink: string, options: DeadOptions): Promise<Open> {
  const configured = await loadConfigured(options)
  const { config, state, log } = configured
  // Letters outlive a sink that was taken out of the configuration.
  if (!existsSync(join(sinkFolder(state, sink), 'dead'))) findSink(config, sink)
  return { ...configured, letters: new DeadLetters({ state, log, clock: systemClock }) }
}

/** `dead show`: the letters of a sink, the oldest of each writer first. Throws Problem LF_USAGE for a sink that there is not. */
export async function show(sink: string, options: DeadOptions & { readonly json?: boolean }): Promise<number> {
  endOnSignals()
  const { letters } = await open(sink, options)
  let count = 0
  for await (const letter of letters.list(sink)) {
    print(options.json ? `${JSON.stringify(asJson(letter))}\n` : asText(letter))
    count++
  }
  if (!options.json) complain(count === 1 ? '1 dead letter' : `${count} dead letters`)
  return EXIT.ok
}

function asText(letter: StoredLetter): string {
  const { id, time, code, reason, cursor } = letter
  return `${id}  ${time}  ${code}\n  reason  ${reason}\n  cursor  ${cursor}\n  entry   ${entryText(letter)}\n`
}

function entryText({ record, encoding, fields }: StoredLetter): string {
  if (record.length > 0 && isUtf8(record))
    return Buffer.from(record).toString().trimEnd().replaceAll('\n', '\n          ')
  if (fields !== undefined && isUtf8(fields))
    return Buffer.from(fields).toString().trimEnd().replaceAll('\n', '\n          ')
  return `(${record.length} bytes, encoded as ${encoding ?? 'before encodings were noted'})`
}

/** One line of NDJSON: `entry` where the record is JSON, else its bytes in `record_base64`. */
function asJson(letter: StoredLetter): object {
  const { id, time, code, reason, source, cursor, key, encoding, record } = letter
  const bytes = Buffer.from(record)
  const entry = encoding === 'json' ? parsed(bytes.toString()) : undefined
  const body = entry === undefined ? { record_base64: bytes.toString('base64') } : { entry }
  return { id, time, code, reason, source, cursor, key, encoding, ...body }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // The caller then shows the bytes.
  }
}

export interface DropOptions extends DeadOptions {
  /** All letters. */
  readonly yes?: boolean
}

/** `dead drop`: drops the letters with these ids, or, with `yes` and no ids, all. Throws Problem LF_USAGE when neither is given. */
export async function drop(sink: string, ids: readonly string[], options: DropOptions): Promise<number> {
  endOnSignals()
  const { letters } = await open(sink, options)
  if (ids.length === 0 && !options.yes) {
    const { letters: count } = letters.count(sink)
    const text = `sink "${sink}" has ${count} dead letters: name the ids of those to drop, or give --yes to drop all`
    throw problem('LF_USAGE', { text, hint: 'logferry dead show prints the ids' })
  }
  const known = new Set<string>()
  for await (const { id } of letters.list(sink)) known.add(id)
  const unknown = ids.filter((id) => !known.has(id))
  if (unknown.length > 0) {
    const hint = 'nothing was dropped; logferry dead show prints the ids'
    throw problem('LF_USAGE', { text: `sink "${sink}" has no dead letter ${unknown.join(', ')}`, hint })
  }
  const dropped = await letters.drop(sink, ids.length > 0 ? ids : known)
  await letters.close()
  complain(`${dropped} dropped`)
  return EXIT.ok
}

export interface ReplayOptions extends DeadOptions {
  readonly patience: string
  readonly json?: boolean
}

/**
 * `dead replay`: sends the letters through the sink again; those that it takes are dropped. Gives 1 when some are left. Rejects
 * with LF_SINK_UNAVAILABLE when the destination is away for longer than `patience`, LF_STATE_LOCKED when another replay of the
 * sink runs, LF_BACKFILL_SHARED_FILE when somebody writes its file.
 */
export async function replay(name: string, options: ReplayOptions): Promise<number> {
  const patienceMs = parseDuration(options.patience)
  if (patienceMs === undefined) {
    throw problem('LF_USAGE', { text: `--patience ${options.patience}: expected ${DURATION_FORM}` })
  }
  const stop = stopOnSignals()
  const { config, state, log, letters } = await open(name, options)
  const spec = findSink(config, name)
  const writer = await findWriter(state, spec.writes ?? [])
  if (writer !== undefined) throw problem('LF_BACKFILL_SHARED_FILE', writer)
  const sending = new Replay({ spec, log, patienceMs, stop: stop.signal })
  let result = { delivered: 0, left: 0 }
  try {
    if (letters.count(name).letters > 0) {
      await sending.open()
      result = await letters.replay(name, (some) => sending.deliver(some))
    }
  } finally {
    await sending.close()
    await letters.close()
  }
  if (options.json) print(`${JSON.stringify({ sink: name, ...result })}\n`)
  else complain(`${result.delivered} delivered, ${result.left} left`)
  for (const [reason, count] of sending.reasons) complain(`  ${count} not taken: ${reason}`)
  return stop.status() ?? (result.left > 0 ? EXIT.found : EXIT.ok)
}
