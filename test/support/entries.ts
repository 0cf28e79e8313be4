// Generates journal entries in the export format, the same bytes for the same options.
//
// Profiles: `dcos-node` is a container-cluster node (65 % task logs with FRAMEWORK_ID, AGENT_ID, EXECUTOR_ID, CONTAINER_ID, STREAM;
// 28 % logs of some 200 units; 7 % kernel; 20 to 28 fields). `web` is one web server: few units, very regular. `kernel` has few fields
// and no _SOURCE_REALTIME_TIMESTAMP. `mixed` is dcos-node plus what a strict reader must survive: binary values, repeated fields,
// several lines, control characters, invalid UTF-8, empty values, now and then a value above 64 KiB.

export type Profile = 'dcos-node' | 'web' | 'kernel' | 'mixed'

export interface EntryOptions {
  readonly entries: number
  readonly profile?: Profile
  readonly seed?: number
  /** Wall clock of the first entry, microseconds since 1970. */
  readonly start?: number
  /** The boot id changes this many times less one. */
  readonly boots?: number
  /** Machine ids that take turns. */
  readonly machines?: number
}

class Random {
  #state: number
  constructor(seed: number) {
    this.#state = seed | 0
  }
  /** 0 ≤ x < 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  below(n: number): number {
    return Math.floor(this.next() * n)
  }
  between(from: number, to: number): number {
    return from + this.below(to - from)
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T
  }
  exponential(mean: number): number {
    return -Math.log(1 - this.next()) * mean
  }
  hex(digits: number): string {
    let text = ''
    while (text.length < digits) text += this.below(0x10000).toString(16).padStart(4, '0')
    return text.slice(0, digits)
  }
  uuid(): string {
    const h = this.hex(32)
    return `${h.slice(0, 8)}-${h.slice(8, 12)}-4${h.slice(13, 16)}-a${h.slice(17, 20)}-${h.slice(20)}`
  }
}

const WORDS = (
  'request upstream connection timeout retry executor container task offer status update acknowledged agent framework ' +
  'resource disk memory cpu limit exceeded healthy unhealthy probe endpoint replica leader election committed index snapshot ' +
  'restored volume mounted cache miss hit evicted queue depth worker started stopped finished listening reload configuration ' +
  'certificate token expired refreshed lookup resolved record zone packet dropped route gateway metric flushed batch bytes'
).split(' ')
const SERVICES = (
  'mesos-slave mesos-master mesos-dns adminrouter cosmos net navstar spartan telegraf log-agent fluentd checks-api diagnostics ' +
  'history metronome marathon signal logrotate epmd pkgpanda-api exhibitor docker containerd kubelet sshd chronyd rsyslog cron ' +
  'dbus networkd resolved logind udevd node-exporter cadvisor registry vault consul haproxy nginx postfix'
).split(' ')
const NON_ASCII = ['naïve café', 'Größe überschritten', '日本語ログ', 'готово', '🚀 deployed', 'line\u2028sep']

type Kind = 'stdout' | 'syslog' | 'task' | 'kernel' | 'web'
interface Writer {
  readonly kind: Kind
  /** The fields that never change, encoded once. */
  readonly block: Buffer
  readonly weight: number
}
type Field = readonly [string, string | number]

function block(fields: readonly Field[]): Buffer {
  return Buffer.from(fields.map(([name, value]) => `${name}=${value}\n`).join(''))
}

/** The trusted fields that journald would have added for one process. */
function processFields(random: Random, unit: string, comm: string, exe: string, args: string): Field[] {
  return [
    ['_PID', random.between(300, 65000)],
    ['_UID', 0],
    ['_GID', 0],
    ['_COMM', comm.slice(0, 15)],
    ['_EXE', exe],
    ['_CMDLINE', `${exe} ${args}`],
    ['_CAP_EFFECTIVE', '1ffffffffff'],
    ['_SELINUX_CONTEXT', 'kernel'],
    ['_SYSTEMD_CGROUP', `/system.slice/${unit}`],
    ['_SYSTEMD_UNIT', unit],
    ['_SYSTEMD_SLICE', 'system.slice'],
    ['_SYSTEMD_INVOCATION_ID', random.hex(32)],
  ]
}

