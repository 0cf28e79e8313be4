// `logferry sinks`: what can stand behind `type:` in a configuration, with its options; built in, and found in packages.
import { commonSinkOptions, describeSinks, type OptionRow, type SinkDescription } from '../config/describe.ts'
import { EXIT, problem } from '../errors.ts'
import { print } from './output.ts'

export interface SinksOptions {
  readonly json?: boolean
}

const WIDTH = 80

/** Runs the command: all sinks in short, or the one called `name` with its options. Throws Problem LF_USAGE. */
export async function sinks(name: string | undefined, options: SinksOptions): Promise<number> {
  const all = await describeSinks()
  const chosen = name === undefined ? all : all.filter((sink) => sink.type === name)
  if (name !== undefined && chosen.length === 0) {
    const hint = `there are ${all.map((sink) => sink.type).join(', ')}`
    throw problem('LF_USAGE', { text: `there is no sink "${name}"`, hint })
  }
  if (options.json) print(`${JSON.stringify(name === undefined ? chosen : chosen[0], undefined, 2)}\n`)
  else if (name === undefined) print(listing(all))
  else print(chosen.map(details).join(''))
  return EXIT.ok
}

function listing(all: readonly SinkDescription[]): string {
  const width = Math.max(...all.map((sink) => sink.type.length))
  const lines = all.map((sink) => {
    const origin = sink.origin === 'built in' ? '' : ` (${sink.origin})`
    return wrap(`${sink.type.padEnd(width)}  `, `${sink.summary}${origin}`)
  })
  return `${lines.join('\n')}\n\nOptions of one: logferry sinks NAME\n`
}

function details(sink: SinkDescription): string {
  const needs = Object.entries(sink.needs).map(([name, why]) => `  needs the package ${name}: ${why}\n`)
  const own = sink.options.length === 0 ? '  none\n' : sink.options.map(optionText).join('')
  return `${wrap('', `${sink.type}: ${sink.summary}`)}
${needs.join('')}
Options:
${own}
Options of every sink:
${commonSinkOptions().map(optionText).join('')}`
}

function optionText(row: OptionRow): string {
  const fallback = row.default === undefined ? '' : `, default ${row.default}`
  const head = `  ${row.path}: ${row.type}${row.isRequired ? ', required' : fallback}`
  return `${head}\n${wrap('      ', row.description)}\n`
}

/** Breaks `text` at spaces; its first line begins with `lead`, the others with as many blanks. */
function wrap(lead: string, text: string): string {
  const lines: string[] = []
  let line = lead
  let isEmpty = true
  for (const word of text.split(' ')) {
    if (!isEmpty && line.length + 1 + word.length > WIDTH) {
      lines.push(line)
      line = ' '.repeat(lead.length)
      isEmpty = true
    }
    line += isEmpty ? word : ` ${word}`
    isEmpty = false
  }
  return [...lines, line].join('\n')
}
