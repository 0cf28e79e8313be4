// Who may ask, and that nobody sees an entry outside of their rules: by no route, filter, cursor, list, count or error.
import { createHash, generateKeyPairSync } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import { exportJWK, exportSPKI, SignJWT, UnsecuredJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventsOf, get, open, startTestApi, type TestApi } from '../../support/api.ts'
import { ApiJournal, entryAt, type GivenEntry } from '../../support/apiJournal.ts'
import { startMesos } from '../../support/mesosStandIn.ts'
import { describeWith } from '../../support/needs.ts'
import { until } from '../../support/program.ts'
import { tempDir } from '../../support/tempDir.ts'

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const TEAM = 'token-of-team-a-0123456789'
const OPERATOR = 'token-of-operator-0123456789'
const STRANGER = 'token-of-stranger-0123456789'
/** Stands in every entry that team a must not see. */
const MARK = 'zq9forbidden'

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

/** Entries of team a, of team b and of core services, mixed. */
const ENTRIES: readonly GivenEntry[] = Array.from({ length: 60 }, (_, i) => {
  const kind = i % 3
  if (kind === 0) {
    const task = { FRAMEWORK_ID: 'fw-a', EXECUTOR_ID: `ex-${i % 2}`, CONTAINER_ID: `co-${i % 4}`, AGENT_ID: 'ag-1' }
    return entryAt(i, {
      MESSAGE: `a ${i}`,
      STREAM: i % 2 === 0 ? 'STDOUT' : 'STDERR',
      PRIORITY: String(i % 8),
      ...task,
    })
  }
  const own = { PRIORITY: String(i % 8), SYSLOG_IDENTIFIER: MARK }
  if (kind === 1) {
    const task = {
      FRAMEWORK_ID: `${MARK}-fw`,
      EXECUTOR_ID: `${MARK}-ex`,
      CONTAINER_ID: `${MARK}-${i}`,
      STREAM: `${MARK}OUT`,
    }
    return entryAt(i, { MESSAGE: `${MARK} b ${i}`, ...task, ...own })
  }
  return entryAt(i, { MESSAGE: `${MARK} core ${i}`, _SYSTEMD_UNIT: `${MARK}.service`, UNIT: `${MARK}.service`, ...own })
})
const VISIBLE = ENTRIES.filter(({ fields }) => fields['FRAMEWORK_ID'] === 'fw-a')

