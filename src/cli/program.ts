// Takes the command line apart, runs one command and turns what comes of it into an exit status.
// Each command's module is imported when it is run, so that `logferry --version` loads none of them.
import { type Command, CommanderError } from 'commander'
import { EXIT, type Problem, problem } from '../errors.ts'
import { bindOptionalValues } from './arguments.ts'
import { buildCommands } from './commands.ts'
import { complain, OutputClosed } from './output.ts'
import { describeError, exitStatusOf } from './report.ts'

/** Runs the command in `args` (without node and the script). Prints errors; resolves with the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  const debug = args.includes('--debug')
  process.on('uncaughtException', (error) => {
    if (error instanceof OutputClosed) process.exit(EXIT.ok)
    complain(describeError(error, debug))
    process.exit(exitStatusOf(error))
  })
  try {
    return await run(args)
  } catch (error) {
    if (error instanceof OutputClosed) return EXIT.ok
    complain(describeError(error, debug))
    return exitStatusOf(error)
  }
}

async function run(args: readonly string[]): Promise<number> {
  let status: number = EXIT.ok
  const program = buildCommands((result) => {
    status = result
  })
  const command = findCommand(program, args)
  try {
    if (args.length === 0) {
      complain(program.helpInformation().trimEnd())
      return EXIT.usage
    }
    await program.parseAsync(command === undefined ? args : bindOptionalValues(args, command.options), { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode === 0) return EXIT.ok
    throw usageProblem(error, command)
  }
  return status
}

/** The command that the first arguments name: `run`, or `cursor show`. */
function findCommand(program: Command, args: readonly string[]): Command | undefined {
  const command = program.commands.find((known) => known.name() === args[0])
  return command?.commands.find((known) => known.name() === args[1]) ?? command
}

/** A command's name as it is called: `cursor show`. */
function fullName(command: Command): string {
  const above = command.parent
  return above?.parent == null ? command.name() : `${fullName(above)} ${command.name()}`
}

/** commander's own messages in our form: one line, and a hint with the nearest right name or where to look. */
function usageProblem(error: CommanderError, command: Command | undefined): Problem {
  const [first = '', ...more] = error.message.replace(/^error: /, '').split('\n')
  const near = /\(Did you mean (?:one of )?(.*)\?\)/.exec(more.join(' '))?.[1]
  const help = `see logferry ${command === undefined ? '' : `${fullName(command)} `}--help`
  if (error.code === 'commander.help' && command !== undefined) {
    const names = command.commands.map((below) => `${fullName(command)} ${below.name()}`)
    return problem('LF_USAGE', {
      text: `${fullName(command)} does nothing by itself`,
      hint: `${names.join(', ')}; ${help}`,
    })
  }
  return problem('LF_USAGE', { text: first, hint: near === undefined ? help : `did you mean ${near}? ${help}` })
}
