import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { describeSinks } from '../../src/config/describe.ts'
import { loadConfig } from '../../src/config/load.ts'
import { builtInSinks, loadSink } from '../../src/config/sinkModules.ts'
import { isProblem } from '../../src/errors.ts'
import { tempDir } from '../support/tempDir.ts'

const dir = tempDir()

function write(path: string, text: string): void {
  const full = join(dir, path)
  mkdirSync(dirname(full), { recursive: true })
  writeFileSync(full, text)
}

/** A sink without any library: Standard Schema written by hand, and no JSON Schema. */
function sinkText(parts: Readonly<Record<string, string>> = {}): string {
  const members = {
    api: '1',
    name: "'demo'",
    summary: "'For tests.'",
    config: `{ '~standard': { version: 1, vendor: 'mine', validate: (value) =>
      typeof value.url === 'string' ? { value } : { issues: [{ message: 'Give a url.', path: ['url'] }] } } }`,
    create: '(config) => ({ config })',
    ...parts,
  }
  return `export default { ${Object.entries(members)
    .map(([key, value]) => `${key}: ${value}`)
    .join(', ')} }`
}

async function answerOf(type: string): Promise<string> {
  try {
    const { origin, url } = await loadSink(type, dir)
    return `${origin}: ${url.replace(/^.*\/(?=node_modules)/, '').replace(`file://${dir}`, 'DIR')}`
  } catch (error) {
    if (!isProblem(error)) throw error
    return `${error.code} ${error.message}${error.hint === undefined ? '' : `; ${error.hint}`}`.replaceAll(dir, 'DIR')
  }
}

describe('loadSink', () => {
  it('loads what is built in by name', async () => {
    expect(builtInSinks()).toEqual(expect.arrayContaining(['file', 'null', 'stdout']))
    for (const type of builtInSinks()) {
      const sink = await loadSink(type, dir)
      expect([sink.type, sink.origin, sink.module.name]).toEqual([type, 'built in', type])
      expect(Object.keys(sink.schema['properties'] ?? {})).not.toEqual([])
    }
  })

  it('finds packages however they name their entry, and files', async () => {
    const packages: Readonly<Record<string, string>> = {
      'import-only': '"exports": { "import": "./lib/a.mjs" }',
      paths:
        '"exports": { ".": { "types": "./x.d.ts", "require": "./x.cjs", "default": "./lib/a.mjs" }, "./b": "./b.js" }',
      text: '"exports": "./lib/a.mjs"',
      list: '"exports": [{ "browser": "./x.js" }, "./lib/a.mjs"]',
      main: '"main": "lib/a.mjs"',
    }
    for (const [name, entry] of Object.entries(packages)) {
      write(`node_modules/${name}/package.json`, `{ "name": "${name}", "type": "module", ${entry} }`)
      write(`node_modules/${name}/lib/a.mjs`, sinkText())
    }
    write('node_modules/@scope/index/package.json', '{ "name": "@scope/index", "type": "module" }')
    write('node_modules/@scope/index/index.js', sinkText())
    write('mine/own.mjs', sinkText())
    const types = [...Object.keys(packages), '@scope/index', './mine/own.mjs', join(dir, 'mine/own.mjs')]
    const answers = await Promise.all(types.map(async (type) => `${type}: ${await answerOf(type)}`))
    expect(answers.join('\n').replaceAll(dir, 'DIR')).toMatchInlineSnapshot(`
      "import-only: package: node_modules/import-only/lib/a.mjs
      paths: package: node_modules/paths/lib/a.mjs
      text: package: node_modules/text/lib/a.mjs
      list: package: node_modules/list/lib/a.mjs
      main: package: node_modules/main/lib/a.mjs
      @scope/index: package: node_modules/@scope/index/index.js
      ./mine/own.mjs: file: DIR/mine/own.mjs
      DIR/mine/own.mjs: file: DIR/mine/own.mjs"
    `)
  })

  it('says what is wrong with a sink', async () => {
    write('node_modules/newer/package.json', '{ "name": "newer", "type": "module", "exports": "./index.js" }')
    write('node_modules/newer/index.js', sinkText({ api: '2' }))
    write('broken.mjs', 'export default {')
    write('throws.mjs', 'throw new Error("no such luck")')
    write('imports.mjs', 'import "not-installed-anywhere"')
    write('nothing.mjs', 'export const sink = 1')
    write('older.mjs', sinkText({ api: '0' }))
    write('unnamed.mjs', sinkText({ name: 'undefined' }))
    write('uncreated.mjs', sinkText({ create: '5' }))
    write('unchecked.mjs', sinkText({ config: '{}' }))
    write('needy.mjs', sinkText({ needs: "{ 'not-installed-anywhere': 'the client', 'import-only': 'x' }" }))
    const files = [
      'missing',
      'broken',
      'throws',
      'imports',
      'nothing',
      'older',
      'unnamed',
      'uncreated',
      'unchecked',
      'needy',
    ]
    const types = ['newer', ...files.map((name) => `./${name}.mjs`), 'stdot', 'what-ever', 'a b', '../..', 'node:fs']
    const answers: string[] = []
    for (const type of types) answers.push(await answerOf(type))
    // Node's own words, which differ between versions.
    const text = answers.join('\n').replace(/(does not load: ).*/g, '$1…')
    expect(text).toMatchInlineSnapshot(`
      "LF_CONFIG_SINK_API the sink "newer" is written for sink interface 2; this is logferry 0.1.0, which has interface 1; use a newer logferry, or a version of the sink for interface 1
      LF_CONFIG_SINK_UNUSABLE cannot use the sink "./missing.mjs": there is no file DIR/missing.mjs
      LF_CONFIG_SINK_UNUSABLE cannot use the sink "./broken.mjs": it does not load: …
      LF_CONFIG_SINK_UNUSABLE cannot use the sink "./throws.mjs": it does not load: …
      LF_CONFIG_SINK_UNUSABLE cannot use the sink "./imports.mjs": it does not load: …
      LF_CONFIG_SINK_UNUSABLE cannot use the sink "./nothing.mjs": its default export is not what defineSink() gives
      LF_CONFIG_SINK_API the sink "./older.mjs" is written for sink interface 0; this is logferry 0.1.0, which has interface 1; use a version of the sink for interface 1, or an older logferry
      LF_CONFIG_SINK_UNUSABLE cannot use the sink "./unnamed.mjs": it has no name or summary
      LF_CONFIG_SINK_UNUSABLE cannot use the sink "./uncreated.mjs": it has no create()
      LF_CONFIG_SINK_UNUSABLE cannot use the sink "./unchecked.mjs": its config is no Standard Schema
      LF_CONFIG_PACKAGE_MISSING the sink "./needy.mjs" needs the package not-installed-anywhere (the client), which is not installed; install it: npm install not-installed-anywhere
      LF_CONFIG_SINK_UNKNOWN there is no sink "stdot"; did you mean "stdout"?
      LF_CONFIG_SINK_UNKNOWN there is no sink "what-ever"; expected elasticsearch, file, fluentd, http, loki, null, otlp, redis, splunk, stdout, the name of an installed package, or ./FILE
      LF_CONFIG_SINK_UNKNOWN there is no sink "a b"; expected elasticsearch, file, fluentd, http, loki, null, otlp, redis, splunk, stdout, the name of an installed package, or ./FILE
      LF_CONFIG_SINK_UNUSABLE cannot use the sink "../..": it does not load: …
      LF_CONFIG_SINK_UNKNOWN there is no sink "node:fs"; expected elasticsearch, file, fluentd, http, loki, null, otlp, redis, splunk, stdout, the name of an installed package, or ./FILE"
    `)
  })
})

