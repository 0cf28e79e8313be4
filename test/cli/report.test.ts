import { describe, expect, it } from 'vitest'
import { describeError, exitStatusOf } from '../../src/cli/report.ts'
import { problem } from '../../src/errors.ts'

describe('describeError', () => {
  const cause = new Error('EACCES: permission denied, open', { cause: new Error('the disk says so') })
  const denied = problem('LF_JOURNAL_NO_ACCESS', { path: '/j' }, cause)

  it('prints a Problem, its hint and its causes, one a line', () => {
    expect(describeError(denied, false)).toMatchInlineSnapshot(`
      "logferry: cannot read /j: permission denied
        add the user to the group systemd-journal, or run as root
        because: EACCES: permission denied, open
        because: the disk says so"
    `)
    expect(exitStatusOf(denied)).toBe(77)
  })

  it('adds the code and the stack with --debug', () => {
    expect(describeError(denied, true)).toMatch(/^logferry: LF_JOURNAL_NO_ACCESS: cannot read/)
    expect(describeError(denied, true)).toMatch(/\n {4}at /)
  })

  it('prints a bug with its stack and the version', () => {
    const text = describeError(new TypeError('x is not a function'), false)
    expect(text).toMatch(/^TypeError: x is not a function\n {4}at /)
    expect(text).toMatch(/logferry: this is a bug in logferry \d+\.\d+\.\d+ \(Node \d+\./)
    expect(exitStatusOf(new TypeError('x'))).toBe(70)
    expect(describeError('just text', false)).toMatch(/^thrown: just text\n/)
  })

  it('ends with a chain of causes that bites its tail', () => {
    const loop = new Error('a')
    loop.cause = loop
    expect(describeError(problem('LF_USAGE', { text: 'x' }, loop), false)).toBe('logferry: x\n  because: a')
  })
})
