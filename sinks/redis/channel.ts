// Channels: PUBLISH. Redis keeps nothing of it, so no position either: an entry counts as delivered when a subscriber got it,
// and an answer that is lost makes it go out twice.

import {
  type Batch,
  type CheckLine,
  type Delivery,
  type Receipt,
  type Sink,
  SinkError,
  type SinkHost,
  type SinkTraits,
} from '../../src/sink.ts'
import { Turns, unlessAborted } from '../parts/turns.ts'
import { commandHead, Frames, type Group } from './frames.ts'
import { groupByKey } from './grouping.ts'
import { checkServer } from './inspect.ts'
import { Link, type Reply } from './link.ts'
import { elementsOf } from './multiStore.ts'
import type { RedisConfig } from './options.ts'
import { RedisReply, withMeaning } from './replies.ts'
import { PUBLISH } from './scripts.ts'
import { evaluate } from './store.ts'

export class ChannelSink implements Sink {
  readonly traits: SinkTraits
  readonly #config: RedisConfig
  readonly #host: SinkHost
  readonly #link: Link
  readonly #frames: Frames
  readonly #turns = new Turns()

  constructor(config: RedisConfig, host: SinkHost) {
    this.#config = config
    this.#host = host
    this.#link = new Link(config, host.name)
    this.#frames = new Frames({ metadata: config.logstash, pipeline: config.pipeline })
    this.traits = {
      delivered: 'sent',
      idempotent: false,
      holdsPosition: false,
      ordered: true,
      encoding: 'json',
      fields: config.key.fields,
      releases: true,
      limits: {},
    }
  }

  open(signal: AbortSignal): Promise<void> {
    return this.#turn(() => this.#link.connect(signal), signal)
  }

  write(batch: Batch, { signal }: Delivery): Promise<Receipt> {
    return this.#turn(() => this.#publish(batch, signal), signal)
  }

  check(signal: AbortSignal): Promise<readonly CheckLine[]> {
    return checkServer(new Link(this.#config, this.#host.name), this.#config, undefined, signal)
  }

  async close(signal: AbortSignal): Promise<void> {
    const closed = this.#turn(async () => {
      this.#link.drop()
      this.#frames.forget()
    })
    await unlessAborted(closed, signal)
  }

  async #publish(batch: Batch, signal: AbortSignal): Promise<Receipt> {
    await this.#link.connect(signal)
    const groups = groupByKey(batch, this.#config.key)
    const { bytes, ends } = this.#frames.write(batch, groups)
    let unheard: readonly number[]
    try {
      unheard =
        this.#config.atomic === 'multi'
          ? await this.#publishEach(groups, bytes, ends, signal)
          : await this.#publishAll(groups, bytes, signal)
    } catch (error) {
      this.#frames.forget()
      throw error
    }
    if (unheard.length === 0 || this.#config.require_subscribers === false) return 'delivered'
    const length = batch.ends.length
    if (unheard.length === length)
      throw new SinkError('unavailable', `redis ${this.#link.place}: nobody listens to ${namesOf(groups)}`)
    const order = groups.flatMap(({ indexes, count }) => indexes ?? Array.from({ length: count }, (_, index) => index))
    const retry = unheard.map((number) => order[number] ?? 0).sort((a, b) => a - b)
    return { delivered: length - retry.length, retry, rejected: [] }
  }

  /** Answers which elements nobody got, counted from 0. */
  async #publishAll(groups: readonly Group[], bytes: Uint8Array, signal: AbortSignal): Promise<number[]> {
    const args = [String(groups.length), ...groups.flatMap(({ key, count }) => [key, String(count)])]
    const elements = { bytes, count: groups.reduce((sum, { count }) => sum + count, 0) }
    const reply = await evaluate(this.#link, { script: PUBLISH, keys: [], args, elements }, signal)
    return (reply as readonly Reply[]).map((number) => Number(number) - 1)
  }

  async #publishEach(
    groups: readonly Group[],
    bytes: Uint8Array,
    ends: readonly number[],
    signal: AbortSignal,
  ): Promise<number[]> {
    const requests = groups.flatMap(({ key }, index) => {
      const head = commandHead(3, ['PUBLISH', key])
      const part = bytes.subarray(index === 0 ? 0 : ends[index - 1], ends[index])
      return Array.from(elementsOf(part), (body) => ({ name: 'publish', args: [key], bytes: { head, body } }))
    })
    const replies = await this.#link.burst(requests, signal)
    const refused = replies.find((reply) => reply instanceof RedisReply)
    if (refused !== undefined) throw refused
    return replies.flatMap((reply, index) => (reply === 0 ? [index] : []))
  }

  #turn<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#turns.take(() => withMeaning(this.#link.place, work), signal)
  }
}

function namesOf(groups: readonly Group[]): string {
  const names = groups.slice(0, 3).map(({ key }) => `"${key}"`)
  return names.join(', ') + (groups.length > 3 ? ` and ${groups.length - 3} more channels` : '')
}
