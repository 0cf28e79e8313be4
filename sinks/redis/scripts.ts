// What runs inside Redis: data and position in one step. Redis does not roll a script back, so each one checks first, then writes
// the data, and the position last. They answer with data, never with errors of their own making, whose form differs by version.

import { createHash } from 'node:crypto'
import { ADOPT } from './keys.ts'

export interface Script {
  readonly text: string
  readonly sha: string
}

function script(text: string): Script {
  return { text, sha: createHash('sha1').update(text).digest('hex') }
}

/** More values than about 7 990 make Lua's `unpack` fail. */
const SLICE = 5000

const OLDEST_IN_LIST = (key: string, verb: string): string =>
  `redis.pcall('LINDEX', ${key}, ${verb} == 'RPUSH' and 0 or -1)`
const OLDEST_IN_STREAM = (key: string): string =>
  `(function(found) return found[1] and found[1][1] end)(redis.pcall('XRANGE', ${key}, '-', '+', 'COUNT', 1))`
/** Elements may be large, and this is only to find a time in. */
const BEGINNING = `type(oldest) == 'string' and string.sub(oldest, 1, 2048) or ''`

// KEYS[1] position, KEYS[2…] targets. ARGV[1] expected position, ARGV[2] new one, ARGV[3] most elements (0: any number), ARGV[4] and
// ARGV[5] as the kind of target wants them, then the number of elements for each target, then the elements.
// On a replica the comparison runs on old data; PERSIST, which changes nothing, makes it say READONLY instead.
const begin = (kind: string, length: string, oldest: string): string => `
local stored = redis.call('GET', KEYS[1])
if stored ~= ARGV[1] and stored ~= '${ADOPT}' then
  redis.call('PERSIST', KEYS[1])
  return {'POSITION', stored}
end
local most = tonumber(ARGV[3])
for k = 2, #KEYS do
  local kind = redis.call('TYPE', KEYS[k]).ok
  if kind ~= 'none' and kind ~= '${kind}' then return {'TYPE', KEYS[k], kind} end
  if most > 0 then
    local length = redis.call('${length}', KEYS[k])
    if length + tonumber(ARGV[4 + k]) > most then
      local oldest = ${oldest}
      return {'FULL', KEYS[k], length, ${BEGINNING}}
    end
  end
end
local at = #KEYS + 5
local length = 0
`
const END = `
redis.call('SET', KEYS[1], ARGV[2])
return length
`

/** ARGV[4]: RPUSH or LPUSH; ARGV[5] is not used. Answers the length of the last list. */
export const PUSH = script(`${begin('list', 'LLEN', OLDEST_IN_LIST('KEYS[k]', 'ARGV[4]'))}
for k = 2, #KEYS do
  local last = at + tonumber(ARGV[4 + k]) - 1
  for from = at, last, ${SLICE} do
    length = redis.call(ARGV[4], KEYS[k], unpack(ARGV, from, math.min(from + ${SLICE - 1}, last)))
  end
  at = last + 1
end
${END}`)

/** ARGV[4]: name of the field; ARGV[5]: how many entries to keep, about, 0: all. Answers the length of the last stream. */
export const ADD = script(`${begin('stream', 'XLEN', OLDEST_IN_STREAM('KEYS[k]'))}
local keep = tonumber(ARGV[5])
for k = 2, #KEYS do
  local last = at + tonumber(ARGV[4 + k]) - 1
  for i = at, last do
    if keep > 0 then redis.call('XADD', KEYS[k], 'MAXLEN', '~', keep, '*', ARGV[4], ARGV[i])
    else redis.call('XADD', KEYS[k], '*', ARGV[4], ARGV[i]) end
  end
  at = last + 1
  length = redis.call('XLEN', KEYS[k])
end
${END}`)

/** KEYS[1] list, ARGV[1] RPUSH or LPUSH. Answers its length and the element that has waited longest. */
export const MEASURE_LIST = script(`
local oldest = ${OLDEST_IN_LIST('KEYS[1]', 'ARGV[1]')}
return {redis.call('LLEN', KEYS[1]), ${BEGINNING}}
`)

/** KEYS[1] stream. Answers its length and the id of its first entry. */
export const MEASURE_STREAM = script(`
local oldest = ${OLDEST_IN_STREAM('KEYS[1]')}
return {redis.call('XLEN', KEYS[1]), ${BEGINNING}}
`)

/** KEYS[1] position. Answers it, or nil, and what INFO says of the server; an empty text where the user may not ask. */
export const LOOK = script(`
redis.call('PERSIST', KEYS[1])
local info = redis.pcall('INFO', 'server')
return {redis.call('GET', KEYS[1]), type(info) == 'string' and info or ''}
`)

/** KEYS[1] position, ARGV[1] the old one (empty: there is none), ARGV[2] the new one. Answers 1, or 0 when the old one was another. */
export const SWAP = script(`
local stored = redis.call('GET', KEYS[1])
if (stored or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
`)

/** ARGV[1] number of channels, then name and number of elements of each, then the elements. Answers the numbers of those that nobody got, from 1. */
export const PUBLISH = script(`
local channels = tonumber(ARGV[1])
local at = 2 + 2 * channels
local lost = {}
local number = 0
for c = 1, channels do
  for i = at, at + tonumber(ARGV[1 + 2 * c]) - 1 do
    number = number + 1
    if redis.call('PUBLISH', ARGV[2 * c], ARGV[i]) == 0 then lost[#lost + 1] = number end
  end
  at = at + tonumber(ARGV[1 + 2 * c])
end
return lost
`)

/** For a dry test: reads what a write reads, and changes nothing. KEYS[1] position, KEYS[2] target. */
export const PROBE = script(`
redis.call('PERSIST', KEYS[1])
return {redis.call('TYPE', KEYS[1]).ok, redis.call('TYPE', KEYS[2]).ok}
`)
