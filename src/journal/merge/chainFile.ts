// One file as a member of a chain, and the descriptors a reader has open. Files are opened when the chain reaches them and
// closed some time after it passed them. Invariant: what is opened is the file that was meant, by inode and file id.

import { isProblem } from '../../errors.ts'
import type { JournalSet, KnownFile } from '../directory.ts'
import { JournalFile } from '../file/file.ts'
import { STATE_ARCHIVED } from '../file/header.ts'

/** Passed files that stay open: entries in them may still be looked up after their names are gone. */
const PASSED_OPEN_MAX = 16
const LOOKUPS_OPEN_MAX = 16

export class ChainFile {
  readonly known: KnownFile
  /** waiting: not reached; active: being read; passed: read to its end, or nothing in it is wanted. */
  state: 'waiting' | 'active' | 'passed' = 'waiting'
  /** Open for reading; its loaded entry is the next one when `ready`. */
  file: JournalFile | undefined
  ready = false
  /** Nothing will be added to what `file` shows. */
  final = false
  /** Open a second time, for look-ups. */
  lookup: JournalFile | undefined

  constructor(known: KnownFile) {
    this.known = known
  }

  /** The header's last seqnum can be relied upon: the writer is done. */
  get isArchived(): boolean {
    return this.known.header.state === STATE_ARCHIVED
  }

  /** Surely without entries from `seqnum` on. */
  endsBefore(seqnum: number): boolean {
    return this.isArchived && this.known.header.tailSeqnum < seqnum
  }

  /** Surely without entries up to `seqnum`. */
  beginsBehind(seqnum: number): boolean {
    return this.known.header.headSeqnum > seqnum
  }

  close(): void {
    this.file?.close()
    this.lookup?.close()
    this.file = undefined
    this.lookup = undefined
    this.ready = false
  }
}

export class OpenFiles {
  readonly #set: JournalSet
  readonly #passed = new Set<ChainFile>()
  /** Least recently used first. */
  readonly #lookups = new Set<ChainFile>()
  /** Files being read that serve for look-ups, and the index they go back to. */
  readonly #borrowed = new Map<JournalFile, number>()

  constructor(set: JournalSet) {
    this.#set = set
  }

  /** Opens for reading; undefined when the file is gone. Throws a Problem when it is there and cannot be opened. */
  open(one: ChainFile): JournalFile | undefined {
    if (one.file !== undefined) return one.file
    // Judged before the header is read: what was final then is complete now.
    one.final = !one.known.live
    one.file = this.#open(one.known)
    return one.file
  }

  /** A file to move about in, until `giveBack`, without disturbing the reading; undefined when it is gone. */
  forLookup(one: ChainFile): JournalFile | undefined {
    if (one.state !== 'active' && one.file !== undefined) return one.file
    one.lookup ??= this.#open(one.known)
    if (one.lookup === undefined) {
      // Its name is gone, so it cannot be opened a second time: what is open has to serve.
      if (one.file !== undefined && !this.#borrowed.has(one.file)) this.#borrowed.set(one.file, one.file.index)
      return one.file
    }
    this.#lookups.delete(one)
    this.#lookups.add(one)
    for (const oldest of this.#lookups) {
      if (this.#lookups.size <= LOOKUPS_OPEN_MAX) break
      this.#lookups.delete(oldest)
      oldest.lookup?.close()
      oldest.lookup = undefined
    }
    return one.lookup
  }

  /** Ends look-ups: files that are being read have their entry loaded again. */
  giveBack(): void {
    if (this.#borrowed.size === 0) return
    for (const [file, index] of this.#borrowed) if (!file.load(index)) file.index = index
    this.#borrowed.clear()
  }

  /** Takes up growth in what is open for look-ups. */
  refreshLookups(): void {
    for (const one of this.#lookups) one.lookup?.refresh()
  }

  /** Nothing more is read from this file. */
  pass(one: ChainFile): void {
    one.state = 'passed'
    one.ready = false
    one.file?.releaseCaches()
    this.#passed.delete(one)
    this.#passed.add(one)
    if (this.#passed.size <= PASSED_OPEN_MAX) return
    for (const oldest of this.#passed) {
      this.#passed.delete(oldest)
      if (oldest.state === 'passed') oldest.close()
      return
    }
  }

  #open(known: KnownFile): JournalFile | undefined {
    if (known.gone) return undefined
    // Renamed by rotation, moved by retention: after reading the directories again it is elsewhere or gone.
    for (let attempt = 0; ; attempt++) {
      try {
        const file = JournalFile.open(known.path, this.#set.memory)
        if (file.id === known.id && file.fileId === known.fileId) return file
        file.close()
      } catch (error) {
        if (isProblem(error, 'LF_JOURNAL_NOT_A_JOURNAL') || isProblem(error, 'LF_JOURNAL_UNKNOWN_FLAG')) {
          // Emptied by a vacuum, or overwritten.
        } else if (!isProblem(error) || attempt > 0) throw error
      }
      if (attempt > 0) return undefined
      this.#set.rescan()
      if (known.gone) return undefined
    }
  }
}
