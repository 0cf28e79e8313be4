// The daemon from outside: signals, reload, the lock, health and the sample journal.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { openFixture } from '../support/fixtures.ts'
import { logferry, startLogferry, until } from '../support/program.ts'
import { tempDir } from '../support/tempDir.ts'

const fixture = openFixture('rotated')
const ENTRIES = fixture.facts.oracle_entries

interface Home {
  readonly dir: string
  readonly config: string
  /** Writes the configuration: `sinks` is YAML below `sinks:`, `more` stands at the top. */
  write(sinks: string, more?: string): void
  /** Lines in a file of the folder; 0 when it is not there. */
  lines(name: string): number
}

function newHome(journal = `directories: [${fixture.copy()}], start: oldest`): Home {
  const dir = tempDir()
  const config = join(dir, 'logferry.yaml')
  return {
    dir,
    config,
    write(sinks, more = '') {
      writeFileSync(
        config,
        `journal: { ${journal} }\nstate: ./state\nlog: { format: json }\n${more}\nsinks:\n${sinks}\n`,
      )
    },
    lines(name) {
      const path = join(dir, name)
      return existsSync(path) ? readFileSync(path, 'utf8').split('\n').length - 1 : 0
    },
  }
}

it('ships everything, stops at SIGTERM with status 0, and goes on where it was', async () => {
  const home = newHome()
  home.write('  out: { type: file, path: ./out.ndjson }')
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const running = startLogferry(['run', '-c', home.config])
    await until('all entries', () => home.lines('out.ndjson') === ENTRIES && /is open/.test(running.stderr()))
    running.kill(signal)
    expect(await running.ended).toBe(0)
    expect(running.stderr()).toMatch(/"msg":"stopped"/)
  }
  expect(home.lines('out.ndjson')).toBe(ENTRIES)
})

it('keeps a second daemon from its state folder, and says who has it', async () => {
  const home = newHome()
  home.write('  out: { type: file, path: ./out.ndjson }')
  const running = startLogferry(['run', '-c', home.config])
  await until('the start', () => /shipping to out/.test(running.stderr()))
  const second = logferry(['run', '-c', home.config])
  expect(second.status).toBe(75)
  expect(second.stderr).toContain(String(running.child.pid))
  // A backfill into the file that the daemon writes is refused, too.
  const backfill = logferry(['backfill', '-c', home.config, '--sink', 'out'])
  expect(backfill.status).toBe(75)
  expect(backfill.stderr).toMatch(/out\.ndjson is being written by/)
  running.kill('SIGTERM')
  expect(await running.ended).toBe(0)
})

it('takes a changed configuration at SIGHUP, leaves unchanged sinks running, and refuses one with mistakes', async () => {
  const home = newHome()
  home.write('  one: { type: file, path: ./one.ndjson }\n  two: { type: file, path: ./two.ndjson }')
  const running = startLogferry(['run', '-c', home.config])
  const said = (text: string) => () => running.stderr().includes(text)
  await until('both', () => home.lines('one.ndjson') === ENTRIES && home.lines('two.ndjson') === ENTRIES)

  writeFileSync(home.config, 'sinks: { one: { type: fil } }\n')
  running.kill('SIGHUP')
  await until('the refusal', said('the configuration was not taken'))
  expect(running.stderr()).toMatch(/there is no sink \\"fil\\"/)

  home.write(
    '  one: { type: file, path: ./one.ndjson }\n  three: { type: file, path: ./three.ndjson }',
    'memory: 32MiB',
  )
  running.kill('SIGHUP')
  await until('the new sink', () => home.lines('three.ndjson') === ENTRIES)
  await until('the report', said('one unchanged; three added; two removed'))
  expect(running.stderr()).toContain('changes of memory take effect at the next start')
  expect(running.stderr().match(/sink \\"one\\" is open/g)).toHaveLength(1)
  running.kill('SIGTERM')
  expect(await running.ended).toBe(0)
})

