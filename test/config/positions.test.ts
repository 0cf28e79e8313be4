// Whatever a configuration looks like, each mistake is found at its own line and column, and nothing but a Problem is thrown.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { ConfigProblems } from '../../src/config/mistakes.ts'
import { isProblem } from '../../src/errors.ts'
import { tempDir } from '../support/tempDir.ts'

const file = join(tempDir(), 'logferry.yaml')

/** Text that knows where it has got to. */
class Writer {
  text = ''
  readonly expected: string[] = []

  add(part: string): void {
    this.text += part
  }

  /** Adds `part`, which begins with the mistake at this path. */
  wrong(path: string, part: string): void {
    const lines = this.text.split('\n')
    this.expected.push(`${lines.length}:${(lines.at(-1) ?? '').length + 1} ${path}`)
    this.text += part
  }
}

const OPTIONS: readonly [section: string, key: string, good: string, wrong: string][] = [
  ['journal', 'start', 'oldest', 'someday'],
  ['retain', 'max_size', '2GiB', 'plenty'],
  ['node', 'role', 'agent', 'king'],
  ['log', 'level', 'debug', '"verbose"'],
]

const filler = fc.constantFrom('', '\n', '# a comment: { with: "signs" }\n', '   # indented\n', '\n\n')
const section = fc.record({
  option: fc.constantFrom(...OPTIONS),
  isFlow: fc.boolean(),
  isValueWrong: fc.boolean(),
  hasUnknownKey: fc.boolean(),
  before: filler,
  between: filler,
  indent: fc.constantFrom('  ', '    ', ' '),
  // Columns count UTF-16 units: a wide character before the mistake must not shift it.
  quote: fc.constantFrom('"ä"', '"🚢"', "'x'"),
})
const sections = fc.uniqueArray(section, { selector: ({ option }) => option[0] })

it('reports each mistake at its own line and column', async () => {
  await fc.assert(
    fc.asyncProperty(sections, fc.boolean(), filler, async (parts, isSinkWrong, before) => {
      const writer = new Writer()
      writer.add(`${before}sinks: { out: { type: `)
      if (isSinkWrong) writer.wrong('sinks.out.type', 'stdot')
      else writer.add('stdout')
      writer.add(' } }\n')
      for (const part of parts) writeSection(writer, part)
      expect(await placesOf(writer.text)).toEqual(writer.expected)
    }),
    { numRuns: 60 },
  )
})

function writeSection(writer: Writer, part: SectionPart): void {
  const [name, key, good, wrong] = part.option
  const { isFlow, indent, between } = part
  writer.add(`${part.before}${name}:${isFlow ? ' { ' : `\n${between}${indent}`}`)
  if (part.hasUnknownKey) {
    writer.wrong(`${name}.bogus`, `bogus: ${part.quote}`)
    writer.add(isFlow ? ', ' : `\n${between}${indent}`)
  }
  writer.add(`${key}: `)
  if (part.isValueWrong) writer.wrong(`${name}.${key}`, wrong)
  else writer.add(good)
  writer.add(isFlow ? ' }\n' : '\n')
}

type SectionPart = typeof section extends fc.Arbitrary<infer T> ? T : never

async function placesOf(text: string): Promise<readonly string[]> {
  writeFileSync(file, text)
  try {
    await loadConfig(file, {})
    return []
  } catch (error) {
    if (!(error instanceof ConfigProblems)) throw error
    return error.mistakes.map(({ line, column, path }) => `${line}:${column} ${path}`)
  }
}

const word = fc.constantFrom(
  ...[
    'sinks',
    'out',
    'type',
    'stdout',
    'file',
    'journal',
    'match',
    'x',
    '<<',
    '*a',
    '&a ',
    '${A}',
    '${A:-b}',
    '$${',
    '${',
  ],
  ...[
    ': ',
    '- ',
    '\n',
    '\n  ',
    '{ ',
    ' }',
    '[',
    ']',
    ', ',
    '"',
    "'",
    '\t',
    '#',
    '? ',
    '!t ',
    '|\n',
    '~',
    '5',
    '1.5',
    'true',
    '\u0000',
    '🚢',
  ],
)

it('throws nothing but a Problem, whatever the file holds', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(word, { maxLength: 40 }), async (words) => {
      writeFileSync(file, words.join(''))
      const error = await loadConfig(file, { A: 'a' }).catch((thrown: unknown) => thrown)
      expect(isProblem(error) || !(error instanceof Error)).toBe(true)
      if (error instanceof ConfigProblems) {
        for (const { line, column } of error.mistakes) expect(line > 0 && column > 0).toBe(true)
      }
    }),
    { numRuns: 200 },
  )
})
