// `logferry read` beside the real journalctl: the same options must select and print the same bytes.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { openFixture } from '../support/fixtures.ts'
import { startJournald } from '../support/journald.ts'
import { journalctl } from '../support/journals.ts'
import { describeWith } from '../support/needs.ts'
import { logferry, MAIN, startLogferry, until } from '../support/program.ts'
import { tempDir } from '../support/tempDir.ts'

const ENV = { TZ: 'Europe/Berlin' }

/** Both programs with the same arguments. */
function expectSame(args: readonly string[]): void {
  const { status, stdout, stderr } = logferry(['read', ...args], { env: ENV })
  const theirs = journalctl(args, ENV)
  // As text only where they differ: a failed comparison of megabytes takes minutes to print.
  const same = stdout.equals(theirs)
  const difference = same ? undefined : [stdout.toString().slice(0, 3000), theirs.toString().slice(0, 3000)]
  expect({ status, stderr, same, difference }).toEqual({ status: 0, stderr: '', same: true, difference: undefined })
}

function cursorsOf(dir: string): string[] {
  const text = journalctl(['-D', dir, '-o', 'export']).toString('latin1')
  return Array.from(text.matchAll(/^__CURSOR=(.*)$/gm), (match) => match[1] as string)
}

describeWith(['journalctl'], 'logferry read selects as journalctl does', () => {
  const { dir } = openFixture('multi-boot')
  const SINCE = '2023-11-14 23:14:00'
  const UNTIL = '2023-11-14 23:15:00'
  const tables: Readonly<Record<string, readonly (readonly string[])[]>> = {
    lines: ['', '-n 5', '-n5', '-n', '-n 0', '-n all', '-n 1000', '-n 90', '-q -n 90', '-n _TRANSPORT=kernel'].map(
      words,
    ),
    backwards: ['-r', '-r -n 5', '-r -n 1000', '-r -n 90', '-rn5', '-b -r -n 3'].map(words),
    boots: [
      ...['-b', '-b -1', '-b -4', '-b 1', '-b 2', '-b all', '-b 3982d1626737444f9fef863c825c2fc0'],
      ...['-b 3982d1626737444f9fef863c825c2fc0+1', '-b ec673b2d9a8a7aa1622196a281862443-2'],
    ].map(words),
    filters: [
      ...['-p err', '-p 3..4', '-p warning..crit -n 7', '-t mesos-slave', '-t mesos-slave -t kernel -n 5'],
      ...['-u mesos-slave', '-u dcos-*', '-u *.service -n 20', '-u dcos-mesos-slave.service -p err', '-u nosuch'],
      ...['_TRANSPORT=kernel', 'PRIORITY=3 PRIORITY=4 _TRANSPORT=journal', '_TRANSPORT=kernel + PRIORITY=3 -n 9 -r'],
      ...['NOSUCH=field', 'NOSUCH=field -q', '-b -1 -u mesos-slave'],
    ].map(words),
    times: [
      ...[[], ['-n', '5'], ['-r'], ['-r', '-n', '5']].flatMap((more) => [
        ['--since', SINCE, ...more],
        ['--until', SINCE, ...more],
        ['--since', SINCE, '--until', UNTIL, ...more],
      ]),
      ['--since', '2030-01-01'],
      ['--until', '2010-01-01'],
      ['--until', '2010-01-01', '-r'],
      ['-S', '@1700000060.139546', '-n', '1'],
      ['-S', '@1700000060.139547', '-n', '1'],
      ['-U', '@1700000060.139546', '-r', '-n', '2'],
    ],
    forms: ['-o export -n 30', '-o cat', '-o short-iso -n 90', '-a', '--utc -n 30', '-o cat -n 3 --show-cursor'].map(
      words,
    ),
  }
  for (const [name, table] of Object.entries(tables)) {
    it(`with options on ${name}`, () => {
      for (const args of table) expectSame(['-D', dir, ...args])
    })
  }

  it('from a cursor, at it and behind it', () => {
    const cursors = cursorsOf(dir)
    for (const cursor of [cursors[0], cursors[300], cursors.at(-1)] as string[]) {
      for (const option of ['--cursor', '--after-cursor']) {
        for (const more of [[], ['-n', '5'], ['-r'], ['-r', '-n', '5'], ['--until', UNTIL]]) {
          expectSame(['-D', dir, `${option}=${cursor}`, ...more])
        }
      }
    }
  })

  it.each(['users', 'clock-jump', 'unclean', 'rotated', 'machines', 'duplicate', 'overlap'])(
    'in the journal %s',
    (name) => {
      const fixture = openFixture(name)
      for (const args of ['-n 20', '-r -n 30', '-p 4 -n 13', '-b', '-n 150']) {
        expectSame(['-D', fixture.dir, ...words(args)])
      }
    },
  )

  it('in files that are named, also by a pattern', () => {
    const rotated = openFixture('rotated').dir
    expectSame(['--file', join(rotated, 'system.journal')])
    expectSame(['--file', join(rotated, '*.journal'), '-n', '30'])
    expectSame(['--file', join(rotated, 'system.journal'), '--file', join(dir, 'a.journal')])
  })

  it('and sees its own cursors taken by journalctl', () => {
    const { stdout } = logferry(['read', '-D', dir, '-n', '3', '-o', 'json'])
    const [first = ''] = stdout.toString().split('\n')
    const cursor = (JSON.parse(first) as { __CURSOR: string }).__CURSOR
    expect(journalctl(['-D', dir, '-o', 'cat', '--after-cursor', cursor])).toEqual(
      journalctl(['-D', dir, '-o', 'cat', '-n', '2']),
    )
  })
})