describeWith(['systemd-journal-remote', 'journalctl'], 'access', () => {
  const home = tempDir()
  let journal: ApiJournal
  let visible: ApiJournal
  let api: TestApi
  let onlyVisible: TestApi

  beforeAll(async () => {
    journal = new ApiJournal(join(home, 'all'), ENTRIES)
    visible = new ApiJournal(join(home, 'visible'), VISIBLE)
    api = await startTestApi({
      dir: journal.dir,
      api: {
        auth: {
          tokens: [
            { name: 'team-a', sha256: sha256(TEAM), claims: { groups: ['a', 'b2'] } },
            { name: 'operator', sha256: sha256(OPERATOR), claims: { groups: 'ops' } },
            { name: 'stranger', sha256: sha256(STRANGER) },
          ],
          rules: [
            { when: { groups: 'a' }, see: [{ FRAMEWORK_ID: 'fw-a' }] },
            { when: { groups: 'ops' }, see: 'everything' },
          ],
        },
        limits: { failures: 3 },
      },
    })
    onlyVisible = await startTestApi({ dir: visible.dir, api: { auth: 'none' } })
  })

  afterAll(async () => {
    await api.close()
    await onlyVisible.close()
  })

  const params = fc.record(
    {
      filter: fc.array(
        fc.constantFrom(
          'STREAM:STDOUT',
          'stream:STDERR',
          `STREAM:${MARK}OUT`,
          `FRAMEWORK_ID:${MARK}-fw`,
          'FRAMEWORK_ID:fw-a',
          `MESSAGE:${MARK} b 1`,
          `CONTAINER_ID:${MARK}-1`,
          'CONTAINER_ID:co-0',
          `SYSLOG_IDENTIFIER:${MARK}`,
        ),
        { maxLength: 3 },
      ),
      limit: fc.integer({ min: 0, max: 70 }),
      skip_next: fc.integer({ min: 0, max: 70 }),
      skip_prev: fc.integer({ min: 0, max: 70 }),
      read_reverse: fc.constantFrom('true', 'false'),
    },
    { requiredKeys: [] },
  )

  const v2Params = fc.record(
    {
      filter: fc.array(fc.constantFrom('STREAM:STDOUT', `FRAMEWORK_ID:${MARK}-fw`, 'FRAMEWORK_ID:fw-a'), {
        maxLength: 2,
      }),
      limit: fc.integer({ min: 0, max: 70 }),
      skip: fc.integer({ min: -70, max: 70 }),
      cursor: fc.constantFrom('BEG', 'END'),
      priority: fc.constantFrom('0', '3', 'warning', '7'),
      grep: fc.constantFrom('a', MARK, '[0-9]$', '.*'),
      since: fc.integer({ min: 0, max: 61 }).map((second) => `@${1_700_000_000 + second}`),
      until: fc.integer({ min: 0, max: 61 }).map((second) => `@${1_700_000_000 + second}`),
      reverse: fc.constantFrom('true', 'false'),
    },
    { requiredKeys: [] },
  )
  const v1Paths = [
    '/v1/range/',
    '/v1/range/framework/fw-a/executor/ex-0/container/co-0',
    `/v1/range/framework/${MARK}-fw/executor/${MARK}-ex/container/${MARK}-1`,
    '/v1/fields/FRAMEWORK_ID',
    '/v1/fields/STREAM',
    '/v1/fields/CONTAINER_ID',
  ]
  const v2Paths = ['/v2/component', `/v2/component/${MARK}.service`, '/v2/component/x.service']

  const requests = fc.oneof(
    fc.tuple(fc.constantFrom(...v1Paths), params, fc.constantFrom('text/plain', 'application/x-nothing')),
    fc.tuple(fc.constantFrom(...v2Paths), v2Params, fc.constantFrom('text/plain')),
  )

  function urlOf(path: string, query: Readonly<Record<string, unknown>>): string {
    const pairs = Object.entries(query).flatMap(([name, value]) =>
      (Array.isArray(value) ? value : [value]).map((one) => `${name}=${encodeURIComponent(String(one))}`),
    )
    return pairs.length === 0 ? path : `${path}?${pairs.join('&')}`
  }

  it('answers a caller with rules exactly as if the other entries did not exist', async () => {
    await fc.assert(
      fc.asyncProperty(requests, async ([path, query, accept]) => {
        const url = urlOf(path, query)
        const [ours, model] = await Promise.all([
          get(api.port, url, { headers: { accept, ...bearer(TEAM) } }),
          get(onlyVisible.port, url, { headers: { accept } }),
        ])
        expect(ours.text).not.toContain(MARK)
        expect([ours.status, sorted(path, ours.text)]).toEqual([model.status, sorted(path, model.text)])
        for (const name of ['x-journal-skip-next', 'x-journal-skip-prev'])
          expect(ours.headers[name]).toBe(model.headers[name])
      }),
      { numRuns: 150, interruptAfterTimeLimit: 20_000, endOnFailure: true },
    )
  })

  /** Values of a field come in no particular order. */
  function sorted(path: string, text: string): string {
    return path.startsWith('/v1/fields/') && text.startsWith('[')
      ? JSON.stringify((JSON.parse(text) as string[]).sort())
      : text
  }

  it('shows nothing around the cursor of an entry that the caller may not see', async () => {
    const formats = ['application/json', 'text/plain', 'text/event-stream']
    const shapes = fc.tuple(
      fc.integer({ min: 1, max: ENTRIES.length }),
      fc.constantFrom(
        '',
        '&skip_prev=5',
        '&skip_next=3',
        '&read_reverse=true',
        '&read_reverse=true&skip_prev=2',
        '&limit=3',
      ),
      fc.constantFrom('/v1/range/', '/v1/range/download', '/v2/component'),
      fc.constantFrom(...formats),
    )
    await fc.assert(
      fc.asyncProperty(shapes, async ([n, more, path, accept]) => {
        // Events of /v2 follow: they are tried in the next test.
        const type = path === '/v2/component' && accept === 'text/event-stream' ? 'application/json' : accept
        const url = `${path}?cursor=${encodeURIComponent(journal.cursor(n))}${more}`
        const { text, status } = await get(api.port, url, { headers: { accept: type, ...bearer(TEAM) } })
        expect([200, 204]).toContain(status)
        expect(text).not.toContain(MARK)
      }),
      { numRuns: 60, interruptAfterTimeLimit: 20_000, endOnFailure: true },
    )
  })

  it('streams only what the caller may see, also what comes later, and also beside an operator on the same stream', async () => {
    const paths = [
      '/v1/stream/?skip_prev=3',
      '/v1/stream/?filter=FRAMEWORK_ID:fw-a&filter=FRAMEWORK_ID:zq9forbidden-fw',
      '/v2/component?cursor=END',
    ]
    for (const path of paths) {
      const accept = { accept: 'text/event-stream' }
      const team = await open(api.port, path, { headers: { ...accept, ...bearer(TEAM) } })
      const operator = await open(api.port, path, { headers: { ...accept, ...bearer(OPERATOR) } })
      const second = 100 + journal.entries.length
      journal.append(
        entryAt(second, { MESSAGE: `${MARK} live`, FRAMEWORK_ID: 'zq9forbidden-fw' }),
        entryAt(second + 1, { MESSAGE: `live ${second}`, FRAMEWORK_ID: 'fw-a' }),
      )
      const has = (body: Buffer) => eventsOf(body).some(({ data }) => data.includes(`"live ${second}"`))
      await until('the entry', () => has(team.body()) && has(operator.body()))
      expect(team.body().toString()).not.toContain(MARK)
      expect(operator.body().toString()).toContain(`${MARK} live`)
      team.close()
      operator.close()
    }
  })

  it('refuses who has no rule with 403, who has no token with 401 and a challenge, and says so in the words of the route', async () => {
    const stranger = await get(api.port, '/v1/range/', { headers: bearer(STRANGER) })
    expect([stranger.status, stranger.text]).toEqual([403, 'stranger may not see any entries here\n'])
    const v1 = await get(api.port, '/v1/range/')
    expect([v1.status, v1.text]).toEqual([401, 'Token error: Missing token in auth request\n'])
    expect(v1.headers['www-authenticate']).toBe('Bearer realm="logferry"')
    const v2 = await get(api.port, '/v2/component')
    expect([v2.status, v2.text]).toEqual([401, 'unable to get authorization header from a request\n'])
    for (const path of [
      '/v1/fields/STREAM',
      '/v1/stream/',
      '/v1/range/download',
      '/v2/task/x',
      '/v2/task/frameworks/f/executors/e/runs/c/files/browse',
    ]) {
      expect((await get(api.port, path)).status).toBe(401)
    }
  })

  it('takes a token from each place where it may stand, and sends no CORS to a caller known by cookie', async () => {
    const ways = [
      { authorization: `token=${OPERATOR}` },
      bearer(OPERATOR),
      { cookie: `a=b; dcos-acs-auth-cookie=${OPERATOR}` },
    ]
    for (const headers of ways) {
      const { status, headers: answered } = await get(api.port, '/v1/range/?limit=1', {
        headers: headers as Record<string, string>,
      })
      expect(status).toBe(200)
      expect(answered['access-control-allow-origin']).toBe('cookie' in headers ? undefined : '*')
    }
    // The header wins over the cookie.
    const both = await get(api.port, '/v1/range/', {
      headers: { cookie: `dcos-acs-auth-cookie=${OPERATOR}`, authorization: 'token=x' },
    })
    expect(both.status).toBe(401)
  })

  it('makes an address wait that tries too many tokens, but lets those go on that it knows', async () => {
    const own = await startTestApi({
      dir: journal.dir,
      api: { auth: { tokens: [{ name: 'op', sha256: sha256(OPERATOR) }] }, limits: { failures: 3 } },
    })
    expect((await get(own.port, '/v1/range/?limit=1', { headers: bearer(OPERATOR) })).status).toBe(200)
    const statuses: number[] = []
    for (let i = 0; i < 5; i++)
      statuses.push((await get(own.port, '/v1/range/', { headers: bearer(`guess${i}`) })).status)
    expect(statuses).toEqual([401, 401, 401, 429, 429])
    expect((await get(own.port, '/v1/range/?limit=1', { headers: bearer(OPERATOR) })).status).toBe(200)
    const counts = Object.fromEntries(own.metrics.read().map(({ labels, value }) => [labels['reason'], value]))
    expect(counts).toMatchObject({ invalid: 3, throttled: 2 })
    await own.close()
  })

  it('leaves a line for each request, without a token in it', async () => {
    await get(api.port, `/v1/range/?limit=1&token=${OPERATOR}`, { headers: bearer(OPERATOR) })
    await get(api.port, '/v1/range/?x=%0a%22level%22:%22error', { headers: bearer(`${OPERATOR}x`) })
    await until('the lines', () => api.log().includes('level%22'))
    expect(api.log()).not.toContain(OPERATOR)
    const lines = api
      .log()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(lines.every(({ msg }) => msg === 'request')).toBe(true)
    expect(lines.find(({ caller }) => caller === 'operator')).toMatchObject({
      how: 'token',
      method: 'GET',
      status: 200,
    })
  })

  describe('tasks and their files', () => {
    const run = (framework: string) => `/v2/task/frameworks/${framework}/executors/ex/runs/co`
    const file = (framework: string) => `/mesos/slaves/ag-1/frameworks/${framework}/executors/ex/runs/co/stdout`
    const task = (id: string, framework: string) => ({
      id,
      name: id,
      framework_id: framework,
      executor_id: '',
      slave_id: 'ag-1',
      statuses: [{ container_status: { container_id: { value: 'co' } } }],
    })

    it('are found and read by those whose rules name them, and do not exist for others', async () => {
      const tasks = [task('web.a', 'fw-a'), task(`web.${MARK}`, `${MARK}-fw`)]
      const state = { frameworks: [{ tasks }], slaves: [{ id: 'ag-1', pid: 'slave(1)@10.0.0.5:5051' }] }
      const mesos = await startMesos({ state, files: { [file('fw-a')]: 'mine\n', [file(`${MARK}-fw`)]: `${MARK}\n` } })
      const own = await startTestApi({
        dir: journal.dir,
        node: { role: 'agent', ip: '10.0.0.5' },
        mesos: { master: mesos.url, agent: mesos.url, work_dir: '/mesos' },
        api: {
          auth: {
            tokens: [
              { name: 'team-a', sha256: sha256(TEAM) },
              { name: 'operator', sha256: sha256(OPERATOR) },
            ],
            rules: [
              { when: { sub: 'team-a' }, see: [{ FRAMEWORK_ID: 'fw-a' }, { _SYSTEMD_UNIT: 'x.service' }] },
              { when: { sub: 'operator' }, see: 'everything' },
            ],
          },
        },
      })
      const as = async (token: string, path: string) => await get(own.port, path, { headers: bearer(token) })
      expect((await as(TEAM, '/v2/task/web')).status).toBe(303)
      expect((await as(OPERATOR, '/v2/task/web')).status).toBe(409)
      for (const path of [
        `/v2/task/web.${MARK}`,
        `${run(`${MARK}-fw`)}/stdout`,
        `${run(`${MARK}-fw`)}/files/browse`,
        `${run(`${MARK}-fw`)}/stdout/download`,
      ]) {
        const { status, text } = await as(TEAM, path)
        expect(status).toBe(404)
        expect(text).not.toContain(MARK)
        expect((await as(OPERATOR, path)).status).toBeLessThan(400)
      }
      expect((await as(TEAM, `${run('fw-a')}/stdout`)).text).toBe('mine\n')
      // The caller's own token is what Mesos is shown.
      expect(new Set(mesos.seen)).toEqual(new Set([`Bearer ${TEAM}`, `Bearer ${OPERATOR}`]))
      // No way out of the sandbox.
      for (const path of ['/%2e%2e/%2e%2e/stdout', '/..%2f..%2fstdout', '/stdout%2f..%2f..']) {
        expect([301, 404]).toContain((await as(TEAM, `${run('fw-a')}${path}`)).status)
      }
      await own.close()
      await mesos.close()
    })
  })
})

