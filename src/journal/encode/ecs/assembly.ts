// Puts a document in shape `ecs` together from an entry's values: each at its places, then the members that are made of several fields.
// Where fields meet at one name in journald.custom, the untrusted one keeps it and the trusted one gets `_trusted` behind it.

import type { Output } from '../output.ts'
import type { Value } from '../record/rules.ts'
import type { RecordSpec } from '../spec.ts'
import { EcsDocument, type Place, ROOT } from './document.ts'
import { capabilityNames, leadingInteger, type Role, SEVERITIES, splitCommandLine } from './fields.ts'
import { type EcsField, EcsNames, MESSAGE, type Target } from './names.ts'
import type { Notation } from './notation.ts'

/** A value of an entry. Texts are one-byte text in the encoding's notation. */
export interface EcsItem {
  readonly field: EcsField
  readonly value: string
  /** What the field's role needs besides, worked out once per distinct value. */
  readonly companion: string
  readonly base64: string | undefined
  readonly cut: boolean
}

/** The document's pairs: at the top (with objects), in journald, in journald.custom. */
export interface EcsParts {
  readonly root: string
  readonly rootPairs: number
  readonly journald: string
  readonly journaldPairs: number
  readonly custom: string
  readonly customPairs: number
}

type Roles = Partial<Record<Role, EcsItem>>

export class EcsAssembly {
  readonly names: EcsNames
  readonly maxBytes: number
  /** The constant pairs of the object `event`. */
  readonly eventPairs: { readonly pairs: string; readonly count: number }
  readonly #notation: Notation
  readonly #document: EcsDocument
  readonly #journald: number
  readonly #truncated: Place
  readonly #others: Place
  readonly #base64: number
  readonly #byRfc: boolean
  readonly #places = new Map<string, Target | undefined>()
  /** Paths that renamed fields of this entry have. */
  readonly #taken = new Set<string>()
  /** The pair `message` of this entry; it goes before all others. */
  #message = ''
  readonly #severities: readonly { readonly name: string; readonly code: string }[]

  constructor(spec: RecordSpec, pieces: Notation) {
    this.#notation = pieces
    this.#document = new EcsDocument(pieces, ['', 'journald', 'journald.custom'])
    this.names = new EcsNames(spec, pieces, this.#document)
    const { constants } = this.names
    const event = new Map([
      ['kind', 'event'],
      ['dataset', 'journald'],
    ])
    for (const [path, value] of constants) if (path.startsWith('event.')) event.set(path.slice(6), value)
    this.eventPairs = {
      pairs: pieces.first([...event].map(([name, value]) => pieces.lead(name) + pieces.text(value)).join('')),
      count: event.size,
    }
    for (const [path, value] of constants) {
      if (path.startsWith('event.')) continue
      this.#document.fix(path, pieces.text(value))
    }
    this.#journald = this.#document.node(['journald'])
    this.#truncated = this.#document.place('logferry.truncated')
    this.#others = this.#document.place('logferry.other')
    this.#base64 = this.#document.node(['logferry', 'base64'])
    this.maxBytes = this.names.rules.maxBytes
    this.#byRfc = spec.priority === 'rfc5424'
    this.#severities = SEVERITIES.map((name, code) => ({ name: pieces.text(name), code: pieces.int(code) }))
  }

  /** Writes the value in the encoding's notation, with what the field's role needs. `scratch` is left empty. */
  read(field: EcsField, value: Value, scratch: Output): EcsItem {
    const pieces = this.#notation
    let text: string | undefined
    let companion = ''
    let base64: string | undefined
    if (field.int || field.role !== undefined || field.other) {
      const raw = value.text()
      const number = field.int ? leadingInteger(raw) : undefined
      if (number !== undefined) text = pieces.int(number)
      if (field.other) text = pieces.text(`${field.name}=${raw}`)
      if (field.role !== undefined) companion = this.#companion(field.role, raw)
    }
    if (text === undefined) {
      if (!pieces.write(scratch, value)) base64 = value.base64()
      text = scratch.out.latin1Slice(0, scratch.length)
      scratch.reset()
    }
    return { field, value: text, companion, base64, cut: value.cut }
  }

  /** The document of these values, in item order. */
  assemble(items: readonly EcsItem[]): EcsParts {
    const document = this.#document
    document.begin()
    this.#message = ''
    const roles: Roles = {}
    const slots = new Set<number>()
    let simple = true
    this.#taken.clear()
    for (const item of items) {
      const { role, slot, other, renamed } = item.field
      if (renamed !== undefined) this.#taken.add(renamed)
      if (role !== undefined) roles[role] ??= item
      if (slots.has(slot) || other || item.base64 !== undefined || item.cut) simple = false
      slots.add(slot)
    }
    if (simple && this.#taken.size === 0) {
      for (const { field, value } of items) {
        for (const target of field.targets) this.#put(target, value)
      }
    } else this.#addGroups(items)
    this.#addPriority(roles)
    this.#addProcess(roles)
    this.#addUser(roles)
    this.#addRest(roles)
    const root = this.#message + document.text(ROOT)
    const rootPairs = document.count + (this.#message === '' ? 0 : 1)
    const journald = document.text(this.#journald)
    const journaldPairs = document.count
    const custom = document.text(this.names.customNode)
    return { root, rootPairs, journald, journaldPairs, custom, customPairs: document.count }
  }

  /** With fields that occur twice or meet at one name, and with what stands beside values. */
  #addGroups(items: readonly EcsItem[]): void {
    const pieces = this.#notation
    const untrusted = new Set<string>()
    for (const { field } of items)
      if (field.custom !== undefined && !field.name.startsWith('_')) untrusted.add(field.custom)
    const groups = new Map<string, { readonly targets: readonly Target[]; readonly items: EcsItem[] }>()
    const others: string[] = []
    for (const item of items) {
      const { field } = item
      if (field.other) {
        others.push(item.value)
        continue
      }
      const moved = field.custom !== undefined && field.name.startsWith('_') && untrusted.has(field.custom)
      const name = moved ? `${field.custom}_trusted` : undefined
      const key = name === undefined ? `${field.slot} ${field.slot > 4095 ? field.name : ''}` : `trusted ${name}`
      const group = groups.get(key)
      if (group === undefined)
        groups.set(key, {
          targets: name === undefined ? field.targets : [this.names.customTarget(name)],
          items: [item],
        })
      else group.items.push(item)
    }
    const cut: string[] = []
    for (const { targets, items: group } of groups.values()) {
      const [first] = group
      const value = group.length === 1 ? first.value : pieces.list(group.map((item) => item.value))
      for (const target of targets) {
        const { path } = target
        if (!this.#taken.has(path) || group.some((item) => item.field.renamed === path)) this.#put(target, value)
      }
      if (group.some((item) => item.base64 !== undefined)) {
        const exact = group.map(({ base64 }) => (base64 === undefined ? pieces.nothing : pieces.text(base64)))
        const later = pieces.lead(first.field.name)
        const place = { node: this.#base64, first: pieces.first(later), later }
        this.#document.add(place, exact.length === 1 ? exact[0] : pieces.list(exact))
      }
      if (group.some((item) => item.cut)) cut.push(pieces.text(first.field.name))
    }
    if (cut.length > 0) this.#document.add(this.#truncated, pieces.list(cut))
    if (others.length > 0) this.#document.add(this.#others, pieces.list(others))
  }

  #put(target: Target, value: string): void {
    if (target.path === MESSAGE) this.#message = target.later + value
    else this.#document.add(target, value)
  }

  #addPriority({ priority, facility }: Roles): void {
    if (priority === undefined) return
    const severity = /^[0-7]$/.test(priority.companion) ? this.#severities[Number(priority.companion)] : undefined
    let value = priority.value
    if (this.#byRfc && severity !== undefined) {
      const number = leadingInteger(facility?.companion ?? '0') ?? 0
      value = this.#notation.int(number * 8 + Number(priority.companion))
    }
    this.#add('log.syslog.priority', value)
    if (severity === undefined) return
    this.#add('log.syslog.severity.code', severity.code)
    this.#add('log.syslog.severity.name', severity.name)
    this.#add('log.level', severity.name)
  }

  /** The process that the message is about: the one that logged, unless it says that it logs for another. */
  #addProcess({ pid, commandLine, capabilities, objectPid, objectCommandLine }: Roles): void {
    this.#add('process.pid', objectPid?.value ?? pid?.value)
    const command = objectCommandLine ?? commandLine
    this.#add('process.command_line', command?.value)
    if (command !== undefined && command.companion !== '') {
      const space = command.companion.indexOf(' ')
      this.#add('process.args', command.companion.slice(space + 1))
      this.#add('process.args_count', this.#notation.int(Number(command.companion.slice(0, space))))
    }
    if (capabilities?.companion) this.#add('process.thread.capabilities.effective', capabilities.companion)
  }

  /** The user of the process that the message is about: who logged in, and with which rights it runs where these differ. */
  #addUser(roles: Roles): void {
    const { objectUid, objectGid, objectLoginUid } = roles
    if (objectUid === undefined && objectLoginUid === undefined) {
      this.#addUserOf(roles.loginUid, roles.uid, roles.gid)
    } else {
      this.#addUserOf(objectLoginUid, objectUid ?? roles.uid, objectUid === undefined ? roles.gid : objectGid)
    }
  }

