// When journald removes archived files: its settings, read as systemd reads them (journald.conf(5), one main file and
// drop-ins), and its defaults. Only for guessing and for staying out of its way; nothing is ever written there.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseSpan } from '../../time.ts'

/** The limits of one kind of storage, for a file system of a given size. */
export interface StorageLimits {
  /** Bytes that journald keeps free on the file system. */
  readonly keepFree: number
  /** Bytes that its files may take. */
  readonly maxUse: number
  /** Archived files that it keeps. */
  readonly maxFiles: number
  /** Age at which it removes a file, seconds; Infinity: never. */
  readonly maxAgeSeconds: number
}

export interface JournaldLimits {
  /** @param fileSystemBytes the size of the file system, from which the defaults follow */
  system(fileSystemBytes: number): StorageLimits
  /** For journals in /run. */
  runtime(fileSystemBytes: number): StorageLimits
}

/** Of the defaults, which are shares of the file system. */
const DEFAULT_CAP = 4 * 2 ** 30
const DEFAULT_FILES = 100
/** In the order of precedence. */
const FOLDERS = ['etc/systemd', 'run/systemd', 'usr/local/lib/systemd', 'usr/lib/systemd', 'lib/systemd']

/** Reads the settings of the journald on this machine. What is missing or unreadable counts as not set. */
export function readJournaldLimits(root = '/'): JournaldLimits {
  const settings = new Map<string, string>()
  for (const text of readConfigurations(root)) readSettings(text, settings)
  const limits = (kind: 'System' | 'Runtime', size: number): StorageLimits => ({
    keepFree: parseBytes(settings.get(`${kind}KeepFree`)) ?? Math.min(DEFAULT_CAP, size * 0.15),
    maxUse: parseBytes(settings.get(`${kind}MaxUse`)) ?? Math.min(DEFAULT_CAP, size * 0.1),
    maxFiles: parseCount(settings.get(`${kind}MaxFiles`)) ?? DEFAULT_FILES,
    maxAgeSeconds: (parseSpan(settings.get('MaxRetentionSec') ?? '') || Number.POSITIVE_INFINITY) / 1e6,
  })
  return { system: (size) => limits('System', size), runtime: (size) => limits('Runtime', size) }
}

/** The texts that count, the later ones over the earlier ones. */
function readConfigurations(root: string): string[] {
  const texts: string[] = []
  for (const folder of FOLDERS) {
    const text = readText(join(root, folder, 'journald.conf'))
    if (text === undefined) continue
    texts.push(text)
    break
  }
  const dropIns = new Map<string, string>()
  for (const folder of FOLDERS) {
    const place = join(root, folder, 'journald.conf.d')
    for (const name of readNames(place)) if (!dropIns.has(name)) dropIns.set(name, join(place, name))
  }
  for (const name of [...dropIns.keys()].sort()) texts.push(readText(dropIns.get(name) ?? '') ?? '')
  return texts
}

function readSettings(text: string, settings: Map<string, string>): void {
  let isJournal = false
  for (const line of text.split('\n')) {
    const trimmed = line.trim()
    if (trimmed.startsWith('[')) isJournal = trimmed === '[Journal]'
    const setting = /^(\w+)\s*=\s*(.*)$/.exec(trimmed)
    if (isJournal && setting !== null) settings.set(setting[1] as string, setting[2] as string)
  }
}

const UNITS = 'BKMGTPE'

/** `500M`, `1.5G`, `infinity`, in units of 1024; undefined for nothing and for what systemd would ignore. */
function parseBytes(text: string | undefined): number | undefined {
  if (text === 'infinity') return Number.POSITIVE_INFINITY
  const parts = /^(\d+(?:\.\d+)?)\s*([BKMGTPE]?)$/.exec(text ?? '')
  if (parts === null) return undefined
  return Math.round(Number(parts[1]) * 1024 ** Math.max(0, UNITS.indexOf(parts[2] || 'B')))
}

function parseCount(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined // Not there, or not for us: then the defaults are the best guess.
  }
}

function readNames(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith('.conf'))
  } catch {
    return [] // As above.
  }
}
