import { describe, expect, it } from 'vitest'
import { formatListen, parseListen } from '../../src/telemetry/listen.ts'

describe('parseListen', () => {
  it.each([
    ['127.0.0.1:9105', { kind: 'tcp', host: '127.0.0.1', port: 9105 }],
    ['localhost:0', { kind: 'tcp', host: 'localhost', port: 0 }],
    ['[::1]:9105', { kind: 'tcp', host: '::1', port: 9105 }],
    ['[fe80::1%eth0]:9105', { kind: 'tcp', host: 'fe80::1%eth0', port: 9105 }],
    ['node-1.example.com:9105', { kind: 'tcp', host: 'node-1.example.com', port: 9105 }],
    [':9105', { kind: 'tcp', host: '::', port: 9105 }],
    ['*:9105', { kind: 'tcp', host: '::', port: 9105 }],
    ['unix:/run/logferry.sock', { kind: 'unix', path: '/run/logferry.sock' }],
  ])('reads %s', (text, listen) => {
    expect(parseListen(text)).toEqual(listen)
    expect(parseListen(formatListen(parseListen(text)!))).toEqual(listen)
  })

  it.each([
    '',
    '9105',
    '127.0.0.1',
    '127.0.0.1:',
    '127.0.0.1:65536',
    '::1:9105',
    'http://a:1',
    'unix:',
    'unix:x.sock',
    `unix:/${'x'.repeat(120)}`,
  ])('refuses %j', (text) => {
    expect(parseListen(text)).toBeUndefined()
  })
})
