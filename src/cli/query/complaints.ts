// What of a journal could not be read, for stderr: files as a whole as soon as it is known, losses within files at the end, since the
// journal reader counts them while entries are read.
import type { Problem } from '../../errors.ts'
import type { JournalSet } from '../../journal/directory.ts'
import type { JournalFile } from '../../journal/file/file.ts'
import { complain } from '../output.ts'

type Damage = JournalFile['damage']

export class Complaints {
  readonly #set: JournalSet
  readonly #told = new WeakSet<Problem>()
  readonly #files = new Set<JournalFile>()
  #last: JournalFile | undefined

  constructor(set: JournalSet) {
    this.#set = set
  }

  /** Says each problem that is new; the rest of the journal is read all the same. */
  tellProblems(): void {
    for (const found of this.#set.problems) {
      if (this.#told.has(found)) continue
      this.#told.add(found)
      complain(`logferry: ${found.message}`)
    }
  }

  /** An entry of this file was read. Costs nothing while it is the same file as before. */
  note(file: JournalFile): void {
    if (file === this.#last) return
    this.#last = file
    this.#files.add(file)
  }

  /** Says what was lost in the files that were noted, one line each. */
  tellDamage(): void {
    // A file that was closed in between and opened again has counted anew: the larger count is the whole one.
    const worst = new Map<string, Damage>()
    for (const { path, damage } of this.#files) {
      const known = worst.get(path)
      if (sum(damage) > (known === undefined ? 0 : sum(known))) worst.set(path, damage)
    }
    for (const [path, damage] of worst) complain(`logferry: ${path} is damaged: lost ${describe(damage)}`)
  }
}

function sum({ badItems, lostEntries, lostFields, lostBytes }: Damage): number {
  return badItems + lostEntries + lostFields + lostBytes
}

function describe({ badItems, lostEntries, lostFields, lostBytes }: Damage): string {
  const parts = [
    counted(lostEntries, 'entry', 'entries'),
    counted(lostFields, 'field', 'fields'),
    counted(badItems, 'place in the list of entries', 'places in the list of entries'),
    counted(lostBytes, 'byte', 'bytes'),
  ]
  return parts.filter((part) => part !== '').join(', ')
}

function counted(count: number, one: string, many: string): string {
  return count === 0 ? '' : `${count} ${count === 1 ? one : many}`
}
