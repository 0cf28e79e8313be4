// A data channel, and the numbers that its indexer has given to our requests. An indexer counts per channel, and from the start
// again when it restarts; so does another indexer behind the same balancer. A number then says `true` of a request that is not ours.
// Invariant: a `true` is believed only where no request of ours that is without an answer can have got the same number.

import { randomUUID } from 'node:crypto'
import type { SinkError } from '../../src/sink.ts'
import type { Cookies } from './cookies.ts'

/** A batch that waits for its acknowledgement. */
export interface Waiting {
  /** When it is given up, in milliseconds of the caller's clock. */
  deadline: number
  /** It is stored. */
  settle(): void
  fail(error: SinkError): void
}

/** A request with events that is under way on a channel. */
export interface Post {
  readonly channel: Channel
  /** The highest number that had been answered when it began: its own is higher. */
  readonly floor: number
  /** Resolves when its outcome is known, or never will be. */
  readonly ended: Promise<void>
  /** To be called once. `isUnknown`: it may have been taken, under a number that we do not know. */
  end(isUnknown: boolean): void
}

/** What all channels of one name have in common: one per cookie, as an indexer counts for itself. */
interface Track {
  readonly guid: string
  readonly posts: Set<Post>
  /** Requests that were perhaps taken, under numbers that never came. */
  unknown: number
}

export class Channel {
  /** Where its requests go, behind a balancer. */
  cookies: Cookies
  /** The last request on it, in milliseconds of the caller's clock. */
  usedAt: number
  /** It has confirmed a batch at least once. */
  hasConfirmed = false
  /** Requests that were answered. */
  answered = 0
  /** What waits has less time than usual: that it does not come says nothing about the server. */
  isHurried = false
  readonly #track: Track
  readonly #waiting = new Map<number, Waiting>()
  readonly #known = new Set<number>()
  #highest = -1

  constructor(cookies: Cookies, now: number, track?: Track) {
    this.cookies = cookies
    this.usedAt = now
    this.#track = track ?? { guid: randomUUID().toUpperCase(), posts: new Set(), unknown: 0 }
  }

  /** Its name, a GUID. */
  get guid(): string {
    return this.#track.guid
  }

  /** Numbers that are waited for. */
  get ids(): readonly number[] {
    return [...this.#waiting.keys()]
  }

  get size(): number {
    return this.#waiting.size
  }

  /** The same channel at another place. */
  at(cookies: Cookies): Channel {
    return new Channel(cookies, this.usedAt, this.#track)
  }

  isSameAs(guid: string, cookies: Cookies): boolean {
    return this.guid === guid && this.cookies.isSamePlace(cookies)
  }

  /** A request begins. */
  begin(now: number): Post {
    this.usedAt = now
    const { posts } = this.#track
    const { promise: ended, resolve } = Promise.withResolvers<void>()
    const post: Post = {
      channel: this,
      floor: this.#highest,
      ended,
      end: (isUnknown) => {
        posts.delete(post)
        if (isUnknown) this.#track.unknown++
        resolve()
      },
    }
    posts.add(post)
    return post
  }

  /** Takes note of a number. False: it cannot be of the indexer that gave those before. */
  take(id: number, floor: number): boolean {
    if (id <= floor || this.#known.has(id)) return false
    this.#known.add(id)
    this.#highest = Math.max(this.#highest, id)
    this.answered++
    return true
  }

  wait(id: number, waiting: Waiting): void {
    this.#waiting.set(id, waiting)
  }

  /** Waits no longer for a batch. */
  forget(id: number): void {
    this.#waiting.delete(id)
  }

  /** The indexer says that what has this number is stored. */
  async confirm(id: number): Promise<void> {
    if (this.#mayBeOfAnother(id)) {
      // Those that are under way now may have got this number; those to come get none of before.
      await Promise.all(Array.from(this.#track.posts, (post) => post.ended))
      if (this.#isUnknown(id)) return
    }
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) return
    this.#waiting.delete(id)
    this.hasConfirmed = true
    waiting.settle()
  }

  /** Numbers that nothing can be learnt about any more. */
  get doubtful(): readonly number[] {
    return this.ids.filter((id) => this.#isUnknown(id))
  }

  /** Gives up waiting for these numbers. */
  fail(ids: readonly number[], error: SinkError): void {
    for (const id of ids) {
      const waiting = this.#waiting.get(id)
      this.#waiting.delete(id)
      waiting?.fail(error)
    }
  }

  /** Numbers whose time is over. */
  overdue(now: number): readonly number[] {
    return Array.from(this.#waiting).flatMap(([id, { deadline }]) => (deadline <= now ? [id] : []))
  }

  /** The earliest deadline; Infinity when nothing waits. */
  get deadline(): number {
    let earliest = Number.POSITIVE_INFINITY
    for (const { deadline } of this.#waiting.values()) earliest = Math.min(earliest, deadline)
    return earliest
  }

  /** Nothing is waited for beyond this. */
  hurry(deadline: number): void {
    this.isHurried = true
    for (const waiting of this.#waiting.values()) waiting.deadline = Math.min(waiting.deadline, deadline)
  }

  /**
   * An indexer that has begun to count again gives numbers from 0, or from 1, to what it gets: so many of them may belong to requests
   * whose answers we have not got.
   */
  #mayBeOfAnother(id: number): boolean {
    const { posts, unknown } = this.#track
    return isAmong(id, posts.size + unknown)
  }

  #isUnknown(id: number): boolean {
    return isAmong(id, this.#track.unknown)
  }
}

/** Whether a number may be one of the first so many, counted from 0 or from 1. */
function isAmong(id: number, count: number): boolean {
  return count > 0 && id <= count
}
