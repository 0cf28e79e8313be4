// Which journal is meant: -D, --file, or this machine's own.
import { globSync } from 'node:fs'
import { problem } from '../../errors.ts'
import type { JournalPlace } from '../../journal/directory.ts'

/** Where the journal is; at most one of both is given, none means this machine's own. */
export interface PlaceOptions {
  readonly directory?: readonly string[]
  readonly file?: readonly string[]
}

/** Where JournalSet looks. */
export type Place = Pick<JournalPlace, 'directories' | 'files' | 'machineId'>

/** The place the options name. Throws Problem LF_USAGE. */
export function parsePlace(options: PlaceOptions): Place {
  const { directory, file } = options
  if (directory !== undefined && file !== undefined)
    throw problem('LF_USAGE', { text: '--directory and --file exclude each other' })
  if (directory !== undefined) return { directories: directory, machineId: 'any' }
  if (file !== undefined) return { files: file.flatMap(expand), machineId: 'any' }
  return { machineId: 'local' }
}

/** A pattern stands for the files it fits; one that fits none stands for itself, so that the error names it. */
function expand(file: string): string[] {
  if (!/[*?[]/.test(file)) return [file]
  const found = globSync(file).sort()
  return found.length === 0 ? [file] : found
}
