// The generated files are what the code says, and what operators copy is right.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fastify } from 'fastify'
import { beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { outdated } from '../scripts/docs.ts'
import { editorSchema } from '../scripts/editorSchema.ts'
import { loadConfig } from '../src/config/load.ts'

const CONFIG = join(import.meta.dirname, '../config')
const FILES = ['', 'examples'].flatMap((folder) =>
  readdirSync(join(CONFIG, folder))
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => join(folder, name)),
)

it('has docs/reference and the JSON Schema as `npm run docs` writes them', async () => {
  expect(await outdated()).toEqual([])
})

/** Something for each variable that an example insists on: they are secrets. */
function secretsOf(name: string): Record<string, string> {
  const text = readFileSync(join(CONFIG, name), 'utf8')
  return Object.fromEntries(
    Array.from(text.matchAll(/\$\{(\w+):\?/g), ([, variable]) => [
      variable as string,
      'a-secret-that-is-long-enough-for-all',
    ]),
  )
}

describe('a configuration in config/', () => {
  it.each(FILES)('%s has no mistakes, and names the schema for editors', async (name) => {
    await expect(loadConfig(join(CONFIG, name), secretsOf(name))).resolves.toHaveProperty('warnings', [])
    const [first] = readFileSync(join(CONFIG, name), 'utf8').split('\n')
    const path = name.includes('/') ? '../logferry.schema.json' : './logferry.schema.json'
    expect(first).toBe(`# yaml-language-server: $schema=${path}`)
  })
})

describe('the JSON Schema for editors', () => {
  // Fastify has a JSON Schema validator in it; its coercion and defaults are off, since an editor has none either.
  const options = { strict: false, coerceTypes: false, removeAdditional: false, useDefaults: false } as const
  const app = fastify({ ajv: { customOptions: options } })

  beforeAll(async () => {
    app.post('/', { schema: { body: await editorSchema() } }, () => 'fits')
    await app.ready()
  })

  /** What the validator says about a value; undefined when it fits. */
  async function complaintAbout(value: unknown): Promise<string | undefined> {
    const answer = await app.inject({ method: 'POST', url: '/', payload: value as object })
    return answer.statusCode === 200 ? undefined : answer.json().message
  }

  it.each(FILES)('accepts %s', async (name) => {
    expect(await complaintAbout(parse(readFileSync(join(CONFIG, name), 'utf8')))).toBeUndefined()
  })

  it.each([
    'sinks: { a: { type: file, path: "${DIR}/x", rotate: { keep: "${KEEP:-5}" }, mode: 0640, group: { file: /x } } }',
    'sinks: { a: { type: my-package, anything: [1] }, b: { type: "null", batch: , match: [{ PRIORITY: 3 }] } }',
    'x-y: 1\njournal:\nmetrics: { listen: "${LISTEN}" }\nmemory: 5000000\nlog: { level: "${LEVEL}" }\nsinks: { a: { type: stdout } }',
  ])('accepts %s', async (text) => {
    expect(await complaintAbout(parse(text))).toBeUndefined()
  })

  it.each([
    ['memory: 64MiB', /required property 'sinks'/],
    ['sinks: {}', /fewer than 1/],
    ['sinks: { A: { type: stdout } }', /name|pattern/],
    ['sinks: { a: { path: /x } }', /required property 'type'/],
    ['sinks: { a: { type: stdout, fromat: json } }', /additional properties/],
    ['sinks: { a: { type: stdout, format: xml } }', /allowed values|any/],
    ['sinks: { a: { type: file } }', /required property 'path'/],
    ['sinks: { a: { type: file, path: /x, batch: { entries: many } } }', /integer|any/],
    ['sinks: { a: { type: stdout } }\nplugins: []', /additional properties/],
  ])('refuses %s', async (text, complaint) => {
    expect(await complaintAbout(parse(text))).toMatch(complaint)
  })
})
