// Configurations of the file sink, as its schema makes them.

import type { FileConfig } from '../../../sinks/file/options.ts'
import fileSink from '../../../sinks/file.ts'

export function configOf(options: object): FileConfig {
  const result = fileSink.config['~standard'].validate(options)
  if (result instanceof Promise || result.issues !== undefined) throw new Error(JSON.stringify(result))
  return result.value
}

export function mistakesOf(options: object): string[] {
  const result = fileSink.config['~standard'].validate(options)
  if (result instanceof Promise) throw new Error('it validates at once')
  return (result.issues ?? []).map(({ path = [], message }) => `${path.join('.')}: ${message}`)
}
