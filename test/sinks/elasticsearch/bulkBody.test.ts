import { describe, expect, it } from 'vitest'
import { BulkBodies, leadOf } from '../../../sinks/elasticsearch/bulkBody.ts'
import { makeBatch } from '../../contract/batches.ts'

const IDS = { hasIds: true, lead: leadOf(true) }

function linesOf(body: Buffer): string[] {
  const text = body.toString()
  expect(text.endsWith('\n')).toBe(true)
  return text.slice(0, -1).split('\n')
}

describe('the body of a bulk request', () => {
  const batch = makeBatch(3)
  const records = batch.entries.map(({ record }) => Buffer.from(record).toString())
  const keys = batch.entries.map(({ key }) => key)

  it('has an action line with the key as id before each record, and ends in a newline', () => {
    expect(linesOf(new BulkBodies().build(batch, IDS))).toEqual(
      records.flatMap((record, index) => [`{"create":{"_id":"${keys[index]}"}}`, record]),
    )
  })

  it('leaves the ids to the server where that is wished', () => {
    expect(linesOf(new BulkBodies().build(batch, { hasIds: false, lead: leadOf(false) }))[0]).toBe('{"create":{}}')
    const lines = { hasIds: false, lead: leadOf(false, 'a', 'r') }
    expect(linesOf(new BulkBodies().build(batch, lines))[0]).toBe('{"create":{"_index":"a","routing":"r"}}')
  })

  it('has what differs from entry to entry in the action lines', () => {
    const lines = { hasIds: true, lead: (index: number) => leadOf(true, `ü-${index}`) }
    const found = linesOf(new BulkBodies().build(batch, lines))
    expect(found).toEqual(
      records.flatMap((record, index) => [`{"create":{"_index":"ü-${index}","_id":"${keys[index]}"}}`, record]),
    )
  })

  it('has only the entries that are asked for', () => {
    const bodies = new BulkBodies()
    const wanted = [0, 2].flatMap((index) => [`{"create":{"_id":"${keys[index]}"}}`, records[index]])
    expect(linesOf(bodies.build(batch, IDS, [0, 2]))).toEqual(wanted)
    const lines = { hasIds: true, lead: (index: number) => leadOf(true, String(index)) }
    expect(linesOf(bodies.build(batch, lines, [2]))).toEqual([
      `{"create":{"_index":"2","_id":"${keys[2]}"}}`,
      records[2],
    ])
  })

  it('uses the memory of bodies again that were given back, and of no others', () => {
    const bodies = new BulkBodies()
    const first = bodies.build(batch, IDS)
    const second = bodies.build(batch, IDS)
    expect(second.buffer).not.toBe(first.buffer)
    bodies.giveBack(first)
    const third = bodies.build(makeBatch(2), IDS)
    expect(third.buffer).toBe(first.buffer)
    expect(linesOf(third)).toHaveLength(4)
    bodies.giveBack(third)
    const large = bodies.build(makeBatch(2, { messageBytes: 400_000 }), IDS)
    expect(large.buffer).not.toBe(first.buffer)
  })
})
