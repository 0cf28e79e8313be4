import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { copyAscii, copyPlain, copyText } from '../../../src/journal/encode/bytes/copy.ts'
import {
  decimalLength,
  hexLength,
  writeDecimal,
  writeHex,
  writeId,
  writeTimestamp,
} from '../../../src/journal/encode/bytes/digits.ts'
import { writeJournalctlValue, writeJsonText } from '../../../src/journal/encode/bytes/jsonText.ts'
import { intText, strText, writeStrOrBin } from '../../../src/journal/encode/bytes/msgpack.ts'
import { cutAt, isPrintable, isUtf8 } from '../../../src/journal/encode/bytes/utf8.ts'
import { FileCache, runHas } from '../../../src/journal/encode/cache.ts'
import { encoderKey } from '../../../src/journal/encode/encoder.ts'
import { FieldTable, MOST_FIELDS, OVERFLOW } from '../../../src/journal/encode/fieldTable.ts'
import { Output } from '../../../src/journal/encode/output.ts'
import { MemoryBudget } from '../../../src/journal/memory.ts'
import { describeWith } from '../../support/needs.ts'
import { encodeDir, type OddField, recordSpec, strictJson, unpack, writeEntries } from './encoding.ts'

/** Bytes that lie at any alignment, mostly text. */
const anyBytes = fc
  .tuple(
    fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.string({ unit: 'binary', maxLength: 50 }).map((text) => Buffer.from(text, 'utf8')),
      fc.string({ maxLength: 90 }).map((text) => Buffer.from(text, 'utf8')),
      fc
        .array(fc.constantFrom(0xc2, 0x80, 0xed, 0xa0, 0xe0, 0xf0, 0xf4, 0x90, 0x9f, 0xbf, 0xef, 0x41))
        .map((list) => Uint8Array.from(list)),
    ),
    fc.nat(7),
  )
  .map(([value, at]) => {
    const memory = Buffer.alloc((at + value.length + 7) & ~3)
    memory.set(value, at)
    return {
      bytes: memory,
      words: new Uint32Array(memory.buffer, memory.byteOffset, memory.length / 4),
      start: at,
      end: at + value.length,
    }
  })

const decode = (bytes: Buffer, start: number, end: number): string =>
  new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes.subarray(start, end))
const written = (output: Output): Buffer => Buffer.from(output.out.subarray(0, output.length))

describe('values', () => {
  it('are UTF-8, and show U+FFFD, where the WHATWG decoder says so', () => {
    fc.assert(
      fc.property(anyBytes, fc.boolean(), ({ bytes, words, start, end }, aligned) => {
        const text = decode(bytes, start, end)
        const valid = Buffer.from(text, 'utf8').equals(bytes.subarray(start, end))
        const output = new Output()
        expect(isUtf8(bytes, start, end)).toBe(valid)
        expect(writeJsonText(output, bytes, aligned ? words : undefined, start, end)).toBe(valid)
        const json = written(output).toString('utf8')
        expect(JSON.parse(json)).toBe(text)
        expect(json).not.toMatch(/[\0-\x1f\x7f-\x9f]/)
      }),
      { numRuns: 800, seed: 1 },
    )
  })

  it('are a string in journalctl’s JSON when printable, else the numbers of their bytes', () => {
    fc.assert(
      fc.property(anyBytes, ({ bytes, words, start, end }) => {
        const output = new Output()
        writeJournalctlValue(output, bytes, words, start, end)
        const text = decode(bytes, start, end)
        const control = /[\0-\x08\x0b-\x1f\x7f-\x9f]/.test(text)
        const never = [...text].some(
          (c) => ((c.codePointAt(0) as number) & 0xfffe) === 0xfffe || /[\ufdd0-\ufdef]/.test(c),
        )
        const printable = Buffer.from(text, 'utf8').equals(bytes.subarray(start, end)) && !control && !never
        expect(isPrintable(bytes, start, end, true)).toBe(printable)
        expect(JSON.parse(written(output).toString('utf8'))).toEqual(printable ? text : [...bytes.subarray(start, end)])
      }),
      { numRuns: 800, seed: 2 },
    )
  })

  it('are str or bin in MessagePack', () => {
    fc.assert(
      fc.property(anyBytes, ({ bytes, words, start, end }) => {
        const output = new Output()
        writeStrOrBin(output, bytes, words, start, end)
        const value = isUtf8(bytes, start, end) ? decode(bytes, start, end) : bytes.subarray(start, end)
        expect(unpack(written(output))).toEqual(value)
      }),
      { numRuns: 500, seed: 3 },
    )
    for (const length of [31, 32, 255, 256, 65535, 65536]) {
      for (const byte of [0x61, 0xff]) {
        const output = new Output()
        const bytes = Buffer.alloc(length, byte)
        writeStrOrBin(output, bytes, undefined, 0, length)
        expect(unpack(written(output))).toEqual(byte === 0x61 ? 'a'.repeat(length) : bytes)
      }
      expect(unpack(Buffer.from(strText('b'.repeat(length)), 'latin1'))).toBe('b'.repeat(length))
    }
    for (const value of [0, 127, 128, 255, 256, 65536, 4294967295, 4294967296, -1, -3e12]) {
      expect(unpack(Buffer.from(intText(value), 'latin1'))).toBe(value)
    }
  })

  it('are copied up to the first byte that needs care, wherever it stands', () => {
    const memory = Buffer.alloc(64, 'x')
    const words = new Uint32Array(memory.buffer, memory.byteOffset, 16)
    const output = new Output()
    const stops = [
      [copyPlain, (byte: number) => byte < 32 || byte > 126 || byte === 34 || byte === 92],
      [copyText, (byte: number) => byte < 32 || byte > 126],
      [copyAscii, (byte: number) => byte > 127],
    ] as const
    for (const [copy, stopsAt] of stops) {
      for (let byte = 0; byte < 256; byte++) {
        for (let start = 0; start < 5; start++) {
          for (const place of [start, 5, 6, 7, 8, 11, 38, 39]) {
            memory.fill('x')
            memory[place] = byte
            expect(copy(output, 7, memory, words, start, 40)).toBe(stopsAt(byte) ? place : 40)
            expect(output.out.subarray(7, 7 + place - start).equals(memory.subarray(start, place))).toBe(true)
          }
        }
      }
    }
  })

  it('are cut between characters', () => {
    const bytes = Buffer.from('aé日🚀')
    expect([0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 99].map((most) => cutAt(bytes, 0, bytes.length, most))).toEqual([
      0, 1, 1, 3, 3, 3, 6, 6, 6, 10, 10,
    ])
    expect(cutAt(Buffer.alloc(9, 0x80), 0, 9, 5)).toBe(5)
  })
})

