// `logferry cursor` from outside: where sinks stand, and that a chosen place is where the daemon then goes on.
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openFixture } from '../support/fixtures.ts'
import { logferry, startLogferry, until } from '../support/program.ts'
import { tempDir } from '../support/tempDir.ts'

const fixture = openFixture('rotated')
const other = openFixture('multi-boot')
const CURSORS = Array.from(
  fixture
    .oracle('export')
    .toString('latin1')
    .matchAll(/^__CURSOR=(.*)$/gm),
  (match) => match[1] as string,
)
const TOTAL = CURSORS.length

interface Home {
  readonly dir: string
  readonly config: string
  cursor(command: string, ...args: string[]): { status: number | null; stdout: string; stderr: string }
  /** `cursor show --json` of the first sink and source. */
  standing(): { source: string; cursor: string | null; lagEntries: number | null }
  /** The cursors in the sink's file. */
  delivered(): string[]
  /** Runs the daemon until the file holds so many lines, and a little longer when more might come. */
  ship(lines: number): Promise<void>
}

const PLAIN_SINK = `{ type: ./plain.mjs, path: ./out.ndjson }`

/** A sink that appends to a file and keeps no position, unlike the sink \`file\`. */
const PLAIN = `import { appendFileSync } from 'node:fs'
const schema = { version: 1, vendor: 'test', validate: (value) => ({ value }), jsonSchema: { input: () => ({ type: 'object', properties: { path: { type: 'string', description: 'x' } } }) } }
export default {
  api: 1, name: 'plain', summary: 'Appends.', config: { '~standard': schema },
  create: () => ({
    traits: { delivered: 'stored', idempotent: false, holdsPosition: false, ordered: true, encoding: 'json', fields: [], limits: {} },
    async open() {},
    async write(batch) { appendFileSync(new URL('./out.ndjson', import.meta.url), batch.records); return 'delivered' },
    async close() {},
  }),
}
`

function newHome(sink: string, directory = fixture.copy()): Home {
  const dir = tempDir()
  const config = join(dir, 'logferry.yaml')
  writeFileSync(join(dir, 'plain.mjs'), PLAIN)
  writeFileSync(
    config,
    `journal: { directories: [${directory}], start: oldest }\nstate: ./state\nlog: { format: text }\nsinks:\n  out: ${sink}\n`,
  )
  const home: Home = {
    dir,
    config,
    cursor(command, ...args) {
      const { status, stdout, stderr } = logferry(['cursor', command, '-c', config, ...args], { env: { TZ: 'UTC' } })
      return { status, stdout: stdout.toString(), stderr }
    },
    standing: () => JSON.parse(home.cursor('show', '--json').stdout).positions[0],
    delivered() {
      const path = join(dir, 'out.ndjson')
      if (!existsSync(path)) return []
      return Array.from(readFileSync(path, 'utf8').matchAll(/"__CURSOR":"([^"]+)"/g), (match) => match[1] as string)
    },
    async ship(lines) {
      const running = startLogferry(['run', '-c', config])
      await until(`${lines} lines`, () => home.delivered().length >= lines)
      running.kill('SIGTERM')
      expect(await running.ended).toBe(0)
      expect(home.delivered()).toHaveLength(lines)
    },
  }
  return home
}