describe('a sink of another schema library', () => {
  it('is asked with its own options, and its words are passed on with the place', async () => {
    const file = join(dir, 'logferry.yaml')
    write('own.mjs', sinkText())
    writeFileSync(file, 'sinks:\n  a: { type: ./own.mjs, url: "http://a", extra: [1, "2"], retry: { cap: 1min } }\n')
    const config = await loadConfig(file, {})
    expect(config.sinks[0]?.create({} as never)).toEqual({ config: { url: 'http://a', extra: [1, '2'] } })
    writeFileSync(file, 'sinks:\n  a: { type: ./own.mjs }\n  b: { type: ./own.mjs, url: [x] }\n')
    const error = await loadConfig(file, {}).catch((thrown: unknown) => thrown as Error)
    expect((error as Error).message.replaceAll(file, 'logferry.yaml')).toMatchInlineSnapshot(`
      "logferry.yaml has 2 mistakes:
      logferry.yaml:2:3  sinks.a.url: is missing, give a url.
      logferry.yaml:3:30  sinks.b.url: found a list, give a url."
    `)
  })

  it('may not have an option that every sink has', async () => {
    const file = join(dir, 'clash.yaml')
    const schema =
      "{ version: 1, vendor: 'x', validate: (value) => ({ value }), jsonSchema: { input: () => ({ type: 'object', properties: { batch: {} } }) } }"
    write('clash.mjs', sinkText({ config: `{ '~standard': ${schema} }` }))
    writeFileSync(file, 'sinks: { a: { type: ./clash.mjs } }')
    await expect(loadConfig(file, {})).rejects.toThrow('its option "batch" is one that every sink has')
  })
})

describe('describeSinks', () => {
  it('lists what is built in and what is installed, with all options described', async () => {
    write('node_modules/logferry-sink-demo/package.json', '{ "name": "logferry-sink-demo", "type": "module" }')
    write('node_modules/logferry-sink-demo/index.js', sinkText({ summary: "'A demonstration.'" }))
    write('node_modules/@team/logferry-sink-x/package.json', '{ "name": "@team/logferry-sink-x", "type": "module" }')
    write('node_modules/@team/logferry-sink-x/index.js', sinkText())
    write('node_modules/logferry-sink-broken/package.json', '{ "name": "logferry-sink-broken" }')
    const sinks = await describeSinks(join(dir, 'mine'))
    expect(sinks.map(({ type, origin }) => `${type} (${origin})`)).toEqual([
      ...builtInSinks().map((type) => `${type} (built in)`),
      '@team/logferry-sink-x (package)',
      'logferry-sink-demo (package)',
    ])
    for (const { type, summary, options } of sinks.filter(({ origin }) => origin === 'built in')) {
      expect([type, summary.length > 10, options.filter(({ description }) => description === '')]).toEqual([
        type,
        true,
        [],
      ])
    }
  })
})