  #addUserOf(login: EcsItem | undefined, uid: EcsItem | undefined, gid: EcsItem | undefined): void {
    const isOther = login !== undefined && uid !== undefined && login.companion !== uid.companion
    this.#add('user.id', login?.companion ?? uid?.companion)
    if (uid === undefined) return
    if (isOther) this.#add('user.effective.id', uid.companion)
    this.#add(isOther ? 'user.effective.group.id' : 'user.group.id', gid?.companion)
  }

  #addRest({ unit, identifier, containerId, containerIdFull, partial }: Roles): void {
    this.#add('service.name', unit?.companion || identifier?.value)
    if (containerIdFull === undefined) this.#add('container.id', containerId?.value)
    if (partial !== undefined) this.#add('tags', this.#notation.list([this.#notation.text('partial_message')]))
  }

  #add(path: string, value: string | undefined): void {
    if (value === undefined || this.#taken.has(path)) return
    const place = this.#place(path)
    if (place !== undefined) this.#document.add(place, value)
  }

  #place(path: string): Target | undefined {
    if (!this.#places.has(path)) this.#places.set(path, this.names.target(path))
    return this.#places.get(path)
  }

  #companion(role: Role, raw: string): string {
    const pieces = this.#notation
    switch (role) {
      case 'priority':
      case 'facility':
        return /^[0-9]{1,4}$/.test(raw) ? raw : ''
      case 'uid':
      case 'gid':
      case 'loginUid':
      case 'objectUid':
      case 'objectGid':
      case 'objectLoginUid':
        return pieces.text(raw)
      case 'unit':
        return raw.endsWith('.service') ? pieces.text(raw.slice(0, -8)) : ''
      case 'commandLine':
      case 'objectCommandLine': {
        const args = splitCommandLine(raw)
        if (args.length === 0) return ''
        return `${args.length} ${pieces.list(args.map(pieces.text))}`
      }
      case 'capabilities': {
        const names = capabilityNames(raw)
        return names === undefined || names.length === 0 ? '' : pieces.list(names.map(pieces.text))
      }
      default:
        return ''
    }
  }
}
