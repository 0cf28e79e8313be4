// The tests that every sink passes, published as `logferry/testing`. A kit says how to start the target, break it, and look into
// it; the names of the tests are the specification of a sink. What cannot happen to a target is said with a reason, which the test's
// name then carries: nothing is left out silently.

import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, describe, expect, it } from 'vitest'
import type { Batch, Position, Receipt, Sink, SinkFailure, SinkHost, SinkModule, SinkTraits } from '../../src/sink.ts'
import { type BatchOptions, makeBatch, recordsOf, SOURCE, testHost } from './batches.ts'

export {
  type BatchOptions,
  cursorAt,
  entryBefore,
  makeBatch,
  positionAt,
  recordsOf,
  SOURCE,
  type TestHost,
  testHost,
} from './batches.ts'

/** Instead of an ability: why the target cannot do this, in a few words. */
export type NotApplicable = string

/** How the suite handles one kind of sink and its target. */
export interface SinkKit<Target> {
  /** In the title of the tests. */
  readonly name: string
  // biome-ignore lint/suspicious/noExplicitAny: whatever the sink's own schema makes of its options
  readonly module: SinkModule<any>
  /** A configuration as it stands in the example file, without what all sinks share. */
  readonly example: unknown
  /** Starts an empty target. Called for each test. */
  target(): Promise<Target>
  /** Ends it. */
  stop?(target: Target): Promise<void>
  /** A sink for that target. Several may be made for one target, one after another, also without the first being closed. */
  create(target: Target, host: SinkHost): Sink
  /**
   * The records that the target has, in the order in which it took them, without what the sink put around them. Polled: a target
   * may show them late.
   */
  received(target: Target): Promise<readonly Uint8Array[]> | readonly Uint8Array[]
  /** The largest batch that is tried; by default what `traits.limits` allow, but not above 5 000 entries and 4 MB. */
  readonly largest?: { readonly entries: number; readonly messageBytes: number }
  /** Further fields of the entries, for a sink that makes its address of them. */
  readonly fields?: BatchOptions['fields']

  /** Why a batch may arrive in another order; left out: it never does. */
  readonly order?: NotApplicable
  /** Entries, by their indexes in the next batch, which the target will refuse for good. */
  readonly refuse: ((target: Target, batch: Batch, indexes: readonly number[]) => Promise<void> | void) | NotApplicable
  /** Takes the target down, and brings it back with what it had. */
  readonly outage:
    | {
        down(target: Target): Promise<void> | void
        up(target: Target): Promise<void> | void
        readonly failure?: SinkFailure
      }
    | NotApplicable
  /** The target takes the next batch, but the answer never arrives, or too late. */
  readonly loseAnswer: ((target: Target) => Promise<void> | void) | NotApplicable
  /** How long a write waits for a lost answer, in milliseconds; by default 5 000. */
  readonly answerWithinMs?: number
  /** The target takes no more than this many bytes at once. */
  readonly takeAtMost: ((target: Target, bytes: number) => Promise<void> | void) | NotApplicable
  /** The target stops confirming, and goes on. */
  readonly stall:
    | { begin(target: Target): Promise<void> | void; end(target: Target): Promise<void> | void }
    | NotApplicable
}

const NEVER = new AbortController().signal
const PATIENCE_MS = 5000

/** A delivery that nobody calls off. */
export function delivery(signal: AbortSignal = NEVER): { signal: AbortSignal; sent(): void } {
  return { signal, sent: () => undefined }
}

