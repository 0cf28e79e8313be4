import { describe, expect, it } from 'vitest'
import { formatCount, formatDuration, formatSize, parseDuration, parseSize } from '../src/units.ts'

describe('parseDuration', () => {
  it.each([
    ['0', 0],
    ['500ms', 500],
    ['250us', 0.25],
    ['30s', 30_000],
    ['30 s', 30_000],
    ['1.5s', 1500],
    ['5m', 300_000],
    ['5min', 300_000],
    ['2h', 7_200_000],
    ['1h30min', 5_400_000],
    ['1h 30min', 5_400_000],
    ['1d', 86_400_000],
    ['2w', 1_209_600_000],
  ])('reads %s', (text, ms) => {
    expect(parseDuration(text)).toBe(ms)
  })

  it.each(['', '30', '-1s', '1x', 's', '1 hour', '1h-30min', '1e3s', 'constructor', '5constructor', '1..5s', '∞'])(
    'refuses %j',
    (text) => {
      expect(parseDuration(text)).toBeUndefined()
    },
  )
})

describe('parseSize', () => {
  it.each([
    ['0', 0],
    ['65536', 65_536],
    ['512B', 512],
    ['5MB', 5_000_000],
    ['5mb', 5_000_000],
    ['5 MB', 5_000_000],
    ['64KiB', 65_536],
    ['1.5GiB', 1.5 * 2 ** 30],
    ['2TB', 2e12],
    ['0.1kB', 100],
  ])('reads %s', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes)
  })

  it.each(['', '5M', '5Mb/s', '-5MB', '5 0MB', 'MB', '99999999TiB', '1e9', '5toString'])('refuses %j', (text) => {
    expect(parseSize(text)).toBeUndefined()
  })
})

describe('formatDuration', () => {
  it.each([
    [0, '0ms'],
    [0.25, '0.25ms'],
    [40, '40ms'],
    [999, '999ms'],
    [1000, '1s'],
    [2540, '2.5s'],
    [59_949, '59.9s'],
    [59_950, '1min'],
    [80_000, '1min 20s'],
    [5_400_000, '1h 30min'],
    [3_601_000, '1h'],
    [90_000_000, '1d 1h'],
    [-1500, '-1.5s'],
  ])('writes %d ms', (ms, text) => {
    expect(formatDuration(ms)).toBe(text)
  })
})

describe('formatSize', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [64 * 2 ** 20, '64 MiB'],
    [1.5 * 2 ** 30, '1.5 GiB'],
    [2 ** 20 - 1, '1 MiB'],
    [2 ** 50, '1024 TiB'],
  ])('writes %d bytes', (bytes, text) => {
    expect(formatSize(bytes)).toBe(text)
    expect(parseSize(text)).toBeDefined()
  })
})

it('formatCount puts commas between thousands', () => {
  expect([0, 999, 1000, 1234567, 10 ** 15].map(formatCount)).toEqual([
    '0',
    '999',
    '1,000',
    '1,234,567',
    '1,000,000,000,000,000',
  ])
})
