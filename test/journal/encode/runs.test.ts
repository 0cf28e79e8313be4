import { beforeAll, expect, it, vi } from 'vitest'
import { FileCache, type Run } from '../../../src/journal/encode/cache.ts'
import type { EncoderSpec } from '../../../src/journal/encode/encoder.ts'
import { journalctl, writeJournal } from '../../support/journals.ts'
import { describeWith } from '../../support/needs.ts'
import { tempDir } from '../../support/tempDir.ts'
import { encodeDir, recordSpec, sortedJson, strictJson } from './encoding.ts'

// Large enough for runs: an item takes part when it lies well before the entry.
describeWith(['journalctl', 'systemd-journal-remote'], 'the run cache', () => {
  const compact = tempDir()
  const regular = tempDir()
  beforeAll(async () => {
    await writeJournal(compact, 'a', { entries: 1200, profile: 'mixed', seed: 3 })
    await writeJournal(
      regular,
      'a',
      { entries: 800, profile: 'mixed', seed: 4, boots: 3 },
      { env: { SYSTEMD_JOURNAL_COMPACT: '0' } },
    )
  })

  const SPECS: readonly EncoderSpec[] = [
    { format: 'json', all: true },
    { format: 'json-pretty', all: false },
    { format: 'export' },
    recordSpec(),
    recordSpec({ encoding: 'msgpack' }),
    recordSpec({
      fields: { maxBytes: 400, exclude: ['_*_SLICE'], rename: { AGENT_ID: 'agent', EXECUTOR_ID: 'agent' } },
    }),
    recordSpec({ shape: 'ecs' }),
    recordSpec({ shape: 'ecs', encoding: 'msgpack' }),
    recordSpec({
      shape: 'ecs',
      customLimit: 5,
      timestamp: 'source',
      fields: { rename: { AGENT_ID: 'tags', CONTAINER_ID: 'agent.id' } },
    }),
  ]

  it.each(SPECS)('serves most entries and changes nothing: %o', (spec) => {
    for (const dir of [compact, regular]) {
      const found = vi.spyOn(FileCache.prototype, 'findRun')
      const cached = encodeDir(dir, spec)
      const hits = found.mock.results.filter((result) => (result.value as Run | undefined) !== undefined).length
      found.mockRestore()
      expect(hits).toBeGreaterThan(cached.length / 8)
      vi.spyOn(FileCache.prototype, 'find').mockReturnValue(-1)
      vi.spyOn(FileCache.prototype, 'findRun').mockReturnValue(undefined)
      const plain = encodeDir(dir, spec)
      vi.restoreAllMocks()
      expect(plain.length).toBe(cached.length)
      expect(Buffer.concat(plain).equals(Buffer.concat(cached))).toBe(true)
      if (dir === regular) expect(Buffer.concat(encodeDir(dir, spec, 500_000)).equals(Buffer.concat(cached))).toBe(true)
    }
  })

  it('gives what journalctl gives', () => {
    for (const dir of [compact, regular]) {
      const oracle = journalctl([`--directory=${dir}`, '-o', 'export'])
      expect(Buffer.concat(encodeDir(dir, { format: 'export' })).equals(oracle)).toBe(true)
    }
    const json = journalctl([`--directory=${regular}`, '-o', 'json', '--all'])
      .toString('utf8')
      .trimEnd()
      .split('\n')
    const ours = encodeDir(regular, { format: 'json', all: true }).map((record) => sortedJson(record.toString('utf8')))
    expect(ours).toEqual(json.map(sortedJson))
  })

  it('never puts a member twice into a document', () => {
    for (const shape of ['journal', 'ecs'] as const) {
      for (const record of encodeDir(compact, recordSpec({ shape }))) strictJson(record.toString('utf8'))
    }
  })
})
