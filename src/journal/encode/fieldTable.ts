// Field names met so far, found by their bytes without making a string. One table per encoder, shared by all files.
// Invariant: ids count up from 0 and never change; a table that is full gives fresh, unkept fields (id OVERFLOW), so a journal
// with endless names costs time, not memory.

/** How many names are kept. */
export const MOST_FIELDS = 4096
/** The id of a field that found no place in the table. */
export const OVERFLOW = MOST_FIELDS

const BUCKETS = 16384

export class FieldTable<Field> {
  readonly #make: (name: string, id: number) => Field
  readonly #fields: Field[] = []
  readonly #names: Uint8Array[] = []
  #buckets = new Int16Array(256).fill(-1)
  #mask = 255

  /** @param make builds what the encoder keeps for a name (latin1: names are ASCII in every real journal) */
  constructor(make: (name: string, id: number) => Field) {
    this.#make = make
  }

  /** The field whose name is bytes[start..end). */
  find(bytes: Uint8Array, start: number, end: number): Field {
    const length = end - start
    let bucket = hashName(bytes, start, end) & this.#mask
    for (;;) {
      const id = this.#buckets[bucket]
      if (id < 0) break
      const name = this.#names[id]
      if (name.length === length) {
        let i = 0
        while (i < length && name[i] === bytes[start + i]) i++
        if (i === length) return this.#fields[id]
      }
      bucket = (bucket + 1) & this.#mask
    }
    return this.#add(bytes, start, end, bucket)
  }

  #add(bytes: Uint8Array, start: number, end: number, bucket: number): Field {
    // A copy: `slice` of a Buffer would be a view of memory that is read into again.
    const kept = new Uint8Array(bytes.subarray(start, end))
    const name = Buffer.from(kept.buffer).toString('latin1')
    const id = this.#fields.length
    if (id >= MOST_FIELDS) return this.#make(name, OVERFLOW)
    const field = this.#make(name, id)
    this.#fields.push(field)
    this.#names.push(kept)
    this.#buckets[bucket] = id
    if ((id + 1) * 2 > this.#buckets.length && this.#buckets.length < BUCKETS) this.#grow()
    return field
  }

  #grow(): void {
    const size = this.#buckets.length * 4
    this.#buckets = new Int16Array(size).fill(-1)
    this.#mask = size - 1
    for (let id = 0; id < this.#names.length; id++) {
      const name = this.#names[id]
      let bucket = hashName(name, 0, name.length) & this.#mask
      while (this.#buckets[bucket] >= 0) bucket = (bucket + 1) & this.#mask
      this.#buckets[bucket] = id
    }
  }
}

/** Every third byte and the last three: names differ at their ends, and the comparison decides anyway. */
function hashName(bytes: Uint8Array, start: number, end: number): number {
  let hash = end - start
  for (let i = start; i < end; i += 3) hash = Math.imul(hash ^ bytes[i], 0x01000193)
  if (end - start > 3)
    hash = Math.imul(hash ^ (bytes[end - 1] | (bytes[end - 2] << 8) | (bytes[end - 3] << 16)), 0x01000193)
  return hash ^ (hash >>> 13)
}
