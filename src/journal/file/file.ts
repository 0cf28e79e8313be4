// One journal file as a list of entries, one of which is loaded, and its DATA. Content never makes it throw: what does not validate is
// skipped and counted, or, at the end of a file that is being written, taken as not written yet.
// Invariant: a loaded entry is complete, and only bytes within the file and behind the writer's commit point are used.

import type { MemoryBudget, MemoryHolder } from '../memory.ts'
import { DataIndex, type EntryOffsets } from './dataIndex.ts'
import { Descriptor } from './descriptor.ts'
import { type Damage, EntryList, IndexSet } from './entryList.ts'
import { type Header, STATE_ONLINE } from './header.ts'
import { ENTRY_HEAD, entrySize, u64 } from './objects.ts'
import { PayloadReader } from './payload.ts'
import { findMonotonic, findNumber, findOffset, REALTIME, SEQNUM } from './search.ts'
import { EMPTY_WORDS, Windows } from './window.ts'
import { ZstdBatch } from './zstdBatch.ts'

export type { Damage, EntryOffsets }

/** So many entries in a row in one direction are read through the large window; who wants only a few does not pay for it. */
const SEQUENTIAL = 3
/** A filter that takes every so-manieth entry still reads in sequence. */
const NEAR = 16
/** How far behind an entry the large window ends when reading backwards: room for the entry itself. */
const BACK_ROOM = 12 << 10
/** Lost DATA that are told apart, so that each is counted once; beyond that many the count is a rough one. */
const LOST_DATA_MAX = 65536

export type Refreshed = 'same' | 'grown' | 'vacuumed' | 'replaced'

export class JournalFile {
  readonly path: string
  /** `device:inode`: stays through renames. */
  readonly id: string
  readonly fileId: string
  readonly machineId: string
  readonly seqnumId: string
  readonly compact: boolean
  header: Header
  readonly damage: Damage = { badItems: 0, lostEntries: 0, lostFields: 0, lostBytes: 0 }
  /** The file was deleted and its content is gone: what was not read yet is lost, not damaged. */
  vacuumed = false

  /** Of the loaded entry; -1 = before the first, entryCount = past the end. May be set to either to begin from there. */
  index = -1

  // The loaded entry. Numbers are exact below 2^53, times in µs; ids and hashes as little-endian words.
  offset = 0
  seqnum = 0
  realtime = 0
  monotonic = 0
  boot0 = 0
  boot1 = 0
  boot2 = 0
  boot3 = 0
  xorHigh = 0
  xorLow = 0
  /** Item k's DATA is at itemWords[itemBase + k * itemStride], plus the next word * 2^32 where the stride is 4. */
  itemCount = 0
  itemWords: Uint32Array = EMPTY_WORDS
  itemBase = 0
  readonly itemStride: 1 | 4

  /** Kept by encoders for this file, under themselves as key. Given back on close. */
  readonly encoderCaches = new Map<object, MemoryHolder>()

  readonly #descriptor: Descriptor
  readonly #memory: MemoryBudget
  readonly #windows: Windows
  readonly #list: EntryList
  readonly #data: DataIndex
  readonly #payload: PayloadReader
  #replaced = false
  #final = true
  #prepared = false
  #clamped = 0
  // Steps in one direction so far, negative when backwards.
  #streak = 0
  #own = new Uint32Array(64)
  // Counted as damaged.
  readonly #bad = new IndexSet()
  readonly #lostData = new Set<number>()
  // Damaged entries right behind entry #skipFrom, up to #skipTo, need no second try.
  #skipFrom = -2
  #skipTo = -2
  // The first entry that is not complete yet, and the last one known to be; -2 = not looked for.
  #pending = -1
  #lastReadable = -2
  #bootHex = ''
  readonly #bootWords = new Uint32Array(4)

  /**
   * Problem LF_JOURNAL_NOT_A_JOURNAL, LF_JOURNAL_UNKNOWN_FLAG, LF_JOURNAL_NO_ACCESS or LF_JOURNAL_IO.
   * Reads the header only; memory from `memory` is taken when entries are read.
   */
  static open(path: string, memory: MemoryBudget): JournalFile {
    return new JournalFile(new Descriptor(path), memory)
  }

