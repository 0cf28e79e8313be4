// Which content coding an answer gets. Event streams are left alone: proxies and browsers handle compressed ones badly.

import type { Coding } from '../entries/answers.ts'
import type { Format } from '../entries/formats.ts'
import { readWeighted } from './accept.ts'

/** zstd or gzip where the client takes it (RFC 9110, 12.5.3), zstd of equal ones. */
export function negotiatedCoding(acceptEncoding: string, format: Format): Coding {
  if (format === 'sse' || acceptEncoding === '') return 'identity'
  let best: Coding = 'identity'
  let most = 0
  const accepted = readWeighted(acceptEncoding)
  const offered: readonly Coding[] = ['zstd', 'gzip']
  for (const coding of offered) {
    for (const { name, quality } of accepted) {
      // `*` is for those who take anything; they do not gain from it.
      if (name !== coding || quality <= most) continue
      best = coding
      most = quality
    }
  }
  return best
}
