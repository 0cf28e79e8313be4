// Values of a few fields of loaded entries. Where a value stands is remembered per file, so that a value which many entries share is read once.

import type { JournalFile } from '../../journal/file/file.ts'

/** Remembered places per file; then it starts afresh. */
const PLACES_MAX = 65_536
const OTHER = -1

interface Known {
  readonly field: number
  readonly value: string
}

export class FieldPicker {
  readonly #names: readonly Buffer[]
  /** Values longer than this are cut, bytes. */
  readonly #maxBytes: number
  readonly #files = new WeakMap<JournalFile, Map<number, Known>>()

  constructor(fields: readonly string[], maxBytes = 65_536) {
    this.#names = fields.map((name) => Buffer.from(`${name}=`))
    this.#maxBytes = maxBytes
  }

  /** The values of the loaded entry, in the order of the fields; the last one of a field that occurs several times. */
  pick(file: JournalFile): (string | undefined)[] {
    let places = this.#files.get(file)
    if (places === undefined || places.size > PLACES_MAX) {
      places = new Map()
      this.#files.set(file, places)
    }
    const values = new Array<string | undefined>(this.#names.length).fill(undefined)
    const { itemWords, itemBase, itemStride, itemCount } = file
    for (let k = 0; k < itemCount; k++) {
      const i = itemBase + k * itemStride
      const offset =
        itemStride === 4
          ? (itemWords[i] as number) + (itemWords[i + 1] as number) * 4294967296
          : (itemWords[i] as number)
      let known = places.get(offset)
      if (known === undefined) {
        if (!file.payload(offset)) continue
        known = this.#read(file)
        if (file.shared) places.set(offset, known)
      }
      if (known.field !== OTHER) values[known.field] = known.value
    }
    return values
  }

  #read({ bytes, start, equals, end }: JournalFile): Known {
    const field = this.#names.findIndex(
      (name) => end - start >= name.length && bytes.compare(name, 0, name.length, start, start + name.length) === 0,
    )
    if (field < 0) return { field: OTHER, value: '' }
    return { field, value: bytes.toString('utf8', equals + 1, Math.min(end, equals + 1 + this.#maxBytes)) }
  }
}
