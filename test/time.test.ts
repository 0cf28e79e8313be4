import { execFileSync } from 'node:child_process'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isProblem } from '../src/errors.ts'
import { parseSpan, parseTime } from '../src/time.ts'
import { describeWith } from './support/needs.ts'

const ZONE_BEFORE = process.env['TZ']
const NOW = Date.UTC(2026, 6, 1, 12, 34, 56, 789) * 1000 + 123

beforeEach(() => {
  process.env['TZ'] = 'Europe/Berlin'
})

afterEach(() => {
  if (ZONE_BEFORE === undefined) delete process.env['TZ']
  else process.env['TZ'] = ZONE_BEFORE
})

function utc(text: string, us = 0): number {
  return Date.parse(text) * 1000 + us
}

describe('parseTime', () => {
  it.each([
    ['2026-01-31 13:45:10', utc('2026-01-31T12:45:10Z')],
    ['2026-07-31 13:45:10', utc('2026-07-31T11:45:10Z')],
    ['2026-01-31 13:45:10.5', utc('2026-01-31T12:45:10Z', 500_000)],
    ['2026-01-31 13:45:10.123456', utc('2026-01-31T12:45:10Z', 123_456)],
    ['2026-01-31 13:45:10.1234567', utc('2026-01-31T12:45:10Z', 123_457)],
    ['2026-01-31 13:45', utc('2026-01-31T12:45:00Z')],
    ['2026-01-31', utc('2026-01-30T23:00:00Z')],
    ['26-1-2 3:4:5', utc('2026-01-02T02:04:05Z')],
    ['70-01-02', utc('1970-01-01T23:00:00Z')],
    ['2026-01-31 13:45:10 UTC', utc('2026-01-31T13:45:10Z')],
    ['2026-01-31 13:45:10 utc', utc('2026-01-31T13:45:10Z')],
    ['2026-01-31 13:45 Asia/Tokyo', utc('2026-01-31T04:45:00Z')],
    ['2026-07-31 13:45 America/New_York', utc('2026-07-31T17:45:00Z')],
    ['Sat 2026-01-31 13:45:10 CET', utc('2026-01-31T12:45:10Z')],
    ['saturday 2026-01-31', utc('2026-01-30T23:00:00Z')],
    ['2026-01-31T13:45:10Z', utc('2026-01-31T13:45:10Z')],
    ['2026-01-31t13:45:10.25z', utc('2026-01-31T13:45:10Z', 250_000)],
    ['2026-01-31T13:45:10+02:00', utc('2026-01-31T11:45:10Z')],
    ['2026-01-31T13:45:10-0530', utc('2026-01-31T19:15:10Z')],
    ['2026-01-31 13:45:10 +01', utc('2026-01-31T12:45:10Z')],
    ['2026-12-31 23:59:60 UTC', utc('2027-01-01T00:00:00Z')],
    ['13:45', utc('2026-07-01T11:45:00Z')],
    ['13:45:10.5', utc('2026-07-01T11:45:10Z', 500_000)],
    ['01:00 Asia/Tokyo', utc('2026-06-30T16:00:00Z')],
    ['today', utc('2026-06-30T22:00:00Z')],
    ['yesterday', utc('2026-06-29T22:00:00Z')],
    ['tomorrow', utc('2026-07-01T22:00:00Z')],
    ['yesterday UTC', utc('2026-06-30T00:00:00Z')],
    ['now', NOW],
    ['-2h', NOW - 7_200_000_000],
    ['+5min', NOW + 300_000_000],
    ['- 1h 30min', NOW - 5_400_000_000],
    ['2h ago', NOW - 7_200_000_000],
    ['1 week 2 days ago', NOW - 777_600_000_000],
    ['3 days left', NOW + 259_200_000_000],
    ['-1y', NOW - 31_557_600_000_000],
    ['-200y', 0],
    ['@1395716396', 1_395_716_396_000_000],
    ['@1395716396.000001', 1_395_716_396_000_001],
    ['  2026-01-31  ', utc('2026-01-30T23:00:00Z')],
  ])('reads %s', (text, us) => {
    expect(parseTime(text, NOW)).toBe(us)
  })

  it('takes the first of two readings where the clock goes back, and shifts one that it skips', () => {
    for (const zone of ['', ' Europe/Berlin']) {
      expect(parseTime(`2026-10-25 02:30${zone}`, NOW)).toBe(utc('2026-10-25T00:30:00Z'))
      expect(parseTime(`2026-03-29 02:30${zone}`, NOW)).toBe(utc('2026-03-29T01:30:00Z'))
    }
  })

  it('says what is wrong and what was expected', () => {
    const texts = [
      '',
      'soon',
      '12',
      '2026-01',
      '2026-02-30',
      '2026-13-01',
      '2026-01-31T',
      'T12:00',
      '24:00',
      '12:60',
      'Fri 2026-01-31',
      '12:00 Mars/Olympus',
      '-5x',
      '-',
      'two hours ago',
      '@',
      '@-5',
      '1960-01-01',
      '9999-01-01',
      '2026-01-31 12:00:00.',
      'today 12:00',
    ]
    const answers = texts.map((text) => {
      try {
        return `${text}: ${parseTime(text, NOW)}`
      } catch (error) {
        if (!isProblem(error, 'LF_TIME_INVALID')) throw error
        return error.message
      }
    })
    expect(answers.join('\n')).toMatchInlineSnapshot(`
      """ is not a time: it has none of the forms that are known here
      "soon" is not a time: it has none of the forms that are known here
      "12" is not a time: it has none of the forms that are known here
      "2026-01" is not a time: it has none of the forms that are known here
      "2026-02-30" is not a time: that month has no day 30
      "2026-13-01" is not a time: there is no month 13
      "2026-01-31T" is not a time: it has none of the forms that are known here
      "T12:00" is not a time: it has none of the forms that are known here
      "24:00" is not a time: there is no such time of day
      "12:60" is not a time: there is no such time of day
      "Fri 2026-01-31" is not a time: that day is a Saturday, not a Friday
      "12:00 Mars/Olympus" is not a time: the time zone "Mars/Olympus" is not known
      "-5x" is not a time: "5x" is not a span of time such as 1h30min, 2d or 90s
      "-" is not a time: "" is not a span of time such as 1h30min, 2d or 90s
      "two hours ago" is not a time: "two hours" is not a span of time such as 1h30min, 2d or 90s
      "@" is not a time: it has none of the forms that are known here
      "@-5" is not a time: it has none of the forms that are known here
      "1960-01-01" is not a time: it lies before 1970 or after 2255
      "9999-01-01" is not a time: it lies before 1970 or after 2255
      "2026-01-31 12:00:00." is not a time: it has none of the forms that are known here
      "today 12:00" is not a time: it has none of the forms that are known here"
    `)
    expect(() => parseTime('soon')).toThrow(
      expect.objectContaining({ exit: 64, hint: expect.stringContaining('2026-01-31 13:45:00') }),
    )
  })
})

