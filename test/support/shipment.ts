// What a file sink has written, looked at from outside: how far it is right now, and all of it at the end.
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'

const CURSOR = /"__CURSOR":"([^"]+)"/

/** The cursor of the last complete line of a growing NDJSON file; undefined when there is none yet. */
export function lastCursor(path: string): string | undefined {
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch {
    return undefined // between two files of a rotation
  }
  try {
    const { size } = fstatSync(fd)
    for (let want = 8192; ; want *= 8) {
      const length = Math.min(want, size)
      const bytes = Buffer.alloc(length)
      readSync(fd, bytes, 0, length, size - length)
      const end = bytes.lastIndexOf(10)
      const begin = end < 1 ? -1 : bytes.lastIndexOf(10, end - 1)
      if (end > 0 && (begin >= 0 || length === size)) return CURSOR.exec(bytes.toString('utf8', begin + 1, end))?.[1]
      if (length === size) return undefined
    }
  } finally {
    closeSync(fd)
  }
}

/** All lines of the sink's file and its rotated files (`NAME-…` or `NAME.…`, perhaps compressed), oldest first. */
export function shippedLines(path: string): string[] {
  for (;;) {
    try {
      return linesOf(path)
    } catch (error) {
      // One was compressed meanwhile, and has another name now.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
}

function linesOf(path: string): string[] {
  const dir = dirname(path)
  const name = basename(path)
  const stem = name.replace(/\.[^.]*$/, '')
  const rotated = readdirSync(dir)
    .filter((file) => file !== name && file.startsWith(stem) && !file.endsWith('.position') && !file.endsWith('.tmp'))
    .sort()
  const texts = [...rotated, name].map((file) => {
    const bytes = readFileSync(join(dir, file))
    if (file.endsWith('.gz')) return gunzipSync(bytes).toString()
    if (file.endsWith('.zst')) return zstdDecompressSync(bytes).toString()
    return bytes.toString()
  })
  return texts.flatMap((text) => text.split('\n')).filter((line) => line !== '')
}

/** The cursors of lines in shape `journal`. A line that is no JSON is a torn one and fails here. */
export function cursorsOf(lines: readonly string[]): string[] {
  return lines.map((line) => {
    const cursor = CURSOR.exec(line)?.[1]
    if (cursor === undefined || !line.endsWith('}')) throw new Error(`torn line: ${line.slice(0, 200)}`)
    return cursor
  })
}

/** What was lost, what came twice, and whether the order is the journal's. Entries are told by `identity`. */
export function compare(
  shipped: readonly string[],
  journal: readonly string[],
): { lost: number; repeated: number; foreign: number; ordered: boolean } {
  const times = new Map<string, number>()
  for (const one of shipped) times.set(one, (times.get(one) ?? 0) + 1)
  let lost = 0
  const known = new Set(journal)
  for (const one of known) if (!times.has(one)) lost++
  let repeated = 0
  let foreign = 0
  for (const [one, count] of times) {
    repeated += count - 1
    if (!known.has(one)) foreign++
  }
  const ordered = lost === 0 && repeated === 0 && foreign === 0 && shipped.every((one, i) => one === journal[i])
  return { lost, repeated, foreign, ordered }
}
