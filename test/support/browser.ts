// Debian's headless Chromium over its debugging protocol (https://chromedevtools.github.io/devtools-protocol/): as much as a test of one page needs.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { until } from './program.ts'
import { tempDir } from './tempDir.ts'

const ARTEFACTS = join(import.meta.dirname, '../artifacts')

export interface Page {
  /** The value of an expression in the page; promises are waited for. */
  value<T>(expression: string): Promise<T>
  /** Waits until an expression is true. */
  until(expression: string, timeoutMs?: number): Promise<void>
  key(key: string): Promise<void>
  /** Kept in test/artifacts, which git ignores. */
  screenshot(name: string): Promise<void>
  /** Errors on the console, exceptions, and what the content-security policy stopped. */
  readonly complaints: string[]
  dark(isDark: boolean): Promise<void>
  close(): Promise<void>
}

export interface Browser {
  open(url: string): Promise<Page>
  close(): Promise<void>
}

interface Message {
  readonly id?: number
  readonly sessionId?: string
  readonly method?: string
  readonly params?: Readonly<Record<string, never>>
  readonly result?: Readonly<Record<string, never>>
  readonly error?: { readonly message: string }
}

/** Starts it. */
export async function startBrowser(): Promise<Browser> {
  const args = [
    '--headless=new',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--no-first-run',
    '--remote-debugging-port=0',
    `--user-data-dir=${tempDir()}`,
    '--window-size=1200,800',
  ]
  const child = spawn('chromium', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const socket = new WebSocket(await address(child))
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve, { once: true })
    socket.addEventListener('error', () => reject(new Error('cannot connect to chromium')), { once: true })
  })
  let last = 0
  const waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>()
  const listeners = new Map<string, (message: Message) => void>()
  socket.addEventListener('message', ({ data }) => {
    const message = JSON.parse(String(data)) as Message
    if (message.id === undefined) return listeners.get(message.sessionId ?? '')?.(message)
    const one = waiting.get(message.id)
    waiting.delete(message.id)
    if (message.error !== undefined) one?.reject(new Error(message.error.message))
    else one?.resolve(message.result)
  })
  const call = <T>(method: string, params: object = {}, sessionId?: string): Promise<T> =>
    new Promise((resolve, reject) => {
      const id = ++last
      waiting.set(id, { resolve: resolve as (result: unknown) => void, reject })
      socket.send(JSON.stringify({ id, method, params, ...(sessionId !== undefined && { sessionId }) }))
    })

  return {
    async open(url) {
      const { targetId } = await call<{ targetId: string }>('Target.createTarget', { url: 'about:blank' })
      const { sessionId } = await call<{ sessionId: string }>('Target.attachToTarget', { targetId, flatten: true })
      const complaints: string[] = []
      listeners.set(sessionId, ({ method, params }) => {
        const found = params as
          | { entry?: { level: string; text: string }; exceptionDetails?: { text: string }; type?: string }
          | undefined
        if (method === 'Log.entryAdded' && found?.entry?.level === 'error') complaints.push(found.entry.text)
        if (method === 'Runtime.exceptionThrown') complaints.push(found?.exceptionDetails?.text ?? 'exception')
        if (method === 'Runtime.consoleAPICalled' && found?.type === 'error') complaints.push(JSON.stringify(params))
      })
      for (const domain of ['Page', 'Runtime', 'Log']) await call(`${domain}.enable`, {}, sessionId)
      await call('Page.navigate', { url }, sessionId)
      const value = async <T>(expression: string): Promise<T> => {
        const params = { expression, awaitPromise: true, returnByValue: true }
        const answer = await call<{
          result: { value: T }
          exceptionDetails?: { exception?: { description?: string } }
        }>('Runtime.evaluate', params, sessionId)
        if (answer.exceptionDetails !== undefined)
          throw new Error(answer.exceptionDetails.exception?.description ?? expression)
        return answer.result.value
      }
      return {
        value,
        complaints,
        async until(expression, timeoutMs = 15_000) {
          const end = Date.now() + timeoutMs
          while (!(await value<boolean>(`Boolean(${expression})`).catch(() => false))) {
            if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms for: ${expression}`)
            await new Promise((resolve) => setTimeout(resolve, 50))
          }
        },
        async key(key) {
          const text = key.length === 1 ? key : key === 'Enter' ? '\r' : ''
          const params = { key, text, windowsVirtualKeyCode: key === 'Enter' ? 13 : 0 }
          await call('Input.dispatchKeyEvent', { type: text === '' ? 'rawKeyDown' : 'keyDown', ...params }, sessionId)
          await call('Input.dispatchKeyEvent', { type: 'keyUp', ...params }, sessionId)
        },
        async screenshot(name) {
          const { data } = await call<{ data: string }>('Page.captureScreenshot', { format: 'png' }, sessionId)
          const path = join(ARTEFACTS, `${name}.png`)
          mkdirSync(dirname(path), { recursive: true })
          writeFileSync(path, Buffer.from(data, 'base64'))
        },
        async dark(isDark) {
          const features = [{ name: 'prefers-color-scheme', value: isDark ? 'dark' : 'light' }]
          await call('Emulation.setEmulatedMedia', { features }, sessionId)
        },
        async close() {
          listeners.delete(sessionId)
          await call('Target.closeTarget', { targetId })
        },
      }
    },
    async close() {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      socket.close()
      child.kill()
      await ended
    },
  }
}

/** Chromium prints where it listens. */
async function address(child: ChildProcess): Promise<string> {
  let text = ''
  child.stderr?.setEncoding('utf8').on('data', (part: string) => {
    text += part
  })
  await until('chromium', () => /DevTools listening on (ws:\S+)/.test(text), 30_000)
  return /DevTools listening on (ws:\S+)/.exec(text)?.[1] as string
}
