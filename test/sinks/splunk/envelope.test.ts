import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseTemplate } from '../../../sinks/parts/template.ts'
import { type EnvelopeOptions, Envelopes } from '../../../sinks/splunk/envelope.ts'
import type { Batch } from '../../../src/sink.ts'
import { makeBatch, recordsOf } from '../../contract/sinkContract.ts'
import { splitEnvelopes } from '../../support/fakeHec.ts'
import { configOf } from './config.ts'

function envelopes(options: object = {}): Envelopes {
  const config = configOf({ url: 'https://splunk:8088', token: 'x', ...options })
  return new Envelopes({ ...config, index: config.index, indexed: new Map(Object.entries(config.indexed)) })
}

/** The body's bytes, also after its memory is used again. */
function build(of: Envelopes, batch: Batch): Buffer {
  const body = of.build(batch)
  const copy = Buffer.from(body)
  of.giveBack(body)
  return copy
}

/** A batch whose records are these texts, as those of another shape, or these objects. */
function batchOf(records: readonly (string | object)[], realtimes?: readonly number[]): Batch {
  const batch = makeBatch(records.length)
  const texts = records.map((record) => Buffer.from(typeof record === 'string' ? record : JSON.stringify(record)))
  let end = -1
  return {
    ...batch,
    records: new Uint8Array(Buffer.concat(texts.flatMap((text) => [text, Buffer.from('\n')]))),
    ends: Uint32Array.from(texts, (text) => {
      end += text.length + 1
      return end
    }),
    ...(realtimes === undefined ? {} : { realtimes: Float64Array.from(realtimes) }),
  }
}

describe('an envelope', () => {
  it('holds the record between time, origin, cursor and key', () => {
    const batch = makeBatch(1, { fields: () => ({ _SYSTEMD_UNIT: 'ssh.service' }) })
    const body = build(envelopes({ index: 'journal' }), batch).toString()
    const [entry] = batch.entries
    expect(body).toBe(
      `{"time":1790000000.000100,"host":"node-1","source":"journald:ssh.service","sourcetype":"journald","index":"journal",` +
        `"event":${Buffer.from(entry!.record)},"fields":{"journald_cursor":"${entry!.cursor}","journald_key":"${entry!.key}"}}`,
    )
  })

  it('names the program where there is no unit, and leaves out what is empty', () => {
    const batch = makeBatch(1)
    const [only] = splitEnvelopes(build(envelopes({ host: '${NOPE}' }), batch))
    expect(only?.envelope).toMatchObject({ source: 'journald:made-up' })
    expect(only?.envelope).not.toHaveProperty('host')
    expect(only?.envelope).not.toHaveProperty('index')
  })

  it('has further indexed fields, escaped, and cut at 1 kB between two characters', () => {
    const batch = makeBatch(3, { fields: (n) => ({ LONG: 'é'.repeat(600 * n), QUOTED: 'a"b\\\n\u0001' }) })
    const of = envelopes({ indexed: { long: '${LONG}', quoted: '<${QUOTED}>', none: '${NOPE}' } })
    for (const { envelope } of splitEnvelopes(build(of, batch))) {
      const { long, quoted, ...rest } = envelope['fields'] as Record<string, string>
      expect(Buffer.byteLength(long ?? '')).toBeLessThanOrEqual(1024)
      expect(long).toMatch(/^é{512}$/)
      expect(quoted).toBe('<a"b\\\n\u0001>')
      expect(Object.keys(rest)).toEqual(['journald_cursor', 'journald_key'])
    }
  })

  it('renders templates once for entries that are alike', () => {
    let rendered = 0
    const counting = { fields: ['_HOSTNAME'], constant: undefined, render: () => `host ${++rendered}` }
    const empty = parseTemplate('')
    const options: EnvelopeOptions = {
      host: counting,
      source: empty,
      sourcetype: empty,
      index: undefined,
      indexed: new Map(),
      event: 'record',
    }
    const batch = makeBatch(6)
    const groups = { at: Uint32Array.of(0, 1, 0, 1, 1, 0), first: Uint32Array.of(0, 1) }
    const hosts = splitEnvelopes(build(new Envelopes(options), { ...batch, groups })).map(
      ({ envelope }) => envelope['host'],
    )
    expect(hosts).toEqual(['host 1', 'host 2', 'host 1', 'host 2', 'host 2', 'host 1'])
    expect(rendered).toBe(2)
  })

  it('takes the cursor from the entry where the record does not begin with it', () => {
    const batch = batchOf(['{"message":"a"}', { '@timestamp': 'x'.repeat(27), message: 'b'.repeat(400) }, '{}'])
    const found = splitEnvelopes(build(envelopes(), batch)).map(({ envelope }) => envelope['fields'])
    expect(found).toEqual(batch.entries.map(({ cursor, key }) => ({ journald_cursor: cursor, journald_key: key })))
  })

  it('uses its memory again', () => {
    const of = envelopes()
    const first = of.build(makeBatch(10))
    of.giveBack(first)
    const second = of.build(makeBatch(9))
    expect(second.buffer).toBe(first.buffer)
    expect(of.build(makeBatch(10)).buffer).not.toBe(first.buffer)
  })
})