it('ends at once at the second signal, while a sink does not end its write', async () => {
  const home = newHome()
  writeFileSync(
    join(home.dir, 'stuck.mjs'),
    `const schema = { version: 1, vendor: 'test', validate: (value) => ({ value }), jsonSchema: { input: () => ({}) } }
export default {
  api: 1, name: 'stuck', summary: 'Never ends a write.', config: { '~standard': schema },
  create: () => ({
    traits: { delivered: 'sent', idempotent: false, holdsPosition: false, ordered: true, encoding: 'json', limits: {} },
    async open() {}, write: () => new Promise(() => {}), async close() {},
  }),
}
`,
  )
  home.write('  out: { type: ./stuck.mjs }')
  const running = startLogferry(['run', '-c', home.config])
  await until('the start', () => /is open/.test(running.stderr()))
  running.kill('SIGTERM')
  await until('the drain', () => /waiting for what is under way/.test(running.stderr()))
  running.kill('SIGTERM')
  expect(await running.ended).toBe(143)
})

it('serves metrics and health where the configuration says so', async () => {
  const home = newHome()
  home.write('  out: { type: file, path: ./out.ndjson }', `metrics: { listen: "127.0.0.1:0" }`)
  const running = startLogferry(['run', '-c', home.config])
  let address = ''
  await until('the address', () => {
    address = /metrics and health at ([\d.:]+)/.exec(running.stderr())?.[1] ?? ''
    return address !== '' && home.lines('out.ndjson') === ENTRIES
  })
  expect((await fetch(`http://${address}/health/live`)).status).toBe(200)
  expect(await (await fetch(`http://${address}/health/ready`)).json()).toEqual({ status: 'ready', problems: [] })
  const metrics = await (await fetch(`http://${address}/metrics`)).text()
  expect(metrics).toContain(`logferry_delivered_entries_total{sink="out"} ${ENTRIES}\n`)
  running.kill('SIGTERM')
  expect(await running.ended).toBe(0)
})

it('without a readable journal it ends with the mend, and never ships the sample unasked', () => {
  const home = newHome()
  mkdirSync(join(home.dir, 'none'))
  writeFileSync(home.config, `journal: { directories: [./none] }\nstate: ./state\nsinks: { out: { type: stdout } }\n`)
  const { status, stdout, stderr } = logferry(['run', '-c', home.config])
  expect({ status, stdout: stdout.toString() }).toEqual({ status: 74, stdout: '' })
  expect(stderr).toMatch(/^logferry: no journal files in .*none\n {2}name another directory/m)
})

it('ships the bundled sample at every start where the configuration asks for it, and says so in one line', async () => {
  const home = newHome('directories: [./none], sample: fallback, start: last 10')
  home.write('  out: { type: stdout, format: cat }')
  for (let start = 0; start < 2; start++) {
    const running = startLogferry(['run', '-c', home.config])
    await until('ten entries', () => running.stdout().split('\n').length > 10)
    running.kill('SIGTERM')
    expect(await running.ended).toBe(0)
    const said = running
      .stderr()
      .split('\n')
      .filter((line) => line.includes('sample journal'))
    expect(said).toHaveLength(1)
    expect(said[0]).toMatch(
      /there is no journal directory: .*none; .*-D.*\. Shipping the bundled sample journal instead/,
    )
  }
})

it('reports files of the journal that cannot be read, and reads the others', async () => {
  const mixed = openFixture('unknown-flag')
  const home = newHome(`directories: [${mixed.copy()}], start: oldest`)
  home.write('  out: { type: file, path: ./out.ndjson }')
  const running = startLogferry(['run', '-c', home.config])
  await until('all entries', () => home.lines('out.ndjson') === mixed.facts.oracle_entries)
  expect(running.stderr()).toMatch(/b\.journal uses journal features this version cannot read/)
  running.kill('SIGTERM')
  expect(await running.ended).toBe(0)
})

it('goes by the state folder of the command line, and of the configuration from its own folder', async () => {
  const home = newHome()
  home.write('  out: { type: file, path: ./out.ndjson }')
  const other = join(home.dir, 'elsewhere')
  const running = startLogferry(['run', '-c', home.config, '--state', other], { cwd: '/' })
  await until('all entries', () => home.lines('out.ndjson') === ENTRIES)
  running.kill('SIGTERM')
  expect(await running.ended).toBe(0)
  expect(existsSync(join(other, 'out/position.json'))).toBe(true)
  expect(existsSync(join(home.dir, 'state'))).toBe(false)
})
