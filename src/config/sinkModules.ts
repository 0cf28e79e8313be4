// Finds a sink by the `type:` of a configuration and imports it: built in, from a package, or from a file. Nothing else
// in the program imports a sink, so one that is not configured costs nothing, and a third-party sink is like our own.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { findPackageJSON } from 'node:module'
import { dirname, extname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { problem } from '../errors.ts'
import { SINK_API, type SinkModule } from '../sink.ts'
import { nearest } from './nearest.ts'
import type { JsonSchema } from './shape.ts'

/** A sink that can be configured. */
export interface LoadedSink {
  /** What stands behind `type:`. */
  readonly type: string
  readonly origin: 'built in' | 'package' | 'file'
  readonly url: string
  readonly module: SinkModule
  /** Its options as JSON Schema, draft 7; empty where its library cannot say. */
  readonly schema: JsonSchema
}

// src/config/ and dist/src/config/ lie at the same depth below sinks/ and dist/sinks/.
const BUILT_IN_FOLDER = join(import.meta.dirname, '..', '..', 'sinks')

/** The types of the sinks that come with logferry, in alphabetical order. */
export function builtInSinks(): readonly string[] {
  const form = extname(import.meta.filename) === '.ts' ? /^([a-z][a-z0-9]*)\.ts$/ : /^([a-z][a-z0-9]*)\.js$/
  return readdirSync(BUILT_IN_FOLDER)
    .flatMap((name) => form.exec(name)?.[1] ?? [])
    .toSorted()
}

/**
 * Imports the sink of a type. Packages are looked for from `folder`, that of the configuration file, then from logferry's own.
 * Throws Problem LF_CONFIG_SINK_UNKNOWN, LF_CONFIG_SINK_UNUSABLE, LF_CONFIG_SINK_API or LF_CONFIG_PACKAGE_MISSING.
 */
export async function loadSink(type: string, folder: string): Promise<LoadedSink> {
  const { url, origin } = findSink(type, folder)
  const module = checkModule(type, await importDefault(type, url))
  for (const [name, why] of Object.entries(module.needs ?? {})) {
    if (packageFile(name, url) === undefined) throw problem('LF_CONFIG_PACKAGE_MISSING', { type, name, why })
  }
  return { type, origin, url, module, schema: schemaOf(module) }
}

/** All sinks that can be configured from `folder`: built in, and packages named `logferry-sink-…`. A broken one is left out. */
export async function findSinks(folder: string): Promise<readonly LoadedSink[]> {
  const types = [...builtInSinks(), ...sinkPackages(folder)]
  const found = await Promise.allSettled(types.map((type) => loadSink(type, folder)))
  return found.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
}

/** The package.json of `name` as seen from the module or folder `from` (a URL); undefined when it is not installed. */
export function packageFile(name: string, from: string): string | undefined {
  try {
    return findPackageJSON(name, from)
  } catch {
    return undefined // ERR_MODULE_NOT_FOUND, and ERR_INVALID_MODULE_SPECIFIER for what can be no package's name.
  }
}

function findSink(type: string, folder: string): { url: string; origin: LoadedSink['origin'] } {
  const known = builtInSinks()
  if (known.includes(type)) {
    return { url: fileUrl(join(BUILT_IN_FOLDER, `${type}${extname(import.meta.filename)}`)), origin: 'built in' }
  }
  if (/^\.{0,2}\//.test(type)) {
    const path = resolve(folder, type)
    if (!existsSync(path)) throw problem('LF_CONFIG_SINK_UNUSABLE', { type, why: `there is no file ${path}` })
    return { url: fileUrl(path), origin: 'file' }
  }
  const file = packageFile(type, fileUrl(join(folder, 'x'))) ?? packageFile(type, import.meta.url)
  if (file !== undefined) return { url: packageEntry(file), origin: 'package' }
  throw problem('LF_CONFIG_SINK_UNKNOWN', { type, near: nearest(type, known), known })
}

function fileUrl(path: string): string {
  return pathToFileURL(path).href
}

/** What `import 'NAME'` loads. require.resolve would not do: a package for import alone has no entry for it. */
function packageEntry(file: string): string {
  const { exports, main } = JSON.parse(readFileSync(file, 'utf8')) as { exports?: unknown; main?: unknown }
  const hasPaths = typeof exports === 'object' && exports !== null && '.' in exports
  const entry = pickTarget(hasPaths ? exports['.'] : exports) ?? (typeof main === 'string' ? main : 'index.js')
  return fileUrl(join(dirname(file), entry))
}

/** Conditional exports: the first condition that holds here, in the order of the package (Node.js, packages.md). */
function pickTarget(target: unknown): string | undefined {
  if (typeof target === 'string') return target
  if (Array.isArray(target)) return target.map(pickTarget).find((found) => found !== undefined)
  if (typeof target !== 'object' || target === null) return undefined
  const conditions = ['node', 'import', 'module-sync', 'default']
  for (const [condition, next] of Object.entries(target)) {
    const found = conditions.includes(condition) ? pickTarget(next) : undefined
    if (found !== undefined) return found
  }
  return undefined
}

async function importDefault(type: string, url: string): Promise<unknown> {
  try {
    return ((await import(url)) as { default?: unknown }).default
  } catch (error) {
    const why = `it does not load: ${error instanceof Error ? error.message : String(error)}`
    throw problem('LF_CONFIG_SINK_UNUSABLE', { type, why }, error)
  }
}

function checkModule(type: string, found: unknown): SinkModule {
  const unusable = (why: string): Error => problem('LF_CONFIG_SINK_UNUSABLE', { type, why })
  if (typeof found !== 'object' || found === null || !('api' in found)) {
    throw unusable('its default export is not what defineSink() gives')
  }
  const module = found as Partial<SinkModule>
  if (module.api !== SINK_API) {
    const details = { type, api: String(found.api), known: SINK_API, version: ownVersion() }
    throw problem('LF_CONFIG_SINK_API', details)
  }
  if (typeof module.name !== 'string' || typeof module.summary !== 'string') throw unusable('it has no name or summary')
  if (typeof module.create !== 'function') throw unusable('it has no create()')
  if (typeof module.config?.['~standard']?.validate !== 'function') throw unusable('its config is no Standard Schema')
  return module as SinkModule
}

function ownVersion(): string {
  const file = findPackageJSON('..', import.meta.url)
  return file === undefined ? 'unknown' : (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}

function schemaOf(module: SinkModule): JsonSchema {
  try {
    return module.config['~standard'].jsonSchema.input({ target: 'draft-07' })
  } catch {
    // Standard Schema without JSON Schema, or a type that has none there. It only guides what is said about mistakes.
    return {}
  }
}

/** Names of installed packages that look like sinks, from the folder upwards and beside logferry. */
function sinkPackages(folder: string): readonly string[] {
  const names = [folder, import.meta.dirname].flatMap((start) =>
    ancestors(resolve(start)).flatMap((ancestor) => {
      const modules = join(ancestor, 'node_modules')
      const scopes = list(modules).filter((name) => name.startsWith('@'))
      return [
        ...list(modules),
        ...scopes.flatMap((scope) => list(join(modules, scope)).map((name) => `${scope}/${name}`)),
      ]
    }),
  )
  return [...new Set(names.filter((name) => /^(?:@[^/]+\/)?logferry-sink-/.test(name)))].toSorted()
}

function ancestors(path: string): readonly string[] {
  const parent = dirname(path)
  return parent === path ? [path] : [path, ...ancestors(parent)]
}

function list(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch {
    return [] // No node_modules here, or not ours to read: nothing to find in it.
  }
}
