import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Config, changesThatNeedRestart, loadConfig } from '../../src/config/load.ts'
import { ConfigProblems } from '../../src/config/mistakes.ts'
import { isProblem } from '../../src/errors.ts'
import type { SinkHost } from '../../src/sink.ts'
import { tempDir } from '../support/tempDir.ts'

const dir = tempDir()
const file = join(dir, 'logferry.yaml')
mkdirSync(join(dir, 'node_modules'))
symlinkSync(join(import.meta.dirname, '../../node_modules/zod'), join(dir, 'node_modules/zod'))
// Gives its configuration back in place of a sink, so that the tests see what reached it.
writeFileSync(
  join(dir, 'web.mjs'),
  `import * as z from 'zod'
export default {
  api: 1, name: 'web', summary: 'For tests.',
  config: z.strictObject({
    url: z.url(),
    port: z.int().min(1).max(65535).optional(),
    token: z.string().min(8).optional().meta({ writeOnly: true }),
    level: z.enum(['low', 'high']).default('low'),
    on: z.boolean().optional(),
    tags: z.array(z.string()).optional(),
    tls: z.union([z.boolean(), z.strictObject({ ca: z.string() })]).optional(),
    path: z.string().optional().meta({ format: 'path', exclusive: true }),
    tag: z.string().optional().meta({ format: 'template' }),
  }),
  create: (config, host) => ({ config, host }),
}`,
)

async function load(text: string, env: Record<string, string> = {}): Promise<Config> {
  writeFileSync(file, text)
  return await loadConfig(file, env)
}

async function mistakesOf(text: string, env: Record<string, string> = {}): Promise<string> {
  try {
    await load(text, env)
    return 'fine'
  } catch (error) {
    if (!(error instanceof ConfigProblems)) throw error
    return error.message.replaceAll(file, 'logferry.yaml').replaceAll(dir, 'DIR')
  }
}

/** What the sink of web.mjs was given. */
function configOf(config: Config, name: string): unknown {
  const spec = config.sinks.find((sink) => sink.name === name)
  return (spec!.create({} as SinkHost) as unknown as { config: unknown }).config
}