describeWith(['systemd-journal-remote'], 'JSON Web Tokens', () => {
  const home = tempDir()
  const SECRET = 'a shared secret of more than thirty-two characters'
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const nextEc = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  let dir: string
  let keys: Server
  let published: object[]
  let fetches = 0

  beforeAll(async () => {
    dir = new ApiJournal(join(home, 'journal'), [entryAt(1, { MESSAGE: 'one' })]).dir
    published = [{ ...(await exportJWK(ec.publicKey)), kid: 'first', alg: 'ES256', use: 'sig' }]
    keys = createServer((_request, response) => {
      fetches++
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ keys: published }))
    })
    await new Promise<void>((resolve) => keys.listen(0, '127.0.0.1', resolve))
  })
  afterAll(() => void keys.close())

  const jwksUrl = () => `http://127.0.0.1:${(keys.address() as AddressInfo).port}/keys`
  const token = (claims: Record<string, unknown> = {}, alg = 'HS256', kid?: string) =>
    new SignJWT({
      uid: 'alice',
      iss: 'idp',
      aud: 'logs',
      exp: Math.floor(Date.now() / 1000) + 300,
      ...claims,
    }).setProtectedHeader({
      alg,
      ...(kid !== undefined && { kid }),
    })
  const secretKey = Buffer.from(SECRET)
  const withJwt = (jwt: object, more: object = {}) =>
    startTestApi({ dir, api: { auth: { jwt, ...more }, limits: { failures: 1000 } } })
  const ask = async (api: TestApi, text: string) =>
    (await get(api.port, '/v1/range/', { headers: bearer(text) })).status

  it('are taken when they are signed by the secret, and refused when anything is wrong with them', async () => {
    const api = await withJwt({ secret: SECRET, issuer: 'idp', audience: 'logs', leeway: '5s' })
    const now = Math.floor(Date.now() / 1000)
    expect(await ask(api, await token().sign(secretKey))).toBe(200)
    expect(await ask(api, await token({ exp: now - 3 }).sign(secretKey))).toBe(200)
    const wrong = {
      expired: await token({ exp: now - 60 }).sign(secretKey),
      'without exp': await token({ exp: undefined }).sign(secretKey),
      'not yet': await token({ nbf: now + 60 }).sign(secretKey),
      issuer: await token({ iss: 'other' }).sign(secretKey),
      audience: await token({ aud: 'other' }).sign(secretKey),
      nobody: await token({ uid: undefined }).sign(secretKey),
      secret: await token().sign(Buffer.from('another secret of more than thirty-two chars')),
      none: new UnsecuredJWT({ uid: 'alice', iss: 'idp', aud: 'logs', exp: now + 300 }).encode(),
      'none, signed': `${Buffer.from('{"alg":"none"}').toString('base64url')}.${(await token().sign(secretKey)).split('.').slice(1).join('.')}`,
      HS512: await token({}, 'HS512').sign(Buffer.from(SECRET.repeat(2))),
      oversized: await token({ pad: 'x'.repeat(7000) }).sign(secretKey),
      garbage: 'a.b.c',
      empty: '..',
    }
    for (const [name, text] of Object.entries(wrong)) expect([name, await ask(api, text)]).toEqual([name, 401])
    const { headers } = await get(api.port, '/v1/range/', { headers: bearer(wrong.expired) })
    expect(headers['www-authenticate']).toContain('error="invalid_token"')
    expect(api.log()).not.toContain(wrong.expired)
    await api.close()
  })

  it('cannot pass off a public key as the secret, nor one kind of key as another', async () => {
    const pem = await exportSPKI(rsa.publicKey)
    const api = await withJwt({ key: pem })
    expect(await ask(api, await token({}, 'RS256').sign(rsa.privateKey))).toBe(200)
    expect(await ask(api, await token({}, 'HS256').sign(Buffer.from(pem)))).toBe(401)
    expect(await ask(api, await token({}, 'HS256').sign(Buffer.from(pem.trim())))).toBe(401)
    expect(await ask(api, await token({}, 'PS256').sign(rsa.privateKey))).toBe(401)
    expect(await ask(api, await token({}, 'ES256').sign(ec.privateKey))).toBe(401)
    await api.close()
    const curve = await withJwt({ key: await exportSPKI(ec.publicKey) })
    expect(await ask(curve, await token({}, 'ES256').sign(ec.privateKey))).toBe(200)
    expect(await ask(curve, await token({}, 'RS256').sign(rsa.privateKey))).toBe(401)
    await curve.close()
  })

  it('follow a key set, which is not asked again for each unknown key', async () => {
    const api = await withJwt({ jwks: jwksUrl() })
    expect(await ask(api, await token({}, 'ES256', 'first').sign(ec.privateKey))).toBe(200)
    const before = fetches
    for (let i = 0; i < 5; i++)
      expect(await ask(api, await token({ i }, 'ES256', `unknown${i}`).sign(nextEc.privateKey))).toBe(401)
    expect(fetches).toBeLessThanOrEqual(before + 1)
    await api.close()
    // Rotated: a server that has not fetched yet takes the new key, and not the old one any more.
    published = [{ ...(await exportJWK(nextEc.publicKey)), kid: 'second', alg: 'ES256', use: 'sig' }]
    const next = await withJwt({ jwks: jwksUrl() })
    expect(await ask(next, await token({}, 'ES256', 'second').sign(nextEc.privateKey))).toBe(200)
    expect(await ask(next, await token({}, 'ES256', 'first').sign(ec.privateKey))).toBe(401)
    await next.close()
  })

  it('are neither right nor wrong while the key set cannot be had', async () => {
    const api = await withJwt({ jwks: 'http://127.0.0.1:1/keys' })
    expect(await ask(api, await token({}, 'ES256', 'first').sign(ec.privateKey))).toBe(503)
    await api.close()
  })

  it('bring the claims that rules go by', async () => {
    const rules = [{ when: { groups: 'ops', uid: ['alice', 'bob'] }, see: 'everything' }]
    const api = await withJwt({ secret: SECRET }, { rules })
    expect(await ask(api, await token({ groups: ['dev', 'ops'] }).sign(secretKey))).toBe(200)
    expect(await ask(api, await token({ groups: ['dev'] }).sign(secretKey))).toBe(403)
    expect(await ask(api, await token({ groups: 'ops', uid: 'carol' }).sign(secretKey))).toBe(403)
    await api.close()
  })
})