describeWith(['journalctl'], 'logferry read and files that cannot be read', () => {
  it('names each on a line of its own and reads the rest', () => {
    const { dir } = openFixture('unknown-flag')
    const { status, stdout, stderr } = logferry(['read', '-D', dir])
    expect(status).toBe(0)
    expect(stdout.equals(journalctl(['-D', dir]))).toBe(true)
    expect(stderr).toMatch(/^logferry: \S*b\.journal uses journal features this version cannot read: .*\n$/)
  })
})

describeWith(['root', 'systemd-journald', 'journalctl'], 'logferry read --follow', () => {
  it('shows the last lines and then each entry as it comes, through rotations, and once', async () => {
    const journald = startJournald(join(tempDir(), 'jd'), { SystemMaxFileSize: '512K' })
    try {
      journald.cat(`${lines('before', 40)}\n`)
      journald.sync()
      const following = startLogferry(['read', '-f', '-o', 'cat', '-D', journald.varDir, 'SYSLOG_IDENTIFIER=test'])
      const shown = () => following.stdout().trimEnd().split('\n')
      await until('the last ten', () => shown().includes('before 39'))
      expect(shown()).toEqual(lines('before', 40).split('\n').slice(-10))
      for (let round = 0; round < 4; round++) {
        journald.cat(`${lines(`round ${round}`, 30)}\n`)
        if (round % 2 === 0) journald.rotate()
      }
      await until('the last line', () => shown().includes('round 3 29'))
      const wanted = [0, 1, 2, 3].flatMap((round) => lines(`round ${round}`, 30).split('\n'))
      expect(shown().slice(10)).toEqual(wanted)
      following.kill('SIGINT')
      expect(await following.ended).toBe(130)
      expect(following.stderr()).toBe('')
    } finally {
      journald.clean()
    }
  })

  it('gives an entry to its reader at once', async () => {
    const journald = startJournald(join(tempDir(), 'jd'))
    try {
      journald.cat('first\n')
      journald.sync()
      const following = startLogferry(['read', '-f', '-o', 'cat', '-D', journald.varDir, 'SYSLOG_IDENTIFIER=test'])
      await until('the first entry', () => following.stdout() === 'first\n')
      const from = performance.now()
      journald.cat('second\n')
      await until('the second entry', () => following.stdout() === 'first\nsecond\n')
      // systemd-cat itself takes its time; what matters is that nothing waits for a buffer to fill.
      expect(performance.now() - from).toBeLessThan(5000)
      following.kill('SIGTERM')
      expect(await following.ended).toBe(143)
    } finally {
      journald.clean()
    }
  })
})

describeWith(['journalctl', 'head'], 'logferry read and its reader', () => {
  const { dir } = openFixture('rotated')

  it.each([['json'], ['short'], ['export']])('ends quietly when the reader has enough: -o %s', async (form) => {
    const child = spawn('bash', [
      '-c',
      `"$0" "$1" read -D "$2" -o ${form} | head -n 1; echo "\${PIPESTATUS[0]}"`,
      process.execPath,
      MAIN,
      dir,
    ])
    const { stdout, stderr } = await outputOf(child)
    expect(stderr).toBe('')
    expect(stdout.trimEnd().split('\n').at(-1)).toBe('0')
  })

  it('waits for a slow reader and loses nothing', async () => {
    const script = `"$0" "$1" read -D "$2" -o export | (sleep 1; cat) | cksum`
    const slow = await outputOf(spawn('bash', ['-c', script, process.execPath, MAIN, dir]))
    const whole = await outputOf(spawn('bash', ['-c', `journalctl -D "$0" -o export | cksum`, dir]))
    expect(slow).toEqual(whole)
  })

  it('is ended by a signal while its reader stands still', async () => {
    // The reader takes a first line and then nothing.
    const child = spawn(process.execPath, [MAIN, 'read', '-D', dir, '-o', 'export'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child.stdout.once('readable', () => child.stdout.read(10))
    await sleep(1500)
    expect(child.exitCode).toBe(null)
    child.kill('SIGTERM')
    const ended = await new Promise((resolve) => child.on('exit', (code, signal) => resolve(code ?? signal)))
    expect(ended).toBe(143)
    child.stdout.destroy()
  })

  it('says that it cannot write when the disk is full', async () => {
    const { stdout } = await outputOf(
      spawn('bash', ['-c', `"$0" "$1" read -D "$2" >/dev/full; echo $?`, process.execPath, MAIN, dir]),
    )
    expect(stdout).toBe('74\n')
  })
})

function words(line: string): string[] {
  return line.split(' ').filter((word) => word !== '')
}

function lines(name: string, count: number): string {
  return Array.from({ length: count }, (_, at) => `${name} ${at}`).join('\n')
}

function outputOf(child: ReturnType<typeof spawn>): Promise<{ stdout: string; stderr: string }> {
  const texts = { stdout: '', stderr: '' }
  child.stdout?.on('data', (bytes: Buffer) => (texts.stdout += bytes))
  child.stderr?.on('data', (bytes: Buffer) => (texts.stderr += bytes))
  return new Promise((resolve) => child.on('close', () => resolve(texts)))
}
