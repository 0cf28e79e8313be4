// Names of systemd units as people type them, and which entries are about a unit (journalctl -u of systemd 252).
import { problem } from '../../errors.ts'
import type { JournalSet } from '../../journal/directory.ts'
import { JournalFile } from '../../journal/file/file.ts'
import type { Match } from '../../journal/match.ts'

const SUFFIXES = [
  'service',
  'socket',
  'target',
  'device',
  'mount',
  'automount',
  'swap',
  'timer',
  'path',
  'slice',
  'scope',
]
// Of unit-def: what may stand in a name unescaped, `@` beside it; and what makes a pattern.
const PLAIN = /[A-Za-z0-9:_.@\\-]/
const GLOB = /[*?[]/
const CORE_DUMP = 'fc2e22bc6ee647b6b90729ab34a250b1'

// The fields in which the name of a unit may stand.
const FIELDS = ['_SYSTEMD_UNIT', 'COREDUMP_UNIT', 'UNIT', 'OBJECT_SYSTEMD_UNIT', '_SYSTEMD_SLICE']

/** The names of units that occur in a journal, some of them more than once. Read from the index, not from entries. */
export function* unitNames(set: JournalSet): Generator<string> {
  for (const { path } of set.files) {
    const file = JournalFile.open(path, set.memory)
    try {
      for (const field of FIELDS) for (const value of file.fieldValues(field)) yield value.toString()
    } finally {
      file.close()
    }
  }
}

/** Is it a shell pattern? */
export function isGlob(name: string): boolean {
  return GLOB.test(name)
}

/**
 * The full name of what was typed: `nginx` is nginx.service, `/dev/sda` is dev-sda.device, `/home` is home.mount; what may not
 * stand in a name is escaped. A pattern gets no suffix, so that `foo.*` stays one. Throws Problem LF_USAGE.
 */
export function mangleUnit(typed: string): string {
  if (typed === '') throw problem('LF_USAGE', { text: '--unit: the name is empty' })
  if (isGlob(typed)) return escapeUnit(typed, /[A-Za-z0-9:_.@\\\-*?[\]!^]/)
  if (typed.startsWith('/')) {
    const device = typed.startsWith('/dev/') || typed.startsWith('/sys/')
    return `${escapePath(typed)}.${device ? 'device' : 'mount'}`
  }
  const escaped = escapeUnit(typed, PLAIN)
  return hasSuffix(escaped) ? escaped : `${escaped}.service`
}

/**
 * The groups of fields by which an entry is of a unit or about it: its own lines, its core dumps, what the service manager says
 * of it, what privileged helpers say of it; for a slice also the lines of all units in it.
 */
export function unitMatches(unit: string): Match {
  const is = (field: string, value: string) => ({ field, values: [value] })
  const groups = [
    [is('_SYSTEMD_UNIT', unit)],
    [is('MESSAGE_ID', CORE_DUMP), is('_UID', '0'), is('COREDUMP_UNIT', unit)],
    [is('_PID', '1'), is('UNIT', unit)],
    [is('_UID', '0'), is('OBJECT_SYSTEMD_UNIT', unit)],
  ]
  return unit.endsWith('.slice') ? [...groups, [is('_SYSTEMD_SLICE', unit)]] : groups
}

/** The pattern as a regular expression over a whole name: `*`, `?`, `[a-z]`, `[!a-z]`; a backslash stands for itself. */
export function globPattern(glob: string): RegExp {
  let source = ''
  for (let at = 0; at < glob.length; at++) {
    const char = glob[at] as string
    const set = char === '[' ? /^\[([!^]?)(\]?[^\]]*)\]/.exec(glob.slice(at)) : null
    if (char === '*') source += '[^]*'
    else if (char === '?') source += '[^]'
    else if (set !== null) {
      source += `[${set[1] === '' ? '' : '^'}${(set[2] as string).replace(/[\\\]^]/g, '\\$&')}]`
      at += set[0].length - 1
    } else source += char.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
  }
  try {
    return new RegExp(`^${source}$`, 'u')
  } catch {
    return /^(?!)$/ // A range that runs backwards, as in [z-a]: fits nothing, as with fnmatch(3).
  }
}

function hasSuffix(name: string): boolean {
  const dot = name.lastIndexOf('.')
  return dot > 0 && SUFFIXES.includes(name.slice(dot + 1))
}

function escapeUnit(name: string, plain: RegExp): string {
  let escaped = ''
  for (const byte of Buffer.from(name)) {
    const char = String.fromCharCode(byte)
    if (char === '/') escaped += '-'
    else escaped += plain.test(char) ? char : hex(byte)
  }
  return escaped
}

/** systemd's path escaping: slashes become dashes, other odd bytes `\xNN`, a leading dot as well; `/` alone is `-`. */
function escapePath(path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.length === 0) return '-'
  return Array.from(Buffer.from(parts.join('/')), (byte, at) => {
    const char = String.fromCharCode(byte)
    if (char === '/') return '-'
    const plain = /[A-Za-z0-9:_.]/.test(char) && !(char === '.' && at === 0)
    return plain ? char : hex(byte)
  }).join('')
}

function hex(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`
}
