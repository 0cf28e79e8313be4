// Waits for journal files to change: the directories' notifications, which journald delays by up to 250 ms, and looks of our own in between.
// Invariant: a change observed after the generation that a waiter names wakes it, whoever observed it and when.

import { type FSWatcher, watch } from 'node:fs'

/** Between looks while something happens: most of what a lower latency costs is this (about 2 % of a core). */
const ACTIVE_MS = 20
/** Between looks when nothing changed for IDLE_AFTER_MS; also between looks at the directories. */
const IDLE_MS = 250
const IDLE_AFTER_MS = 1000
/** Notifications come in bursts: looks are at least so far apart. */
const PAUSE_MS = 4

interface Waiter {
  readonly since: number
  finish(changed: boolean): void
  fail(error: unknown): void
}

export class Changes {
  /** Counts what was observed. */
  generation = 0

  readonly #paths: () => readonly string[]
  readonly #look: (atDirectories: boolean) => void
  readonly #waiters = new Set<Waiter>()
  readonly #watchers = new Map<string, FSWatcher>()
  #timer: NodeJS.Timeout | undefined
  #changedAt = Number.NEGATIVE_INFINITY
  #lookedAt = Number.NEGATIVE_INFINITY
  #directoriesAt = Number.NEGATIVE_INFINITY
  #renamed = false
  #closed = false

  /**
   * @param paths the directories to watch, as they are now
   * @param look reads headers, and the directories when asked to, and calls `note` when something changed
   */
  constructor(paths: () => readonly string[], look: (atDirectories: boolean) => void) {
    this.#paths = paths
    this.#look = look
  }

  /** Something changed. */
  note(): void {
    this.generation++
    this.#changedAt = performance.now()
    for (const waiter of this.#waiters) if (waiter.since !== this.generation) waiter.finish(true)
  }

  wait(timeoutMs: number, signal: AbortSignal, since: number): Promise<boolean> {
    if (this.#closed || signal.aborted) return Promise.resolve(false)
    if (since !== this.generation) return Promise.resolve(true)
    return new Promise((resolve, reject) => {
      const done = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', abort)
        this.#waiters.delete(waiter)
        if (this.#waiters.size === 0) this.#stop()
      }
      const finish = (changed: boolean) => {
        done()
        resolve(changed)
      }
      const fail = (error: unknown) => {
        done()
        reject(error)
      }
      const abort = () => finish(false)
      const waiter: Waiter = { since, finish, fail }
      const timer = setTimeout(abort, timeoutMs)
      signal.addEventListener('abort', abort, { once: true })
      this.#waiters.add(waiter)
      this.#schedule(this.#pace())
    })
  }

  close(): void {
    this.#closed = true
    for (const waiter of this.#waiters) waiter.finish(false)
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
    this.#stop()
  }

  #pace(): number {
    return performance.now() - this.#changedAt < IDLE_AFTER_MS ? ACTIVE_MS : IDLE_MS
  }

  #schedule(ms: number): void {
    this.#timer ??= setTimeout(() => this.#tick(), ms)
  }

  #stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #tick(): void {
    this.#timer = undefined
    const now = performance.now()
    const atDirectories = this.#renamed || now - this.#directoriesAt >= IDLE_MS
    this.#lookedAt = now
    if (atDirectories) {
      this.#renamed = false
      this.#directoriesAt = now
    }
    try {
      this.#look(atDirectories)
    } catch (error) {
      for (const waiter of this.#waiters) waiter.fail(error)
    }
    if (atDirectories) this.#watchAll()
    if (this.#waiters.size > 0) this.#schedule(this.#pace())
  }

  #watchAll(): void {
    const paths = new Set(this.#paths())
    for (const [path, watcher] of this.#watchers) {
      if (paths.has(path)) continue
      watcher.close()
      this.#watchers.delete(path)
    }
    for (const path of paths) if (!this.#watchers.has(path)) this.#watch(path)
  }

  #watch(path: string): void {
    try {
      const watcher = watch(path, { persistent: false }, (event) => this.#notified(event))
      // The directory is gone, or the system's limit is reached: looking every so often remains.
      watcher.on('error', () => this.#unwatch(path, watcher))
      this.#watchers.set(path, watcher)
    } catch {
      // As above.
    }
  }

  #unwatch(path: string, watcher: FSWatcher): void {
    watcher.close()
    if (this.#watchers.get(path) === watcher) this.#watchers.delete(path)
  }

  #notified(event: string): void {
    if (event === 'rename') this.#renamed = true
    if (this.#waiters.size === 0) return
    this.#stop()
    this.#schedule(Math.max(0, this.#lookedAt + PAUSE_MS - performance.now()))
  }
}
