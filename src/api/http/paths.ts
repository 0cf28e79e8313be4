// Paths as the original's router saw them: cleaned ones are redirected to, and a variable never holds a slash, not even an encoded one.

/** The path without its query, and the query without `?`. */
export function splitUrl(url: string): { readonly path: string; readonly query: string } {
  const mark = url.indexOf('?')
  return mark < 0 ? { path: url, query: '' } : { path: url.slice(0, mark), query: url.slice(mark + 1) }
}

/**
 * What to do with a path before any route is asked: `undefined` nothing, a string: redirect there (301), `false`: there is no such page.
 * Source: gorilla/mux, cleanPath.
 */
export function judgePath(url: string): string | false | undefined {
  const { path, query } = splitUrl(url)
  let decoded: string
  try {
    decoded = decodeURIComponent(path)
  } catch {
    return false
  }
  if (decoded.includes('\0')) return false
  const clean = cleanPath(decoded)
  if (clean !== decoded) {
    // Back in encoded form, so that nothing in it can become part of the header.
    const target = clean.split('/').map(encodeURIComponent).join('/')
    return query === '' ? target : `${target}?${query}`
  }
  return /%2f/i.test(path) ? false : undefined
}

/** Removes empty, `.` and `..` elements; a slash at the end stays. */
export function cleanPath(path: string): string {
  const parts: string[] = []
  const all = path.split('/')
  for (const part of all) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  const last = all.at(-1)
  const ends = parts.length > 0 && (last === '' || last === '.' || last === '..')
  return `/${parts.join('/')}${ends ? '/' : ''}`
}