describe('an event of the bare message', () => {
  const of = () => envelopes({ event: 'message' })
  const events = (batch: Batch) => splitEnvelopes(build(of(), batch)).map(({ event }) => event.toString())

  it('is the text of MESSAGE as the record has it', () => {
    const texts = ['plain', 'q"uote', 'back\\', '\\"', ',"MESSAGE":"', 'ü€😀\n\t\u0001', 'x'.repeat(300)]
    const batch = makeBatch(texts.length, { messageBytes: 0, fields: (n) => ({ MESSAGE: texts[n - 1] ?? '' }) })
    expect(events(batch)).toEqual(texts.map((text) => JSON.stringify(text)))
  })

  it('is the whole record where MESSAGE is empty, missing, or no single text', () => {
    const [model] = recordsOf(makeBatch(1)).map((record) => JSON.parse(Buffer.from(record).toString()) as object)
    const { MESSAGE: _, ...without } = model as { MESSAGE: string }
    const records = [
      { ...model, MESSAGE: '' },
      { ...without, PAD: 'x'.repeat(200) },
      { ...model, MESSAGE: ['a', 'b'] },
    ]
    const batch = batchOf(records)
    expect(events(batch)).toEqual(records.map((record) => JSON.stringify(record)))
  })

  it('is `message` in other shapes', () => {
    const records = [{ journald: { custom: { message: 'no' } }, message: 'yes "1"' }, { message: '' }, { message: 5 }]
    expect(events(batchOf(records))).toEqual(['"yes \\"1\\""', '{"message":""}', '{"message":5}'])
  })
})

describe('H2: every body', () => {
  const ENVELOPE_KEYS = ['time', 'host', 'source', 'sourcetype', 'index', 'event', 'fields']
  const text = fc.string({ unit: 'binary', maxLength: 50 })

  it('has times without exponent, no key that Splunk does not know, and flat fields', () => {
    const entry = fc.record({
      unit: text,
      host: text,
      message: text,
      realtime: fc.integer({ min: 0, max: 2 ** 53 - 1 }),
    })
    fc.assert(
      fc.property(
        fc.array(entry, { minLength: 1, maxLength: 20 }),
        fc.constantFrom('record', 'message'),
        (entries, event) => {
          const batch = makeBatch(entries.length, {
            fields: (n) => {
              const { unit = '', host = '', message = '' } = entries[n - 1] ?? {}
              return { _SYSTEMD_UNIT: unit, _HOSTNAME: host, MESSAGE: message }
            },
          })
          const realtimes = Float64Array.from(entries, ({ realtime }) => realtime)
          const of = envelopes({ event, indexed: { 'a.unit': '${_SYSTEMD_UNIT}' }, index: 'x-${_HOSTNAME}' })
          const found = splitEnvelopes(build(of, { ...batch, realtimes }))
          expect(found.length).toBe(entries.length)
          for (const [index, { raw, envelope, event: bytes }] of found.entries()) {
            const { realtime = 0, host, message } = entries[index] ?? {}
            const time = /^\{"time":(\d+)\.(\d{6}),/.exec(raw.toString('latin1'))
            expect(BigInt(`${time?.[1]}${time?.[2]}`)).toBe(BigInt(realtime))
            expect(Object.keys(envelope).filter((key) => !ENVELOPE_KEYS.includes(key))).toEqual([])
            for (const [name, value] of Object.entries(envelope['fields'] as object)) {
              expect(name).toMatch(/^[^_]/)
              expect(typeof value).toBe('string')
            }
            if (host !== '') expect(envelope['host']).toBe(host?.toWellFormed())
            const record = Buffer.from(batch.entries[index]?.record ?? [])
            if (event === 'record' || message === '') expect(bytes.equals(record)).toBe(true)
            else expect(JSON.parse(bytes.toString())).toBe(message?.toWellFormed())
            expect(envelope['event']).not.toBe('')
          }
        },
      ),
      { numRuns: 200 },
    )
  })
})
