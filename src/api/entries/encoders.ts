// Encoders that are used again: each has buffers and tables that a request for ten lines need not make and leave behind.

import { createEncoder, type Encoder } from '../../journal/encode/encoder.ts'
import { type EncoderSpec, encoderKey } from '../../journal/encode/spec.ts'
import type { MemoryBudget } from '../../journal/memory.ts'

/** Idle encoders that are kept of one form. */
const IDLE_MAX = 32

export class EncoderPool {
  readonly #memory: MemoryBudget
  readonly #idle = new Map<string, Encoder[]>()
  readonly #keys = new WeakMap<Encoder, string>()

  constructor(memory: MemoryBudget) {
    this.#memory = memory
  }

  /** An encoder of the form, empty. */
  take(spec: EncoderSpec): Encoder {
    const key = encoderKey(spec)
    const known = this.#idle.get(key)?.pop()
    if (known !== undefined) return known
    const made = createEncoder(spec, this.#memory)
    this.#keys.set(made, key)
    return made
  }

  /** Takes it back; the giver must not use it any more. */
  give(encoder: Encoder): void {
    encoder.reset()
    // What it keeps of files goes with the reader that had them open.
    encoder.close()
    const key = this.#keys.get(encoder)
    if (key === undefined) return
    const idle = this.#idle.get(key)
    if (idle === undefined) this.#idle.set(key, [encoder])
    else if (idle.length < IDLE_MAX) idle.push(encoder)
  }
}
