// `logferry dead` from outside: what is shown of letters, what is sent again and when, what is dropped.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { openFixture } from '../support/fixtures.ts'
import { logferry } from '../support/program.ts'
import { tempDir } from '../support/tempDir.ts'

const fixture = openFixture('multi-boot')
const TOTAL = fixture.facts.oracle_entries

/** A sink that does what `mood.json` beside it says: which places in a batch it rejects, and whether it is there at all. */
const MOODY = `import { appendFileSync, readFileSync } from 'node:fs'
const schema = { version: 1, vendor: 'test', validate: (value) => ({ value }), jsonSchema: { input: () => ({}) } }
const mood = () => JSON.parse(readFileSync(new URL('./mood.json', import.meta.url), 'utf8'))
export default {
  api: 1, name: 'moody', summary: 'Does as it likes.', config: { '~standard': schema },
  create: () => ({
    traits: { delivered: 'stored', idempotent: false, holdsPosition: false, ordered: true, encoding: mood().encoding ?? 'json', fields: ['PRIORITY'], limits: {} },
    async open() {},
    async write(batch) {
      const { away, every } = mood()
      if (away) throw Object.assign(new Error('gone fishing'), { name: 'SinkError', failure: 'unavailable' })
      const rejected = []
      for (const [index, entry] of batch.entries.entries()) {
        if (every && index % every === 0) rejected.push({ index, code: 'mapping', reason: 'no place for priority ' + entry.get('PRIORITY') })
        else appendFileSync(new URL('./out.ndjson', import.meta.url), Buffer.from(entry.record).toString() + '\\n')
      }
      return { delivered: batch.entries.length - rejected.length, retry: [], rejected }
    },
    async close() {},
  }),
}
`

interface Mood {
  readonly every?: number
  readonly away?: boolean
  readonly encoding?: string
}

interface Home {
  readonly dir: string
  feel(mood: Mood): void
  run(...args: string[]): { status: number | null; stdout: string; stderr: string }
  letters(): { id: string; code: string; reason: string; cursor: string; entry: { __CURSOR: string } }[]
  cursors(): string[]
}

/** A folder with a sink `out` that has rejected every 100th entry of each batch. */
function newHome(sink = '{ type: ./moody.mjs, batch: { entries: 200 }, retry: { base: 10ms, cap: 50ms } }'): Home {
  const dir = tempDir()
  const config = join(dir, 'logferry.yaml')
  writeFileSync(join(dir, 'moody.mjs'), MOODY)
  const write = (type: string) =>
    writeFileSync(
      config,
      `journal: { directories: [${fixture.copy()}] }\nstate: ./state\nlog: { format: text }\nsinks:\n  out: ${type}\n`,
    )
  const run = (command: string, ...args: string[]) => {
    const { status, stdout, stderr } = logferry(['dead', command, '-c', config, 'out', ...args])
    return { status, stdout: stdout.toString(), stderr }
  }
  const home: Home = {
    dir,
    feel: (mood) => writeFileSync(join(dir, 'mood.json'), JSON.stringify(mood)),
    run: (command = '', ...args) => run(command, ...args),
    letters: () =>
      run('show', '--json')
        .stdout.split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line)),
    cursors() {
      const path = join(dir, 'out.ndjson')
      if (!existsSync(path)) return []
      return Array.from(readFileSync(path, 'utf8').matchAll(/"__CURSOR":"([^"]+)"/g), (match) => match[1] as string)
    },
  }
  home.feel({ every: 100 })
  write('{ type: ./moody.mjs, batch: { entries: 200 } }')
  expect(logferry(['backfill', '-c', config, '--sink', 'out']).status).toBe(0)
  write(sink)
  return home
}

it('shows why, which entry, and the entry; for people and as NDJSON', () => {
  const home = newHome()
  const letters = home.letters()
  expect(letters.length).toBeGreaterThanOrEqual(TOTAL / 100)
  for (const { code, reason, cursor, entry } of letters) {
    expect(code).toBe('mapping')
    expect(reason).toMatch(/^no place for priority \d$/)
    expect(entry.__CURSOR).toBe(cursor)
  }
  const { status, stdout, stderr } = home.run('show')
  expect({ status, stderr }).toEqual({ status: 0, stderr: `${letters.length} dead letters\n` })
  expect(stdout).toContain(`  reason  ${letters[0]?.reason}\n  cursor  ${letters[0]?.cursor}\n  entry   {"`)
})

it('sends again, keeps what is refused again, and does nothing when there is nothing', () => {
  const home = newHome()
  const before = home.letters()
  home.feel({ every: 3 })
  const some = home.run('replay', '--json')
  const left = Math.ceil(before.length / 3)
  expect(JSON.parse(some.stdout)).toEqual({ sink: 'out', delivered: before.length - left, left })
  expect(some.status).toBe(1)
  expect(some.stderr).toMatch(/not taken: mapping: no place for priority/)
  expect(home.letters().map(({ id }) => id)).toEqual(before.filter((_, at) => at % 3 === 0).map(({ id }) => id))

  home.feel({})
  const rest = home.run('replay')
  expect({ status: rest.status, stderr: rest.stderr }).toEqual({ status: 0, stderr: `${left} delivered, 0 left\n` })
  expect(home.letters()).toEqual([])
  expect(home.cursors()).toHaveLength(TOTAL)
  expect(new Set(home.cursors()).size).toBe(TOTAL)
  expect(home.run('replay').stderr).toBe('0 delivered, 0 left\n')
})

it('gives up with status 69 and keeps all, when the destination is away for as long as --patience says', () => {
  const home = newHome()
  const before = home.letters().length
  home.feel({ away: true })
  const { status, stderr } = home.run('replay', '--patience', '300ms')
  expect(status).toBe(69)
  expect(stderr).toMatch(/^logferry: the sink "out" cannot be used: gone fishing$/m)
  expect(home.letters()).toHaveLength(before)
})

it('leaves letters whose encoding is not the one that the sink now wants', () => {
  const home = newHome()
  home.feel({ encoding: 'msgpack' })
  const { status, stderr } = home.run('replay')
  expect(status).toBe(1)
  expect(stderr).toMatch(/not taken: it is encoded as json, the sink now wants msgpack/)
})

it('sends to a target that holds the position, without touching the positions of the daemon', () => {
  const home = newHome('{ type: file, path: ./out.ndjson }')
  const before = home.letters().length
  writeFileSync(join(home.dir, 'out.ndjson'), '')
  expect(home.run('replay')).toMatchObject({ status: 0, stderr: `${before} delivered, 0 left\n` })
  expect(home.cursors()).toHaveLength(before)
  expect(existsSync(join(home.dir, 'state/out/position.json'))).toBe(false)
})

it('drops the letters that are named, or all with --yes, and nothing otherwise', () => {
  const home = newHome()
  const letters = home.letters()
  const nothing = home.run('drop')
  expect(nothing.status).toBe(64)
  expect(nothing.stderr).toMatch(/^logferry: sink "out" has \d+ dead letters: .*--yes/)
  expect(home.run('drop', '000001.ndjson:1').status).toBe(64)
  expect(home.run('drop', letters[0]?.id as string)).toMatchObject({ status: 0, stderr: '1 dropped\n' })
  expect(home.letters()).toEqual(letters.slice(1))
  expect(home.run('drop', '--yes')).toMatchObject({ status: 0, stderr: `${letters.length - 1} dropped\n` })
  expect(home.letters()).toEqual([])
})
