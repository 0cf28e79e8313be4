// The text line of an entry in the logging API: `YYYY-MM-DD hh:mm:ss: MESSAGE`, the message byte for byte. Only the message is looked for, from the
// entry's youngest items backwards: that is where it nearly always is. Source of the form: dcos-log, journal/reader/formatters.go.

import type { JournalFile } from '../../file/file.ts'
import type { MemoryBudget } from '../../memory.ts'
import { Encoder } from '../base.ts'
import { FileCaches } from '../fileCaches.ts'
import { LocalTime } from '../journalctl/localTime.ts'
import { START } from './jsonObject.ts'

const NAME = Buffer.from('MESSAGE=')
const OTHER = 0
const MESSAGE = 1

/** An entry without MESSAGE gives nothing. */
export class DcosText extends Encoder {
  readonly #time = new LocalTime(false)
  readonly #caches: FileCaches

  constructor(memory: MemoryBudget) {
    super(START)
    this.#caches = new FileCaches(this, memory)
  }

  override encode(file: JournalFile): void {
    const cache = this.#caches.of(file)
    const known = cache.move(file.offset)
    const { itemWords, itemBase, itemStride, itemCount, realtime } = file
    for (let k = itemCount - 1; k >= 0; k--) {
      const i = itemBase + k * itemStride
      let offset = itemWords[i] as number
      let key = offset >>> 3
      if (itemStride === 4) {
        const high = itemWords[i + 1] as number
        if (high !== 0) {
          offset += high * 4294967296
          key += high * 536870912
        }
      }
      const place = offset > known ? -1 : cache.find(key)
      if (place >= 0) {
        if (cache.notes[place] === OTHER) continue
        const text = cache.texts[place] as string
        this.#begin(realtime, text.length)
        this.out.latin1Write(text, this.length, text.length)
        this.#end(text.length)
        return
      }
      if (!file.payload(offset)) continue
      const isMessage = isNamed(file)
      if (file.shared && key <= 0xffffffff) {
        const text = isMessage ? file.bytes.toString('latin1', file.equals + 1, file.end) : ''
        cache.keepText(key, text, isMessage ? MESSAGE : OTHER)
      }
      if (!isMessage) continue
      const length = file.end - file.equals - 1
      this.#begin(realtime, length)
      file.bytes.copy(this.out, this.length, file.equals + 1, file.end)
      this.#end(length)
      return
    }
  }

  override close(): void {
    this.#caches.close()
  }

  #begin(realtime: number, length: number): void {
    const time = this.#time.dateTime(realtime)
    this.room(time.length + length + 3)
    this.out.latin1Write(time, this.length, time.length)
    this.length += time.length
    this.out[this.length++] = 58
    this.out[this.length++] = 32
  }

  #end(length: number): void {
    this.length += length
    this.out[this.length++] = 10
  }
}

function isNamed({ bytes, start, end }: JournalFile): boolean {
  if (end - start < NAME.length) return false
  for (let i = 0; i < NAME.length; i++) if (bytes[start + i] !== NAME[i]) return false
  return true
}
