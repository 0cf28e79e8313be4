// Which index each entry of a batch goes to, and what its action line says. Names and lines are made once for entries that are alike in the
// fields they ask for and in the hour, not once for each.

import type { Batch } from '../../src/sink.ts'
import type { Template } from '../parts/template.ts'
import { type Lines, leadOf } from './bulkBody.ts'
import { HOUR_US, type IndexName } from './indexName.ts'

export interface Address {
  /** The index of all entries, named in the path; undefined: each line names its own. */
  readonly name: string | undefined
  readonly lines: Lines
}

export class Addresses {
  /** The journal fields that names and routing ask for. */
  readonly fields: readonly string[]
  readonly #index: IndexName
  readonly #routing: Template | undefined
  readonly #hasIds: boolean
  readonly #plainLead: Buffer

  constructor(index: IndexName, routing: Template | undefined, hasIds: boolean) {
    this.#index = index
    this.#routing = routing
    this.#hasIds = hasIds
    this.#plainLead = leadOf(hasIds)
    this.fields = [...new Set([...index.fields, ...(routing?.fields ?? [])])]
  }

  /** Where a batch goes. */
  of(batch: Batch): Address {
    const hasIds = this.#hasIds
    // A name with a mistake in it may not stand in the path, where it spoils the whole request: only names without fields do.
    const name = this.#index.fields.length > 0 ? undefined : this.#oneName(batch)
    if (name !== undefined && this.#routing === undefined) return { name, lines: { hasIds, lead: this.#plainLead } }
    const leads = new Map<number, Buffer>()
    const { groups, realtimes, entries } = batch
    const lead = (index: number): Buffer => {
      const kind = this.#kindOf(groups, realtimes, index)
      let found = leads.get(kind)
      if (found === undefined) {
        const entry = entries[index]
        const routing = entry === undefined ? undefined : this.#routing?.render(entry)
        found = leadOf(hasIds, name === undefined ? this.#nameOf(batch, index) : undefined, routing)
        leads.set(kind, found)
      }
      return found
    }
    return { name, lines: { hasIds, lead } }
  }

  /** All the indexes that entries of a batch go to. */
  namesOf(batch: Batch): readonly string[] {
    const { constant, fields } = this.#index
    if (constant !== undefined) return [constant]
    const one = fields.length > 0 ? undefined : this.#oneName(batch)
    if (one !== undefined) return [one]
    const { groups, realtimes } = batch
    const names = new Map<number, string>()
    for (let index = 0; index < realtimes.length; index++) {
      const kind = this.#kindOf(groups, realtimes, index)
      if (!names.has(kind)) names.set(kind, this.#nameOf(batch, index))
    }
    return [...new Set(names.values())]
  }

  #oneName({ realtimes }: Batch): string | undefined {
    const { constant } = this.#index
    if (constant !== undefined) return constant
    let hour = -1
    let name: string | undefined
    for (let index = 0; index < realtimes.length; index++) {
      const now = Math.floor((realtimes[index] as number) / HOUR_US)
      if (now === hour) continue
      hour = now
      const next = this.#index.at(now * HOUR_US)
      if (name !== undefined && next !== name) return undefined
      name = next
    }
    return name
  }

  /** A number that is the same for entries that are alike. */
  #kindOf({ at, first }: Batch['groups'], realtimes: Float64Array, index: number): number {
    const hour = this.#index.hasDates ? Math.floor((realtimes[index] as number) / HOUR_US) : 0
    return hour * first.length + (at[index] as number)
  }

  #nameOf({ entries, realtimes }: Batch, index: number): string {
    const entry = entries[index]
    const realtime = realtimes[index] as number
    return entry === undefined || this.#index.fields.length === 0
      ? this.#index.at(realtime)
      : this.#index.render(realtime, entry)
  }
}
