import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RecordSpec } from '../../../../src/journal/encode/encoder.ts'
import { JournalFile } from '../../../../src/journal/file/file.ts'
import { MemoryBudget } from '../../../../src/journal/memory.ts'
import { openFixture } from '../../../support/fixtures.ts'
import { describeWith } from '../../../support/needs.ts'
import { parseExport, readEntry } from '../../oracle.ts'
import { encodeDir, type OddField, recordSpec, START, strictJson, unpack, writeEntries } from '../encoding.ts'

type Members = Record<string, unknown>

const json = (dir: string, changes: Partial<RecordSpec> = {}, budget?: number): Members[] =>
  encodeDir(dir, recordSpec(changes), budget).map((record) => {
    expect(record.at(-1)).toBe(10)
    return strictJson(record.toString('utf8')) as Members
  })
const msgpack = (dir: string, changes: Partial<RecordSpec> = {}, budget?: number): Members[] =>
  encodeDir(dir, recordSpec({ encoding: 'msgpack', ...changes }), budget).map((record) => unpack(record) as Members)

/** Without the head. */
function fieldsOf(members: Members): Members {
  const { '@timestamp': _, __CURSOR, __REALTIME_TIMESTAMP, __MONOTONIC_TIMESTAMP, _BOOT_ID, ...fields } = members
  return fields
}

/** What a record should hold, worked out in the plainest way. */
function expected(file: JournalFile, encoding: 'json' | 'msgpack'): Members {
  const entry = readEntry(file)
  const members: Members = {
    '@timestamp': `${new Date(Math.floor(entry.realtime / 1000)).toISOString().slice(0, -1)}${String(entry.realtime % 1000).padStart(3, '0')}Z`,
    __CURSOR: entry.cursor,
    __REALTIME_TIMESTAMP: String(entry.realtime),
    __MONOTONIC_TIMESTAMP: String(entry.monotonic),
    _BOOT_ID: entry.bootId,
  }
  const values = new Map<string, { shown: unknown; exact: string | null }[]>()
  for (const field of entry.fields) {
    const name = field.slice(0, field.indexOf('='))
    const bytes = Buffer.from(field.slice(name.length + 1), 'latin1')
    const text = bytes.toString('utf8')
    const isText = Buffer.from(text, 'utf8').equals(bytes)
    const value = {
      shown: isText || encoding === 'json' ? text : bytes,
      exact: isText ? null : bytes.toString('base64'),
    }
    values.set(name, [...(values.get(name) ?? []), value])
  }
  for (const [name, list] of values) {
    members[name] = list.length === 1 ? list[0]!.shown : list.map((value) => value.shown)
    if (encoding === 'json' && list.some((value) => value.exact !== null)) {
      members[`logferry.base64.${name}`] = list.length === 1 ? list[0]!.exact : list.map((value) => value.exact)
    }
  }
  return members
}

function expectedAll(path: string, encoding: 'json' | 'msgpack'): Members[] {
  const file = JournalFile.open(path, new MemoryBudget(64 << 20))
  const all: Members[] = []
  while (file.next()) all.push(expected(file, encoding))
  file.close()
  return all
}

const FILES = ['regular', 'compact', 'uncompressed', 'multi-boot', 'kernel', 'damaged-data']