describe('numbers', () => {
  it('are written with all their digits', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        const out = Buffer.alloc(40)
        const length = decimalLength(value)
        writeDecimal(out, 0, value, length)
        expect(out.toString('latin1', 0, length)).toBe(String(value))
        const high = Math.floor(value / 2 ** 32)
        const hex = hexLength(high, value >>> 0)
        writeHex(out, 0, high, value >>> 0, hex)
        expect(out.toString('latin1', 0, hex)).toBe(value.toString(16))
      }),
      { seed: 4 },
    )
    for (const value of [0, 1, 9, 10, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1])
      expect(decimalLength(value)).toBe(String(value).length)
    const out = Buffer.alloc(16)
    writeHex(out, 0, 0xfedcba98, 0x76543210, 16)
    expect(out.toString()).toBe('fedcba9876543210')
  })

  it('are shown as ids in byte order, and as times with six digits', () => {
    const out = Buffer.alloc(32)
    writeId(out, 0, 0x03020100, 0x07060504, 0x0b0a0908, 0xff0e0d0c)
    expect(out.toString()).toBe('000102030405060708090a0b0c0d0eff')
    for (const [us, text] of [
      [1, '1970-01-01T00:00:00.000001Z'],
      [1_732_291_200_123_456, '2024-11-22T16:00:00.123456Z'],
      [2 ** 53 - 1, '2255-06-05T23:47:34.740991Z'],
    ] as const) {
      writeTimestamp(out, 0, us)
      expect(out.toString('latin1', 0, 27)).toBe(text)
    }
  })
})

describe('the table of names', () => {
  it('keeps its names when the memory they came from is read into again', () => {
    const table = new FieldTable((name, id) => ({ name, id }))
    const memory = Buffer.from('MESSAGE=')
    const field = table.find(memory, 0, 7)
    memory.fill('X')
    expect(table.find(Buffer.from('MESSAGE'), 0, 7)).toBe(field)
  })

  it('tells apart more names than it keeps', () => {
    const table = new FieldTable((name, id) => ({ name, id }))
    const names = Array.from({ length: MOST_FIELDS + 10 }, (_, k) => Buffer.from(`NAME_${k}`))
    const find = () => names.map((name) => table.find(name, 0, name.length))
    const first = find()
    const second = find()
    expect(first.map((field) => field.name)).toEqual(names.map(String))
    expect(second.slice(0, MOST_FIELDS).every((field, k) => field === first[k])).toBe(true)
    expect(second.slice(MOST_FIELDS).every((field) => field.id === OVERFLOW)).toBe(true)
  })
})

