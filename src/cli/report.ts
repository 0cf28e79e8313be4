// How an error looks to the person at the terminal, and which exit status it gives.
// A Problem is one line, its hint, and its causes; anything else is a bug of ours: stack, version, status 70.
import { EXIT, isProblem } from '../errors.ts'
import { version } from './version.ts'

const INDENT = '  '

/** The text for stderr, without the last newline. `debug` adds the code and all stacks. */
export function describeError(error: unknown, debug: boolean): string {
  if (!isProblem(error)) return describeBug(error)
  const lines = [`logferry: ${debug ? `${error.code}: ` : ''}${error.message}`]
  if (error.hint !== undefined) lines.push(INDENT + error.hint)
  for (const cause of causesOf(error)) lines.push(`${INDENT}because: ${describeCause(cause)}`)
  if (debug && error.stack !== undefined) lines.push(error.stack)
  return lines.join('\n')
}

/** The exit status an error asks for. */
export function exitStatusOf(error: unknown): number {
  return isProblem(error) ? error.exit : EXIT.bug
}

function describeBug(error: unknown): string {
  const lines = [error instanceof Error ? (error.stack ?? String(error)) : `thrown: ${String(error)}`]
  for (const cause of causesOf(error)) {
    lines.push(`because: ${cause instanceof Error ? (cause.stack ?? String(cause)) : String(cause)}`)
  }
  lines.push(
    `logferry: this is a bug in logferry ${version()} (Node ${process.versions.node}), please report the lines above`,
  )
  return lines.join('\n')
}

function describeCause(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

/** The chain of causes, nearest first. A chain that bites its own tail ends at the second meeting. */
function causesOf(error: unknown): unknown[] {
  const seen = new Set<unknown>([error])
  const causes: unknown[] = []
  let next = error instanceof Error ? error.cause : undefined
  while (next !== undefined && !seen.has(next)) {
    seen.add(next)
    causes.push(next)
    next = next instanceof Error ? next.cause : undefined
  }
  return causes
}
