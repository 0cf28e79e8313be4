// YAML text as a tree whose every key and value knows its place. Anchors, aliases and merge keys are followed here, so
// that nothing behind this file knows about YAML.

import {
  isAlias,
  isCollection,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type Scalar,
  visit,
  type YAMLError,
  type YAMLMap,
  type Document as YamlDocument,
} from 'yaml'
import type { MistakeList, Path, Place } from './mistakes.ts'

export interface ScalarNode {
  readonly kind: 'scalar'
  readonly at: Place
  /** Escapes and folding undone; never typed: `0012` and `true` are as written. */
  readonly text: string
  /** As YAML 1.2 types it; null for nothing. */
  readonly value: string | number | boolean | null
  /** Written without quotes. */
  readonly isPlain: boolean
}

export interface MapNode {
  readonly kind: 'map'
  readonly at: Place
  readonly entries: ReadonlyMap<string, { readonly keyAt: Place; readonly node: Node }>
}

export interface ListNode {
  readonly kind: 'list'
  readonly at: Place
  readonly items: readonly Node[]
}

export type Node = ScalarNode | MapNode | ListNode

// Aliases of aliases multiply; a file which grows beyond this is an attack or an accident.
const MAX_NODES = 20_000

/** Reads `text`. What is wrong with it goes to `mistakes`; undefined when nothing behind that would make sense. */
export function readDocument(text: string, mistakes: MistakeList): MapNode | undefined {
  const lines = new LineCounter()
  const document = parseDocument(text, {
    lineCounter: lines,
    version: '1.2',
    prettyErrors: false,
    // 'silent' would also keep back that there is a second document.
    logLevel: 'error',
  })
  const placeOf = (offset: number): Place => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }
  for (const error of worthTelling([...document.errors, ...document.warnings])) {
    const { why, offset } = explain(error, text, document)
    mistakes.add('LF_CONFIG_SYNTAX', { why }, placeOf(offset), [])
  }
  if (!document.errors.every(isHarmless)) return undefined
  const reader = new Reader(document, placeOf, mistakes)
  const root = reader.read(document.contents, [])
  if (reader.isBroken) return undefined
  if (root?.kind === 'map') return root
  const why = root === undefined || isNothing(root) ? 'the file is empty' : `the file holds ${describeKind(root)}`
  mistakes.add('LF_CONFIG_SYNTAX', { why: `${why}, expected options such as "sinks:"` }, { line: 1, column: 1 }, [])
  return undefined
}

/** `key:` with nothing behind it. */
export function isNothing(node: Node): boolean {
  return node.kind === 'scalar' && node.value === null
}

/** What a node is, for messages; a scalar's text is not shown. */
export function describeKind(node: Node): string {
  if (node.kind === 'map') return 'a mapping'
  if (node.kind === 'list') return 'a list'
  return isNothing(node) ? 'nothing' : 'a single value'
}

class Reader {
  readonly #document: YamlDocument.Parsed
  readonly #placeOf: (offset: number) => Place
  readonly #mistakes: MistakeList
  readonly #openAliases = new Set<unknown>()
  #count = 0
  /** Something could not be read, so that what is left would give misleading mistakes. */
  isBroken = false

  constructor(document: YamlDocument.Parsed, placeOf: (offset: number) => Place, mistakes: MistakeList) {
    this.#document = document
    this.#placeOf = placeOf
    this.#mistakes = mistakes
  }

