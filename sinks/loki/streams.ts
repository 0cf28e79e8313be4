// Which stream an entry belongs to. Invariant: never more label sets than `max_streams` and one, whatever the fields hold.

import type { Batch, SinkHost } from '../../src/sink.ts'
import type { Template } from '../parts/template.ts'

/** Loki's default limit for the value of a label, bytes. */
const VALUE_BYTES = 2048
/** Entries whose labels are too many go here. */
const OVERFLOW = 'overflow'
/** A name of the host for which a backfill ships: `SINK/backfill/JOB`. */
const BACKFILL = /\/backfill\//

export class Streams {
  readonly #templates: readonly (readonly [name: string, template: Template])[]
  readonly #most: number
  readonly #host: SinkHost
  readonly #known = new Set<string>()
  readonly #overflow: string

  constructor(labels: Readonly<Record<string, Template>>, most: number, host: SinkHost) {
    const templates = Object.entries(labels)
    this.#most = most
    this.#host = host
    this.#templates = BACKFILL.test(host.name) ? forBackfill(templates) : templates
    const constants = this.#templates.flatMap(([name, { constant }]) => (constant ? [[name, cut(constant)]] : []))
    this.#overflow = JSON.stringify({ ...Object.fromEntries(constants), [OVERFLOW]: 'true' })
  }

  /** The journal fields that labels are made of. */
  get fields(): readonly string[] {
    return [...new Set(this.#templates.flatMap(([, { fields }]) => fields))]
  }

  /** The labels of each entry of a batch, as JSON: equal texts are the same stream. */
  of(batch: Batch): readonly string[] {
    const { at, first } = batch.groups
    const ofGroup = Array.from(first, (index) => this.#labels(batch, index))
    return Array.from(at, (group) => ofGroup[group] as string)
  }

  #labels(batch: Batch, index: number): string {
    const entry = batch.entries[index]
    const labels: Record<string, string> = {}
    for (const [name, template] of this.#templates) {
      const text = template.constant ?? (entry === undefined ? '' : template.render(entry))
      if (text !== '') labels[name] = cut(text)
    }
    // Loki takes no stream without a label.
    if (Object.keys(labels).length === 0) return this.#overflow
    const text = JSON.stringify(labels)
    if (this.#known.has(text)) return text
    if (this.#known.size >= this.#most) return this.#overflow
    this.#known.add(text)
    if (this.#known.size === this.#most)
      this.#host.log.warn(`there are ${this.#most} different sets of labels; what has others is labelled "${OVERFLOW}"`)
    return text
  }
}

/** Old entries would be refused in a stream that is written to: they get one of their own, by the label `job`. */
function forBackfill(
  templates: readonly (readonly [string, Template])[],
): readonly (readonly [name: string, template: Template])[] {
  const suffixed = (template: Template): Template => ({
    fields: template.fields,
    constant: template.constant === undefined ? undefined : `${template.constant}-backfill`,
    render: (entry) => `${template.render(entry)}-backfill`,
  })
  const fixed: Template = { fields: [], constant: 'journald-backfill', render: () => 'journald-backfill' }
  if (!templates.some(([name]) => name === 'job')) return [...templates, ['job', fixed]]
  return templates.map(([name, template]) => [name, name === 'job' ? suffixed(template) : template])
}

/** Bounded, and no half character at the end. */
function cut(text: string): string {
  if (Buffer.byteLength(text) <= VALUE_BYTES) return text
  const bytes = Buffer.from(text)
  let end = VALUE_BYTES
  while (((bytes[end] as number) & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end)
}
