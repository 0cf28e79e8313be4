// What a schema says is wrong, put as mistakes with their places in the file. zod's issues are read by code; of other
// libraries only path and message are known, and their words are passed on.

import { describeKind, isNothing, type MapNode, type Node } from './document.ts'
import type { Path, Place } from './mistakes.ts'
import { nearest } from './nearest.ts'
import type { Resolution } from './resolve.ts'
import type { Shape } from './shape.ts'

/** As in Standard Schema, with what zod's issues have besides. */
export interface Issue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
  readonly code?: unknown
  readonly [detail: string]: unknown
}

/** The part of the file that a schema was asked about. */
export interface Subject {
  readonly node: MapNode
  /** Where the key stands that the node belongs to. */
  readonly at: Place
  readonly path: Path
  readonly shape: Shape
  /** Keys which are right here but of which the schema knows nothing. */
  readonly otherKeys: readonly string[]
}

/** Adds a mistake for each issue, but for those that only follow from one that is known. */
export function reportIssues(issues: readonly Issue[], subject: Subject, to: Resolution): void {
  for (const issue of issues) {
    const path = (issue.path ?? []).map((part) => {
      const key = typeof part === 'object' ? part.key : part
      return typeof key === 'number' ? key : String(key)
    })
    report(issue, path, subject, to)
  }
}

function report(issue: Issue, path: Path, subject: Subject, to: Resolution): void {
  const { mistakes } = to
  const place = locate(path, subject)
  if (place.isBroken(to.broken)) return
  const full = [...subject.path, ...path]
  const shape = path.reduce((at, part) => at.at(part), subject.shape)

  if (issue.code === 'unrecognized_keys' && place.node?.kind === 'map') {
    const known = [...shape.keys, ...(path.length === 0 ? subject.otherKeys : [])]
    for (const key of issue['keys'] as readonly string[]) {
      const at = place.node.entries.get(key)?.keyAt ?? place.at
      mistakes.add('LF_CONFIG_UNKNOWN_KEY', { key, near: nearest(key, known), known }, at, [...full, key])
    }
  } else if (issue.code === 'invalid_key') {
    const [inner] = issue['issues'] as readonly Issue[]
    const key = JSON.stringify(path.at(-1))
    const why = expectation(inner ?? issue, shape)
    mistakes.add('LF_CONFIG_VALUE', { found: `the name ${key}`, why, near: undefined }, place.keyAt, full)
  } else if (issue.code === 'invalid_union' && bestBranch(issue) !== undefined) {
    for (const inner of bestBranch(issue) ?? []) report(inner, [...path, ...((inner.path ?? []) as Path)], subject, to)
  } else if (place.node === undefined) {
    mistakes.add('LF_CONFIG_MISSING', { why: expectation(issue, shape) }, place.at, full)
  } else if (issue.code === 'custom' && place.node.kind === 'map') {
    mistakes.add('LF_CONFIG_CONFLICT', { why: issue.message }, place.keyAt, full)
  } else {
    const text = place.node.kind === 'scalar' ? place.node.text : ''
    const near = nearest(text, choicesOf(issue, shape))
    const details = { found: describe(place.node, full, shape, to), why: expectation(issue, shape), near }
    mistakes.add('LF_CONFIG_VALUE', details, place.node.at, full)
  }
}

interface Location {
  /** Undefined when the file has nothing at this path. */
  readonly node: Node | undefined
  /** The nearest place in the file: of the value, or of what it is missing from. */
  readonly at: Place
  readonly keyAt: Place
  isBroken(broken: ReadonlySet<Node>): boolean
}

function locate(path: Path, subject: Subject): Location {
  let node: Node | undefined = subject.node
  let at = subject.at
  const passed: Node[] = [node]
  for (const part of path) {
    if (node?.kind === 'map') {
      const entry = node.entries.get(String(part))
      node = entry?.node
      at = entry?.keyAt ?? at
    } else if (node?.kind === 'list') {
      node = node.items[Number(part)]
      at = node?.at ?? at
    } else {
      node = undefined
    }
    if (node !== undefined) passed.push(node)
  }
  return { node, at, keyAt: at, isBroken: (broken) => passed.some((one) => broken.has(one)) }
}

