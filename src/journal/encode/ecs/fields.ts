// Where journald's fields go in Elastic Common Schema: as Filebeat's journald input has it since 8.18, so that its dashboards
// work, and a few members of ours. Paths are written with dots; each part but the last is an object.

/** Fields that have a say in members made of several fields. */
export type Role =
  | 'priority'
  | 'facility'
  | 'identifier'
  | 'unit'
  | 'pid'
  | 'uid'
  | 'gid'
  | 'loginUid'
  | 'commandLine'
  | 'capabilities'
  | 'objectPid'
  | 'objectUid'
  | 'objectGid'
  | 'objectLoginUid'
  | 'objectCommandLine'
  | 'containerId'
  | 'containerIdFull'
  | 'partial'

export interface EcsRow {
  readonly paths: readonly string[]
  /** A number where the value is one. */
  readonly int?: true
  readonly role?: Role
}

const row = (...paths: string[]): EcsRow => ({ paths })
const int = (...paths: string[]): EcsRow => ({ paths, int: true })

/** What a field becomes; those not in here go to journald.custom. No path: it is dropped, or only has its role. */
export const ECS_FIELDS: ReadonlyMap<string, EcsRow> = new Map(
  Object.entries({
    MESSAGE: row('message'),
    MESSAGE_ID: row('log.syslog.msgid'),
    PRIORITY: { ...int(), role: 'priority' },
    SYSLOG_FACILITY: { ...int('log.syslog.facility.code'), role: 'facility' },
    SYSLOG_IDENTIFIER: { ...row('log.syslog.appname'), role: 'identifier' },
    SYSLOG_PID: int('log.syslog.procid'),
    CODE_FILE: row('journald.code.file'),
    CODE_LINE: int('journald.code.line'),
    CODE_FUNC: row('journald.code.func'),
    _HOSTNAME: row('host.hostname', 'host.name'),
    _MACHINE_ID: row('host.id'),
    _PID: { ...int('journald.pid'), role: 'pid' },
    _UID: { ...int('journald.uid'), role: 'uid' },
    _GID: { ...int('journald.gid'), role: 'gid' },
    _COMM: row('journald.process.name', 'process.name'),
    _EXE: row('journald.process.executable', 'process.executable'),
    _CMDLINE: { ...row('journald.process.command_line'), role: 'commandLine' },
    _CAP_EFFECTIVE: { ...row('journald.process.capabilities'), role: 'capabilities' },
    _AUDIT_LOGINUID: { ...int('journald.audit.login_uid'), role: 'loginUid' },
    _AUDIT_SESSION: row('journald.audit.session'),
    OBJECT_PID: { ...int('journald.object.pid'), role: 'objectPid' },
    OBJECT_UID: { ...int('journald.object.uid'), role: 'objectUid' },
    OBJECT_GID: { ...int('journald.object.gid'), role: 'objectGid' },
    OBJECT_COMM: row('journald.object.process.name'),
    OBJECT_EXE: row('journald.object.process.executable'),
    OBJECT_CMDLINE: { ...row('journald.object.process.command_line'), role: 'objectCommandLine' },
    OBJECT_AUDIT_LOGINUID: { ...int('journald.object.audit.login_uid'), role: 'objectLoginUid' },
    OBJECT_AUDIT_SESSION: int('journald.object.audit.session'),
    OBJECT_SYSTEMD_SESSION: row('journald.object.systemd.session'),
    OBJECT_SYSTEMD_OWNER_UID: int('journald.object.systemd.owner_uid'),
    OBJECT_SYSTEMD_UNIT: row('journald.object.systemd.unit'),
    OBJECT_SYSTEMD_USER_UNIT: row('journald.object.systemd.user_unit'),
    _SYSTEMD_UNIT: { ...row('systemd.unit'), role: 'unit' },
    _SYSTEMD_USER_UNIT: row('systemd.user_unit'),
    _SYSTEMD_SLICE: row('systemd.slice'),
    _SYSTEMD_USER_SLICE: row('systemd.user_slice'),
    _SYSTEMD_CGROUP: row('systemd.cgroup'),
    _SYSTEMD_SESSION: row('systemd.session'),
    _SYSTEMD_OWNER_UID: int('systemd.owner_uid'),
    _SYSTEMD_INVOCATION_ID: row('systemd.invocation_id'),
    _TRANSPORT: row('systemd.transport'),
    UNIT: row('journald.unit'),
    COREDUMP_UNIT: row('journald.coredump.unit'),
    COREDUMP_USER_UNIT: row('journald.coredump.user_unit'),
    _KERNEL_DEVICE: row('journald.kernel.device'),
    _KERNEL_SUBSYSTEM: row('journald.kernel.subsystem'),
    _UDEV_SYSNAME: row('journald.kernel.device_name'),
    _UDEV_DEVNODE: row('journald.kernel.device_node_path'),
    _UDEV_DEVLINK: row('journald.kernel.device_symlinks'),
    CONTAINER_ID_FULL: { ...row('container.id'), role: 'containerIdFull' },
    // Docker's short form of CONTAINER_ID_FULL; Mesos has its only container id here.
    CONTAINER_ID: { ...row(), role: 'containerId' },
    CONTAINER_NAME: row('container.name'),
    CONTAINER_TAG: row(),
    CONTAINER_PARTIAL_MESSAGE: { ...row(), role: 'partial' },
    IMAGE_NAME: row('container.image.name'),
    _SOURCE_REALTIME_TIMESTAMP: row(),
    _SOURCE_MONOTONIC_TIMESTAMP: row(),
  } satisfies Record<string, EcsRow>),
)

/** Names of syslog's severities 0–7 in log.level. */
export const SEVERITIES = [
  'emergency',
  'alert',
  'critical',
  'error',
  'warning',
  'notice',
  'informational',
  'debug',
] as const

// Source: linux/capability.h, by number.
const CAPABILITIES = (
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST ' +
  'NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE ' +
  'SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM ' +
  'BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'
).split(' ')

/** The names in a capability mask in hex, `CAP_` in front; undefined when it is none. Unknown bits show their number. */
export function capabilityNames(hex: string): string[] | undefined {
  if (!/^[0-9a-fA-F]{1,16}$/.test(hex)) return undefined
  const mask = BigInt(`0x${hex}`)
  const names: string[] = []
  for (let bit = 0; bit < 64; bit++) {
    if (((mask >> BigInt(bit)) & 1n) === 1n)
      names.push(CAPABILITIES[bit] === undefined ? String(bit) : `CAP_${CAPABILITIES[bit]}`)
  }
  return names
}

/** A command line as arguments: split at white space, an argument that begins with a double quote goes up to its end; quotes are kept. */
export function splitCommandLine(text: string): string[] {
  return text.match(/"(?:\\"|[^"])*?"|[^\t\n\f\r ]+/g) ?? []
}

/** The name of an unknown field in journald.custom: lower case, without the underscores in front. */
export function customName(name: string): string {
  return name.replace(/^_+/, '').toLowerCase().replaceAll('.', '_') || '_'
}

/** The decimal number that a value begins with as Filebeat reads them (`123`, `123,user`), undefined when it is none. */
export function leadingInteger(text: string): number | undefined {
  const match = /^([+-]?[0-9]{1,15})(?:,|$)/.exec(text)
  return match === null ? undefined : Number(match[1])
}
