import { describe, expect, it } from 'vitest'
import { failureOfConnecting, failureOfReply, RedisReply } from '../../../sinks/redis/replies.ts'

const SHA = 'e1bb198dbff59397a64a6a273a45cd0861f77fee'

// As Redis 7.0 says it, unless a version is named.
const REPLIES: readonly (readonly [text: string, failure: string, code: string])[] = [
  ["OOM command not allowed when used memory > 'maxmemory'.", 'unavailable', 'OOM'],
  [`OOM command not allowed when used memory > 'maxmemory'. script: ${SHA}, on @user_script:1.`, 'unavailable', 'OOM'],
  [
    `ERR Error running script (call to f_${SHA}): @user_script:1: @user_script: 1: -OOM command not allowed when used memory > 'maxmemory'.`,
    'unavailable',
    'OOM',
  ],
  [
    `ERR Error running script (call to f_${SHA}): @user_script:3: WRONGTYPE Operation against a key holding the wrong kind of value`,
    'refused',
    'WRONGTYPE',
  ],
  [
    `READONLY You can't write against a read only replica. script: ${SHA}, on @user_script:1.`,
    'unavailable',
    'READONLY',
  ],
  [
    `ERR Error running script (call to f_${SHA}): @user_script: 2: -READONLY You can't write against a read only slave.`,
    'unavailable',
    'READONLY',
  ],
  ['LOADING Redis is loading the dataset in memory', 'unavailable', 'LOADING'],
  ['BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.', 'unavailable', 'BUSY'],
  ["MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", 'unavailable', 'MASTERDOWN'],
  ['CLUSTERDOWN The cluster is down', 'unavailable', 'CLUSTERDOWN'],
  ['TRYAGAIN Multiple keys request during rehashing of slot', 'unavailable', 'TRYAGAIN'],
  [`NOREPLICAS Not enough good replicas to write. script: ${SHA}, on @user_script:1.`, 'unavailable', 'NOREPLICAS'],
  [
    'MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist on disk.',
    'unavailable',
    'MISCONF',
  ],
  ['ERR max number of clients reached', 'unavailable', 'ERR'],
  ['WRONGTYPE Operation against a key holding the wrong kind of value', 'refused', 'WRONGTYPE'],
  ['NOAUTH Authentication required.', 'refused', 'NOAUTH'],
  ['WRONGPASS invalid username-password pair or user is disabled.', 'refused', 'WRONGPASS'],
  ['ERR invalid password', 'refused', 'ERR'],
  ["NOPERM this user has no permissions to run the 'evalsha' command", 'refused', 'NOPERM'],
  ['NOPERM this user has no permissions to access one of the keys used as arguments', 'refused', 'NOPERM'],
  [
    `ERR The user executing the script can't run this command or subcommand script: ${SHA}, on @user_script:1.`,
    'refused',
    'ERR',
  ],
  [
    `ERR The user executing the script can't access at least one of the keys mentioned in the command arguments script: ${SHA}, on @user_script:1.`,
    'refused',
    'ERR',
  ],
  ["ERR unknown command 'EVALSHA', with args beginning with:", 'refused', 'ERR'],
  ['ERR unknown command `EVALSHA`, with args beginning with: `x`', 'refused', 'ERR'],
  ['MOVED 12291 127.0.0.1:7002', 'refused', 'MOVED'],
  ["CROSSSLOT Keys in request don't hash to the same slot", 'refused', 'CROSSSLOT'],
  ['ERR DB index is out of range', 'refused', 'ERR'],
  ['ERR This instance has cluster support disabled', 'refused', 'ERR'],
  ['DENIED Redis is running in protected mode because protected mode is enabled', 'refused', 'DENIED'],
  ['ERR Protocol error: invalid bulk length', 'too-large', 'ERR'],
  ['ERR something that nobody has heard of', 'in-doubt', 'ERR'],
]

describe('a reply of Redis', () => {
  it.each(REPLIES)('%s: %s', (text, failure, code) => {
    const reply = new RedisReply(text)
    expect(reply.code).toBe(code)
    const error = failureOfReply(reply, '127.0.0.1:6379')
    expect(error.failure).toBe(failure)
    expect(error.message).toMatch(/^redis 127\.0\.0\.1:6379: /)
    expect(error.message).not.toMatch(/user_script|[0-9a-f]{40}/)
  })

  it('is known as one that a script causes which the server does not have', () => {
    expect(new RedisReply('NOSCRIPT No matching script. Please use EVAL.').isUnknownScript).toBe(true)
    expect(new RedisReply('READONLY x').isFromReplica).toBe(true)
    expect(new RedisReply('OOM x').isFromReplica).toBe(false)
  })

  it('is cut where it goes on for a page', () => {
    expect(new RedisReply(`DENIED ${'x'.repeat(2000)}`).message).toHaveLength(301)
  })
})

describe('an attempt to connect that failed', () => {
  const failureOf = (error: unknown) => failureOfConnecting(error, 'host:1').failure

  it('leaves nothing in doubt', () => {
    expect(failureOf(Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }))).toBe('unavailable')
    expect(failureOf(new AggregateError([Object.assign(new Error('x'), { code: 'ECONNREFUSED' })]))).toBe('unavailable')
    expect(failureOf(new RedisReply('ERR something that nobody has heard of'))).toBe('unavailable')
    expect(failureOf(new RedisReply('LOADING Redis is loading'))).toBe('unavailable')
    expect(failureOf('odd')).toBe('unavailable')
  })

  it('is for a person to mend when it is about trust or passwords', () => {
    expect(
      failureOf(Object.assign(new Error('self-signed certificate'), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })),
    ).toBe('refused')
    expect(failureOf(Object.assign(new Error('WRONGPASS invalid'), { name: 'ReplyError' }))).toBe('refused')
  })
})