/** Registers the suite. To be called at the top of a test file. */
export function testSink<Target>(kit: SinkKit<Target>): void {
  const { answerWithinMs = PATIENCE_MS } = kit
  const cleanups: (() => Promise<unknown> | undefined)[] = []
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  })

  async function target(): Promise<Target> {
    const made = await kit.target()
    cleanups.push(() => kit.stop?.(made))
    return made
  }

  async function openSink(at: Target, host: SinkHost = testHost()): Promise<Sink> {
    const sink = kit.create(at, host)
    // A sink under test may be unable to close any more: that must not hide what the test found.
    cleanups.push(() => sink.close(AbortSignal.timeout(1000)).catch(() => undefined))
    await sink.open(NEVER)
    return sink
  }

  async function begin(): Promise<{
    at: Target
    sink: Sink
    batch: (length: number, options?: BatchOptions) => Batch
  }> {
    const at = await target()
    const sink = await openSink(at)
    return { at, sink, batch: (length, options) => batchFor(sink.traits, length, options) }
  }

  function batchFor({ encoding }: SinkTraits, length: number, options: BatchOptions = {}): Batch {
    return makeBatch(length, { encoding, ...(kit.fields === undefined ? {} : { fields: kit.fields }), ...options })
  }

  /** Compares the target with batches; in any order where the sink promises none. */
  async function expectReceived(
    at: Target,
    { traits }: Pick<Sink, 'traits'>,
    batches: readonly Batch[],
  ): Promise<void> {
    const texts = (records: readonly Uint8Array[]) => {
      const all = records.map((record) => Buffer.from(record).toString('latin1'))
      return traits.ordered ? all : all.sort()
    }
    const wanted = texts(batches.flatMap((batch) => recordsOf(batch, traits.encoding)))
    const deadline = Date.now() + PATIENCE_MS
    let found = texts(await kit.received(at))
    while (found.length < wanted.length && Date.now() < deadline) {
      await sleep(20)
      found = texts(await kit.received(at))
    }
    expect(found.length).toBe(wanted.length)
    // Not the arrays: a difference in thousands of lines takes minutes to print.
    const different = wanted.findIndex((text, index) => text !== found[index])
    expect(found[different]).toBe(wanted[different])
  }

  /** A test of something that happens to the target; where it cannot, the name of the test says why. */
  function itWhere<Ability>(
    name: string,
    ability: Ability | NotApplicable,
    body: (ability: Exclude<Ability, string>) => Promise<void>,
    timeoutMs?: number,
  ): void {
    if (typeof ability === 'string') it(`${name} (does not apply: ${ability})`, () => expect(ability).not.toBe(''))
    else it(name, () => body(ability as Exclude<Ability, string>), timeoutMs)
  }

  describe(`${kit.name} keeps the contract of a sink`, () => {
    it('delivers a batch of 1, of 1 000, and of the largest size, byte for byte', async () => {
      const { at, sink, batch } = await begin()
      const { entries, messageBytes } = kit.largest ?? largestFor(sink.traits)
      const batches = [batch(1), batch(1000, { first: 2 }), batch(entries, { first: 1002, messageBytes })]
      for (const one of batches) expect(summary(await sink.write(one, delivery()), one)).toEqual(deliveredAll(one))
      await expectReceived(at, sink, batches)
    })

    itWhere('keeps the order of entries within a batch', kit.order ?? true, async () => {
      const { at, sink, batch } = await begin()
      const one = batch(500)
      await sink.write(one, delivery())
      await expectReceived(at, { traits: { ...sink.traits, ordered: true } }, [one])
    })

    it('delivers lines that are equal in all but their number as often as they were logged', async () => {
      const { at, sink, batch } = await begin()
      const one = batch(30, { run: 5 })
      await sink.write(one, delivery())
      await expectReceived(at, sink, [one])
    })

    itWhere('reports every entry exactly once when some are refused', kit.refuse, async (refuse) => {
      const { at, sink, batch } = await begin()
      const one = batch(100)
      await refuse(at, one, [3, 50, 99])
      const receipt = await sink.write(one, delivery())
      expect(accountsFor(receipt, 100)).toEqual([])
      expect(receipt).not.toBe('delivered')
    })

    itWhere(
      'is unavailable when the target is down, and delivers the same batch after it is back',
      kit.outage,
      async (outage) => {
        const { at, sink, batch } = await begin()
        const first = batch(10)
        await sink.write(first, delivery())
        await outage.down(at)
        const second = batch(10, { first: 11 })
        const failure = await failureOf(sink.write(second, delivery(AbortSignal.timeout(PATIENCE_MS))))
        expect(failure).toBe(outage.failure ?? 'unavailable')
        await outage.up(at)
        await untilDelivered(sink, second)
        await expectReceived(at, sink, [first, second])
      },
    )

    itWhere(
      'opens as soon as a target that was down is back, and leaves nothing behind before that',
      kit.outage,
      async (outage) => {
        const at = await target()
        await outage.down(at)
        const sink = kit.create(at, testHost())
        const before = resources()
        expect(await failureOf(sink.open(AbortSignal.timeout(PATIENCE_MS)))).toBe(outage.failure ?? 'unavailable')
        await expectNoMoreThan(before)
        await outage.up(at)
        await until(() =>
          sink.open(NEVER).then(
            () => true,
            () => false,
          ),
        )
        cleanups.push(() => sink.close(NEVER))
        const one = batchFor(sink.traits, 3)
        await untilDelivered(sink, one)
        await expectReceived(at, sink, [one])
      },
    )

    itWhere(
      'throws in-doubt, not unavailable, when the answer is lost after the body was sent',
      kit.loseAnswer,
      async (lose) => {
        const { at, sink, batch } = await begin()
        await lose(at)
        expect(await failureOf(sink.write(batch(10), delivery(AbortSignal.timeout(answerWithinMs))))).toBe('in-doubt')
      },
    )

    itWhere(
      'writes no second copy when idempotent or position-holding, after an in-doubt write',
      kit.loseAnswer,
      async (lose) => {
        const { at, sink, batch } = await begin()
        if (!sink.traits.idempotent && !sink.traits.holdsPosition) return
        const one = batch(10)
        await lose(at)
        await failureOf(sink.write(one, delivery(AbortSignal.timeout(answerWithinMs))))
        const held = await sink.lastDelivered?.(one.source, NEVER)
        if (held === undefined || held === one.before) await untilDelivered(sink, one)
        await expectReceived(at, sink, [one])
      },
    )

    itWhere('asks for a smaller batch when the target says too large', kit.takeAtMost, async (takeAtMost) => {
      const { at, sink, batch } = await begin()
      await takeAtMost(at, 20_000)
      expect(await failureOf(sink.write(batch(10, { messageBytes: 10_000 }), delivery()))).toBe('too-large')
      const small = batch(1, { messageBytes: 1000 })
      await untilDelivered(sink, small)
      await expectReceived(at, sink, [small])
    })

    itWhere('stops within 1 s when aborted, and leaves no socket or timer behind', kit.stall, async (stall) => {
      const at = await target()
      const before = resources()
      const sink = await openSink(at)
      await stall.begin(at)
      const stop = new AbortController()
      // More than a socket or a pipe takes without its reader.
      const outcome = failureOf(sink.write(batchFor(sink.traits, 1000, { messageBytes: 1000 }), delivery(stop.signal)))
      await sleep(50)
      const aborted = performance.now()
      stop.abort()
      expect(['in-doubt', 'unavailable']).toContain(await outcome)
      expect(performance.now() - aborted).toBeLessThan(1000)
      // What was under way may need its target to end; then nothing may be left.
      await sink.close(AbortSignal.timeout(300)).catch(() => undefined)
      expect(performance.now() - aborted).toBeLessThan(2000)
      await stall.end(at)
      await expectNoMoreThan(before)
    })

    it('does not begin a write whose time is over', async () => {
      const { at, sink, batch } = await begin()
      const late = sink.write(batch(5), delivery(AbortSignal.abort()))
      expect(['in-doubt', 'unavailable']).toContain(await failureOf(late))
      await sleep(50)
      expect(await kit.received(at)).toEqual([])
    })

    itWhere('resolves a write only after the target has what `traits.delivered` says', kit.stall, async (stall) => {
      const { at, sink, batch } = await begin()
      await stall.begin(at)
      const one = batch(1000, { messageBytes: 1000 })
      let settled = false
      const written = sink.write(one, delivery()).then((receipt) => {
        settled = true
        return receipt
      })
      await sleep(100)
      expect(settled).toBe(false)
      await stall.end(at)
      expect(summary(await written, one)).toEqual(deliveredAll(one))
      await expectReceived(at, sink, [one])
    })

    itWhere(
      'never holds more memory than the batches in flight (1 000 batches against a stalled target)',
      kit.stall,
      async (stall) => {
        const { at, sink, batch } = await begin()
        await stall.begin(at)
        const before = await heldBytes()
        const one = batch(8, { messageBytes: 8000 })
        // One at a time and each given up: of 64 MB that were offered, the one under way may be kept.
        for (let round = 0; round < 1000; round++) {
          const stop = new AbortController()
          const offered = { ...one, records: one.records.slice() }
          const outcome = failureOf(sink.write(offered, delivery(stop.signal)))
          await turn()
          stop.abort()
          await outcome
        }
        expect((await heldBytes()) - before).toBeLessThan(16e6)
        await stall.end(at)
      },
      60_000,
    )

    it('holds the position that its traits promise', async () => {
      const at = await target()
      const sink = await openSink(at)
      if (!sink.traits.holdsPosition) {
        expect(sink.lastDelivered).toBeUndefined()
        return
      }
      const ask = (of: Sink, source: string): Promise<Position | undefined> | undefined =>
        of.lastDelivered?.(source, NEVER)
      const other = 'f'.repeat(32)
      expect(await ask(sink, SOURCE)).toBeUndefined()
      const [here, there, next] = [
        batchFor(sink.traits, 10),
        batchFor(sink.traits, 7, { source: other }),
        batchFor(sink.traits, 5, { first: 11 }),
      ]
      for (const batch of [here, there, next]) await sink.write(batch, delivery())
      expect(await ask(sink, SOURCE)).toBe(next.after)
      expect(await ask(sink, other)).toBe(there.after)
      await sink.close(NEVER)
      const again = await openSink(at)
      expect(await ask(again, SOURCE)).toBe(next.after)
      expect(await ask(again, other)).toBe(there.after)
      await again.close(NEVER)
      // A backfill into the same target stands elsewhere.
      const backfill = await openSink(at, testHost('tested/backfill/1'))
      expect(await ask(backfill, SOURCE)).toBeUndefined()
    })

    it('can be closed without having been opened, and opened again after it was closed', async () => {
      const at = await target()
      await kit.create(at, testHost()).close(NEVER)
      const sink = await openSink(at)
      await sink.close(NEVER)
      await sink.open(NEVER)
      const one = batchFor(sink.traits, 2)
      await sink.write(one, delivery())
      await expectReceived(at, sink, [one])
    })

    it('its schema gives JSON Schema, every option has a description, and its example configuration passes', async () => {
      const { config } = kit.module
      const schema = config['~standard'].jsonSchema.input({ target: 'draft-2020-12' })
      expect(undescribed(schema)).toEqual([])
      expect(schema['additionalProperties']).toBe(false)
      const result = await config['~standard'].validate(kit.example)
      expect(result.issues).toBeUndefined()
      expect(kit.module.summary).toMatch(/^[A-Z].*\.$/)
      expect(kit.module.name).toMatch(/^[a-z][a-z0-9]*$/)
    })
  })
}

