// Servers, proxies and open sinks for the tests of the fluentd sink, ended after each test.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach } from 'vitest'
import type { FluentdSink } from '../../../sinks/fluentd.ts'
import type { Batch, PartialReceipt, Receipt, SinkHost } from '../../../src/sink.ts'
import { recordsOf, testHost } from '../../contract/sinkContract.ts'
import { ForwardServer, type ForwardServerOptions } from '../../support/forwardServer.ts'
import { startTcpProxy, type TcpProxy } from '../../support/tcpProxy.ts'
import { sinkFor } from './sinks.ts'

export const NEVER = new AbortController().signal

export const cleanups: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

export async function startServer(options: ForwardServerOptions = {}): Promise<ForwardServer> {
  const server = await ForwardServer.start(options)
  cleanups.push(() => server.close())
  return server
}

export async function startProxy(port: number): Promise<TcpProxy> {
  const proxy = await startTcpProxy(port)
  cleanups.push(() => proxy.close())
  return proxy
}

/** An open sink that sends to `port`. */
export async function openSink(port: number, options: object = {}, host: SinkHost = testHost()): Promise<FluentdSink> {
  const sink = sinkFor({ host: '127.0.0.1', port, ...options }, host)
  cleanups.push(() => sink.close(NEVER))
  await sink.open(NEVER)
  return sink
}

export async function until(what: string, isSo: () => boolean): Promise<void> {
  const deadline = Date.now() + 5000
  while (!isSo()) {
    if (Date.now() > deadline) throw new Error(`waited for: ${what}`)
    await sleep(2)
  }
}

export async function messageOf(call: Promise<unknown>): Promise<string> {
  try {
    await call
    return 'no failure'
  } catch (error) {
    return (error as Error).message
  }
}

export function partial(receipt: Receipt): PartialReceipt {
  if (receipt === 'delivered') throw new Error('all was delivered')
  return receipt
}

export function texts(records: readonly Uint8Array[]): string[] {
  return records.map((record) => Buffer.from(record).toString('latin1'))
}

/** What a batch becomes: its records, in order. */
export function recordTexts(...batches: Batch[]): string[] {
  return batches.flatMap((batch) => texts(recordsOf(batch, 'msgpack')))
}
