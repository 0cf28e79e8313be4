// Everything that is wrong with a configuration file, each with its place, gathered and then thrown as one Problem.

import { type Details, Problem, type ProblemCode, problem } from '../errors.ts'

/** A place in the configuration file; both count from 1, the column in UTF-16 units as editors do. */
export interface Place {
  readonly line: number
  readonly column: number
}

/** The way from the top of the file to a value: keys and list indexes. */
export type Path = readonly (string | number)[]

/** One mistake or warning, as `validate --json` prints it. */
export interface Mistake {
  readonly code: ProblemCode
  readonly file: string
  readonly line: number
  readonly column: number
  /** As in `sinks.search.match[0]`; empty for the file as a whole. */
  readonly path: string
  readonly message: string
  readonly hint?: string
}

/** Thrown by `loadConfig`: all mistakes of a file, sorted by place; the message has one line for each. */
export class ConfigProblems extends Problem {
  readonly mistakes: readonly Mistake[]
  constructor(file: string, mistakes: readonly Mistake[]) {
    const { code, message, exit, hint } = problem('LF_CONFIG', {
      path: file,
      count: mistakes.length,
      lines: mistakes.map(formatMistake),
    })
    super(code, message, exit, hint)
    this.mistakes = mistakes
  }
}

/** `file:line:column  path: what; what to do` */
export function formatMistake({ file, line, column, path, message, hint }: Mistake): string {
  const subject = path === '' ? '' : `${path}: `
  return `${file}:${line}:${column}  ${subject}${message}${hint === undefined ? '' : `; ${hint}`}`
}

/** Writes a path as people do: `sinks.search.match[0].PRIORITY`; a key with other characters in quotes. */
export function formatPath(path: Path): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`
    if (!/^[\w@-]+$/.test(part)) return `${text}[${JSON.stringify(part)}]`
    return text === '' ? part : `${text}.${part}`
  }, '')
}

/** Gathers mistakes and warnings of one file. */
export class MistakeList {
  readonly #file: string
  readonly #mistakes: Mistake[] = []
  readonly #warnings: Mistake[] = []

  /** @param file the path as the person gave it */
  constructor(file: string) {
    this.#file = file
  }

  add<C extends ProblemCode>(code: C, details: Details<C>, at: Place, path: Path): void {
    this.addProblem(problem(code, details), at, path)
  }

  /** For a Problem that was thrown where the place in the file is not known. */
  addProblem(found: Problem, at: Place, path: Path): void {
    this.#mistakes.push(this.#make(found, at, path))
  }

  warn<C extends ProblemCode>(code: C, details: Details<C>, at: Place, path: Path): void {
    this.#warnings.push(this.#make(problem(code, details), at, path))
  }

  get warnings(): readonly Mistake[] {
    return sorted(this.#warnings)
  }

  /** Throws ConfigProblems when there is any mistake. */
  throwIfAny(): void {
    if (this.#mistakes.length > 0) throw new ConfigProblems(this.#file, sorted(this.#mistakes))
  }

  #make({ code, message, hint }: Problem, at: Place, path: Path): Mistake {
    const where = { code, file: this.#file, line: at.line, column: at.column, path: formatPath(path), message }
    return hint === undefined ? where : { ...where, hint }
  }
}

function sorted(mistakes: readonly Mistake[]): readonly Mistake[] {
  return mistakes.toSorted((a, b) => a.line - b.line || a.column - b.column)
}
