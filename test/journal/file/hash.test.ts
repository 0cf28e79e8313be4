import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { JournalFile } from '../../../src/journal/file/file.ts'
import { bucketOf, type Hash64, jenkins, siphash24 } from '../../../src/journal/file/hash.ts'
import { MemoryBudget } from '../../../src/journal/memory.ts'
import { openFixture } from '../../support/fixtures.ts'
import { itemOffsets } from '../oracle.ts'

const big = ({ high, low }: Hash64): bigint => (BigInt(high) << 32n) | BigInt(low)
const counting = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i)

describe('siphash24', () => {
  // vectors.h of the reference implementation, read as little-endian numbers.
  it.each([
    [0, 0x726fdb47dd0e0e31n],
    [1, 0x74f839c593dc67fdn],
    [2, 0x0d6c8009d9a94f5an],
    [3, 0x85676696d7fb7e2dn],
    [7, 0xab0200f58b01d137n],
    [8, 0x93f5f5799a932462n],
    [15, 0xa129ca6149be45e5n],
  ])('gives the reference value for %i bytes', (length, expected) => {
    expect(big(siphash24(counting(length), counting(16)))).toBe(expected)
  })
})

describe('jenkins', () => {
  // driver5 of lookup3.c
  it.each([
    ['', 0xdeadbeefdeadbeefn],
    ['Four score and seven years ago', 0x17770551ce7226e6n],
  ])('gives the reference value for "%s"', (text, expected) => {
    expect(big(jenkins(Buffer.from(text)))).toBe(expected)
  })
})

describe('hashes in files', () => {
  it.each(['compact', 'regular', 'unkeyed', 'lz4-compact', 'multi-boot'])('equal the stored ones: %s', (name) => {
    const path = `${openFixture(name).dir}/a.journal`
    const raw = readFileSync(path)
    const file = JournalFile.open(path, new MemoryBudget(64 << 20))
    const key = Buffer.from(file.fileId, 'hex')
    const wrong: number[] = []
    let xorWrong = 0
    const jenkinsOf = new Map<number, bigint>()
    while (file.next()) {
      let xor = 0n
      for (const offset of itemOffsets(file)) {
        if (!jenkinsOf.has(offset)) {
          file.payload(offset)
          const payload = file.bytes.subarray(file.start, file.end)
          const hash = file.header.keyedHash ? siphash24(payload, key) : jenkins(payload)
          if (raw.readBigUInt64LE(offset + 16) !== big(hash)) wrong.push(offset)
          jenkinsOf.set(offset, big(jenkins(payload)))
        }
        xor ^= jenkinsOf.get(offset)!
      }
      // A field that was sent twice counts twice in the xor, but stands once in the entry. Up to two of them occur here.
      const difference = xor ^ big({ high: file.xorHigh, low: file.xorLow })
      const hashes = itemOffsets(file).map((offset) => jenkinsOf.get(offset)!)
      const twice = hashes.some((one) => one === difference || hashes.some((two) => (one ^ two) === difference))
      if (difference !== 0n && !twice) xorWrong++
    }
    expect(wrong).toEqual([])
    expect(xorWrong).toBe(0)
    expect(jenkinsOf.size).toBeGreaterThan(100)
    file.close()
  })

  it('choose the bucket by the whole 64 bits', () => {
    expect(bucketOf({ high: 0xffffffff, low: 0xffffffff }, 1000)).toBe(Number(0xffffffffffffffffn % 1000n))
    expect(bucketOf({ high: 1, low: 0 }, 333)).toBe(2 ** 32 % 333)
  })
})
