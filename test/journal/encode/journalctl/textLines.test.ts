import { expect, it } from 'vitest'
import type { EncoderSpec } from '../../../../src/journal/encode/encoder.ts'
import { stripTabAnsi } from '../../../../src/journal/encode/journalctl/ansi.ts'
import { LocalTime } from '../../../../src/journal/encode/journalctl/localTime.ts'
import { parseRealtime } from '../../../../src/journal/encode/record/sourceTime.ts'
import { FIXTURES, openFixture } from '../../../support/fixtures.ts'
import { journalctl } from '../../../support/journals.ts'
import { describeWith } from '../../../support/needs.ts'
import { BOOT, encodeDir, type OddField, writeEntries } from '../encoding.ts'

const OTHER_BOOT = 'b0070000000000000000000000000002'

// What journalctl treats in a way of its own, one entry each.
const HOST: OddField = ['_HOSTNAME', 'h1']
const NAME: OddField = ['SYSLOG_IDENTIFIER', 'id1']
const PID: OddField = ['_PID', '42']
const MESSAGES: readonly (string | Uint8Array)[] = [
  'plain',
  'esc \x1b[31mred\x1b[0m end',
  'bell \x07 end',
  'nul a\0b end\nsecond\0x',
  Buffer.from('bad \xff', 'latin1'),
  'tab\there\tx',
  'multi\nline\n\nlast',
  'trailing newline\n',
  '\n',
  'cr at end\r',
  'cr\r\nlf\r\n',
  'cr mid\rdle',
  'osc \x1b]8;;http://x\x07link\x1b]8;;\x07 end',
  'cut \x1b[31',
  'cut \x1b',
  'other \x1b(B end',
  'esc tab \x1b\t end \x1b\r\n',
  'csi other \x1b[2K end',
  'csi nul \x1b[3\0m end',
  'osc other \x1b]8\x01\x07 end',
  'x'.repeat(299),
  'y'.repeat(300),
  'z'.repeat(5000),
  'many\n'.repeat(10),
  `${'B'.repeat(2000)}\x01`,
  '\x01'.repeat(1023),
  '\x01'.repeat(1024),
  '\x01'.repeat(1_234_567),
  'nel \u0085 end',
  'é ü 日本 🚀',
]
const ENTRIES: readonly (readonly OddField[])[] = [
  ...MESSAGES.map((message): OddField[] => [HOST, NAME, PID, ['MESSAGE', message]]),
  [HOST, NAME, PID, ['X', 'no message']],
  [NAME, PID, ['MESSAGE', 'no host']],
  [HOST, PID, ['MESSAGE', 'no name\nindented']],
  [HOST, PID, ['_COMM', 'comm'], ['MESSAGE', 'comm only']],
  [HOST, NAME, ['_COMM', 'comm'], ['MESSAGE', 'no pid']],
  [HOST, NAME, ['SYSLOG_PID', '77'], ['MESSAGE', 'syslog pid']],
  [HOST, NAME, PID, ['SYSLOG_PID', '77'], ['MESSAGE', 'both pids']],
  [HOST, ['SYSLOG_IDENTIFIER', 'q'.repeat(299)], PID, ['MESSAGE', 'long name']],
  [HOST, ['SYSLOG_IDENTIFIER', 'q'.repeat(300)], PID, ['MESSAGE', 'too long name']],
  [HOST, ['SYSLOG_IDENTIFIER', 'bad\x01'], ['_COMM', 'comm'], PID, ['MESSAGE', 'bad name']],
  [['_HOSTNAME', 'bad\x01'], NAME, PID, ['MESSAGE', 'bad host']],
  [['_HOSTNAME', 'nul\0host'], NAME, PID, ['MESSAGE', 'nul in host\nindented']],
  [['_HOSTNAME', 'ho\nst'], NAME, ['_PID', '4\n2'], ['MESSAGE', 'newline in host\nindented']],
  [HOST, NAME, PID, ['MESSAGE', 'first'], ['MESSAGE', 'second']],
  [HOST, NAME, PID, ['SYSLOG_IDENTIFIER', 'id2'], ['_PID', '43'], ['MESSAGE', 'two names']],
  [
    ['MESSAGE', ''],
    ['_HOSTNAME', ''],
    ['SYSLOG_IDENTIFIER', ''],
    ['_PID', ''],
  ],
  [['MESSAGE', 'nothing else']],
  ...[
    '1600000000000000',
    'x',
    ' 1600000000000000',
    '0x5AF3107A40000',
    '-1',
    '+1600000000000000',
    '01600000000000000',
    '0',
  ].map((time): OddField[] => [HOST, NAME, PID, ['_SOURCE_REALTIME_TIMESTAMP', time], ['MESSAGE', `sent at ${time}`]]),
  ...[
    `0b${(1_600_000_000_000_000).toString(2)}`,
    `0o${(1_600_000_000_000_000).toString(8)}`,
    '18446744073709551615',
    '18446744073709551616',
    '99999999999999999',
    '1600000000000000x',
    '08',
  ].map((time): OddField[] => [HOST, NAME, PID, ['_SOURCE_REALTIME_TIMESTAMP', time], ['MESSAGE', `sent at ${time}`]]),
]
// A boot without a message, and one that comes back.
const boot = (k: number): string => (k === 5 || k === 30 || k > 50 ? OTHER_BOOT : BOOT)

