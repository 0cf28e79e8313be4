import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { commandHead, Frames, type Group } from '../../../sinks/redis/frames.ts'
import { elementsOf } from '../../../sinks/redis/multiStore.ts'
import { makeBatch, recordsOf } from '../../contract/batches.ts'

/** Reads a row of bulk strings by the protocol's rules. */
function readBulks(bytes: Buffer): string[] {
  const found: string[] = []
  for (let at = 0; at < bytes.length; ) {
    const line = bytes.indexOf('\r\n', at)
    expect(String.fromCharCode(bytes[at]!)).toBe('$')
    const length = Number(bytes.toString('latin1', at + 1, line))
    found.push(bytes.toString('utf8', line + 2, line + 2 + length))
    expect(bytes.toString('latin1', line + 2 + length, line + 4 + length)).toBe('\r\n')
    at = line + 4 + length
  }
  return found
}

const all = (count: number): Group[] => [{ key: 'k', indexes: undefined, count }]

describe('the elements of a batch', () => {
  it('are the records, with what Logstash reads in front', () => {
    const batch = makeBatch(3)
    const { bytes, ends } = new Frames({ metadata: true }).write(batch, all(3))
    const elements = readBulks(bytes)
    expect(ends).toEqual([bytes.length])
    for (const [index, element] of elements.entries()) {
      const key = Buffer.from(batch.keys.subarray(index * 34, index * 34 + 34)).toString()
      const record = Buffer.from(recordsOf(batch)[index]!).toString()
      expect(element).toBe(`{"@version":"1","@metadata":{"_id":"${key}"},${record.slice(1)}`)
      expect(JSON.parse(element)).toMatchObject({ '@version': '1', '@metadata': { _id: key }, ...JSON.parse(record) })
    }
  })

  it('name the ingest pipeline that was asked for, whatever its name holds', () => {
    const { bytes } = new Frames({ metadata: true, pipeline: 'logs "ü"' }).write(makeBatch(1), all(1))
    expect(JSON.parse(readBulks(bytes)[0]!)['@metadata']).toMatchObject({ pipeline: 'logs "ü"' })
  })

  it('are the bare records when nothing is to be put in front', () => {
    const batch = makeBatch(4)
    const frames = new Frames({ metadata: false })
    expect(frames.overhead).toBe(0)
    expect(readBulks(frames.write(batch, all(4)).bytes)).toEqual(
      recordsOf(batch).map((record) => Buffer.from(record).toString()),
    )
  })

  it('stand group by group, in the order of the batch within each', () => {
    const batch = makeBatch(5)
    const groups = [
      { key: 'a', indexes: [0, 3], count: 2 },
      { key: 'b', indexes: [1, 2, 4], count: 3 },
    ]
    const { bytes, ends } = new Frames({ metadata: false }).write(batch, groups)
    const records = recordsOf(batch).map((record) => Buffer.from(record).toString())
    expect(readBulks(bytes.subarray(0, ends[0]))).toEqual([records[0], records[3]])
    expect(readBulks(bytes.subarray(ends[0]))).toEqual([records[1], records[2], records[4]])
  })

  it('are well-formed for records of any size, an object without fields included', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.constant('{}'),
            fc.nat(12_000).map((size) => `{"a":"${'x'.repeat(size)}"}`),
          ),
          {
            minLength: 1,
            maxLength: 12,
          },
        ),
        fc.boolean(),
        (texts, metadata) => {
          const keys = texts.map((_, index) => String(index).padStart(34, 'k'))
          let end = -1
          const ends = Uint32Array.from(texts, (text) => {
            end += text.length + 1
            return end
          })
          const records = new Uint8Array(Buffer.from(`${texts.join('\n')}\n`))
          const batch = { records, ends, keys: new Uint8Array(Buffer.from(keys.join(''))) }
          const elements = readBulks(new Frames({ metadata }).write(batch, all(texts.length)).bytes)
          const wanted = texts.map((text, index) =>
            metadata ? { '@version': '1', '@metadata': { _id: keys[index] }, ...JSON.parse(text) } : JSON.parse(text),
          )
          expect(elements.map((element) => JSON.parse(element))).toEqual(wanted)
        },
      ),
      { numRuns: 60 },
    )
  })

  it('take the same memory again, and other memory after it was forgotten', () => {
    const frames = new Frames({ metadata: true })
    const one = frames.write(makeBatch(100), all(100)).bytes
    expect(frames.write(makeBatch(90), all(90)).bytes.buffer).toBe(one.buffer)
    frames.forget()
    expect(frames.write(makeBatch(90), all(90)).bytes.buffer).not.toBe(one.buffer)
  })

  it('can be taken one by one', () => {
    const { bytes } = new Frames({ metadata: true }).write(makeBatch(7), all(7))
    const parts = Array.from(elementsOf(bytes), (part) => Buffer.from(part))
    expect(parts).toHaveLength(7)
    expect(Buffer.concat(parts).equals(bytes)).toBe(true)
  })
})

describe('commandHead', () => {
  it('counts bytes, not characters', () => {
    expect(commandHead(5, ['RPUSH', 'schlüssel', ''])).toBe('*5\r\n$5\r\nRPUSH\r\n$10\r\nschlüssel\r\n$0\r\n\r\n')
  })
})
