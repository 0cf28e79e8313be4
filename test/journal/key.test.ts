import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bootWordsOf } from '../../src/journal/cursor.ts'
import { KEY_LENGTH, writeKey } from '../../src/journal/key.ts'

const ALPHABET = '-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz'

interface Identity {
  readonly boot: string
  readonly monotonic: number
  readonly realtime: number
  readonly xor: bigint
  readonly ordinal: number
}

function keyOf({ boot, monotonic, realtime, xor, ordinal }: Identity): string {
  const words = { xorHigh: Number(xor >> 32n), xorLow: Number(xor & 0xffffffffn) }
  const out = Buffer.alloc(KEY_LENGTH + 2)
  writeKey(out, 1, { seqnumId: '', seqnum: 1, monotonic, realtime, ...bootWordsOf(boot), ...words }, ordinal)
  expect([out[0], out[KEY_LENGTH + 1]]).toEqual([0, 0])
  return out.toString('latin1', 1, KEY_LENGTH + 1)
}

/** The same by arithmetic on one large number. */
function slowKey({ boot, monotonic, realtime, xor, ordinal }: Identity): string {
  const middle = BigInt(`0x${boot}`) ^ ((BigInt(monotonic) << 64n) | xor)
  const digits = (value: bigint, count: number) =>
    Array.from({ length: count }, (_, i) => ALPHABET[Number((value >> BigInt(6 * (count - 1 - i))) & 63n)]).join('')
  return digits(BigInt(realtime), 9) + digits(middle << 4n, 22) + digits(BigInt(ordinal), 3)
}

const identity = fc.record({
  boot: fc.stringMatching(/^[0-9a-f]{32}$/),
  monotonic: fc.integer({ min: 0, max: 2 ** 53 - 1 }),
  realtime: fc.integer({ min: 1, max: 2 ** 53 - 1 }),
  xor: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  ordinal: fc.integer({ min: 0, max: 2 ** 18 - 1 }),
})

describe('keys', () => {
  it('are 34 characters made of realtime, boot, monotonic time, content and number', () => {
    fc.assert(
      fc.property(identity, (one) => {
        expect(keyOf(one)).toBe(slowKey(one))
      }),
    )
  })

  it('sort by realtime, as bytes', () => {
    fc.assert(
      fc.property(identity, identity, (a, b) => {
        if (a.realtime === b.realtime) return
        expect(Buffer.compare(Buffer.from(keyOf(a)), Buffer.from(keyOf(b)))).toBe(Math.sign(a.realtime - b.realtime))
      }),
    )
  })

  it('differ in the number alone for lines of one write', () => {
    const one = { boot: 'ab'.repeat(16), monotonic: 5, realtime: 6, xor: 7n, ordinal: 0 }
    const keys = [0, 1, 2, 64, 4096].map((ordinal) => keyOf({ ...one, ordinal }))
    expect(new Set(keys).size).toBe(5)
    expect(new Set(keys.map((key) => key.slice(0, 31))).size).toBe(1)
    expect([...keys].sort()).toEqual(keys)
  })
})
