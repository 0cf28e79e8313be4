// What can be configured, for people: the options of a JSON Schema as rows of a table, and all sinks with theirs.

import { rootSchema } from './schema.ts'
import type { JsonSchema } from './shape.ts'
import { findSinks, type LoadedSink } from './sinkModules.ts'
import { sinkOptionsSchema } from './sinkOptions.ts'

/** One option, as a row of a table. */
export interface OptionRow {
  /** `batch.entries`, `fields.mask[].pattern` */
  readonly path: string
  /** What a value is, in words: `size`, `json | text`, `list of fields`. */
  readonly type: string
  readonly isRequired: boolean
  /** As one would write it in YAML; undefined when there is none. */
  readonly default: string | undefined
  readonly description: string
}

/** A sink that can be configured, for `logferry sinks` and the docs. */
export interface SinkDescription {
  /** What stands behind `type:`. */
  readonly type: string
  readonly origin: LoadedSink['origin']
  readonly summary: string
  /** Packages that it needs, with the reason. */
  readonly needs: Readonly<Record<string, string>>
  /** Its own defaults of options that all sinks have. */
  readonly defaults: Readonly<Record<string, unknown>>
  /** Its own options, without those that all sinks have. */
  readonly options: readonly OptionRow[]
  /** The same as JSON Schema. */
  readonly schema: JsonSchema
}

/**
 * All sinks that can be configured: built in, and packages `logferry-sink-…` found from `folder` or beside logferry.
 * A package that does not load is left out; `validate` says why for a configuration that names it.
 */
export async function describeSinks(folder: string = process.cwd()): Promise<readonly SinkDescription[]> {
  return (await findSinks(folder)).map(({ type, origin, module, schema }) => ({
    type,
    origin,
    summary: module.summary,
    needs: module.needs ?? {},
    defaults: module.defaults ?? {},
    options: optionRows(schema),
    schema,
  }))
}

/** The options that every sink has. */
export function commonSinkOptions(): readonly OptionRow[] {
  return optionRows(sinkOptionsSchema['~standard'].jsonSchema.input({ target: 'draft-07' }))
}

/** The options outside of sinks. */
export function rootOptions(): readonly OptionRow[] {
  return optionRows(rootSchema['~standard'].jsonSchema.input({ target: 'draft-07' }))
}

/** The options of an object's schema, sections before what they hold. */
export function optionRows(schema: JsonSchema, prefix = ''): readonly OptionRow[] {
  const required = Array.isArray(schema['required']) ? schema['required'] : []
  return Object.entries(objectOf(schema['properties'])).flatMap(([name, value]) => {
    const option = objectOf(value)
    const path = `${prefix}${name}`
    const items = objectOf(option['items'])
    const row = {
      path,
      type: typeWords(option),
      isRequired: required.includes(name),
      default: defaultText(option),
      description: String(option['description'] ?? ''),
    }
    return [row, ...optionRows(option, `${path}.`), ...optionRows(items, `${path}[].`)]
  })
}

function typeWords(schema: JsonSchema): string {
  if (typeof schema['title'] === 'string') return schema['title']
  const choices = Array.isArray(schema['enum']) ? schema['enum'] : 'const' in schema ? [schema['const']] : []
  if (choices.length > 0) return choices.map(String).join(' | ')
  const branches = [schema['anyOf'], schema['oneOf']].find(Array.isArray)
  if (branches !== undefined) return [...new Set(branches.map((branch) => typeWords(objectOf(branch))))].join(' | ')
  const type = Array.isArray(schema['type']) ? schema['type'].map(String) : [String(schema['type'])]
  return type
    .map((name) =>
      name === 'array' ? `list of ${plural(typeWords(objectOf(schema['items'])))}` : (WORDS[name] ?? 'any'),
    )
    .join(' | ')
}

const WORDS: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'number',
  number: 'number',
  boolean: 'true | false',
  object: 'section',
}

function plural(word: string): string {
  return /^\w+$/.test(word) ? `${word}s` : word
}

/** Nothing for a section: its options have defaults of their own. */
function defaultText(schema: JsonSchema): string | undefined {
  const value = schema['default']
  if (value === undefined || ('properties' in schema && typeof value === 'object')) return undefined
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function objectOf(value: unknown): JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonSchema) : {}
}
