// The handshake of a server with a `<security>` section: HELO, PING, PONG. Digests are those of @fluent-org/logger; its own socket
// cannot be used, since it reads a nonce as UTF-8. Nothing that is thrown here holds the key or the password.

import { randomBytes } from 'node:crypto'
import { SinkError } from '../../src/sink.ts'
import type { Value } from './values.ts'

/** What this node shows to a server. */
export interface Credentials {
  /** Undefined: the server must not ask. */
  readonly sharedKey: string | undefined
  readonly user: string | undefined
  readonly password: string | undefined
  /** Must differ from the server's own name. */
  readonly hostname: string
}

/** The connection, as far as the handshake needs it. */
export interface Channel {
  /** How messages for people name the server. */
  readonly name: string
  write(bytes: Uint8Array): void
  /** The next value that the server sends; undefined when none came in time. Rejects when the connection breaks. */
  receive(): Promise<Value | undefined>
}

export interface Greeting {
  /** False: the server closes the connection after each message. */
  readonly keepalive: boolean
}

/** Shows the key, and checks that the server has it. Rejects with a SinkError, `refused` where a person has to mend something. */
export async function greet(channel: Channel, credentials: Credentials): Promise<Greeting> {
  const { name } = channel
  const { sharedKey, user, password, hostname } = credentials
  const helo = await channel.receive()
  if (helo === undefined)
    throw new SinkError(
      'refused',
      `${name} asks for no key, although \`shared_key\` is given: it has no <security> section`,
    )
  const options = Array.isArray(helo) && isText(helo[0], 'HELO') ? helo[1] : undefined
  const nonce = options instanceof Map ? options.get('nonce') : undefined
  if (!(options instanceof Map) || !Buffer.isBuffer(nonce) || sharedKey === undefined)
    throw new SinkError('refused', `${name} begins with something that is no HELO of the forward protocol`)
  const auth = options.get('auth')
  const asksForUser = Buffer.isBuffer(auth) && auth.length > 0
  if (asksForUser && (user === undefined || password === undefined))
    throw new SinkError('refused', `${name} asks for a user: give \`user\` and \`password\``)

  const protocol = await import('@fluent-org/logger/build/src/protocol.js')
  const key = { salt: randomBytes(16).toString('hex'), nonce, key: sharedKey }
  const login =
    asksForUser && user !== undefined && password !== undefined ? { salt: auth, username: user, password } : undefined
  channel.write(protocol.encodeMessage(protocol.generatePing(hostname, key, login)))

  const pong = await channel.receive().catch((cause: unknown) => {
    // Fluent Bit does not say so when a key is wrong.
    const hint = 'if it goes on, `shared_key` is wrong'
    throw new SinkError('unavailable', `${name} closed the connection instead of checking the key; ${hint}`, { cause })
  })
  if (pong === undefined) throw new SinkError('unavailable', `${name} does not answer a PING`)
  if (!Array.isArray(pong) || !isText(pong[0], 'PONG') || pong.length !== 5)
    throw new SinkError('refused', `${name} answers a PING with something that is no PONG`)
  const [, isAccepted, reason, serverName, digest] = pong
  if (isAccepted !== true) throw new SinkError('refused', `${name} refuses the connection: ${textOf(reason)}`)
  try {
    protocol.checkPong(['PONG', true, '', textOf(serverName), textOf(digest)], hostname, key)
  } catch (cause) {
    throw new SinkError('refused', `${name} does not prove that it has the shared key: ${String(cause)}`, { cause })
  }
  return { keepalive: options.get('keepalive') !== false }
}

/** Whether a value is a HELO: the server wants a key. */
export function isHelo(value: Value): boolean {
  return Array.isArray(value) && isText(value[0], 'HELO')
}

function isText(value: Value | undefined, text: string): boolean {
  return Buffer.isBuffer(value) && value.toString('latin1') === text
}

function textOf(value: Value | undefined): string {
  return Buffer.isBuffer(value) ? value.toString() : ''
}
