// The program from outside: exit statuses, what is said on which stream, and what a start costs.
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openFixture } from '../support/fixtures.ts'
import { describeWith } from '../support/needs.ts'
import { logferry, MAIN } from '../support/program.ts'
import { tempDir } from '../support/tempDir.ts'

const VERSION = (
  JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')) as { version: string }
).version
const home = tempDir()
const { dir } = openFixture('multi-boot')
const bad = openFixture('empty').dir
const future = openFixture('unknown-flag').dir

/** Status, and stderr without stack frames. */
function run(...args: string[]): { status: number | null; stderr: string } {
  const { status, stderr } = logferry(args)
  return { status, stderr: stderr.replaceAll(home, 'HOME').replaceAll(bad, 'BAD').replaceAll(future, 'FUTURE') }
}

describe('exit status', () => {
  it('0: version and help go to standard output', () => {
    expect(logferry(['--version']).stdout.toString()).toBe(`${VERSION}\n`)
    const help = logferry(['read', '--help'])
    expect({ status: help.status, stderr: help.stderr }).toEqual({ status: 0, stderr: '' })
    expect(help.stdout.toString()).toMatch(/^Usage: logferry read/)
  })

  it('64: the command line is wrong, with the nearest right name', () => {
    expect([
      run('rea'),
      run('read', '--sinc', 'now'),
      run('read', '-o', 'yaml'),
      run('read', '-D', dir, 'message=x'),
      run('read', '-D', dir, '-p', 'loud'),
      run('read', '-D', dir, '--since', 'soon'),
      run('read', '-D', dir, '-c', 'x'),
      run('read', '-D', dir, '-b', '-9'),
      run('read', '-f', '-r'),
      run('run'),
    ]).toMatchInlineSnapshot(`
      [
        {
          "status": 64,
          "stderr": "logferry: unknown command 'rea'
        did you mean read? see logferry --help
      ",
        },
        {
          "status": 64,
          "stderr": "logferry: unknown option '--sinc'
        did you mean --since? see logferry read --help
      ",
        },
        {
          "status": 64,
          "stderr": "logferry: option '-o, --output <form>' argument 'yaml' is invalid. Allowed choices are short, short-iso, cat, json, json-pretty, export, ecs.
        see logferry read --help
      ",
        },
        {
          "status": 64,
          "stderr": "logferry: "message=x" is not a match
        a match is FIELD=value with a field name of capital letters, digits and underscores, for example PRIORITY=3
      ",
        },
        {
          "status": 64,
          "stderr": "logferry: --priority loud: there is no level "loud"
        a level is 0 to 7 or one of emerg, alert, crit, err, warning, notice, info, debug; a range is written err..warning
      ",
        },
        {
          "status": 64,
          "stderr": "logferry: "soon" is not a time: it has none of the forms that are known here
        expected a time such as "2026-01-31 13:45:00", "2026-01-31 13:45 UTC", 13:45, yesterday, now, -2h, "2h ago", @1769866800 or 2026-01-31T13:45:00Z
      ",
        },
        {
          "status": 64,
          "stderr": "logferry: "x" is not a journal cursor: "x" is not of the form key=value
        take one from journalctl --show-cursor or from a __CURSOR field, quoted, as it contains semicolons
      ",
        },
        {
          "status": 64,
          "stderr": "logferry: --boot -9: the journal holds nothing of that boot
        0 is the newest boot, -1 the one before, 1 the oldest
      ",
        },
        {
          "status": 64,
          "stderr": "logferry: --follow and --reverse exclude each other
        see logferry read --help
      ",
        },
        {
          "status": 64,
          "stderr": "logferry: required option '-c, --config <file>' not specified
        see logferry run --help
      ",
        },
      ]
    `)
  })

  it('64: no command at all shows the help, on stderr', () => {
    const { status, stdout, stderr } = logferry([])
    expect({ status, stdout: stdout.toString() }).toEqual({ status: 64, stdout: '' })
    expect(stderr).toMatch(/^Usage: logferry /)
  })

  it('65: the only file is none that can be read', () => {
    expect([
      run('read', '--file', join(bad, 'garbage.journal')),
      run('read', '--file', join(future, 'b.journal')),
    ]).toMatchInlineSnapshot(`
      [
        {
          "status": 65,
          "stderr": "logferry: BAD/garbage.journal is not a journal file: it has no LPKSHHRH at its start
        journal files begin with LPKSHHRH and are named *.journal or *.journal~
      ",
        },
        {
          "status": 65,
          "stderr": "logferry: FUTURE/b.journal uses journal features this version cannot read: incompatible flag 1048576
        a newer logferry may read it
      ",
        },
      ]
    `)
  })

  it('70: a bug shows its stack and the version', () => {
    // Takes away what the command is about to use.
    const env = { NODE_OPTIONS: '--import=data:text/javascript,delete%20Array.prototype.toSorted' }
    const { status, stderr } = logferry(['sinks'], { env })
    expect(status).toBe(70)
    expect(stderr).toMatch(/^TypeError: .*toSorted is not a function\n {4}at /)
    expect(stderr).toContain(`logferry: this is a bug in logferry ${VERSION} (Node ${process.versions.node})`)
  })

  it('74: there is no journal, or none in the directory', () => {
    mkdirSync(join(home, 'hollow'))
    expect([
      run('read', '-D', join(home, 'nowhere')),
      run('read', '-D', join(home, 'hollow')),
      run('read', '--file', join(home, 'none.journal')),
    ]).toMatchInlineSnapshot(`
      [
        {
          "status": 74,
          "stderr": "logferry: there is no journal directory: looked for HOME/nowhere
        is systemd-journald running here? name the directory with -D, or under journal.directories
      ",
        },
        {
          "status": 74,
          "stderr": "logferry: no journal files in HOME/hollow
        name another directory with -D, or under journal.directories; a file with --file
      ",
        },
        {
          "status": 74,
          "stderr": "logferry: cannot read HOME/none.journal: there is no such file
        because: ENOENT: no such file or directory, stat 'HOME/none.journal'
      ",
        },
      ]
    `)
  })

  it('78: all mistakes of a configuration at once', () => {
    const config = join(home, 'wrong.yaml')
    writeFileSync(config, 'journal: { strat: now }\nsinks:\n  out: { type: stdot }\n  it: { type: file }\n')
    const wrong = run('validate', '-c', config)
    expect(wrong).toEqual(run('run', '-c', config))
    expect(wrong).toMatchInlineSnapshot(`
      {
        "status": 78,
        "stderr": "logferry: HOME/wrong.yaml has 3 mistakes:
      HOME/wrong.yaml:1:12  journal.strat: there is no option "strat"; did you mean "start"?
      HOME/wrong.yaml:3:16  sinks.out.type: there is no sink "stdot"; did you mean "stdout"?
      HOME/wrong.yaml:4:3  sinks.it.path: is missing, expected a text
      ",
      }
    `)
    const { status, stdout } = logferry(['validate', '--json', '-c', config])
    expect(status).toBe(78)
    const result = JSON.parse(stdout.toString()) as { valid: boolean; problems: { line: number; code: string }[] }
    expect(result.valid).toBe(false)
    expect(result.problems.map(({ line, code }) => `${line} ${code}`)).toEqual([
      '1 LF_CONFIG_UNKNOWN_KEY',
      '3 LF_CONFIG_SINK_UNKNOWN',
      '4 LF_CONFIG_MISSING',
    ])
  })

  it('adds the code with --debug', () => {
    expect(run('read', '--debug', '-D', join(home, 'nowhere')).stderr).toMatch(/^logferry: LF_JOURNAL_NO_DIRECTORY: /)
  })
})

