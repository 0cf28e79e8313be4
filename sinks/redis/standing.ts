// Where the target stands in each source, and whose word that is. A position key holds `<epoch> <position>`; the epoch is new
// with every claim, so that neither a second logferry nor a late script of an old connection can write behind our back.
// Invariant: a claim takes a position only as it was read, and what is not ours is taken at a start alone.

import { randomBytes } from 'node:crypto'
import { type Position, SinkError, type SinkHost } from '../../src/sink.ts'
import { ADOPT } from './keys.ts'
import type { Looked, ServerRun, Store } from './store.ts'

/** What we know of one position key. */
export interface Standing {
  readonly key: string
  /** The value as we left it. */
  readonly value: string
  /** undefined: nothing was delivered yet. */
  readonly position: Position | undefined
  readonly server: ServerRun
}

export class Standings {
  readonly #store: Store
  readonly #place: string
  readonly #log: SinkHost['log']
  readonly #token = randomBytes(9).toString('base64url')
  /** Of ours, and of those before us whose positions we took over: a failover can bring their values back. */
  readonly #tokens = new Set([this.#token])
  readonly #known = new Map<string, Standing>()
  readonly #doubtful = new Set<string>()
  #epochs = 0

  constructor(store: Store, place: string, log: SinkHost['log']) {
    this.#store = store
    this.#place = place
    this.#log = log
  }

  /** What is known for certain without asking. */
  get(source: string): Standing | undefined {
    return this.#doubtful.has(source) ? undefined : this.#known.get(source)
  }

  /** From now on the key has this value. */
  moved(source: string, standing: Standing, value: string, position: Position): Standing {
    const next = { ...standing, value, position }
    this.#known.set(source, next)
    return next
  }

  /** What was sent last may or may not have been done. */
  doubt(source: string): void {
    this.#doubtful.add(source)
  }

  /** The value that goes with a position after this one. */
  valueFor(standing: Standing, position: Position): string {
    return `${epochOf(standing.value)} ${position}`
  }

  /** Whether a value was written by us. */
  isOurs(value: string): boolean {
    return this.#tokens.has(tokenOf(value))
  }

  /**
   * Reads a position and marks it as ours: from now on no earlier write can still come through. At the first call for a source
   * it is taken from whoever had it; later, only from ourselves. Rejects with `refused` when a person must decide.
   */
  async claim(source: string, key: string, signal: AbortSignal): Promise<Standing> {
    const known = this.#known.get(source)
    const looked = await this.#store.look(key, signal)
    const position = this.#judge(key, looked, known)
    const value = `${this.#token}.${++this.#epochs} ${position ?? ''}`
    if (!(await this.#store.swap(key, looked.stored ?? '', value, signal)))
      throw new SinkError('in-doubt', `redis ${this.#place}: the position key changed while it was read`)
    if (looked.stored !== null && known === undefined) this.#tokens.add(tokenOf(looked.stored))
    const standing = { key, value, position, server: looked.server }
    this.#known.set(source, standing)
    this.#doubtful.delete(source)
    return standing
  }

  /** Forgets everything: the next claims are first ones. */
  clear(): void {
    this.#known.clear()
    this.#doubtful.clear()
  }

  #judge(key: string, { stored, server }: Looked, known: Standing | undefined): Position | undefined {
    if (stored === ADOPT) return known?.position
    if (stored === null) return this.#judgeGone(key, server.id, known)
    if (known !== undefined && !this.isOurs(stored)) throw this.taken(key)
    const position = stored.slice(stored.indexOf(' ') + 1)
    return position === '' || !stored.includes(' ') ? undefined : position
  }

  #judgeGone(key: string, runId: string, known: Standing | undefined): undefined {
    if (known?.position === undefined) return undefined
    if (runId === '' || known.server.id === '' || runId === known.server.id) throw this.gone(key)
    this.#log.warn(`redis ${this.#place} was restarted or replaced and has lost the position and its data`, { key })
    return undefined
  }

  /** Another one writes under our name. */
  taken(key: string): SinkError {
    return new SinkError(
      'refused',
      `redis ${this.#place}: another logferry with this machine id and sink name has taken over "${key}"; ` +
        'stop one of the two (or give its sink another name), then restart this one',
    )
  }

  /** Somebody removed the position, though the server has its data. */
  gone(key: string): SinkError {
    return new SinkError(
      'refused',
      `redis ${this.#place}: the position key "${key}" has vanished, but the server was not restarted; to go on behind the last ` +
        `delivered entry, run: redis-cli SET '${key}' ${ADOPT}`,
    )
  }
}

function epochOf(value: string): string {
  const space = value.indexOf(' ')
  return space < 0 ? value : value.slice(0, space)
}

/** The part of an epoch that names its owner. */
function tokenOf(value: string): string {
  return epochOf(value).replace(/\.\d+$/, '')
}
