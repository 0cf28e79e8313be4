// Which field of the journal goes where in a document in shape `ecs`: the table, the field rules, and for what neither knows journald.custom.
// Invariant: no path is both a value and an object, and none that the document writes itself is taken by a field.

import { NameLimit, type NameRules, Rules, Slots } from '../record/rules.ts'
import type { RecordSpec } from '../spec.ts'
import type { EcsDocument, Place } from './document.ts'
import { customName, ECS_FIELDS, type Role } from './fields.ts'
import type { Notation } from './notation.ts'

/** A place in the document. */
export interface Target extends Place {
  readonly path: string
}

export interface EcsField {
  readonly id: number
  readonly name: string
  readonly slot: number
  /** Not in the document, and without a role. */
  readonly drop: boolean
  readonly targets: readonly Target[]
  readonly int: boolean
  readonly role: Role | undefined
  /** Its only place is the message, or in journald.custom: it can follow a run without touching it. */
  readonly quick: 'message' | 'custom' | undefined
  /** The name in journald.custom. */
  readonly custom: string | undefined
  readonly rules: NameRules
  /** The path that a person chose for it: where it is there, nothing else is written to that place. */
  readonly renamed: string | undefined
  /** It goes into the list of what found no place, as NAME=value. */
  readonly other: boolean
  readonly isSourceTime: boolean
}

/** The path of what was logged. It stands first, so that it can be written before the run. */
export const MESSAGE = 'message'

/** The document's own members, which nothing else may write. */
const OWN: readonly string[] = [
  '@timestamp',
  'event',
  'journald.cursor',
  'journald.seqnum',
  'journald.host',
  'journald.custom',
  'logferry',
]
const OWN_VALUES = [
  'log.level',
  'log.syslog.priority',
  'log.syslog.severity.code',
  'log.syslog.severity.name',
  'service.name',
  'tags',
].concat(
  [
    'process.pid',
    'process.command_line',
    'process.args',
    'process.args_count',
    'process.thread.capabilities.effective',
  ],
  ['user.id', 'user.group.id', 'user.effective.id', 'user.effective.group.id'],
)

export class EcsNames {
  readonly rules: Rules
  /** The constant members by path, in one order; they win over fields. */
  readonly constants: ReadonlyMap<string, string>
  /** Of journald.custom. */
  readonly customNode: number
  readonly #notation: Notation
  readonly #document: EcsDocument
  readonly #values: Set<string>
  readonly #slots = new Slots()
  readonly #custom: 'keep' | 'drop'
  readonly #limit: NameLimit
  readonly #bySource: boolean

  constructor(spec: RecordSpec, notation: Notation, document: EcsDocument) {
    this.rules = new Rules(spec.fields)
    this.#notation = notation
    this.#document = document
    this.#custom = spec.custom ?? 'keep'
    this.#limit = new NameLimit(spec.customLimit ?? 500)
    this.#bySource = spec.timestamp === 'source'
    this.#values = new Set([...[...ECS_FIELDS.values()].flatMap((row) => row.paths), ...OWN_VALUES])
    // All objects first, so that a new name cannot take the place of one.
    for (const path of this.#values) document.node(path.split('.').slice(0, -1))
    this.customNode = document.node(['journald', 'custom'])
    this.constants = this.#settle(spec)
  }

  /** The place at a path, undefined when a constant has it. */
  target(path: string): Target | undefined {
    if (this.constants.has(path)) return undefined
    return { path, ...this.#document.place(path) }
  }

  /** The place of a name in journald.custom. */
  customTarget(name: string): Target {
    const later = this.#notation.lead(name)
    return { path: `journald.custom.${name}`, node: this.customNode, first: this.#notation.first(later), later }
  }

  field(name: string, id: number): EcsField {
    const rules = this.rules.of(name)
    const isFree = rules.renamed && this.#isFree(rules.name) && !this.constants.has(rules.name)
    const renamed = isFree ? rules.name : undefined
    const row = renamed === undefined ? ECS_FIELDS.get(name) : undefined
    const isSourceTime = this.#bySource && name === '_SOURCE_REALTIME_TIMESTAMP'
    const known = { id, name, rules, isSourceTime, int: row?.int === true, role: rules.drop ? undefined : row?.role }
    if (row === undefined && renamed === undefined) return { ...known, ...this.#customPlace(name, rules) }
    const targets = (renamed === undefined ? (row?.paths ?? []) : [renamed])
      .map((path) => this.target(path))
      .filter((target) => target !== undefined)
    const only = renamed ?? (row?.paths.length === 1 ? row.paths[0] : undefined)
    return {
      ...known,
      slot: this.#slots.of(only ?? `field ${name}`),
      drop: rules.drop || (targets.length === 0 && known.role === undefined),
      targets,
      quick: targets.length === 1 && targets[0].path === MESSAGE ? 'message' : undefined,
      custom: undefined,
      renamed,
      other: false,
    }
  }

  #customPlace(
    name: string,
    rules: NameRules,
  ): Pick<EcsField, 'slot' | 'drop' | 'targets' | 'quick' | 'custom' | 'renamed' | 'other'> {
    const custom = customName(rules.name)
    const path = `journald.custom.${custom}`
    const drop = rules.drop || this.#custom === 'drop' || this.constants.has(path)
    const other = !drop && !this.#limit.admits(custom)
    return {
      slot: this.#slots.of(other ? `other ${name}` : path),
      drop,
      targets: [this.customTarget(custom)],
      quick: other ? undefined : 'custom',
      custom,
      renamed: undefined,
      other,
    }
  }

  /** The constants of a sink at their paths, or in journald.custom where a path cannot be. Labels are an object of their own. */
  #settle(spec: RecordSpec): Map<string, string> {
    const wanted = [
      ...Object.entries(spec.dataStream ?? {}).map(([name, value]) => [`data_stream.${name}`, value] as const),
      ...Object.entries(spec.labels).map(([name, value]) => [`labels.${name.replaceAll('.', '_')}`, value] as const),
      ...Object.entries(spec.fields.add ?? {}),
    ]
    const members = new Map<string, string>()
    for (const [path, value] of wanted.sort(([a], [b]) => (a < b ? -1 : 1))) {
      const isEvent = /^event\.(?!id$)./.test(path)
      const settled = isEvent || this.#isFree(path) ? path : `journald.custom.${customName(path)}`
      members.set(settled, value)
      if (isEvent) continue
      this.#values.add(settled)
      this.#document.node(settled.split('.').slice(0, -1))
    }
    return members
  }

  /** A path that a person chose, fit for a value: not part of what the document writes, no object, and not below a value. */
  #isFree(path: string): boolean {
    const parts = path.split('.')
    if (parts.includes('')) return false
    if (this.#document.has(path)) return false
    for (let k = 1; k <= parts.length; k++) {
      const above = parts.slice(0, k).join('.')
      if (OWN.includes(above) && above !== 'journald.custom') return false
      if (k < parts.length && this.#values.has(above)) return false
    }
    return true
  }
}
