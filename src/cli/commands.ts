// All commands with their options, help and examples. A command's own module is imported only when it runs: add a command
// by one function here and one file beside it that exports a function of the same name.
import { Command, Option } from 'commander'
import { print } from './output.ts'
import { version } from './version.ts'

/** Builds the program. `done` gets the exit status of the command that ran. Nothing is printed to stderr by commander itself. */
export function buildCommands(done: (status: number) => void): Command {
  const program = new Command('logferry')
    .description('Reads the systemd journal straight from its files and ships it, exactly where it left off.')
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .exitOverride()
    .configureOutput({ writeOut: print, writeErr: () => {}, outputError: () => {} })
    .configureHelp({ showGlobalOptions: false })
  addRun(program, done)
  addValidate(program, done)
  addRead(program, done)
  addBackfill(program, done)
  addCursor(program, done)
  addDead(program, done)
  addSinks(program, done)
  program.addHelpText(
    'after',
    examples(['logferry run -c /etc/logferry.yaml', 'logferry read -f', 'logferry COMMAND --help']),
  )
  return program
}

type Done = (status: number) => void

function addRun(program: Command, done: Done): void {
  const command = program
    .command('run')
    .description('Ship the journal to the configured sinks, and keep going: the daemon.')
    .requiredOption('-c, --config <file>', 'configuration file')
    .option('--state <directory>', "state folder, in place of the configuration's")
    .addHelpText(
      'after',
      `
SIGTERM and SIGINT stop reading, wait for what is under way and store the positions; a second one ends at once.
SIGHUP reads the configuration again; a file with mistakes changes nothing.
${examples(['logferry run -c /etc/logferry.yaml', 'logferry run -c config/dev.yaml --state /tmp/logferry'])}`,
    )
  debug(command).action(async (options) => done(await (await import('./run.ts')).run(options)))
}

function addValidate(program: Command, done: Done): void {
  const command = program
    .command('validate')
    .description('Check a configuration file. All mistakes are reported at once; exit status 78 if there are any.')
    .requiredOption('-c, --config <file>', 'configuration file')
    .option(
      '--live',
      'also read the journal and connect to every sink, sending nothing; exit status 1 if that finds something',
    )
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      examples([
        'logferry validate -c /etc/logferry.yaml',
        'logferry validate -c /etc/logferry.yaml --live',
        "logferry validate -c logferry.yaml --json | jq '.problems'",
      ]),
    )
  debug(command).action(async (options) => done(await (await import('./validate.ts')).validate(options)))
}

function addRead(program: Command, done: Done): void {
  const command = program.command('read').description("Show the journal: journalctl's job, faster.")
  command.argument('[matches...]', 'FIELD=value: same field ORed, different fields ANDed, + between groups ORs them')
  addPlace(command)
  command
    .option('-S, --since <time>', 'not older than: 2026-01-31 18:00:00, yesterday, -2h, @1700000000 …')
    .option('-U, --until <time>', 'not newer than')
    .option('-c, --cursor <cursor>', 'start at this entry')
    .option('--after-cursor <cursor>', 'start after this entry')
    .option(
      '-b, --boot [boot]',
      'only this boot: an id, an offset (0 the last, -1 the one before, 1 the first), or both',
    )
  addFilters(command)
  command
    .option(
      '-n, --lines [count]',
      'so many entries, the newest unless --since or a cursor says where to start (10; all)',
    )
    .option('-r, --reverse', 'newest first')
    .option('-f, --follow', 'show the last 10 entries, then new ones as they come')
    .option('--no-tail', 'with --follow: everything from the beginning')
    .addOption(new Option('-o, --output <form>', 'how entries are printed').choices(FORMS).default('short'))
    .option('-a, --all', 'long and unprintable values, too')
    .option('--utc', 'times in UTC')
    .option('--show-cursor', 'print the cursor of the last entry')
    .option('-q, --quiet', 'no lines but entries')
    .addHelpText(
      'after',
      examples([
        'logferry read -u nginx -p err --since yesterday',
        'logferry read -f -o json _TRANSPORT=kernel',
        'logferry read -D /mnt/var/log/journal -n 100 -o export',
        'logferry read SYSLOG_IDENTIFIER=sshd + _SYSTEMD_UNIT=cron.service',
      ]),
    )
  debug(command).action(async (matches, options) => done(await (await import('./read.ts')).read(matches, options)))
}

