// Which fields a record in shape `journal` has and what they are called there: rules, constants, the limit of names. The
// same for all encodings.

import type { FlatField, Lead } from '../flat.ts'
import type { RecordSpec } from '../spec.ts'
import { isCustom, NameLimit, type NameRules, Rules, Slots } from './rules.ts'

/** Members of every record, which no field of the journal may take. */
const OWN = ['@timestamp', '__CURSOR', '__REALTIME_TIMESTAMP', '__MONOTONIC_TIMESTAMP', '_BOOT_ID']
/** Members of ours beside the journal's: exact bytes by name, the names of what was cut, what found no place of its own. */
export const BASE64 = 'logferry.base64.'
export const TRUNCATED = 'logferry.truncated'
export const OTHER = 'logferry.other'

export interface RecordField extends FlatField {
  readonly rules: NameRules
  /** It goes into the list of what found no place, as NAME=value. */
  readonly other: boolean
}

/** The constant members of a record in shape `journal`, by name. */
export function constants(spec: RecordSpec): Map<string, string> {
  const members = new Map<string, string>()
  for (const [name, value] of sorted(spec.labels)) members.set(`labels.${name}`, value)
  for (const [name, value] of sorted(spec.fields.add ?? {})) if (!OWN.includes(name)) members.set(name, value)
  return members
}

/** In one order, whatever order they were written in: equal settings give equal bytes. */
function sorted(record: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1))
}

/** What the flat record forms share: which fields there are, and what they are called. */
export class RecordNames {
  readonly rules: Rules
  readonly #slots = new Slots()
  readonly #reserved: ReadonlySet<string>
  readonly #custom: 'keep' | 'drop'
  readonly #limit: NameLimit
  readonly #bySource: boolean

  constructor(spec: RecordSpec, reserved: Iterable<string>) {
    this.rules = new Rules(spec.fields)
    this.#reserved = new Set([...OWN, ...reserved])
    this.#custom = spec.custom ?? 'keep'
    this.#limit = new NameLimit(spec.customLimit ?? Number.POSITIVE_INFINITY)
    this.#bySource = spec.timestamp === 'source'
  }

  /** @param lead what stands before the value of a member of that name */
  field(name: string, lead: (key: string) => Lead): RecordField {
    const rules = this.rules.of(name)
    // A new name that the record needs itself would lose the field: it keeps its own.
    const wanted = this.#reserved.has(rules.name) ? name : rules.name
    const custom = !rules.renamed && isCustom(name)
    const drop = rules.drop || this.#reserved.has(wanted) || (custom && this.#custom === 'drop')
    const other = !drop && custom && !this.#limit.admits(name)
    const key = other ? OTHER : wanted
    const isSourceTime = this.#bySource && name === '_SOURCE_REALTIME_TIMESTAMP'
    return {
      slot: this.#slots.of(key),
      drop,
      key,
      lead: lead(key),
      rules,
      other,
      kept: !isSourceTime,
    }
  }
}
