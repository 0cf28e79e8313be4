// Writes config/logferry.schema.json and docs/reference/*.md from the schemas and tables in the code, or compares with
// `--check`. Nothing in those files is written by hand.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Command } from 'commander'
import { parameterRows, ROUTES } from '../src/api/routes/openapi.ts'
import { buildCommands } from '../src/cli/commands.ts'
import { commonSinkOptions, describeSinks, type OptionRow, rootOptions } from '../src/config/describe.ts'
import { EXIT, PROBLEMS } from '../src/errors.ts'
import { METRICS } from '../src/telemetry/metrics.ts'
import { editorSchema } from './editorSchema.ts'

const ROOT = join(import.meta.dirname, '..')
const NOTE = '<!-- Written by `npm run docs` from the code; changes here are lost. -->'

/** All generated files: path from the project's folder → text. Throws when something that people read has no description. */
export async function generate(): Promise<ReadonlyMap<string, string>> {
  return new Map([
    ['config/logferry.schema.json', `${JSON.stringify(await editorSchema(), null, 2)}\n`],
    ['docs/reference/config.md', configPage()],
    ['docs/reference/sinks.md', await sinksPage()],
    ['docs/reference/api.md', apiPage()],
    ['docs/reference/cli.md', cliPage()],
    ['docs/reference/metrics.md', metricsPage()],
    ['docs/reference/errors.md', errorsPage()],
  ])
}

