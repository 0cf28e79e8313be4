// The log page: three files that come with logferry, under a policy that lets the page load nothing else and send nothing elsewhere.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ApiParts } from './parts.ts'

const FILES = [
  ['/', 'index.html', 'text/html; charset=utf-8'],
  ['/page.js', 'page.js', 'text/javascript; charset=utf-8'],
  ['/page.css', 'page.css', 'text/css; charset=utf-8'],
] as const

const HEADERS = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(), microphone=(), geolocation=()',
  'Cache-Control': 'no-cache',
}

/** Adds the routes. @param folder where the files lie */
export function addPage({ app }: ApiParts, folder: string): void {
  for (const [path, name, type] of FILES) {
    const bytes = readFileSync(join(folder, name))
    app.get(path, (_request, reply) => reply.headers({ ...HEADERS, 'Content-Type': type }).send(bytes))
  }
  // Browsers ask for it unasked; without an answer each visit would leave an error on their console.
  app.get('/favicon.ico', (_request, reply) => reply.code(204).headers(HEADERS).send())
}
