// Masks keep secrets out of every form of record: whatever the encoding, the shape and the kind of value, no byte of a token is left.
import { expect, it } from 'vitest'
import type { RecordSpec } from '../../../src/journal/encode/encoder.ts'
import { describeWith } from '../../support/needs.ts'
import { encodeDir, type OddField, recordSpec, strictJson, unpack, writeEntries } from './encoding.ts'

const TOKEN = 'Zq3vT0kenX9wSecretY7'
/** A bearer token, an assignment, and a key in a URL, as an operator would write them. */
const MASK = [
  { pattern: /(Bearer|Basic) [\w.~+/-]+=*/gu, replace: '$1 ***' },
  { pattern: /(?<=\b(?:token|password|api_key)=)[^\s&"]+/giu, replace: '***' },
] as const

const ENTRIES: readonly (readonly OddField[])[] = [
  [
    ['MESSAGE', `GET /x?api_key=${TOKEN}&page=2 "Authorization: Bearer ${TOKEN}==" TOKEN=${TOKEN}`],
    // ECS takes the command line apart.
    ['_CMDLINE', `/usr/bin/app --password=${TOKEN} "--header=Authorization: Bearer ${TOKEN}"`],
    ['OBJECT_CMDLINE', `tool token=${TOKEN}`],
    ['APP_URL', `https://example.org/?token=${TOKEN}`],
    ['SEVERAL', 'nothing'],
    ['SEVERAL', `password=${TOKEN}`],
  ],
  [
    // Not text: the exact bytes stand beside it, in other forms as numbers.
    ['MESSAGE', Buffer.from(`\xff token=${TOKEN} \xfe`, 'latin1')],
    ['APP_LONG', `${'x'.repeat(60)} token=${TOKEN} ${'y'.repeat(200)}`],
    ['APP_CONTROL', `\u001b[31m token=${TOKEN}\r`],
  ],
]

const SPECS: readonly Partial<RecordSpec>[] = (['json', 'msgpack'] as const).flatMap((encoding) =>
  (['journal', 'ecs'] as const).flatMap((shape) =>
    (['base64', 'array', 'replace'] as const).flatMap((binary) =>
      [undefined, 80].map((maxBytes) => ({
        encoding,
        shape,
        binary,
        fields: { mask: MASK, ...(maxBytes !== undefined && { maxBytes }) },
      })),
    ),
  ),
)

/** Everything in which a token could hide: the text, base64 at any offset, arrays of numbers. */
function traces(record: Buffer): string[] {
  const text = record.toString('latin1')
  const encoded = [0, 1, 2].map((offset) =>
    Buffer.from(`${' '.repeat(offset)}${TOKEN}`)
      .toString('base64')
      .slice(offset === 0 ? 0 : 4, -4),
  )
  const numbers = [...Buffer.from(TOKEN.slice(0, 6))].join(',')
  return [TOKEN, TOKEN.slice(0, 6), TOKEN.slice(-6), ...encoded, numbers].filter((trace) => text.includes(trace))
}

describeWith(['systemd-journal-remote'], 'masks by regular expression', () => {
  it.each(SPECS)('leave nothing of a token: $encoding, $shape, $binary, cut at $fields.maxBytes', async (changes) => {
    const dir = await writeEntries(ENTRIES)
    const records = encodeDir(dir, recordSpec(changes))
    expect(records).toHaveLength(ENTRIES.length)
    expect(records.map(traces)).toEqual([[], []])
    // And they are there without masks, so that the search finds what it should.
    const open = encodeDir(dir, recordSpec({ ...changes, fields: {} }))
    expect(open.every((record) => traces(record).length > 0)).toBe(true)
    // What stands around the token stays.
    const decoded = records.map((record) =>
      changes.encoding === 'msgpack' ? unpack(record) : strictJson(record.toString('utf8')),
    )
    const [first] = decoded as Record<string, unknown>[]
    const message = String(changes.shape === 'ecs' ? first?.['message'] : first?.['MESSAGE'])
    expect(message).toMatch(/^GET \/x\?api_key=\*\*\*&page=2 "Authorization: Bearer \*\*\*"/)
  })
})
