// The index template that `template: true` installs: mappings for shape `journal` and shape `ecs` in one, since no name of theirs clashes.
// Numbers are numbers, times keep their microseconds, and names that applications make up cannot use up the index's fields.
// Field types which a server has not are replaced by plainer ones; a template that somebody else made is never written over.

import { createHash } from 'node:crypto'
import { SinkError, type SinkHost } from '../../src/sink.ts'
import { errorOf, failureOfBulk } from './answer.ts'
import type { Target } from './target.ts'
import type { Reply, Transport } from './transport.ts'

type Mapping = Readonly<Record<string, unknown>>

export interface TemplateOptions {
  /** Of the index template. */
  readonly name: string
  /** The names it is for. */
  readonly patterns: readonly string[]
  readonly isDataStream: boolean
  readonly lifecycle: string | undefined
}

const KEYWORD: Mapping = { type: 'keyword', ignore_above: 1024 }
/** Text that looks like no number stays out of the index, but does not keep the document out. */
const NUMBER: Mapping = { type: 'long', ignore_malformed: true }

/** Fields of systemd.journal-fields(7) with numbers as values. */
const JOURNAL_NUMBERS = (
  'PRIORITY SYSLOG_FACILITY SYSLOG_PID CODE_LINE ERRNO TID EXIT_STATUS _PID _UID _GID _AUDIT_SESSION _AUDIT_LOGINUID ' +
  '_SYSTEMD_OWNER_UID _SOURCE_REALTIME_TIMESTAMP _SOURCE_MONOTONIC_TIMESTAMP __REALTIME_TIMESTAMP __MONOTONIC_TIMESTAMP ' +
  '__SEQNUM OBJECT_PID OBJECT_UID OBJECT_GID OBJECT_AUDIT_SESSION OBJECT_AUDIT_LOGINUID OBJECT_SYSTEMD_OWNER_UID ' +
  'COREDUMP_PID COREDUMP_UID COREDUMP_GID COREDUMP_SIGNAL'
).split(' ')

const ECS_NUMBERS = (
  'log.syslog.priority log.syslog.severity.code log.syslog.facility.code log.syslog.procid process.pid process.args_count ' +
  'systemd.owner_uid journald.pid journald.uid journald.gid journald.seqnum journald.audit.login_uid journald.code.line ' +
  'journald.object.pid journald.object.uid journald.object.gid journald.object.audit.login_uid ' +
  'journald.object.systemd.owner_uid'
).split(' ')

function properties(): Record<string, unknown> {
  const root: Record<string, unknown> = {}
  const put = (path: string, mapping: Mapping): void => {
    const names = path.split('.')
    const last = names.pop() ?? ''
    let at = root
    for (const name of names) {
      const member = (at[name] ?? { properties: {} }) as { properties: Record<string, unknown> }
      at[name] = member
      at = member.properties
    }
    at[last] = mapping
  }
  put('@timestamp', { type: 'date_nanos' })
  for (const name of ['message', 'MESSAGE']) put(name, { type: 'match_only_text' })
  for (const part of ['type', 'dataset', 'namespace']) put(`data_stream.${part}`, { type: 'constant_keyword' })
  for (const path of ['host.name', 'service.name', 'log.level', 'event.dataset']) put(path, KEYWORD)
  for (const path of [...JOURNAL_NUMBERS, ...ECS_NUMBERS]) put(path, NUMBER)
  // Names of applications: one field of the index, however many there are.
  put('journald.custom', { type: 'flattened', ignore_above: 8191 })
  // Exact bytes and what found no room are kept, not searched.
  for (const path of ['logferry.base64', 'logferry.raw']) {
    put(
      path,
      path.endsWith('raw') ? { type: 'keyword', index: false, doc_values: false } : { type: 'object', enabled: false },
    )
  }
  return root
}

const STRINGS = [{ strings: { match_mapping_type: 'string', mapping: KEYWORD } }]

/** Plainer types for those that need a module which the server has not. */
const INSTEAD: Readonly<Record<string, Mapping>> = {
  match_only_text: { type: 'text' },
  constant_keyword: KEYWORD,
  flattened: { type: 'flat_object' },
  flat_object: { type: 'object', enabled: false },
  date_nanos: { type: 'date' },
}

interface Bodies {
  mappings: { properties: Record<string, unknown>; dynamic_templates: unknown }
  settings: Record<string, unknown>
}

