// How long until journald removes entries that a sink still needs: a guess from what its files take now, how fast they
// came, and its limits. Format and order of its vacuum: journal-vacuum.c of systemd (archived files, oldest first).

import type { StorageLimits } from './journaldLimits.ts'

/** One file as journald counts it. Realtimes in microseconds since 1970. */
export interface VacuumFile {
  readonly bytes: number
  /** It may be removed. */
  readonly isArchived: boolean
  readonly headRealtime: number
  readonly tailRealtime: number
  /** Entries in it are not settled. */
  readonly isNeeded: boolean
}

/**
 * Seconds until journald removes the first file that is needed; undefined when none is, or when nothing can be said.
 * @param files those of one directory
 * @param freeBytes on its file system
 */
export function forecastVacuum(
  files: readonly VacuumFile[],
  limits: StorageLimits,
  freeBytes: number,
  nowUs: number,
): number | undefined {
  const needed = files.filter((file) => file.isNeeded)
  if (needed.length === 0) return undefined
  const archived = files.filter((file) => file.isArchived)
  const first = Math.min(...needed.map((file) => file.headRealtime))
  // What goes first; a needed file that is still written to has to be archived before its turn comes.
  const before = archived.filter((file) => file.headRealtime < first)
  const used = sum(files)
  const seconds = (Math.max(...files.map((file) => file.tailRealtime)) - Math.min(...files.map(headOf))) / 1e6
  const age = first / 1e6 + limits.maxAgeSeconds - nowUs / 1e6
  if (seconds <= 0 || used === 0) return Number.isFinite(age) ? Math.max(0, age) : undefined
  const room = Math.max(0, Math.min(limits.maxUse - used, freeBytes - limits.keepFree))
  const bySize = ((room + sum(before)) / used) * seconds
  const byCount = ((Math.max(0, limits.maxFiles - archived.length) + before.length) / files.length) * seconds
  const least = Math.min(bySize, byCount, Math.max(0, age))
  return Number.isFinite(least) ? least : undefined
}

function headOf(file: VacuumFile): number {
  return file.headRealtime
}

function sum(files: readonly VacuumFile[]): number {
  return files.reduce((bytes, file) => bytes + file.bytes, 0)
}
