// A task's sandbox on this node, and its files as lines.

import type { FilePart, MesosClient } from './client.ts'

/** What a route's path says of a task. */
export interface SandboxPath {
  readonly frameworkId: string
  readonly executorId: string
  readonly containerId: string
  /** Of a pod's task. */
  readonly taskPath: string | undefined
}

/** The sandbox's folder on the agent. A dotted container id `parent.child` is a nested container in its parent's folder. */
export function sandboxFolder(workDir: string, agentId: string, path: SandboxPath): string {
  const { frameworkId, executorId, containerId, taskPath } = path
  const base = `${workDir}/slaves/${agentId}/frameworks/${frameworkId}/executors/${executorId}/runs/${containerId}`
  return taskPath === undefined ? base : `${base}/tasks/${taskPath}`
}

/** A line with where its newline stands, in bytes from the file's beginning. */
export interface Line {
  readonly bytes: Buffer
  readonly end: number
}

/** A line longer than this is handed out in pieces: no line may take all memory. */
const LINE_MAX = 32 << 20
const NEWLINE = 10

/** One file of a sandbox, read part by part with the caller's own rights. */
export class SandboxFile {
  readonly #client: MesosClient
  readonly #path: string
  readonly #authorization: string

  constructor(client: MesosClient, path: string, authorization: string) {
    this.#client = client
    this.#path = path
    this.#authorization = authorization
  }

  size(): Promise<number> {
    return this.#client.size(this.#path, this.#authorization)
  }

  read(offset: number): Promise<FilePart> {
    return this.#client.read(this.#path, offset, this.#authorization)
  }

  /** Where the line begins that stands `lines` lines before `offset`; a line that `offset` cuts counts as one. */
  async back(offset: number, lines: number): Promise<number> {
    let left = lines
    let end = offset
    let isFirst = true
    while (end > 0) {
      const from = Math.max(0, end - PART)
      const { bytes } = await this.read(from)
      let at = Math.min(bytes.length, end - from)
      if (at === 0) return end
      // The newline right before the place ends the line in front of it.
      if (isFirst && bytes[at - 1] === NEWLINE) at--
      isFirst = false
      while (at > 0) {
        const newline = bytes.lastIndexOf(NEWLINE, at - 1)
        if (newline < 0) break
        if (--left === 0) return from + newline + 1
        at = newline
      }
      end = from
    }
    return 0
  }

  /**
   * Lines from `offset` on, to the file's end as it is. What `offset` cuts off from a line is none if it is empty. `rest` gives a last line
   * without newline; without it such a line stays for the next time.
   */
  async *lines(offset: number, rest: (line: Line) => boolean): AsyncGenerator<Line> {
    let at = offset
    let held: Buffer[] = []
    let heldBytes = 0
    for (;;) {
      const { bytes } = await this.read(at)
      if (bytes.length === 0) break
      let from = 0
      for (let newline = bytes.indexOf(NEWLINE); newline >= 0; newline = bytes.indexOf(NEWLINE, from)) {
        const piece = bytes.subarray(from, newline)
        yield { bytes: held.length === 0 ? piece : Buffer.concat([...held, piece]), end: at + newline }
        held = []
        heldBytes = 0
        from = newline + 1
      }
      at += bytes.length
      const piece = bytes.subarray(from)
      held.push(piece)
      heldBytes += piece.length
      if (heldBytes < LINE_MAX) continue
      yield { bytes: Buffer.concat(held), end: at }
      held = []
      heldBytes = 0
    }
    if (heldBytes === 0) return
    const line = { bytes: Buffer.concat(held), end: at }
    if (rest(line)) yield line
  }
}

const PART = 65_536