describe('records in shape journal', () => {
  it.each(FILES)('hold everything as strings, in JSON: %s', (name) => {
    const { dir } = openFixture(name)
    expect(json(dir)).toEqual(expectedAll(join(dir, 'a.journal'), 'json'))
  })

  it.each(FILES)('hold strings, and bytes where they are no text, in MessagePack: %s', (name) => {
    const { dir } = openFixture(name)
    expect(msgpack(dir)).toEqual(expectedAll(join(dir, 'a.journal'), 'msgpack'))
  })

  it.each(['regular', 'rotated'])('are journalctl’s own in journal-export: %s', (name) => {
    const fixture = openFixture(name)
    const records = encodeDir(fixture.dir, recordSpec({ encoding: 'journal-export' }))
    expect(Buffer.concat(records).equals(fixture.oracle('export'))).toBe(true)
  })

  it.each([
    { encoding: 'json', shape: 'journal' },
    { encoding: 'msgpack', shape: 'journal' },
    { encoding: 'journal-export', shape: 'journal' },
    { encoding: 'json', shape: 'ecs' },
    { encoding: 'msgpack', shape: 'ecs' },
  ] as const)('are the same without caches: %o', (changes) => {
    for (const name of ['regular', 'machines']) {
      const { dir } = openFixture(name)
      const spec = recordSpec({ ...changes, fields: { maxBytes: 3000 } })
      const first = Buffer.concat(encodeDir(dir, spec))
      expect(Buffer.concat(encodeDir(dir, spec, 40_000)).equals(first)).toBe(true)
    }
  })
})

describeWith(['systemd-journal-remote'], 'records of odd entries', () => {
  it('escape control characters and keep exact bytes beside what is no text', async () => {
    const dir = await writeEntries([
      [
        ['MESSAGE', '\x1b[31mred\0\r\u0085"\\'],
        ['BAD', Buffer.from('caf\xe9', 'latin1')],
      ],
    ])
    const [record] = encodeDir(dir, recordSpec()).map(String)
    expect(record).toContain(String.raw`"MESSAGE":"\u001b[31mred\u0000\r\u0085\"\\"`)
    expect(record).toContain('"BAD":"caf\ufffd","logferry.base64.BAD":"Y2Fm6Q=="')
  })

  it('write binary values as journalctl does, or without the exact bytes, where that is asked for', async () => {
    const dir = await writeEntries([
      [
        ['BAD', Buffer.from('a\xff', 'latin1')],
        ['ESC', '\x1b'],
        ['TEXT', 'é'],
      ],
    ])
    expect(json(dir, { binary: 'array' }).map(fieldsOf)).toEqual([{ BAD: [97, 255], ESC: [27], TEXT: 'é' }])
    expect(json(dir, { binary: 'replace' }).map(fieldsOf)).toEqual([{ BAD: 'a\ufffd', ESC: '\x1b', TEXT: 'é' }])
    expect(msgpack(dir, { binary: 'replace' }).map(fieldsOf)).toEqual([{ BAD: 'a\ufffd', ESC: '\x1b', TEXT: 'é' }])
  })

  it('any bytes come back from JSON and from MessagePack', async () => {
    const value = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 80 }),
      fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }).map((text) => Buffer.from(text, 'utf8')),
      fc.string({ minLength: 500, maxLength: 700 }).map((text) => Buffer.from(text, 'utf8')),
    )
    const values = fc.sample(fc.array(value, { minLength: 1, maxLength: 4 }), { numRuns: 150, seed: 7 })
    const dir = await writeEntries(values.map((list) => list.map((bytes): OddField => ['VALUE', bytes])))
    const back = (shown: unknown, exact: unknown): Buffer =>
      typeof exact === 'string' ? Buffer.from(exact, 'base64') : Buffer.from(shown as string, 'utf8')
    const written = expectedAll(join(dir, 'odd.journal'), 'msgpack')
    for (const [k, record] of json(dir).entries()) {
      const shown = [record['VALUE']].flat()
      const exact = record['logferry.base64.VALUE']
      const isList = Array.isArray(record['VALUE'])
      const bytes = shown.map((one, i) => back(one, isList ? (exact as unknown[] | undefined)?.[i] : exact))
      const wanted = [written[k]!['VALUE']].flat().map((one) => Buffer.from(one as string | Buffer))
      expect(bytes).toEqual(wanted)
      for (const text of shown) expect(text).toBeTypeOf('string')
    }
    expect(msgpack(dir)).toEqual(written)
  })

  it('take the time at which the message was sent where that is asked for', async () => {
    const dir = await writeEntries([
      [
        ['MESSAGE', 'a'],
        ['_SOURCE_REALTIME_TIMESTAMP', '1600000000123456'],
      ],
      [
        ['MESSAGE', 'b'],
        ['_SOURCE_REALTIME_TIMESTAMP', '1600000000123456'],
        ['TAG', '1'],
        ['TAG', '2'],
      ],
      [
        ['MESSAGE', 'c'],
        ['_SOURCE_REALTIME_TIMESTAMP', 'never'],
      ],
      [['MESSAGE', 'd']],
    ])
    for (const shape of ['journal', 'ecs'] as const) {
      const sent = '2020-09-13T12:26:40.123456Z'
      const times = (records: Members[]) => records.map((record) => record['@timestamp'])
      const wanted = [sent, sent, entryTime(2), entryTime(3)]
      expect(times(json(dir, { shape, timestamp: 'source' }))).toEqual(wanted)
      expect(times(msgpack(dir, { shape, timestamp: 'source' }))).toEqual(wanted)
      expect(times(json(dir, { shape, timestamp: 'source', fields: { exclude: ['_SOURCE_*'] } }))).toEqual(wanted)
      expect(times(json(dir, { shape }))).toEqual([0, 1, 2, 3].map(entryTime))
    }
  })
})

