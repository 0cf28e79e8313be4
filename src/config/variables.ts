// Environment variables in values: `${NAME}`, `${NAME:-default}`, `${NAME:?message}`, and `$${` for a literal `${`.
// What a variable holds is text: it is never read as YAML, nor searched for variables.

/** A text with its variables filled in. */
export interface Filled {
  readonly text: string
  /** The text is one variable and nothing else, so that it may stand for a number or a boolean. */
  readonly isWhole: boolean
  /** What cannot be filled in, and what to do about it. */
  readonly mistakes: readonly { readonly why: string; readonly hint: string }[]
}

/** Whether there is anything to fill in or to unescape. */
export function hasVariables(text: string): boolean {
  return text.includes('${')
}

/** Fills in the variables of `env`. As in a shell, `:-` and `:?` take an empty variable for an unset one. */
export function fillIn(text: string, env: Readonly<Record<string, string | undefined>>): Filled {
  const mistakes: { why: string; hint: string }[] = []
  let out = ''
  let at = 0
  let variables = 0
  let isWhole = false
  while (at < text.length) {
    if (text.startsWith('$${', at)) {
      out += '${'
      at += 3
    } else if (text.startsWith('${', at)) {
      const end = closingBrace(text, at + 2)
      if (end < 0) {
        mistakes.push({ why: `"${text.slice(at, at + 20)}" has no closing "}"`, hint: LITERAL_HINT })
        break
      }
      const value = lookUp(text.slice(at + 2, end), env)
      if (typeof value === 'string') out += value
      else mistakes.push(...value)
      isWhole = at === 0 && end === text.length - 1
      variables++
      at = end + 1
    } else {
      out += text[at++]
    }
  }
  return { text: out, isWhole: isWhole && variables === 1, mistakes }
}

const LITERAL_HINT = 'write $${ for a text that holds ${'

/** The `}` that belongs to the `${` before `from`; defaults may hold variables of their own. */
function closingBrace(text: string, from: number): number {
  let depth = 1
  for (let at = from; at < text.length; at++) {
    if (text.startsWith('${', at)) {
      depth++
      at++
    } else if (text[at] === '}' && --depth === 0) {
      return at
    }
  }
  return -1
}

function lookUp(
  inner: string,
  env: Readonly<Record<string, string | undefined>>,
): string | readonly { why: string; hint: string }[] {
  const parts = /^([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)(.*))?$/s.exec(inner)
  if (parts === null) {
    const hint = `expected \${NAME}, \${NAME:-default} or \${NAME:?message}; ${LITERAL_HINT}`
    return [{ why: `"\${${inner}}" is no variable`, hint }]
  }
  const [, name = '', operator, rest = ''] = parts
  const value = env[name]
  if (operator === undefined) {
    if (value !== undefined) return value
    return [{ why: `the environment variable ${name} is not set`, hint: `set it, or write \${${name}:-default}` }]
  }
  if (value !== undefined && value !== '') return value
  if (operator === ':-') {
    const filled = fillIn(rest, env)
    return filled.mistakes.length === 0 ? filled.text : filled.mistakes
  }
  const why = value === undefined ? 'is not set' : 'is empty'
  return [{ why: `the environment variable ${name} ${why}`, hint: rest === '' ? 'set it' : rest }]
}
