// docs/write-a-sink.md: the sink on the page is taken from it as it stands and ships to a local server.
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, it, onTestFinished } from 'vitest'
import { openFixture } from '../support/fixtures.ts'
import { startLogferry } from '../support/program.ts'
import { tempDir } from '../support/tempDir.ts'

const ROOT = join(import.meta.dirname, '../..')
const PAGE = readFileSync(join(ROOT, 'docs/write-a-sink.md'), 'utf8')
const fixture = openFixture('multi-boot')
const CURSORS = Array.from(
  fixture
    .oracle('export')
    .toString('latin1')
    .matchAll(/^__CURSOR=(.*)$/gm),
  (match) => match[1],
)

/** The page's only block of this language. */
function block(language: string): string {
  const found = Array.from(PAGE.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms')), (match) => match[1])
  expect(found).toHaveLength(1)
  return found[0] as string
}

/** What `npm install logferry zod` leaves, as far as the sink sees it: the contract under its public name, and zod. */
function install(folder: string): void {
  const own = join(folder, 'node_modules/logferry')
  mkdirSync(own, { recursive: true })
  writeFileSync(
    join(own, 'package.json'),
    '{ "name": "logferry", "type": "module", "exports": { "./sink": "./sink.js" } }',
  )
  writeFileSync(join(own, 'sink.js'), `export * from '${pathToFileURL(join(ROOT, 'src/sink.ts')).href}'\n`)
  symlinkSync(join(ROOT, 'node_modules/zod'), join(folder, 'node_modules/zod'))
}

it('ships every entry through the sink on the page, also after answers that say no', async () => {
  const lines: string[] = []
  const answers = [503, 413]
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text
    })
    request.on('end', () => {
      const status = answers.shift() ?? 204
      if (status === 204) lines.push(...body.trimEnd().split('\n'))
      response.writeHead(status).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())

  const home = tempDir()
  install(home)
  writeFileSync(join(home, 'webhook.ts'), block('ts'))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/in`
  const yaml = block('yaml')
  expect(yaml).toContain('https://logs.example.org/in')
  const config = join(home, 'logferry.yaml')
  writeFileSync(config, `state: ./state\n${yaml.replace('https://logs.example.org/in', url)}`)

  const running = startLogferry(['backfill', '-c', config, '--sink', 'hook', '-D', fixture.dir, '--patience', '10s'])
  expect({ status: await running.ended, stderr: running.stderr() }).toMatchObject({
    status: 0,
    stderr: expect.stringContaining(`delivered  ${CURSORS.length} (`),
  })
  const received = lines.map((line) => (JSON.parse(line) as { __CURSOR: string }).__CURSOR)
  // Writes overlap, and halves of a batch may arrive in any order.
  expect(received.toSorted()).toEqual(CURSORS.toSorted())
})