/** `@timestamp` of entry `k` of `writeEntries`. */
function entryTime(k: number): string {
  const us = START + k * 1_000_003
  return `${new Date(Math.floor(us / 1000)).toISOString().slice(0, -1)}${String(us % 1000).padStart(3, '0')}Z`
}

describeWith(['systemd-journal-remote'], 'field rules', () => {
  const ENTRY: readonly OddField[] = [
    ['MESSAGE', 'password=secret é'],
    ['_PID', '7'],
    ['_SYSTEMD_UNIT', 'a.service'],
    ['_SYSTEMD_SLICE', 'system.slice'],
    ['APP', 'x'],
    ['TAG', 'one'],
    ['TAG', 'two'],
  ]
  const one = async (fields: RecordSpec['fields'], more: Partial<RecordSpec> = {}, entry = ENTRY): Promise<Members> => {
    const dir = await writeEntries([entry])
    const record = fieldsOf(json(dir, { fields, ...more })[0]!)
    expect(fieldsOf(msgpack(dir, { fields, ...more })[0]!)).toEqual(record)
    return record
  }

  it('include and exclude by name or pattern; the head stays', async () => {
    expect(await one({ include: ['MESSAGE', '_SYSTEMD_*'], exclude: ['*_SLICE'] })).toEqual({
      MESSAGE: 'password=secret é',
      _SYSTEMD_UNIT: 'a.service',
    })
    const dir = await writeEntries([ENTRY])
    expect(Object.keys(json(dir, { fields: { include: [] } })[0]!)).toEqual([
      '@timestamp',
      '__CURSOR',
      '__REALTIME_TIMESTAMP',
      '__MONOTONIC_TIMESTAMP',
      '_BOOT_ID',
    ])
  })

  it('rename, and make a list where two fields get one name', async () => {
    const fields = {
      include: ['MESSAGE', 'APP', 'TAG', '_PID'],
      rename: { MESSAGE: 'message', APP: 'TAG', _PID: 'process.pid' },
    }
    const record = await one(fields)
    expect(record).toMatchObject({ message: 'password=secret é', 'process.pid': '7' })
    expect([...(record['TAG'] as string[])].sort()).toEqual(['one', 'two', 'x'])
    expect(record).not.toHaveProperty('APP')
  })

  it('add constants and labels, which win over fields of that name', async () => {
    const record = await one(
      { include: ['MESSAGE', 'APP'], add: { APP: 'mine', env: 'prod' } },
      { labels: { cluster: 'a' } },
    )
    expect(record).toEqual({ 'labels.cluster': 'a', APP: 'mine', env: 'prod', MESSAGE: 'password=secret é' })
  })

  it('let no field get lost under a name that the record needs itself', async () => {
    const entry: OddField[] = [
      ['MESSAGE', 'm'],
      ['APP', 'x'],
    ]
    expect(await one({ rename: { MESSAGE: '@timestamp', APP: 'env' }, add: { env: 'prod' } }, {}, entry)).toEqual({
      env: 'prod',
      MESSAGE: 'm',
      APP: 'x',
    })
  })

  it('mask values of one field or of all, before anything else', async () => {
    const pattern = /secret/g
    const mask = [
      { field: 'MESSAGE', pattern, replace: '***' },
      { pattern: /^o(n)e$/, replace: '$1' },
    ]
    expect(await one({ include: ['MESSAGE', 'TAG'], mask })).toEqual({ MESSAGE: 'password=*** é', TAG: ['n', 'two'] })
  })

  it('mask what is no text too, so that nothing of it is left beside the value', async () => {
    const dir = await writeEntries([
      [
        ['MESSAGE', Buffer.from('secret \xff', 'latin1')],
        ['APP', Buffer.from('\xff', 'latin1')],
      ],
    ])
    const mask = [{ pattern: /secret/, replace: '***' }]
    expect(json(dir, { fields: { mask } }).map(fieldsOf)).toEqual([
      { MESSAGE: '*** \ufffd', APP: '\ufffd', 'logferry.base64.APP': '/w==' },
    ])
    const records = encodeDir(dir, recordSpec({ encoding: 'journal-export', fields: { mask } })).map(String)
    expect(records[0]).not.toContain('secret')
  })

  it('cut long values between characters, and name them', async () => {
    const entry: OddField[] = [
      ['MESSAGE', `${'x'.repeat(9)}é`],
      ['APP', 'short'],
      ['TAG', 'y'.repeat(11)],
      ['TAG', 'z'],
    ]
    expect(await one({ maxBytes: 10 }, {}, entry)).toEqual({
      MESSAGE: 'x'.repeat(9),
      APP: 'short',
      TAG: ['y'.repeat(10), 'z'],
      'logferry.truncated': ['MESSAGE', 'TAG'],
    })
    const dir = await writeEntries([entry])
    const [record] = parseExport(
      Buffer.concat(encodeDir(dir, recordSpec({ encoding: 'journal-export', fields: { maxBytes: 10 } }))),
    )
    expect(record!.fields).toEqual(
      expect.arrayContaining(['LOGFERRY_TRUNCATED=MESSAGE', 'LOGFERRY_TRUNCATED=TAG', 'APP=short']),
    )
  })

  it('put names beyond the limit into one list, and leave out all of them where asked to', async () => {
    const dir = await writeEntries([
      [
        ['MESSAGE', 'm'],
        ['A', '1'],
        ['B', '2'],
        ['C', '3'],
        ['C', '4'],
      ],
      [['B', '5']],
    ])
    const records = json(dir, { customLimit: 2 }).map(fieldsOf)
    expect(records).toEqual([{ MESSAGE: 'm', A: '1', B: '2', 'logferry.other': ['C=3', 'C=4'] }, { B: '5' }])
    expect(msgpack(dir, { customLimit: 2 }).map(fieldsOf)).toEqual(records)
    expect(json(dir, { custom: 'drop' }).map(fieldsOf)).toEqual([{ MESSAGE: 'm' }, {}])
  })

  it('apply to journal-export, with names that it allows', async () => {
    const dir = await writeEntries([ENTRY])
    const fields = { include: ['MESSAGE', 'APP'], rename: { APP: 'app.name' }, add: { env: 'prod' } }
    const bytes = Buffer.concat(
      encodeDir(dir, recordSpec({ encoding: 'journal-export', fields, labels: { cluster: 'a' } })),
    )
    expect(parseExport(bytes)[0]!.fields).toEqual(
      ['LABELS_CLUSTER=a', 'ENV=prod', 'MESSAGE=password=secret é', 'APP_NAME=x'].map(latin1),
    )
  })
})

const latin1 = (text: string): string => Buffer.from(text, 'utf8').toString('latin1')