  read(node: unknown, path: Path): Node | undefined {
    if (++this.#count > MAX_NODES) {
      if (this.#count === MAX_NODES + 1) this.#say(node, path, `aliases make it larger than ${MAX_NODES} values`)
      return undefined
    }
    if (isAlias(node)) return this.#readAlias(node, path)
    const at = this.#at(node)
    if (isMap(node)) return { kind: 'map', at, entries: this.#readMap(node, path) }
    if (isSeq(node)) {
      const items = node.items.map((item, index) => this.read(item, [...path, index]))
      return { kind: 'list', at, items: items.filter((item) => item !== undefined) }
    }
    if (isScalar(node)) return readScalar(node, at)
    return node === null ? { kind: 'scalar', at, text: '', value: null, isPlain: true } : undefined
  }

  #readAlias(node: { source: string; resolve(document: YamlDocument): unknown }, path: Path): Node | undefined {
    const target = node.resolve(this.#document)
    if (target === undefined) {
      this.#say(node, path, `there is no anchor &${node.source} before this`)
      return undefined
    }
    if (this.#openAliases.has(target)) {
      this.#say(node, path, `*${node.source} stands within itself`)
      return undefined
    }
    this.#openAliases.add(target)
    const found = this.read(target, path)
    this.#openAliases.delete(target)
    return found
  }

  #readMap(map: YAMLMap, path: Path): MapNode['entries'] {
    const entries = new Map<string, { keyAt: Place; node: Node }>()
    const merged: MapNode[] = []
    for (const { key, value } of map.items) {
      if (!isScalar(key)) {
        this.#say(key, path, 'a key must be a single word')
        continue
      }
      const name = key.source ?? String(key.value)
      const node = this.read(value, [...path, name])
      if (node === undefined) continue
      if (name === '<<' && key.type === 'PLAIN') merged.push(...this.#mapsToMerge(key, node, path))
      else entries.set(name, { keyAt: this.#at(key), node: placed(node, this.#at(key)) })
    }
    for (const other of merged) {
      for (const [name, entry] of other.entries) if (!entries.has(name)) entries.set(name, entry)
    }
    return entries
  }

  #mapsToMerge(key: unknown, node: Node, path: Path): MapNode[] {
    const maps = node.kind === 'list' ? node.items : [node]
    const isFit = (map: Node): map is MapNode => map.kind === 'map'
    if (!maps.every(isFit)) this.#say(key, path, '<< takes a mapping or a list of mappings')
    return maps.filter(isFit)
  }

  #at(node: unknown): Place {
    const range = (node as { range?: readonly number[] } | null)?.range
    return this.#placeOf(range?.[0] ?? 0)
  }

  #say(node: unknown, path: Path, why: string): void {
    this.isBroken = true
    this.#mistakes.add('LF_CONFIG_SYNTAX', { why }, this.#at(node), path)
  }
}

/** A value that is not written at all stands where its key does. */
function placed(node: Node, keyAt: Place): Node {
  return isNothing(node) && (node as ScalarNode).text === '' ? { ...(node as ScalarNode), at: keyAt } : node
}

function readScalar(node: Scalar, at: Place): ScalarNode {
  const isPlain = node.type === 'PLAIN' || node.type === undefined
  const { value } = node
  const text = isPlain ? (node.source ?? '') : String(value)
  const isSimple =
    typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' || value === null
  return { kind: 'scalar', at, text, value: isSimple ? value : text, isPlain }
}

/** The second of two equal keys, and a tag without meaning, leave the rest of the file readable; other errors do not. */
function isHarmless(error: YAMLError): boolean {
  return error.code === 'DUPLICATE_KEY' || error.code === 'TAG_RESOLVE_FAILED'
}

/** One error a line, and after the first that confuses the parser not those which only follow from it. */
function worthTelling(errors: readonly YAMLError[]): readonly YAMLError[] {
  const sorted = errors.toSorted((a, b) => a.pos[0] - b.pos[0])
  const first = sorted.find((error) => !isHarmless(error))
  return sorted.filter((error) => isHarmless(error) || error === first || error.code === 'TAB_AS_INDENT')
}

/** The common errors in words that say what to do, for others the parser's own; and the place to look at. */
function explain(error: YAMLError, text: string, document: YamlDocument): { why: string; offset: number } {
  const [offset, end] = error.pos
  const part = text.slice(offset, end).split('\n')[0] ?? ''
  const open = unclosed(document, offset)
  if (open !== undefined && (error.code === 'MISSING_CHAR' || error.code === 'BAD_INDENT')) {
    return { why: `this ${text[open]} is never closed`, offset: open }
  }
  return { why: words(error, part, text), offset }
}

function words(error: YAMLError, part: string, text: string): string {
  if (text.startsWith('${', error.pos[0] - 1)) return 'a variable within { … } or [ … ] needs quotes: "${NAME}"'
  switch (error.code) {
    case 'DUPLICATE_KEY':
      return `the key ${/^[^:\s]+/.exec(text.slice(error.pos[0]))?.[0] ?? part} stands here for the second time`
    case 'TAB_AS_INDENT':
      return 'a tab where spaces are needed: YAML is indented by spaces only'
    case 'MULTIPLE_DOCS':
      return 'a second document begins here ("---"), but a configuration is one document'
    case 'TAG_RESOLVE_FAILED':
      return `the tag ${part} has no meaning here; a text that begins with "!" needs quotes`
    case 'BLOCK_AS_IMPLICIT_KEY':
      return 'a mapping within a line; a text that holds ": " needs quotes'
    default:
      return (
        error.message
          .replace(/ at line \d+, column \d+.*$/s, '')
          // A sign is shown; more than that may be a part of a secret.
          .replace(/ [\w-]+ token in YAML stream: (".{1,3}"$)?.*/s, (_words, sign = 'text') => ` ${sign}`)
          .replace(/^[A-Z](?=[a-z ])/, (letter) => letter.toLowerCase())
      )
  }
}

/** Where the innermost quote or bracket begins that is still open at `offset`. */
function unclosed(document: YamlDocument, offset: number): number | undefined {
  let start: number | undefined
  visit(document, {
    Node(_key, node) {
      const range = node.range
      const canBeOpen = isCollection(node) ? node.flow : isScalar(node) && /^QUOTE/.test(node.type ?? '')
      if (canBeOpen && range && range[0] < offset && offset <= range[2]) start = range[0]
    },
  })
  return start
}