function service(random: Random, number: number, web: boolean): Writer {
  const name =
    number < SERVICES.length
      ? SERVICES[number]
      : `${SERVICES[number % SERVICES.length]}-${Math.floor(number / SERVICES.length)}`
  const own = number % 3 !== 0
  const unit = own ? `dcos-${name}.service` : `${name}.service`
  const exe = own ? `/opt/mesosphere/bin/${name}` : `/usr/sbin/${name}`
  const fields = processFields(random, unit, String(name), exe, `--work-dir=/var/lib/${name} --port=${5000 + number}`)
  fields.push(['SYSLOG_FACILITY', 3], ['SYSLOG_IDENTIFIER', String(name)])
  const stdout = number % 2 === 1
  if (stdout) fields.push(['_TRANSPORT', 'stdout'], ['_STREAM_ID', random.hex(32)])
  else fields.push(['_TRANSPORT', 'syslog'], ['SYSLOG_PID', String(fields[0]?.[1])])
  return { kind: web ? 'web' : stdout ? 'stdout' : 'syslog', block: block(fields), weight: 1 / (1 + (number % 37)) }
}

function task(random: Random, agent: string, frameworks: readonly string[], number: number): Writer {
  const app = `${random.pick(WORDS)}-${random.pick(WORDS)}-${number}`
  const id = `prod_${app}.instance-${random.uuid()}._app.${random.between(1, 9)}`
  const exe = '/opt/mesosphere/active/mesos/libexec/mesos/mesos-journald-logger'
  const fields = processFields(
    random,
    'dcos-mesos-slave.service',
    'mesos-journald-logger',
    exe,
    `--journald_labels=${app}`,
  )
  fields.push(
    ['_TRANSPORT', 'journal'],
    ['FRAMEWORK_ID', frameworks[number % frameworks.length] as string],
    ['AGENT_ID', agent],
  )
  fields.push(['EXECUTOR_ID', id], ['CONTAINER_ID', random.uuid()], ['STREAM', number % 4 === 0 ? 'STDERR' : 'STDOUT'])
  fields.push(['DCOS_SPACE', `/prod/${app}`], ['SYSLOG_IDENTIFIER', app])
  return { kind: 'task', block: block(fields), weight: 1 / (1 + (number % 53)) }
}

function makeWriters(random: Random, profile: Profile): Writer[] {
  const kernel: Writer = {
    kind: 'kernel',
    block: block([
      ['_TRANSPORT', 'kernel'],
      ['SYSLOG_FACILITY', 0],
      ['SYSLOG_IDENTIFIER', 'kernel'],
    ]),
    weight: 1,
  }
  if (profile === 'kernel') return [kernel]
  if (profile === 'web') return Array.from({ length: 6 }, (_, number) => service(random, number, true))
  const agent = `${random.uuid()}-S${random.below(40)}`
  const frameworks = Array.from({ length: 6 }, (_, n) => `${random.uuid()}-${String(n).padStart(4, '0')}`)
  const groups: [Writer[], number][] = [
    [Array.from({ length: 200 }, (_, number) => service(random, number, false)), 0.28],
    [Array.from({ length: 300 }, (_, number) => task(random, agent, frameworks, number)), 0.65],
    [[kernel], 0.07],
  ]
  return groups.flatMap(([writers, share]) => {
    const total = writers.reduce((sum, writer) => sum + writer.weight, 0)
    return writers.map((writer) => ({ ...writer, weight: (writer.weight * share) / total }))
  })
}

