// One log line for a person at a terminal: `14:03:07.120 warn  text  name=value`. Texts can hold a server's own words,
// so control characters never reach the terminal as they are.

import { styleText } from 'node:util'
import type { LogLevel } from './log.ts'

const COLOURS = { debug: 'gray', info: 'green', warn: 'yellow', error: 'red' } as const

/** Writes one line, newline included. An Error under `error` goes onto lines of its own, one per cause. */
export function formatLine(level: LogLevel, text: string, fields: object, time: Date, colour: boolean): string {
  const paint = (style: Parameters<typeof styleText>[0], words: string): string =>
    colour ? styleText(style, words, { validateStream: false }) : words
  let line = `${paint('gray', clockTime(time))} ${paint(COLOURS[level], level.padEnd(5))} ${visible(text)}`
  let below = ''
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue
    if (value instanceof Error) below += causes(value)
    else line += `  ${paint('gray', `${name}=`)}${fieldText(value)}`
  }
  return `${line}\n${below}`
}

function clockTime(time: Date): string {
  const two = (n: number): string => String(n).padStart(2, '0')
  const ms = String(time.getMilliseconds()).padStart(3, '0')
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${ms}`
}

function causes(error: Error, withStack = true): string {
  const { hint } = error as { hint?: unknown }
  const hasStack = withStack && !isExpected(error)
  const words = hasStack ? (error.stack ?? error.message) : error.message
  let text = words
    .split('\n')
    .map((line) => `    ${visible(line)}\n`)
    .join('')
  if (typeof hint === 'string') text += `    ${visible(hint)}\n`
  if (error.cause instanceof Error) text += causes(error.cause, hasStack)
  else if (error.cause !== undefined) text += `    ${visible(String(error.cause))}\n`
  return text
}

/** Whether an error tells of the world (a Problem, a SinkError, a failed system call) and not of a bug, whose stack is wanted. */
export function isExpected(error: Error): boolean {
  const { code, failure } = error as { code?: unknown; failure?: unknown }
  return failure !== undefined || (code !== undefined && !String(code).startsWith('ERR_'))
}

function fieldText(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value))
  return typeof value === 'string' && /[\s"=]|^$/.test(text) ? visible(JSON.stringify(text)) : visible(text)
}

/** Replaces control characters, which could move the cursor or colour the screen, by a visible form. */
export function visible(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (char) => {
    if (char === '\n') return '\\n'
    if (char === '\t') return ' '
    return `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
}
