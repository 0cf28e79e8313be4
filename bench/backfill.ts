// One backfill of a journal by the whole program, as the benches of sinks time it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LOGFERRY } from './data.ts'
import { measure, type Usage } from './measure.ts'
import { type ReceiverKind, type ReceiverTls, startReceiver } from './receivers.ts'

/** Ships the journal in `dir` to a sink; `sink` gives its options as YAML, and may put files into the folder. */
export async function backfill(dir: string, sink: (home: string) => string): Promise<Usage> {
  const home = mkdtempSync(join(tmpdir(), 'lf-bench-'))
  const config = join(home, 'logferry.yaml')
  writeFileSync(config, `state: ${home}/state\nsinks:\n  out: ${sink(home)}\n`)
  try {
    const args = ['backfill', '--config', config, '--sink', 'out', '--directory', dir]
    return await measure(process.execPath, [LOGFERRY, ...args])
  } finally {
    rmSync(home, { recursive: true })
  }
}

/** Ships the journal in `dir`, of so many entries, to a receiver that only counts, and checks that all of it came. */
export async function backfillTo(
  kind: ReceiverKind,
  dir: string,
  entries: number,
  sink: (port: number) => string,
  tls?: ReceiverTls,
): Promise<Usage> {
  const receiver = await startReceiver(kind, tls)
  try {
    const usage = await backfill(dir, () => sink(receiver.port))
    const { entries: arrived } = await receiver.counts()
    if (arrived !== entries) throw new Error(`${arrived} of ${entries} entries arrived`)
    return usage
  } finally {
    await receiver.stop()
  }
}