const FORMATS = ['short', 'short-iso', 'cat'] as const
const ZONES = ['UTC', 'Asia/Kolkata', 'America/St_Johns']

function ours(dir: string, format: (typeof FORMATS)[number], all: boolean): string {
  return Buffer.concat(encodeDir(dir, { format, all, boots: true })).toString('latin1')
}

describeWith(
  ['journalctl', 'systemd-journal-remote'],
  'the text forms, byte for byte as journalctl prints them',
  () => {
    it.each(FORMATS)('%s, for entries of every odd kind, in three time zones', async (format) => {
      const dir = await writeEntries(ENTRIES, boot)
      const zone = process.env['TZ']
      try {
        for (const TZ of ZONES) {
          process.env['TZ'] = TZ
          for (const all of [false, true]) {
            const oracle = journalctl([`--directory=${dir}`, '-o', format, ...(all ? ['--all'] : [])], {
              TZ,
              LC_ALL: 'C',
            })
            expect(ours(dir, format, all)).toBe(oracle.toString('latin1'))
          }
        }
      } finally {
        if (zone === undefined) delete process.env['TZ']
        else process.env['TZ'] = zone
      }
    })

    const READABLE = FIXTURES.filter((name) => openFixture(name).facts.oracle_entries > 0)
    it.each(READABLE.filter((name) => !name.startsWith('damaged-array') && !name.startsWith('damaged-entry')))(
      'for %s',
      (name) => {
        const { dir } = openFixture(name)
        for (const format of FORMATS) {
          const oracle = journalctl([`--directory=${dir}`, '-o', format], { LC_ALL: 'C' })
          expect(ours(dir, format, false)).toBe(oracle.toString('latin1'))
        }
      },
    )

    it('with --utc and --no-hostname', async () => {
      const dir = await writeEntries([[HOST, NAME, PID, ['MESSAGE', 'a\nb']]])
      const spec: EncoderSpec = { format: 'short-iso', utc: true, noHostname: true }
      const oracle = journalctl([`--directory=${dir}`, '-o', 'short-iso', '--utc', '--no-hostname'], {
        TZ: 'Asia/Kolkata',
      })
      expect(Buffer.concat(encodeDir(dir, spec)).toString()).toBe(oracle.toString())
    })

    it('colours a message by its priority where asked to', async () => {
      const dir = await writeEntries(
        ['3', '4', '5', '6', '7', 'x'].map((priority) => [
          ['PRIORITY', priority],
          ['MESSAGE', 'm'],
        ]),
      )
      const records = encodeDir(dir, { format: 'cat', colors: true }).map(String)
      expect(records).toEqual([
        '\x1b[0;1;31mm\x1b[0m\n',
        '\x1b[0;1;38;5;185mm\x1b[0m\n',
        '\x1b[0;1;39mm\x1b[0m\n',
        'm\n',
        '\x1b[0;38;5;245mm\x1b[0m\n',
        'm\n',
      ])
    })

    it('says nothing of boots unless asked to', async () => {
      const dir = await writeEntries([[['MESSAGE', 'a']], [['MESSAGE', 'b']]], (k) => (k === 0 ? BOOT : OTHER_BOOT))
      expect(Buffer.concat(encodeDir(dir, { format: 'short', utc: true })).toString()).not.toContain('-- Boot')
    })
  },
)

it('strips what moves the cursor or colours text, and nothing else', () => {
  expect(stripTabAnsi('a\tb')).toBe('a        b')
  expect(stripTabAnsi('\x1b[1;31mred\x1b[0m\r')).toBe('red')
  expect(stripTabAnsi('a\r\r\nb\rc')).toBe('a\nb\rc')
  for (const text of ['\x1b[2K', '\x1b]8;;x', '\x1b(B', '\x1b\x1b[0', '\x1b\t']) expect(stripTabAnsi(text)).toBe(text)
})

it('takes journald’s own spellings of a time, and no time that cannot be', () => {
  expect(parseRealtime('1600000000000000')).toBe(1600000000000000)
  expect(parseRealtime('0x10')).toBe(16)
  expect(parseRealtime('010')).toBe(8)
  for (const text of ['', '0', '-1', '08', '1x', '36028797018963968', '٣']) expect(parseRealtime(text)).toBeUndefined()
})

it('shows a time before and after a change of the clocks', () => {
  const zone = process.env['TZ']
  process.env['TZ'] = 'Europe/Berlin'
  const time = new LocalTime(false)
  expect(time.iso(1_698_541_199_000_000)).toBe('2023-10-29T02:59:59+0200')
  expect(time.iso(1_698_541_200_000_000)).toBe('2023-10-29T02:00:00+0100')
  expect(time.short(1_698_541_200_000_000)).toBe('Oct 29 02:00:00')
  if (zone === undefined) delete process.env['TZ']
  else process.env['TZ'] = zone
})
