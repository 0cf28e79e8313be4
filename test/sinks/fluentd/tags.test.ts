import { describe, expect, it } from 'vitest'
import { MAX_TAG_BYTES, TAG, tagsOf, toTag } from '../../../sinks/fluentd/tags.ts'
import { parseTemplate } from '../../../sinks/parts/template.ts'
import { packed } from './sinks.ts'

describe('toTag', () => {
  it.each([
    ['journal.ssh.service', 'journal.ssh.service'],
    ['journal.user@1000.service', 'journal.user_1000.service'],
    ['journal.dev-disk-by\\x2duuid.swap', 'journal.dev-disk-by_x2duuid.swap'],
    ['a b/c:d"e', 'a_b_c_d_e'],
    ['größe.🚀', 'gr__e._'],
    ['.journal..unit.', 'journal.unit'],
    ['...', 'journal'],
    ['', 'journal'],
    ['line\nbreak', 'line_break'],
  ])('%j becomes %s', (text, tag) => {
    expect(toTag(text)).toBe(tag)
    expect(toTag(text)).toMatch(TAG)
  })

  it('cuts what is too long, and leaves no dot at the end', () => {
    expect(toTag('x'.repeat(500))).toHaveLength(MAX_TAG_BYTES)
    expect(toTag(`${'x'.repeat(MAX_TAG_BYTES - 1)}.y`)).toBe('x'.repeat(MAX_TAG_BYTES - 1))
  })
})

describe('tagsOf', () => {
  it('has one tag and no numbers for a template without fields', () => {
    expect(tagsOf(packed(5), parseTemplate('journal'))).toEqual({ tags: ['journal'], numbers: undefined })
  })

  it('numbers entries by tag, also where several values give one', () => {
    const batch = packed(6, { fields: (n) => ({ UNIT: ['a@1', 'a@2', 'a/1'][n % 3] ?? '' }) })
    const { tags, numbers } = tagsOf(batch, parseTemplate('u.${UNIT}'))
    expect(tags).toEqual(['u.a_2', 'u.a_1'])
    expect([...(numbers ?? [])]).toEqual([0, 1, 1, 0, 1, 1])
  })

  it('asks each group once', () => {
    const batch = packed(100, { fields: () => ({ UNIT: 'cron' }) })
    let asked = 0
    const counted = { ...batch, groups: { at: new Uint32Array(100), first: Uint32Array.of(0) } }
    const template = { ...parseTemplate('u.${UNIT}'), render: () => `u${asked++}` }
    expect(tagsOf(counted, template)).toEqual({ tags: ['u0'], numbers: undefined })
    expect(asked).toBe(1)
  })
})
