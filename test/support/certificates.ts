// Certificates for tests of TLS, made with openssl: an authority, a server (localhost, 127.0.0.1) and a client signed by it, and
// another authority that signed neither.
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Paths of PEM files. */
export interface Certificates {
  readonly ca: string
  readonly otherCa: string
  readonly server: { readonly cert: string; readonly key: string }
  readonly client: { readonly cert: string; readonly key: string }
}

/** Makes them in a folder. Needs openssl. */
export function makeCertificates(dir: string): Certificates {
  const file = (name: string) => join(dir, name)
  const openssl = (...args: string[]) => void execFileSync('openssl', args, { stdio: 'pipe' })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const authority = (name: string): string => {
    const [key, cert] = [file(`${name}.key`), file(`${name}.pem`)]
    openssl('req', '-x509', ...newKey, '-days', '2', '-subj', `/CN=${name}`, '-keyout', key, '-out', cert)
    return cert
  }
  const signed = (name: string, extensions: string) => {
    const [key, request, cert] = [file(`${name}.key`), file(`${name}.csr`), file(`${name}.pem`)]
    openssl('req', ...newKey, '-subj', `/CN=${name}`, '-keyout', key, '-out', request)
    writeFileSync(file(`${name}.ext`), extensions)
    const by = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-CAcreateserial', '-extfile', file(`${name}.ext`)]
    openssl('x509', '-req', '-days', '2', '-in', request, '-out', cert, ...by)
    return { cert, key }
  }
  const ca = authority('ca')
  return {
    ca,
    otherCa: authority('other'),
    server: signed('server', 'subjectAltName=DNS:localhost,IP:127.0.0.1\n'),
    client: signed('client', 'extendedKeyUsage=clientAuth\n'),
  }
}

/** What Node's TLS servers want: contents, and only clients that the authority signed, if `asksForClients`. */
export function serverOptions({ ca, server }: Certificates, asksForClients = false) {
  const read = (path: string) => readFileSync(path)
  return {
    cert: read(server.cert),
    key: read(server.key),
    ...(asksForClients ? { ca: read(ca), requestCert: true, rejectUnauthorized: true } : {}),
  }
}
