// Starts the real receivers of test/services for integration tests: each on a free port of 127.0.0.1, in a folder of its own, ended by its pid.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const HOME = join(import.meta.dirname, '../services')

export interface Service {
  readonly dir: string
  readonly port: number
  /** Ends it. Its folder is kept until `remove`. */
  stop(signal?: NodeJS.Signals): Promise<void>
  /** Starts it again in the same folder on the same port. */
  start(): Promise<void>
  /** SIGSTOP and SIGCONT: it holds its connections and answers nothing. */
  freeze(): void
  thaw(): void
  /** Ends it and removes its folder. */
  remove(): Promise<void>
}

/** `count` consecutive ports that are free now. */
export async function freePorts(count: number): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const base = 20_000 + Math.floor(Math.random() * 20_000)
    const results = await Promise.all(Array.from({ length: count }, (_, i) => isFree(base + i)))
    if (results.every(Boolean)) return base
  }
  throw new Error(`no ${count} consecutive free ports`)
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

async function waitFor(
  what: string,
  ready: () => Promise<boolean>,
  alive: () => string | undefined,
  timeoutMs = 180_000,
): Promise<void> {
  const end = Date.now() + timeoutMs
  for (;;) {
    const dead = alive()
    if (dead !== undefined) throw new Error(`${what} ended: ${dead}`)
    if (await ready().catch(() => false)) return
    if (Date.now() > end) throw new Error(`${what} was not ready within ${timeoutMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

const answers = (url: string) => async () => (await fetch(url, { signal: AbortSignal.timeout(2000) })).ok

interface Recipe {
  readonly name: string
  readonly ports: number
  args(dir: string, port: number): readonly string[]
  ready(port: number): () => Promise<boolean>
  readonly env?: Readonly<Record<string, string>>
  /** Puts files into its folder before it starts. */
  prepare?(dir: string): void
}

/** Programs that stay in the foreground. */
async function foreground(recipe: Recipe): Promise<Service> {
  const dir = mkdtempSync(join(tmpdir(), `lf-${recipe.name}-`))
  const port = await freePorts(recipe.ports)
  recipe.prepare?.(dir)
  let child: ChildProcess | undefined
  let output = ''
  const start = async () => {
    output = ''
    const started = spawn('bash', [join(HOME, recipe.name, 'start.sh'), ...recipe.args(dir, port)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...recipe.env },
    })
    child = started
    for (const stream of [started.stdout, started.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(-4000)
      })
    }
    const alive = () => (started.exitCode === null && started.signalCode === null ? undefined : output)
    await waitFor(recipe.name, recipe.ready(port), alive)
  }
  const stop = async (signal: NodeJS.Signals = 'SIGTERM') => {
    const running = child
    child = undefined
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return
    const ended = new Promise((resolve) => running.once('exit', resolve))
    running.kill('SIGCONT')
    running.kill(signal)
    // A program that does not mind SIGTERM must not hold up the tests.
    const patience = setTimeout(() => running.kill('SIGKILL'), 10_000)
    await ended
    clearTimeout(patience)
  }
  await start()
  return {
    dir,
    port,
    start,
    stop,
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    remove: async () => {
      await stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

export interface Elasticsearch extends Service {
  readonly url: string
  /** One request with a JSON body; answers the parsed JSON and the status. */
  ask(method: string, path: string, body?: unknown): Promise<{ status: number; body: Record<string, unknown> }>
}

/** @param extra further lines of elasticsearch.yml, for example `http.max_content_length: 1mb` */
export async function startElasticsearch(extra = '', heap = '512m'): Promise<Elasticsearch> {
  const service = await foreground({
    name: 'elasticsearch',
    ports: 1,
    args: (dir, port) => [dir, String(port), heap],
    ready: (port) => answers(`http://127.0.0.1:${port}/_cluster/health`),
    env: { ES_EXTRA: extra },
  })
  const url = `http://127.0.0.1:${service.port}`
  return {
    ...service,
    url,
    ask: async (method, path, body) => {
      const answer = await fetch(url + path, {
        method,
        ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      })
      const text = await answer.text()
      return { status: answer.status, body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>) }
    },
  }
}

export interface Collector extends Service {
  /** Splunk HEC is at `port`. */
  readonly forwardPort: number
  readonly otlpPort: number
  /** All log records that have arrived through one receiver: OTLP JSON, flattened. */
  records(receiver: 'hec' | 'fwd' | 'otlp'): { resource: unknown; record: Record<string, unknown> }[]
}

export interface CollectorOptions {
  /** Paths of PEM files: HEC over TLS. */
  readonly hecTls?: { readonly cert: string; readonly key: string }
}

