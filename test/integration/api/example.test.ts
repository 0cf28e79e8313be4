// config/examples/api.yaml, started as it stands but for its state folder and the journal.
import { createHmac } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { get } from '../../support/api.ts'
import { openFixture } from '../../support/fixtures.ts'
import { startLogferry, until } from '../../support/program.ts'
import { tempDir } from '../../support/tempDir.ts'

const SECRET = 'the secret of this test, long enough'

function token(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${part({ alg: 'HS256' })}.${part({ exp: Date.now() / 1000 + 60, iss: 'dcos', ...claims })}`
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`
}

it('the example of the API starts and knows its callers', async () => {
  const home = tempDir()
  const example = readFileSync(join(import.meta.dirname, '../../../config/examples/api.yaml'), 'utf8')
  const own = example.replace('/var/lib/logferry', './state').replace('127.0.0.1:9105', '127.0.0.1:0')
  writeFileSync(join(home, 'api.yaml'), `${own}\njournal: { directories: [${openFixture('users').copy()}] }\n`)
  const env = { JWT_SECRET: SECRET, LOGFERRY_API: '127.0.0.1:0' }
  const running = startLogferry(['run', '-c', join(home, 'api.yaml')], { env })
  try {
    await until('the address', () => /logging API at 127\.0\.0\.1:\d+/.test(running.stderr()))
    const port = Number(/logging API at 127\.0\.0\.1:(\d+)/.exec(running.stderr())?.[1])
    const status = async (claims: object) =>
      (await get(port, '/v1/range/', { headers: { authorization: `Bearer ${token(claims)}` } })).status
    expect(await status({ uid: 'alice', groups: ['operators'] })).toBe(200)
    expect(await status({ uid: 'bob', groups: ['team-a'] })).toBe(204)
    expect(await status({ uid: 'carol' })).toBe(403)
    expect((await get(port, '/v1/range/')).status).toBe(401)
  } finally {
    running.kill('SIGTERM')
  }
  expect(await running.ended).toBe(0)
})
