// A nested document in the making: pairs by the object they belong to. The objects are known beforehand, as a tree; what a pair costs is two
// string additions. Invariant: no object is written twice and none is empty.

import type { Notation } from './notation.ts'

export const ROOT = 0

interface Node {
  readonly lead: string
  readonly children: Node[]
  readonly id: number
}

export class EcsDocument {
  readonly #notation: Notation
  readonly #nodes: Node[] = []
  readonly #byPath = new Map<string, Node>()
  // Pairs of this entry by node, and those that every entry has.
  #pairs: string[] = []
  #counts: number[] = []
  readonly #fixedPairs: string[] = []
  readonly #fixedCounts: number[] = []
  /** Pairs that `text` put together last. */
  count = 0

  constructor(notation: Notation) {
    this.#notation = notation
    this.node([])
  }

  /** The number of the object at a path, made when it is new. */
  node(path: readonly string[]): number {
    const name = path.join('.')
    const known = this.#byPath.get(name)
    if (known !== undefined) return known.id
    const parent = path.length === 0 ? undefined : this.#nodes[this.node(path.slice(0, -1))]
    const node = { lead: this.#notation.lead(path.at(-1) ?? ''), children: [], id: this.#nodes.length }
    parent?.children.push(node)
    this.#nodes.push(node)
    this.#byPath.set(name, node)
    this.#fixedPairs.push('')
    this.#fixedCounts.push(0)
    return node.id
  }

  /** True when there is an object at this path. */
  has(path: string): boolean {
    return this.#byPath.has(path)
  }

  /** Adds a pair to every document from now on. */
  fix(node: number, pair: string): void {
    this.#fixedPairs[node] += pair
    this.#fixedCounts[node]++
  }

  /** Begins the document of an entry. */
  begin(): void {
    this.#pairs = this.#fixedPairs.slice()
    this.#counts = this.#fixedCounts.slice()
  }

  /** Adds `count` pairs (with their leads) to an object. */
  add(node: number, pairs: string, count = 1): void {
    this.#pairs[node] += pairs
    this.#counts[node] += count
  }

  /** The pairs of an object with all below it, but without the objects `except`. `count` says how many they are. */
  text(node: number, except: readonly number[] = []): string {
    let text = this.#pairs[node]
    let count = this.#counts[node]
    for (const child of this.#nodes[node].children) {
      if (except.includes(child.id)) continue
      const inner = this.text(child.id)
      if (this.count === 0) continue
      text += child.lead + this.#notation.map(inner, this.count)
      count++
    }
    this.count = count
    return text
  }
}