function largestFor({ limits }: SinkTraits): { entries: number; messageBytes: number } {
  const bytes = Math.min(limits.bytes ?? 4e6, 4e6)
  const entries = Math.min(limits.entries ?? 5000, 5000, Math.max(1, Math.floor(bytes / 800)))
  // Every record has some 600 bytes besides its message, and the limit counts these, too.
  return { entries, messageBytes: Math.max(40, Math.floor(bytes / entries) - 700) }
}

/** Delivers a batch as the pipeline would: again and again while the target is unavailable. */
async function untilDelivered(sink: Sink, batch: Batch): Promise<void> {
  await until(async () => {
    const failure = await failureOf(sink.write(batch, delivery(AbortSignal.timeout(PATIENCE_MS))))
    return failure === undefined
  })
}

async function until(isDone: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 2 * PATIENCE_MS
  while (!(await isDone())) {
    if (Date.now() > deadline) throw new Error('the target is back, but the sink does not deliver')
    await sleep(50)
  }
}

/** How a call ended: undefined when it did what it should. Anything but a SinkError is a bug of the sink, and thrown. */
export async function failureOf(call: Promise<unknown>): Promise<SinkFailure | undefined> {
  try {
    await call
    return undefined
  } catch (error) {
    const { name, failure } = error as { name?: unknown; failure?: SinkFailure }
    if (name !== 'SinkError' || failure === undefined) throw error
    return failure
  }
}

