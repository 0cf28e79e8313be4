import { describe, expect, it } from 'vitest'
import {
  capabilityNames,
  customName,
  leadingInteger,
  splitCommandLine,
} from '../../../../src/journal/encode/ecs/fields.ts'
import type { RecordSpec } from '../../../../src/journal/encode/encoder.ts'
import { openFixture } from '../../../support/fixtures.ts'
import { describeWith } from '../../../support/needs.ts'
import { BOOT, encodeDir, type OddField, recordSpec, strictJson, unpack, writeEntries } from '../encoding.ts'

// biome-ignore lint/suspicious/noExplicitAny: documents are looked into freely here
type Document = any

const ecs = (dir: string, changes: Partial<RecordSpec> = {}): Document[] => {
  const documents = encodeDir(dir, recordSpec({ shape: 'ecs', ...changes })).map((record) =>
    strictJson(record.toString('utf8')),
  )
  const packed = encodeDir(dir, recordSpec({ shape: 'ecs', encoding: 'msgpack', ...changes })).map(unpack)
  // What is no text is bytes there and has nothing beside it.
  if (!JSON.stringify(documents).includes('"base64"')) expect(packed).toEqual(documents)
  return documents
}

describe('shape ecs', () => {
  it.each(['regular', 'compact', 'rotated', 'machines', 'kernel', 'damaged-page'])(
    'has no member twice, and one document an entry: %s',
    (name) => {
      const fixture = openFixture(name)
      const documents = ecs(fixture.dir)
      expect(documents).toHaveLength(fixture.facts.oracle_entries)
      const records = encodeDir(fixture.dir, recordSpec()).map(
        (record) => JSON.parse(record.toString('utf8')) as Document,
      )
      for (const [k, document] of documents.entries()) {
        const record = records[k]
        expect(document['@timestamp']).toBe(record['@timestamp'])
        expect(document.message).toEqual(record.MESSAGE)
        expect(document.journald.cursor).toBe(record.__CURSOR)
        expect(document.journald.host.boot_id).toBe(record._BOOT_ID)
        expect(document.systemd?.unit).toEqual(record._SYSTEMD_UNIT)
        expect(document.journald.custom?.framework_id).toEqual(record.FRAMEWORK_ID)
        expect(document.event.id).toMatch(/^[-0-9A-Z_a-z]{34}$/)
      }
    },
  )
})

