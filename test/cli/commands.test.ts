import type { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { buildCommands } from '../../src/cli/commands.ts'

/** What `--help` prints, as it is 80 columns wide, which is the case where nobody sees a terminal. */
function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({ writeOut: (part) => (text += part), getOutHelpWidth: () => 80 })
  command.outputHelp()
  return text
}

const program = buildCommands(() => {})

describe('--help', () => {
  it('lists the commands', () => {
    expect(helpOf(program)).toMatchInlineSnapshot(`
      "Usage: logferry [options] [command]

      Reads the systemd journal straight from its files and ships it, exactly where it
      left off.

      Options:
        -V, --version                    print the version
        -h, --help                       print this help

      Commands:
        run [options]                    Ship the journal to the configured sinks, and
                                         keep going: the daemon.
        validate [options]               Check a configuration file. All mistakes are
                                         reported at once; exit status 78 if there are
                                         any.
        read [options] [matches...]      Show the journal: journalctl's job, faster.
        backfill [options] [matches...]  Ship a range of the journal to one sink,
                                         once. Goes on where it was when it is called
                                         again.
        cursor                           Where the sinks stand in the journal, and how
                                         to have one go on elsewhere.
        dead                             The dead letters: entries that a destination
                                         will never take. Show them, send them again,
                                         drop them.
        sinks [options] [name]           The kinds of sinks that can be configured,
                                         with their options.

      Examples:
        logferry run -c /etc/logferry.yaml
        logferry read -f
        logferry COMMAND --help
      "
    `)
  })

  it('of run tells the signals', () => {
    expect(helpOf(commandNamed('run'))).toMatchInlineSnapshot(`
      "Usage: logferry run [options]

      Ship the journal to the configured sinks, and keep going: the daemon.

      Options:
        -c, --config <file>  configuration file
        --state <directory>  state folder, in place of the configuration's
        --debug              show codes and stack traces with errors
        -h, --help           print this help

      SIGTERM and SIGINT stop reading, wait for what is under way and store the positions; a second one ends at once.
      SIGHUP reads the configuration again; a file with mistakes changes nothing.

      Examples:
        logferry run -c /etc/logferry.yaml
        logferry run -c config/dev.yaml --state /tmp/logferry
      "
    `)
  })

  it('of read speaks of entries as journalctl does', () => {
    expect(helpOf(commandNamed('read'))).toMatchInlineSnapshot(`
      "Usage: logferry read [options] [matches...]

      Show the journal: journalctl's job, faster.

      Arguments:
        matches                  FIELD=value: same field ORed, different fields ANDed,
                                 + between groups ORs them

      Options:
        -D, --directory <path>   journal directory, in place of this machine's own;
                                 can be repeated
        --file <path>            journal file, or a pattern in quotes; can be repeated
        -S, --since <time>       not older than: 2026-01-31 18:00:00, yesterday, -2h,
                                 @1700000000 …
        -U, --until <time>       not newer than
        -c, --cursor <cursor>    start at this entry
        --after-cursor <cursor>  start after this entry
        -b, --boot [boot]        only this boot: an id, an offset (0 the last, -1 the
                                 one before, 1 the first), or both
        -u, --unit <unit>        of this unit, and about it; a pattern in quotes; can
                                 be repeated
        -t, --identifier <text>  with this syslog identifier; can be repeated
        -p, --priority <level>   at least this important (0-7, emerg … debug), or a
                                 range: warning..err
        --match <FIELD=value>    the same as a bare FIELD=value; can be repeated
        -n, --lines [count]      so many entries, the newest unless --since or a
                                 cursor says where to start (10; all)
        -r, --reverse            newest first
        -f, --follow             show the last 10 entries, then new ones as they come
        --no-tail                with --follow: everything from the beginning
        -o, --output <form>      how entries are printed (choices: "short",
                                 "short-iso", "cat", "json", "json-pretty", "export",
                                 "ecs", default: "short")
        -a, --all                long and unprintable values, too
        --utc                    times in UTC
        --show-cursor            print the cursor of the last entry
        -q, --quiet              no lines but entries
        --debug                  show codes and stack traces with errors
        -h, --help               print this help

      Examples:
        logferry read -u nginx -p err --since yesterday
        logferry read -f -o json _TRANSPORT=kernel
        logferry read -D /mnt/var/log/journal -n 100 -o export
        logferry read SYSLOG_IDENTIFIER=sshd + _SYSTEMD_UNIT=cron.service
      "
    `)
  })

  it('of backfill says what is left alone', () => {
    expect(helpOf(commandNamed('backfill'))).toMatchInlineSnapshot(`
      "Usage: logferry backfill [options] [matches...]

      Ship a range of the journal to one sink, once. Goes on where it was when it is
      called again.

      Arguments:
        matches                  FIELD=value, as for read

      Options:
        -c, --config <file>      configuration file
        --sink <name>            the sink, by its name in the configuration
        --state <directory>      state folder, in place of the configuration's
        -S, --since <time>       not older than
        -U, --until <time>       not newer than
        -u, --unit <unit>        of this unit, and about it; a pattern in quotes; can
                                 be repeated
        -t, --identifier <text>  with this syslog identifier; can be repeated
        -p, --priority <level>   at least this important (0-7, emerg … debug), or a
                                 range: warning..err
        --match <FIELD=value>    the same as a bare FIELD=value; can be repeated
        -D, --directory <path>   journal directory, in place of this machine's own;
                                 can be repeated
        --file <path>            journal file, or a pattern in quotes; can be repeated
        --patience <time>        give up when nothing could be delivered for so long
                                 (exit status 69); or forever (default: "10min")
        --json                   print the summary as JSON to standard output
        --debug                  show codes and stack traces with errors
        -h, --help               print this help

      The positions of the running daemon are left alone.

      Examples:
        logferry backfill -c /etc/logferry.yaml --sink search --since "2026-01-01" --until "2026-02-01"
        logferry backfill -c /etc/logferry.yaml --sink search -D /mnt/old/journal -u nginx
      "
    `)
  })

  it.each(everyName())('of %s has examples that begin with logferry', (name) => {
    const [, examples = ''] = helpOf(commandNamed(name)).split('\nExamples:\n')
    const lines = examples.trimEnd().split('\n')
    expect(lines.length).toBeGreaterThanOrEqual(2)
    for (const line of lines) expect(line).toMatch(/^ {2}logferry \w/)
  })

  it('describes every option', () => {
    for (const command of program.commands.flatMap((one) => [one, ...one.commands])) {
      for (const option of command.options) expect(option.description, `${command.name()} ${option.flags}`).not.toBe('')
    }
  })
})

/** The commands, and those below them such as `cursor show`. */
function everyName(): string[] {
  return program.commands.flatMap((one) => [
    one.name(),
    ...one.commands.map((below) => `${one.name()} ${below.name()}`),
  ])
}

function commandNamed(name: string): Command {
  const [first, second] = name.split(' ')
  const command = program.commands.find((one) => one.name() === first)!
  return second === undefined ? command : command.commands.find((below) => below.name() === second)!
}
