import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { problem } from '../../src/errors.ts'
import { SinkError } from '../../src/sink.ts'
import { type Clock, systemClock } from '../../src/telemetry/clock.ts'
import { createLog, type Log, type LogOptions, RepeatedMessages } from '../../src/telemetry/log.ts'

async function logInto(options: Partial<LogOptions>) {
  const lines: string[] = []
  const target = { write: (line: string) => lines.push(line) }
  const log = await createLog({ level: 'debug', format: 'json', colour: false, target, ...options })
  return { log, lines }
}

/** The time is another one in each run. */
function withoutTimes(lines: readonly string[]): string {
  return lines
    .join('')
    .replace(/^\d\d:\d\d:\d\d\.\d{3}/gm, 'TIME')
    .replace(/"time":"\d{4}-\d\d-\d\dT[\d:.]+Z"/g, '"time":TIME')
}

describe('createLog', () => {
  it('writes one JSON object a line, with level, time and fields', async () => {
    const { log, lines } = await logInto({ format: 'json' })
    log.info('started', { sinks: 2 })
    log.child({ sink: 'search' }).warn('slow', { seconds: 1.5 })
    log.error('cannot go on', { error: problem('LF_JOURNAL_IO', { path: '/j', why: 'gone' }, new Error('EIO')) })
    expect(withoutTimes(lines)).toMatchInlineSnapshot(`
      "{"level":"info","time":TIME,"sinks":2,"msg":"started"}
      {"level":"warn","time":TIME,"sink":"search","seconds":1.5,"msg":"slow"}
      {"level":"error","time":TIME,"error":{"name":"Problem","message":"cannot read /j: gone","code":"LF_JOURNAL_IO","cause":{"name":"Error","message":"EIO"}},"msg":"cannot go on"}
      "
    `)
  })

  it('writes readable lines for a person, errors below them', async () => {
    const { log, lines } = await logInto({ format: 'text' })
    log.info('started', { sinks: 2, path: '/var/log', note: 'two words', skipped: undefined })
    log.child({ sink: 'search' }).child({ source: 'a' }).warn('slow')
    log.error('write failed', {
      error: new SinkError('unavailable', 'no answer from http://es', { cause: new Error('ECONNREFUSED') }),
    })
    log.error('cannot read', { error: problem('LF_JOURNAL_NO_ACCESS', { path: '/j' }) })
    expect(withoutTimes(lines).replace(/(?: {4}at .*\n)+/g, '    at …\n')).toMatchInlineSnapshot(`
      "TIME info  started  sinks=2  path=/var/log  note="two words"
      TIME warn  slow  sink=search  source=a
      TIME error write failed
          no answer from http://es
          ECONNREFUSED
      TIME error cannot read
          cannot read /j: permission denied
          add the user to the group systemd-journal, or run as root
      "
    `)
  })

  it.each(['json', 'text'] as const)('keeps back what is below the level, also in children (%s)', async (format) => {
    const { log, lines } = await logInto({ format, level: 'warn' })
    const child = log.child({ sink: 'a' })
    log.info('no')
    child.debug('no')
    child.warn('yes')
    expect(lines).toHaveLength(1)
    log.level = 'debug'
    child.debug('now')
    expect(lines).toHaveLength(2)
    expect(log.level).toBe('debug')
    log.level = 'error'
    child.warn('no more')
    expect(lines).toHaveLength(2)
  })

  it('shows the stack of a bug, and only of a bug', async () => {
    const { log, lines } = await logInto({ format: 'text' })
    log.error('bug', { error: new TypeError('x is not a function') })
    expect(lines.join('')).toMatch(/TypeError: x is not a function\n\s+at .*log\.test\.ts/)
    const json = await logInto({ format: 'json' })
    json.log.error('bug', { error: new TypeError('x is not a function') })
    expect(JSON.parse(json.lines[0]!).error.stack).toMatch(/log\.test\.ts/)
  })

  it('lets no control character reach the terminal', async () => {
    const { log, lines } = await logInto({ format: 'text' })
    log.warn('server says \u001b[31mred\u001b[0m\nand more', { reason: 'a\u0007b\u009b1m' })
    expect(lines.join('')).toMatch(/^[^\u0000-\u0009\u000b-\u001f\u007f-\u009f]*\n$/)
    expect(withoutTimes(lines)).toMatchInlineSnapshot(`
      "TIME warn  server says \\x1b[31mred\\x1b[0m\\nand more  reason=a\\x07b\\x9b1m
      "
    `)
  })

  it('colours when it is told to', async () => {
    const { log, lines } = await logInto({ format: 'text', colour: true })
    log.warn('careful')
    expect(lines.join('')).toContain('\u001b[33mwarn')
  })
})

describe('RepeatedMessages', () => {
  function setUp() {
    const lines: string[] = []
    const say = (level: string) => (text: string) => void lines.push(`${level} ${text}`)
    const log: Log = {
      debug: say('debug'),
      info: say('info'),
      warn: say('warn'),
      error: say('error'),
      child: () => log,
    }
    let now = 0
    const clock: Clock = { now: () => now, monotonic: () => now, sleep: async () => {} }
    return { lines, messages: new RepeatedMessages(log, clock), pass: (ms: number) => (now += ms) }
  }

  it('writes the first at once, then one line per 30 s with a count, then one when it works again', () => {
    const { lines, messages, pass } = setUp()
    for (let second = 0; second < 65; second++) {
      messages.failed('search', 'no answer')
      pass(1000)
    }
    messages.works('search', 'works again')
    messages.works('search', 'works again')
    expect(lines).toEqual([
      'warn no answer',
      'warn no answer (30 times in the last 30s)',
      'warn no answer (30 times in the last 30s)',
      'info works again (after 1min 5s and 65 failures)',
    ])
  })

  it('says nothing of a success without a failure before it', () => {
    const { lines, messages } = setUp()
    messages.works('search', 'works again')
    expect(lines).toEqual([])
  })

  it('keeps sinks apart, and lets another reason through at once', () => {
    const { lines, messages, pass } = setUp()
    messages.failed('a', 'no answer')
    messages.failed('b', 'no answer')
    pass(1000)
    messages.failed('a', 'wrong token')
    messages.failed('a', 'wrong token')
    messages.failed('a', 'no answer')
    messages.forget('b')
    messages.works('b', 'works again')
    pass(500)
    messages.works('a', 'works again')
    expect(lines).toEqual([
      'warn no answer',
      'warn no answer',
      'warn wrong token',
      'info works again (after 1.5s and 4 failures)',
    ])
  })

  it('is not flooded by a message that is different each time', () => {
    const { lines, messages } = setUp()
    for (let n = 0; n < 1000; n++) messages.failed('a', `request ${n} failed`)
    expect(lines).toHaveLength(5)
  })
})

describe('stderr', () => {
  const SCRIPT = `
    import { createLog } from '${new URL('../../src/telemetry/log.ts', import.meta.url)}'
    const log = await createLog({ level: 'info', format: process.argv[1] })
    const timer = setInterval(() => log.info('line'), 1)
    process.stdin.on('end', () => { clearInterval(timer); process.stdout.write('still here') }).resume()`

  it.each(['json', 'text'])('may be closed by its reader without ending the process (%s)', async (format) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', SCRIPT, format])
    const [first] = await once(child.stderr, 'data')
    expect(String(first)).toContain('line')
    child.stderr.destroy()
    let said = ''
    child.stdout.on('data', (chunk) => {
      said += chunk
    })
    await systemClock.sleep(50)
    child.stdin.end()
    const [code] = await once(child, 'close')
    expect([said, code]).toEqual(['still here', 0])
  })
})
