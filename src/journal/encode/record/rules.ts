// The field rules of a sink, worked out once per name: is it in the record, under which name, and what happens to its values. Values are changed
// before they are encoded and kept, so a rule costs once per distinct value. Invariant: a mask is never bypassed, neither by a cut
// nor by the exact bytes that go beside a value that is not text.

import type { JournalFile } from '../../file/file.ts'
import { cutAt } from '../bytes/utf8.ts'
import { MOST_FIELDS, OVERFLOW } from '../fieldTable.ts'
import type { FieldRules } from '../spec.ts'

interface Mask {
  readonly pattern: RegExp
  readonly replace: string
}

/** What the rules say of one name. */
export interface NameRules {
  readonly drop: boolean
  /** The name in the record, before a shape has its say. */
  readonly name: string
  readonly renamed: boolean
  /** Undefined when values stay as they are. */
  readonly masks: readonly Mask[] | undefined
}

/** A value after the rules, or as it is in the file. */
export class Value {
  bytes: Uint8Array = new Uint8Array(0)
  words: Uint32Array | undefined
  start = 0
  end = 0
  cut = false

  /** Takes the value of the file's loaded payload. */
  take(file: JournalFile, masks: readonly Mask[] | undefined, maxBytes: number): void {
    this.bytes = file.bytes
    this.words = file.words
    this.start = file.equals + 1
    this.end = file.end
    this.cut = false
    if (masks !== undefined) this.#mask(masks)
    if (this.end - this.start > maxBytes) {
      this.end = cutAt(this.bytes, this.start, this.end, maxBytes)
      this.cut = true
    }
  }

  /** As a string, invalid byte sequences as U+FFFD. */
  text(): string {
    return utf8(this.bytes, this.start, this.end)
  }

  /** The exact bytes. */
  base64(): string {
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset + this.start, this.end - this.start).toString('base64')
  }

  #mask(masks: readonly Mask[]): void {
    const before = this.text()
    let after = before
    for (const { pattern, replace } of masks) {
      pattern.lastIndex = 0
      after = after.replace(pattern, replace)
    }
    // Unchanged bytes stay, even those that are not UTF-8.
    if (after === before) return
    const bytes = Buffer.from(after, 'utf8')
    this.bytes = bytes
    this.words = undefined
    this.start = 0
    this.end = bytes.length
  }
}

function utf8(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8', start, end)
}

export class Rules {
  readonly maxBytes: number
  readonly #include: RegExp | undefined
  readonly #exclude: RegExp | undefined
  readonly #rename: Readonly<Record<string, string>>
  readonly #masks: FieldRules['mask']

  constructor(fields: FieldRules) {
    this.maxBytes = fields.maxBytes ?? Number.POSITIVE_INFINITY
    this.#include = fields.include === undefined ? undefined : namePattern(fields.include)
    this.#exclude = fields.exclude === undefined ? undefined : namePattern(fields.exclude)
    this.#rename = fields.rename ?? {}
    this.#masks = fields.mask
  }

  /** @param name journald's name */
  of(name: string): NameRules {
    // The head has the entry's own boot id; a field without a name cannot be a member of a document.
    const drop =
      name === '_BOOT_ID' ||
      name === '' ||
      (this.#include !== undefined && !this.#include.test(name)) ||
      this.#exclude?.test(name) === true
    const masks = this.#masks?.filter((mask) => mask.field === undefined || mask.field === name)
    const renamed = Object.hasOwn(this.#rename, name) ? this.#rename[name] : undefined
    return {
      drop,
      name: renamed ?? name,
      renamed: renamed !== undefined,
      masks: masks === undefined || masks.length === 0 ? undefined : masks,
    }
  }
}

/** Numbers for the record's names, so that a set of them is a set of bits. */
export class Slots {
  readonly #slots = new Map<string, number>()

  /** The slot of a name; OVERFLOW when there are too many. */
  of(name: string): number {
    const known = this.#slots.get(name)
    if (known !== undefined) return known
    const slot = this.#slots.size
    if (slot >= MOST_FIELDS) return OVERFLOW
    this.#slots.set(name, slot)
    return slot
  }
}

/** Lets the first `limit` distinct names through. */
export class NameLimit {
  readonly #names = new Set<string>()
  readonly #limit: number

  constructor(limit: number) {
    this.#limit = limit
  }

  admits(name: string): boolean {
    // Without a limit there is nothing to remember: a journal with endless names shall not cost memory.
    if (this.#limit === Number.POSITIVE_INFINITY || this.#names.has(name)) return true
    if (this.#names.size >= this.#limit) return false
    this.#names.add(name)
    return true
  }
}

/** Matches a name that one of the patterns names; `*` stands for any characters. */
function namePattern(patterns: readonly string[]): RegExp {
  const one = (pattern: string): string => pattern.split('*').map(RegExp.escape).join('.*')
  return new RegExp(`^(?:${patterns.map(one).join('|')})$`, 's')
}

// Source: systemd.journal-fields(7). Fields that begin with an underscore are all journald's own.
const JOURNAL_NAMES =
  /^(?:_.*|MESSAGE|MESSAGE_ID|PRIORITY|CODE_(?:FILE|LINE|FUNC)|ERRNO|INVOCATION_ID|USER_INVOCATION_ID|SYSLOG_(?:FACILITY|IDENTIFIER|PID|TIMESTAMP|RAW)|DOCUMENTATION|TID|UNIT|USER_UNIT|OBJECT_.*|COREDUMP_.*)$/s

/** True for a field that an application made up. */
export function isCustom(name: string): boolean {
  return !JOURNAL_NAMES.test(name)
}
