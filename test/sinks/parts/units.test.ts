import { expect, it } from 'vitest'
import { duration, size } from '../../../sinks/parts/units.ts'
import { parseDuration, parseSize } from '../../../src/units.ts'

it.each(['1', '512B', '64KiB', '5MB', '5mb', '2 GiB', '1.5kB', '3TiB'])(
  'takes the size %s for what the rest of the configuration does',
  (text) => {
    expect(size().parse(text)).toBe(parseSize(text))
  },
)

it.each(['500ms', '30s', '10m', '10min', '1h30min', '2h', '1d', '2w', '1.5s'])(
  'takes the time %s for what the rest of the configuration does',
  (text) => {
    expect(duration().parse(text)).toBe(parseDuration(text))
  },
)

it.each(['', '5', '5 parsec', '-1s', 's', '0s', '1h30'])('takes "%s" for no time', (text) => {
  expect(duration().safeParse(text).success).toBe(false)
})

it.each(['', 'MB', '5XB', '-1', '0', '0MB', 0, -1, 1.5, true])('takes %j for no size', (value) => {
  expect(size().safeParse(value).success).toBe(false)
})

it('takes a bare number for bytes, and for no time', () => {
  expect(size().parse(4096)).toBe(4096)
  expect(duration().safeParse(30).success).toBe(false)
})
