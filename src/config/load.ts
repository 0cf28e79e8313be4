// A configuration file, read, checked and turned into what the program works with. All mistakes are found in one go;
// nothing of a file with a mistake is used.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type * as z from 'zod'
import type { ApiSettings, MesosSettings } from '../api/settings.ts'
import { isProblem, type Problem, problem } from '../errors.ts'
import type { Match } from '../journal/match.ts'
import type { Start } from '../journal/position.ts'
import type { SinkSpec } from '../pipeline/settings.ts'
import type { Listen } from '../telemetry/listen.ts'
import type { LogLevel } from '../telemetry/log.ts'
import { toApiSettings, toMesosSettings } from './api.ts'
import { type MapNode, type Node, readDocument } from './document.ts'
import { type Issue, reportIssues, type Subject } from './issues.ts'
import { type Mistake, MistakeList, type Path, type Place } from './mistakes.ts'
import { type Resolution, resolveNode, whyUnreadable } from './resolve.ts'
import { rootSchema } from './schema.ts'
import { Shape } from './shape.ts'
import { builtInSinks, type LoadedSink, loadSink } from './sinkModules.ts'
import { sinkOptionsSchema, toSettings } from './sinkOptions.ts'

/** A checked configuration. Times are milliseconds, sizes bytes, paths absolute. */
export interface Config {
  /** The file, as it was named. */
  readonly file: string
  readonly journal: {
    /** Undefined: where journald writes by default. */
    readonly directories: readonly string[] | undefined
    /** `any` where directories are named. */
    readonly machineId: 'local' | 'any'
    readonly namespaces: readonly string[]
    readonly start: Start
    /** Whether the bundled sample is shipped: never, where no journal can be read, or in any case. */
    readonly sample: 'never' | 'fallback' | 'always'
    /** Is part of every sink's own match already. */
    readonly match: Match
  }
  readonly state: string
  readonly memory: number
  readonly retain: { readonly maxBytes: number }
  readonly node: {
    readonly role: 'master' | 'agent' | 'agent_public' | undefined
    readonly ip: string | undefined
    readonly labels: Readonly<Record<string, string>>
  }
  readonly sinks: readonly SinkSpec[]
  /** Undefined: not served. */
  readonly metrics: { readonly listen: Listen } | undefined
  /** Undefined: not served. */
  readonly api: ApiSettings | undefined
  readonly mesos: MesosSettings | undefined
  readonly shutdownTimeoutMs: number
  readonly log: { readonly level: LogLevel; readonly format: 'auto' | 'json' | 'text' }
  /** Equal where a section was written the same way, variables filled in; for `changesThatNeedRestart`. */
  readonly sections: Readonly<Record<string, string>>
  /** Nothing that keeps it from being used: a secret that others can read. */
  readonly warnings: readonly Mistake[]
}

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Reads and checks the file at `path`. Throws ConfigProblems with all its mistakes, or Problem LF_CONFIG_UNREADABLE or
 * LF_CONFIG_NO_ACCESS. Relative paths within are meant from the file's folder.
 */
export async function loadConfig(path: string, env: Environment): Promise<Config> {
  const mistakes = new MistakeList(path)
  const root = readDocument(readText(path), mistakes)
  if (root === undefined) mistakes.throwIfAny()
  const folder = dirname(resolve(path))
  const to: Resolution = { env, folder, mistakes, broken: new Set(), hidden: new Set() }
  const { options, sinkNodes, sections } = await checkRoot(root as MapNode, to)
  const sinks = await checkSinks(sinkNodes, options?.journal.match ?? [], to)
  mistakes.throwIfAny()
  return { ...toConfig(path, options as RootOptions, sinks), sections, warnings: mistakes.warnings }
}

/** The sections that differ and can only be changed by a restart, for the log line of a reload. */
export function changesThatNeedRestart(before: Config, after: Config): readonly string[] {
  const names = ['journal', 'state', 'memory', 'retain', 'node', 'metrics', 'api', 'mesos']
  return names.filter((name) => before.sections[name] !== after.sections[name])
}

function readText(path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES') throw problem('LF_CONFIG_NO_ACCESS', { path }, error)
    throw problem('LF_CONFIG_UNREADABLE', { path, why: whyUnreadable(error) }, error)
  }
}

type RootOptions = z.output<typeof rootSchema>
type SinkNodes = ReadonlyMap<string, { readonly keyAt: Place; readonly node: Node }>

