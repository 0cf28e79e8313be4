// TLS options and that of a proxy, the same for every sink. Certificates are verified unless somebody writes `verify: false`.

import { readFileSync } from 'node:fs'
import * as z from 'zod'

const pem = (what: string) =>
  z.string().meta({ description: `${what}: the path of a PEM file, or the PEM text itself (also by \`{ file: … }\`).` })

/** The option `tls:` of a sink. */
export function tlsOptions() {
  return z
    .strictObject({
      ca: pem("Certificates that the server may be signed by, instead of the system's").optional(),
      cert: pem('Client certificate').optional(),
      key: pem('Key of the client certificate').optional(),
      passphrase: z.string().meta({ description: 'Passphrase of the key.' }).optional(),
      server_name: z
        .string()
        .meta({ description: 'Name that the certificate must carry, when it is not the host of the address.' })
        .optional(),
      verify: z
        .boolean()
        .default(true)
        .meta({ description: "Whether the server's certificate is checked. `false` lets anybody listen in." }),
    })
    .meta({ description: 'TLS settings.' })
}

/** The option `proxy:` of a sink that speaks HTTP. */
export function proxyOption() {
  return z
    .url({ protocol: /^https?$/ })
    .optional()
    .meta({ description: 'Address of an HTTP proxy; a user and a password may stand in it.' })
}

export type TlsOptions = z.output<ReturnType<typeof tlsOptions>>

/** The part of Node's `tls.connect` options that comes from the configuration. */
export interface TlsConnection {
  rejectUnauthorized?: boolean
  ca?: string
  cert?: string
  key?: string
  passphrase?: string
  servername?: string
}

/** Node's connection options. Reads the files; throws what reading throws. */
export function connectionOptions(tls: TlsOptions | undefined): TlsConnection {
  if (tls === undefined) return {}
  const { ca, cert, key, passphrase, server_name: servername, verify } = tls
  return {
    rejectUnauthorized: verify,
    ...(ca === undefined ? {} : { ca: pemText(ca) }),
    ...(cert === undefined ? {} : { cert: pemText(cert) }),
    ...(key === undefined ? {} : { key: pemText(key) }),
    ...(passphrase === undefined ? {} : { passphrase }),
    ...(servername === undefined ? {} : { servername }),
  }
}

/** PEM text, or that of the file at this path. Throws what reading throws. */
export function pemText(pathOrText: string): string {
  return pathOrText.includes('-----BEGIN') ? pathOrText : readFileSync(pathOrText, 'utf8')
}

// What OpenSSL and Node call a certificate that cannot be trusted, and a peer that does not speak TLS.
const UNTRUSTED = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER|ALTNAME|ERR_SSL|EPROTO|ERR_TLS/

/** Whether a connection failed for a reason that only a person can mend: an untrusted certificate, TLS on one side only. */
export function isTlsProblem(error: unknown): boolean {
  const { code } = error as { code?: unknown }
  return typeof code === 'string' && UNTRUSTED.test(code)
}
