// Texts with journal fields in them: `journal.${_SYSTEMD_UNIT}`, `${CONTAINER_NAME:-none}`, also one within another:
// `${_SYSTEMD_UNIT:-${SYSLOG_IDENTIFIER}}`. `$${` stands for a literal `${`.
// The keyword `format: template` tells the configuration that `${NAME}` is a field here and no environment variable.

import * as z from 'zod'

/** What a template needs of an entry. */
export interface Fields {
  get(field: string): string | undefined
}

export interface Template {
  /** The fields that it asks for, each once: what a sink puts into `traits.fields`. */
  readonly fields: readonly string[]
  /** The text itself when it asks for no field. */
  readonly constant: string | undefined
  /** The text for an entry. A field that is absent and has no default is empty. */
  render(entry: Fields): string
}

type Part = string | { readonly field: string; readonly otherwise: readonly Part[] }

/** Up to the next thing that is not plain text; within a default a brace ends it. */
const PIECE = /\$\$\{|\$\{(?:([A-Z0-9_]+)(:-|\}))?|\}/g

/** Reads a template. Throws an Error that says what is wrong with it. */
export function parseTemplate(text: string): Template {
  const parts: Part[] = []
  const fields = new Set<string>()
  // The defaults that are open, outermost first, and where their parts go.
  const open: Part[][] = [parts]
  let at = 0
  for (const match of text.matchAll(PIECE)) {
    const [piece, field, end] = match
    const into = open.at(-1) as Part[]
    // A brace outside of a default is text like any other.
    if (piece === '}' && open.length === 1) continue
    const plain = text.slice(at, match.index)
    // In a default it could not be told which brace ends it.
    if (open.length > 1 && plain.includes('{')) throw malformed(text)
    into.push(plain)
    at = match.index + piece.length
    if (piece === '}') open.pop()
    else if (piece === '$${') into.push('${')
    else if (field === undefined) throw malformed(text)
    else {
      const otherwise: Part[] = []
      fields.add(field)
      into.push({ field, otherwise })
      if (end === ':-') open.push(otherwise)
    }
  }
  if (open.length > 1) throw malformed(text)
  parts.push(text.slice(at))
  return {
    fields: [...fields],
    constant: fields.size === 0 ? parts.join('') : undefined,
    render: (entry) => render(parts, entry),
  }
}

function render(parts: readonly Part[], entry: Fields): string {
  let text = ''
  for (const part of parts) {
    text += typeof part === 'string' ? part : (entry.get(part.field) ?? render(part.otherwise, entry))
  }
  return text
}

function malformed(text: string): Error {
  return new Error(`"${text}" is no template: expected \${FIELD} or \${FIELD:-default}, FIELD in capitals`)
}

/** The schema of an option that is a template; gives a `Template`. */
export function template() {
  return z
    .string()
    .meta({ format: 'template' })
    .transform((text, context) => {
      try {
        return parseTemplate(text)
      } catch (error) {
        context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) })
        return z.NEVER
      }
    })
}