function addBackfill(program: Command, done: Done): void {
  const command = program
    .command('backfill')
    .description('Ship a range of the journal to one sink, once. Goes on where it was when it is called again.')
    .argument('[matches...]', 'FIELD=value, as for read')
    .requiredOption('-c, --config <file>', 'configuration file')
    .requiredOption('--sink <name>', 'the sink, by its name in the configuration')
    .option('--state <directory>', "state folder, in place of the configuration's")
    .option('-S, --since <time>', 'not older than')
    .option('-U, --until <time>', 'not newer than')
  addFilters(command)
  addPlace(command)
  command
    .option(
      '--patience <time>',
      'give up when nothing could be delivered for so long (exit status 69); or forever',
      '10min',
    )
    .option('--json', 'print the summary as JSON to standard output')
  command.addHelpText(
    'after',
    `
The positions of the running daemon are left alone.
${examples([
  'logferry backfill -c /etc/logferry.yaml --sink search --since "2026-01-01" --until "2026-02-01"',
  'logferry backfill -c /etc/logferry.yaml --sink search -D /mnt/old/journal -u nginx',
])}`,
  )
  debug(command).action(async (matches, options) =>
    done(await (await import('./backfill.ts')).backfill(matches, options)),
  )
}

function addCursor(program: Command, done: Done): void {
  const command = program
    .command('cursor')
    .description('Where the sinks stand in the journal, and how to have one go on elsewhere.')
    .addHelpText(
      'after',
      `
set and skip are refused (exit status 75) while a daemon runs the sink.
${examples(['logferry cursor show -c /etc/logferry.yaml', 'logferry cursor set --help'])}`,
    )
  const show = command
    .command('show')
    .description('Print the last settled entry per sink and source, and how many entries and how much time follow it.')
    .argument('[sink]', 'only this one')
  withState(show)
    .option('--source <source>', 'only this source: a machine id, with .NAMESPACE where there is one')
    .option('--json', 'print them as JSON')
    .addHelpText(
      'after',
      examples(['logferry cursor show -c /etc/logferry.yaml', 'logferry cursor show -c logferry.yaml search --json']),
    )
  debug(show).action(async (sink, options) => done(await (await import('./cursor.ts')).show(sink, options)))
  const set = command
    .command('set')
    .description('Have a sink go on elsewhere, also when its stored position is damaged.')
    .argument('<sink>', 'its name in the configuration')
    .argument(
      '<place>',
      'a cursor (goes on behind that entry), now, oldest, or a time: "2026-01-31 18:00:00", "2h ago"',
    )
  withState(set)
    .option('--source <source>', 'only in this source; the others stay where they are')
    .addHelpText(
      'after',
      examples([
        `logferry cursor set -c /etc/logferry.yaml search 's=9f2c…;i=4d2;b=…;m=…;t=…;x=…'`,
        'logferry cursor set -c /etc/logferry.yaml search "2026-01-31 18:00:00"',
        'logferry cursor set -c /etc/logferry.yaml search oldest',
      ]),
    )
  debug(set).action(async (sink, place, options) => done(await (await import('./cursor.ts')).set(sink, place, options)))
  const skip = command
    .command('skip')
    .description('Have a sink leave out its next entries, or everything up to now.')
    .argument('<sink>', 'its name in the configuration')
    .argument('[count]', 'so many entries, of those that its match lets through; left out: all up to now')
  withState(skip)
    .option('--source <source>', 'only in this source')
    .addHelpText(
      'after',
      examples([
        'logferry cursor skip -c /etc/logferry.yaml search',
        'logferry cursor skip -c /etc/logferry.yaml search 1',
      ]),
    )
  debug(skip).action(async (sink, count, options) =>
    done(await (await import('./cursor.ts')).skip(sink, count, options)),
  )
}

