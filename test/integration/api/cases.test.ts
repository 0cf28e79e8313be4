// The behaviour of the original node service, case by case: each was proven on the original, or says what is mended (mode `fix`, with what the
// original answered). Journals are written by systemd-journal-remote, Mesos is a stand-in.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { eventsOf, type OpenReply, open, startTestApi, type TestApi } from '../../support/api.ts'
import { ApiJournal, type GivenEntry } from '../../support/apiJournal.ts'
import { type MesosStandIn, startMesos } from '../../support/mesosStandIn.ts'
import { describeWith } from '../../support/needs.ts'
import { until } from '../../support/program.ts'
import { tempDir } from '../../support/tempDir.ts'

interface Expected {
  readonly message?: string | null
  readonly n?: number
  readonly id?: string | null
  readonly data_lines?: number
  readonly fields_equal?: Readonly<Record<string, string>>
  readonly cursor_regex?: string
  readonly realtime_timestamp?: number
}

interface Body {
  readonly kind: string
  readonly lines?: readonly string[]
  readonly entries?: readonly Expected[]
  readonly events?: readonly Expected[]
  readonly equals?: string
  readonly contains?: readonly string[]
  readonly values?: readonly string[]
  readonly inner?: Body
  readonly paths?: readonly string[]
  readonly keys?: readonly string[]
  readonly integers?: readonly string[]
  readonly key_order?: readonly string[]
  readonly fields_keys?: readonly string[]
  readonly pings?: string
  readonly stays_open?: boolean
  readonly within_s?: number
  readonly first_ping_within_s?: number
}

interface Case {
  readonly id: string
  readonly method: string
  readonly path: string
  readonly query: string
  readonly headers: Readonly<Record<string, string | null>>
  readonly given: {
    readonly fixture?: string
    readonly role?: 'master' | 'agent' | 'agent_public'
    readonly auth?: boolean
    readonly detect_ip?: string
    readonly mesos_state?: object
    readonly sandbox?: Readonly<Record<string, string>>
    readonly mesos_files_browse?: Readonly<Record<string, number>>
  }
  readonly after_connect?: readonly { readonly at_s: number; readonly append: GivenEntry }[]
  readonly expect: {
    readonly status: number
    readonly status_accept?: readonly number[]
    readonly headers: Readonly<Record<string, string | null>>
    readonly body: Body
  }
}

const { fixtures, cases } = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../fixtures/dcos-cases.json'), 'utf8'),
) as {
  fixtures: Readonly<Record<string, readonly GivenEntry[]>>
  cases: readonly Case[]
}
const AGENT = { id: 'd1f5a3c2-0000-4000-8000-000000000001-S3', pid: 'slave(1)@10.0.0.5:5051' }
const STATE = { frameworks: [], completed_frameworks: [], slaves: [AGENT] }
/** How long a stream is watched after everything expected has come. */
const LINGER_MS = 1600

describeWith(['systemd-journal-remote', 'journalctl'], 'the original node service', () => {
  const home = tempDir()
  const journals = new Map<string, ApiJournal>()
  const servers = new Map<string, Promise<TestApi>>()
  const mesoses: MesosStandIn[] = []
  const zone = process.env['TZ']

  beforeAll(() => {
    // The cases' nodes run in UTC.
    process.env['TZ'] = 'UTC'
    for (const [name, entries] of Object.entries(fixtures))
      journals.set(name, new ApiJournal(join(home, name), entries))
  })

  afterAll(async () => {
    for (const server of servers.values()) await (await server).close()
    for (const mesos of mesoses) await mesos.close()
    if (zone === undefined) delete process.env['TZ']
    else process.env['TZ'] = zone
  })

  function journalFor({ id, given, after_connect: later }: Case): ApiJournal {
    const fixture = given.fixture ?? 'mix10'
    if (later === undefined) return journals.get(fixture) as ApiJournal
    return new ApiJournal(join(home, id), fixtures[fixture] as readonly GivenEntry[])
  }

  /** One server for all cases with the same surroundings. */
  function serverFor(one: Case, journal: ApiJournal): Promise<TestApi> {
    const key = JSON.stringify([journal.dir, one.given])
    const known = servers.get(key)
    if (known !== undefined) return known
    const { given } = one
    const made = (async () => {
      const mesos = await startMesos({
        state: given.mesos_state ?? STATE,
        files: given.sandbox ?? {},
        ...(given.mesos_files_browse && { browse: given.mesos_files_browse }),
      })
      mesoses.push(mesos)
      return await startTestApi({
        dir: journal.dir,
        api: { auth: given.auth === true ? 'mesos' : 'none' },
        mesos: { master: mesos.url, agent: mesos.url },
        node: { role: given.role ?? 'agent', ip: given.detect_ip ?? '10.0.0.5' },
      })
    })()
    servers.set(key, made)
    return made
  }

  it.concurrent.each(cases)('$id', async (one) => {
    const journal = journalFor(one)
    const server = await serverFor(one, journal)
    const query = fill(journal, one.query)
    const headers = Object.fromEntries(
      Object.entries(one.headers).flatMap(([name, value]) => (value === null ? [] : [[name, fill(journal, value)]])),
    )
    const reply = await open(server.port, `${one.path}${query === '' ? '' : `?${query}`}`, {
      method: one.method,
      headers,
    })
    try {
      const began = Date.now()
      for (const { at_s: at, append } of one.after_connect ?? []) {
        await sleep(began + at * 1000 - Date.now())
        journal.append(append)
      }
      await judge(one, journal, reply)
    } finally {
      reply.close()
    }
  })
})