const ROOT_SHAPE = Shape.of(rootSchema['~standard'].jsonSchema.input({ target: 'draft-07' }))
const COMMON_SHAPE = Shape.of(sinkOptionsSchema['~standard'].jsonSchema.input({ target: 'draft-07' }))
const COMMON_KEYS = COMMON_SHAPE.keys
const TEXT_SHAPE = Shape.of({ type: 'string' })

interface CheckedRoot {
  /** Undefined when there are mistakes. */
  readonly options: RootOptions | undefined
  readonly sinkNodes: SinkNodes
  readonly sections: Readonly<Record<string, string>>
}

async function checkRoot(root: MapNode, to: Resolution): Promise<CheckedRoot> {
  // Keys that begin with x- are a place for anchors.
  const entries = new Map([...root.entries].filter(([key]) => !key.startsWith('x-')))
  const sinks = entries.get('sinks')?.node
  const sinkNodes: SinkNodes = sinks?.kind === 'map' ? sinks.entries : new Map()
  const value = Object.fromEntries(
    [...entries].map(([key, { node }]) => {
      // What a sink's options are is its own schema's matter; here only their names count.
      const isSinks = key === 'sinks' && node.kind === 'map'
      if (isSinks) return [key, Object.fromEntries([...sinkNodes.keys()].map((name) => [name, { type: name }]))]
      return [key, resolveNode(node, ROOT_SHAPE.at(key), [key], to)]
    }),
  )
  const subject = { node: { ...root, entries }, at: root.at, path: [], shape: ROOT_SHAPE, otherKeys: [] }
  const sections = Object.fromEntries(Object.entries(value).map(([key, part]) => [key, fingerprint(part)]))
  return { options: await check(rootSchema, value, subject, to), sinkNodes, sections }
}

/** Asks a schema and reports its issues; undefined when there were any. */
async function check<T>(
  schema: Validator<T>,
  value: unknown,
  subject: Subject,
  to: Resolution,
): Promise<T | undefined> {
  const result = await schema['~standard'].validate(value)
  if (result.issues === undefined) return result.value
  reportIssues(result.issues as readonly Issue[], subject, to)
  return undefined
}

interface Validator<T> {
  readonly '~standard': {
    validate(value: unknown): MaybePromise<{ value: T; issues?: undefined } | { issues: readonly object[] }>
  }
}
type MaybePromise<T> = T | Promise<T>

async function checkSinks(nodes: SinkNodes, outer: Match, to: Resolution): Promise<readonly SinkSpec[]> {
  const specs: SinkSpec[] = []
  const taken = new Map<string, string>()
  for (const [name, { node, keyAt }] of nodes) {
    const path: Path = ['sinks', name]
    if (node.kind !== 'map') {
      const why = 'expected a mapping such as { type: stdout }'
      to.mistakes.add('LF_CONFIG_VALUE', { found: 'no mapping', why, near: undefined }, node.at, path)
      continue
    }
    const spec = await checkSink(name, node, { at: keyAt, path, outer, taken }, to)
    if (spec !== undefined) specs.push(spec)
  }
  return specs
}

interface SinkContext {
  readonly at: Place
  readonly path: Path
  readonly outer: Match
  /** What only one sink may have, and the name of the sink that has it. */
  readonly taken: Map<string, string>
}

async function checkSink(
  name: string,
  node: MapNode,
  { at, path, outer, taken }: SinkContext,
  to: Resolution,
): Promise<SinkSpec | undefined> {
  const loaded = await loadByType(node, at, path, to)
  const shape = loaded === undefined ? Shape.open : Shape.of(loaded.schema)
  const common: Record<string, unknown> = {}
  const own: Record<string, unknown> = {}
  for (const [key, entry] of node.entries) {
    if (key === 'type') continue
    const isCommon = COMMON_KEYS.includes(key)
    const value = resolveNode(entry.node, (isCommon ? COMMON_SHAPE : shape).at(key), [...path, key], to)
    Object.defineProperty(isCommon ? common : own, key, { value, enumerable: true })
  }
  const subject = { node, at, path }
  const { timeout, in_flight: inFlight, max_custom: maxCustom } = loaded?.module.defaults ?? {}
  const preset = { ...(timeout !== undefined && { timeout }), ...common }
  const options = await check(sinkOptionsSchema, preset, { ...subject, shape: COMMON_SHAPE, otherKeys: [] }, to)
  if (loaded === undefined) return undefined
  const { module, type, url } = loaded
  const otherKeys = ['type', ...COMMON_KEYS]
  const config = await check(module.config as Validator<unknown>, own, { ...subject, shape, otherKeys }, to)
  const writes = reportSharing(name, type, own, { ...subject, shape }, taken, to)
  if (options === undefined || config === undefined) return undefined
  return {
    name,
    type,
    settings: toSettings(options, outer, { inFlight, maxCustom }),
    // What was written, not what came of it: `start: -2h` is another time at each reload and yet the same setting.
    fingerprint: fingerprint([url, common, own]),
    writes,
    create: (host) => module.create(config, host),
  }
}

