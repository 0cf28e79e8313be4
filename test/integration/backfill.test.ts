// `logferry backfill` from outside: ranges and filters, the summary, going on after a kill, giving up.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { openFixture } from '../support/fixtures.ts'
import { journalctl } from '../support/journals.ts'
import { describeWith } from '../support/needs.ts'
import { logferry, startLogferry, until } from '../support/program.ts'
import { tempDir } from '../support/tempDir.ts'

const fixture = openFixture('multi-boot')
const ENV = { TZ: 'UTC' }

interface Home {
  readonly dir: string
  backfill(...args: string[]): ReturnType<typeof logferry>
  /** The cursors in the sink's file. */
  cursors(): string[]
}

function newHome(sink = '{ type: file, path: ./out.ndjson }'): Home {
  const dir = tempDir()
  const config = join(dir, 'logferry.yaml')
  writeFileSync(config, `state: ./state\nlog: { format: text }\nsinks:\n  out: ${sink}\n`)
  return {
    dir,
    backfill: (...args) =>
      logferry(['backfill', '-c', config, '--sink', 'out', '-D', fixture.dir, ...args], {
        env: ENV,
        timeoutMs: 60_000,
      }),
    cursors() {
      const path = join(dir, 'out.ndjson')
      if (!existsSync(path)) return []
      return Array.from(readFileSync(path, 'utf8').matchAll(/"__CURSOR":"([^"]+)"/g), (match) => match[1] as string)
    },
  }
}

function cursorsOf(...args: string[]): string[] {
  const text = journalctl(['-D', fixture.dir, '-o', 'export', ...args], ENV).toString('latin1')
  return Array.from(text.matchAll(/^__CURSOR=(.*)$/gm), (match) => match[1] as string)
}

describeWith(['journalctl'], 'logferry backfill ships what journalctl selects', () => {
  it.each([
    [[]],
    [['--since', '2023-11-14 22:14:00', '--until', '2023-11-14 22:15:00']],
    [['-u', 'dcos-*', '-p', 'warning']],
    [['-t', 'mesos-slave', '_TRANSPORT=journal', '+', '_TRANSPORT=kernel']],
  ])('%j', (args) => {
    const home = newHome()
    const { status, stdout, stderr } = home.backfill(...args)
    const wanted = cursorsOf(...args)
    expect({ status, stdout: stdout.toString() }).toEqual({ status: 0, stdout: '' })
    expect(home.cursors()).toEqual(wanted)
    expect(stderr).toContain(`  delivered  ${wanted.length} (`)
    expect(stderr).toMatch(/^Finished: out\n {2}read {7}\d+\n/m)
    expect(stderr).toContain('  rejected   0\n  gaps       0\n')
    // The live positions of the sink are left alone.
    expect(existsSync(join(home.dir, 'state/out'))).toBe(false)
  })
})

it('prints the summary as JSON where it is wanted', () => {
  const { status, stdout } = newHome('{ type: null }').backfill('--json')
  expect(status).toBe(0)
  expect(JSON.parse(stdout.toString())).toMatchObject({
    sink: 'out',
    status: 'finished',
    isResumed: false,
    read: 400,
    delivered: 400,
    rejected: 0,
    gaps: 0,
  })
})

it('keeps entries on standard output apart from what it says itself', () => {
  const { stdout, stderr } = newHome('{ type: stdout, format: cat }').backfill('-n', '1')
  expect(stdout.toString()).toBe('')
  expect(stderr).toMatch(/^logferry: unknown option '-n'/)
  const all = newHome('{ type: stdout, format: json }').backfill('-p', 'err')
  for (const line of all.stdout.toString().trimEnd().split('\n')) expect(JSON.parse(line)).toHaveProperty('__CURSOR')
  expect(all.stderr).toMatch(/^Finished: out$/m)
})

it('goes on after a signal and after a kill, with nothing lost or sent twice', async () => {
  // Every batch is forced to disk, so that there is time to hit it.
  const home = newHome('{ type: file, path: ./out.ndjson, sync: batch, batch: { entries: 5 } }')
  const args = ['backfill', '-c', join(home.dir, 'logferry.yaml'), '--sink', 'out', '-D', fixture.dir]
  const interrupted: (number | string)[] = []
  let status: number | string = -1
  for (const signal of ['SIGTERM', 'SIGKILL', 'SIGINT', undefined] as const) {
    const before = home.cursors().length
    const running = startLogferry(args)
    if (signal !== undefined) {
      await until('some lines', () => home.cursors().length > before || running.child.exitCode !== null)
      running.kill(signal)
    }
    status = await running.ended
    if (status === 0) break
    interrupted.push(status)
    if (signal !== 'SIGKILL') expect(running.stderr()).toContain('the same command goes on from here')
  }
  expect(status).toBe(0)
  expect(interrupted).toEqual([143, 'SIGKILL', 130].slice(0, interrupted.length))
  expect(interrupted.length).toBeGreaterThan(0)
  const oracle = fixture.oracle('export').toString('latin1')
  expect(home.cursors()).toEqual(Array.from(oracle.matchAll(/^__CURSOR=(.*)$/gm), (match) => match[1]))
})

it('gives up with status 69 when nothing could be delivered for as long as --patience says', () => {
  const home = newHome('{ type: file, path: ./no/such/folder/out.ndjson }')
  const { status, stderr } = home.backfill('--patience', '1s')
  expect(status).toBe(69)
  expect(stderr).toMatch(/^logferry: gave up, since the sink "out" cannot deliver: .*no such/m)
  expect(stderr).toContain('the same command')
})

it('refuses a sink that the configuration does not have, and times that are none', () => {
  const home = newHome()
  expect(home.backfill('--since', 'soon').status).toBe(64)
  expect(home.backfill('--since', '@2', '--until', '@1').status).toBe(64)
  expect(home.backfill('--patience', 'long').stderr).toMatch(/--patience long: expected a time/)
  const other = home.backfill('--sink', 'other')
  expect(other.status).toBe(64)
  expect(other.stderr).toMatch(/--sink other: there is no such sink\n {2}.*logferry\.yaml has out/)
})
