// The JSON Schema for editors, from the same schemas that check a configuration. It is wider than they are where the file
// may hold `${VARIABLE}` or `{ file: PATH }` in the place of a value, so that an editor does not underline what is right.

import { rootSchema } from '../src/config/schema.ts'
import type { JsonSchema } from '../src/config/shape.ts'
import { findSinks } from '../src/config/sinkModules.ts'
import { sinkOptionsSchema } from '../src/config/sinkOptions.ts'

/** The schema of a whole file, with the options of each built-in sink by its `type`. */
export async function editorSchema(): Promise<JsonSchema> {
  const root = propertiesOf(rootSchema)
  const commonOptions = propertiesOf(sinkOptionsSchema)
  const common = Object.fromEntries(
    Object.keys(commonOptions).map((key) => [key, { $ref: `#/definitions/option-${key}` }]),
  )
  const sinks = (await findSinks(import.meta.dirname)).filter(({ origin }) => origin === 'built in')
  const types = sinks.map(({ type }) => type)
  const definitions = Object.fromEntries(
    sinks.map(({ type, module, schema }) => [
      `sink-${type}`,
      {
        description: module.summary,
        type: 'object',
        properties: {
          type: { const: type, description: module.summary },
          ...mapValues(objectOf(schema['properties']), (option) => widen(objectOf(option), true)),
          ...common,
        },
        required: ['type', ...(Array.isArray(schema['required']) ? schema['required'] : [])],
        additionalProperties: false,
      },
    ]),
  )
  const { sinks: sinkMap, ...rest } = root
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'logferry',
    description:
      'Configuration of logferry. Begin the file with: # yaml-language-server: $schema=…/logferry.schema.json',
    type: 'object',
    properties: {
      ...rest,
      sinks: {
        ...objectOf(sinkMap),
        minProperties: 1,
        additionalProperties: {
          type: 'object',
          required: ['type'],
          properties: {
            type: {
              description: 'The kind of sink: built in, the name of a package, or ./FILE.',
              anyOf: [{ enum: types }, { type: 'string' }],
            },
            ...common,
          },
          allOf: types.map((type) => ({
            if: { properties: { type: { const: type } }, required: ['type'] },
            // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
            then: { $ref: `#/definitions/sink-${type}` },
          })),
        },
      },
    },
    patternProperties: { '^x-': { description: 'Not looked at: a place for anchors.' } },
    anyOf: [{ required: ['sinks'] }, { required: ['api'] }],
    additionalProperties: false,
    definitions: {
      variable: {
        description: 'An environment variable: ${NAME}, ${NAME:-default} or ${NAME:?message}.',
        type: 'string',
        pattern: '^\\$\\{',
      },
      secret: {
        description: 'The text of a file, without the newline at its end.',
        type: 'object',
        properties: { file: { type: 'string' } },
        required: ['file'],
        additionalProperties: false,
      },
      ...Object.fromEntries(Object.entries(commonOptions).map(([key, option]) => [`option-${key}`, option])),
      ...definitions,
    },
  }
}

function propertiesOf(schema: typeof rootSchema | typeof sinkOptionsSchema): Readonly<Record<string, JsonSchema>> {
  const { properties } = schema['~standard'].jsonSchema.input({ target: 'draft-07' })
  return mapValues(objectOf(properties), (option) => widen(objectOf(option), false))
}

const VARIABLE = { $ref: '#/definitions/variable' }
const SECRET = { $ref: '#/definitions/secret' }

/** Allows a variable wherever a text would not fit already, and, in a sink's own options, a secret in the place of a text. */
function widen(schema: JsonSchema, allowSecrets: boolean): JsonSchema {
  if (isSection(schema)) return widenSection(schema, allowSecrets)
  const { title, description, default: preset, examples, anyOf, ...value } = schema
  // A type beside the alternatives says all: sizes and times are texts or numbers.
  const alternatives = Array.isArray(anyOf) && !Array.isArray(value['type']) ? anyOf.map(objectOf) : [value]
  const branches = [
    ...alternatives.map((branch) => (isSection(branch) ? widenSection(branch, allowSecrets) : widenScalar(branch))),
    ...(alternatives.some(isPlainText) ? [] : [VARIABLE]),
    ...(allowSecrets && alternatives.some(isPlainText) ? [SECRET] : []),
  ]
  const about = Object.entries({ title, description, default: preset, examples }).filter(
    ([, part]) => part !== undefined,
  )
  return { ...Object.fromEntries(about), ...(branches.length === 1 ? branches[0] : { anyOf: branches }) }
}

/** Where a text is wanted, 0640 and true are taken as written. */
function widenScalar({ format: _format, exclusive: _exclusive, type, ...rest }: JsonSchema): JsonSchema {
  const isText = type === 'string' && rest['enum'] === undefined
  return { ...rest, ...(type === undefined ? {} : { type: isText ? ['string', 'number', 'boolean'] : type }) }
}

function isSection(schema: JsonSchema): boolean {
  return schema['type'] === 'object' || schema['type'] === 'array'
}

/** Null stands for a section or list that has all its lines commented out. */
function widenSection(schema: JsonSchema, allowSecrets: boolean): JsonSchema {
  const inner = (part: unknown): JsonSchema => widen(objectOf(part), allowSecrets)
  const { type, properties, additionalProperties, items, ...rest } = schema
  return {
    ...rest,
    type: [type, 'null'],
    ...(properties === undefined ? {} : { properties: mapValues(objectOf(properties), inner) }),
    ...(isObject(additionalProperties)
      ? { additionalProperties: inner(additionalProperties) }
      : { additionalProperties }),
    ...(isObject(items) ? { items: inner(items) } : {}),
  }
}

/** Any text fits, a variable and what a secret holds among them. */
function isPlainText({ type, pattern, enum: choices }: JsonSchema): boolean {
  const isText = type === 'string' || (Array.isArray(type) && type.includes('string'))
  return isText && pattern === undefined && choices === undefined
}

function isObject(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function objectOf(value: unknown): JsonSchema {
  return isObject(value) ? value : {}
}

function mapValues<T>(object: JsonSchema, change: (value: unknown) => T): Record<string, T> {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]))
}
