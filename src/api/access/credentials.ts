// Where a token may stand in a request: `Authorization: token=…` (DC/OS), `Authorization: Bearer …`, or the cookie of the DC/OS web page.

const COOKIE = 'dcos-acs-auth-cookie'
/** A longer token is refused without a look. */
export const TOKEN_MAX = 8192

export interface Credentials {
  readonly token: string
  /** As Mesos takes it. */
  readonly authorization: string
  readonly byCookie: boolean
}

/** The token of a request; undefined when there is none. The header wins over the cookie. */
export function readCredentials(headers: {
  readonly authorization?: string | undefined
  readonly cookie?: string | undefined
}): Credentials | undefined {
  const { authorization, cookie } = headers
  if (authorization !== undefined && authorization !== '') {
    const found = /^(?:token=|bearer\s+)(\S+)\s*$/i.exec(authorization)?.[1]?.replace(/^"(.*)"$/, '$1')
    return found === undefined ? undefined : { token: found, authorization, byCookie: false }
  }
  for (const part of (cookie ?? '').split(';')) {
    const [name, ...rest] = part.trim().split('=')
    if (name !== COOKIE) continue
    const token = rest.join('=').replace(/^"(.*)"$/, '$1')
    if (/^[\w.~+/=-]+$/.test(token)) return { token, authorization: `token=${token}`, byCookie: true }
  }
  return undefined
}