function summary(receipt: Receipt, batch: Batch): object {
  if (receipt === 'delivered') return deliveredAll(batch)
  const { delivered, retry, rejected, doubtful = [] } = receipt
  return { delivered, retry: [...retry], rejected: [...rejected], doubtful: [...doubtful] }
}

function deliveredAll(batch: Batch): object {
  return { delivered: batch.ends.length, retry: [], rejected: [], doubtful: [] }
}

/** What is wrong with a receipt for `length` entries; empty when it adds up. */
export function accountsFor(receipt: Receipt, length: number): string[] {
  if (receipt === 'delivered') return []
  const { delivered, retry, rejected, doubtful = [], unknown } = receipt
  const named = [...retry, ...doubtful, ...rejected.map(({ index }) => index)]
  const wrong: string[] = []
  const sum = delivered + named.length + (unknown?.count ?? 0)
  if (sum !== length) wrong.push(`accounts for ${sum} of ${length} entries`)
  if (new Set(named).size !== named.length) wrong.push('names an entry twice')
  if (named.some((index) => !Number.isInteger(index) || index < 0 || index >= length))
    wrong.push('names no entry of the batch')
  for (const { index, code, reason } of rejected) {
    if (!/^[a-z][a-z0-9_]*$/.test(code)) wrong.push(`entry ${index}: the code "${code}" is no label`)
    if (reason === '') wrong.push(`entry ${index}: no reason`)
  }
  return wrong
}

