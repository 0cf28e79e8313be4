// Looks at a server before anything is written: does the key hold what it should, may Redis throw data away, may the user run
// what a write runs. Nothing is changed.

import type { CheckLine, SinkHost } from '../../src/sink.ts'
import type { Link } from './link.ts'
import type { RedisConfig } from './options.ts'
import { failureOfReply, RedisReply, wrongType } from './replies.ts'
import { PROBE } from './scripts.ts'
import { evaluate } from './store.ts'

const POLICY_HINT = 'set maxmemory-policy to noeviction: then it says when it is full, and shipping waits'

/** At the opening of a list or stream: rejects where the key holds something else, warns where Redis may remove what it holds. */
export async function inspect(
  link: Link,
  { key, mode }: RedisConfig,
  log: SinkHost['log'],
  signal: AbortSignal,
): Promise<void> {
  const name = key.constant
  if (name !== undefined) {
    const type = await typeOf(link, name, signal)
    if (type !== 'none' && type !== mode) throw wrongType(link.place, name, type, mode)
  }
  const policy = await evictionOf(link, signal)
  if (policy !== undefined)
    log.warn(`redis ${link.place} removes any key when its memory is full; ${POLICY_HINT}`, { policy })
}

/** For `validate --live`. Never rejects but when aborted. */
export async function checkServer(
  link: Link,
  { key, mode, atomic }: RedisConfig,
  positionKey: string | undefined,
  signal: AbortSignal,
): Promise<readonly CheckLine[]> {
  const lines: CheckLine[] = []
  const note = async (test: () => Promise<CheckLine | undefined>): Promise<boolean> => {
    try {
      const line = await test()
      if (line !== undefined) lines.push(line)
      return line?.ok ?? true
    } catch (error) {
      const failure = error instanceof RedisReply ? failureOfReply(error, link.place) : (error as Error)
      lines.push({ ok: false, text: failure.message })
      return false
    }
  }
  const name = key.constant
  try {
    const isThere = await note(async () => {
      await link.connect(signal)
      const { version } = link
      return { ok: true, text: `redis ${link.place} answers${version === undefined ? '' : `, version ${version}`}` }
    })
    if (!isThere) return lines
    if (positionKey !== undefined && name !== undefined)
      await note(async () => {
        const type = await typeOf(link, name, signal)
        if (type === 'none')
          return { ok: true, text: `the ${mode} "${name}" is not there yet; the first entry makes it` }
        if (type === mode) return { ok: true, text: `"${name}" is a ${mode}` }
        return { ok: false, text: wrongType(link.place, name, type, mode).message }
      })
    if (atomic === 'script' && positionKey !== undefined)
      await note(async () => {
        const call = { script: PROBE, keys: [positionKey, name ?? positionKey], args: [] }
        await evaluate(link, call, signal)
        return { ok: true, text: 'the user may run scripts and touch the position key' }
      })
    await note(async () => {
      const policy = await evictionOf(link, signal)
      if (policy === undefined) return undefined
      return {
        ok: false,
        text: `its maxmemory-policy is ${policy}: data can vanish before it is read`,
        hint: POLICY_HINT,
      }
    })
    return lines
  } finally {
    link.drop()
  }
}

async function typeOf(link: Link, key: string, signal: AbortSignal): Promise<string> {
  return String(await link.run({ name: 'type', args: [key] }, signal))
}

/** The policy, when it lets Redis remove keys that nobody gave a time to live. */
async function evictionOf(link: Link, signal: AbortSignal): Promise<string | undefined> {
  try {
    const info = await link.run({ name: 'info', args: ['memory'] }, signal)
    const policy = /maxmemory_policy:(\S+)/.exec(String(info))?.[1]
    return policy?.startsWith('allkeys-') ? policy : undefined
  } catch (error) {
    // A user who may not ask loses a warning, no more.
    if (error instanceof RedisReply && error.code === 'NOPERM') return undefined
    throw error
  }
}
