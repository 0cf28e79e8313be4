// Texts with journal fields in them: `journal.${_SYSTEMD_UNIT}`, `${CONTAINER_NAME:-none}`. `$${` stands for a literal `${`.
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

type Part = string | { readonly field: string; readonly otherwise: string }

const FIELD = /\$\$\{|\$\{([A-Z0-9_]+)(?::-([^{}]*))?\}/g

/** Reads a template. Throws an Error that says what is wrong with it. */
export function parseTemplate(text: string): Template {
  const parts: Part[] = []
  let at = 0
  for (const match of text.matchAll(FIELD)) {
    parts.push(text.slice(at, match.index))
    at = match.index + match[0].length
    const field = match[1]
    parts.push(field === undefined ? '${' : { field, otherwise: match[2] ?? '' })
  }
  parts.push(text.slice(at))
  const wrong = parts.find((part) => typeof part === 'string' && part !== '${' && part.includes('${'))
  if (wrong !== undefined)
    throw new Error(`"${text}" is no template: expected \${FIELD} or \${FIELD:-default}, FIELD in capitals`)
  const fields = [...new Set(parts.flatMap((part) => (typeof part === 'string' ? [] : [part.field])))]
  return {
    fields,
    constant: fields.length === 0 ? parts.join('') : undefined,
    render: (entry) =>
      parts.map((part) => (typeof part === 'string' ? part : (entry.get(part.field) ?? part.otherwise))).join(''),
  }
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
