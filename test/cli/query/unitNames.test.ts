import { describe, expect, it } from 'vitest'
import { globPattern, isGlob, mangleUnit, unitMatches } from '../../../src/cli/query/unitNames.ts'

describe('mangleUnit', () => {
  // Compared with the filter that journalctl 252 prints with SYSTEMD_LOG_LEVEL=debug.
  it.each([
    ['nginx', 'nginx.service'],
    ['nginx.service', 'nginx.service'],
    ['foo.bar', 'foo.bar.service'],
    ['a/b', 'a-b.service'],
    ['/dev/sda', 'dev-sda.device'],
    ['/sys/x', 'sys-x.device'],
    ['/dev', 'dev.mount'],
    ['/home', 'home.mount'],
    ['/', '-.mount'],
    ['//a//b/', 'a-b.mount'],
    ['/.a', '\\x2ea.mount'],
    ['/a-b/.c', 'a\\x2db-.c.mount'],
    ['a b', 'a\\x20b.service'],
    ['é', '\\xc3\\xa9.service'],
    ['x@y', 'x@y.service'],
    ['.foo', '.foo.service'],
    ['foo.', 'foo..service'],
    ['foo.slice', 'foo.slice'],
    ['x.snapshot', 'x.snapshot.service'],
    ['a\\x2db', 'a\\x2db.service'],
    ['UPPER.Service', 'UPPER.Service.service'],
    ['sl*h/x', 'sl*h-x'],
    ['foo.*', 'foo.*'],
  ])('%s is %s', (typed, name) => {
    expect(mangleUnit(typed)).toBe(name)
  })

  it('refuses an empty name', () => {
    expect(() => mangleUnit('')).toThrow('--unit: the name is empty')
  })
})

describe('globPattern', () => {
  it.each([
    ['ssh*', 'sshd.service', true],
    ['ssh*', 'my-ssh.service', false],
    ['*', 'a/b', true],
    ['a?c', 'abc', true],
    ['a?c', 'ac', false],
    ['a[bc]d', 'acd', true],
    ['a[!bc]d', 'acd', false],
    ['a[^b]d', 'acd', true],
    ['a[]]d', 'a]d', true],
    ['a[0-9].service', 'a7.service', true],
    ['a[', 'a[', true],
    ['a.b', 'axb', false],
    ['a\\*', 'a\\x', true],
    ['[z-a]', 'm', false],
  ])('%s on %s: %s', (glob, name, fits) => {
    expect(globPattern(glob).test(name)).toBe(fits)
  })

  it('knows patterns from names', () => {
    expect(['a*', 'a?', 'a[b]', 'a.service'].map(isGlob)).toEqual([true, true, true, false])
  })
})

describe('unitMatches', () => {
  it('takes the lines of a slice from all units in it', () => {
    expect(unitMatches('a.slice').at(-1)).toEqual([{ field: '_SYSTEMD_SLICE', values: ['a.slice'] }])
    expect(unitMatches('a.service')).toHaveLength(4)
  })
})