/** OpenTelemetry Collector with receivers for HEC (with acknowledgement), forward and OTLP. */
export async function startCollector({ hecTls }: CollectorOptions = {}): Promise<Collector> {
  const service = await foreground({
    name: 'otelcol',
    ports: 4,
    args: (dir, port) => [dir, String(port)],
    // Over TLS it is asked elsewhere: this process does not trust the certificate.
    ready: (port) =>
      hecTls === undefined
        ? answers(`http://127.0.0.1:${port}/services/collector/health`)
        : async () => (await fetch(`http://127.0.0.1:${port + 2}/`, { signal: AbortSignal.timeout(2000) })).status > 0,
    env: hecTls === undefined ? {} : { OTEL_HEC_TLS: '1' },
    prepare: (dir) => {
      if (hecTls === undefined) return
      copyFileSync(hecTls.cert, join(dir, 'tls.crt'))
      copyFileSync(hecTls.key, join(dir, 'tls.key'))
    },
  })
  interface Batch {
    resourceLogs: { resource: unknown; scopeLogs: { logRecords?: Record<string, unknown>[] }[] }[]
  }
  return {
    ...service,
    forwardPort: service.port + 1,
    otlpPort: service.port + 2,
    records: (receiver) => {
      const path = join(service.dir, `${receiver}.ndjson`)
      if (!existsSync(path)) return []
      const lines = readFileSync(path, 'utf8').split('\n')
      // What stands behind the last newline is still being written.
      return lines
        .slice(0, -1)
        .filter((line) => line !== '')
        .flatMap((line) => (JSON.parse(line) as Batch).resourceLogs)
        .flatMap(({ resource, scopeLogs }) =>
          // A batch without entries has none.
          scopeLogs.flatMap(({ logRecords = [] }) => logRecords.map((record) => ({ resource, record }))),
        )
    },
  }
}

export async function startBento(
  redisUrl: string,
  kind: 'list' | 'stream' | 'channel',
  key: string,
  esUrl: string,
  index: string,
): Promise<Service> {
  return foreground({
    name: 'bento',
    ports: 1,
    args: (dir, port) => [dir, redisUrl, kind, key, esUrl, index, String(port)],
    ready: (port) => answers(`http://127.0.0.1:${port}/ready`),
  })
}

export async function startVictoriaLogs(): Promise<Service> {
  return foreground({
    name: 'victorialogs',
    ports: 1,
    args: (dir, port) => [dir, String(port)],
    ready: (port) => answers(`http://127.0.0.1:${port}/health`),
  })
}

/** nginx on `port` (HTTP) and `port + 1` (HTTPS with basic authentication logferry/secret) in front of `upstream`. */
export async function startNginx(upstream: number, auth?: number): Promise<Service> {
  return foreground({
    name: 'nginx',
    ports: 2,
    args: (dir, port) => [dir, String(port), String(upstream), ...(auth === undefined ? [] : [String(auth)])],
    ready: (port) => async () =>
      (await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(2000) })).status > 0,
  })
}

export type RedisMode = 'plain' | 'acl' | 'tls' | 'sentinel' | 'cluster'

export interface Redis {
  readonly dir: string
  readonly port: number
  /** Process ids by name: `redis`, `primary`, `replica`, `n0` … */
  pids(): Record<string, number>
  /** redis-cli against `port` or another one; answers its output. */
  cli(args: readonly string[], port?: number): string
  stop(): void
  start(): void
  remove(): void
}

const REDIS_PORTS: Readonly<Record<RedisMode, number>> = { plain: 1, acl: 1, tls: 1, sentinel: 5, cluster: 6 }

/** Real Redis in one of its topologies; see test/services/redis/start.sh for ports and users. */
export async function startRedis(mode: RedisMode): Promise<Redis> {
  const dir = mkdtempSync(join(tmpdir(), 'lf-redis-'))
  const port = await freePorts(REDIS_PORTS[mode])
  const script = join(HOME, 'redis/start.sh')
  mkdirSync(dir, { recursive: true })
  const start = () =>
    void execFileSync('bash', [script, dir, mode, String(port)], { stdio: ['ignore', 'pipe', 'pipe'] })
  const stop = () => void execFileSync('bash', [script, dir, 'stop'], { stdio: ['ignore', 'pipe', 'pipe'] })
  try {
    start()
  } catch (error) {
    // Some nodes of a cluster may be up.
    stop()
    rmSync(dir, { recursive: true, force: true })
    throw error
  }
  return {
    dir,
    port,
    start,
    stop,
    pids: () =>
      Object.fromEntries(
        readdirSync(dir)
          .filter((name) => name.endsWith('.pid'))
          .map((name) => [name.slice(0, -4), Number(readFileSync(join(dir, name), 'utf8'))]),
      ),
    cli: (args, at = port) =>
      execFileSync('redis-cli', ['-p', String(at), ...args], { encoding: 'utf8', maxBuffer: 1 << 30 }),
    remove: () => {
      stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
