import { describe, expect, it } from 'vitest'
import { buildMatch, parsePriorities } from '../../../src/cli/query/filters.ts'
import { andMatches } from '../../../src/journal/match.ts'

const none = () => []
const is = (field: string, ...values: string[]) => ({ field, values })

describe('buildMatch', () => {
  it('matches everything without options', () => {
    expect(buildMatch({}, [], undefined, none)).toEqual([])
  })

  it('ANDs boot, identifiers, priorities and matches, and ORs the values of each', () => {
    const match = buildMatch({ identifier: ['a', 'b'], priority: 'crit' }, ['_PID=1', '_PID=2', 'X=y'], 'b0', none)
    expect(match).toEqual([
      [
        is('_BOOT_ID', 'b0'),
        is('SYSLOG_IDENTIFIER', 'a', 'b'),
        is('PRIORITY', '0', '1', '2'),
        is('_PID', '1', '2'),
        is('X', 'y'),
      ],
    ])
  })

  it('multiplies the groups of a unit with those of +', () => {
    const match = buildMatch({ unit: ['a'] }, ['X=1', '+', 'Y=2'], undefined, none)
    expect(match).toHaveLength(8)
    expect(match?.[0]).toEqual([is('_SYSTEMD_UNIT', 'a.service'), is('X', '1')])
    expect(match?.[7]).toEqual([is('_UID', '0'), is('OBJECT_SYSTEMD_UNIT', 'a.service'), is('Y', '2')])
  })

  it('compares unit patterns with the names in the journal, and asks for these only then', () => {
    const names = () => ['sshd.service', 'ssh-agent.service', 'cron.service', 'sshd.service']
    expect(buildMatch({ unit: ['ssh*', 'cron'] }, [], undefined, names)).toHaveLength(12)
    expect(buildMatch({ unit: ['nothing*'] }, [], undefined, names)).toBeUndefined()
    const fail = () => {
      throw new Error('asked')
    }
    expect(buildMatch({ unit: ['cron'] }, [], undefined, fail)).toHaveLength(4)
  })
})

describe('andMatches', () => {
  it('takes an empty match for everything', () => {
    const some = [[is('A', '1')]]
    expect(andMatches([], some)).toBe(some)
    expect(andMatches(some, [])).toBe(some)
  })
})

describe('parsePriorities', () => {
  it.each([
    ['err', '0123'],
    ['0', '0'],
    ['7', '01234567'],
    ['warning..err', '34'],
    ['3..1', '123'],
    ['emerg..emerg', '0'],
    ['warn', '01234'],
    ['panic', '0'],
  ])('%s is %s', (text, digits) => {
    expect(parsePriorities(text).join('')).toBe(digits)
  })

  it.each(['', '8', 'loud', '1..', '..', '-1'])('refuses %j', (text) => {
    expect(() => parsePriorities(text)).toThrow(/there is no level/)
  })
})
