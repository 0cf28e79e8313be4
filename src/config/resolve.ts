// From the tree of the file to plain values: variables filled in, secrets read, and scalars typed by what the schema
// wants, so that a password of digits stays text and `port: ${PORT}` becomes a number.

import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { resolve as resolvePath } from 'node:path'
import type { MapNode, Node, ScalarNode } from './document.ts'
import type { MistakeList, Path } from './mistakes.ts'
import { Shape } from './shape.ts'
import { fillIn, hasVariables } from './variables.ts'

/** What resolving needs to know, and what it leaves behind. */
export interface Resolution {
  readonly env: Readonly<Record<string, string | undefined>>
  /** The folder of the configuration file; relative paths are meant from there. */
  readonly folder: string
  readonly mistakes: MistakeList
  /** Nodes whose value could not be had; what a schema says about them is no news. */
  readonly broken: Set<Node>
  /** Nodes whose value is never shown: read from a file or a variable. */
  readonly hidden: Set<Node>
}

/**
 * The plain value of `node`. Keywords of JSON Schema that steer it: `format: path` (relative to the file's folder),
 * `format: template` (`${NAME}` is a journal field there and left alone).
 */
export function resolveNode(node: Node, shape: Shape, path: Path, to: Resolution): unknown {
  if (node.kind === 'list') return node.items.map((item, at) => resolveNode(item, shape.at(at), [...path, at], to))
  if (node.kind === 'scalar') return resolveScalar(node, shape, path, to)
  const secret = secretOf(node, shape)
  if (secret !== undefined) return readSecret(node, secret, path, to)
  return Object.fromEntries(
    [...node.entries].map(([key, entry]) => [key, resolveNode(entry.node, shape.at(key), [...path, key], to)]),
  )
}

function resolveScalar(node: ScalarNode, shape: Shape, path: Path, to: Resolution): unknown {
  if (node.value === null) return nothing(node, shape)
  const isTemplate = shape.keyword('format') === 'template'
  if (isTemplate || !hasVariables(node.text)) {
    return withPath(typed(node.text, node.value, node.isPlain, shape), shape, to)
  }
  const { text, isWhole, mistakes } = fillIn(node.text, to.env)
  if (mistakes.length > 0) {
    to.broken.add(node)
    for (const mistake of mistakes) to.mistakes.add('LF_CONFIG_VARIABLE', mistake, node.at, path)
    return node.text
  }
  to.hidden.add(node)
  return withPath(isWhole ? typed(text, typeByText(text), node.isPlain, shape) : text, shape, to)
}

/** `match:` with all its items commented out is an empty list, `retry:` an empty mapping; elsewhere nothing is a mistake. */
function nothing(node: ScalarNode, shape: Shape): unknown {
  if (node.text !== '') return null
  if (shape.accepts('array')) return []
  return shape.accepts('object') ? {} : null
}

/** Of a scalar's text and its YAML value the one that fits the schema; without a word from the schema the YAML value. */
function typed(text: string, value: string | number | boolean | null, isPlain: boolean, shape: Shape): unknown {
  if (typeof value === 'string') return value
  const wants = (type: string): boolean => shape.accepts(type)
  const isWanted = typeof value === 'number' ? wants('number') || wants('integer') : wants(typeof value)
  if (isWanted) return value
  return wants('string') || !isPlain ? text : value
}

/** What a variable's text would be as a plain scalar of YAML 1.2 (core schema). */
function typeByText(text: string): string | number | boolean {
  if (/^(?:true|True|TRUE)$/.test(text)) return true
  if (/^(?:false|False|FALSE)$/.test(text)) return false
  return /^[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?$/.test(text) ? Number(text) : text
}

function withPath(value: unknown, shape: Shape, to: Resolution): unknown {
  return typeof value === 'string' && shape.keyword('format') === 'path' ? resolvePath(to.folder, value) : value
}

/** The path in `{ file: PATH }`, unless the schema has a mapping with such a key here. */
function secretOf(node: MapNode, shape: Shape): ScalarNode | undefined {
  const file = node.entries.get('file')?.node
  if (node.entries.size !== 1 || file?.kind !== 'scalar' || shape.acceptsKey('file')) return undefined
  return typeof file.value === 'string' ? file : undefined
}

const STRING = Shape.of({ type: 'string' })

function readSecret(node: MapNode, file: ScalarNode, path: Path, to: Resolution): unknown {
  const before = to.broken.size
  const name = String(resolveScalar(file, STRING, [...path, 'file'], to))
  to.hidden.add(node)
  if (to.broken.size > before) {
    to.broken.add(node)
    return ''
  }
  const full = resolvePath(to.folder, name)
  try {
    const { text, isWorldReadable } = readText(full)
    if (isWorldReadable) to.mistakes.warn('LF_CONFIG_SECRET_OPEN', { file: full }, file.at, path)
    if (text !== '') return text
    to.mistakes.add('LF_CONFIG_SECRET', { file: full, why: 'it is empty' }, file.at, path)
  } catch (error) {
    to.mistakes.add('LF_CONFIG_SECRET', { file: full, why: whyUnreadable(error) }, file.at, path)
  }
  to.broken.add(node)
  return ''
}

/** The file's text without the newline at its end, which editors put there. */
function readText(path: string): { text: string; isWorldReadable: boolean } {
  const file = openSync(path, 'r')
  try {
    const bytes = readFileSync(file)
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return { text: text.replace(/\r?\n$/, ''), isWorldReadable: (fstatSync(file).mode & 0o004) !== 0 }
  } finally {
    closeSync(file)
  }
}

/** A failed read in words. */
export function whyUnreadable(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? ''
  const words: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such file',
    ENOTDIR: 'there is no such file',
    EACCES: 'permission denied',
    EISDIR: 'it is a folder',
    ERR_ENCODING_INVALID_ENCODED_DATA: 'it is not text in UTF-8',
  }
  return words[code] ?? (error instanceof Error ? error.message : String(error))
}