describe('loadConfig', () => {
  it("takes a sink's own defaults for what all sinks have, unless something is written", async () => {
    writeFileSync(
      join(dir, 'slow.mjs'),
      `import * as z from 'zod'
export default { api: 1, name: 'slow', summary: 'For tests.', config: z.strictObject({}), create: () => ({}),
  defaults: { timeout: '5min', in_flight: 12 } }`,
    )
    const { sinks } = await load(`sinks:
  a: { type: ./slow.mjs }
  b: { type: ./slow.mjs, timeout: 7s, in_flight: 3 }
  c: { type: ./slow.mjs, concurrency: 10 }
  d: { type: stdout }`)
    expect(sinks.map(({ settings }) => [settings.timeoutMs, settings.inFlight])).toEqual([
      [300_000, 12],
      [7000, 3],
      [300_000, 20],
      [90_000, 4],
    ])
  })

  it('fills in defaults for all that is not written', async () => {
    const { sinks, sections: _, ...rest } = await load('sinks: { out: { type: stdout } }')
    expect(rest).toEqual({
      file,
      journal: {
        directories: undefined,
        machineId: 'local',
        namespaces: [],
        start: { kind: 'now' },
        sample: 'never',
        match: [],
      },
      state: '/var/lib/logferry',
      memory: 64 * 2 ** 20,
      retain: { maxBytes: 2 * 2 ** 30 },
      node: { role: undefined, ip: undefined, labels: {} },
      metrics: undefined,
      shutdownTimeoutMs: 30_000,
      log: { level: 'info', format: 'auto' },
      warnings: [],
    })
    expect(sinks).toEqual([
      {
        name: 'out',
        type: 'stdout',
        settings: {
          match: [],
          shape: 'journal',
          fields: {},
          binary: 'base64',
          record: { timestamp: 'entry', custom: 'keep' },
          batch: { entries: 2000, bytes: 2_000_000, waitMs: 1000 },
          concurrency: 2,
          inFlight: 4,
          retry: { baseMs: 250, capMs: 10_000, giveUpAfterMs: undefined },
          timeoutMs: 90_000,
          start: undefined,
        },
        fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
        writes: [],
        create: expect.any(Function),
      },
    ])
  })

  it('reads every option', async () => {
    const config = await load(`
journal:
  directories: [/mnt/journal, logs]
  namespaces: ["*"]
  sample: fallback
  start: last 10
  match: [{ PRIORITY: [3, 04], _UID: 0 }, { _TRANSPORT: kernel }]
state: state
memory: 128MiB
retain: { max_size: 0 }
node: { role: agent, ip: 10.0.0.5, labels: { cluster: prod } }
sinks:
  all-1:
    type: file
    path: /tmp/out.ndjson
    match: [{ A: 1 }]
    start: 2026-01-31T13:45:00Z
    shape: ecs
    fields:
      include: [MESSAGE, _SYSTEMD_*]
      exclude: [_CAP_EFFECTIVE]
      rename: { MESSAGE: msg }
      add: { env: test }
      mask: [{ field: MESSAGE, pattern: 'a+' }, { pattern: b, replace: "[$1]" }]
      max_bytes: 32KiB
      custom: drop
      max_custom: 10
    timestamp: source
    ecs: { priority: rfc5424 }
    binary: array
    batch: { entries: 100, bytes: 64KiB, wait: 5s }
    concurrency: 3
    in_flight: 7
    retry: { base: 100ms, cap: 1min, give_up_after: 1d }
    timeout: 30s
metrics: { listen: "127.0.0.1:9105" }
shutdown_timeout: 1min
log: { level: debug, format: json }
`)
    const { sections: _, warnings: __, sinks, ...rest } = config
    expect(rest).toEqual({
      file,
      journal: {
        directories: ['/mnt/journal', join(dir, 'logs')],
        machineId: 'any',
        namespaces: ['*'],
        start: { kind: 'last', entries: 10 },
        sample: 'fallback',
        match: [
          [
            { field: 'PRIORITY', values: ['3', '04'] },
            { field: '_UID', values: ['0'] },
          ],
          [{ field: '_TRANSPORT', values: ['kernel'] }],
        ],
      },
      state: join(dir, 'state'),
      memory: 128 * 2 ** 20,
      retain: { maxBytes: 0 },
      node: { role: 'agent', ip: '10.0.0.5', labels: { cluster: 'prod' } },
      metrics: { listen: { kind: 'tcp', host: '127.0.0.1', port: 9105 } },
      shutdownTimeoutMs: 60_000,
      log: { level: 'debug', format: 'json' },
    })
    expect(sinks[0]?.settings).toEqual({
      // An entry must pass the journal's match and the sink's.
      match: [
        [
          { field: 'PRIORITY', values: ['3', '04'] },
          { field: '_UID', values: ['0'] },
          { field: 'A', values: ['1'] },
        ],
        [
          { field: '_TRANSPORT', values: ['kernel'] },
          { field: 'A', values: ['1'] },
        ],
      ],
      shape: 'ecs',
      fields: {
        include: ['MESSAGE', '_SYSTEMD_*'],
        exclude: ['_CAP_EFFECTIVE'],
        rename: { MESSAGE: 'msg' },
        add: { env: 'test' },
        mask: [
          { field: 'MESSAGE', pattern: /a+/gu, replace: '***' },
          { pattern: /b/gu, replace: '[$1]' },
        ],
        maxBytes: 32_768,
      },
      binary: 'array',
      record: { timestamp: 'source', custom: 'drop', customLimit: 10, priority: 'rfc5424' },
      batch: { entries: 100, bytes: 65_536, waitMs: 5000 },
      concurrency: 3,
      inFlight: 7,
      retry: { baseMs: 100, capMs: 60_000, giveUpAfterMs: 86_400_000 },
      timeoutMs: 30_000,
      start: { kind: 'since', realtimeUs: Date.UTC(2026, 0, 31, 13, 45) * 1000 },
    })
  })

  it('tells all mistakes at once, by line, with what was expected and the nearest right name', async () => {
    const text = `
journal:
  directorys: [/var/log/journal]
  start: sometime
  match: [{ PRIORITY: 3, message: x }, { _UID: {} }]
memory: 5
state:
node: { role: agnet, labels: { a b: c } }
sinks:
  search:
    type: ./web.mjs
    url: nope
    port: \${PORT}
    on: yep
    tls: { cert: x }
    tags: [a, { b: c }]
    level: hihg
    tokn: 5
    bach: {}
    batch: { entries: many, bytes: 3 MB, wait: 30 }
    retry: fast
  Two: { type: stdot }
  three: { type: ./web.mjs, url: "\${URL:?where the server is}", port: "77" }
  four: { path: /x }
  five: hello
metrics: { listen: 99 }
log: { level: verbose }
shutdown_timeout: 30
plugins: []
`
    expect(await mistakesOf(text, { PORT: '99999' })).toMatchInlineSnapshot(`
      "logferry.yaml has 30 mistakes:
      logferry.yaml:3:3  journal.directorys: there is no option "directorys"; did you mean "directories"?
      logferry.yaml:4:10  journal.start: found "sometime", expected now, oldest, "last N" for the last N entries, or a time such as 2026-01-31T13:45:00Z or -2h
      logferry.yaml:5:26  journal.match[0].message: found the name "message", expected the name of a journal field: capital letters, digits and _, such as _SYSTEMD_UNIT
      logferry.yaml:5:48  journal.match[1]._UID: found a mapping, expected a text or a list
      logferry.yaml:6:9  memory: found 5, expected a size such as 64KiB, 5MB or 2GiB, at least 8 MiB
      logferry.yaml:7:1  state: found nothing, expected a path
      logferry.yaml:8:15  node.role: found "agnet", expected master, agent or agent_public; did you mean "agent"?
      logferry.yaml:8:32  node.labels["a b"]: found the name "a b", expected a name of letters, digits, "_", "-" and ".", such as cluster
      logferry.yaml:12:10  sinks.search.url: found "nope", expected a URL such as https://host:port
      logferry.yaml:13:11  sinks.search.port: found the value of "\${PORT}", expected at most 65535
      logferry.yaml:14:9  sinks.search.on: found "yep", expected true or false
      logferry.yaml:15:5  sinks.search.tls.ca: is missing, expected a text
      logferry.yaml:15:12  sinks.search.tls.cert: there is no option "cert"; expected ca
      logferry.yaml:16:15  sinks.search.tags[1]: found a mapping, expected a text
      logferry.yaml:17:12  sinks.search.level: found "hihg", expected low or high; did you mean "high"?
      logferry.yaml:18:5  sinks.search.tokn: there is no option "tokn"; did you mean "token"?
      logferry.yaml:19:5  sinks.search.bach: there is no option "bach"; did you mean "batch"?
      logferry.yaml:20:23  sinks.search.batch.entries: found "many", expected a whole number from 1 to 1000000
      logferry.yaml:20:48  sinks.search.batch.wait: found 30, expected a time such as 500ms, 30s or 2h
      logferry.yaml:21:12  sinks.search.retry: found "fast", expected a mapping
      logferry.yaml:22:3  sinks.Two: found the name "Two", expected a name of lower-case letters, digits, "_" and "-"; "lock" and "backfill" are taken
      logferry.yaml:22:16  sinks.Two.type: there is no sink "stdot"; did you mean "stdout"?
      logferry.yaml:23:34  sinks.three.url: the environment variable URL is not set; where the server is
      logferry.yaml:23:71  sinks.three.port: found "77", expected a whole number
      logferry.yaml:24:3  sinks.four.type: is missing, expected elasticsearch, file, fluentd, http, loki, null, otlp, redis, splunk, stdout, the name of a package, or ./FILE
      logferry.yaml:25:9  sinks.five: found no mapping, expected a mapping such as { type: stdout }
      logferry.yaml:26:20  metrics.listen: found 99, expected HOST:PORT such as 127.0.0.1:9105, or unix:/path
      logferry.yaml:27:15  log.level: found "verbose", expected debug, info, warn or error
      logferry.yaml:28:19  shutdown_timeout: found 30, expected a time such as 500ms, 30s or 2h
      logferry.yaml:29:1  plugins: there is no option "plugins"; expected journal, state, memory, retain, node, sinks, api, mesos, metrics, shutdown_timeout, log"
    `)
  })

  it('gives the same as data', async () => {
    const error = await load('sinks: { out: { type: stdot } }\nmemmory: 1').catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({
      code: 'LF_CONFIG',
      exit: 78,
      mistakes: [
        {
          code: 'LF_CONFIG_SINK_UNKNOWN',
          file,
          line: 1,
          column: 23,
          path: 'sinks.out.type',
          message: 'there is no sink "stdot"',
          hint: 'did you mean "stdout"?',
        },
        { code: 'LF_CONFIG_UNKNOWN_KEY', line: 2, column: 1, path: 'memmory', hint: 'did you mean "memory"?' },
      ],
    })
  })

  it('limits the names of applications where they become fields of an index, and knows what belongs to shape ecs', async () => {
    const { sinks } = await load(`
sinks:
  es: { type: elasticsearch, nodes: ["http://a:9200"] }
  queue: { type: redis, url: "redis://a", key: logs }
  more: { type: elasticsearch, nodes: ["http://a:9200"], fields: { max_custom: 7 } }
  out: { type: stdout }
`)
    expect(sinks.map(({ settings }) => settings.record?.customLimit)).toEqual([500, 500, 7, undefined])
    const error = await load('sinks: { a: { type: stdout, ecs: { priority: rfc5424 } } }').catch(String)
    expect(String(error)).toContain('expected `shape: ecs` beside it')
  })

  it('checks options against each other', async () => {
    const text = `
sinks:
  a: { type: ./web.mjs, url: "http://a", path: x, concurrency: 4, in_flight: 2, retry: { base: 2s, cap: 1s } }
  b: { type: ./web.mjs, url: "http://b", path: ./x }
`
    expect(await mistakesOf(text)).toMatchInlineSnapshot(`
      "logferry.yaml has 3 mistakes:
      logferry.yaml:3:78  sinks.a.in_flight: found 2, expected at least 4, the value of concurrency
      logferry.yaml:3:105  sinks.a.retry.cap: found "1s", expected at least the value of retry.base
      logferry.yaml:4:48  sinks.b.path: the sink "a" has the same path already"
    `)
  })

  it.each([
    ['sinks:', 'sinks: found nothing, expected at least one sink, such as "out: { type: stdout }"'],
    ['sinks: {}', 'sinks: expected at least one sink, such as "out: { type: stdout }"'],
    ['memory: 64MiB', 'sinks: is missing, expected at least one sink, such as "out: { type: stdout }"'],
    ['sinks: [a]', 'sinks: found a list, expected at least one sink, such as "out: { type: stdout }"'],
    ['sinks: { lock: { type: stdout } }', '"lock" and "backfill" are taken'],
    ['sinks: { a: { type: } }', 'sinks.a.type: found no text, expected the kind of sink, such as stdout'],
  ])('finds fault with %j', async (text, answer) => {
    expect(await mistakesOf(text)).toContain(answer)
  })

  it('types values by what the option wants, with and without variables and quotes', async () => {
    const env = { PORT: '9200', ON: 'true', CODE: '0012', LONG: '0123456789', STAMP: '1e3' }
    const config = await load(
      `
sinks:
  a: { type: ./web.mjs, url: "http://h:\${PORT}/", port: "\${PORT}", on: "\${ON}", token: 0123456789, tags: ["\${ON}", 0012, true, "\${CODE}"] }
  b:
    type: ./web.mjs
    url: \${URL:-http://h}
    port: \${PORT}
    on: \${ON}
    token: \${LONG}
    tls: \${ON}
    tags:
      - \${STAMP}
      - x\${CODE}
    tag: a.\${_SYSTEMD_UNIT}
    batch: { wait: "\${WAIT:-2s}", entries: "\${ENTRIES:-10}" }
    match:
    retry:
`,
      env,
    )
    expect(configOf(config, 'a')).toEqual({
      url: 'http://h:9200/',
      port: 9200,
      on: true,
      token: '0123456789',
      level: 'low',
      tags: ['true', '0012', 'true', '0012'],
    })
    expect(configOf(config, 'b')).toEqual({
      url: 'http://h',
      port: 9200,
      on: true,
      token: '0123456789',
      level: 'low',
      tls: true,
      tags: ['1e3', 'x0012'],
      tag: 'a.${_SYSTEMD_UNIT}',
    })
    expect(config.sinks[1]?.settings.batch).toEqual({ entries: 10, bytes: 2_000_000, waitMs: 2000 })
  })

  it('never shows what a variable, a file or a secret option holds', async () => {
    writeFileSync(join(dir, 'short'), 'hunter2')
    chmodSync(join(dir, 'short'), 0o600)
    const text = `
sinks:
  a: { type: ./web.mjs, url: "http://a", token: hunter2 }
  b: { type: ./web.mjs, url: "\${URL}", token: "\${TOKEN}" }
  c: { type: ./web.mjs, url: "http://a", token: { file: short } }
`
    const answer = await mistakesOf(text, { TOKEN: 'hunter2', URL: 'hunter2' })
    expect(answer).not.toContain('hunter2')
    expect(answer).toMatchInlineSnapshot(`
      "logferry.yaml has 4 mistakes:
      logferry.yaml:3:49  sinks.a.token: found a value that is not shown, expected at least 8 characters
      logferry.yaml:4:30  sinks.b.url: found the value of "\${URL}", expected a URL such as https://host:port
      logferry.yaml:4:47  sinks.b.token: found the value of "\${TOKEN}", expected at least 8 characters
      logferry.yaml:5:49  sinks.c.token: found the text of that file, expected at least 8 characters"
    `)
  })

  it('reads secrets from files, and warns when everybody can read them', async () => {
    mkdirSync(join(dir, 'secrets'), { recursive: true })
    writeFileSync(join(dir, 'secrets/token'), 'x"y${NO} \n')
    chmodSync(join(dir, 'secrets/token'), 0o600)
    writeFileSync(join(dir, 'open'), '123456789\r\n')
    chmodSync(join(dir, 'open'), 0o644)
    const config = await load(
      `
sinks:
  a: { type: ./web.mjs, url: "http://a", token: { file: "\${DIR}/token" } }
  b: { type: ./web.mjs, url: "http://a", token: { file: ./open } }
node: { labels: { file: a label } }
`,
      { DIR: join(dir, 'secrets') },
    )
    expect(configOf(config, 'a')).toMatchObject({ token: 'x"y${NO} ' })
    expect(configOf(config, 'b')).toMatchObject({ token: '123456789' })
    expect(config.node.labels).toEqual({ file: 'a label' })
    expect(config.warnings).toEqual([
      {
        code: 'LF_CONFIG_SECRET_OPEN',
        file,
        line: 4,
        column: 57,
        path: 'sinks.b.token',
        message: `the secret in ${dir}/open can be read by every user of this machine`,
        hint: `chmod o-r ${dir}/open`,
      },
    ])
  })

  it('says why a secret cannot be read', async () => {
    writeFileSync(join(dir, 'empty'), '\n')
    writeFileSync(join(dir, 'binary'), Buffer.from([0xff, 0xfe, 0x00]))
    const tokens = [
      '{ file: missing }',
      '{ file: empty }',
      '{ file: binary }',
      '{ file: . }',
      '{ file: "${NO}" }',
      '{ file: [x] }',
    ]
    const text = `sinks:\n${tokens.map((token, n) => `  s${n}: { type: ./web.mjs, url: "http://a", token: ${token} }\n`).join('')}`
    expect(await mistakesOf(text)).toMatchInlineSnapshot(`
      "logferry.yaml has 6 mistakes:
      logferry.yaml:2:58  sinks.s0.token: cannot read the secret from DIR/missing: there is no such file
      logferry.yaml:3:58  sinks.s1.token: cannot read the secret from DIR/empty: it is empty
      logferry.yaml:4:58  sinks.s2.token: cannot read the secret from DIR/binary: it is not text in UTF-8
      logferry.yaml:5:58  sinks.s3.token: cannot read the secret from DIR: it is a folder
      logferry.yaml:6:58  sinks.s4.token.file: the environment variable NO is not set; set it, or write \${NO:-default}
      logferry.yaml:7:50  sinks.s5.token: found a mapping, expected a text"
    `)
  })

  it('shares options by anchors, and leaves x- keys alone', async () => {
    const config = await load(`
x-common: &common { match: [{ A: b }], timeout: 5s }
sinks:
  one: { <<: *common, type: "null" }
  two: { <<: *common, type: null, timeout: 7s }
`)
    expect(config.sinks.map(({ type, settings }) => [type, settings.timeoutMs, settings.match])).toEqual([
      ['null', 5000, [[{ field: 'A', values: ['b'] }]]],
      ['null', 7000, [[{ field: 'A', values: ['b'] }]]],
    ])
  })

  it('says why the file cannot be read', async () => {
    const answers = await Promise.all(
      [join(dir, 'nothing.yaml'), dir, join(dir, 'latin1.yaml')].map(async (path) => {
        if (path.endsWith('latin1.yaml')) writeFileSync(path, Buffer.from('a: \xe9\n', 'latin1'))
        const error = await loadConfig(path, {}).catch((thrown: unknown) => thrown)
        return isProblem(error) ? `${error.code} ${error.exit} ${error.message.replaceAll(dir, 'DIR')}` : String(error)
      }),
    )
    expect(answers.join('\n')).toMatchInlineSnapshot(`
      "LF_CONFIG_UNREADABLE 78 cannot read the configuration DIR/nothing.yaml: there is no such file
      LF_CONFIG_UNREADABLE 78 cannot read the configuration DIR: it is a folder
      LF_CONFIG_UNREADABLE 78 cannot read the configuration DIR/latin1.yaml: it is not text in UTF-8"
    `)
  })
})

