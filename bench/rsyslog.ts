// What rsyslog (Debian's: imjournal with omelasticsearch and omhiredis) takes for the same entries and the same receiver.
// imjournal reads the machine's journal folder and no other, so a mount namespace of its own shows it ours there. Needs root.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { measure, type Usage } from './measure.ts'
import type { Receiver } from './receivers.ts'

const PATIENCE_MS = 300_000

/** sd-journal looks into folders that are named as a machine. */
const MACHINE = '0123456789abcdef0123456789abcdef'

/** Whether rsyslog and these of its modules are here, and can be shown another journal. */
export function hasRsyslog(...modules: readonly string[]): boolean {
  if (process.getuid?.() !== 0) return false
  try {
    execFileSync('rsyslogd', ['-v'], { stdio: 'ignore' })
  } catch {
    return false // not installed
  }
  return modules.every((name) =>
    ['x86_64', 'aarch64'].some((machine) => existsSync(`/usr/lib/${machine}-linux-gnu/rsyslog/${name}.so`)),
  )
}

/** An entry as JSON with all its fields, one template for every output. */
const TEMPLATE = 'template(name="entry" type="list") { property(name="$!all-json") }'

/**
 * Ships the journal in `dir` by rsyslog until the receiver has `entries` of them. `action` is the output, with `template="entry"`. Its
 * queue hands over as many at once as logferry's batches have.
 */
export async function rsyslogCosts(dir: string, action: string, receiver: Receiver, entries: number): Promise<Usage> {
  const home = mkdtempSync(join(tmpdir(), 'lf-rsyslog-'))
  const config = join(home, 'rsyslog.conf')
  mkdirSync(join(home, 'spool'))
  writeFileSync(
    config,
    `global(workDirectory="${home}/spool")
main_queue(queue.type="linkedlist" queue.size="50000" queue.dequeueBatchSize="2000")
module(load="imjournal" StateFile="${home}/spool/state" PersistStateInterval="10000" Ratelimit.Interval="0" Remote="on")
${TEMPLATE}
${action}
`,
  )
  const script = `set -e
mount --make-rprivate /
mount -t tmpfs none /var/log
mkdir -p /var/log/journal/${MACHINE}
mount --bind "$1" /var/log/journal/${MACHINE}
exec rsyslogd -n -i "$2/pid" -f "$2/rsyslog.conf"`
  let count = 0
  let isAsking = false
  const poll = setInterval(async () => {
    if (isAsking) return
    isAsking = true
    count += (await receiver.counts()).entries
    isAsking = false
  }, 200)
  const begun = Date.now()
  const until = () => count >= entries || Date.now() - begun > PATIENCE_MS
  try {
    const usage = await measure('unshare', ['-m', 'bash', '-c', script, 'rsyslog', dir, home], { until })
    if (count < entries) throw new Error(`rsyslog: ${count} of ${entries} entries arrived`)
    return usage
  } finally {
    clearInterval(poll)
    rmSync(home, { recursive: true, force: true })
  }
}
