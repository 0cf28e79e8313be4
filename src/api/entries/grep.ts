// The `grep` parameter: a regular expression over MESSAGE. RE2's engine takes time in proportion to the text whatever the pattern is, so no pattern
// can hold up the process; what remains is bounded by the sizes of pattern and message and by a deadline between entries.

import { RE2JS } from 're2js'
import type { JournalFile } from '../../journal/file/file.ts'
import { Refusal } from '../http/refusal.ts'
import { FieldPicker } from './picker.ts'

/** The search has taken all the time it may. */
export const DEADLINE = Symbol('deadline')

const PATTERN_MAX = 512
/** A message is searched up to here, bytes. */
const TEXT_MAX = 16 << 10
/** Texts that are tried to find out whether a pattern is cheap enough, and what it may cost there, ms. */
const TRIAL = 'a'.repeat(4096)
const TRIAL_MS = 50

export class Searcher {
  /** Two with one key find the same. */
  readonly key: string
  readonly #pattern: ReturnType<typeof RE2JS.compile>
  readonly #picker = new FieldPicker(['MESSAGE'], TEXT_MAX)
  readonly #searchMs: number
  #spent = 0

  /**
   * @param searchMs time that all looks together may take
   * Throws Refusal 400 for what is no expression, or one too large to be searched for.
   */
  constructor(text: string, searchMs: number) {
    this.key = text
    this.#searchMs = searchMs
    if (text.length > PATTERN_MAX) throw new Refusal(400, `grep: expected at most ${PATTERN_MAX} characters`)
    try {
      this.#pattern = RE2JS.compile(text)
    } catch (error) {
      throw new Refusal(400, `grep: expected a regular expression in the syntax of RE2: ${(error as Error).message}`)
    }
    const began = performance.now()
    this.#pattern.matcher(TRIAL).find()
    if (performance.now() - began > TRIAL_MS)
      throw new Refusal(400, 'grep: this expression takes too long; a shorter one, or smaller counts in {…}, may do')
  }

  /** Whether the loaded entry's message has it; DEADLINE when the time is used up. */
  fits(file: JournalFile): boolean | typeof DEADLINE {
    if (this.#spent > this.#searchMs) return DEADLINE
    const began = performance.now()
    const [message] = this.#picker.pick(file)
    const found = message !== undefined && this.#pattern.matcher(message).find()
    this.#spent += performance.now() - began
    return found
  }

  /** A new allowance of time, for an answer that goes on as entries come. */
  renew(): void {
    this.#spent = 0
  }
}
