// The OpenAPI document of the API, from one table of routes and one of parameters. A test holds it against the routes that there are;
// docs/reference/api.md is written from it, too.

import { CONTENT_TYPES } from '../entries/formats.ts'
import type { ApiParts } from './parts.ts'

interface Parameter {
  readonly in: 'query' | 'path' | 'header'
  readonly schema: object
  readonly description: string
}

const TEXT = { type: 'string' }
const COUNT = { type: 'integer', minimum: 0 }
const WHOLE = { type: 'integer' }
const FLAG = { type: 'boolean' }

const PARAMETERS: Readonly<Record<string, Parameter>> = {
  filter: {
    in: 'query',
    schema: { type: 'array', items: TEXT },
    description: '`KEY:value`, may be repeated: values of one key are alternatives, different keys must all fit.',
  },
  cursor: { in: 'query', schema: TEXT, description: 'A journal cursor; the answer begins behind its entry.' },
  place: { in: 'query', schema: TEXT, description: '`BEG`, `END`, or a journal cursor.' },
  limit: { in: 'query', schema: COUNT, description: 'Entries at most; 0 is all.' },
  skip_next: { in: 'query', schema: COUNT, description: 'Begin with the n-th entry.' },
  skip_prev: { in: 'query', schema: COUNT, description: 'Begin so many entries before the cursor, or before the end.' },
  read_reverse: { in: 'query', schema: FLAG, description: 'The newest first.' },
  postfix: { in: 'query', schema: TEXT, description: 'Part of the file name.' },
  skip: { in: 'query', schema: WHOLE, description: 'Entries (of files: lines) to skip; below 0: to go back.' },
  since: {
    in: 'query',
    schema: TEXT,
    description: 'Not older: `2026-01-31T13:45:00Z`, `-2h`, `yesterday`, `@1769866800`.',
  },
  until: { in: 'query', schema: TEXT, description: 'Not newer.' },
  priority: {
    in: 'query',
    schema: TEXT,
    description: '0 to 7 or a name such as `warning`: it and all that are more urgent.',
  },
  grep: { in: 'query', schema: TEXT, description: 'A regular expression in the syntax of RE2 that MESSAGE must have.' },
  arrays: {
    in: 'query',
    schema: FLAG,
    description: 'A field that occurs several times becomes an array of all its values.',
  },
  reverse: { in: 'query', schema: FLAG, description: 'The newest first.' },
  follow: { in: 'query', schema: FLAG, description: 'Go on with what comes; events always do.' },
  window: { in: 'query', schema: TEXT, description: 'A span such as `1h`, or `all`.' },
  offset: { in: 'query', schema: TEXT, description: '`BEG`, `END`, or a byte offset.' },
  'Last-Event-ID': {
    in: 'header',
    schema: TEXT,
    description: 'The id of the last event that was read; takes the place of cursor and skip.',
  },
}

interface Route {
  readonly path: string
  readonly summary: string
  readonly parameters: readonly string[]
  /** Content types of the answer. */
  readonly types: readonly string[]
  readonly statuses: readonly number[]
}

const V1 = ['filter', 'cursor', 'limit', 'skip_next', 'skip_prev', 'read_reverse']
const STREAM = ['filter', 'cursor', 'skip_next', 'skip_prev', 'Last-Event-ID']
const OLD = [CONTENT_TYPES.text, CONTENT_TYPES.json, CONTENT_TYPES.sse]
const ALL = Object.values(CONTENT_TYPES)
const V2 = [
  'filter',
  'place',
  'skip',
  'limit',
  'since',
  'until',
  'priority',
  'grep',
  'arrays',
  'reverse',
  'follow',
  'Last-Event-ID',
]
const FILE = ['offset', 'skip', 'limit', 'Last-Event-ID']
const CONTAINER = '/framework/{frameworkId}/executor/{executorId}/container/{containerId}'
const RUNS = '/v2/task/frameworks/{frameworkId}/executors/{executorId}/runs/{containerId}'

