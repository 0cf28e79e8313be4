import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { isProblem } from '../../../src/errors.ts'
import { HEADER_SIZE, parseHeader } from '../../../src/journal/file/header.ts'
import { openFixture } from '../../support/fixtures.ts'

function bytesOf(name: string): Buffer {
  return Buffer.from(readFileSync(`${openFixture(name).dir}/a.journal`).subarray(0, HEADER_SIZE))
}

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (isProblem(error)) return error.code
    throw error
  }
  return 'none'
}

describe('parseHeader', () => {
  it('reads what systemd 252 writes', () => {
    const header = parseHeader(bytesOf('compact'), HEADER_SIZE, 'a.journal')
    expect(header).toMatchObject({ compact: true, keyedHash: true, state: 0, headerSize: 264, entries: 300 })
    expect(header.fileId).toMatch(/^[0-9a-f]{32}$/)
    expect(header.fields).toBeGreaterThan(10)
    expect(header.tailEntryArrayOffset).toBeGreaterThan(0)
    expect(header.tailEntryOffset).toBeUndefined()
    const regular = parseHeader(bytesOf('unkeyed'), HEADER_SIZE, 'a.journal')
    expect(regular).toMatchObject({ compact: false, keyedHash: false })
  })

  // The lengths of systemd below 187, 187, 189, 246, 252, 254.
  it.each([
    [208, undefined, undefined, undefined, undefined, undefined],
    [224, 208, 216, undefined, undefined, undefined],
    [240, 208, 216, 224, undefined, undefined],
    [256, 208, 216, 224, 248, undefined],
    [264, 208, 216, 224, 248, undefined],
    [272, 208, 216, 224, 248, 264],
  ])('takes what lies past a header of %i bytes as absent', (size, ...known) => {
    const bytes = bytesOf('compact')
    for (let at = 208; at < HEADER_SIZE; at += 8) bytes.writeBigUInt64LE(BigInt(at), at)
    bytes.writeBigUInt64LE(BigInt(size), 88)
    const { datas, fields, tags, fieldHashChainDepth, tailEntryOffset } = parseHeader(bytes, HEADER_SIZE, 'a.journal')
    expect([datas, fields, tags, fieldHashChainDepth, tailEntryOffset]).toEqual(known)
  })

  it('reads on with compatible flags that it does not know, not with incompatible ones', () => {
    const bytes = bytesOf('compact')
    bytes.writeUInt32LE(0xffffffff, 8)
    expect(codeOf(() => parseHeader(bytes, HEADER_SIZE, 'a.journal'))).toBe('none')
    bytes.writeUInt32LE(0x80000000 + 64 + 16, 12)
    expect(codeOf(() => parseHeader(bytes, HEADER_SIZE, 'a.journal'))).toBe('LF_JOURNAL_UNKNOWN_FLAG')
    expect(() => parseHeader(bytes, HEADER_SIZE, 'a.journal')).toThrow(
      'incompatible flag 64, incompatible flag 2147483648',
    )
  })

  it('refuses other signatures, states and stumps', () => {
    const bytes = bytesOf('compact')
    expect(codeOf(() => parseHeader(bytes, 207, 'a.journal'))).toBe('LF_JOURNAL_NOT_A_JOURNAL')
    expect(codeOf(() => parseHeader(bytes, 0, 'a.journal'))).toBe('LF_JOURNAL_NOT_A_JOURNAL')
    bytes[16] = 3
    expect(codeOf(() => parseHeader(bytes, HEADER_SIZE, 'a.journal'))).toBe('LF_JOURNAL_NOT_A_JOURNAL')
    bytes[16] = 1
    bytes[3] = 0
    expect(codeOf(() => parseHeader(bytes, HEADER_SIZE, 'a.journal'))).toBe('LF_JOURNAL_NOT_A_JOURNAL')
  })

  it('looks for objects from byte 208 on when the size of the header cannot be right', () => {
    for (const size of [0n, 200n, 209n, 1n << 40n]) {
      const bytes = bytesOf('compact')
      bytes.writeBigUInt64LE(size, 88)
      expect(parseHeader(bytes, HEADER_SIZE, 'a.journal').headerSize).toBe(208)
    }
  })
})