/** Installs the template, unless the same one is there. Throws a SinkError. */
export async function installTemplate(
  transport: Transport,
  options: TemplateOptions,
  log: SinkHost['log'],
  signal: AbortSignal,
): Promise<void> {
  const bodies: Bodies = {
    mappings: { properties: properties(), dynamic_templates: STRINGS },
    settings: {
      'index.mapping.total_fields.ignore_dynamic_beyond_limit': true,
      'index.codec': 'best_compression',
      'index.refresh_interval': '5s',
      ...(options.lifecycle === undefined ? {} : { 'index.lifecycle.name': options.lifecycle }),
    },
  }
  const version = versionOf({ ...bodies, options })
  if (await isInstalled(transport, options.name, version, signal)) return
  const meta = { managed_by: 'logferry', version }
  const put = (path: string, body: object): Promise<Reply> =>
    transport.send({ method: 'PUT', path, body: JSON.stringify({ ...body, _meta: meta }), signal })

  await putAdapted(
    () => put('/_component_template/logferry@mappings', { template: { mappings: bodies.mappings } }),
    (reply) => adaptType(bodies, reply, log),
  )
  // Of each target its own, since lifecycles differ.
  const settings = options.lifecycle === undefined ? 'logferry@settings' : `logferry@settings-${options.name}`
  await putAdapted(
    () => put(`/_component_template/${encodeURIComponent(settings)}`, { template: { settings: bodies.settings } }),
    (reply) => adaptSetting(bodies, reply, options, log),
  )
  // What people want otherwise, they write into a component template of this name; it need not be there.
  let custom: { composed: string[]; ignored?: string[] } = {
    composed: [`${options.name}@custom`],
    ignored: [`${options.name}@custom`],
  }
  await putAdapted(
    () =>
      put(`/_index_template/${encodeURIComponent(options.name)}`, {
        index_patterns: options.patterns,
        composed_of: ['logferry@mappings', settings, ...custom.composed],
        ...(custom.ignored === undefined ? {} : { ignore_missing_component_templates: custom.ignored }),
        // Above the server's own `logs-*-*` at 100.
        priority: 200,
        ...(options.isDataStream ? { data_stream: {} } : {}),
      }),
    (reply) => {
      // Before Elasticsearch 8.7, and in OpenSearch, all components must be there.
      const isUnknown = custom.ignored !== undefined && /ignore_missing_component_templates/.test(reply.text)
      custom = { composed: [] }
      return isUnknown
    },
  )
  log.info('installed the index template', { template: options.name, patterns: options.patterns })
}

/** Asks again with what `adapt` has changed, as long as it finds something to change. */
async function putAdapted(put: () => Promise<Reply>, adapt: (reply: Reply) => boolean): Promise<void> {
  for (;;) {
    const reply = await put()
    if (reply.status < 300) return
    if (reply.status === 400 && adapt(reply)) continue
    throw failureOfTemplate(reply)
  }
}

function failureOfTemplate(reply: Reply): SinkError {
  const { reason, type } = errorOf(reply)
  if (reply.status === 403)
    return new SinkError(
      'refused',
      `${reply.host}: not allowed to install the index template: give the privilege manage_index_templates, or install it by hand and say template: false`,
    )
  if (reply.status === 400)
    return new SinkError('refused', `${reply.host} does not take the index template: ${type}: ${reason.slice(0, 500)}`)
  return failureOfBulk(reply, 0)
}

async function isInstalled(transport: Transport, name: string, version: string, signal: AbortSignal): Promise<boolean> {
  const reply = await transport.send({ method: 'GET', path: `/_index_template/${encodeURIComponent(name)}`, signal })
  // A key that may write it but not read it.
  if (reply.status === 404 || reply.status === 403) return false
  if (reply.status !== 200) throw failureOfTemplate(reply)
  interface Answer {
    index_templates?: { index_template?: { _meta?: { managed_by?: unknown; version?: unknown } } }[]
  }
  const meta = (parse(reply.text) as Answer).index_templates?.[0]?.index_template?._meta
  if (meta?.managed_by === 'logferry') return meta.version === version
  throw new SinkError(
    'refused',
    `there is an index template ${name} that is not of logferry: rename it, or say template: false to go by it`,
  )
}

/** Replaces a type that the server does not know. False when that is not what it says. */
function adaptType({ mappings }: Bodies, reply: Reply, log: SinkHost['log']): boolean {
  const { reason } = errorOf(reply)
  const type = /(?:mapper type \[|No handler for type \[)(\w+)\]/.exec(reason)?.[1]
  const instead = type === undefined ? undefined : INSTEAD[type]
  if (type === undefined || instead === undefined) return false
  log.info('the server has no such field type, a plainer one is used', { type, instead: instead['type'] })
  replaceType(mappings.properties, type, instead)
  return true
}

function replaceType(members: Record<string, unknown>, type: string, instead: Mapping): void {
  for (const [name, value] of Object.entries(members)) {
    const member = value as { type?: unknown; properties?: Record<string, unknown> }
    if (member.type === type) members[name] = instead
    else if (member.properties !== undefined) replaceType(member.properties, type, instead)
  }
}

/** Leaves a setting out that the server does not know; one that the configuration names stays. */
function adaptSetting({ settings }: Bodies, reply: Reply, options: TemplateOptions, log: SinkHost['log']): boolean {
  const setting = /unknown setting \[([\w.]+)\]/.exec(errorOf(reply).reason)?.[1]
  if (setting === undefined || !Object.hasOwn(settings, setting)) return false
  if (setting === 'index.lifecycle.name' && options.lifecycle !== undefined) return false
  log.warn('the server does not know a setting of the index template, it is left out', { setting })
  delete settings[setting]
  return true
}

/** Changes with what is installed, so that another version of logferry installs its own. */
function versionOf(content: unknown): string {
  return createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 16)
}

function parse(text: string): object {
  try {
    return (JSON.parse(text) ?? {}) as object
  } catch {
    return {}
  }
}

/** The template of a target: for a data stream all namespaces of its dataset, for indexes all their names. */
export function templateOf({ kind, name }: Target, lifecycle: string | undefined): TemplateOptions {
  if (kind === 'data stream') {
    const [type = 'logs', dataset = 'journald'] = name.pattern.split('-')
    const stem = `${type}-${dataset}`
    return {
      name: stem.replaceAll('*', 'any'),
      patterns: [`${stem}-*`, ...(dataset.includes('*') ? [] : [`${stem}.*-*`])],
      isDataStream: true,
      lifecycle,
    }
  }
  const stem = name.pattern.replace(/\*.*$/, '').replace(/[-._]+$/, '')
  return { name: stem === '' ? 'logferry' : stem, patterns: [name.pattern], isDataStream: false, lifecycle }
}
