import { describe, expect, it } from 'vitest'
import { fillIn } from '../../src/config/variables.ts'

const ENV = { HOST: 'es', EMPTY: '', PORT: '9200', TRICK: '${HOST} # not a comment' }

describe('fillIn', () => {
  it.each([
    ['http://${HOST}:${PORT}/', 'http://es:9200/', false],
    ['${HOST}', 'es', true],
    ['${HOST}${PORT}', 'es9200', false],
    ['${EMPTY}', '', true],
    ['${EMPTY:-none}', 'none', true],
    ['${MISSING:-none}', 'none', true],
    ['${MISSING:-}', '', true],
    ['${MISSING:-a b: c}', 'a b: c', true],
    ['${MISSING:-${HOST}:${PORT}}', 'es:9200', true],
    ['${MISSING:-{"a":1\\}}', '{"a":1\\}', false],
    ['${PORT:?where?}', '9200', true],
    ['$${HOST}', '${HOST}', false],
    ['a$${b}${HOST}', 'a${b}es', false],
    ['$HOST $1 $ $$', '$HOST $1 $ $$', false],
    ['${TRICK}', '${HOST} # not a comment', true],
    ['', '', false],
  ])('makes %j to %j', (text, expected, isWhole) => {
    expect(fillIn(text, ENV)).toEqual({ text: expected, isWhole, mistakes: [] })
  })

  it('says what cannot be filled in, and what to do', () => {
    const texts = [
      '${MISSING}',
      '${MISSING:?set it to the HEC token}',
      '${EMPTY:?}',
      '${HOST',
      '${1st}',
      '${HOST-x}',
      '${}',
      '${A:-${B}}',
      'x${A}y${B}',
    ]
    const said = texts.map(
      (text) =>
        `${text}: ${fillIn(text, ENV)
          .mistakes.map(({ why, hint }) => `${why}; ${hint}`)
          .join(' | ')}`,
    )
    expect(said.join('\n')).toMatchInlineSnapshot(`
      "\${MISSING}: the environment variable MISSING is not set; set it, or write \${MISSING:-default}
      \${MISSING:?set it to the HEC token}: the environment variable MISSING is not set; set it to the HEC token
      \${EMPTY:?}: the environment variable EMPTY is empty; set it
      \${HOST: "\${HOST" has no closing "}"; write $\${ for a text that holds \${
      \${1st}: "\${1st}" is no variable; expected \${NAME}, \${NAME:-default} or \${NAME:?message}; write $\${ for a text that holds \${
      \${HOST-x}: "\${HOST-x}" is no variable; expected \${NAME}, \${NAME:-default} or \${NAME:?message}; write $\${ for a text that holds \${
      \${}: "\${}" is no variable; expected \${NAME}, \${NAME:-default} or \${NAME:?message}; write $\${ for a text that holds \${
      \${A:-\${B}}: the environment variable B is not set; set it, or write \${B:-default}
      x\${A}y\${B}: the environment variable A is not set; set it, or write \${A:-default} | the environment variable B is not set; set it, or write \${B:-default}"
    `)
  })
})