  private constructor(descriptor: Descriptor, memory: MemoryBudget) {
    const { header } = descriptor
    this.path = descriptor.path
    this.id = descriptor.id
    this.fileId = header.fileId
    this.machineId = header.machineId
    this.seqnumId = header.seqnumId
    this.compact = header.compact
    this.itemStride = header.compact ? 1 : 4
    this.header = header
    this.#descriptor = descriptor
    this.#memory = memory
    const batch = new ZstdBatch()
    this.#windows = new Windows(descriptor.fd, memory, () => batch.release())
    this.#list = new EntryList(this.#windows, header, this.damage)
    this.#payload = new PayloadReader(this.#windows, batch, header.compact, header.headerSize)
    this.#data = new DataIndex(this.#windows, header, this)
    this.#adopt()
  }

  /** Why a read failed, when the device or file system said so. */
  get readError(): string | undefined {
    return this.#windows.readError ?? this.#descriptor.readError
  }

  /** The writer is done with this file, as far as the header tells. Only then is what does not validate at its end damage. */
  get final(): boolean {
    return this.#final
  }

  /** Reads the header again. 'grown' = more entries can be read than before; after 'vacuumed' or 'replaced' nothing can. */
  refresh(): Refreshed {
    if (this.#descriptor.fd < 0) return 'same'
    if (this.vacuumed) return 'vacuumed'
    if (this.#replaced) return 'replaced'
    const before = this.header
    switch (this.#descriptor.read()) {
      case 'gone':
        this.#replaced = !this.#isVacuumed()
        return this.#replaced ? 'replaced' : 'vacuumed'
      case 'same':
        if (!this.#final) this.#windows.expireLinks()
        return this.#retryPending()
      case 'changed':
        this.#windows.grow(before.tailObjectOffset)
        this.#adopt()
        return this.header.entries > before.entries ? 'grown' : this.#retryPending()
    }
  }

  /** Entries that have an index: n_entries of the header, or what a scan found in place of a broken entry array. */
  get entryCount(): number {
    if (!this.#prepared) this.#prepare()
    return this.#list.count
  }

  /**
   * Loads entry `index`. False: there is none, it is damaged (counted once), or not complete yet; the loaded entry is then as before
   * but its items and payload may be gone.
   */
  load(index: number): boolean {
    if (!this.#prepared) this.#prepare()
    if (!(index >= 0 && index < this.#list.count && this.#readable)) return false
    const step = index - this.index
    if (step > 0 && step <= NEAR) this.#streak = this.#streak > 0 ? this.#streak + 1 : 1
    else if (step < 0 && step >= -NEAR) this.#streak = this.#streak < 0 ? this.#streak - 1 : -1
    else this.#streak = 0
    const offset = this.#list.offset(index)
    if ((offset !== 0 && this.#read(offset)) || this.#recover(index)) {
      this.index = index
      return true
    }
    return false
  }

  /** Loads the next readable entry. False at the end: the loaded entry stays, so that it goes on from there after growth. */
  next(): boolean {
    const moves = this.#windows.moves
    let index = (this.#skipFrom === this.index ? this.#skipTo : this.index) + 1
    for (const count = this.entryCount; index < count; index++) {
      if (this.load(index)) return true
      if (!this.#readable || (this.#pending >= 0 && index >= this.#pending)) break
      this.#skipFrom = this.index
      this.#skipTo = index
    }
    this.#restore(moves)
    return false
  }

  /** Loads the readable entry before. False at the beginning: the loaded entry stays. */
  previous(): boolean {
    const moves = this.#windows.moves
    for (let index = Math.min(this.index, this.entryCount) - 1; index >= 0; index--) {
      if (this.load(index)) return true
      if (!this.#readable) break
    }
    this.#restore(moves)
    return false
  }

  /** The smallest index whose seqnum is at least `seqnum`, or entryCount. The loaded entry stays, a payload does not. */
  findSeqnum(seqnum: number): number {
    return this.#keepingLoaded(() => findNumber(this.#list, SEQNUM, seqnum))
  }

  /** The same by realtime; approximate where the clock was set back within the file. */
  findRealtime(us: number): number {
    return this.#keepingLoaded(() => findNumber(this.#list, REALTIME, us))
  }

  /**
   * The smallest index of this boot with at least that monotonic time; behind the boot's last entry when all are earlier.
   * Undefined when the boot does not occur in this file.
   */
  findMonotonic(bootId: string, us: number): number | undefined {
    return this.#keepingLoaded(() => findMonotonic(this.#list, this.#data, bootId, us))
  }

  /** The index of the entry at an offset, -1 when the list does not have it. */
  indexOfOffset(entryOffset: number): number {
    return this.#keepingLoaded(() => findOffset(this.#list, entryOffset))
  }

  /** The boot id of the loaded entry, 32 hex digits. */
  bootId(): string {
    const known = this.#bootWords
    if (known[0] !== this.boot0 || known[1] !== this.boot1 || known[2] !== this.boot2 || known[3] !== this.boot3) {
      this.#bootHex = ''
      known[0] = this.boot0
      known[1] = this.boot1
      known[2] = this.boot2
      known[3] = this.boot3
    }
    if (this.#bootHex === '') {
      const id = Buffer.alloc(16)
      for (let i = 0; i < 4; i++) id.writeUInt32LE(known[i] as number, 4 * i)
      this.#bootHex = id.toString('hex')
    }
    return this.#bootHex
  }

  /**
   * Reads the DATA at `offset`, decompressed: afterwards the payload is bytes[start..end), its first '=' at `equals`. When it was stored
   * plain, `words` is the same memory as `bytes` and `start` a multiple of 8; else undefined. `shared`: several entries refer to it.
   * False when it is lost (counted once). Valid until the next payload(), load() or look-up.
   */
  payload(offset: number): boolean {
    // Reading on from here needs what lies ahead; otherwise only DATA before this entry will be asked for.
    const limit = this.#streak >= SEQUENTIAL ? Number.POSITIVE_INFINITY : this.offset
    return this.#payload.read(offset, limit) || this.#recoverPayload(offset, limit)
  }

  get bytes(): Buffer {
    return this.#payload.bytes
  }

  get start(): number {
    return this.#payload.start
  }

  get end(): number {
    return this.#payload.end
  }

  get equals(): number {
    return this.#payload.equals
  }

  get words(): Uint32Array | undefined {
    return this.#payload.words
  }

  get shared(): boolean {
    return this.#payload.shared
  }

  /** The offset of the DATA with exactly this payload (`NAME=value`), or 0. */
  findData(payload: Uint8Array): number {
    return this.#data.findData(payload)
  }

  /** Offsets of the entries that refer to a DATA. In a file that is being written the newest may be missing for a moment. */
  dataEntries(dataOffset: number): EntryOffsets {
    return this.#data.dataEntries(dataOffset)
  }

  fieldNames(): Iterable<string> {
    return this.#data.fieldNames()
  }

  /** The distinct values of a field, newest first. */
  fieldValues(name: string): Iterable<Buffer> {
    return this.#data.fieldValues(name)
  }

  /** Gives back the memory of windows; the loaded entry stays usable, a payload does not. */
  releaseWindows(): void {
    this.#keepItems(this.itemWords, this.itemBase, this.itemCount * this.itemStride)
    this.#payload.drop()
    this.#windows.drop()
  }

  /** Gives back what encoders keep of it, too: for a file that was read to its end. */
  releaseCaches(): void {
    this.#dropCaches()
    this.releaseWindows()
  }

  #dropCaches(): void {
    for (const cache of this.encoderCaches.values()) {
      this.#memory.forget(cache)
      cache.release()
    }
    this.encoderCaches.clear()
  }

  close(): void {
    this.#dropCaches()
    this.#windows.close()
    this.#payload.drop()
    this.#descriptor.close()
  }

  get #readable(): boolean {
    return this.#descriptor.fd >= 0 && !this.vacuumed && !this.#replaced
  }

  /** Takes over what the descriptor read. */
  #adopt(): void {
    const { header, size } = this.#descriptor
    this.header = header
    this.#data.update(header)
    // journald never touches a file again that it has put aside, and its state stays ONLINE for ever.
    this.#final = header.state !== STATE_ONLINE || this.path.endsWith('~')
    this.#windows.end = Math.min(header.arenaEnd, size)
    this.#windows.tail = header.tailObjectOffset
    // Preallocated space behind the last object is no loss.
    const { tailObjectOffset } = header
    const needed =
      tailObjectOffset > header.headerSize ? Math.min(header.arenaEnd, tailObjectOffset + 16) : header.arenaEnd
    const clamped = Math.max(0, needed - size)
    this.damage.lostBytes += clamped - this.#clamped
    this.#clamped = clamped
    this.#prepared = false
    this.#lastReadable = -2
    if (this.#final) this.#pending = -1
  }

  #prepare(): void {
    if (!this.#readable) return
    this.#prepared = true
    const moves = this.#windows.moves
    this.#list.update(this.header, this.#final, () => !this.#isVacuumed())
    this.#restore(moves)
  }

  #isVacuumed(): boolean {
    this.vacuumed ||= this.#descriptor.isVacuumed()
    return this.vacuumed
  }

  /** What was incomplete may have been completed without any change of the header. */
  #retryPending(): 'same' | 'grown' {
    if (this.#pending < 0) return 'same'
    const index = this.#pending
    this.#forgetReads()
    if (index < this.entryCount && this.#list.end(this.#list.offset(index)) === 0) return 'same'
    this.#pending = -1
    return 'grown'
  }

  /** Loads the entry at `offset`, changing nothing when it is not valid. */
  #read(offset: number): boolean {
    const windows = this.#windows
    const sequential = this.#streak >= SEQUENTIAL || this.#streak <= -SEQUENTIAL
    if (sequential && !windows.covers(offset, ENTRY_HEAD)) this.#slide(offset)
    if (!windows.locate(offset, ENTRY_HEAD)) return false
    const size = entrySize(windows.words, windows.at >>> 2, this.compact)
    if (size === 0) return false
    if (!windows.covers(offset, size)) {
      if (sequential) this.#slide(offset)
      if (!windows.locate(offset, size)) return false
    }
    const words = windows.words
    const i = windows.at >>> 2
    this.seqnum = u64(words, i + 4)
    this.realtime = u64(words, i + 6)
    this.monotonic = u64(words, i + 8)
    this.boot0 = words[i + 10] as number
    this.boot1 = words[i + 11] as number
    this.boot2 = words[i + 12] as number
    this.boot3 = words[i + 13] as number
    this.xorLow = words[i + 14] as number
    this.xorHigh = words[i + 15] as number
    this.offset = offset
    const count = (size - ENTRY_HEAD) >>> 2
    this.itemCount = this.compact ? count : count >>> 2
    if (windows.inMain) {
      this.itemWords = words
      this.itemBase = i + 16
    } else {
      // A small window may be reused for the first payload.
      this.#keepItems(words, i + 16, count)
    }
    return true
  }

  #keepItems(words: Uint32Array, base: number, count: number): void {
    if (words === this.#own) return
    if (this.#own.length < count) this.#own = new Uint32Array(count * 2)
    for (let k = 0; k < count; k++) this.#own[k] = words[base + k] as number
    this.itemWords = this.#own
    this.itemBase = 0
  }

  /** Places the large window for the entry at `offset` and those that come after it in the direction of reading. */
  #slide(offset: number): void {
    const windows = this.#windows
    const reach = windows.reach
    // New DATA stand between the entry before and this one.
    const begin =
      this.#streak > 0 ? Math.max(Math.min(this.offset, offset), offset - reach / 2) : offset + BACK_ROOM - reach
    windows.slide(Math.max(0, begin))
  }

  /** Second try for an entry that did not load: again from the file, from between its neighbours, or counted. */
  #recover(index: number): boolean {
    const list = this.#list
    if (!this.#bad.has(index)) {
      if (this.#isVacuumed()) return false
      if (!this.#final) {
        this.#forgetReads()
        const again = list.offset(index)
        if (again !== 0 && this.#read(again)) return true
        // The writer completes entries in order: only with a complete one behind it is this one damaged.
        if (this.#lastReadable === -2) this.#lastReadable = list.lastReadable()
        if (index > this.#lastReadable) {
          if (this.#pending < 0 || index < this.#pending) this.#pending = index
          return false
        }
      }
    }
    const isItem = list.offset(index) === 0
    const repaired = isItem ? list.repair(index) : 0
    const read = repaired !== 0 && this.#read(repaired)
    if (!this.#bad.has(index)) {
      this.#bad.add(index)
      if (isItem) this.damage.badItems++
      if (!read) this.damage.lostEntries++
    }
    return read
  }

  #recoverPayload(offset: number, limit: number): boolean {
    if (this.#lostData.has(offset) || !this.#readable || this.#isVacuumed()) return false
    if (!this.#final) {
      this.#forgetReads()
      if (this.#payload.read(offset, limit)) return true
    }
    if (this.#lostData.size < LOST_DATA_MAX) this.#lostData.add(offset)
    this.damage.lostFields++
    return false
  }

  #forgetReads(): void {
    this.#windows.grow(0)
    this.#list.forget()
    this.#lastReadable = -2
  }

  /** Runs something that may move the large window away from the loaded entry. */
  #keepingLoaded<T>(run: () => T): T {
    if (!this.#prepared) this.#prepare()
    const moves = this.#windows.moves
    const result = run()
    this.#restore(moves)
    return result
  }

  /** Reads the loaded entry's items again when the large window was moved since. */
  #restore(moves: number): void {
    if (this.#windows.moves === moves || this.itemWords === this.#own || this.offset === 0) return
    if (!this.#read(this.offset)) this.itemCount = 0
  }
}
