// A cursor as the routes take it: its form is checked as strictly as the original did, so that clients see the same errors.

import { type CursorParts, parseCursor } from '../../journal/cursor.ts'
import { Refusal } from '../http/refusal.ts'

const FORM =
  /^s=[^;=]{1,33};i=[0-9a-fA-F]{1,16};b=[^;=]{1,33};m=[0-9a-fA-F]{1,16};t=[0-9a-fA-F]{1,16};x=[0-9a-fA-F]{1,16}$/

/** Reads a cursor. Throws Refusal 400 with `prefix` before its text. */
export function readCursor(text: string, prefix: string): CursorParts {
  if (FORM.test(text)) {
    try {
      return parseCursor(text)
    } catch {
      // Of the right form, but an id in it is none of 32 hex digits.
    }
  }
  throw new Refusal(400, `${prefix}: Incorrect cursor string`)
}