/** A shuffled order of writers in proportion to their weights, used again and again. */
function makeOrder(random: Random, writers: readonly Writer[], length: number): Writer[] {
  const sums: number[] = []
  let total = 0
  for (const writer of writers) {
    total += writer.weight
    sums.push(total)
  }
  return Array.from({ length }, () => {
    const x = random.next() * total
    let low = 0
    let high = sums.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if ((sums[middle] as number) > x) high = middle
      else low = middle + 1
    }
    return writers[low] as Writer
  })
}

function sentence(random: Random, size: number): string {
  let text = ''
  while (text.length < size)
    text += `${text === '' ? '' : ' '}${random.next() < 0.85 ? random.pick(WORDS) : random.below(1e6)}`
  return text
}

function message(random: Random, kind: Kind): string {
  const pick = random.next()
  if (kind === 'kernel') {
    if (pick < 0.5)
      return `IPv4: martian source 10.${random.below(256)}.${random.below(256)}.1 from 10.0.${random.below(256)}.2, on dev eth${random.below(4)}`
    if (pick < 0.8) return `device veth${random.hex(7)} entered promiscuous mode`
    return `Memory cgroup out of memory: Killed process ${random.below(65000)} (java) total-vm:${random.below(1e7)}kB, anon-rss:${random.below(1e6)}kB`
  }
  if (kind === 'web') {
    return `10.${random.below(256)}.${random.below(256)}.${random.below(256)} - - "GET /api/v1/${random.pick(WORDS)}/${random.below(1e6)}?q=${random.pick(WORDS)} HTTP/1.1" ${random.pick([200, 200, 200, 304, 404, 502])} ${random.below(90000)} "-" "Mozilla/5.0 (X11; Linux x86_64)" rt=0.${random.below(1000)}`
  }
  // A stack trace or a dumped document: long enough to be compressed in the file.
  if (pick < 0.03) {
    return Array.from(
      { length: random.between(15, 70) },
      () => `    at ${random.pick(WORDS)}.${random.pick(WORDS)} (${sentence(random, 30)}:${random.below(900)})`,
    ).join('\n')
  }
  if (pick < 0.08)
    return `{${Array.from({ length: random.between(4, 12) }, () => `"${random.pick(WORDS)}": "${sentence(random, 12)}"`).join(', ')}}`
  if (pick < 0.1) return `${random.pick(NON_ASCII)} ${sentence(random, 60)}`
  if (pick < 0.25) return `health check ${random.pick(WORDS)} passed`
  const size = Math.min(400, 40 + random.exponential(70))
  return `${random.pick(['I', 'W', 'E', 'D'])}${String(random.below(1e6)).padStart(6, '0')} ${random.pick(WORDS)}.cpp:${random.below(2000)}] ${sentence(random, size)}`
}

/** One field in export format; values with a newline or another control byte take the length-prefixed form. */
export function exportField(name: string, value: string | Uint8Array): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : Buffer.from(value)
  if (!bytes.some((byte) => byte < 32 && byte !== 9))
    return Buffer.concat([Buffer.from(`${name}=`), bytes, Buffer.from('\n')])
  const length = Buffer.alloc(8)
  length.writeUInt32LE(bytes.length)
  return Buffer.concat([Buffer.from(`${name}\n`), length, bytes, Buffer.from('\n')])
}

const INVALID_UTF8 = [
  '636166e9',
  'fffe',
  'eda08020737572726f67617465',
  'c080206f7665726c6f6e67',
  '7472756e636174656420f09f9a',
  'f4908080',
]

