// Streams that want the same entries in the same form share one reader and one encoder from the journal's end on: an entry is read and encoded once,
// however many clients follow. A client that cannot keep up leaves, and reads on by itself from where it was.
// Invariant: whoever joins has read at least as far as the tail, and is not given again what it has (`seen`).

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Encoder } from '../../journal/encode/encoder.ts'
import type { MemoryBudget } from '../../journal/memory.ts'
import type { PositionState } from '../../journal/position.ts'
import type { JournalReader } from '../../journal/reader.ts'
import type { EncoderPool } from './encoders.ts'
import type { Outlet } from './outlet.ts'
import { CHUNK, flush } from './send.ts'

const WAIT_MS = 60_000
/** About what a stream leaves as garbage when it has caught up, bytes. */
const CATCH_UP = 96 << 10
/** Garbage is looked after at most so often, ms: a collection takes some 50 ms whatever it finds. */
const TIDY_MS = 500

/** How a membership ended: where the client has to read on, or that it is gone. */
export type Left = PositionState | 'gone'

interface Member {
  readonly outlet: Outlet
  /** Last numbers the client has, by seqnum id; undefined once the tail has passed them all. */
  seen: ReadonlyMap<string, { readonly seqnum: number }> | undefined
  /** Its last chunk is still waiting for room. */
  blocked: boolean
  readonly leave: (left: Left) => void
}

/** Where an entry begins in the chunk. */
interface Mark {
  readonly at: number
  readonly seqnumId: string
  readonly seqnum: number
}

class Tail {
  readonly #reader: JournalReader
  readonly #encoder: Encoder
  readonly #encoders: EncoderPool
  readonly #members = new Set<Member>()
  readonly #end = new AbortController()
  readonly #onEnd: () => void
  readonly #onError: (error: unknown) => void
  #marks: Mark[] = []
  #pumping: Promise<void> | undefined

  /** Takes over a reader that has given everything there is. */
  constructor(
    { reader, encoder }: Follower,
    encoders: EncoderPool,
    onEnd: () => void,
    onError: (error: unknown) => void,
  ) {
    this.#encoders = encoders
    this.#reader = reader
    this.#encoder = encoder
    this.#onEnd = onEnd
    this.#onError = onError
    void this.#run()
  }

