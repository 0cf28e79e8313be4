// Which content coding an answer gets. Event streams are left alone: proxies and browsers handle compressed ones badly.

import type { Coding } from '../entries/answers.ts'
import type { Format } from '../entries/formats.ts'

/** zstd or gzip where the client takes it (RFC 9110, 12.5.3), zstd of equal ones. */
export function negotiatedCoding(acceptEncoding: string, format: Format): Coding {
  if (format === 'sse' || acceptEncoding === '') return 'identity'
  let best: Coding = 'identity'
  let most = 0
  const offered: readonly Coding[] = ['zstd', 'gzip']
  for (const coding of offered) {
    for (const item of acceptEncoding.split(',')) {
      const [name = '', weight = ''] = item.split(';').map((part) => part.trim().toLowerCase())
      // `*` is for those who take anything; they do not gain from it.
      if (name !== coding) continue
      const quality = weight === '' ? 1 : Number(/^q\s*=\s*([01](?:\.\d{0,3})?)$/.exec(weight)?.[1] ?? 0)
      if (quality > most) {
        best = coding
        most = quality
      }
    }
  }
  return best
}
