import { describe, expect, it } from 'vitest'
import { type IndexName, parseIndexName } from '../../../sinks/elasticsearch/indexName.ts'

function at(name: IndexName, time: string, fields: Record<string, string> = {}): string {
  return name.render(Date.parse(time) * 1000 + 999, { get: (field) => fields[field] })
}

function mistake(text: string): string {
  try {
    parseIndexName(text)
    return 'none'
  } catch (error) {
    return (error as Error).message
  }
}

describe('the name of an index', () => {
  it('has dates of the entry’s own time in UTC, in both spellings', () => {
    for (const text of ['journald-{yyyy.MM.dd}', 'journald-%{+yyyy.MM.dd}']) {
      const name = parseIndexName(text)
      expect(at(name, '2026-01-02T23:59:59.999Z')).toBe('journald-2026.01.02')
      expect(at(name, '2026-01-03T00:00:00.000Z')).toBe('journald-2026.01.03')
      expect(at(name, '2026-01-02T23:59:59.999Z')).toBe('journald-2026.01.02')
    }
    expect(at(parseIndexName('a-{yy.DDD.HH}'), '2026-03-01T07:00:00Z')).toBe('a-26.060.07')
  })

  it('has ISO weeks, whose year is not always that of the date', () => {
    const name = parseIndexName('a-{xxxx.ww}')
    const weeks = ['2024-12-29', '2024-12-30', '2026-01-01', '2027-01-03', '2027-01-04'].map((day) => at(name, day))
    expect(weeks).toEqual(['a-2024.52', 'a-2025.01', 'a-2026.01', 'a-2026.53', 'a-2027.01'])
  })

  it('has fields of the entry, in small letters', () => {
    const name = parseIndexName('logs-${SYSLOG_IDENTIFIER:-other}-{yyyy}')
    expect(name.fields).toEqual(['SYSLOG_IDENTIFIER'])
    expect(at(name, '2026-01-01', { SYSLOG_IDENTIFIER: 'CRON' })).toBe('logs-cron-2026')
    expect(at(name, '2026-01-01')).toBe('logs-other-2026')
    expect([name.constant, name.pattern]).toEqual([undefined, 'logs-*-*'])
  })

  it('is known beforehand where nothing in it changes', () => {
    const name = parseIndexName('logs-journald-default')
    expect([name.constant, name.pattern, name.fields]).toEqual(['logs-journald-default', 'logs-journald-default', []])
    expect(parseIndexName('journald-{yyyy.MM.dd}').pattern).toBe('journald-*')
  })

  it('refuses what no index can be called', () => {
    expect(mistake('Logs')).toBe('"Logs" cannot be the name of an index: it has capitals')
    expect(mistake('_logs')).toBe('"_logs" cannot be the name of an index: it begins with -, _ or +')
    expect(mistake('a/b')).toBe('"a/b" cannot be the name of an index: it has "/" in it')
    expect(mistake('..')).toBe('".." cannot be the name of an index: it says nothing')
    expect(mistake('x'.repeat(256))).toMatch(/it has more than 255 bytes$/)
    expect(mistake('a-{name}')).toBe('"name" is no date: expected for example {yyyy.MM.dd}, or ${FIELD} for a field')
    expect(mistake('a-{yyyy.mm}')).toBe('"mm" in a date: expected yyyy, YYYY, yy, MM, dd, DDD, HH, xxxx, ww')
    expect(mistake('a-${name}')).toMatch(/is no template/)
  })
})
