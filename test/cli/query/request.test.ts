import { describe, expect, it } from 'vitest'
import { parseReadRequest, type ReadOptions } from '../../../src/cli/query/request.ts'

const NOW = 1_700_000_000_000_000
const request = (options: Partial<ReadOptions>) =>
  parseReadRequest([], { tail: true, output: 'short', ...options }, NOW)
const CURSOR = 't=60a2418000000'

describe('parseReadRequest', () => {
  it('reads everything of this machine by default', () => {
    expect(request({})).toMatchObject({
      place: { machineId: 'local' },
      start: { kind: 'head' },
      lines: Number.POSITIVE_INFINITY,
      quiet: false,
    })
  })

  it('follows from the last ten entries, or from --since, or from the head with --no-tail', () => {
    expect(request({ follow: true })).toMatchObject({ start: { kind: 'tail', entries: 10 }, lines: 10 })
    expect(request({ follow: true, since: '-1h' })).toMatchObject({ start: { kind: 'realtime' }, lines: Infinity })
    expect(request({ follow: true, tail: false })).toMatchObject({ start: { kind: 'head' }, lines: Infinity })
  })

  it('starts where journalctl does', () => {
    expect(request({ lines: '5' }).start).toEqual({ kind: 'tail', entries: 5 })
    expect(request({ lines: '5', since: '@1600000000' }).start).toEqual({ kind: 'realtime', us: 1.6e15 })
    expect(request({ lines: '5', until: '@1600000000' }).start).toEqual({ kind: 'tail', entries: 5 })
    expect(request({ reverse: true, until: '@1600000000' }).start).toEqual({ kind: 'realtime', us: 1.6e15 })
    expect(request({ reverse: true, since: '@1600000000' }).start).toEqual({ kind: 'tail', entries: 0 })
    expect(request({ afterCursor: CURSOR, lines: '5' }).start).toMatchObject({ kind: 'cursor', after: true })
    expect(request({ cursor: CURSOR, reverse: true }).start).toMatchObject({ kind: 'cursor', after: false })
  })

  it('is quiet where a machine reads', () => {
    expect(request({ output: 'json' }).quiet).toBe(true)
    expect(request({ output: 'cat' }).quiet).toBe(true)
    expect(request({ output: 'short-iso' }).quiet).toBe(false)
    expect(request({ quiet: true }).quiet).toBe(true)
  })

  it.each([
    [{ follow: true, reverse: true }, '--follow and --reverse exclude each other'],
    [{ since: 'now', cursor: CURSOR }, '--cursor and --since exclude each other: one of them says where to start'],
    [
      { cursor: CURSOR, afterCursor: CURSOR },
      '--cursor and --after-cursor exclude each other: one of them says where to start',
    ],
    [{ since: '@2', until: '@1' }, '--since is later than --until'],
    [{ directory: ['/a'], file: ['/b'] }, '--directory and --file exclude each other'],
    [{ lines: 'x' }, '--lines x: expected a number or "all"'],
    [{ boot: 'x' }, '--boot: "x" is no boot'],
  ] as [Partial<ReadOptions>, string][])('refuses %j', (options, text) => {
    expect(() => request(options)).toThrow(text)
  })
})