/** Sockets, pipes, timers and the like that keep the process alive, by kind. */
function resources(): Map<string, number> {
  const counts = new Map<string, number>()
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  return counts
}

async function expectNoMoreThan(before: ReadonlyMap<string, number>): Promise<void> {
  const surplus = () => [...resources()].filter(([kind, count]) => count > (before.get(kind) ?? 0))
  const deadline = Date.now() + 2000
  while (surplus().length > 0 && Date.now() < deadline) await sleep(20)
  expect(surplus()).toEqual([])
}

let collect: (() => void) | undefined

/** Memory in use after everything unreachable was thrown away: what is outside the heap goes some time after its owner. */
async function heldBytes(): Promise<number> {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc')
    collect = runInNewContext('gc') as () => void
  }
  let least = Number.POSITIVE_INFINITY
  for (let round = 0; round < 5; round++) {
    collect()
    await sleep(10)
    const { heapUsed, external } = process.memoryUsage()
    least = Math.min(least, heapUsed + external)
  }
  return least
}

/** Options of a JSON Schema without description, by their paths. */
export function undescribed(schema: Readonly<Record<string, unknown>>, path = ''): string[] {
  const missing: string[] = []
  const properties = (schema['properties'] ?? {}) as Record<string, Record<string, unknown>>
  for (const [name, property] of Object.entries(properties)) {
    const at = path === '' ? name : `${path}.${name}`
    const { description } = property
    if (typeof description !== 'string' || description === '') missing.push(at)
    missing.push(...undescribed(property, at))
  }
  for (const key of ['anyOf', 'oneOf', 'allOf']) {
    for (const part of (schema[key] ?? []) as Record<string, unknown>[]) missing.push(...undescribed(part, path))
  }
  const items = schema['items']
  if (typeof items === 'object' && items !== null)
    missing.push(...undescribed(items as Record<string, unknown>, `${path}[]`))
  return missing
}