describe('the fingerprint of a sink', () => {
  const base = 'sinks: { a: { type: ./web.mjs, url: "http://a", token: "${TOKEN}", batch: { entries: 5, wait: 1s } } }'

  async function fingerprintOf(text: string, token = '12345678'): Promise<string | undefined> {
    return (await load(text, { TOKEN: token })).sinks[0]?.fingerprint
  }

  it('stays when only the order, comments, other sinks or the clock changed', async () => {
    const before = await fingerprintOf(base)
    expect(
      await fingerprintOf(`# new\n${base.replace('entries: 5, wait: 1s', 'wait: 1s, entries: 5')}\nmemory: 99MiB`),
    ).toBe(before)
    expect(await fingerprintOf(base.replace('"${TOKEN}"', '"12345678"'))).toBe(before)
    const relative = base.replace('url:', 'start: -2h, url:')
    expect(await fingerprintOf(relative)).toBe(await fingerprintOf(relative))
  })

  it('changes with any option, also with what a secret holds', async () => {
    const before = await fingerprintOf(base)
    expect(await fingerprintOf(base, '87654321')).not.toBe(before)
    expect(await fingerprintOf(base.replace('entries: 5', 'entries: 6'))).not.toBe(before)
    expect(await fingerprintOf(base.replace('"http://a"', '"http://b"'))).not.toBe(before)
  })
})

