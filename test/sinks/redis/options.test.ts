import { describe, expect, it } from 'vitest'
import { redisConfig } from '../../../sinks/redis/options.ts'

function mistakesIn(options: object): string[] {
  const { error } = redisConfig.safeParse(options)
  return error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? []
}

const url = 'redis://redis:6379'

describe('the options of the redis sink', () => {
  it('take addresses in all their forms', () => {
    const addressOf = (text: string) => redisConfig.parse({ url: text, key: 'k' }).url
    expect(addressOf(url)).toEqual({ address: { host: 'redis', port: 6379 }, db: 0, isTls: false })
    expect(addressOf('rediss://redis/4')).toEqual({ address: { host: 'redis', port: 6379 }, db: 4, isTls: true })
    expect(addressOf('redis://[::1]:7000')).toMatchObject({ address: { host: '::1', port: 7000 } })
    expect(addressOf('unix:/run/redis.sock')).toMatchObject({ address: { path: '/run/redis.sock' } })
    expect(addressOf('unix:///run/redis.sock')).toMatchObject({ address: { path: '/run/redis.sock' } })
    const { sentinel } = redisConfig.parse({ sentinel: { nodes: ['a:1', '[::1]:26379'], name: 'm' }, key: 'k' })
    expect(sentinel?.nodes).toEqual([
      { host: 'a', port: 1 },
      { host: '::1', port: 26_379 },
    ])
  })

  it.each([
    [{ key: 'k' }, ': expected one of `url`, `sentinel` and `cluster`'],
    [{ url: 'http://redis', key: 'k' }, 'url: expected an address such as redis://'],
    [{ url: 'redis://u:p@redis', key: 'k' }, 'url: expected no user or password in the address'],
    [{ url: 'redis://redis/db', key: 'k' }, 'url: expected an address such as redis://'],
    [{ url, cluster: { nodes: ['a:1'] }, key: 'k' }, 'cluster: expected one of'],
    [{ cluster: { nodes: ['a'] }, key: 'k' }, 'cluster.nodes.0: expected HOST:PORT'],
    [{ url, user: 'u', key: 'k' }, 'user: `user` needs `password`'],
    [{ url: 'unix:/x', tls: {}, key: 'k' }, 'tls: there is no TLS on a Unix socket'],
    [{ url, key: 'k', field: 'f' }, 'field: `field` is about `mode: stream`'],
    [{ url, key: 'k', mode: 'stream', push: 'left' }, 'push: `push` is about `mode: list`'],
    [
      { url, key: 'k', require_subscribers: true },
      'require_subscribers: `require_subscribers` is about `mode: channel`',
    ],
    [{ url, key: 'k', mode: 'channel', congestion: { length: 1 } }, 'congestion: a channel keeps nothing'],
    [{ url, key: 'logs:${_HOSTNAME}' }, 'key: expected a fixed part in braces'],
    [{ url, key: '{logs}:${_HOSTNAME}', atomic: 'multi' }, 'atomic: several lists in one step need scripts'],
    [{ cluster: { nodes: ['a:1'] }, key: '{}x' }, 'key: in a cluster no other key can be placed beside this one'],
    [{ cluster: { nodes: ['a:1'] }, key: 'k', atomic: 'multi' }, 'atomic: a cluster has scripts'],
    [{ url, key: 'k', logstash: false, pipeline: 'p' }, 'pipeline: `pipeline` is part of `@metadata`'],
    [{ url, key: '${logs}' }, 'key: "${logs}" is no template'],
  ])('say what is wrong with %j', (options, mistake) => {
    expect(mistakesIn(options).join('\n')).toContain(mistake)
  })

  it('allow fields anywhere in the name of a channel, and odd names outside a cluster', () => {
    expect(mistakesIn({ url, mode: 'channel', key: '${_HOSTNAME}.logs' })).toEqual([])
    expect(mistakesIn({ url, key: '{}x' })).toEqual([])
  })
})