  /** Resolves when no chunk is under way. */
  async settled(): Promise<void> {
    while (this.#pumping !== undefined) await this.#pumping
  }

  get isEnded(): boolean {
    return this.#end.signal.aborted
  }

  join(outlet: Outlet, seen: Member['seen']): Promise<Left> {
    return new Promise((resolve) => {
      const member: Member = {
        outlet,
        seen,
        blocked: false,
        leave: (left) => {
          this.#members.delete(member)
          outlet.signal.removeEventListener('abort', gone)
          resolve(left)
          if (this.#members.size === 0) this.#stop()
        },
      }
      const gone = (): void => member.leave('gone')
      this.#members.add(member)
      outlet.signal.addEventListener('abort', gone, { once: true })
      if (outlet.signal.aborted) gone()
    })
  }

  async #run(): Promise<void> {
    try {
      while (!this.isEnded) {
        if (!(await this.#reader.changed(WAIT_MS, this.#end.signal))) {
          // A set that is being closed answers at once, ever again: the clients' ends must get a turn meanwhile.
          await nextTurn()
          continue
        }
        if (this.isEnded) return
        this.#pumping = this.#pump()
        await this.#pumping
        this.#pumping = undefined
      }
    } catch (error) {
      this.#pumping = undefined
      this.#onError(error)
      for (const member of this.#members) {
        member.outlet.break()
        member.leave('gone')
      }
      this.#stop()
    } finally {
      this.#reader.close()
      this.#encoders.give(this.#encoder)
    }
  }

  #stop(): void {
    if (this.isEnded) return
    this.#end.abort()
    this.#onEnd()
  }

  /** Hands out everything that is new. */
  async #pump(): Promise<void> {
    const reader = this.#reader
    const encoder = this.#encoder
    reader.refresh()
    const late = [...this.#members].filter((member) => member.seen !== undefined)
    let before = this.#somebodyWaits() ? reader.position() : undefined
    for (let file = reader.next(); file !== undefined; file = reader.next()) {
      if (this.isEnded) return
      if (late.length > 0) this.#marks.push({ at: encoder.length, seqnumId: file.seqnumId, seqnum: file.seqnum })
      encoder.encode(file, reader.ordinal)
      if (encoder.length < CHUNK) continue
      this.#deliver(before)
      await nextTurn()
      before = reader.position()
    }
    this.#deliver(before)
    for (const member of late) member.seen = undefined
  }

  #somebodyWaits(): boolean {
    for (const member of this.#members) if (member.blocked) return true
    return false
  }

  /** @param before where the tail stood before this chunk */
  #deliver(before: PositionState | undefined): void {
    const { length } = this.#encoder
    if (length === 0) return
    const chunk = Buffer.from(this.#encoder.out.subarray(0, length))
    this.#encoder.reset()
    const marks = this.#marks
    this.#marks = []
    for (const member of this.#members) {
      if (member.blocked && before !== undefined) {
        member.leave(before.clone())
        continue
      }
      const part = member.seen === undefined ? chunk : unseen(chunk, marks, member.seen)
      if (part.length === 0) continue
      const written = member.outlet.write(part)
      if (typeof written === 'boolean') continue
      member.blocked = true
      void written.then(() => {
        member.blocked = false
      })
    }
  }
}

function unseen(chunk: Buffer, marks: readonly Mark[], seen: NonNullable<Member['seen']>): Buffer {
  const parts: Buffer[] = []
  for (const [i, { at, seqnumId, seqnum }] of marks.entries()) {
    if (seqnum <= (seen.get(seqnumId)?.seqnum ?? 0)) continue
    parts.push(chunk.subarray(at, marks[i + 1]?.at ?? chunk.length))
  }
  return parts.length === marks.length ? chunk : Buffer.concat(parts)
}

export interface Follower {
  /** Equal for followers of the same entries in the same form. */
  readonly key: string
  /** Has given everything there was at its last look. Closed here, or taken over. */
  readonly reader: JournalReader
  readonly encoder: Encoder
  readonly outlet: Outlet
}

/** The tails of a server. */
export class Tails {
  readonly #tails = new Map<string, Tail>()
  readonly #memory: MemoryBudget
  #tidied = 0
  readonly #encoders: EncoderPool
  readonly #onError: (error: unknown) => void

  /** @param onError told of what ended a tail, which is a bug or a failing disk */
  constructor(memory: MemoryBudget, encoders: EncoderPool, onError: (error: unknown) => void) {
    this.#memory = memory
    this.#encoders = encoders
    this.#onError = onError
  }

  /** Follows until the client is gone or falls behind. The reader and the encoder are not the caller's any more. */
  async follow(follower: Follower): Promise<Left> {
    const { key, reader, encoder, outlet } = follower
    for (;;) {
      const tail = this.#tails.get(key)
      if (tail === undefined) {
        const made = new Tail(follower, this.#encoders, () => this.#forget(key, made), this.#onError)
        this.#tails.set(key, made)
        return made.join(outlet, undefined)
      }
      await tail.settled()
      if (tail.isEnded || this.#tails.get(key) !== tail) continue
      // Without a pause from here to `join`: what came since the last look is taken now, so the tail is not ahead.
      const isMuch = this.#catchUp(follower)
      if (isMuch) {
        if (await flush(encoder, outlet)) continue
        reader.close()
        this.#encoders.give(encoder)
        return 'gone'
      }
      const seen = reader.position().ids
      const left = tail.join(outlet, seen)
      void flush(encoder, outlet)
      reader.close()
      this.#encoders.give(encoder)
      this.#tidy()
      return left
    }
  }

  /** The windows of the catching up: with thousands of streams that open at once, they must not gather. */
  #tidy(): void {
    const now = performance.now()
    if (now - this.#tidied < TIDY_MS) return
    this.#tidied = now
    this.#memory.spend(CATCH_UP)
  }

  /** Encodes what came since the last look; true when there is more than a chunk of it. */
  #catchUp({ reader, encoder }: Follower): boolean {
    try {
      reader.refresh()
      for (let file = reader.next(); file !== undefined; file = reader.next()) {
        encoder.encode(file, reader.ordinal)
        if (encoder.length >= CHUNK) return true
      }
      return false
    } catch (error) {
      reader.close()
      this.#encoders.give(encoder)
      throw error
    }
  }

  #forget(key: string, tail: Tail): void {
    if (this.#tails.get(key) === tail) this.#tails.delete(key)
  }
}
