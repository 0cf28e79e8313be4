// What every encoder is: a buffer of records that grows by one with each call of `encode`.

import type { JournalFile } from '../file/file.ts'
import { Output } from './output.ts'
import type { Watch } from './watch.ts'

/** Turns loaded entries into records, one after the other in `out[0..length)`. */
export abstract class Encoder extends Output {
  /**
   * Appends the record of the file's loaded entry, with its terminator. Never throws for content.
   * @param ordinal the entry's number among those equal in all four parts of their identity (it goes into the key)
   */
  abstract encode(file: JournalFile, ordinal: number): void

  /** Notes from now on which values each entry has of these fields; undefined where the encoder cannot. Before the first entry. */
  watch(_fields: readonly string[]): Watch | undefined {
    return undefined
  }

  /** Gives back what the encoder keeps of files. It can go on being used, only slower at first. */
  close(): void {}
}
