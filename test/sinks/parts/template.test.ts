import { describe, expect, it } from 'vitest'
import { parseTemplate, template } from '../../../sinks/parts/template.ts'

const ENTRY: Readonly<Record<string, string>> = { UNIT: 'a.service', EMPTY: '', NAME: 'a' }
const entry = { get: (field: string) => ENTRY[field] }

describe('a template', () => {
  it.each([
    ['plain', 'plain'],
    ['', ''],
    ['x.${UNIT}.y', 'x.a.service.y'],
    ['${UNIT}${NAME}', 'a.servicea'],
    ['${ABSENT}', ''],
    ['${ABSENT:-none}', 'none'],
    ['${ABSENT:-}', ''],
    ['${EMPTY:-none}', ''],
    ['${ABSENT:-${NAME}}', 'a'],
    ['${ABSENT:-<${GONE:-${NAME}!}>}.', '<a!>.'],
    ['${UNIT:-${NAME}}', 'a.service'],
    ['$${UNIT}', '${UNIT}'],
    ['${ABSENT:-$${x}', '${x'],
    ['{"a":{}} $ $UNIT }', '{"a":{}} $ $UNIT }'],
  ])('%s becomes %s', (text, wanted) => {
    expect(parseTemplate(text).render(entry)).toBe(wanted)
  })

  it('names the fields that it asks for, each once', () => {
    expect(parseTemplate('${A} ${B:-${A}${C:-d}}').fields).toEqual(['A', 'B', 'C'])
  })

  it('is constant when it asks for none', () => {
    expect(parseTemplate('a$${b}').constant).toBe('a${b}')
    expect(parseTemplate('${A}').constant).toBeUndefined()
  })

  it.each(['${unit}', '${}', '${UNIT', '${UNIT:-x', '${UNIT:?x}', '${A:-${b}}', '${A B}', '${A:-{x}}'])(
    '%s is refused',
    (text) => {
      expect(() => parseTemplate(text)).toThrow(/is no template: expected/)
      expect(template().safeParse(text).success).toBe(false)
    },
  )
})
