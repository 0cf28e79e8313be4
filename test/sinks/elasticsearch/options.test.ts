import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { authorizationOf, nodeOfCloud } from '../../../sinks/elasticsearch/options.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { tempDir } from '../../support/tempDir.ts'
import { configOf, mistakesOf } from './config.ts'

const nodes = ['https://es:9200']

/** What `validate` says about the field rules of a sink, without places. */
async function mistakesIn(fields: object): Promise<string[]> {
  const path = join(tempDir(), 'logferry.yaml')
  writeFileSync(path, JSON.stringify({ sinks: { out: { type: 'elasticsearch', nodes, fields } } }))
  try {
    await loadConfig(path, {})
    return []
  } catch (error) {
    return (error as Error).message.match(/(?<=fields\.).*/g) ?? []
  }
}

describe('the options of the elasticsearch sink', () => {
  it('needs to know where the cluster is, and no more', () => {
    expect(mistakesOf({ nodes })).toEqual([])
    expect(mistakesOf({})).toEqual([': expected `nodes`, or `cloud_id`'])
    expect(mistakesOf({ nodes: [] })).toHaveLength(1)
    expect(mistakesOf({ nodes: ['es:9200'] })).toEqual([
      'nodes.0: expected the address of a node, such as https://es.example.org:9200',
    ])
    expect(mistakesOf({ nodes: ['https://u:p@es:9200'] })).toEqual([
      'nodes.0: expected no user or password in the address: use `user` and `password`',
    ])
  })

  it('knows what goes together', () => {
    expect(mistakesOf({ nodes, index: 'a', data_stream: 'b' })).toEqual([
      'data_stream: expected either `index` or `data_stream`',
    ])
    expect(mistakesOf({ nodes, user: 'u' })).toEqual(['user: expected `user` and `password` together'])
    expect(mistakesOf({ nodes, password: 'p' })).toEqual(['password: expected `user` and `password` together'])
    expect(mistakesOf({ nodes, token: 't', api_key: 'k' })).toEqual([
      'token: expected one of `api_key`, `user` and `token`',
    ])
    expect(mistakesOf({ nodes, lifecycle: 'x' })).toEqual([
      'lifecycle: `lifecycle` is part of the template: it needs `template: true`',
    ])
    expect(mistakesOf({ nodes, data_stream: 'a', require_alias: true })).toHaveLength(1)
    expect(mistakesOf({ nodes, ids: 'auto', on_mapping_error: 'stringify' })).toHaveLength(1)
    expect(mistakesOf({ nodes, index: 'Logs' })).toEqual([
      'index: "Logs" cannot be the name of an index: it has capitals',
    ])
  })

  it('shows credentials in the way that was chosen', () => {
    const header = (options: object) => authorizationOf(configOf({ nodes, ...options }))
    expect(header({})).toBeUndefined()
    expect(header({ api_key: 'id:key' })).toBe('ApiKey aWQ6a2V5')
    expect(header({ api_key: 'aWQ6a2V5' })).toBe('ApiKey aWQ6a2V5')
    expect(header({ user: 'u', password: 'p' })).toBe('Basic dTpw')
    expect(header({ token: 't' })).toBe('Bearer t')
  })

  it('S3: names that the server keeps for itself, or cannot read, are refused before anything is shipped', async () => {
    expect(
      await mistakesIn({ rename: { A: '_id', B: 'a..b', C: '', D: 'fine.name', E: 'x.' }, add: { _source: 'x' } }),
    ).toEqual([
      'rename.A: found "_id", expected another name: Elasticsearch keeps this one for itself',
      'rename.B: found "a..b", expected a name without empty parts',
      'rename.C: found "", expected a text',
      'rename.E: found "x.", expected a name without empty parts',
      'add._source: found the name "_source", expected another name: Elasticsearch keeps this one for itself',
    ])
  })

  it('finds the node in a Cloud ID', () => {
    const id = (text: string) => `name:${Buffer.from(text).toString('base64')}`
    expect(nodeOfCloud(id('eu-central-1.aws.cloud.es.io$abc$def'))).toBe('https://abc.eu-central-1.aws.cloud.es.io:443')
    expect(nodeOfCloud(id('eu-central-1.aws.cloud.es.io:9243$abc$def'))).toBe(
      'https://abc.eu-central-1.aws.cloud.es.io:9243',
    )
    expect(nodeOfCloud('name')).toBeUndefined()
    expect(nodeOfCloud(id('nothing'))).toBeUndefined()
    expect(mistakesOf({ cloud_id: 'x' })).toEqual(['cloud_id: expected a Cloud ID: NAME:BASE64'])
    expect(mistakesOf({ cloud_id: id('a$b'), nodes })).toEqual(['cloud_id: expected either `nodes` or `cloud_id`'])
  })
})
