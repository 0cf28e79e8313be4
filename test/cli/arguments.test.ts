import { describe, expect, it } from 'vitest'
import { bindOptionalValues } from '../../src/cli/arguments.ts'
import { buildCommands } from '../../src/cli/commands.ts'

const read = buildCommands(() => {}).commands.find((command) => command.name() === 'read')!
const bind = (line: string) => bindOptionalValues(line.split(' '), read.options).join(' ')

describe('bindOptionalValues', () => {
  it.each([
    ['read -n 5', 'read --lines=5'],
    ['read -n5', 'read --lines=5'],
    ['read -n', 'read --lines=10'],
    ['read -n _PID=1', 'read --lines=10 _PID=1'],
    ['read -n -r', 'read --lines=10 --reverse'],
    ['read --lines all', 'read --lines=all'],
    ['read --lines=3', 'read --lines=3'],
    ['read -rn 5', 'read --reverse --lines=5'],
    ['read -rn5 -q', 'read --reverse --lines=5 --quiet'],
    ['read -b', 'read --boot=0'],
    ['read -b -1', 'read --boot=-1'],
    ['read -b -r', 'read --boot=0 --reverse'],
    ['read -b 3982d1626737444f9fef863c825c2fc0-1', 'read --boot=3982d1626737444f9fef863c825c2fc0-1'],
    ['read -u n -fn', 'read --unit=n --follow --lines=10'],
    ['read -un', 'read --unit=n'],
    ['read -S -2h', 'read --since=-2h'],
    ['read --since -2h A=1', 'read --since=-2h A=1'],
    ['read --match A=1 + B=2', 'read A=1 + B=2'],
    ['read --match=A=1 --match + --match B=2', 'read A=1 + B=2'],
    ['read -n 3 -- -n', 'read --lines=3 -- -n'],
    ['read -x', 'read -x'],
    ['read --nope -n', 'read --nope --lines=10'],
    ['read -h', 'read -h'],
    ['read -D', 'read --directory'],
  ])('%s means %s', (line, meant) => {
    expect(bind(line)).toBe(meant)
  })
})