describe('parseSpan', () => {
  it.each([
    ['5', 5_000_000],
    ['1h30min', 5_400_000_000],
    ['1h 30min 5', 5_405_000_000],
    ['2 months', 5_259_600_000_000],
    ['1M', 2_629_800_000_000],
    ['1m', 60_000_000],
    ['1.5h', 5_400_000_000],
    ['0.000001s', 1],
    ['7µs', 7],
    ['7usec', 7],
    ['12msec', 12_000],
  ])('reads %s', (text, us) => {
    expect(parseSpan(text)).toBe(us)
  })

  it.each(['', 'h', '-5s', '5 parsecs', '1h,30min', 'infinity', '5constructor'])('refuses %j', (text) => {
    expect(parseSpan(text)).toBeUndefined()
  })
})

describeWith(['systemd-analyze'], 'parseTime beside systemd-analyze', () => {
  it('gives the same microsecond in every zone', () => {
    const texts = [
      '2026-01-31 13:45:10',
      '2026-07-31 13:45:10.123456',
      '2026-07-31 13:45',
      '2026-07-31',
      '26-7-31',
      'Fri 2026-07-31 13:45',
      '2026-07-31 13:45 UTC',
      '2026-07-31 13:45 CEST',
      '@1395716396.25',
      '70-01-02',
      '2026-03-29 02:30:00',
      '2026-12-31 23:59:60',
      'today',
      'yesterday',
      'tomorrow',
      '12:00',
    ]
    for (const zone of ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe']) {
      process.env['TZ'] = zone
      for (const text of texts.filter((known) => zone === 'Europe/Berlin' || !known.endsWith('CEST'))) {
        const answer = execFileSync('systemd-analyze', ['timestamp', text], { encoding: 'utf8', env: process.env })
        const [, seconds = '', micros = ''] = /UNIX seconds: @(\d+)\.?(\d*)/.exec(answer) ?? []
        expect([zone, text, parseTime(text)]).toEqual([zone, text, Number(seconds + micros.padEnd(6, '0'))])
      }
    }
  })
})
