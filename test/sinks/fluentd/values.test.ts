import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { countBytes, MalformedError, textBytes, type Value, ValueReader } from '../../../sinks/fluentd/values.ts'
import { readValue } from '../../support/msgpack.ts'

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

function read(bytes: Buffer): Value[] {
  return new ValueReader().push(bytes)
}

describe('ValueReader', () => {
  it.each<[string, Value]>([
    ['c0', null],
    ['c3', true],
    ['7f', 127],
    ['ff', -1],
    ['cc ff', 255],
    ['cd 0100', 256],
    ['ce 00010000', 65536],
    ['a3 61636b', Buffer.from('ack')],
    ['d9 03 61636b', Buffer.from('ack')],
    ['c4 02 fffe', Buffer.from([0xff, 0xfe])],
    ['c5 0002 fffe', Buffer.from([0xff, 0xfe])],
    ['a2 fffe', Buffer.from([0xff, 0xfe])],
    ['92 01 a1 61', [1, Buffer.from('a')]],
    ['dc 0001 c2', [false]],
    ['81 a3 61636b a1 78', new Map([['ack', Buffer.from('x')]])],
    ['de 0001 a1 61 01', new Map([['a', 1]])],
  ])('reads %s', (bytes, value) => {
    expect(read(hex(bytes))).toEqual([value])
  })

  it('gives the same values however the bytes are cut', () => {
    const stream = hex('81a361636bd90161 92a448454c4f82a56e6f6e6365c4041234ff00a461757468a0 c0 81a361636ba162')
    const whole = read(stream)
    expect(whole).toHaveLength(4)
    fc.assert(
      fc.property(fc.array(fc.nat(stream.length)), (cuts) => {
        const reader = new ValueReader()
        const places = [0, ...cuts.sort((a, b) => a - b), stream.length]
        const values = places.slice(1).flatMap((end, i) => reader.push(stream.subarray(places[i], end)))
        expect(values).toEqual(whole)
      }),
    )
  })

  it.each([
    ['a float', 'cb 3ff0000000000000'],
    ['an extension', 'd7 00 0000000000000000'],
    ['the type that is never used', 'c1'],
    ['a text of a gigabyte', 'db 40000000'],
    ['a list of four billion', 'dd ffffffff'],
    ['lists within lists', '91'.repeat(20)],
    ['a map with a number as key', '81 01 01'],
  ])('refuses %s', (_, bytes) => {
    expect(() => read(hex(bytes))).toThrow(MalformedError)
  })

  it('refuses a message without end', () => {
    const reader = new ValueReader()
    const piece = Buffer.concat([hex('dc ffff'), Buffer.alloc(40_000, hex('cc01'))])
    expect(reader.push(piece)).toEqual([])
    expect(() => reader.push(piece.subarray(3, 30_003))).toThrow(MalformedError)
  })

  it('never throws anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          read(Buffer.from(bytes))
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedError)
        }
      }),
    )
  })
})

it.each([0, 1, 31, 32, 255, 256, 5000])('writes texts of %i bytes', (length) => {
  const text = 'x'.repeat(length)
  expect(readValue(textBytes(text))).toMatchObject({ value: text })
})

it.each([0, 127, 128, 255, 65_536, 2 ** 32 - 1])('writes the number %i', (count) => {
  expect(readValue(countBytes(count))).toMatchObject({ value: count })
})
