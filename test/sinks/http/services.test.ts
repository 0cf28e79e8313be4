// What the example files for hosted services make of entries, as far as their services document what they want.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { parse } from 'yaml'
import { httpConfig } from '../../../sinks/http/options.ts'
import { HttpSink } from '../../../sinks/http.ts'
import { delivery, makeBatch } from '../../contract/sinkContract.ts'
import { FakeIntake, type TakenRequest } from './fakeIntake.ts'

const EXAMPLES = join(import.meta.dirname, '../../../config/examples')
/** Options that the pipeline takes. */
const COMMON = new Set(['type', 'batch', 'concurrency', 'fields', 'shape'])
const NEVER = new AbortController().signal
const batch = makeBatch(2)

let intake: FakeIntake | undefined
afterEach(() => intake?.stop())

/** The one request for two entries that the sink of an example sends. */
async function requestOf(name: string): Promise<TakenRequest> {
  const { sinks } = parse(readFileSync(join(EXAMPLES, `${name}.yaml`), 'utf8')) as {
    sinks: Record<string, Record<string, unknown>>
  }
  const options = Object.entries(Object.values(sinks)[0] ?? {}).filter(([key]) => !COMMON.has(key))
  intake = await new FakeIntake().start()
  const sink = new HttpSink(httpConfig.parse({ ...Object.fromEntries(options), url: `${intake.url}/in` }))
  await sink.open(NEVER)
  await sink.write(batch, delivery())
  await sink.close()
  expect(intake.taken).toHaveLength(1)
  return intake.taken[0] as TakenRequest
}

const json = ({ body }: TakenRequest) => JSON.parse(body.toString()) as unknown
const records = batch.entries.map(({ record }) => JSON.parse(Buffer.from(record).toString()) as object)

it('Datadog gets an array, and its key in a header', async () => {
  const request = await requestOf('datadog')
  expect(json(request)).toEqual(records)
  expect(request.headers).toMatchObject({ 'content-type': 'application/json', 'dd-api-key': expect.any(String) })
})

it('New Relic gets its array of blocks, times in milliseconds', async () => {
  const logs = records.map((record) => ({ timestamp: 1790000000000, ...record }))
  expect(json(await requestOf('newrelic'))).toEqual([{ common: { attributes: { logtype: 'journald' } }, logs }])
})

it('LogScale gets HEC events one behind another', async () => {
  const lines = (await requestOf('logscale')).body.toString().trimEnd().split('\n')
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { time: 1790000000.0001, source: 'journald', event: records[0] },
    { time: 1790000000.0002, source: 'journald', event: records[1] },
  ])
})

it('Sumo Logic gets lines, and category and host in headers', async () => {
  const { body, headers } = await requestOf('sumo')
  expect(
    body
      .toString()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toEqual(records)
  expect(headers).toMatchObject({ 'x-sumo-category': expect.any(String), 'x-sumo-host': 'node-1' })
})

it('Better Stack gets an array with its own name for the time', async () => {
  const request = await requestOf('betterstack')
  expect(json(request)).toMatchObject([{ dt: '2026-09-21T14:13:20.000100Z' }, { dt: '2026-09-21T14:13:20.000200Z' }])
  expect(request.headers.authorization).toMatch(/^Bearer /)
})
