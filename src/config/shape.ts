// What a JSON Schema says about one place of a value: which types fit there, which keys are known. The schemas of sinks
// come from any library, so everything here is a best guess: what it cannot tell stays open, and the sink's own
// validation has the last word.

/** A JSON Schema (draft 7), as zod and other Standard Schema libraries give it. */
export type JsonSchema = Readonly<Record<string, unknown>>

/** One place of a value, as seen by its schema. */
export class Shape {
  /** Says nothing. */
  static readonly open = new Shape({}, [])
  readonly #root: JsonSchema
  /** The schemas for this place, references and alternatives followed. */
  readonly #schemas: readonly JsonSchema[]

  private constructor(root: JsonSchema, schemas: readonly JsonSchema[]) {
    this.#root = root
    this.#schemas = schemas
  }

  /** The shape of a whole value. */
  static of(schema: JsonSchema): Shape {
    return new Shape(schema, flatten(schema, schema, 0))
  }

  /** The place of `key` in a mapping, or of an index in a list. */
  at(key: string | number): Shape {
    const found = this.#schemas.flatMap((schema) => childrenOf(schema, key))
    return new Shape(
      this.#root,
      found.flatMap((schema) => flatten(schema, this.#root, 0)),
    )
  }

  /** True when the schema names types for this place, and one of `types` among them. */
  accepts(...types: readonly string[]): boolean {
    return this.#schemas.some((schema) => typesOf(schema).some((type) => types.includes(type)))
  }

  /** Whether a mapping with this key fits here. */
  acceptsKey(key: string): boolean {
    return this.#schemas.some((schema) => typesOf(schema).includes('object') && childrenOf(schema, key).length > 0)
  }

  /** The keys that are known here, in the order of the schema. */
  get keys(): readonly string[] {
    return [...new Set(this.#schemas.flatMap((schema) => Object.keys(objectOf(schema['properties']))))]
  }

  /** A keyword of any schema for this place, such as `format` or `writeOnly`. */
  keyword(name: string): unknown {
    return this.#schemas.find((schema) => schema[name] !== undefined)?.[name]
  }

  /** The values that fit here, where they are listed. */
  get choices(): readonly string[] {
    return this.#schemas.flatMap((schema) => {
      const listed = Array.isArray(schema['enum']) ? schema['enum'] : 'const' in schema ? [schema['const']] : []
      return listed.filter((value) => typeof value === 'string')
    })
  }
}

// A schema may refer to itself; no configuration is nested deeper than this.
const MAX_DEPTH = 16

function flatten(schema: JsonSchema, root: JsonSchema, depth: number): readonly JsonSchema[] {
  if (depth > MAX_DEPTH) return []
  const reference = schema['$ref']
  const parts = [
    ...(typeof reference === 'string' ? [lookUp(root, reference)] : []),
    ...['anyOf', 'oneOf', 'allOf'].flatMap((word) => (Array.isArray(schema[word]) ? (schema[word] as unknown[]) : [])),
  ]
  const nested = parts.flatMap((part) => flatten(objectOf(part), root, depth + 1))
  return [schema, ...nested]
}

/** Follows `#/definitions/x`. */
function lookUp(root: JsonSchema, reference: string): unknown {
  if (!reference.startsWith('#')) return undefined
  const parts = reference.slice(1).split('/').filter(Boolean)
  return parts.reduce<unknown>((place, part) => objectOf(place)[part.replaceAll('~1', '/').replaceAll('~0', '~')], root)
}

function childrenOf(schema: JsonSchema, key: string | number): readonly JsonSchema[] {
  if (typeof key === 'number') {
    const { items } = schema
    return (Array.isArray(items) ? [items[key] ?? schema['additionalItems']] : [items]).filter(isObject)
  }
  const properties = objectOf(schema['properties'])
  if (Object.hasOwn(properties, key)) return [objectOf(properties[key])]
  const byPattern = Object.entries(objectOf(schema['patternProperties'])).filter(([pattern]) => fits(pattern, key))
  if (byPattern.length > 0) return byPattern.map(([, found]) => objectOf(found))
  return [schema['additionalProperties']].filter(isObject)
}

function fits(pattern: string, key: string): boolean {
  try {
    return new RegExp(pattern, 'u').test(key)
  } catch {
    return false // A pattern of another dialect tells us nothing; the sink's own validation knows it.
  }
}

function typesOf(schema: JsonSchema): readonly string[] {
  const { type } = schema
  if (typeof type === 'string') return [type]
  if (Array.isArray(type)) return type.filter((name) => typeof name === 'string')
  const values = Array.isArray(schema['enum']) ? schema['enum'] : 'const' in schema ? [schema['const']] : []
  return values.map((value) => typeof value)
}

function isObject(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function objectOf(value: unknown): JsonSchema {
  return isObject(value) ? value : {}
}