/** Paths of the generated files that are not as `generate` would write them. */
export async function outdated(): Promise<readonly string[]> {
  return [...(await generate())].filter(([path, text]) => read(join(ROOT, path)) !== text).map(([path]) => path)
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function page(title: string, ...parts: readonly string[]): string {
  return `${NOTE}\n\n# ${title}\n\n${parts.join('\n\n')}\n`
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

function optionTable(rows: readonly OptionRow[]): string {
  return table(
    ['option', 'value', 'default', 'what it is'],
    rows.map((row) => {
      if (row.description === '') throw new Error(`the option ${row.path} has no description`)
      const preset = row.isRequired ? '**must be given**' : row.default === undefined ? '' : `\`${row.default}\``
      return [`\`${row.path}\``, row.type, preset, row.description]
    }),
  )
}

function configPage(): string {
  const rows = rootOptions()
  const sections = rows.filter(({ path }) => !path.includes('.'))
  const isSection = (name: string): boolean => rows.some(({ path }) => path.startsWith(`${name}.`))
  return page(
    'Configuration',
    'The file is YAML 1.2. `logferry validate -c FILE` checks it and reports all mistakes at once. Editors know the options when the file begins with',
    '```yaml\n# yaml-language-server: $schema=./logferry.schema.json\n```',
    'The options of sinks stand in [sinks.md](sinks.md).',
    '## How values are written',
    table(
      ['what', 'form'],
      [
        [
          'size',
          '`512B`, `64KiB`, `5MB`, `2GiB`: K, M, G, T with `iB` are powers of 1024, with `B` of 1000; a bare number is bytes',
        ],
        ['time', '`500ms`, `30s`, `5min`, `2h`, `1d`, also `1h30min`; never without a unit'],
        ['path', "relative ones are meant from the configuration file's folder"],
        ['text', 'may be written without quotes, also when it looks like a number: `mode: 0640`'],
        [
          'variable',
          '`${NAME}`, `${NAME:-default}`, `${NAME:?message}` within any value; `$${` is a literal `${`. What a variable holds is text, or the number or boolean that the option wants when it is the whole value',
        ],
        [
          'secret',
          '`{ file: /run/secrets/token }` in the place of a text: what that file holds, without the newline at its end',
        ],
        [
          'match',
          '`[{ FIELD: value, OTHER: [a, b] }, { … }]`: fields of one item must all fit, of several values one; one of the items is enough',
        ],
        ['start', '`now`, `oldest`, `last 100`, `2026-01-31T13:45:00Z`, `-2h`, `yesterday`'],
      ],
    ),
    'Anchors, aliases and `<<` may be used; keys at the top that begin with `x-` are not looked at and are a place for anchors. `{` and `}` need quotes within `{ … }` and `[ … ]`: `{ token: "${TOKEN}" }`.',
    ...sections.flatMap((section) =>
      isSection(section.path)
        ? [
            `## ${section.path}`,
            section.description,
            optionTable(rows.filter(({ path }) => path.startsWith(`${section.path}.`))),
          ]
        : [`## ${section.path}`, optionTable([section])],
    ),
  )
}

function apiPage(): string {
  const code = (names: readonly (string | number)[]): string => names.map((name) => `\`${name}\``).join(', ')
  return page(
    'Routes of the logging API',
    'How to set it up stands in [../api.md](../api.md). A running node serves the same as OpenAPI document at `/openapi.json`. All routes are GET; `/v1/fields/{field}` takes any method.',
    table(
      ['route', 'what it is', 'parameters', 'answers', 'status'],
      ROUTES.map(({ path, summary, parameters, types, statuses }) => [
        `\`${path}\``,
        summary,
        code(parameters.map((name) => (name === 'place' || name === 'offset' ? 'cursor' : name))),
        code(types),
        statuses.join(', '),
      ]),
    ),
    '## Parameters',
    table(
      ['name', 'where', 'what it is'],
      parameterRows().map(([name, where, what]) => {
        const shown = name === 'place' ? 'cursor (v2)' : name === 'offset' ? 'cursor (files)' : name
        return [`\`${shown}\``, where, what]
      }),
    ),
  )
}

async function sinksPage(): Promise<string> {
  const sinks = (await describeSinks(ROOT)).filter(({ origin }) => origin === 'built in')
  return page(
    'Sinks',
    'Each entry under `sinks:` has a name of your choice, a `type`, the options that all sinks have, and those of its type. How values are written stands in [config.md](config.md).',
    '`type` is one of the names below, the name of an installed package (looked for from the folder of the configuration file, then beside logferry), or a file: `./my-sink.ts`.',
    '## Options of all sinks',
    optionTable(commonSinkOptions()),
    ...sinks.flatMap(({ type, summary, options, needs, defaults }) => [
      `## ${type}`,
      summary,
      ...Object.entries(needs).map(([name, why]) => `Needs the package \`${name}\`: ${why}.`),
      ...defaultsLine(defaults),
      ...(options.length === 0 ? [] : [optionTable(options)]),
    ]),
  )
}

function defaultsLine(defaults: Readonly<Record<string, unknown>>): readonly string[] {
  // This one stands among the options of fields.
  const path = (name: string) => (name === 'max_custom' ? 'fields.max_custom' : name)
  const texts = Object.entries(defaults).map(([name, value]) => `\`${path(name)}: ${String(value)}\``)
  return texts.length === 0 ? [] : [`Other defaults than above: ${texts.join(', ')}.`]
}

function cliPage(): string {
  const program = buildCommands(() => {})
  return page(
    'Command line',
    help(program),
    ...program.commands.flatMap((command) => commandParts(command, 'logferry')),
    '## Exit status',
    table(
      ['status', 'meaning'],
      Object.entries(EXIT_WORDS).map(([name, words]) => [String(EXIT[name as keyof typeof EXIT]), words]),
    ),
  )
}

/** A command, and those below it such as `node log`. */
function commandParts(command: Command, above: string): readonly string[] {
  const name = `${above} ${command.name()}`
  return [`## ${name}`, help(command), ...command.commands.flatMap((below) => commandParts(below, name))]
}

const EXIT_WORDS: Readonly<Record<keyof typeof EXIT, string>> = {
  ok: 'done',
  found: 'done, but something was found',
  usage: 'wrong command line',
  data: 'damaged data',
  unavailable: 'destination unavailable',
  bug: 'a bug of logferry',
  io: 'input or output failed',
  locked: 'locked by another logferry',
  permission: 'no permission',
  config: 'wrong configuration',
}

/** What `--help` prints at a width of 100 characters. */
function help(command: Command): string {
  let text = ''
  command.configureOutput({
    writeOut: (part) => {
      text += part
    },
    getOutHelpWidth: () => 100,
    getOutHasColors: () => false,
  })
  command.outputHelp()
  return `\`\`\`text\n${text.trim()}\n\`\`\``
}

function metricsPage(): string {
  return page(
    'Metrics',
    'Served at `/metrics` in the text format of Prometheus when `metrics.listen` is configured, beside the usual metrics of the process and of Node.js (`process_…`, `nodejs_…`).',
    table(
      ['metric', 'type', 'labels', 'what it is'],
      Object.entries(METRICS).map(([name, { kind, labels, help: words }]) => {
        if (words === '') throw new Error(`the metric ${name} has no help text`)
        return [`\`${name}\``, kind, labels.map((label) => `\`${label}\``).join(', '), words]
      }),
    ),
  )
}

function errorsPage(): string {
  return page(
    'Errors',
    'Every error meant for a person has a code, shown with `--debug` and in `--json` output, that keeps its meaning for ever. Anything without one is a bug: exit status 70, please report it.',
    table(
      ['code', 'exit', 'message', 'what to do'],
      Object.entries(PROBLEMS).map(([code, { exit, message, hint }]) => [
        `\`${code}\``,
        String(exit),
        withPlaceholders(message),
        hint === undefined ? '' : withPlaceholders(hint),
      ]),
    ),
  )
}

/** The message with the names of its details in the place of their values: `cannot read ‹path›`. */
function withPlaceholders(write: (details: never) => string | undefined): string {
  const details = new Proxy({}, { get: (_target, name) => placeholder(String(name)) })
  const text = String(write(details as never) ?? '')
  return text.replace(/\s*\n\s*/g, ' ').replace(/([<>])/g, '\\$1')
}

/** Text for templates, and a list of one text for those that join. */
function placeholder(name: string): unknown {
  return Object.assign([`‹${name}›`], { toString: () => `‹${name}›` })
}

async function main(): Promise<void> {
  if (process.argv.includes('--check')) {
    const paths = await outdated()
    for (const path of paths) console.error(`${path} is not what the code says: run npm run docs`)
    process.exitCode = paths.length === 0 ? 0 : 1
    return
  }
  for (const [path, text] of await generate()) {
    mkdirSync(dirname(join(ROOT, path)), { recursive: true })
    writeFileSync(join(ROOT, path), text)
  }
}

if (import.meta.main) await main()