/** All routes but the page's own files. */
export const ROUTES: readonly Route[] = [
  ...['/v1/range/', `/v1/range${CONTAINER}`].map((path, at) => ({
    path,
    summary: `Entries of ${at === 0 ? 'the node' : 'one container'}, as they are now`,
    parameters: V1,
    types: OLD,
    statuses: [200, 204, 400],
  })),
  ...['/v1/range/download', `/v1/range${CONTAINER}/download`].map((path) => ({
    path,
    summary: 'The same as a gzip file',
    parameters: [...V1, 'postfix'],
    types: OLD,
    statuses: [200, 204, 400],
  })),
  ...['/v1/stream/', `/v1/stream${CONTAINER}`].map((path) => ({
    path,
    summary: 'Entries from the oldest or from a place on, and those that come',
    parameters: STREAM,
    types: OLD,
    statuses: [200, 400, 429],
  })),
  {
    path: '/v1/fields/{field}',
    summary: 'Values of FRAMEWORK_ID, AGENT_ID, EXECUTOR_ID, CONTAINER_ID or STREAM',
    parameters: [],
    types: [CONTENT_TYPES.json],
    statuses: [200, 204, 400],
  },
  ...['/v2/component', '/v2/component/{name}'].map((path, at) => ({
    path,
    summary: `Entries of ${at === 0 ? 'the node' : 'one unit'}; events follow`,
    parameters: V2,
    types: ALL,
    statuses: [200, 204, 400, 406, 429, 503],
  })),
  {
    path: '/v2/components',
    summary: 'Units and tasks with their newest entry and their entries by priority',
    parameters: ['window'],
    types: [CONTENT_TYPES.json],
    statuses: [200, 400],
  },
  ...(
    [
      ['', 'stdout'],
      ['/file/{file}', 'a file'],
      ['/browse', 'the list of files'],
      ['/download', 'stdout to keep'],
      ['/file/{file}/download', 'a file to keep'],
    ] as const
  ).map(([tail, what]) => ({
    path: `/v2/task/{taskId}${tail}`,
    summary: `Where the agent of a task serves ${what}`,
    parameters: [],
    types: [],
    statuses: [303, 401, 404, 409, 500, 501],
  })),
  ...[RUNS, `${RUNS}/tasks/{taskPath}`].flatMap((base) => [
    {
      path: `${base}/{file}`,
      summary: 'Lines of a file in a sandbox; events follow',
      parameters: FILE,
      types: [CONTENT_TYPES.text, CONTENT_TYPES.sse],
      statuses: [200, 204, 400, 401, 403, 404, 500, 501],
    },
    {
      path: `${base}/{file}/download`,
      summary: 'The file as it is',
      parameters: [],
      types: ['application/octet-stream'],
      statuses: [200, 401, 403, 404, 500, 501],
    },
    {
      path: `${base}/files/browse`,
      summary: 'Files of a sandbox',
      parameters: [],
      types: [CONTENT_TYPES.json],
      statuses: [200, 401, 403, 404, 500, 501],
    },
  ]),
  { path: '/openapi.json', summary: 'This document', parameters: [], types: [CONTENT_TYPES.json], statuses: [200] },
]

const STATUS_WORDS: Readonly<Record<number, string>> = {
  200: 'What was asked for',
  204: 'Nothing fits',
  303: 'The address to ask',
  400: 'A parameter is wrong; the text says which',
  401: 'No token, or one that is not valid',
  403: 'The caller may not see it',
  404: 'There is no such thing for this caller',
  406: 'No form fits the Accept header',
  409: 'Several tasks fit',
  429: 'Too many streams or refused tokens',
  500: 'The journal or Mesos failed',
  501: 'Mesos is not configured',
  503: 'The search took too long',
}

/** The document. `version` is the program's. */
export function openApiDocument(version: string): object {
  const paths = ROUTES.map(({ path, summary, parameters, types, statuses }) => {
    const inPath = Array.from(path.matchAll(/\{(\w+)\}/g), ([, name]) => ({
      name,
      in: 'path',
      required: true,
      schema: TEXT,
    }))
    const named = parameters.map((key) => {
      const { in: where, schema, description } = PARAMETERS[key] as Parameter
      // Two parameters are called cursor, and mean different places.
      return { name: key === 'place' || key === 'offset' ? 'cursor' : key, in: where, description, schema }
    })
    const content = Object.fromEntries(types.map((type) => [type, { schema: TEXT }]))
    const responses = Object.fromEntries(
      statuses.map((status) => [
        status,
        { description: STATUS_WORDS[status], ...(status === 200 && types.length > 0 && { content }) },
      ]),
    )
    return [path, { get: { summary, parameters: [...inPath, ...named], responses } }] as const
  })
  return {
    openapi: '3.1.0',
    info: { title: 'logferry', version, description: 'The logging API: one node’s journal and its tasks’ files.' },
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' }, mutualTls: { type: 'mutualTLS' } },
    },
    security: [{}, { token: [] }, { mutualTls: [] }],
    paths: Object.fromEntries(paths),
  }
}

/** Serves it. */
export function addOpenApi({ app }: ApiParts, version: string): void {
  const text = Buffer.from(JSON.stringify(openApiDocument(version)))
  app.get('/openapi.json', (_request, reply) => reply.header('content-type', 'application/json').send(text))
}

/** The parameters for a page that people read: name, where, what. */
export function parameterRows(): readonly (readonly [name: string, where: string, what: string])[] {
  return Object.entries(PARAMETERS).map(([name, { in: where, description }]) => [name, where, description])
}