describe.each([
  ['a sink whose position is ours alone', PLAIN_SINK],
  ['a sink whose target holds the position', '{ type: file, path: ./out.ndjson }'],
])('%s', (_, sink) => {
  it('is shown, set back to an entry, and goes on behind it', async () => {
    const home = newHome(sink)
    expect(home.standing()).toMatchObject({ cursor: null, lagEntries: null })
    expect(home.cursor('show').stdout).toMatch(/^SINK .*\nout {2,}\S+ +- +- +\(no position yet\)\n$/)
    await home.ship(TOTAL)
    expect(home.standing()).toMatchObject({ cursor: CURSORS.at(-1), lagEntries: 0, lagSeconds: 0 })

    const at = CURSORS.at(-11) as string
    const { status, stdout } = home.cursor('set', 'out', at)
    expect({ status, stdout }).toEqual({ status: 0, stdout: `out in ${home.standing().source} goes on behind ${at}\n` })
    expect(home.standing()).toMatchObject({ cursor: at, lagEntries: 10 })
    expect(home.cursor('show', 'out').stdout).toMatch(new RegExp(`^out .* 10 .* ${at}$`, 'm'))

    expect(home.cursor('skip', 'out', '3').status).toBe(0)
    expect(home.standing()).toMatchObject({ cursor: CURSORS.at(-8), lagEntries: 7 })
    await home.ship(TOTAL + 7)
    expect(home.delivered().slice(-7)).toEqual(CURSORS.slice(-7))
  })

  it('goes on at the end, at the first entry, or at a time', async () => {
    const home = newHome(sink)
    expect(home.cursor('skip', 'out').stdout).toContain(`behind ${CURSORS.at(-1)}\n`)
    expect(home.standing()).toMatchObject({ cursor: CURSORS.at(-1), lagEntries: 0 })
    expect(home.cursor('set', 'out', '2000-01-01 00:00:00').stdout).toContain('from 2000-01-01T00:00:00.000Z on\n')
    expect(home.cursor('set', 'out', 'now').stdout).toContain(`behind ${CURSORS.at(-1)}\n`)
    expect(home.cursor('set', 'out', 'oldest').stdout).toContain('from the first entry on\n')
    await home.ship(TOTAL)
  })

  it('gets a new place over a damaged position file, which its error tells', async () => {
    const home = newHome(sink)
    mkdirSync(join(home.dir, 'state/out'), { recursive: true })
    writeFileSync(join(home.dir, 'state/out/position.json'), '{"version":1,')
    const shown = home.cursor('show')
    expect(shown.status).toBe(65)
    expect(shown.stderr).toMatch(/cannot be used.*not whole\n.*cursor set -c FILE out CURSOR/)
    expect(JSON.parse(home.cursor('show', '--json').stdout).problems).toMatchObject([
      { sink: 'out', code: 'LF_STATE_POSITION_DAMAGED' },
    ])
    expect(home.cursor('skip', 'out', '5').status).toBe(65)
    expect(home.cursor('set', 'out', CURSORS.at(-6) as string).status).toBe(0)
    await home.ship(5)
    expect(home.delivered()).toEqual(CURSORS.slice(-5))
  })
})

it('refuses a sink that a daemon runs, and leaves one alone that it does not', async () => {
  const home = newHome('{ type: file, path: ./out.ndjson }')
  const running = startLogferry(['run', '-c', home.config])
  await until('all entries', () => home.delivered().length === TOTAL)
  for (const [command, ...args] of [
    ['set', 'out', 'now'],
    ['skip', 'out'],
    ['skip', 'out', '1'],
  ]) {
    const { status, stderr } = home.cursor(command as string, ...args)
    expect(status).toBe(75)
    expect(stderr).toMatch(new RegExp(`^logferry: the position of sink "out" is in use by .*pid ${running.child.pid} `))
  }
  expect(home.standing()).toMatchObject({ cursor: CURSORS.at(-1) })
  writeFileSync(home.config, `${readFileSync(home.config, 'utf8')}  other: { type: 'null' }\n`)
  expect(home.cursor('set', 'other', 'now').status).toBe(0)
  running.kill('SIGTERM')
  expect(await running.ended).toBe(0)
})

it('moves only the source of the cursor, or the one that --source names', () => {
  const both = tempDir()
  for (const { dir } of [fixture, other]) cpSync(dir, both, { recursive: true })
  const home = newHome(`{ type: 'null' }`, both)
  const shown = () => JSON.parse(home.cursor('show', '--json').stdout).positions as { source: string; cursor: string }[]
  expect(home.cursor('set', 'out', 'now').status).toBe(0)
  const ends = shown()
  expect(ends).toHaveLength(2)
  const at = ends.findIndex(({ cursor }) => cursor === CURSORS.at(-1))
  const rest = 1 - at
  expect(home.cursor('set', 'out', CURSORS[5] as string).status).toBe(0)
  expect(shown()[at]?.cursor).toBe(CURSORS[5])
  expect(shown()[rest]).toMatchObject({ cursor: ends[rest]?.cursor })
  expect(home.cursor('skip', 'out', '2', '--source', ends[at]?.source as string).status).toBe(0)
  expect(shown()[at]?.cursor).toBe(CURSORS[7])
  const unclear = home.cursor('skip', 'out', '1')
  expect(unclear.status).toBe(64)
  expect(unclear.stderr).toMatch(/say with --source/)
})

it('says what is wrong with its arguments', () => {
  const home = newHome(`{ type: 'null' }`)
  expect(home.cursor('set', 'nope', 'now').stderr).toMatch(/there is no sink "nope"\n.*has out/)
  expect(home.cursor('set', 'out', 'soon').status).toBe(64)
  expect(home.cursor('set', 'out', 's=1').stderr).toMatch(/is not a journal cursor/)
  expect(home.cursor('skip', 'out', 'all').stderr).toMatch(/all is not a number of entries/)
  expect(home.cursor('show', '--source', 'x').stderr).toMatch(/no such source/)
  const bare = logferry(['cursor'])
  expect({ status: bare.status, stderr: bare.stderr }).toEqual({
    status: 64,
    stderr: `logferry: cursor does nothing by itself\n  cursor show, cursor set, cursor skip; see logferry cursor --help\n`,
  })
  expect(logferry(['cursor', 'set']).stderr).toMatch(/see logferry cursor set --help/)
})
