// Lists and streams: each batch and the position behind it in one step, so that no crash, lost answer or failover loses or repeats
// an entry on the way into Redis. Invariant: at the server, the position is the one behind the last element of ours.

import {
  type Batch,
  type CheckLine,
  type Delivery,
  type Position,
  type Receipt,
  type Sink,
  SinkError,
  type SinkHost,
  type SinkTraits,
} from '../../src/sink.ts'
import { Turns, unlessAborted } from '../parts/turns.ts'
import { Frames } from './frames.ts'
import { groupByKey } from './grouping.ts'
import { checkServer, inspect } from './inspect.ts'
import { positionKey, sharedTag } from './keys.ts'
import { Link } from './link.ts'
import { MultiStore } from './multiStore.ts'
import type { RedisConfig } from './options.ts'
import { withMeaning, wrongType } from './replies.ts'
import { type Standing, Standings } from './standing.ts'
import { type Pushed, ScriptStore, type Store } from './store.ts'

/** proto-max-bulk-len of a Redis that nobody changed is 512 MB. */
const ELEMENT_BYTES = 512 * 2 ** 20

export class QueueSink implements Sink {
  readonly traits: SinkTraits
  readonly #config: RedisConfig
  readonly #host: SinkHost
  readonly #link: Link
  readonly #store: Store
  readonly #standings: Standings
  readonly #frames: Frames
  readonly #turns = new Turns()
  readonly #tag: string
  #heldSince: number | undefined

  constructor(config: RedisConfig, host: SinkHost) {
    this.#config = config
    this.#host = host
    this.#link = new Link(config, host.name)
    this.#store = config.atomic === 'multi' ? new MultiStore(this.#link, config) : new ScriptStore(this.#link, config)
    this.#standings = new Standings(this.#store, this.#link.place, host.log)
    this.#frames = new Frames({ metadata: config.logstash, pipeline: config.pipeline })
    this.#tag = sharedTag(config.key)?.tag ?? ''
    const most = config.congestion?.length
    this.traits = {
      delivered: config.replicas === undefined ? 'accepted' : 'stored',
      rewindMs: config.rewind,
      idempotent: false,
      holdsPosition: true,
      ordered: true,
      encoding: 'json',
      fields: config.key.fields,
      releases: true,
      limits: {
        entryBytes: ELEMENT_BYTES - this.#frames.overhead,
        ...(most === undefined ? {} : { entries: most }),
      },
    }
  }

  /** The start of the server: where it does not keep its data, that of what it holds. */
  get heldSince(): number | undefined {
    return this.#heldSince
  }

  open(signal: AbortSignal): Promise<void> {
    return this.#turn(async () => {
      await this.#link.connect(signal)
      try {
        await inspect(this.#link, this.#config, this.#host.log, signal)
      } catch (error) {
        this.#link.drop()
        throw error
      }
    }, signal)
  }

  write(batch: Batch, { signal }: Delivery): Promise<Receipt> {
    return this.#turn(() => this.#write(batch, signal), signal)
  }

  lastDelivered(source: string, signal: AbortSignal): Promise<Position | undefined> {
    return this.#turn(async () => {
      await this.#link.connect(signal)
      const { position, server } = await this.#claim(source, signal)
      this.#heldSince = server.since
      if (position !== undefined) await this.#awaitReplicas(this.#key(source), signal)
      return position
    }, signal)
  }

  check(signal: AbortSignal): Promise<readonly CheckLine[]> {
    const { machineId } = this.#host.node
    return checkServer(new Link(this.#config, this.#host.name), this.#config, this.#key(machineId), signal)
  }

  async close(signal: AbortSignal): Promise<void> {
    const closed = this.#turn(async () => {
      this.#link.drop()
      this.#standings.clear()
      this.#frames.forget()
    })
    await unlessAborted(closed, signal)
  }

  async #write(batch: Batch, signal: AbortSignal): Promise<Receipt> {
    const { source, before, after } = batch
    await this.#link.connect(signal)
    const known = this.#standings.get(source)
    const standing = known ?? (await this.#claim(source, signal))
    if (standing.position !== after) {
      if (standing.position !== undefined && standing.position !== before)
        throw new SinkError(
          'in-doubt',
          `redis ${this.#link.place}: the position there is another one than before the batch`,
        )
      await this.#push(batch, standing, signal)
    } else if (known !== undefined && this.#config.replicas !== undefined) {
      // Stored before, but not by enough replicas; WAIT counts from the last write of this connection.
      await this.#claim(source, signal)
    }
    await this.#awaitReplicas(standing.key, signal)
    return 'delivered'
  }

  async #push(batch: Batch, standing: Standing, signal: AbortSignal): Promise<void> {
    const { source, after } = batch
    const groups = groupByKey(batch, this.#config.key)
    const { bytes, ends } = this.#frames.write(batch, groups)
    const next = this.#standings.valueFor(standing, after)
    let pushed: Pushed
    try {
      const step = { positionKey: standing.key, expected: standing.value, next, groups, bytes, ends }
      pushed = await this.#store.push(step, signal)
    } catch (error) {
      this.#standings.doubt(source)
      this.#frames.forget()
      throw error
    }
    if (pushed.kind === 'position' && pushed.stored !== next) {
      this.#standings.doubt(source)
      throw this.#failureOfPosition(standing.key, pushed.stored)
    }
    if (pushed.kind === 'type') throw wrongType(this.#link.place, pushed.key, pushed.type, this.#config.mode)
    if (pushed.kind === 'full') throw this.#failureOfLength(pushed)
    this.#standings.moved(source, standing, next, after)
  }

  #failureOfPosition(key: string, stored: string | null): SinkError {
    // What it means that there is none, or an older one of ours, is found out by asking for it.
    if (stored === null || this.#standings.isOurs(stored))
      return new SinkError('in-doubt', `redis ${this.#link.place}: the position went back`)
    return this.#standings.taken(key)
  }

  #failureOfLength({ key, length, oldest }: Extract<Pushed, { kind: 'full' }>): SinkError {
    const { congestion, mode } = this.#config
    const since = timeOf(oldest)
    const age = since === undefined ? '' : `, the oldest of ${since}`
    return new SinkError(
      'unavailable',
      `redis ${this.#link.place}: the ${mode} "${key}" holds ${length} entries${age}; the limit is ${congestion?.length}: its consumers lag`,
      { retryAfterMs: congestion?.check ?? 1000 },
    )
  }

  async #claim(source: string, signal: AbortSignal): Promise<Standing> {
    return this.#standings.claim(source, this.#key(source), signal)
  }

  /** Resolves when enough replicas have all that this connection has written. */
  async #awaitReplicas(near: string, signal: AbortSignal): Promise<void> {
    const { replicas } = this.#config
    if (replicas === undefined) return
    const { count, timeout } = replicas
    const reply = await this.#link.run({ name: 'wait', args: [String(count), String(timeout)], near }, signal)
    if (Number(reply) >= count) return
    throw new SinkError('unavailable', `redis ${this.#link.place}: ${reply} of ${count} replicas have the last batch`)
  }

  #key(source: string): string {
    return positionKey(this.#tag, this.#host.node.machineId, this.#host.name, source)
  }

  #turn<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#turns.take(() => withMeaning(this.#link.place, work), signal)
  }
}

/** The time in an element of ours, or in the id of an element of a stream. */
function timeOf(oldest: string): string | undefined {
  const id = /^(\d{10,16})-\d+$/.exec(oldest)?.[1]
  if (id !== undefined) return new Date(Number(id)).toISOString()
  return /"@timestamp":"([^"]{10,40})"/.exec(oldest)?.[1]
}