describe('the cache of a file', () => {
  const items = Uint32Array.from({ length: 20 }, (_, k) => 1000 + 8 * k)
  const run = (cache: FileCache, count: number) => cache.findRun(items, 0, 1, count, 1000 + 8 * count)

  it('builds a run when it is met the second time, and finds it with a few younger items behind it', () => {
    const cache = new FileCache(new MemoryBudget(1 << 20), 1 << 18)
    expect(run(cache, 10)).toBeUndefined()
    expect(cache.build).toBe(0)
    expect(run(cache, 10)).toBeUndefined()
    expect(cache.build).toBe(10)
    cache.keepRun(items, 0, 1, 10, Int32Array.of(3, 40), 2, Buffer.from('run'), 2, false)
    for (const count of [10, 13]) {
      const found = run(cache, count)
      expect(Buffer.from(found!.bytes).toString()).toBe('run')
      expect([3, 4, 40, 41, 4000].map((slot) => runHas(found!, slot))).toEqual([true, false, true, false, false])
    }
    expect(run(cache, 15)).toBeUndefined()
    items[4] = 5000
    expect(run(cache, 10)).toBeUndefined()
    items[4] = 1032
  })

  it('forgets all when it is told to, and when it is full, but not what is in use', () => {
    const memory = new MemoryBudget(1 << 20)
    const cache = new FileCache(memory, 1 << 16)
    run(cache, 10)
    run(cache, 10)
    cache.keepRun(items, 0, 1, 10, new Int32Array(0), 0, Buffer.from('kept'), 1, false)
    const found = run(cache, 10)
    cache.keepText(7, 'seven', 1)
    for (let key = 8; key < 2000; key++) cache.keepText(key, 'x'.repeat(100), 2)
    expect(cache.find(7)).toBe(-1)
    expect(cache.texts[cache.find(1999)]).toBe('x'.repeat(100))
    cache.release()
    expect(cache.find(1999)).toBe(-1)
    expect(Buffer.from(found!.bytes).toString()).toBe('kept')
    expect(memory.used).toBeLessThan((1 << 16) + 70_000)
  })
})

describeWith(['systemd-journal-remote'], 'entries beyond the usual', () => {
  it('with more items than a run takes, and more names than the table holds', async () => {
    const names = Array.from({ length: 5000 }, (_, k) => `FIELD_${k}`)
    const many = names.slice(0, 400).map((name): OddField => [name, 'v'])
    const rest = [1, 2, 3, 4, 5].map((k) => names.slice(k * 900, (k + 1) * 900).map((name): OddField => [name, `${k}`]))
    const dir = await writeEntries([many, ...rest, many, rest[4]!, [...rest[4]!, ['FIELD_4990', 'again']]])
    for (const spec of [recordSpec(), recordSpec({ shape: 'ecs', customLimit: 10_000 })]) {
      const records = encodeDir(dir, spec).map(
        (record) => strictJson(record.toString('utf8')) as Record<string, unknown>,
      )
      const fields = records.map(
        (record) =>
          ((record['journald'] as { custom: object } | undefined)?.custom ?? record) as Record<string, unknown>,
      )
      expect(fields.map((record) => record['FIELD_399'] ?? record['field_399'])[6]).toBe('v')
      const last = fields[8]!
      expect(last['FIELD_4990'] ?? last['field_4990']).toEqual(['5', 'again'])
    }
    expect(
      encodeDir(dir, recordSpec({ encoding: 'msgpack' })).map((record) => Object.keys(unpack(record) as object).length),
    ).toEqual([405, 905, 905, 905, 905, 505, 405, 505, 505])
  })

  it('with values of many kilobytes, of every kind', async () => {
    const big: OddField[] = [
      ['TEXT', 'line "quoted"\n'.repeat(20_000)],
      ['CONTROL', '\x01'.repeat(150_000)],
      ['BINARY', Buffer.alloc(200_000, 0xff)],
      ['WIDE', '日本'.repeat(40_000)],
    ]
    const dir = await writeEntries([big, big])
    const [first, second] = encodeDir(dir, recordSpec()).map(
      (record) => strictJson(record.toString('utf8')) as Record<string, string>,
    )
    expect(first).toMatchObject({
      TEXT: big[0]![1],
      CONTROL: big[1]![1],
      WIDE: big[3]![1],
      BINARY: '\ufffd'.repeat(200_000),
    })
    expect(Buffer.from(second!['logferry.base64.BINARY']!, 'base64').equals(Buffer.alloc(200_000, 0xff))).toBe(true)
  })
})

it('gives equal keys to equal specs, whatever order they are written in', () => {
  const spec = recordSpec({ labels: { a: '1', b: '2' }, fields: { mask: [{ pattern: /x/g, replace: 'y' }] } })
  const same = recordSpec({ fields: { mask: [{ replace: 'y', pattern: /x/g }] }, labels: { b: '2', a: '1' } })
  expect(encoderKey(spec)).toBe(encoderKey(same))
  expect(encoderKey(spec)).not.toBe(encoderKey({ ...spec, fields: { mask: [{ pattern: /x/gi, replace: 'y' }] } }))
  expect(encoderKey(recordSpec())).not.toBe(encoderKey(recordSpec({ encoding: 'msgpack' })))
})
