// Paths of sockets in a folder. The kernel takes 107 bytes for one (unix(7)); through an open descriptor of the folder
// every name is short.

import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'

const SOCKET_PATH_BYTES = 107
/** Room for the longest name that is bound or connected to. */
const NAME_BYTES = 64

export class ShortPaths {
  readonly folder: string
  readonly #descriptor: number | undefined
  readonly #prefix: string

  /** Throws the system's error when the folder cannot be opened. */
  constructor(folder: string) {
    this.folder = folder
    this.#descriptor =
      Buffer.byteLength(folder) + 1 + NAME_BYTES > SOCKET_PATH_BYTES ? openSync(folder, 'r') : undefined
    this.#prefix = this.#descriptor === undefined ? folder : `/proc/self/fd/${this.#descriptor}`
  }

  /** The path of a name in the folder, for this process alone. */
  of(name: string): string {
    return join(this.#prefix, name)
  }

  /** Gives the descriptor back. No path may be used afterwards. */
  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
  }
}
