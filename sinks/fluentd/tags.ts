// Tags of entries out of a template. What a template gives is worked out once per distinct value of its fields, since a journal has
// few units and many entries. Invariant: a tag is never empty, fits TAG and has at most MAX_TAG_BYTES bytes.

import type { Batch, Entry } from '../../src/sink.ts'
import type { Template } from '../parts/template.ts'

/** Longer ones are cut. */
export const MAX_TAG_BYTES = 128
/** A tag that needs no change: parts between dots, as the matching of Fluentd's `<match a.b.**>` sees them. */
export const TAG = /^[\w-]+(?:\.[\w-]+)*$/
/** Instead of a tag of which nothing is left. */
const FALLBACK = 'journal'
// A journal with more distinct values (a template of _PID, say) must not fill memory.
const MOST_KEPT = 10_000

/** The tags of a batch. */
export interface Tagged {
  /** Distinct, in the order of their first entries. */
  readonly tags: readonly string[]
  /** Index into `tags` of each entry; undefined when there is one tag. */
  readonly numbers: Uint32Array | undefined
}

export class Tags {
  readonly #template: Template
  readonly #known = new Map<string, string>()

  constructor(template: Template) {
    this.#template = template
  }

  /** The journal fields that tags are made of. */
  get fields(): readonly string[] {
    return this.#template.fields
  }

  of(batch: Batch): Tagged {
    const { constant } = this.#template
    if (constant !== undefined) return { tags: [toTag(constant)], numbers: undefined }
    const tags: string[] = []
    const numberOf = new Map<string, number>()
    const numbers = new Uint32Array(batch.ends.length)
    for (const [index, entry] of batch.entries.entries()) {
      const tag = this.#tagOf(entry)
      let number = numberOf.get(tag)
      if (number === undefined) {
        number = tags.push(tag) - 1
        numberOf.set(tag, number)
      }
      numbers[index] = number
    }
    return { tags, numbers: tags.length === 1 ? undefined : numbers }
  }

  #tagOf(entry: Entry): string {
    const values = this.#template.fields.map((field) => entry.get(field))
    // No value holds U+FFFF: it is no character.
    const key = values.length === 1 ? (values[0] ?? '\uffff') : values.map((value) => value ?? '\uffff').join('\0')
    let tag = this.#known.get(key)
    if (tag === undefined) {
      tag = toTag(this.#template.render({ get: (field) => values[this.#template.fields.indexOf(field)] }))
      if (this.#known.size >= MOST_KEPT) this.#known.clear()
      this.#known.set(key, tag)
    }
    return tag
  }
}

/** A text as tag: other characters become `_`, empty parts are left out, what is too long is cut. */
export function toTag(text: string): string {
  const parts = text.split('.').filter((part) => part !== '')
  const tag = parts
    .join('.')
    .replace(/[^\w.-]/gu, '_')
    .slice(0, MAX_TAG_BYTES)
    .replace(/\.$/, '')
  return tag === '' ? FALLBACK : tag
}
