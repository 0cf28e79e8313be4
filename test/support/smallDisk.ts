// A file system of a few kilobytes, so that a test can fill it. Needs root (mount of a tmpfs).
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { tempDir } from './tempDir.ts'

export interface SmallDisk {
  readonly dir: string
  /** Takes all the space that is left. */
  fill(): void
  /** Gives back what `fill` took. */
  empty(): void
}

const mounted: string[] = []
// After this hook that of tempDir.ts removes the folders: the last one that is registered runs first.
afterAll(() => {
  for (const dir of mounted) execFileSync('umount', ['--lazy', dir])
})

/** Mounts a tmpfs of so many bytes (rounded up to pages of 4 KiB); unmounted at the end of the test file. */
export function smallDisk(bytes: number): SmallDisk {
  const dir = join(tempDir(), 'disk')
  mkdirSync(dir)
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', dir])
  mounted.push(dir)
  let files = 0
  return {
    dir,
    fill() {
      for (let size = bytes; size >= 1; size = Math.floor(size / 2)) {
        try {
          writeFileSync(join(dir, `ballast-${files++}`), Buffer.alloc(size))
        } catch {
          // Full: the next smaller piece is tried, down to one byte.
        }
      }
    },
    empty() {
      for (const name of readdirSync(dir)) if (name.startsWith('ballast-')) rmSync(join(dir, name))
    },
  }
}