/** Of a union's branches the one that fitted best: it liked the kind of value and found fault only with a part of it. */
function bestBranch(issue: Issue): readonly Issue[] | undefined {
  if (isExpectation(issue.message)) return undefined
  const branches = (issue['errors'] ?? []) as readonly (readonly Issue[])[]
  return branches.find((branch) =>
    branch.every((inner) => (inner.path ?? []).length > 0 || inner.code !== 'invalid_type'),
  )
}

function isExpectation(message: string): boolean {
  return message.startsWith('expected ')
}

const TYPE_WORDS: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  integer: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
}

const FORMAT_WORDS: Readonly<Record<string, string>> = {
  url: 'a URL such as https://host:port',
  email: 'an e-mail address',
  ipv4: 'an IPv4 address',
  ipv6: 'an IPv6 address',
}

/** `expected …`, or the library's own words. */
function expectation(issue: Issue, shape: Shape): string {
  if (isExpectation(issue.message)) return issue.message
  const choices = choicesOf(issue, shape)
  switch (issue.code) {
    case 'invalid_type':
      if (choices.length > 0) return `expected ${oneOf(choices)}`
      return `expected ${typeWords(issue, shape)}`
    case 'invalid_value':
      return `expected ${oneOf((issue['values'] as readonly unknown[]).map(String))}`
    case 'invalid_union':
      return choices.length > 0 ? `expected ${oneOf(choices)}` : `expected ${unionTypes(issue).join(' or ')}`
    case 'too_small':
    case 'too_big':
      return `expected ${bound(issue)}`
    case 'invalid_format': {
      const format = String(issue['format'])
      if (format === 'regex') return `expected a text of the form ${String(issue['pattern'])}`
      return `expected ${FORMAT_WORDS[format] ?? format}`
    }
    default:
      return issue.message.replace(/^[A-Z](?=[a-z])/, (letter) => letter.toLowerCase())
  }
}

function typeWords(issue: Issue, shape: Shape): string {
  const type = String(issue['expected'])
  // zod asks for a number first, and only of a number that it is whole.
  const exact = type === 'number' && shape.accepts('integer') && !shape.accepts('number') ? 'integer' : type
  return TYPE_WORDS[exact] ?? exact
}

function bound(issue: Issue): string {
  const isLow = issue.code === 'too_small'
  const limit = String(issue[isLow ? 'minimum' : 'maximum'])
  const side = isLow ? 'at least' : 'at most'
  if (issue['origin'] === 'string') return limit === '1' && isLow ? 'a text' : `${side} ${limit} characters`
  if (issue['origin'] === 'array') return `${side} ${limit} ${limit === '1' ? 'item' : 'items'}`
  const isOpen = issue['inclusive'] === false
  return isOpen ? `a number ${isLow ? 'above' : 'below'} ${limit}` : `${side} ${limit}`
}

function unionTypes(issue: Issue): readonly string[] {
  const branches = (issue['errors'] ?? []) as readonly (readonly Issue[])[]
  const words = branches.flatMap((branch) =>
    branch.map((inner) => TYPE_WORDS[String(inner['expected'])] ?? inner.message),
  )
  return [...new Set(words)]
}

function choicesOf(issue: Issue, shape: Shape): readonly string[] {
  const listed = issue['values'] ?? issue['options']
  return Array.isArray(listed) ? listed.filter((value) => typeof value === 'string') : shape.choices
}

function oneOf(choices: readonly string[]): string {
  if (choices.length < 2) return choices.map((choice) => JSON.stringify(choice)).join('')
  return `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`
}

const SECRET_NAME = /passw|secret|token|api_?key|auth|credential/i
const SHOWN = 60

/** The value as it stands in the file, for people. What a variable or a file holds is never shown, nor what looks like a secret. */
function describe(node: Node, path: Path, shape: Shape, to: Resolution): string {
  if (node.kind === 'map' && to.hidden.has(node)) return 'the text of that file'
  if (node.kind !== 'scalar' || isNothing(node)) return describeKind(node)
  if (to.hidden.has(node)) return `the value of ${JSON.stringify(node.text)}`
  if (shape.keyword('writeOnly') === true || SECRET_NAME.test(String(path.at(-1)))) return 'a value that is not shown'
  const text = node.text.length > SHOWN ? `${node.text.slice(0, SHOWN)}…` : node.text
  return typeof node.value === 'string' ? JSON.stringify(text) : text
}
