// Tags of entries, made from a template. Invariant: a tag is never empty, fits TAG and has at most MAX_TAG_BYTES bytes.

import type { Batch } from '../../src/sink.ts'
import type { Template } from '../parts/template.ts'

/** Longer ones are cut. */
export const MAX_TAG_BYTES = 128
/** A tag that needs no change: parts between dots, as the matching of Fluentd's `<match a.b.**>` sees them. */
export const TAG = /^[\w-]+(?:\.[\w-]+)*$/
/** Instead of a tag of which nothing is left. */
const FALLBACK = 'journal'

/** The tags of a batch. */
export interface Tagged {
  /** Distinct. */
  readonly tags: readonly string[]
  /** Index into `tags` of each entry; undefined when there is one tag. */
  readonly numbers: Uint32Array | undefined
}

/** The tags of a batch's entries. The template is rendered once for each group of entries with the same values. */
export function tagsOf(batch: Batch, template: Template): Tagged {
  if (template.constant !== undefined) return { tags: [toTag(template.constant)], numbers: undefined }
  const { at, first } = batch.groups
  const numberOf = new Map<string, number>()
  const numberOfGroup = Uint32Array.from(first, (index) => {
    const entry = batch.entries[index]
    const tag = toTag(entry === undefined ? '' : template.render(entry))
    const known = numberOf.get(tag)
    if (known !== undefined) return known
    const number = numberOf.size
    numberOf.set(tag, number)
    return number
  })
  const tags = [...numberOf.keys()]
  return { tags, numbers: tags.length === 1 ? undefined : at.map((group) => numberOfGroup[group] ?? 0) }
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