function awkward(random: Random): Buffer[] {
  switch (random.below(14)) {
    case 0:
      return [
        exportField(
          'BINARY',
          Uint8Array.from({ length: random.between(1, 200) }, () => random.below(256)),
        ),
      ]
    case 1:
      return Array.from({ length: random.between(2, 6) }, () => exportField('REPEATED', `value ${random.below(9)}`))
    case 2:
      return [exportField('MULTI_LINE', 'first\nsecond\n\nlast\n')]
    case 3:
      return [exportField('CONTROL', 'bell\x07 tab\t escape\x1b[31mred\x1b[0m quote" backslash\\ slash/ delete\x7f')]
    case 4:
      return [exportField('BAD_UTF8', Buffer.from(random.pick(INVALID_UTF8), 'hex'))]
    case 5:
      return [exportField('EMPTY', '')]
    case 6:
      return [exportField('NON_ASCII', `${random.pick(NON_ASCII)} \x7f\x80\xa0\u2028\u2029\ufeff\ufffd\u{10ffff}`)]
    case 7:
      return [exportField('EQUALS', 'a=b=c==')]
    case 8:
      return random.next() < 0.05 ? [exportField('HUGE', sentence(random, random.between(65_000, 90_000)))] : []
    case 9: // around journalctl's display limit of 4096 bytes and the compression threshold of 512
      return [
        exportField(
          'EDGE',
          'x'.repeat(random.pick([505, 506, 507, 511, 512, 513, 4089, 4090, 4091, 4092, 4096, 4097])),
        ),
      ]
    case 10: // long and incompressible
      return [exportField('RANDOM_HEX', random.hex(960))]
    case 11: // text and binary values of one name
      return [exportField('REPEATED', 'text'), exportField('REPEATED', Buffer.from('000162696e617279ff', 'hex'))]
    case 12:
      return [exportField('NUL', 'a\x00b')]
    default:
      return [exportField('PRIORITY', '9')]
  }
}

/** Entries in the export format, gathered into buffers of about 64 KiB. */
export function* makeEntries(options: EntryOptions): Generator<Buffer> {
  const { entries, profile = 'dcos-node', seed = 1, start = 1_700_000_000_000_000, boots = 1, machines = 1 } = options
  const random = new Random(seed * 7919 + profile.length * 104_729)
  const writers = makeWriters(random, profile)
  const order = makeOrder(random, writers, Math.min(entries, 100_000))
  const hosts = Array.from({ length: machines }, (_, n) =>
    Buffer.from(`_MACHINE_ID=${random.hex(32)}\n_HOSTNAME=node-${n}.example.net\n`),
  )
  const bootIds = Array.from({ length: boots * machines }, () => random.hex(32))
  let realtime = start
  let monotonic = 5_000_000
  let boot = 0
  let parts: Buffer[] = []
  let size = 0
  for (let number = 0; number < entries; number++) {
    const step = 1 + Math.floor(random.exponential(900))
    realtime += step
    monotonic += step
    if (Math.floor((number * boots) / entries) !== boot) {
      boot++
      monotonic = 3_000_000
      realtime += 30_000_000
    }
    const host = number % machines
    const writer = order[number % order.length] as Writer
    const pick = random.next()
    let own = `__REALTIME_TIMESTAMP=${realtime}\n__MONOTONIC_TIMESTAMP=${monotonic}\n_BOOT_ID=${bootIds[boot * machines + host]}\n`
    own += `PRIORITY=${pick < 0.8 ? 6 : pick < 0.9 ? 4 : pick < 0.97 ? 3 : 5}\n`
    if (writer.kind === 'kernel') own += `_SOURCE_MONOTONIC_TIMESTAMP=${monotonic - random.below(40)}\n`
    else if (writer.kind !== 'stdout') own += `_SOURCE_REALTIME_TIMESTAMP=${realtime - random.between(20, 900)}\n`
    const chunk = [
      Buffer.from(own),
      hosts[host] as Buffer,
      writer.block,
      exportField('MESSAGE', message(random, writer.kind)),
    ]
    if (profile === 'mixed' && random.next() < 0.4) chunk.push(...awkward(random))
    chunk.push(Buffer.from('\n'))
    for (const part of chunk) {
      parts.push(part)
      size += part.length
    }
    if (size > 65_536) {
      yield Buffer.concat(parts, size)
      parts = []
      size = 0
    }
  }
  if (size > 0) yield Buffer.concat(parts, size)
}