async function judge({ expect: wanted }: Case, journal: ApiJournal, reply: OpenReply): Promise<void> {
  const { body } = wanted
  if (body.stays_open === true) {
    const seconds = body.first_ping_within_s ?? body.within_s ?? 6
    await until('the expected data', () => fits(journal, body, reply.body()), seconds * 1000).catch(() => {})
    await sleep(LINGER_MS)
    expect(reply.isEnded()).toBe(false)
  } else await reply.ended
  expect(wanted.status_accept ?? [wanted.status]).toContain(reply.status)
  for (const [name, value] of Object.entries(wanted.headers)) {
    expect([name, reply.headers[name.toLowerCase()] ?? null]).toEqual([name, value])
  }
  checkBody(journal, body, reply.body())
}

function fits(journal: ApiJournal, body: Body, data: Buffer): boolean {
  try {
    checkBody(journal, body, data)
    return true
  } catch {
    return false // Not yet.
  }
}

function checkBody(journal: ApiJournal, body: Body, data: Buffer): void {
  const text = data.toString('utf8')
  switch (body.kind) {
    case 'any':
      return
    case 'empty':
      expect(text).toBe('')
      return
    case 'empty_or_ping':
      expect(text.replaceAll(': ping\n\n', '')).toBe('')
      return
    case 'lines':
      expect(text).toBe((body.lines ?? []).map((line) => `${line}\n`).join(''))
      return
    case 'text':
      if (body.equals !== undefined) expect(text).toBe(body.equals)
      for (const part of body.contains ?? []) expect(text).toContain(part)
      return
    case 'gzip':
      checkBody(journal, body.inner as Body, gunzipSync(data))
      return
    case 'json_set':
      expect((JSON.parse(text) as string[]).sort()).toEqual([...(body.values ?? [])].sort())
      return
    case 'json_array_of':
      checkFiles(body, JSON.parse(text) as Record<string, unknown>[])
      return
    case 'ndjson':
      checkLines(journal, body, text)
      return
    case 'sse':
    case 'sse_file':
      checkEvents(journal, body, text)
      return
    default:
      throw new Error(`what is a body of kind ${body.kind}?`)
  }
}

interface ApiEntry {
  readonly fields: Readonly<Record<string, string>>
  readonly cursor: string
  readonly realtime_timestamp: number
}

function checkLines(journal: ApiJournal, body: Body, text: string): void {
  const wanted = body.entries ?? []
  expect(text === '' || text.endsWith('\n')).toBe(true)
  const entries = text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as ApiEntry)
  expect(entries.map(({ fields }) => fields['MESSAGE'] ?? null)).toEqual(wanted.map(({ message }) => message))
  for (const [i, entry] of entries.entries()) {
    checkEntry(journal, entry, wanted[i] as Expected)
    if (body.key_order === undefined) continue
    expect(Object.keys(entry)).toEqual(body.key_order)
    expect(Object.keys(entry.fields)).toEqual(Object.keys(entry.fields).sort())
  }
}

function checkEntry(journal: ApiJournal, entry: ApiEntry, wanted: Expected): void {
  if (wanted.n !== undefined) expect(entry.cursor).toBe(journal.cursor(wanted.n))
  expect(entry.fields).toMatchObject(wanted.fields_equal ?? {})
  if (wanted.realtime_timestamp !== undefined) expect(entry.realtime_timestamp).toBe(wanted.realtime_timestamp)
  if (wanted.cursor_regex !== undefined) expect(entry.cursor).toMatch(new RegExp(wanted.cursor_regex))
}

function checkEvents(journal: ApiJournal, body: Body, text: string): void {
  const wanted = body.events ?? []
  const events = eventsOf(text)
  const entries = events.map(({ data }) => JSON.parse(data) as ApiEntry)
  const messages = wanted.map(({ message, n = 0 }) => message ?? journal.entries[n - 1]?.fields['MESSAGE'])
  expect(entries.map(({ fields }) => fields['MESSAGE'])).toEqual(messages)
  for (const [i, event] of events.entries()) {
    const one = wanted[i] as Expected
    expect(event.id ?? null).toBe(one.id == null ? null : fill(journal, one.id))
    if (body.kind === 'sse') checkEntry(journal, entries[i] as ApiEntry, one)
    if (body.fields_keys !== undefined) expect(Object.keys(entries[i]?.fields ?? {}).sort()).toEqual(body.fields_keys)
  }
  const blocks = text.split('\n\n').filter((block) => block.startsWith('data:') || block.includes('\ndata:'))
  expect(blocks.map((block) => block.match(/^data: /gm)?.length)).toEqual(
    wanted.map(({ data_lines: lines = 1 }) => lines),
  )
  if (body.pings === 'required') expect(text).toContain(': ping\n\n')
}

function checkFiles(body: Body, files: readonly Record<string, unknown>[]): void {
  expect(files.map(({ path }) => path).sort()).toEqual([...(body.paths ?? [])].sort())
  for (const file of files) {
    expect(Object.keys(file).sort()).toEqual(body.keys)
    const integers = Object.keys(file).filter((name) => Number.isInteger(file[name]))
    expect(integers.sort()).toEqual(body.integers)
  }
}

/** {{C4}} is the cursor of the 4th entry, URL-encoded; {{c4}} the bare one. */
function fill(journal: ApiJournal, text: string): string {
  return text.replace(/\{\{([Cc])(\d+)\}\}/g, (_, kind: string, n: string) => {
    const cursor = journal.cursor(Number(n))
    return kind === 'C' ? encodeURIComponent(cursor) : cursor
  })
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)))
}