function addDead(program: Command, done: Done): void {
  const command = program
    .command('dead')
    .description('The dead letters: entries that a destination will never take. Show them, send them again, drop them.')
    .addHelpText('after', examples(['logferry dead show -c /etc/logferry.yaml search', 'logferry dead replay --help']))
  const show = command
    .command('show')
    .description('Print the dead letters of a sink: why, which entry, and the entry as it would have been sent.')
    .argument('<sink>', 'its name in the configuration')
  withState(show)
    .option('--json', 'print one JSON object per letter and line')
    .addHelpText(
      'after',
      examples([
        'logferry dead show -c /etc/logferry.yaml search',
        "logferry dead show -c /etc/logferry.yaml search --json | jq -r '.code' | sort | uniq -c",
      ]),
    )
  debug(show).action(async (sink, options) => done(await (await import('./dead.ts')).show(sink, options)))
  const replay = command
    .command('replay')
    .description('Send the dead letters of a sink again. What is taken is dropped; exit status 1 when some are left.')
    .argument('<sink>', 'its name in the configuration')
  withState(replay)
    .option('--patience <time>', 'give up when nothing could be delivered for so long (exit status 69)', '1min')
    .option('--json', 'print the summary as JSON to standard output')
    .addHelpText(
      'after',
      `
The records are sent as they are stored: changes of shape or fields in the configuration do not reach them.
${examples([
  'logferry dead replay -c /etc/logferry.yaml search',
  'logferry dead replay -c /etc/logferry.yaml search --patience 10s --json',
])}`,
    )
  debug(replay).action(async (sink, options) => done(await (await import('./dead.ts')).replay(sink, options)))
  const drop = command
    .command('drop')
    .description('Drop dead letters for good.')
    .argument('<sink>', 'its name in the configuration')
    .argument('[ids...]', 'the letters, as show names them')
  withState(drop)
    .option('--yes', 'all of them')
    .addHelpText(
      'after',
      examples([
        'logferry dead drop -c /etc/logferry.yaml search 000001.ndjson:0',
        'logferry dead drop -c /etc/logferry.yaml search --yes',
      ]),
    )
  debug(drop).action(async (sink, ids, options) => done(await (await import('./dead.ts')).drop(sink, ids, options)))
}

function addSinks(program: Command, done: Done): void {
  const command = program
    .command('sinks')
    .description('The kinds of sinks that can be configured, with their options.')
    .argument('[name]', 'only this one')
    .option('--json', 'print them as JSON, with the JSON Schema of their options')
    .addHelpText('after', examples(['logferry sinks', 'logferry sinks file', 'logferry sinks --json']))
  debug(command).action(async (name, options) => done(await (await import('./sinks.ts')).sinks(name, options)))
}

const FORMS = ['short', 'short-iso', 'cat', 'json', 'json-pretty', 'export', 'ecs']

function addPlace(command: Command): void {
  command
    .option('-D, --directory <path>', "journal directory, in place of this machine's own; can be repeated", collect)
    .option('--file <path>', 'journal file, or a pattern in quotes; can be repeated', collect)
}

function addFilters(command: Command): void {
  command
    .option('-u, --unit <unit>', 'of this unit, and about it; a pattern in quotes; can be repeated', collect)
    .option('-t, --identifier <text>', 'with this syslog identifier; can be repeated', collect)
    .option('-p, --priority <level>', 'at least this important (0-7, emerg … debug), or a range: warning..err')
    .option('--match <FIELD=value>', 'the same as a bare FIELD=value; can be repeated')
}

/** For commands beside the daemon: its configuration and its state folder. */
function withState(command: Command): Command {
  return command
    .requiredOption('-c, --config <file>', 'configuration file')
    .option('--state <directory>', "state folder, in place of the configuration's")
}

/** Common to all: how much is told about an error. */
function debug(command: Command): Command {
  return command.option('--debug', 'show codes and stack traces with errors')
}

function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value]
}

function examples(lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`
}
