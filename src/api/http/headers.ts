// Headers that many answers have. A name or value never comes from the journal, and from the request only in checked form.

import type { FastifyRequest } from 'fastify'
import type { ApiSettings } from '../settings.ts'

/** Answers with the journal in them are of the moment. */
export const FRESH = { 'Cache-Control': 'no-cache', Connection: 'keep-alive' } as const

export const PLAIN = { 'Content-Type': 'text/plain; charset=utf-8', 'X-Content-Type-Options': 'nosniff' } as const

/**
 * The CORS headers for a request. With '*' every page may read what is there for everybody; a caller known by cookie gets none, since then any page
 * could read as that caller. With a list the page's origin must be in it, and cookies go with it.
 */
export function corsHeaders(settings: ApiSettings, request: FastifyRequest, byCookie: boolean): Record<string, string> {
  const { cors } = settings
  if (cors === '*') return byCookie ? {} : { 'Access-Control-Allow-Origin': '*' }
  const { origin } = request.headers
  if (origin === undefined || !cors.includes(origin)) return cors.length === 0 ? {} : { Vary: 'Origin' }
  return { 'Access-Control-Allow-Origin': origin, 'Access-Control-Allow-Credentials': 'true', Vary: 'Origin' }
}

/** What a page of another origin may do, for the request that a browser sends ahead. */
export function preflightHeaders(settings: ApiSettings, request: FastifyRequest): Record<string, string> {
  return {
    ...corsHeaders(settings, request, false),
    'Access-Control-Allow-Methods': 'GET',
    'Access-Control-Allow-Headers': 'Authorization, Accept, Last-Event-ID',
    'Access-Control-Max-Age': '600',
  }
}

/** The value of a header that is sent once; several become the first, as Go's Header.Get has it. */
export function headerOf(request: FastifyRequest, name: string): string {
  const value = request.headers[name]
  return (Array.isArray(value) ? value[0] : value) ?? ''
}
