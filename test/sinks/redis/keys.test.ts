import { describe, expect, it } from 'vitest'
import { parseTemplate } from '../../../sinks/parts/template.ts'
import { groupByKey } from '../../../sinks/redis/grouping.ts'
import { fixedPart, hashTag, positionKey, sharedTag } from '../../../sinks/redis/keys.ts'
import { makeBatch } from '../../contract/batches.ts'

/** CRC16 of XMODEM over what Redis hashes, as Redis Cluster does it. */
function slotOf(key: string): number {
  let crc = 0
  for (const byte of Buffer.from(hashTag(key) ?? key)) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff
  }
  return crc % 16_384
}

describe('the tag that keys share', () => {
  it('is found by the rule of Redis', () => {
    const cases = { list: undefined, 'a{b}c': 'b', '{}x': undefined, '{a}{b}': 'a', 'a{b': undefined, 'a{{b}}': '{b' }
    for (const [key, tag] of Object.entries(cases)) expect(hashTag(key)).toBe(tag)
  })

  it('puts the position into the slot of its list, where any name can', () => {
    // Measured with CLUSTER KEYSLOT.
    expect([slotOf('list'), slotOf('a{b}c'), slotOf('{}x'), slotOf('{{}x}:pos')]).toEqual([12_291, 3300, 10_595, 4092])
    for (const name of ['list', 'a{b}c', 'lögs', 'a{b', 'x:{y}:z']) {
      const shared = sharedTag(parseTemplate(name))
      expect(shared?.isExact).toBe(true)
      expect(slotOf(positionKey(shared?.tag ?? '', 'm', 's', 'm'))).toBe(slotOf(name))
    }
    for (const name of ['{}x', 'a}b']) expect(sharedTag(parseTemplate(name))).toEqual({ tag: name, isExact: false })
  })

  it('must stand in front of the first field', () => {
    expect(sharedTag(parseTemplate('{logs}:${_HOSTNAME}'))).toEqual({ tag: 'logs', isExact: true })
    for (const key of ['logs:${_HOSTNAME}', '${_HOSTNAME}:{logs}', '{logs:${_HOSTNAME}}', '{}${_HOSTNAME}'])
      expect(sharedTag(parseTemplate(key))).toBeUndefined()
    expect(fixedPart(parseTemplate('{logs}:${A:-none}-${B}'))).toBe('{logs}:')
  })

  it('names the position by machine, sink and source', () => {
    expect(positionKey('logstash', 'machine', 'queue', 'source.web')).toBe(
      '{logstash}:logferry:machine:queue:source.web',
    )
  })
})

describe('groupByKey', () => {
  it('leaves a batch whole when all of it goes to one key', () => {
    expect(groupByKey(makeBatch(3), parseTemplate('logs'))).toEqual([{ key: 'logs', indexes: undefined, count: 3 }])
  })

  it('sorts entries by their keys, in the order in which keys come', () => {
    const batch = makeBatch(5, { fields: (n) => (n === 4 ? {} : { UNIT: n % 2 === 0 ? 'even' : 'odd' }) })
    expect(groupByKey(batch, parseTemplate('{l}:${UNIT:-none}'))).toEqual([
      { key: '{l}:odd', indexes: [0, 2, 4], count: 3 },
      { key: '{l}:even', indexes: [1], count: 1 },
      { key: '{l}:none', indexes: [3], count: 1 },
    ])
  })
})