describeWith(['systemd-journal-remote'], 'an entry in shape ecs', () => {
  const one = async (entry: readonly OddField[], changes: Partial<RecordSpec> = {}): Promise<Document> => {
    const [document] = ecs(await writeEntries([entry]), changes)
    const { event, '@timestamp': _, journald, ...rest } = document
    const { cursor, seqnum, host, ...mine } = journald
    expect([event.kind, seqnum, host]).toEqual(['event', 1, { boot_id: BOOT }])
    expect(cursor).toMatch(/^s=/)
    return Object.keys(mine).length === 0 ? rest : { ...rest, journald: mine }
  }

  it('has every field of the table at its place, numbers as numbers', async () => {
    const document = await one([
      ['MESSAGE', 'hello'],
      ['MESSAGE_ID', 'fc2e22bc6ee647b6b90729ab34a250b1'],
      ['PRIORITY', '3'],
      ['SYSLOG_FACILITY', '10'],
      ['SYSLOG_IDENTIFIER', 'sshd'],
      ['SYSLOG_PID', '123,user'],
      ['CODE_FILE', 'a.c'],
      ['CODE_LINE', '12'],
      ['CODE_FUNC', 'main'],
      ['_HOSTNAME', 'h1'],
      ['_MACHINE_ID', 'a'.repeat(32)],
      ['_PID', '42'],
      ['_UID', '1000'],
      ['_GID', '100'],
      ['_COMM', 'sshd'],
      ['_EXE', '/usr/sbin/sshd'],
      ['_CMDLINE', 'sshd: "a b" -D'],
      ['_CAP_EFFECTIVE', '3'],
      ['_SYSTEMD_UNIT', 'ssh.service'],
      ['_SYSTEMD_SLICE', 'system.slice'],
      ['_SYSTEMD_CGROUP', '/system.slice/ssh.service'],
      ['_SYSTEMD_SESSION', '4'],
      ['_SYSTEMD_OWNER_UID', '1000'],
      ['_SYSTEMD_INVOCATION_ID', 'b'.repeat(32)],
      ['_SYSTEMD_USER_UNIT', 'u'],
      ['_SYSTEMD_USER_SLICE', 'us'],
      ['_TRANSPORT', 'syslog'],
      ['UNIT', 'x.service'],
      ['COREDUMP_UNIT', 'c'],
      ['COREDUMP_USER_UNIT', 'cu'],
      ['_KERNEL_DEVICE', 'k'],
      ['_KERNEL_SUBSYSTEM', 'ks'],
      ['_UDEV_SYSNAME', 'us'],
      ['_UDEV_DEVNODE', 'ud'],
      ['_UDEV_DEVLINK', 'l1'],
      ['_UDEV_DEVLINK', 'l2'],
      ['CONTAINER_ID_FULL', 'cidfull'],
      ['CONTAINER_ID', 'cid'],
      ['CONTAINER_TAG', 'tag'],
      ['CONTAINER_NAME', 'cname'],
      ['CONTAINER_PARTIAL_MESSAGE', 'true'],
      ['IMAGE_NAME', 'img'],
      ['_SOURCE_REALTIME_TIMESTAMP', '1600000000000000'],
      ['_SOURCE_MONOTONIC_TIMESTAMP', '1'],
      ['FRAMEWORK_ID', 'f1'],
    ])
    expect(document).toEqual({
      message: 'hello',
      tags: ['partial_message'],
      log: {
        level: 'error',
        syslog: {
          priority: 3,
          severity: { code: 3, name: 'error' },
          facility: { code: 10 },
          appname: 'sshd',
          procid: 123,
          msgid: 'fc2e22bc6ee647b6b90729ab34a250b1',
        },
      },
      host: { hostname: 'h1', name: 'h1', id: 'a'.repeat(32) },
      service: { name: 'ssh' },
      process: {
        pid: 42,
        name: 'sshd',
        executable: '/usr/sbin/sshd',
        command_line: 'sshd: "a b" -D',
        args: ['sshd:', '"a b"', '-D'],
        args_count: 3,
        thread: { capabilities: { effective: ['CAP_CHOWN', 'CAP_DAC_OVERRIDE'] } },
      },
      user: { id: '1000', group: { id: '100' } },
      systemd: {
        unit: 'ssh.service',
        slice: 'system.slice',
        cgroup: '/system.slice/ssh.service',
        session: '4',
        owner_uid: 1000,
        invocation_id: 'b'.repeat(32),
        user_unit: 'u',
        user_slice: 'us',
        transport: 'syslog',
      },
      container: { id: 'cidfull', name: 'cname', image: { name: 'img' } },
      journald: {
        pid: 42,
        uid: 1000,
        gid: 100,
        process: { name: 'sshd', executable: '/usr/sbin/sshd', command_line: 'sshd: "a b" -D', capabilities: '3' },
        code: { file: 'a.c', line: 12, func: 'main' },
        unit: 'x.service',
        coredump: { unit: 'c', user_unit: 'cu' },
        kernel: {
          device: 'k',
          subsystem: 'ks',
          device_name: 'us',
          device_node_path: 'ud',
          device_symlinks: ['l1', 'l2'],
        },
        custom: { framework_id: 'f1' },
      },
    })
  })

  it('tells a login user from the effective one, and lets OBJECT_ fields replace those of the process', async () => {
    expect(
      await one([
        ['_UID', '0'],
        ['_GID', '0'],
        ['_AUDIT_LOGINUID', '1000'],
        ['_AUDIT_SESSION', '2'],
      ]),
    ).toEqual({
      user: { id: '1000', effective: { id: '0', group: { id: '0' } } },
      journald: { uid: 0, gid: 0, audit: { login_uid: 1000, session: '2' } },
    })
    const object: OddField[] = [
      ['OBJECT_PID', '9'],
      ['OBJECT_UID', '5'],
      ['OBJECT_GID', '6'],
      ['OBJECT_CMDLINE', 'x y'],
      ['OBJECT_COMM', 'x'],
    ]
    expect(await one([['_PID', '1'], ['_UID', '0'], ['_GID', '0'], ['_CMDLINE', 'init'], ...object])).toEqual({
      process: { pid: 9, command_line: 'x y', args: ['x', 'y'], args_count: 2 },
      user: { id: '5', group: { id: '6' } },
      journald: {
        pid: 1,
        uid: 0,
        gid: 0,
        process: { command_line: 'init' },
        object: { pid: 9, uid: 5, gid: 6, process: { command_line: 'x y', name: 'x' } },
      },
    })
  })

  it('keeps what is no number as it is', async () => {
    expect(
      await one([
        ['_PID', 'many'],
        ['PRIORITY', '9'],
        ['CODE_LINE', '-3'],
        ['_UID', '007'],
      ]),
    ).toEqual({
      log: { syslog: { priority: 9 } },
      process: { pid: 'many' },
      user: { id: '007' },
      journald: { pid: 'many', code: { line: -3 }, uid: 7 },
    })
  })

  it('keeps both of two fields that differ in their underscores alone', async () => {
    expect(
      await one([
        ['_FOO', 'trusted'],
        ['FOO', 'untrusted'],
        ['BAR', '1'],
      ]),
    ).toEqual({
      journald: { custom: { foo: 'untrusted', foo_trusted: 'trusted', bar: '1' } },
    })
    expect(await one([['_FOO', 'trusted']])).toEqual({ journald: { custom: { foo: 'trusted' } } })
  })

  it('has Mesos’ container id, which has no long form', async () => {
    expect(await one([['CONTAINER_ID', 'c1']])).toEqual({ container: { id: 'c1' } })
  })

  it('names the service after the identifier where there is no unit', async () => {
    expect(
      await one([
        ['SYSLOG_IDENTIFIER', 'app'],
        ['_SYSTEMD_UNIT', 'x.scope'],
      ]),
    ).toMatchObject({ service: { name: 'app' } })
  })

  it('gives the priority as RFC 5424 has it where asked to', async () => {
    const document = await one(
      [
        ['PRIORITY', '3'],
        ['SYSLOG_FACILITY', '10'],
      ],
      { priority: 'rfc5424' },
    )
    expect(document.log.syslog.priority).toBe(83)
  })

  it('keeps exact bytes, names what was cut, and lists what found no place', async () => {
    const entry: OddField[] = [
      ['MESSAGE', Buffer.from('a\xff', 'latin1')],
      ['ONE', '12345678'],
      ['TWO', '2'],
    ]
    expect(await one(entry, { fields: { maxBytes: 5 }, customLimit: 1 })).toEqual({
      message: 'a\ufffd',
      journald: { custom: { one: '12345' } },
      logferry: { base64: { MESSAGE: 'Yf8=' }, truncated: ['ONE'], other: ['TWO=2'] },
    })
  })

  it('renames to paths, adds constants and labels, and lets them win', async () => {
    const entry: OddField[] = [
      ['MESSAGE', 'm'],
      ['APP', 'x'],
      ['_SYSTEMD_UNIT', 'u.service'],
      ['_HOSTNAME', 'h'],
      ['VERSION', '1'],
    ]
    const fields = {
      rename: { APP: 'service.name', VERSION: 'service.version' },
      add: { 'host.name': 'fixed', 'service.environment': 'prod', 'event.module': 'dcos' },
    }
    const dataStream = { type: 'logs', dataset: 'journal', namespace: 'default' }
    const dir = await writeEntries([
      entry,
      [
        ['MESSAGE', 'n'],
        ['_SYSTEMD_UNIT', 'u.service'],
      ],
    ])
    const [first, second] = ecs(dir, { fields, labels: { cluster: 'a' }, dataStream })
    expect(first).toMatchObject({
      event: { kind: 'event', dataset: 'journald', module: 'dcos' },
      labels: { cluster: 'a' },
      data_stream: dataStream,
      host: { hostname: 'h', name: 'fixed' },
      service: { name: 'x', version: '1', environment: 'prod' },
    })
    expect(second.service).toEqual({ name: 'u', environment: 'prod' })
  })

  it('puts a field that was renamed to an impossible place among the custom ones', async () => {
    const rename = { A: 'log', B: 'message.text', C: 'event.id', D: '@timestamp', E: 'x..y', F: 'logferry.other' }
    expect(
      await one([['MESSAGE', 'm'], ...Object.keys(rename).map((name): OddField => [name, '1'])], {
        fields: { rename },
      }),
    ).toEqual({
      message: 'm',
      journald: {
        custom: { log: '1', message_text: '1', event_id: '1', '@timestamp': '1', x__y: '1', logferry_other: '1' },
      },
    })
  })

  it('puts constants with impossible paths there, too, and never two values at one place', async () => {
    const add = {
      log: '1',
      'event.id': '2',
      'message.text': '3',
      '@timestamp': '4',
      'a.b': '5',
      'journald.cursor': '6',
      'a.b.c': '7',
    }
    const rename = { APP: 'a.b', TAG: 'a' }
    const fields: OddField[] = [
      ['MESSAGE', 'm'],
      ['APP', 'x'],
      ['TAG', 'y'],
    ]
    expect(await one(fields, { fields: { add, rename } })).toEqual({
      message: 'm',
      a: { b: '5' },
      journald: {
        custom: {
          log: '1',
          event_id: '2',
          message_text: '3',
          '@timestamp': '4',
          journald_cursor: '6',
          a_b_c: '7',
          a_b: 'x',
          a: 'y',
        },
      },
    })
  })

  it('leaves out what is excluded, also from members made of it', async () => {
    const entry: OddField[] = [
      ['_UID', '0'],
      ['_SYSTEMD_UNIT', 'u.service'],
      ['APP', 'x'],
    ]
    expect(await one(entry, { fields: { exclude: ['_UID', '_SYSTEMD_UNIT'] }, custom: 'drop' })).toEqual({})
  })
})

it('reads numbers, command lines, capabilities and names as Filebeat does', () => {
  expect(['12', '12,x', '+5', '-3', '1x', '', '1.5', '1234567890123456789'].map(leadingInteger)).toEqual([
    12,
    12,
    5,
    -3,
    undefined,
    undefined,
    undefined,
    undefined,
  ])
  expect(splitCommandLine('a  "b \\" c" --d="e f"\tg')).toEqual(['a', '"b \\" c"', '--d="e', 'f"', 'g'])
  expect(capabilityNames('10000000001')).toEqual(['CAP_CHOWN', 'CAP_CHECKPOINT_RESTORE'])
  expect(capabilityNames('20000000000')).toEqual(['41'])
  expect(capabilityNames('x')).toBeUndefined()
  expect(['__FOO_BAR', 'a.b', '___'].map(customName)).toEqual(['foo_bar', 'a_b', '_'])
})