async function loadByType(node: MapNode, at: Place, path: Path, to: Resolution): Promise<LoadedSink | undefined> {
  const typeNode = node.entries.get('type')?.node
  const typePath = [...path, 'type']
  if (typeNode === undefined) {
    const why = `expected ${builtInSinks().join(', ')}, the name of a package, or ./FILE`
    to.mistakes.add('LF_CONFIG_MISSING', { why }, at, typePath)
    return undefined
  }
  // `type: null` is nothing to YAML, and a sink to us.
  const isNull = typeNode.kind === 'scalar' && typeNode.text === 'null'
  const type = isNull ? 'null' : resolveNode(typeNode, TEXT_SHAPE, typePath, to)
  if (to.broken.has(typeNode)) return undefined
  if (typeof type !== 'string' || type === '') {
    const details = { found: 'no text', why: 'expected the kind of sink, such as stdout', near: undefined }
    to.mistakes.add('LF_CONFIG_VALUE', details, typeNode.at, typePath)
    return undefined
  }
  try {
    const loaded = await loadSink(type, to.folder)
    const clash = Shape.of(loaded.schema).keys.find((key) => key === 'type' || COMMON_KEYS.includes(key))
    if (clash === undefined) return loaded
    throw problem('LF_CONFIG_SINK_UNUSABLE', { type, why: `its option "${clash}" is one that every sink has` })
  } catch (error) {
    if (!isProblem(error)) throw error
    to.mistakes.addProblem(error as Problem, typeNode.at, typePath)
    return undefined
  }
}

/**
 * Two sinks that write the same file would spoil it: an option with `exclusive: true` in its schema is had by one sink only.
 * Returns the values of these options.
 */
function reportSharing(
  name: string,
  type: string,
  own: Readonly<Record<string, unknown>>,
  { node, path, shape }: Omit<Subject, 'otherKeys'>,
  taken: Map<string, string>,
  to: Resolution,
): readonly string[] {
  const values: string[] = []
  for (const [key, value] of Object.entries(own)) {
    if (typeof value !== 'string' || shape.at(key).keyword('exclusive') !== true) continue
    values.push(value)
    const owner = taken.get(`${type}\0${key}\0${value}`)
    if (owner === undefined) {
      taken.set(`${type}\0${key}\0${value}`, name)
      continue
    }
    const at = node.entries.get(key)?.node.at ?? node.at
    to.mistakes.add('LF_CONFIG_CONFLICT', { why: `the sink "${owner}" has the same ${key} already` }, at, [
      ...path,
      key,
    ])
  }
  return values
}

/** Equal for equal values, whatever the order of keys. A hash, so that secrets do not show. */
function fingerprint(value: unknown): string {
  const text = JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  )
  return createHash('sha256').update(text).digest('hex')
}

function toConfig(
  file: string,
  options: RootOptions,
  sinks: readonly SinkSpec[],
): Omit<Config, 'sections' | 'warnings'> {
  const { journal, state, memory, retain, node, metrics, api, mesos, shutdown_timeout, log } = options
  const { directories, namespaces, start, sample, match } = journal
  const machineId = directories === undefined ? 'local' : 'any'
  return {
    file,
    journal: { directories, machineId, namespaces, start, sample, match },
    state: resolve(dirname(resolve(file)), state),
    memory,
    retain: { maxBytes: retain.max_size },
    node: { role: node.role, ip: node.ip, labels: node.labels },
    sinks,
    metrics,
    api: api && toApiSettings(api),
    mesos: mesos && toMesosSettings(mesos),
    shutdownTimeoutMs: shutdown_timeout,
    log,
  }
}