describe('changesThatNeedRestart', () => {
  it('names the sections that a reload cannot change, and only when they changed', async () => {
    const sinks = 'sinks: { a: { type: stdout } }'
    const before = await load(`journal: { start: -2h }\n${sinks}`)
    expect(
      changesThatNeedRestart(before, await load(`journal: { start: -2h }\n${sinks}\nlog: { level: debug }`)),
    ).toEqual([])
    const after = await load(`${sinks}\nmemory: 99MiB\nstate: /x\nretain: { max_size: 1GB }`)
    expect(changesThatNeedRestart(before, after)).toEqual(['journal', 'state', 'memory', 'retain'])
  })
})

describe('key files of the API', () => {
  const api = (auth: string) => `api: { listen: "127.0.0.1:8080"${auth} }`
  const missing = join(tempDir(), 'none.pem')

  it('are read where a path stands', async () => {
    const path = join(tempDir(), 'key.pem')
    const pem = '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n'
    writeFileSync(path, pem)
    for (const key of [path, pem]) {
      const config = await load(api(`, auth: { jwt: { key: ${JSON.stringify(key)} } }`))
      expect(config.api?.auth?.jwt?.pem).toBe(pem)
    }
  })

  it.each([
    api(`, auth: { jwt: { key: ${missing} } }`),
    `${api('')}\nmesos: { master: "https://m:5050", tls: { ca: ${missing} } }`,
  ])('that cannot be read are named: %s', async (text) => {
    await expect(load(text)).rejects.toMatchObject({ code: 'LF_API_KEY', message: expect.stringContaining(missing) })
  })
})
