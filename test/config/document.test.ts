import { describe, expect, it } from 'vitest'
import { readDocument } from '../../src/config/document.ts'
import { ConfigProblems, MistakeList } from '../../src/config/mistakes.ts'

function mistakesOf(text: string): string {
  const mistakes = new MistakeList('c.yaml')
  readDocument(text, mistakes)
  try {
    mistakes.throwIfAny()
    return 'fine'
  } catch (error) {
    if (!(error instanceof ConfigProblems)) throw error
    return error.message.split('\n').slice(1).join('\n')
  }
}

describe('readDocument', () => {
  it('says what is wrong with the YAML, and where', () => {
    const texts = [
      '',
      '# only a comment\n',
      '[1]',
      'word',
      'a: 1\nb: 2\na: 3\n',
      'a:\n\tb: 1\n',
      'a: 1\n---\nb: 2\n',
      'a: *x\n',
      'a: &x [*x]\n',
      'a: !secret b\n',
      'a: b: c\n',
      'a: 1\nb: "abc\nc: 2\n',
      'a: [1, 2\nb: 3\n',
      'a: {b: 1\n',
      'a: {x: 1}}\n',
      'a:\n   b: 1\n  c: 2\n',
      'a: @x\n',
      '? [a]\n: b\n',
      'a: 1\n<<: 5\n',
      'a: { b: 1 } hunter2\n',
      '- a\nhunter2: hunter2\n',
      'sinks: { out: { type: stdout, token: ${TOKEN} } }\n',
    ]
    expect(texts.map((text) => `${JSON.stringify(text)}\n${mistakesOf(text)}`).join('\n')).toMatchInlineSnapshot(`
      """
      c.yaml:1:1  not valid YAML: the file is empty, expected options such as "sinks:"
      "# only a comment\\n"
      c.yaml:1:1  not valid YAML: the file is empty, expected options such as "sinks:"
      "[1]"
      c.yaml:1:1  not valid YAML: the file holds a list, expected options such as "sinks:"
      "word"
      c.yaml:1:1  not valid YAML: the file holds a single value, expected options such as "sinks:"
      "a: 1\\nb: 2\\na: 3\\n"
      c.yaml:3:1  not valid YAML: the key a stands here for the second time
      "a:\\n\\tb: 1\\n"
      c.yaml:2:1  not valid YAML: a tab where spaces are needed: YAML is indented by spaces only
      "a: 1\\n---\\nb: 2\\n"
      c.yaml:2:1  not valid YAML: a second document begins here ("---"), but a configuration is one document
      "a: *x\\n"
      c.yaml:1:4  a: not valid YAML: there is no anchor &x before this
      "a: &x [*x]\\n"
      c.yaml:1:8  a[0][0]: not valid YAML: *x stands within itself
      "a: !secret b\\n"
      c.yaml:1:4  not valid YAML: the tag !secret has no meaning here; a text that begins with "!" needs quotes
      "a: b: c\\n"
      c.yaml:1:4  not valid YAML: a mapping within a line; a text that holds ": " needs quotes
      "a: 1\\nb: \\"abc\\nc: 2\\n"
      c.yaml:2:4  not valid YAML: this " is never closed
      "a: [1, 2\\nb: 3\\n"
      c.yaml:1:4  not valid YAML: this [ is never closed
      "a: {b: 1\\n"
      c.yaml:1:4  not valid YAML: this { is never closed
      "a: {x: 1}}\\n"
      c.yaml:1:10  not valid YAML: unexpected "}"
      "a:\\n   b: 1\\n  c: 2\\n"
      c.yaml:3:1  not valid YAML: all mapping items must start at the same column
      "a: @x\\n"
      c.yaml:1:4  not valid YAML: plain value cannot start with reserved character @
      "? [a]\\n: b\\n"
      c.yaml:1:3  not valid YAML: a key must be a single word
      "a: 1\\n<<: 5\\n"
      c.yaml:2:1  not valid YAML: << takes a mapping or a list of mappings
      "a: { b: 1 } hunter2\\n"
      c.yaml:1:13  not valid YAML: unexpected scalar at node end
      "- a\\nhunter2: hunter2\\n"
      c.yaml:2:1  not valid YAML: unexpected scalar at node end
      "sinks: { out: { type: stdout, token: \${TOKEN} } }\\n"
      c.yaml:1:39  not valid YAML: a variable within { … } or [ … ] needs quotes: "\${NAME}""
    `)
  })

  it('knows the place and the text of every key and value, behind anchors and merges too', () => {
    const text = 'base: &b\n  x: 0012\n  y: [true, "5"]\nuse:\n  <<: *b\n  x: mine\nalias: *b\n'
    const root = readDocument(text, new MistakeList('c.yaml'))
    const use = root?.entries.get('use')?.node
    expect(use?.kind === 'map' && [...use.entries].map(([key, { keyAt, node }]) => [key, keyAt, node.at])).toEqual([
      ['x', { line: 6, column: 3 }, { line: 6, column: 6 }],
      ['y', { line: 3, column: 3 }, { line: 3, column: 6 }],
    ])
    const alias = root?.entries.get('alias')?.node
    expect(alias?.kind === 'map' && alias.entries.get('x')?.node).toEqual({
      kind: 'scalar',
      at: { line: 2, column: 6 },
      text: '0012',
      value: 12,
      isPlain: true,
    })
  })

  it('takes a byte order mark, Windows line ends, and keys that are no text to YAML', () => {
    expect(mistakesOf('\uFEFFa: 1\r\n1: b\r\ntrue: c\r\nnull: d\r\n')).toBe('fine')
  })

  it('stops at aliases that multiply', () => {
    const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]']
    for (let n = 1; n < 8; n++) lines.push(`a${n}: &a${n} [${`*a${n - 1}, `.repeat(10)}]`)
    const before = performance.now()
    expect(mistakesOf(lines.join('\n'))).toMatch(/aliases make it larger than 20000 values$/)
    expect(performance.now() - before).toBeLessThan(2000)
  })
})