describeWith(['root'], 'exit status without permission', () => {
  it('77: the journal belongs to others, and which group may read it', () => {
    const closed = join(home, 'closed')
    mkdirSync(closed)
    chmodSync(closed, 0o700)
    chmodSync(home, 0o711)
    const nobody = { uid: 65534, gid: 65534 }
    const { status, stderr } = spawnSync(process.execPath, [MAIN, 'read', '-D', closed], {
      ...nobody,
      encoding: 'utf8',
    })
    expect({ status, stderr: stderr.replaceAll(home, 'HOME') }).toMatchInlineSnapshot(`
      {
        "status": 77,
        "stderr": "logferry: cannot read HOME/closed: permission denied
        add the user to the group systemd-journal, or run as root
        because: EACCES: permission denied, scandir 'HOME/closed'
      ",
      }
    `)
  })
})

describe('sinks', () => {
  it('lists those that are built in, and describes one', () => {
    const list = logferry(['sinks']).stdout.toString()
    for (const name of ['file', 'null', 'stdout']) expect(list).toMatch(new RegExp(`^${name} `, 'm'))
    const file = logferry(['sinks', 'file']).stdout.toString()
    expect(file).toMatch(/^ {2}path: path, required$/m)
    expect(file).toMatch(/^ {2}batch\.entries: number, default \d+$/m)
    const [first] = JSON.parse(logferry(['sinks', '--json']).stdout.toString()) as { type: string; schema: object }[]
    expect(first).toMatchObject({ schema: { type: 'object' } })
    const unknown = run('sinks', 'nope')
    expect(unknown.status).toBe(64)
    expect(unknown.stderr).toMatch(/^logferry: there is no sink "nope"\n {2}there are .*stdout/)
  })
})

describe('validate', () => {
  it('says that a file is right, and which sinks it has', () => {
    const config = join(home, 'right.yaml')
    writeFileSync(config, 'sinks:\n  out: { type: stdout }\n  stdout: { type: stdout }\n')
    const { status, stdout, stderr } = logferry(['validate', '-c', config])
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(stdout.toString()).toBe(`${config} is valid; sinks: out (stdout), stdout\n`)
  })

  it('--live reads the journal and asks every sink, and gives 1 when something is wrong', () => {
    const config = join(home, 'live.yaml')
    const write = (path: string, directory: string) =>
      writeFileSync(
        config,
        `journal: { directories: [${directory}] }\nsinks:\n  out: { type: file, path: ${path} }\n  screen: { type: stdout }\n`,
      )
    write('./live.ndjson', dir)
    const good = logferry(['validate', '--live', '-c', config])
    expect({ status: good.status, stderr: good.stderr }).toEqual({ status: 0, stderr: '' })
    expect(good.stdout.toString()).toMatch(
      /^.* is valid; .*\nok {5}journal {2}1 file of [0-9a-f]{32}, the newest entry of 20.*Z\n(ok {5}out {6}.*\n)+ok {5}screen {3}can be opened\n$/,
    )
    expect(existsSync(join(home, 'live.ndjson'))).toBe(false)

    write('./no/such/live.ndjson', join(home, 'missing'))
    const wrong = run('validate', '--live', '-c', config)
    expect(wrong.status).toBe(1)
    const { status, stdout } = logferry(['validate', '--live', '--json', '-c', config])
    expect(status).toBe(1)
    const { valid, live } = JSON.parse(stdout.toString()) as { valid: boolean; live: { part: string; ok: boolean }[] }
    expect(valid).toBe(true)
    expect(live.filter(({ ok }) => !ok).map(({ part }) => part)).toEqual(['journal', 'out'])
  })
})
